"""Optimizers for several players, kept and saved as one."""

import keras
from keras import ops


class LossScale:
    """One dynamic loss scale for all players of a model under `mixed_float16`.

    `scaled loss = scale * loss`; gradients are divided by it again. After a train step in which
    any player met a gradient that is not finite, the scale is halved; after `growth_interval`
    good steps in a row it is doubled. Everything is chosen by `ops.where`: nothing branches.

    Reference:
        Micikevicius et al. 2018, "Mixed Precision Training", section 3.2.
    """

    def __init__(self, owner, initial=2.0**15, growth_interval=2000):
        self.growth_interval = growth_interval
        self.value = owner.add_variable((), "ones", "float32", name="loss_scale")
        self.value.assign(initial)
        self.good_steps = owner.add_variable((), "zeros", "int32", name="good_steps")
        self.all_finite = owner.add_variable((), "ones", "float32", name="all_finite")

    def scale(self, loss):
        """`scale * loss`, a float32 scalar."""
        return loss * ops.convert_to_tensor(self.value)

    def unscale(self, gradients):
        """Divide gradients by the scale and note whether they are finite.

        Args:
            gradients: List of tensors.

        Returns:
            `(gradients / scale, finite)`; `finite` a boolean scalar tensor.
        """
        inverse = 1.0 / ops.convert_to_tensor(self.value)
        gradients = [ops.cast(g, "float32") * inverse for g in gradients]
        finite = ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in gradients]))
        self.all_finite.assign(self.all_finite * ops.cast(finite, "float32"))
        return gradients, finite

    def update(self):
        """Halve, keep or double the scale: once a train step, after the last player."""
        finite = ops.equal(self.all_finite, 1.0)
        good_steps = ops.where(finite, self.good_steps + 1, 0)
        grown = ops.greater_equal(good_steps, self.growth_interval)
        scale = ops.convert_to_tensor(self.value)
        good = ops.where(grown, scale * 2.0, scale)
        self.value.assign(ops.where(finite, good, ops.maximum(scale * 0.5, 1.0)))
        self.good_steps.assign(ops.where(grown, ops.zeros_like(good_steps), good_steps))
        self.all_finite.assign(ops.ones_like(self.all_finite.value))


@keras.saving.register_keras_serializable(package="keras_gen")
class OptimizerGroup(keras.optimizers.Optimizer):
    """One optimizer a player, held, stepped and saved as one Keras optimizer.

    `group["discriminator"]` is that player's Keras optimizer; `group.optimizers` is the list of
    them, in order, so that Keras' learning-rate callbacks reach all. `group.iterations` counts
    train steps; each player counts its own. A group of one behaves like its only optimizer:
    `group.learning_rate` can be read and set.

    Args:
        optimizers: `{player: optimizer or its name}`, or one optimizer (or its name).
        scale_loss: Whether to keep one loss scale for all players (`mixed_float16`).

    Raises:
        ValueError: No player, or something that is no optimizer.
    """

    def __init__(self, optimizers, scale_loss=False, name="optimizer_group"):
        super().__init__(learning_rate=_no_learning_rate, name=name)
        if not isinstance(optimizers, dict):
            optimizers = {"model": optimizers}
        if not optimizers:
            raise ValueError("OptimizerGroup needs at least one player; got an empty dict.")
        self.players = {}
        for player, optimizer in optimizers.items():
            try:
                optimizer = keras.optimizers.get(optimizer)
            except ValueError as error:
                raise ValueError(f"optimizer of player '{player}': {error}") from None
            optimizer.name = player
            self.players[player] = optimizer
        self.optimizers = list(self.players.values())
        if len({id(optimizer) for optimizer in self.optimizers}) < len(self.optimizers):
            raise ValueError(
                "Two players share one optimizer object; give each its own, since an optimizer "
                "keeps moments of its own variables only."
            )
        self.loss_scale = LossScale(self) if scale_loss else None
        for optimizer in self.optimizers:
            optimizer.loss_scale = self.loss_scale
        self._variables_of = None

    def __getitem__(self, player):
        if player not in self.players:
            known = ", ".join(repr(name) for name in self.players)
            raise KeyError(f"no optimizer for player {player!r}; compile() was given {known}")
        return self.players[player]

    def __contains__(self, player):
        return player in self.players

    def __iter__(self):
        return iter(self.players)

    def __len__(self):
        return len(self.players)

    @property
    def only_optimizer(self):
        """The one optimizer of a group of one."""
        if len(self.optimizers) > 1:
            known = ", ".join(repr(name) for name in self.players)
            raise ValueError(f"this group has several players: say which, as group[{known}].")
        return self.optimizers[0]

    @property
    def learning_rate(self):
        if len(self.optimizers) > 1:
            raise AttributeError("several players: read group['player'].learning_rate")
        return self.only_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.only_optimizer.learning_rate = value

    @property
    def variables(self):
        return [*super().variables, *(v for o in self.optimizers for v in o.variables)]

    def bind(self, variables_of):
        """Say which variables belong to which player: `variables_of(player) -> list`."""
        self._variables_of = variables_of

    def build(self, variables):
        """Create every player's moments over its own variables.

        Args:
            variables: All trainable variables; a group of one that was not bound takes these.
        """
        if self.built:
            return
        for player, optimizer in self.players.items():
            own = variables if self._variables_of is None else self._variables_of(player)
            if not own:
                raise ValueError(
                    f"player '{player}' has no trainable variables: build its network first "
                    "(give it an Input, or call it once)."
                )
            optimizer.build(own)
        self.built = True

    def apply(self, grads, trainable_variables=None):
        """Apply gradients with the only optimizer of a group of one."""
        self.only_optimizer.apply(grads, trainable_variables)

    def finish_step(self):
        """Count one train step and let the loss scale move: the base calls it after each."""
        self._iterations.assign_add(1)
        if self.loss_scale is not None:
            self.loss_scale.update()

    def finalize_variable_values(self, var_list):
        for player, optimizer in self.players.items():
            own = var_list if self._variables_of is None else self._variables_of(player)
            optimizer.finalize_variable_values(own)

    def save_own_variables(self, store):
        for i, variable in enumerate(super().variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store):
        own = super().variables
        if len(store.keys()) != len(own):
            raise ValueError(
                f"optimizer state: expected {len(own)} variables of the group, the file has "
                f"{len(store.keys())}. Was it saved under another precision policy?"
            )
        for i, variable in enumerate(own):
            variable.assign(store[str(i)])

    def get_config(self):
        return {
            "optimizers": {name: _serialize(o) for name, o in self.players.items()},
            "scale_loss": self.loss_scale is not None,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        optimizers = {
            # Keras empties what it deserializes: hand it a copy.
            player: keras.saving.deserialize_keras_object(
                {**serialized, "config": dict(serialized["config"])}, custom_objects
            )
            for player, serialized in config["optimizers"].items()
        }
        return cls(optimizers, config["scale_loss"], config["name"])


def _no_learning_rate():
    return 0.0


def _serialize(optimizer):
    """Serialize under Keras' public name: the torch classes' own does not load elsewhere."""
    serialized = keras.saving.serialize_keras_object(optimizer)
    name = type(optimizer).__name__
    if hasattr(keras.optimizers, name) and serialized.get("module", "").startswith("keras."):
        serialized["module"] = "keras.optimizers"
        serialized["class_name"] = name
        serialized["registered_name"] = None
    return serialized

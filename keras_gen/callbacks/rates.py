"""Learning rates of one player, moved by the epoch or by what is logged."""

import keras


class _OfOnePlayer(keras.callbacks.Callback):
    """A callback that moves the learning rate of one player of the model's `OptimizerGroup`."""

    async_safe = True

    def __init__(self, player=None):
        super().__init__()
        self.player = player

    @property
    def optimizer(self):
        """The player's Keras optimizer; the only one where no player was named."""
        group = self.model.optimizer
        known = ", ".join(repr(name) for name in group)
        if self.player is None and len(group) > 1:
            raise ValueError(f"{type(self).__name__}: say which player: player= one of {known}.")
        if self.player is not None and self.player not in group:
            raise ValueError(
                f"{type(self).__name__}: no player {self.player!r}; compile() was given {known}."
            )
        return group.only_optimizer if self.player is None else group[self.player]

    @property
    def rate(self):
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))

    def on_train_begin(self, logs=None):
        scheduled = keras.optimizers.schedules.LearningRateSchedule
        if isinstance(self.optimizer._learning_rate, scheduled):
            raise ValueError(
                f"{type(self).__name__}: optimizer {self.optimizer.name!r} has a learning-rate "
                "schedule of its own, which would win; give it a number."
            )

    def log_rate(self, logs):
        if logs is not None:
            name = "learning_rate" if self.player is None else f"{self.player}_learning_rate"
            logs[name] = self.rate


class LearningRate(_OfOnePlayer):
    """Set one player's learning rate at the start of each epoch: `rate = schedule(epoch)`.

    Keras' `LearningRateScheduler` sets all players at once. The rate is a function of the epoch
    alone, so that an epoch that is resumed has the rate it began with. It is logged as
    `learning_rate`, or `<player>_learning_rate`.

    Args:
        schedule: Function of the epoch, counted from 0.
        player: The name given to `compile(optimizer={player: ...})`; may be left out where there
            is one optimizer.

    Raises:
        ValueError: When training begins: the player is unknown, missing, or has a schedule.
    """

    def __init__(self, schedule, player=None):
        super().__init__(player)
        self.schedule = schedule

    def on_epoch_begin(self, epoch, logs=None):
        self.optimizer.learning_rate = float(self.schedule(epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.log_rate(logs)


class ReduceOnPlateau(_OfOnePlayer):
    """Lower one player's learning rate when a logged number no longer improves.

    After `patience` epochs without an improvement of more than `min_delta`:
    `rate = max(factor * rate, min_rate)`. Keras' `ReduceLROnPlateau` lowers all players at once.
    The rate is logged as `learning_rate`, or `<player>_learning_rate`.

    Args:
        monitor: Name of a logged number, as "loss" or "val_loss".
        player: The name given to `compile(optimizer={player: ...})`; may be left out where there
            is one optimizer.
        factor: In (0, 1).
        patience: Epochs, 1 or more.
        min_delta: Smallest change that counts as an improvement.
        cooldown: Epochs after a reduction that are not counted as waiting.
        min_rate: Lowest learning rate.
        mode: "min" where lower is better, else "max".

    Raises:
        ValueError: An argument is out of range; or, in training, the player is unknown or
            `monitor` is not logged.
    """

    def __init__(
        self,
        monitor,
        player=None,
        *,
        factor=0.5,
        patience=10,
        min_delta=1e-4,
        cooldown=0,
        min_rate=0.0,
        mode="min",
    ):
        super().__init__(player)
        if not 0.0 < factor < 1.0:
            raise ValueError(f"factor: expected a number in (0, 1); got {factor!r}.")
        if patience < 1:
            raise ValueError(f"patience: expected 1 epoch or more; got {patience!r}.")
        if mode not in ("min", "max"):
            raise ValueError(f"mode: expected 'min' or 'max'; got {mode!r}.")
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.min_delta = min_delta
        self.cooldown = cooldown
        self.min_rate = min_rate
        self.mode = mode
        self._forget()

    def _forget(self):
        self.best = None
        self.waited = 0
        self.cooling = 0

    def get_state(self):
        """What a checkpoint keeps: the best value, epochs waited, epochs of cooldown left."""
        return {"best": self.best, "waited": self.waited, "cooling": self.cooling}

    def set_state(self, state):
        """Take up where `get_state` left off."""
        self.best, self.waited, self.cooling = state["best"], state["waited"], state["cooling"]

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._forget()

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        if self.monitor not in logs:
            known = ", ".join(map(repr, logs)) or "nothing"
            raise ValueError(f"monitor: {self.monitor!r} is not logged; there is {known}.")
        self.log_rate(logs)
        value = float(logs[self.monitor])
        gain = None
        if self.best is not None:
            gain = self.best - value if self.mode == "min" else value - self.best
        improved = gain is None or gain > self.min_delta
        if improved:
            self.best = value
        if improved or self.cooling:
            self.waited, self.cooling = 0, max(0, self.cooling - 1)
            return
        self.waited += 1
        if self.waited >= self.patience and self.rate > self.min_rate:
            self.optimizer.learning_rate = max(self.factor * self.rate, self.min_rate)
            self.waited, self.cooling = 0, self.cooldown

"""GenerativeModel: what every family shares, with no equation in it."""

import contextlib
import functools
import inspect
import itertools
import types

import keras
import numpy as np
from keras import ops

from keras_gen import engine
from keras_gen.optimizers import OptimizerGroup
from keras_gen.random import Stream

TRAINING, EVALUATION, SAMPLING = 0, 1, 2  # domains of one seed's random streams


class Diverged(RuntimeError):
    """A term of the loss stopped being finite; nothing was written after it."""


class Term(keras.metrics.Mean):
    """Running mean of one term of a loss, weighted by examples; lower is better."""

    def __init__(self, name, dtype="float32"):
        super().__init__(name=name, dtype=dtype)
        self._direction = "down"


class GenerativeModel(engine.StepAdapter, keras.Model):
    """A training algorithm with sockets for networks, trained by one `train_step` everywhere.

    A subclass declares its `terms`, takes its networks as arguments, and writes either an
    `objective` (one optimizer) or a `train_step` that calls `engine.minimize` once a player.
    Every constructor argument is kept as an attribute of the same name: that is all that
    saving needs.

    ```python
    class VAE(keras_gen.GenerativeModel):
        terms = ("loss", "reconstruction", "kl")

        def __init__(self, encoder, decoder, *, latent_dim, **kwargs):
            super().__init__(**kwargs)
            ...

        def draw_noise(self, x): ...
        def objective(self, x, noise, labels, training): ...   # -> loss, {term: number}
        def sample(self, count, seed=None, labels=None): ...
    ```

    Args:
        seed: Seed of the model's own random streams: the same numbers on every backend.
        name: Name of the model.
        dtype: Dtype or policy; Keras' global policy where `None`.
    """

    terms = ("loss",)

    def __init__(self, *, seed=0, name=None, dtype=None, **unknown):
        if unknown:
            raise TypeError(
                f"{type(self).__name__} got unknown argument(s) {', '.join(map(repr, unknown))}; "
                f"it takes {', '.join(_constructor_arguments(type(self)))}."
            )
        super().__init__(name=name, dtype=dtype)
        self.seed = seed
        self._stepping = False
        self._batch_size = None
        self._averages = []
        self._terms = {term: Term(term) for term in self.terms}
        self._fault = self._state("fault", (2,), -1)  # (train step, term) first not finite
        counters = ("training_calls", "evaluation_calls")
        self._streams = {
            domain: Stream(seed, domain, self._state(name))
            for domain, name in zip((TRAINING, EVALUATION), counters, strict=True)
        }
        self._stream = self._streams[TRAINING]
        self.built = True

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        package = cls.__module__.split(".")[0]
        keras.saving.register_keras_serializable(package=package)(cls)
        for name in ("train_step", "test_step"):
            if name in cls.__dict__:
                setattr(cls, name, _attended(cls.__dict__[name], name == "train_step"))

    def add_term(self, term):
        """Declare one more term of this model's loss: one that an argument switches on."""
        self.terms = (*self.terms, term)
        self._terms[term] = Term(term)

    def _state(self, name, shape=(), value=0):
        return self.add_weight(
            shape=shape,
            dtype="int32",
            trainable=False,
            initializer=keras.initializers.Constant(value),
            name=name,
        )

    # -- What a family writes -----------------------------------------------------------------

    @staticmethod
    def sockets(data_shape, **options):
        """Shapes of the networks that this model takes: `{name: (input shape, output shape)}`."""
        raise TypeError("this model declares no sockets, so no config can build its networks")

    def draw_noise(self, x):
        """The random numbers of one step, drawn outside the objective."""
        return None

    def objective(self, x, noise, labels, training):
        """The paper's objective: `-> loss, {term: scalar or (batch,) tensor}`."""
        raise TypeError(
            f"{type(self).__name__} defines neither objective(x, noise, labels, training) nor its "
            "own train_step(data): one of the two says what it learns."
        )

    def call(self, inputs, training=False):
        raise TypeError(f"{type(self).__name__} does not define call(inputs).")

    def sample(self, count, seed=None, labels=None):
        """Generate `count` examples."""
        raise TypeError(f"{type(self).__name__} does not define sample(count, seed, labels).")

    def player_variables(self, player):
        """Trainable variables that belong to a player: by default those of `self.<player>`."""
        if len(self.optimizer) == 1 and not isinstance(getattr(self, player, None), keras.Layer):
            return self.trainable_variables
        network = getattr(self, player, None)
        if not isinstance(network, keras.Layer):
            raise ValueError(
                f"compile(optimizer={{'{player}': ...}}): {type(self).__name__} has no network "
                f"'{player}'. Name players after networks, or override player_variables."
            )
        return network.trainable_variables

    # -- One step -----------------------------------------------------------------------------

    def train_step(self, data):
        """One optimizer step on one batch; a model with several players overrides this."""
        x, labels = self.unpack(data)
        noise = self.draw_noise(x)
        loss, terms = engine.minimize(
            lambda: self.objective(x, noise, labels, training=True),
            self.trainable_variables,
            self.optimizer,
        )
        return self.log(loss=loss, **terms)

    def test_step(self, data):
        """The objective on one batch, with the evaluation's own random numbers."""
        x, labels = self.unpack(data)
        loss, terms = self.objective(x, self.draw_noise(x), labels, training=False)
        return self.log(loss=loss, **terms)

    def unpack(self, data):
        """Split a batch into examples and labels: `x`, `(x,)`, `[x]`, `(x, labels)` all do.

        Args:
            data: What the data source yields for one batch.

        Returns:
            `(x, labels)`: `x` in the compute dtype, labels as int32 `(batch,)` or `None`.
        """
        parts = list(data) if isinstance(data, list | tuple) else [data]
        x = ops.convert_to_tensor(parts[0])
        labels = parts[1] if len(parts) > 1 else None
        if labels is not None:
            labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
        self._batch_size = ops.shape(x)[0]
        return ops.cast(x, self.compute_dtype), labels

    def condition(self, x, labels):
        """Join one-hot labels to vectors or, as constant planes, to images.

        `[x, one_hot(labels)]` along the last axis; `x` itself where the model takes no labels.

        Args:
            x: `(batch, features)` or `(batch, height, width, channels)`.
            labels: int32 `(batch,)` in `[0, num_classes)`, or `None`.

        Returns:
            Tensor with `num_classes` more entries on its last axis.

        Raises:
            ValueError: The model is conditional and there are no labels.

        Reference:
            Mirza & Osindero 2014, "Conditional Generative Adversarial Nets", section 3.2.
        """
        classes = getattr(self, "num_classes", None)
        if classes is None:
            return x
        if labels is None:
            raise ValueError(
                f"{type(self).__name__}(num_classes={classes}) is conditional and got no labels: "
                "give fit(x, labels), or batches (x, labels)."
            )
        planes = ops.one_hot(labels, classes, dtype=x.dtype)
        for _ in range(len(x.shape) - 2):
            planes = ops.expand_dims(planes, 1)
        planes = ops.broadcast_to(planes, (*ops.shape(x)[:-1], classes))
        return ops.concatenate([x, planes], axis=-1)

    def normal(self, shape):
        """Standard normal numbers of the model's own stream, in the compute dtype."""
        return self._stream.normal(shape, self.compute_dtype)

    def uniform(self, shape):
        """Uniform numbers in (0, 1) of the model's own stream, in the compute dtype."""
        return self._stream.uniform(shape, self.compute_dtype)

    def integers(self, shape, high):
        """Uniform integers in `[0, high)` of the model's own stream."""
        return self._stream.integers(shape, high)

    def log(self, *, count=None, **values):
        """Add a batch's terms to their running means and return these: what a step returns.

        Args:
            count: Number of examples the values stand for; the batch's where left out.
            **values: One scalar, or `(batch,)` tensor of numbers per example, a declared term.

        Returns:
            `{term: running mean, weighted by examples}`.

        Raises:
            ValueError: A term that `terms` does not declare.
        """
        undeclared = [term for term in values if term not in self._terms]
        if undeclared:
            raise ValueError(
                f"{type(self).__name__} logs {undeclared[0]!r}, which is not among its "
                f"terms = {tuple(self.terms)!r}: add it there."
            )
        if count is None:
            count = 1 if self._batch_size is None else self._batch_size
        count = ops.cast(count, "float32")
        means = {term: ops.mean(ops.cast(value, "float32")) for term, value in values.items()}
        if self._training:
            self._note_fault(means)
        for term, mean in means.items():
            self._terms[term].update_state(mean, sample_weight=count)
        return {term: self._terms[term].result() for term in means}

    def _note_fault(self, means):
        """Note on the device which term was first not finite, and when."""
        order = list(self._terms)
        bad = ops.logical_not(ops.isfinite(ops.stack(list(means.values()))))
        positions = np.array([order.index(term) for term in means], "int32")
        term = ops.min(ops.where(bad, positions, len(order)))
        here = ops.stack([ops.cast(self.optimizer.iterations, "int32"), ops.cast(term, "int32")])
        first = ops.logical_and(ops.any(bad), self._fault[0] < 0)
        self._fault.assign(ops.where(first, here, self._fault.value))

    def check_finite(self):
        """Raise `Diverged` if a term of any train step so far, or a weight now, is not finite.

        The last step's terms may be finite and its gradients not: hence the weights.
        """
        advice = "Lower the learning rate or clip the gradients (clipnorm); nothing was saved after"
        step, term = (int(value) for value in ops.convert_to_numpy(self._fault.value))
        if step >= 0:
            raise Diverged(
                f"{type(self).__name__} diverged: term '{list(self._terms)[term]}' was not finite "
                f"at train step {step + 1}. {advice} that step."
            )
        for variable in self.trainable_variables:
            if not np.isfinite(ops.convert_to_numpy(variable).astype("float32")).all():
                raise Diverged(
                    f"{type(self).__name__} diverged: weight '{variable.path}' was not finite "
                    f"after train step {int(self.optimizer.iterations)}. {advice} it."
                )

    # -- Averages of the weights --------------------------------------------------------------

    def average_of(self, network, decay):
        """A copy of a network that follows it: `average <- decay * average + (1 - decay) * w`.

        Batch statistics are averaged too. Keep the copy as an attribute of the model: it is
        then saved, resumed and updated after every train step.

        Args:
            network: A built `keras.Model`.
            decay: In `[0, 1)`.

        Returns:
            The copy, not trainable.
        """
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay of an average must be in [0, 1); got {decay!r}.")
        average = keras.models.clone_model(network)
        average.set_weights(network.get_weights())
        average.trainable = False
        self._averages.append((network, average, decay))
        return average

    def _update_averages(self):
        for network, average, decay in self._averages:
            for mean, variable in zip(average.variables, network.variables, strict=True):
                if keras.backend.is_float_dtype(mean.dtype):
                    mean.assign(decay * mean + (1.0 - decay) * ops.cast(variable, mean.dtype))
                else:
                    mean.assign(variable)

    # -- Keras' own methods -------------------------------------------------------------------

    @property
    def metrics(self):
        return list(self._terms.values())

    def reset_metrics(self):
        super().reset_metrics()
        # Each evaluation draws the same numbers.
        self._streams[EVALUATION].counter.assign(0)

    def compile(
        self, optimizer="adam", *, run_eagerly=False, jit_compile="auto", steps_per_execution=1
    ):
        """Configure training.

        Args:
            optimizer: One optimizer (or its name), or `{player: optimizer}` for a model with
                several; kept as an `OptimizerGroup`.
            run_eagerly: Run `train_step` line by line, to debug it.
            jit_compile: `True`, `False` or `"auto"`: XLA on JAX and TensorFlow, whole-step
                capture on PyTorch (auto: where the run is long enough to repay the compile).
            steps_per_execution: Train steps a call of the train function.
        """
        group = optimizer
        if not isinstance(group, OptimizerGroup):
            layers = self._flatten_layers()
            half = any(layer.compute_dtype == "float16" for layer in layers)
            group = OptimizerGroup(optimizer, scale_loss=half)
        super().compile(
            optimizer=group,
            run_eagerly=run_eagerly,
            jit_compile=jit_compile,
            steps_per_execution=steps_per_execution,
            auto_scale_loss=False,
        )
        self._auto_jit = jit_compile == "auto" and not run_eagerly
        group.bind(self.player_variables)
        if all(layer.built for layer in self._flatten_layers()):
            group.build(self.trainable_variables)

    def get_compile_config(self):
        return {
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "run_eagerly": self.run_eagerly,
            "jit_compile": "auto" if self._auto_jit else self.jit_compile,
            "steps_per_execution": self.steps_per_execution,
        }

    def compile_from_config(self, config):
        config = dict(config)
        optimizer = keras.saving.deserialize_keras_object(config.pop("optimizer"))
        self.compile(optimizer=optimizer, **config)

    def fit(self, x=None, y=None, *, callbacks=None, validation_data=None, epochs=1, **kwargs):
        """Train, as `keras.Model.fit`: arrays, tf.data, DataLoader, PyDataset, grain, generators.

        Batches may be bare, `(x,)` or `(x, labels)`. A run whose terms stop being finite raises
        `Diverged` at the end of that epoch, before any callback writes anything.

        Args:
            x: Examples, or a source of batches.
            y: Labels `(examples,)` for a conditional model, where `x` is an array.
            callbacks: Keras callbacks.
            validation_data: As `x`, or `(x, labels)`.
            epochs: Passes over the data.
            **kwargs: The rest of `keras.Model.fit`'s arguments.

        Returns:
            Keras' `History`.

        Raises:
            Diverged: A term was not finite.
        """
        x, steps = _as_tuples(x)
        if steps is not None:
            kwargs.setdefault("steps_per_epoch", steps)
        if validation_data is not None and not isinstance(validation_data, tuple):
            validation_data, steps = _as_tuples(validation_data)
            if steps is not None:
                kwargs.setdefault("validation_steps", steps)
        self._check_labels(y)
        if self._auto_jit:
            self._settle_jit(x, epochs, kwargs)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [_StopAtFault(), *map(self._directed, keras.tree.flatten(callbacks or []))]
        return super().fit(
            x, y, callbacks=callbacks, validation_data=validation_data, epochs=epochs, **kwargs
        )

    def evaluate(self, x=None, y=None, **kwargs):
        """Mean terms over the data, weighted by examples, as `keras.Model.evaluate`.

        The random numbers are the same in each evaluation, and no training stream moves.
        """
        x, steps = _as_tuples(x)
        if steps is not None and kwargs.get("steps") is None:
            kwargs["steps"] = steps
        self._check_labels(y)
        return super().evaluate(x, y, **kwargs)

    def _directed(self, callback):
        """Tell a callback with `mode="auto"` that its term is better the lower it is.

        Keras 3.15 asks only the metrics that `compile(metrics=...)` was given.
        """
        term = self._terms.get(str(getattr(callback, "monitor", "")).removeprefix("val_"))
        if term is not None and getattr(callback, "mode", None) == "auto":
            callback.mode = {"down": "min", "up": "max"}[term._direction]
        return callback

    def _settle_jit(self, x, epochs, options):
        per_epoch = options.get("steps_per_epoch")
        if per_epoch is None and hasattr(x, "__len__"):
            per_epoch = len(x)
            if hasattr(x, "shape"):
                per_epoch = -(-per_epoch // (options.get("batch_size") or 32))
        steps = None if per_epoch is None else per_epoch * epochs
        choice = self._resolve_jit_for(steps)
        if choice is not None and choice != self.jit_compile:
            self.jit_compile = choice
            self.train_function = None

    def _check_labels(self, labels):
        """Labels out of range are an error where they can be seen: one-hot would hide them."""
        classes = getattr(self, "num_classes", None)
        if classes is None or labels is None or not hasattr(labels, "shape"):
            return labels
        numbers = ops.convert_to_numpy(labels)
        if numbers.size and (numbers.min() < 0 or numbers.max() >= classes):
            wrong = numbers[(numbers < 0) | (numbers >= classes)].flat[0]
            raise ValueError(
                f"labels: {type(self).__name__}(num_classes={classes}) takes 0 to {classes - 1}; "
                f"got {wrong}."
            )
        return labels

    def sampling_labels(self, count, labels):
        """Labels for `sample`: checked, repeated in turn up to `count`; all where `None`."""
        classes = getattr(self, "num_classes", None)
        if classes is None:
            if labels is not None:
                raise ValueError(f"labels: this {type(self).__name__} takes none (num_classes).")
            return None
        labels = np.arange(classes) if labels is None else np.atleast_1d(np.asarray(labels))
        self._check_labels(labels)
        return ops.convert_to_tensor(np.resize(labels, count).astype("int32"))

    def sampling_stream(self, seed):
        """A stream for `sample` that moves no training stream; a fresh one where seed is `None`."""
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        return Stream(int(seed), SAMPLING)

    def get_config(self):
        config = {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }
        for argument in _constructor_arguments(type(self)):
            if argument not in config:
                value = getattr(self, argument)
                config[argument] = keras.saving.serialize_keras_object(value)
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(
            **{
                # Keras empties what it deserializes: hand it a copy.
                name: keras.saving.deserialize_keras_object(_copied(value), custom_objects)
                for name, value in config.items()
            }
        )

    @property
    def _training(self):
        return self._stream is self._streams[TRAINING]

    @contextlib.contextmanager
    def _attending(self, training):
        """What surrounds a step of any model: its stream serves the draws; then the books."""
        self._stepping = True
        self._stream = self._streams[TRAINING if training else EVALUATION]
        try:
            with engine.serve_random(self._stream), engine.fast_kernels():
                yield
                if training:
                    self._update_averages()
                    self.optimizer.finish_step()
        finally:
            self._stepping = False
            self._stream = self._streams[TRAINING]
            self._batch_size = None


def _attended(step, training):
    """Wrap a family's step once, whether Keras or the user calls it."""

    @functools.wraps(step)
    def wrapped(self, data):
        if self._stepping:
            return step(self, data)
        if getattr(self, "optimizer", None) is None:
            raise ValueError(f"call compile(optimizer=...) before {step.__name__}().")
        with self._attending(training):
            return step(self, data)

    return wrapped


for _name in ("train_step", "test_step"):
    _step = _attended(GenerativeModel.__dict__[_name], _name == "train_step")
    setattr(GenerativeModel, _name, _step)


class _StopAtFault(keras.callbacks.Callback):
    """Raise `Diverged` at the end of an epoch, before later callbacks write anything."""

    async_safe = True

    def on_epoch_end(self, epoch, logs=None):
        self.model.check_finite()


def _constructor_arguments(cls):
    """Names of the constructor's arguments, the base's included."""
    names = {}
    for ancestor in cls.__mro__:
        for name, parameter in inspect.signature(ancestor.__init__).parameters.items():
            if name != "self" and parameter.kind not in (
                parameter.VAR_KEYWORD,
                parameter.VAR_POSITIONAL,
            ):
                names[name] = None
        if ancestor is GenerativeModel:
            break
    return tuple(names)


def _copied(value):
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _as_tuples(x):
    """Let every source give whole epochs, and bare batches work like tuples.

    Keras 3.15 refuses a generator of bare arrays, splits a DataLoader's bare tensor along its
    rows, and takes the end of a grain dataset for a failure.

    Returns:
        `(source, steps an epoch or None)`.
    """
    if isinstance(x, types.GeneratorType):
        return (_as_tuple(batch) for batch in x), None
    if hasattr(x, "collate_fn") and hasattr(x, "dataset"):  # a torch DataLoader
        endless = (_as_tuple(batch) for _ in itertools.count() for batch in x)
        return endless, len(x)
    if type(x).__module__.startswith("grain.") and hasattr(x, "repeat") and hasattr(x, "__len__"):
        return x.repeat(), len(x)
    return x, None


def _as_tuple(batch):
    parts = batch if isinstance(batch, list | tuple) else (batch,)
    return tuple(ops.convert_to_numpy(part) for part in parts)

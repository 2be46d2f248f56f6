"""GenerativeModel: what every family shares, with no equation in it."""

import contextlib
import functools

import keras
import numpy as np
from keras import ops

from keras_gen import engine
from keras_gen.models.averages import Averaging
from keras_gen.models.labels import Labelled
from keras_gen.models.saving import SavedByArguments, constructor_arguments
from keras_gen.models.terms import Logged, Term
from keras_gen.models.trainer import Trainer
from keras_gen.random import Stream

TRAINING, EVALUATION, SAMPLING = 0, 1, 2  # domains of one seed's random streams


class GenerativeModel(Labelled, Logged, Averaging, SavedByArguments, Trainer, keras.Model):
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
                f"it takes {', '.join(constructor_arguments(type(self)))}."
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
            step = getattr(cls, name)
            if not hasattr(step, "attended"):  # its own, or a mixin's
                setattr(cls, name, _attended(step, name == "train_step"))
        sample = getattr(cls, "sample", None)
        if sample is not None and not hasattr(sample, "quick"):  # its own, or a mixin's
            cls.sample = _quick(sample)

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

    def log_likelihood(self, x, samples=500, **options):
        """`log p(x)` of examples, nats `(examples,)`, where the family has a likelihood."""
        raise TypeError(
            f"{type(self).__name__} has no likelihood of examples. Take a family that has one, as "
            "VAE does."
        )

    def check_run(self, steps):
        """Raise `ValueError` where a run of so many train steps in all is not enough for it."""

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

    def normal(self, shape):
        """Standard normal numbers of the model's own stream, in the compute dtype."""
        return self._stream.normal(shape, self.compute_dtype)

    def uniform(self, shape):
        """Uniform numbers in (0, 1) of the model's own stream, in the compute dtype."""
        return self._stream.uniform(shape, self.compute_dtype)

    def integers(self, shape, high):
        """Uniform integers in `[0, high)` of the model's own stream."""
        return self._stream.integers(shape, high)

    def reset_metrics(self):
        super().reset_metrics()
        # Each evaluation draws the same numbers.
        self._streams[EVALUATION].counter.assign(0)

    def sampling_stream(self, seed):
        """A stream for `sample` that moves no training stream; a fresh one where seed is `None`."""
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        return Stream(int(seed), SAMPLING)

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

    wrapped.attended = True
    return wrapped


def _quick(sample):
    """Wrap a family's `sample` once, in what makes it quick on this backend."""

    @functools.wraps(sample)
    def wrapped(self, *args, **kwargs):
        with engine.sampling():
            return sample(self, *args, **kwargs)

    wrapped.quick = True
    return wrapped


for _name in ("train_step", "test_step"):
    _step = _attended(GenerativeModel.__dict__[_name], _name == "train_step")
    setattr(GenerativeModel, _name, _step)

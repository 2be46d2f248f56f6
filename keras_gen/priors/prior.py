"""What every prior does: take a model's codes, fit a density to them, decode its draws."""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import engine
from keras_gen.data.batches import Batches
from keras_gen.data.dataset import ArrayPixels, Dataset
from keras_gen.models.autoencoders.latents import Latents
from keras_gen.random import Stream

AT_ONCE = 256  # examples that are encoded or decoded together


class Prior:
    """A density over codes, fitted after the autoencoder.

    A subclass writes `fit_codes(codes)`, `draw(count, rng)` and `density(codes)` of flat codes;
    one of other codes than those of `encode`, `codes_of` and `examples_of` as well.

    Args:
        seed: Of the posterior's samples that it is fitted to, and of its own beginnings.
    """

    dtype = "float32"  # of the codes

    def __init__(self, *, seed: int = 0):
        self.seed = seed
        self.model = None
        self.code_shape = None

    def fit(self, model, x, labels=None):
        """Fit the density to one sample of each example's posterior.

        Args:
            model: A trained autoencoder: of a family, or of a class of yours that has
                `keras_gen.models.autoencoders.Latents` among its bases.
            x: `(examples, ...)` in the data's range.
            labels: int `(examples,)` of a conditional model.

        Returns:
            The prior itself.

        Raises:
            TypeError: The model has no codes.
        """
        if not isinstance(model, Latents):
            raise TypeError(
                f"{type(self).__name__} is fitted to codes; {type(model).__name__} has none. Give "
                "it an autoencoder, one of yours with keras_gen.models.autoencoders.Latents."
            )
        stream, codes = Stream(self.seed), []
        with engine.sampling():
            for part in parts_of(len(x)):
                own = None if labels is None else ops.convert_to_tensor(labels[part], "int32")
                examples = ops.convert_to_tensor(x[part], "float32")
                codes.append(ops.convert_to_numpy(self.codes_of(model, examples, stream, own)))
        codes = np.concatenate(codes).astype(self.dtype)
        self.code_shape = codes.shape[1:]
        self.fit_codes(codes.reshape(len(codes), -1))
        self.model = model
        return self

    def sample(self, count, seed=None, labels=None):
        """Decode codes that are drawn from the fitted density.

        Args:
            count: Number of examples.
            seed: Integer: the same examples each time; fresh ones where `None`.
            labels: Of a conditional model: class numbers, repeated in turn; all where `None`.

        Returns:
            NumPy float32 `(count, ...)` in the range of the data.
        """
        codes = self.sample_codes(count, seed)
        labels = self.model.sampling_labels(count, labels)
        stream = self.model.sampling_stream(seed)
        with engine.sampling():
            parts = [
                self.examples_of(codes[part], stream, None if labels is None else labels[part])
                for part in parts_of(count)
            ]
        return np.concatenate([ops.convert_to_numpy(part) for part in parts])

    def sample_codes(self, count, seed=None):
        """Codes from the fitted density, `(count, *code_shape)`."""
        self._check_fitted("sample")
        with engine.sampling():
            codes = self.draw(count, np.random.default_rng(seed))
        return np.asarray(codes, self.dtype).reshape(count, *self.code_shape)

    def log_prob(self, codes):
        """Log-density of codes `(count, *code_shape)`: float `(count,)`, nats."""
        self._check_fitted("log_prob")
        codes = np.asarray(codes, self.dtype)
        if codes.shape[1:] != self.code_shape:
            raise ValueError(f"codes must be (count, *{self.code_shape}); got {codes.shape}.")
        return self.density(codes.reshape(len(codes), -1))

    def codes_of(self, model, x, stream, labels):
        """What the density is fitted to, of a few examples: a sample of the posterior of each."""
        return model.draw_codes(x, stream, labels)

    def examples_of(self, codes, stream, labels):
        """Codes `(count, *code_shape)` decoded; a random stream for the model's own noise."""
        return self.model.emit(codes, stream, labels)

    def _check_fitted(self, name):
        if self.model is None:
            own = type(self).__name__
            raise ValueError(f"{own}.{name}: call {own}.fit(model, x) first.")


class StandardNormal(Prior):
    """The prior that a VAE is trained with: `z ~ N(0, I)`, nothing to fit but its size."""

    def fit_codes(self, codes):
        self.size = codes.shape[1]

    def draw(self, count, rng):
        return rng.normal(size=(count, self.size))

    def density(self, codes):
        return -0.5 * np.sum(np.square(codes) + math.log(2 * math.pi), axis=1)


class TrainedPrior(Prior):
    """A prior that is a small model of its own, trained on the codes.

    Args:
        epochs: Passes over the codes.
        batch_size: Codes a step.
        learning_rate: Of Adam.
        seed: Of the posterior's samples, the weights and the order of the codes.
    """

    def __init__(self, epochs, batch_size, learning_rate, seed):
        super().__init__(seed=seed)
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate

    def train(self, model, codes):
        """Fit a `GenerativeModel` to float32 codes, in an order that is new in each epoch."""
        model.compile(keras.optimizers.Adam(self.learning_rate))
        source = Dataset("codes", "train", ArrayPixels(codes, limits=None), value_range=None)
        batches = Batches(source, self.batch_size, shuffle_seed=self.seed)
        model.fit(batches, epochs=self.epochs, verbose=0)


def parts_of(count):
    """Slices of at most `AT_ONCE` that cover `count` examples."""
    return [slice(start, min(start + AT_ONCE, count)) for start in range(0, count, AT_ONCE)]

"""The two-stage VAE: a second, small VAE over the first one's codes."""

import keras
import numpy as np
from keras import ops

from keras_gen.models import VAE
from keras_gen.models.autoencoders.gaussian_codes import LOG_VARIANCE_FLOOR
from keras_gen.networks import mlp
from keras_gen.priors.prior import Prior


class TwoStageVAE(Prior):
    """A VAE whose data are codes, with a code u of their size, and a learned variance.

    `u ~ N(0, I)`, `z ~ p(z | u)`, `x = decoder(z)`

    Codes are brought to mean 0 and deviation 1 first.

    Args:
        units: Widths of the hidden layers of its encoder and decoder.
        epochs: Passes over the codes.
        batch_size: Codes a step.
        learning_rate: Of Adam.
        seed: Of the posterior's samples, the weights and the training.

    Reference:
        Dai & Wipf 2019, "Diagnosing and Enhancing VAE Models", section 4.
    """

    def __init__(
        self,
        units=(512, 512),
        epochs: int = 50,
        batch_size: int = 100,
        learning_rate: float = 1e-3,
        *,
        seed: int = 0,
    ):
        super().__init__(seed=seed)
        self.units = tuple(units)
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate

    def fit_codes(self, codes):
        self.mean, self.deviation = codes.mean(0), np.maximum(codes.std(0), 1e-6)
        shape = codes.shape[1:]
        sockets = VAE.sockets((*shape,), latent_dim=shape[0], variance="learned")
        keras.utils.set_random_seed(self.seed)
        networks = {name: mlp(*ends, units=self.units, name=name) for name, ends in sockets.items()}
        self.second = VAE(
            **networks,
            latent_dim=shape[0],
            likelihood="gaussian",
            variance="learned",
            seed=self.seed,
        )
        self.second.compile(keras.optimizers.Adam(self.learning_rate))
        standard = (codes - self.mean) / self.deviation
        self.second.fit(standard, batch_size=self.batch_size, epochs=self.epochs, verbose=0)

    def draw(self, count, rng):
        u = rng.normal(size=(count, len(self.mean))).astype("float32")
        mean, log_variance = np.split(ops.convert_to_numpy(self.second.decoded(u)), 2, axis=1)
        log_variance = LOG_VARIANCE_FLOOR + np.logaddexp(0.0, log_variance)
        z = mean + np.exp(0.5 * log_variance) * rng.normal(size=mean.shape)
        return self.mean + self.deviation * z

    def density(self, codes):
        standard = (codes - self.mean) / self.deviation
        return self.second.log_likelihood(standard, seed=self.seed) - np.log(self.deviation).sum()

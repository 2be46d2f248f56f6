"""The two-stage VAE: a second, small VAE over the first one's codes."""

import numpy as np
from keras import ops

from keras_gen.models import VAE
from keras_gen.networks import mlp
from keras_gen.priors.prior import TrainedPrior, parts_of
from keras_gen.random import seeded_weights


class TwoStageVAE(TrainedPrior):
    """A VAE whose data are codes, with a code u of their size, and a learned variance.

    `u ~ N(0, I)`, `z ~ p(z | u)`, `x = decoder(z)`

    Codes are brought to mean 0 and deviation 1 first. Its `log_prob` is a bound from below, by 500
    importance samples.

    Args:
        units: Widths of the hidden layers of its encoder and decoder.
        epochs: Passes over the codes.
        batch_size: Codes a step.
        learning_rate: Of Adam.
        seed: Of the posterior's samples, the weights and the order of the codes.

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
        super().__init__(epochs, batch_size, learning_rate, seed)
        self.units = tuple(units)

    def fit_codes(self, codes):
        self.mean, self.deviation = codes.mean(0), np.maximum(codes.std(0), 1e-6)
        shape = codes.shape[1:]
        sockets = VAE.sockets((*shape,), latent_dim=shape[0], variance="learned")
        with seeded_weights(self.seed):
            networks = {
                name: mlp(*ends, units=self.units, name=name) for name, ends in sockets.items()
            }
        self.second = VAE(
            **networks,
            latent_dim=shape[0],
            likelihood="gaussian",
            variance="learned",
            sample_noise=True,
            seed=self.seed,
        )
        self.train(self.second, (codes - self.mean) / self.deviation)

    def draw(self, count, rng):
        drawn = [
            self.second.sample(part.stop - part.start, seed=int(rng.integers(2**31)))
            for part in parts_of(count)
        ]
        standard = np.concatenate([ops.convert_to_numpy(part) for part in drawn])
        return self.mean + self.deviation * standard

    def density(self, codes):
        standard = (codes - self.mean) / self.deviation
        return self.second.log_likelihood(standard, seed=self.seed) - np.log(self.deviation).sum()

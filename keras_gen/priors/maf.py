"""The masked autoregressive flow: a density of exact likelihood over codes."""

import numpy as np
from keras import ops

from keras_gen.losses import gaussian_log_density
from keras_gen.models.base import GenerativeModel
from keras_gen.networks import made
from keras_gen.priors.prior import TrainedPrior, parts_of
from keras_gen.random import seeded_weights


class Flow(GenerativeModel):
    """A stack of masked autoregressive layers, fitted by maximum likelihood.

    `u_d = (x_d - shift_d) * exp(-log_scale_d)`, both functions of `x_1 ... x_(d - 1)`; the order
    is reversed after each layer; `log p(x) = log N(u; 0, I) - sum(log_scale)`

    Args:
        networks: One `made` a layer: `(batch, size) -> (batch, 2 * size)`.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Papamakarios et al. 2017, "Masked Autoregressive Flow for Density Estimation", section 3.
    """

    terms = ("loss",)

    def __init__(self, networks, **kwargs):
        super().__init__(**kwargs)
        self.networks = list(networks)

    def objective(self, x, noise, labels, training):
        u, log_determinant = self.forward(x, training)
        return -ops.mean(gaussian_log_density(u, 0.0, 0.0) + log_determinant), {}

    def log_density(self, x):
        """`log p(x)` of vectors `(batch, size)`: nats `(batch,)`."""
        u, log_determinant = self.forward(ops.convert_to_tensor(x))
        return gaussian_log_density(u, 0.0, 0.0) + log_determinant

    def forward(self, x, training=False):
        """`u` `(batch, size)` of vectors `x`, and `log |det du/dx|` `(batch,)`."""
        log_determinant = 0.0
        for network in self.networks:
            shift, log_scale = ops.split(network(x, training=training), 2, axis=-1)
            x = ops.flip((x - shift) * ops.exp(-log_scale), axis=-1)
            log_determinant = log_determinant - ops.sum(ops.cast(log_scale, "float32"), axis=-1)
        return x, log_determinant

    def inverse(self, u):
        """Vectors `(batch, size)` of `u`: one pass a dimension and layer."""
        for network in reversed(self.networks):
            u = ops.flip(u, axis=-1)
            x = ops.zeros_like(u)
            for d in range(u.shape[-1]):
                shift, log_scale = ops.split(network(x, training=False), 2, axis=-1)
                here = ops.arange(u.shape[-1]) == d
                x = ops.where(here, u * ops.exp(log_scale) + shift, x)
            u = x
        return u


class MAF(TrainedPrior):
    """Masked autoregressive flow over codes, which are brought to mean 0 and deviation 1 first.

    Args:
        layers: Autoregressive layers, at least 1.
        units: Widths of the hidden layers of each.
        epochs: Passes over the codes.
        batch_size: Codes a step.
        learning_rate: Of Adam.
        seed: Of the posterior's samples, the weights and the order of the codes.

    Reference:
        Papamakarios et al. 2017, "Masked Autoregressive Flow for Density Estimation".
    """

    def __init__(
        self,
        layers: int = 5,
        units=(128, 128),
        epochs: int = 50,
        batch_size: int = 100,
        learning_rate: float = 1e-3,
        *,
        seed: int = 0,
    ):
        super().__init__(epochs, batch_size, learning_rate, seed)
        if isinstance(layers, bool) or not isinstance(layers, int) or layers < 1:
            raise ValueError(f"layers must be an integer of at least 1; got {layers!r}.")
        self.layers = layers
        self.units = tuple(units)

    def fit_codes(self, codes):
        self.mean, self.deviation = codes.mean(0), np.maximum(codes.std(0), 1e-6)
        size = codes.shape[1]
        with seeded_weights(self.seed):
            networks = [
                made((size,), (2 * size,), units=self.units, name=f"layer_{i}")
                for i in range(self.layers)
            ]
        self.flow = Flow(networks, seed=self.seed)
        self.train(self.flow, (codes - self.mean) / self.deviation)

    def draw(self, count, rng):
        u = rng.normal(size=(count, len(self.mean))).astype("float32")
        drawn = [ops.convert_to_numpy(self.flow.inverse(u[part])) for part in parts_of(count)]
        return self.mean + self.deviation * np.concatenate(drawn)

    def density(self, codes):
        standard = ((codes - self.mean) / self.deviation).astype("float32")
        nats = [
            ops.convert_to_numpy(self.flow.log_density(standard[part]))
            for part in parts_of(len(standard))
        ]
        return np.concatenate(nats) - np.log(self.deviation).sum()

"""The VAE with a flow: its posterior is a normal bent by invertible steps."""

import numpy as np
from keras import ops

from keras_gen.losses import reparameterized_log_density
from keras_gen.models.autoencoders.gaussian_codes import GaussianCodes, reparameterize
from keras_gen.models.base import GenerativeModel

SPREAD_SAMPLES = 100  # of a posterior, by which `encode` tells its deviation


class FlowVAE(GaussianCodes, GenerativeModel):
    """Variational autoencoder whose posterior is a flow of a Gaussian.

    `loss = mean(-log p(x | z) + log q(z | x) - log p(z))`, `z, log |det| = flow(z0, context)`,
    `log q(z | x) = log N(z0; mean, exp(log_variance)) - log |det|`

    The network in the socket `flow` says which: `inverse_autoregressive_flow` or `planar_flow`.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, 2 * latent_dim + context)`: mean and
            log variance of z0, and what the flow is told.
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)`: logits (Bernoulli) or
            means (Gaussian); with `variance="learned"` twice the channels, log variances last.
        flow: `(batch, latent_dim + context) -> (batch, latent_dim + 1)`: z, and the log of the
            absolute determinant of dz/dz0.
        latent_dim: Size of z.
        context: Numbers that the encoder tells the flow.
        likelihood: "bernoulli" (data in [0, 1]) or "gaussian".
        variance: Of the Gaussian: a fixed positive number, or "learned" for each pixel.
        binarize: Draw binary pixels with the grey levels as probabilities, anew in each step.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Rezende & Mohamed 2015, "Variational Inference with Normalizing Flows", equation 15;
        Kingma et al. 2016, "Improved Variational Inference with Inverse Autoregressive Flow".
    """

    terms = ("loss", "reconstruction", "kl")
    networks_of_samples = ("flow", "decoder")

    def __init__(
        self,
        encoder,
        decoder,
        flow,
        *,
        latent_dim: int,
        context: int = 32,
        likelihood: str = "bernoulli",
        variance: float | str = 1.0,
        binarize: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.observe(likelihood, variance, binarize)
        if isinstance(context, bool) or not isinstance(context, int) or context < 0:
            raise ValueError(f"context must be an integer of at least 0; got {context!r}.")
        self.encoder = encoder
        self.decoder = decoder
        self.flow = flow
        self.latent_dim = latent_dim
        self.context = context

    @staticmethod
    def sockets(data_shape, latent_dim, context=32, variance=1.0, **_):
        plain = GaussianCodes.sockets(data_shape, latent_dim, variance=variance)
        return {
            **plain,
            "encoder": (data_shape, (2 * latent_dim + context,)),
            "flow": ((latent_dim + context,), (latent_dim + 1,)),
        }

    def objective(self, x, noise, labels, training):
        latent_noise, pixel_noise = noise
        x = self.observed(x, pixel_noise)
        z, log_posterior = self.posterior_samples(x, latent_noise[:, None], labels, training)
        z = z[:, 0]
        output = self.decoded(z, labels, training)
        reconstruction = ops.mean(self.negative_log_likelihood(x, output))
        kl = ops.mean(log_posterior[:, 0] - self.log_prior(z, training))
        return reconstruction + kl, {"reconstruction": reconstruction, "kl": kl}

    def posterior(self, x, labels=None, training=False):
        """Mean and log variance of z0, each `(batch, latent_dim)`."""
        return self._described(x, training)[:2]

    def posterior_samples(self, x, noise, labels=None, training=False):
        """Samples z of q(z | x) `(batch, samples, latent_dim)`, and `log q(z | x)` of them."""
        mean, log_variance, context = (
            ops.repeat(part, noise.shape[1], axis=0) for part in self._described(x, training)
        )
        flat = ops.reshape(noise, (-1, self.latent_dim))
        z0 = reparameterize(mean, log_variance, flat)
        z, log_determinant = self._moved(z0, context, training)
        log_posterior = reparameterized_log_density(flat, log_variance) - log_determinant
        shape = (-1, noise.shape[1])
        return ops.reshape(z, (*shape, self.latent_dim)), ops.reshape(log_posterior, shape)

    def _described(self, x, training):
        ends = [self.latent_dim, 2 * self.latent_dim]
        return ops.split(self.encoder(x, training=training), ends, axis=-1)

    def _moved(self, z0, context, training):
        moved = self.flow(ops.concatenate([z0, context], axis=-1), training=training)
        z, log_determinant = ops.split(moved, [self.latent_dim], axis=-1)
        return z, ops.cast(log_determinant[:, 0], "float32")

    def encode(self, x, labels=None):
        """Where the flow takes the mean of z0, and the deviation of 100 samples of z.

        Returns:
            Two tensors `(batch, latent_dim)`.
        """
        x = ops.convert_to_tensor(x)
        noise = np.random.default_rng(0).normal(size=(1, SPREAD_SAMPLES, self.latent_dim))
        noise = ops.convert_to_tensor(noise, self.compute_dtype)
        noise = ops.broadcast_to(noise, (ops.shape(x)[0], *noise.shape[1:]))
        samples, _ = self.posterior_samples(x, noise)
        return self.mean_code(x), ops.std(samples, axis=1)

    def mean_code(self, x, labels=None):
        """Where the flow takes the mean of z0, `(batch, latent_dim)`."""
        mean, _, context = self._described(ops.convert_to_tensor(x), False)
        return self._moved(mean, context, False)[0]

    def draw_codes(self, x, stream, labels=None):
        """One sample z of q(z | x) for each example, `(batch, latent_dim)`."""
        noise = self.latent_noise(stream, ops.shape(x)[0], 1)
        return self.posterior_samples(ops.convert_to_tensor(x), noise)[0][:, 0]

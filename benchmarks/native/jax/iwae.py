"""The importance weighted autoencoder with a Bernoulli likelihood."""

import math

import jax
import jax.numpy as jnp
import optax

from .vae import VAE


class IWAE(VAE):
    """Pure functions of one case.

    Args:
        case: A `benchmarks.cases.Case`.
    """

    def __init__(self, case):
        super().__init__(case)
        self.samples = case.model["samples"]

    def noise_shape(self, batch):
        return batch, self.samples, self.latent_dim

    def _objective(self, parameters, statistics, x, noise):
        moments, encoder = self._run("encoder", parameters, statistics, x, True)
        mean, log_variance = jnp.split(moments[:, None], 2, axis=-1)
        z = mean + jnp.exp(0.5 * log_variance) * noise
        codes = z.reshape(-1, self.latent_dim)
        logits, decoder = self._run("decoder", parameters, statistics, codes, True)
        logits = logits.reshape(len(x), self.samples, -1)
        nats = optax.sigmoid_binary_cross_entropy(logits, x.reshape(len(x), 1, -1)).sum(-1)
        # log p(z) - log q(z | x); what both are divided by cancels.
        log_ratio = 0.5 * (jnp.square(noise) + log_variance - jnp.square(z)).sum(-1)
        log_weights = log_ratio - nats
        bound = jax.nn.logsumexp(log_weights, axis=1).mean() - math.log(self.samples)
        terms = {"loss": -bound, "negative_elbo": -log_weights.mean()}
        return -bound, (terms, {"encoder": encoder, "decoder": decoder})

"""The importance weighted autoencoder with a Bernoulli decoder."""

import math

import torch
from torch.nn import functional as F

from .vae import Vae


class Iwae(Vae):
    """The twin of keras-gen's `IWAE`; arguments as every contestant's."""

    terms_of = ("loss", "negative_elbo")

    def posterior_noise(self, count):
        samples = self.case.model["samples"]
        return torch.randn(count, samples, self.case.latent_dim, device=self.device)

    def losses_of(self, x, noise):
        """The negative bound and the negative evidence lower bound, in nats an example.

        Args:
            x: Batch of examples.
            noise: Standard normal `(batch, samples, latent_dim)`.
        """
        batch, samples, _ = noise.shape
        mean, log_variance = self.encoder(x)[:, None].chunk(2, dim=2)
        z = mean + torch.exp(0.5 * log_variance) * noise
        logits = self.decoder(z.flatten(0, 1)).reshape(batch, samples, -1)
        x = x.reshape(batch, 1, -1).expand_as(logits)
        nats = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(2)
        # log p(z) - log q(z | x); what both are divided by cancels.
        log_ratio = 0.5 * (noise.square() + log_variance - z.square()).sum(2)
        log_weights = log_ratio - nats
        bound = torch.logsumexp(log_weights, 1).mean() - math.log(samples)
        return -bound, -log_weights.mean()

"""The variational autoencoder with a Bernoulli decoder."""

import torch
from torch.nn import functional as F

from .training import Trainer


class Vae(Trainer):
    """The twin of keras-gen's `VAE`; arguments as every contestant's."""

    terms_of = ("loss", "reconstruction", "kl")

    def __init__(self, case, mode, weights, steps_per_call=1):
        super().__init__(case, mode, weights, steps_per_call)
        self.encoder, self.decoder = self.networks["encoder"], self.networks["decoder"]
        self.optimizer = self.adam("model", self.networks)
        self.step = self.whole(self.step)

    def losses_of(self, x, noise):
        """The negative evidence lower bound and its two terms, in nats an example.

        Args:
            x: Batch of examples.
            noise: Standard normal `(batch, latent_dim)`.
        """
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        logits = self.decoder(mean + torch.exp(0.5 * log_variance) * noise)
        nats = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        kl = 0.5 * (torch.expm1(log_variance) - log_variance + mean.square()).sum() / len(x)
        return nats + kl, nats, kl

    def step(self, x):
        losses = self.losses_of(x, self.posterior_noise(len(x)))
        self.optimizer.minimize(losses[0])
        return {name: loss.detach() for name, loss in zip(self.terms_of, losses, strict=True)}

    def posterior_noise(self, count):
        """What the posteriors of a batch take."""
        return self.noise(count)

    def generate(self, count):
        return torch.sigmoid(self.decoder(self.noise(count)))

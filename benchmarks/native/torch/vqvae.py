"""The VQ-VAE whose codebook follows by moving averages."""

import torch

from .. import plan
from .training import Trainer


class VqVae(Trainer):
    """The twin of keras-gen's `VQVAE`; arguments as every contestant's."""

    terms_of = ("loss", "reconstruction", "commitment", "perplexity", "usage")

    def __init__(self, case, mode, weights, steps_per_call=1):
        self.book = plan.Codebook(case)
        self.grid = plan.networks(case)["decoder"].input_shape[:2]
        super().__init__(case, mode, weights, steps_per_call)
        self.encoder, self.decoder = self.networks["encoder"], self.networks["decoder"]
        self.codes, self.counts, self.sums, self.idle = (
            torch.tensor(getattr(self.book, name), device=self.device) for name in self.book.names
        )
        self.optimizer = self.adam("model", self.networks)
        self.step = self.whole(self.step)

    def step(self, x):
        losses, z, codes = self.quantized(x)
        self.optimizer.minimize(losses[0])
        self.follow(z, codes)
        return {name: loss.detach() for name, loss in zip(self.terms_of, losses, strict=True)}

    def quantized(self, x):
        """The terms, the encoder's vectors `(places, dim)`, and the indices of their codes."""
        z = self.encoder(x).permute(0, 2, 3, 1)
        flat = z.detach().reshape(-1, self.book.dim)
        # |z|^2 is the same for all codes.
        halves = 0.5 * self.codes.square().sum(1)
        codes = torch.argmin(torch.addmm(halves, flat, self.codes.T, alpha=-1), 1)
        q = self.codes[codes].reshape(z.shape)
        rebuilt = self.decoder((z + (q - z).detach()).permute(0, 3, 1, 2))
        reconstruction = (rebuilt - x).square().sum() / len(x)
        commitment = (z - q).square().sum(3).mean()
        shares = self.chosen(codes) / len(codes)
        perplexity = torch.exp(-(shares * torch.log(shares.clamp(min=1e-30))).sum())
        usage = (shares > 0).float().mean()
        loss = reconstruction + self.book.beta * commitment
        return (loss, reconstruction, commitment, perplexity, usage), flat, codes

    def chosen(self, codes):
        """How often each code is in `codes`."""
        ones = torch.ones_like(codes, dtype=torch.float32)
        return torch.zeros_like(self.counts).index_add(0, codes, ones)

    def follow(self, z, codes):
        """The moving averages after a step; a code long unused moves to a vector of the batch."""
        book = self.book
        with torch.no_grad():
            chosen = self.chosen(codes)
            counts = book.decay * self.counts + (1 - book.decay) * chosen
            sums = torch.zeros_like(self.sums).index_add(0, codes, z)
            sums = book.decay * self.sums + (1 - book.decay) * sums
            total = counts.sum()
            smoothed = (counts + book.epsilon) / (total + book.size * book.epsilon) * total
            idle = torch.where(chosen > 0, 0, self.idle + 1)
            dead = idle >= book.revive_after
            new = z[torch.randint(len(z), (book.size,), device=self.device)]
            self.codes.copy_(torch.where(dead[:, None], new, sums / smoothed[:, None]))
            self.sums.copy_(torch.where(dead[:, None], new, sums))
            self.counts.copy_(torch.where(dead, 1.0, counts))
            self.idle.copy_(torch.where(dead, 0, idle))

    def generate(self, count):
        places = count * self.grid[0] * self.grid[1]
        codes = torch.multinomial(self.counts, places, replacement=True)
        q = self.codes[codes].reshape(count, *self.grid, self.book.dim)
        return self.decoder(q.permute(0, 3, 1, 2))

    def as_keras(self):
        weights, moments = super().as_keras()
        book = [getattr(self, name).cpu().numpy().copy() for name in self.book.names]
        return weights | {"codebook": book}, moments

"""The generative adversarial network: non-saturating, or Wasserstein with a gradient penalty."""

import torch
from torch.nn import functional as F

from .. import plan
from .training import Trainer


class Gan(Trainer):
    """The twin of keras-gen's `GAN`; arguments as every contestant's."""

    def __init__(self, case, mode, weights, steps_per_call=1):
        super().__init__(case, mode, weights, steps_per_call)
        self.generator = self.networks["generator"]
        self.discriminator = self.networks["discriminator"]
        self.generator_adam = self.adam("generator", self.generator)
        self.discriminator_adam = self.adam("discriminator", self.discriminator)
        # Of data and samples together, where there are no batch statistics to keep apart: 0.9 of
        # the time of `gan_ring`, where a call costs more than its arithmetic.
        self.one_pass = plan.networks(case)["discriminator"].dense_only
        options = plan.gan_options(case)
        self.wasserstein = options["adversarial_loss"] == "wasserstein"
        self.penalized = options["penalty"] is not None
        self.penalty_weight = options["penalty_weight"]
        self.discriminator_steps = options["discriminator_steps"]
        if self.discriminator_steps == 1:
            self.step = self.whole(self.step)  # 0.72 of the time of two graphs on `gan_ring`
        else:  # one graph with five copies of WGAN-GP's step takes 1.06 of the time of these
            self.discriminator_step = self.whole(self.discriminator_step)
            self.generator_step = self.whole(self.generator_step)

    def draw(self, count):
        """The random numbers of one discriminator step: noise, and where the penalty looks."""
        draws = [self.noise(count)]
        if self.penalized:
            draws.append(torch.rand(count, 1, 1, 1, device=self.device))
        return draws

    def discriminator_loss(self, real, noise, mix=None):
        with torch.no_grad():
            fake = self.generator(noise)
        if self.one_pass:
            on_real, on_fake = self.discriminator(torch.cat([real, fake])).chunk(2)
        else:
            on_real, on_fake = self.discriminator(real), self.discriminator(fake)
        if self.wasserstein:
            loss = on_fake.mean() - on_real.mean()
        else:
            loss = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        if self.penalized:
            loss = loss + self.penalty_weight * self.penalty(torch.lerp(fake, real, mix))
        return loss

    def penalty(self, x):
        """Two-sided gradient penalty at `x`."""
        x.requires_grad_()
        # `forward` is never a compiled module's: what `torch.compile` differentiates by itself
        # cannot be differentiated again.
        total = self.discriminator.forward(x).sum()
        (slope,) = torch.autograd.grad(total, x, create_graph=True)
        norm = (slope.square().sum((1, 2, 3)) + 1e-12).sqrt()
        return (norm - 1).square().mean()

    def generator_loss(self, noise):
        logits = self.discriminator(self.generator(noise))
        return -logits.mean() if self.wasserstein else F.softplus(-logits).mean()

    def discriminator_step(self, real):
        loss = self.discriminator_loss(real, *self.draw(len(real)))
        self.discriminator_adam.minimize(loss)
        return loss.detach()

    def generator_step(self, count):
        loss = self.generator_loss(self.noise(count))
        self.generator_adam.minimize(loss)
        return loss.detach()

    def step(self, real):
        for _ in range(self.discriminator_steps):
            discriminator_loss = self.discriminator_step(real)
        generator_loss = self.generator_step(len(real))
        return {"discriminator_loss": discriminator_loss, "generator_loss": generator_loss}

    def generate(self, count):
        return self.generator(self.noise(count))

    def gradients(self, batch, draws):
        *draws, last = (torch.from_numpy(draw).to(self.device) for draw in draws)
        of_a_step = draws[-2:] if self.penalized else draws[-1:]
        return {
            "discriminator": self.gradients_of(
                self.discriminator_loss, [self.to_device(batch), *of_a_step], self.discriminator
            ),
            "generator": self.gradients_of(self.generator_loss, [last], self.generator),
        }

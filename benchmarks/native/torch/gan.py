"""The generative adversarial network, its losses and its penalties."""

import torch
from torch.nn import functional as F

from .. import plan
from .training import Trainer


def cross_entropy(real, fake):
    """`-(log D(real) + log(1 - D(fake)))`, logits `(batch, 1)`, averaged."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def hinge(real, fake):
    """`max(0, 1 - real) + max(0, 1 + fake)`, averaged."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def wasserstein(real, fake):
    """`fake - real`, averaged."""
    return fake.mean() - real.mean()


def relativistic(real, fake):
    """`-log(sigmoid(real - fake))` of pairs, averaged."""
    return F.softplus(fake - real).mean()


# The discriminator's of data and samples; the generator's of samples, and of data if relativistic.
LOSSES = {
    "non_saturating": (cross_entropy, lambda fake: F.softplus(-fake).mean()),
    "hinge": (hinge, lambda fake: -fake.mean()),
    "wasserstein": (wasserstein, lambda fake: -fake.mean()),
    "relativistic": (relativistic, relativistic),
}


class Gan(Trainer):
    """The twin of keras-gen's `GAN`; arguments as every contestant's."""

    def __init__(self, case, mode, weights, steps_per_call=1):
        super().__init__(case, mode, weights, steps_per_call)
        self.generator = self.networks["generator"]
        self.discriminator = self.networks["discriminator"]
        self.generator_adam = self.adam("generator", self.generator)
        self.discriminator_adam = self.adam("discriminator", self.discriminator)
        options = plan.gan_options(case)
        self.losses_of_players = LOSSES[options["adversarial_loss"]]
        self.relativistic = options["adversarial_loss"] == "relativistic"
        self.penalties, self.penalty_weight = options["penalty"], options["penalty_weight"]
        # Of data and samples together, where there are no batch statistics to keep apart: 0.9 of
        # the time of `gan_ring`, where a call costs more than its arithmetic.
        self.one_pass = plan.networks(case)["discriminator"].dense_only and not self.penalties
        self.discriminator_steps = options["discriminator_steps"]
        if self.discriminator_steps == 1:
            self.step = self.whole(self.step)  # 0.72 of the time of two graphs on `gan_ring`
        else:  # one graph with five copies of WGAN-GP's step takes 1.06 of the time of these
            self.discriminator_step = self.whole(self.discriminator_step)
            self.generator_step = self.whole(self.generator_step)

    def draw(self, count):
        """The random numbers of one discriminator step: noise, and where the penalty looks."""
        draws = [self.noise(count)]
        if "wgan_gp" in self.penalties:
            draws.append(torch.rand(count, 1, 1, 1, device=self.device))
        return draws

    def discriminator_loss(self, real, noise, mix=None):
        with torch.no_grad():
            fake = self.generator(noise)
        costs = []
        if self.one_pass:
            on_real, on_fake = self.discriminator(torch.cat([real, fake])).chunk(2)
        else:
            on_real = self.judge(real, "r1", costs)
            on_fake = self.judge(fake, "r2", costs)
        loss = self.losses_of_players[0](on_real, on_fake)
        if mix is not None:
            _, squares = self.judge_and_slope(torch.lerp(fake, real, mix))
            costs.append(((squares + 1e-12).sqrt() - 1).square().mean())
        return loss + self.penalty_weight * sum(costs) if costs else loss

    def judge(self, x, penalty, costs):
        """Logits of `x`; where the case has `penalty`, what their slope costs joins `costs`."""
        if penalty not in self.penalties:
            return self.discriminator(x)
        logits, squares = self.judge_and_slope(x)
        costs.append(squares.mean())
        return logits

    def judge_and_slope(self, x):
        """Logits of `x`, and the squared norm of their slope there `(batch,)`."""
        x = x.detach().requires_grad_()
        # `forward` is never a compiled module's: what `torch.compile` differentiates by itself
        # cannot be differentiated again.
        logits = self.discriminator.forward(x)
        (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        return logits, slope.square().sum((1, 2, 3))

    def generator_loss(self, real, noise):
        on_fake = self.discriminator(self.generator(noise))
        if not self.relativistic:
            return self.losses_of_players[1](on_fake)
        with torch.no_grad():
            on_real = self.discriminator(real)
        return self.losses_of_players[1](on_fake, on_real)

    def discriminator_step(self, real):
        loss = self.discriminator_loss(real, *self.draw(len(real)))
        self.discriminator_adam.minimize(loss)
        return loss.detach()

    def generator_step(self, real):
        loss = self.generator_loss(real, self.noise(len(real)))
        self.generator_adam.minimize(loss)
        return loss.detach()

    def step(self, real):
        for _ in range(self.discriminator_steps):
            discriminator_loss = self.discriminator_step(real)
        generator_loss = self.generator_step(real)
        return {"discriminator_loss": discriminator_loss, "generator_loss": generator_loss}

    def generate(self, count):
        return self.generator(self.noise(count))

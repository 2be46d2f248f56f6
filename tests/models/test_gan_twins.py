"""WGAN-GP and R3GAN beside code written by hand in PyTorch: the same weights after some steps."""

import keras
import numpy as np
import pytest
from keras import ops
from toys import numpy

from keras_gen import networks
from keras_gen.models import GAN

torch = pytest.importorskip("torch")
functional = torch.nn.functional

RNG = np.random.default_rng(6)
STEPS, BATCH, LATENT = 3, 6, 5
# Not Adam, which turns the rounding of a small gradient into a whole step.
SGD = {"learning_rate": 0.02, "momentum": 0.5}
PLAYERS = ("generator", "discriminator")


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def of(variable):
    """A variable by its layer and its name."""
    return "/".join(variable.path.split("/")[-2:])


class Twin:
    """The training loop of algorithm 1 with torch's autograd and optimizer, on Keras' weights."""

    def __init__(self, model, rounds):
        self.rounds = rounds
        self.weights = {
            player: {
                of(v): torch.tensor(numpy(v), requires_grad=True)
                for v in getattr(model, player).trainable_variables
            }
            for player in PLAYERS
        }
        self.optimizers = {
            player: torch.optim.SGD(weights.values(), 0.02, 0.5)
            for player, weights in self.weights.items()
        }

    def minimize(self, player, loss):
        self.optimizers[player].zero_grad()
        gradients = torch.autograd.grad(loss, list(self.weights[player].values()))
        for weight, gradient in zip(self.weights[player].values(), gradients, strict=True):
            weight.grad = gradient
        self.optimizers[player].step()

    def train_step(self, real, noises, mixes):
        real = torch.tensor(real).movedim(-1, 1)  # channels first, as PyTorch has them
        for noise, mix in zip(noises[:-1], mixes, strict=True):
            fake = self.generate(torch.tensor(noise)).detach()
            self.minimize("discriminator", self.discriminator_loss(real, fake, torch.tensor(mix)))
        fake = self.generate(torch.tensor(noises[-1]))
        self.minimize("generator", self.generator_loss(real, fake))

    def squared_slope(self, x):
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.judge(x).sum(), x, create_graph=True)
        return slope.flatten(1).square().sum(1)


class WGANGP(Twin):
    """Gulrajani et al. 2017, algorithm 1, on vectors."""

    def dense(self, player, x):
        w = self.weights[player]
        x = torch.tanh(x @ w["hidden_1/kernel"] + w["hidden_1/bias"])
        return x @ w["output/kernel"] + (w["output/bias"] if player == "generator" else 0.0)

    def generate(self, z):
        return self.dense("generator", z)

    def judge(self, x):
        return self.dense("discriminator", x)

    def discriminator_loss(self, real, fake, mix):
        norm = self.squared_slope(mix * real + (1 - mix) * fake).sqrt()
        penalty = (norm - 1).square().mean()
        return self.judge(fake).mean() - self.judge(real).mean() + 10.0 * penalty

    def generator_loss(self, real, fake):
        return -self.judge(fake).mean()


class R3GAN(Twin):
    """Huang et al. 2024: relativistic pairing, R1 and R2, blocks without normalization."""

    def conv(self, player, x, name):
        w = self.weights[player]
        kernel, bias = w[f"{name}/kernel"].permute(3, 2, 0, 1), w.get(f"{name}/bias")
        return functional.conv2d(x, kernel, bias, padding=kernel.shape[-1] // 2)

    def block(self, player, x, name):
        y = functional.leaky_relu(self.conv(player, x, f"{name}_in"), 0.2)
        y = functional.leaky_relu(self.conv(player, y, f"{name}_conv"), 0.2)
        return x + self.conv(player, y, f"{name}_out")

    def generate(self, z):
        w, player = self.weights["generator"], "generator"
        x = (z @ w["weigh/kernel"])[:, :, None, None] * w["grid/grid"].permute(2, 0, 1)
        x = self.block(player, x, "grid_1_block_1")
        x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = self.conv(player, x, "up_2_channels")
        x = self.block(player, x, "grid_2_block_1")
        return torch.tanh(self.conv(player, x, "output"))

    def judge(self, x):
        w, player = self.weights["discriminator"], "discriminator"
        x = self.block(player, self.conv(player, x, "image"), "grid_1_block_1")
        x = self.conv(player, functional.avg_pool2d(x, 2), "down_2_channels")
        x = self.block(player, x, "grid_2_block_1")
        x = (x * w["grid/kernel"].permute(2, 0, 1)).sum((2, 3))
        return x @ w["output/kernel"]

    def discriminator_loss(self, real, fake, mix):
        pairs = functional.softplus(self.judge(fake) - self.judge(real)).mean()
        penalty = self.squared_slope(real).mean() + self.squared_slope(fake).mean()
        return pairs + 0.7 * penalty

    def generator_loss(self, real, fake):
        return functional.softplus(self.judge(real) - self.judge(fake)).mean()


def wgan_gp():
    options = {"units": (7,), "activation": "tanh"}
    generator = networks.mlp((LATENT,), (4,), **options)
    critic = networks.mlp((4,), (1,), **options, output_bias=False)
    model = GAN(
        generator,
        critic,
        latent_dim=LATENT,
        adversarial_loss="wasserstein",
        penalty="wgan_gp",
        discriminator_steps=2,
    )
    return model, WGANGP, (4,)


def r3gan():
    generator = networks.r3gan_generator(
        (LATENT,), (8, 8, 2), filters=(6, 4), output_activation="tanh"
    )
    discriminator = networks.r3gan_discriminator((8, 8, 2), (1,), filters=(4, 6))
    for network in (generator, discriminator):  # away from the identity, where half has no slope
        for variable in network.trainable_variables:
            variable.assign(numpy(variable) + 0.1 * normal(*variable.shape))
    model = GAN(
        generator,
        discriminator,
        latent_dim=LATENT,
        adversarial_loss="relativistic",
        penalty=["r1", "r2"],
        penalty_weight=0.7,
    )
    return model, R3GAN, (8, 8, 2)


@pytest.mark.parametrize("build", [wgan_gp, r3gan], ids=["wgan_gp", "r3gan"])
def test_some_steps_give_the_weights_of_the_twin(build):
    model, twin, shape = build()
    rounds = model.discriminator_steps
    twin = twin(model, rounds)
    model.compile({player: keras.optimizers.SGD(**SGD) for player in PLAYERS})
    before = {player: [numpy(v) for v in getattr(model, player).variables] for player in PLAYERS}
    for _ in range(STEPS):
        real = normal(BATCH, *shape)
        noises = [normal(BATCH, LATENT) for _ in range(rounds + 1)]
        mixes = RNG.uniform(size=(rounds, BATCH, 1)).astype("float32")
        given, places = iter(noises), iter(mixes)
        model.draw_noise = lambda x, given=given: ops.convert_to_tensor(next(given))
        model.draw_places = lambda x, places=places: [
            ops.convert_to_tensor(next(places)) if p.noise else None for p in model._penalties
        ]
        model.train_step(real)
        twin.train_step(real, noises, mixes)
    for player in PLAYERS:
        moved = 0.0
        for variable, old in zip(getattr(model, player).variables, before[player], strict=True):
            weight = twin.weights[player][of(variable)].detach().numpy()
            np.testing.assert_allclose(numpy(variable), weight, atol=1e-4, err_msg=variable.path)
            moved = max(moved, np.abs(weight - old).max())
        assert moved > 0.003, player

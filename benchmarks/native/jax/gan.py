"""The generative adversarial network and WGAN-GP, one pure train step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from .. import plan
from . import networks


class Player(NamedTuple):
    """What training changes in one network."""

    parameters: Any
    statistics: Any
    moments: Any


def cross_entropy(real, fake):
    """`-(log D(real) + log(1 - D(fake)))`, logits `(batch, 1)`, averaged."""
    return jax.nn.softplus(-real).mean() + jax.nn.softplus(fake).mean()


def wasserstein(real, fake):
    """`fake - real`, averaged."""
    return fake.mean() - real.mean()


LOSSES = {
    "non_saturating": (cross_entropy, lambda fake: jax.nn.softplus(-fake).mean()),
    "wasserstein": (wasserstein, lambda fake: -fake.mean()),
}


class GAN:
    """Pure functions of one case.

    Args:
        case: A `benchmarks.cases.Case`.
    """

    def __init__(self, case):
        self.latent_dim = case.latent_dim
        self.networks = plan.networks(case)
        options = plan.gan_options(case)
        self.discriminator_loss, self.generator_loss = LOSSES[options["adversarial_loss"]]
        self.penalty_weight = options["penalty_weight"] if options["penalty"] else None
        self.discriminator_steps = options["discriminator_steps"]
        self.optimizers = {
            player: networks.adam(case, player, [network])
            for player, network in self.networks.items()
        }

    def initial(self, weights):
        """The state of training: a `Player` a network, and the key."""
        state = {"key": jax.random.key(0)}
        for name, network in self.networks.items():
            parameters, statistics = networks.load(network, weights and weights[name])
            state[name] = Player(parameters, statistics, self.optimizers[name].init(parameters))
        return state

    def step(self, state, real):
        """One train step on `(batch, ...)`: `-> (state, {term: number})`."""
        key, *draws = jax.random.split(state["key"], 3)
        discriminator, generator = state["discriminator"], state["generator"]
        noises, mixes = self._draw(draws, real)
        # Unrolled: in a `lax.scan`, XLA on CPU runs convolutions by a slow path, 6.7 times
        # slower in wgan_gp_28.
        for noise, mix in zip(noises[:-1], mixes, strict=True):
            (d_loss, (statistics, generator_statistics)), gradients = jax.value_and_grad(
                self._discriminator_objective, has_aux=True
            )(discriminator.parameters, discriminator, generator, real, noise, mix)
            discriminator = self._update("discriminator", discriminator, gradients, statistics)
            generator = generator._replace(statistics=generator_statistics)
        (g_loss, (statistics, discriminator_statistics)), gradients = jax.value_and_grad(
            self._generator_objective, has_aux=True
        )(generator.parameters, generator, discriminator, noises[-1])
        generator = self._update("generator", generator, gradients, statistics)
        discriminator = discriminator._replace(statistics=discriminator_statistics)
        state = {"key": key, "discriminator": discriminator, "generator": generator}
        return state, {"discriminator_loss": d_loss, "generator_loss": g_loss}

    def sample(self, state, key, count):
        """`count` examples, batch normalization with its running statistics."""
        noise = jax.random.normal(key, (count, self.latent_dim))
        generator = state["generator"]
        return self._run("generator", generator.parameters, generator.statistics, noise, False)[0]

    def gradients(self, state, real, draws):
        """`{player: (loss, gradients in Keras' layout)}`, nothing updated."""
        discriminator, generator = state["discriminator"], state["generator"]
        *_, noise, mix = draws[:-1] if self.penalty_weight is not None else (*draws[:-1], None)
        objectives = {
            "discriminator": (
                self._discriminator_objective,
                (discriminator.parameters, discriminator, generator, real, noise, mix),
            ),
            "generator": (
                self._generator_objective,
                (generator.parameters, generator, discriminator, draws[-1]),
            ),
        }
        results = {}
        for player, (objective, arguments) in objectives.items():
            (loss, _), own = jax.jit(jax.value_and_grad(objective, has_aux=True))(*arguments)
            results[player] = float(loss), networks.in_keras_layout(self.networks[player], own)
        return results

    def _draw(self, keys, real):
        """The noise of every objective and the mix of every penalty, each kind in one draw."""
        batch, steps = len(real), self.discriminator_steps
        noises = jax.random.normal(keys[0], (steps + 1, batch, self.latent_dim))
        if self.penalty_weight is None:
            return noises, [None] * steps
        shape = (steps, batch, *[1] * (real.ndim - 1))
        return noises, jax.random.uniform(keys[1], shape)

    def _update(self, name, player, gradients, statistics):
        updates, moments = self.optimizers[name].update(gradients, player.moments)
        return Player(optax.apply_updates(player.parameters, updates), statistics, moments)

    def _discriminator_objective(self, parameters, discriminator, generator, real, noise, mix):
        fake, generator_statistics = self._run(
            "generator", generator.parameters, generator.statistics, noise, True
        )
        fake = lax.stop_gradient(fake)
        real_logits, fake_logits, statistics = self._judge_both(
            parameters, discriminator.statistics, real, fake
        )
        loss = self.discriminator_loss(real_logits, fake_logits)
        if self.penalty_weight is not None:

            def total(x):
                return self._judge(parameters, statistics, x)[0].sum()

            slope = jax.grad(total)(mix * real + (1 - mix) * fake)
            # The square root's own slope is infinite at 0.
            norm = jnp.sqrt(jnp.square(slope).reshape(len(slope), -1).sum(1) + 1e-12)
            loss += self.penalty_weight * jnp.square(norm - 1).mean()
        return loss, (statistics, generator_statistics)

    def _generator_objective(self, parameters, generator, discriminator, noise):
        fake, statistics = self._run("generator", parameters, generator.statistics, noise, True)
        logits, discriminator_statistics = self._judge(
            discriminator.parameters, discriminator.statistics, fake
        )
        return self.generator_loss(logits), (statistics, discriminator_statistics)

    def _judge_both(self, parameters, statistics, real, fake):
        # One pass over both: 0.96 of the time of gan_ring's step, 1.03 of wgan_gp_28's.
        if self.networks["discriminator"].dense_only:
            logits, statistics = self._judge(parameters, statistics, jnp.concatenate([real, fake]))
            return *jnp.split(logits, 2), statistics
        real_logits, statistics = self._judge(parameters, statistics, real)
        fake_logits, statistics = self._judge(parameters, statistics, fake)
        return real_logits, fake_logits, statistics

    def _judge(self, parameters, statistics, x):
        return self._run("discriminator", parameters, statistics, x, True)

    def _run(self, name, parameters, statistics, x, training):
        return networks.apply(self.networks[name], parameters, statistics, x, training)

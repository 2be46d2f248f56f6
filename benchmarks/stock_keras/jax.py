"""Stock Keras on JAX: the stateless train step of its guide, "Customizing fit() with JAX"."""

import jax
import keras

from ..keras_gen_model import OnJAX
from . import gan, parts

MODES = ("jit",)


class VAE(parts.VAE):
    """As the guide: one optimizer, `stateless_call`, `stateless_apply`, trackers by hand."""

    def compute_loss_and_updates(self, trainable, non_trainable, x):
        outputs, non_trainable = self.stateless_call(trainable, non_trainable, x, training=True)
        terms = self.losses_of(x, outputs)
        return terms[0], (terms, non_trainable)

    def train_step(self, state, data):
        trainable, non_trainable, optimizer_variables, metrics_variables = state
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        differentiate = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
        (_, (terms, non_trainable)), gradients = differentiate(trainable, non_trainable, x)
        trainable, optimizer_variables = self.optimizer.stateless_apply(
            optimizer_variables, gradients, trainable
        )
        logs, metrics_variables = track(self.metrics, metrics_variables, terms)
        return logs, (trainable, non_trainable, optimizer_variables, metrics_variables)


class IWAE(parts.IWAE, VAE):
    """The train step is the same."""


class VQVAE(parts.VQVAE, VAE):
    """The train step is the same."""


class BothOptimizers:
    """Stands for `model.optimizer`: Keras' JAX trainer carries the variables of that one only.

    This is a trick: Keras has no guide for two optimizers on JAX, and a second optimizer's
    variables would otherwise be constants of the compiled step.
    """

    built = True

    def __init__(self, *optimizers):
        self.variables = [v for optimizer in optimizers for v in optimizer.variables]


class GAN(gan.GAN):
    """In the manner of the guide, by hand: state in, state out, each network's part by itself."""

    def compile(self, **compiling):
        super().compile(optimizer=None, **compiling)
        self.optimizer = BothOptimizers(self.d_optimizer, self.g_optimizer)

    def train_step(self, state, data):
        real, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        values = {
            id(variable): value
            for variables, group in zip(self.state_variables(), state, strict=True)
            for variable, value in zip(variables, group, strict=True)
        }
        for _ in range(self.discriminator_steps):
            noise, mix = self.draw_from(values, real, self.mixing)
            d_loss = self.minimize(
                values, self.discriminator, self.d_optimizer, self.d_objective, real, noise, mix
            )
        noise, _ = self.draw_from(values, real, False)
        g_loss = self.minimize(
            values, self.generator, self.g_optimizer, self.g_objective, real, noise
        )
        *state, metrics_variables = (
            [values[id(variable)] for variable in variables] for variables in self.state_variables()
        )
        logs, metrics_variables = track(self.metrics, metrics_variables, (d_loss, g_loss))
        return logs, (*state, metrics_variables)

    def state_variables(self):
        return (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )

    def draw_from(self, values, real, mixing):
        seed = self.seed_generator.state
        with keras.StatelessScope(state_mapping=[(seed, values[id(seed)])]) as scope:
            drawn = self.draw(real, mixing)
        values[id(seed)] = scope.get_current_value(seed)
        return drawn

    def minimize(self, values, network, optimizer, objective, *inputs):
        """One step of one player; new values go into `values`: `{id of variable: value}`."""
        loss, moved, gradients = self.differentiate(values, network, objective, *inputs)
        values.update(moved)
        trainable = [values[id(v)] for v in network.trainable_variables]
        trainable, state = optimizer.stateless_apply(
            [values[id(v)] for v in optimizer.variables], gradients, trainable
        )
        changed = [*network.trainable_variables, *optimizer.variables]
        values.update(zip(map(id, changed), [*trainable, *state], strict=True))
        return loss

    def differentiate(self, values, network, objective, *inputs):
        """Loss of one player, `{id: value}` of what moved, and its gradients."""
        trainable = [values[id(v)] for v in network.trainable_variables]
        differentiate = jax.value_and_grad(objective, has_aux=True)
        (loss, moved), gradients = differentiate(trainable, values, *inputs)
        return loss, moved, gradients

    def d_objective(self, trainable, values, real, noise, mix):
        fake, generator_moved = self.run(self.generator, values, noise)
        judge, judge_and_slope, moved = self.judges(values, trainable)
        fake = jax.lax.stop_gradient(fake)
        loss = self.discriminator_loss(judge, judge_and_slope, real, fake, mix)
        return loss, generator_moved | moved

    def g_objective(self, trainable, values, real, noise):
        fake, generator_moved = self.run(self.generator, values, noise, trainable)
        judge, _, moved = self.judges(values)
        return self.generator_loss(judge, real, fake), generator_moved | moved

    def judges(self, values, trainable=None):
        """The two functions of `discriminator_loss`, and `{id: value}` of what they move."""
        moved = {}

        def judge(x):
            logits, new = self.run(self.discriminator, values | moved, x, trainable)
            moved.update(new)
            return logits

        def judge_and_slope(x):
            def total(x):
                logits, new = self.run(self.discriminator, values | moved, x, trainable)
                return logits.sum(), (logits, new)

            (_, (logits, new)), slope = jax.value_and_grad(total, has_aux=True)(x)
            moved.update(new)
            return logits, slope

        return judge, judge_and_slope, moved

    def run(self, network, values, x, trainable=None):
        """Outputs in training, and `{id: value}` of what the network moved."""
        if trainable is None:
            trainable = [values[id(v)] for v in network.trainable_variables]
        variables = network.non_trainable_variables
        fixed = [values[id(v)] for v in variables]
        outputs, moved = network.stateless_call(trainable, fixed, x, training=True)
        return outputs, dict(zip(map(id, variables), moved, strict=True))


def track(metrics, variables, values):
    """Updates one mean a value, as the guide does: `-> (logs, new variables)`."""
    logs, updated, start = {}, [], 0
    for metric, value in zip(metrics, values, strict=True):
        stop = start + len(metric.variables)
        own = metric.stateless_update_state(variables[start:stop], value)
        logs[metric.name] = metric.stateless_result(own)
        updated += own
        start = stop
    return logs, updated


class StockKeras(parts.Stock, OnJAX):
    """A `benchmarks.contestants.Contestant`: stock Keras' trainer on JAX."""

    models = {"vae": VAE, "iwae": IWAE, "vqvae": VQVAE, "gan": GAN}
    modes = {"jit": True}

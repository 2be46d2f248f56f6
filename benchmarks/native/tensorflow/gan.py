"""The generative adversarial network, its losses and its penalties."""

import tensorflow as tf

from .. import plan
from .networks import Adam, Network


def cross_entropy(real, fake):
    """`-(log D(real) + log(1 - D(fake)))`, logits `(batch, 1)`, averaged."""
    return tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))


def hinge(real, fake):
    """`max(0, 1 - real) + max(0, 1 + fake)`, averaged."""
    return tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(tf.nn.relu(1 + fake))


def wasserstein(real, fake):
    """`fake - real`, averaged."""
    return tf.reduce_mean(fake) - tf.reduce_mean(real)


def relativistic(real, fake):
    """`-log(sigmoid(real - fake))` of pairs, averaged."""
    return tf.reduce_mean(tf.nn.softplus(fake - real))


# The discriminator's of data and samples; the generator's of samples, and of data if relativistic.
LOSSES = {
    "non_saturating": (cross_entropy, lambda fake: tf.reduce_mean(tf.nn.softplus(-fake))),
    "hinge": (hinge, lambda fake: -tf.reduce_mean(fake)),
    "wasserstein": (wasserstein, lambda fake: -tf.reduce_mean(fake)),
    "relativistic": (relativistic, relativistic),
}


class GAN(tf.Module):
    """Variables, train step and sampling of one case.

    Args:
        case: A `benchmarks.cases.Case`.
        weights: `{network: [array, ...]}` in Keras' order, or `None`.
    """

    terms = ("discriminator_loss", "generator_loss")

    def __init__(self, case, weights):
        super().__init__()
        self.latent_dim = case.latent_dim
        options = plan.gan_options(case)
        self._discriminator_loss, self._generator_loss = LOSSES[options["adversarial_loss"]]
        self._relativistic = options["adversarial_loss"] == "relativistic"
        self._penalties, self._penalty_weight = options["penalty"], options["penalty_weight"]
        self._discriminator_steps = options["discriminator_steps"]
        self.networks = {
            name: Network(network, weights and weights[name])
            for name, network in plan.networks(case).items()
        }
        self._generate, self._judge = self.networks["generator"], self.networks["discriminator"]
        self._optimizers = {
            player: Adam(case, player, network.weights) for player, network in self.networks.items()
        }

    def step(self, real):
        """One train step on `(batch, ...)`; returns its `terms` in order."""
        noises, mixes = self._draw(real)
        for noise, mix in zip(noises[:-1], mixes, strict=True):
            d_loss, gradients = self._discriminator_gradients(real, noise, mix)
            self._optimizers["discriminator"].apply(gradients)
        g_loss, gradients = self._generator_gradients(real, noises[-1])
        self._optimizers["generator"].apply(gradients)
        return d_loss, g_loss

    def sample(self, count):
        """`count` examples, batch normalization with its running statistics."""
        return self._generate(tf.random.normal((count, self.latent_dim)), False)

    def shown(self):
        """What `Native.as_keras` returns."""
        weights = {name: network.arrays() for name, network in self.networks.items()}
        moments = {
            player: self.networks[player].in_keras_order(optimizer.first_moments)
            for player, optimizer in self._optimizers.items()
        }
        return weights, moments

    def _draw(self, real):
        """The noise of every objective and the mix of every penalty, each kind in one draw."""
        batch, steps = real.shape[0], self._discriminator_steps
        noises = tf.unstack(tf.random.normal((steps + 1, batch, self.latent_dim)))
        if "wgan_gp" not in self._penalties:
            return noises, [None] * steps
        shape = (steps, batch, *[1] * (len(real.shape) - 1))
        return noises, tf.unstack(tf.random.uniform(shape))

    def _discriminator_gradients(self, real, noise, mix=None):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._judge.weights)
            loss = self._discriminator_objective(real, noise, mix)
        return loss, tape.gradient(loss, self._judge.weights)

    def _discriminator_objective(self, real, noise, mix=None):
        fake, costs = self._generate(noise, True), []  # the generator's weights are not watched
        if self._judge.dense_only and not self._penalties:
            logits = tf.split(self._judge(tf.concat([real, fake], 0), True), 2)
        else:
            judged = ((real, "r1"), (fake, "r2"))
            logits = [self._judge_and_penalize(x, penalty, costs) for x, penalty in judged]
        loss = self._discriminator_loss(*logits)
        if mix is not None:
            _, squares = self._judge_and_slope(mix * real + (1 - mix) * fake)
            # The square root's own slope is infinite at 0.
            costs.append(tf.reduce_mean(tf.square(tf.sqrt(squares + 1e-12) - 1)))
        return loss + self._penalty_weight * sum(costs) if costs else loss

    def _generator_gradients(self, real, noise):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._generate.weights)
            logits = [self._judge(self._generate(noise, True), True)]
            if self._relativistic:
                logits.append(self._judge(real, True))
            loss = self._generator_loss(*logits)
        return loss, tape.gradient(loss, self._generate.weights)

    def _judge_and_penalize(self, x, penalty, costs):
        """Logits of `x`; where the case has `penalty`, what their slope costs joins `costs`."""
        if penalty not in self._penalties:
            return self._judge(x, True)
        logits, squares = self._judge_and_slope(x)
        costs.append(tf.reduce_mean(squares))
        return logits

    def _judge_and_slope(self, x):
        """Logits of `x`, and the squared norm of their slope there `(batch,)`."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            logits = self._judge(x, True)
        slope = tape.gradient(logits, x)
        return logits, tf.reduce_sum(tf.square(slope), list(range(1, len(x.shape))))

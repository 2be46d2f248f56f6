"""The generative adversarial network and WGAN-GP."""

import tensorflow as tf

from .. import plan
from .networks import Adam, Network


def cross_entropy(real, fake):
    """`-(log D(real) + log(1 - D(fake)))`, logits `(batch, 1)`, averaged."""
    return tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))


def wasserstein(real, fake):
    """`fake - real`, averaged."""
    return tf.reduce_mean(fake) - tf.reduce_mean(real)


LOSSES = {
    "non_saturating": (cross_entropy, lambda fake: tf.reduce_mean(tf.nn.softplus(-fake))),
    "wasserstein": (wasserstein, lambda fake: -tf.reduce_mean(fake)),
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
        self._penalty_weight = options["penalty_weight"] if options["penalty"] else None
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
        g_loss, gradients = self._generator_gradients(noises[-1])
        self._optimizers["generator"].apply(gradients)
        return d_loss, g_loss

    def sample(self, count):
        """`count` examples, batch normalization with its running statistics."""
        return self._generate(tf.random.normal((count, self.latent_dim)), False)

    def gradients(self, real, draws):
        """`{player: (loss, gradients)}`, nothing updated."""
        last = draws[-2:-1] if self._penalty_weight is None else draws[-3:-1]
        results = {
            "discriminator": self._discriminator_gradients(real, *last),
            "generator": self._generator_gradients(draws[-1]),
        }
        return {
            player: (loss, self.networks[player].in_keras_order(gradients))
            for player, (loss, gradients) in results.items()
        }

    def _draw(self, real):
        """The noise of every objective and the mix of every penalty, each kind in one draw."""
        batch, steps = real.shape[0], self._discriminator_steps
        noises = tf.unstack(tf.random.normal((steps + 1, batch, self.latent_dim)))
        if self._penalty_weight is None:
            return noises, [None] * steps
        shape = (steps, batch, *[1] * (len(real.shape) - 1))
        return noises, tf.unstack(tf.random.uniform(shape))

    def _discriminator_gradients(self, real, noise, mix=None):
        fake = self._generate(noise, True)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._judge.weights)
            loss = self._discriminator_loss(*self._judge_both(real, fake))
            if self._penalty_weight is not None:
                slope = self._slope(mix * real + (1 - mix) * fake)
                # The square root's own slope is infinite at 0.
                squares = tf.reduce_sum(tf.square(slope), axis=list(range(1, len(real.shape))))
                penalty = tf.reduce_mean(tf.square(tf.sqrt(squares + 1e-12) - 1))
                loss += self._penalty_weight * penalty
        return loss, tape.gradient(loss, self._judge.weights)

    def _generator_gradients(self, noise):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._generate.weights)
            loss = self._generator_loss(self._judge(self._generate(noise, True), True))
        return loss, tape.gradient(loss, self._generate.weights)

    def _slope(self, x):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            logits = self._judge(x, True)
        return tape.gradient(logits, x)

    def _judge_both(self, real, fake):
        if self._judge.dense_only:
            return tf.split(self._judge(tf.concat([real, fake], 0), True), 2)
        return self._judge(real, True), self._judge(fake, True)

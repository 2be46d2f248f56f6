"""Stock Keras on TensorFlow: the train steps of its guide and of its DCGAN and WGAN-GP examples."""

import keras
import tensorflow as tf

from ..keras_gen_model import OnTensorFlow
from . import gan, parts

MODES = ("function", "xla")


class VAE(parts.VAE):
    """One tape, one optimizer."""

    def train_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            terms = self.losses_of(x, self(x, training=True))
        gradients = tape.gradient(terms[0], self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return track(self.trackers, terms)


class IWAE(parts.IWAE, VAE):
    """The train step is the same."""


class VQVAE(parts.VQVAE, VAE):
    """The train step is the same."""


class GAN(gan.GAN):
    """A tape and an optimizer a player."""

    def compile(self, **compiling):
        super().compile(optimizer=None, **compiling)

    def train_step(self, data):
        real, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        for _ in range(self.discriminator_steps):
            d_loss, gradients = self.d_step(real, *self.draw(real, self.mixing))
            weights = self.discriminator.trainable_weights
            self.d_optimizer.apply_gradients(zip(gradients, weights, strict=True))
        noise, _ = self.draw(real, False)
        g_loss, gradients = self.g_step(real, noise)
        weights = self.generator.trainable_weights
        self.g_optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return track(self.trackers, (d_loss, g_loss))

    def d_step(self, real, noise, mix):
        """The discriminator's loss and gradients."""
        fake = self.generator(noise, training=True)
        with tf.GradientTape() as tape:
            loss = self.discriminator_loss(self.judge, self.judge_and_slope, real, fake, mix)
        return loss, tape.gradient(loss, self.discriminator.trainable_weights)

    def g_step(self, real, noise):
        """The generator's loss and gradients."""
        with tf.GradientTape() as tape:
            loss = self.generator_loss(self.judge, real, self.generator(noise, training=True))
        return loss, tape.gradient(loss, self.generator.trainable_weights)

    def judge(self, x):
        return self.discriminator(x, training=True)

    def judge_and_slope(self, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = self.judge(x)
        return logits, tape.gradient(logits, x)


def track(trackers, values):
    """Updates one mean a value and returns the means: the logs."""
    for tracker, value in zip(trackers, values, strict=True):
        tracker.update_state(value)
    return {tracker.name: tracker.result() for tracker in trackers}


class StockKeras(parts.Stock, OnTensorFlow):
    """A `benchmarks.contestants.Contestant`: stock Keras' trainer on TensorFlow."""

    models = {"vae": VAE, "iwae": IWAE, "vqvae": VQVAE, "gan": GAN}
    modes = {"function": False, "xla": True}

"""Stock Keras on TensorFlow: the train steps of its guide and of its DCGAN and WGAN-GP examples."""

import keras
import tensorflow as tf
from keras import ops

from ..keras_gen_model import OnTensorFlow
from . import parts

MODES = ("function", "xla")


class VAE(parts.VAE):
    """One tape, one optimizer."""

    def train_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        terms, gradients = self.differentiate(x)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return track(self.trackers, terms)

    def differentiate(self, x, noise=None):
        with tf.GradientTape() as tape:
            terms = self.losses_of(x, self(x, training=True, noise=noise))
        return terms, tape.gradient(terms[0], self.trainable_weights)

    def gradients(self, x, draws):
        terms, gradients = self.differentiate(x, *draws)
        return {"model": (terms[0], gradients)}


class IWAE(parts.IWAE, VAE):
    """The train step is the same."""


class VQVAE(parts.VQVAE, VAE):
    """The train step is the same."""


class GAN(parts.GAN):
    """A tape and an optimizer a player."""

    def compile(self, **compiling):
        super().compile(optimizer=None, **compiling)

    def train_step(self, data):
        real, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        for _ in range(self.discriminator_steps):
            d_loss, gradients = self.d_step(real, *self.draw(real, self.penalized))
            weights = self.discriminator.trainable_weights
            self.d_optimizer.apply_gradients(zip(gradients, weights, strict=True))
        noise, _ = self.draw(real, False)
        g_loss, gradients = self.g_step(noise)
        weights = self.generator.trainable_weights
        self.g_optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return track(self.trackers, (d_loss, g_loss))

    def d_step(self, real, noise, mix):
        """The discriminator's loss and gradients."""
        fake = self.generator(noise, training=True)
        with tf.GradientTape() as tape:
            real_logits = self.discriminator(real, training=True)
            fake_logits = self.discriminator(fake, training=True)
            loss = ops.mean(self.loss_pair.discriminator(real_logits, fake_logits))
            if self.penalized:
                loss += self.penalty(self.slope(mix * real + (1 - mix) * fake))
        return loss, tape.gradient(loss, self.discriminator.trainable_weights)

    def g_step(self, noise):
        """The generator's loss and gradients."""
        with tf.GradientTape() as tape:
            fake = self.generator(noise, training=True)
            logits = self.discriminator(fake, training=True)
            loss = ops.mean(self.loss_pair.generator(logits))
        return loss, tape.gradient(loss, self.generator.trainable_weights)

    def gradients(self, real, draws):
        (noise, mix), generator_noise = self.last_draws(draws)
        return {
            "discriminator": self.d_step(real, noise, mix),
            "generator": self.g_step(generator_noise),
        }

    def slope(self, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = self.discriminator(x, training=True)
        return tape.gradient(logits, x)


def track(trackers, values):
    """Updates one mean a value and returns the means: the logs."""
    for tracker, value in zip(trackers, values, strict=True):
        tracker.update_state(value)
    return {tracker.name: tracker.result() for tracker in trackers}


class StockKeras(parts.Stock, OnTensorFlow):
    """A `benchmarks.contestants.Contestant`: stock Keras' trainer on TensorFlow."""

    models = {"vae": VAE, "iwae": IWAE, "vqvae": VQVAE, "gan": GAN}
    modes = {"function": False, "xla": True}

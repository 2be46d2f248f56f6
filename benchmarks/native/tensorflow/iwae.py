"""The importance weighted autoencoder with a Bernoulli likelihood."""

import math

import tensorflow as tf

from .vae import VAE


class IWAE(VAE):
    """Variables, train step and sampling of one case; arguments as `VAE`'s."""

    terms = ("loss", "negative_elbo")

    def __init__(self, case, weights):
        super().__init__(case, weights)
        self.samples = case.model["samples"]

    def _noise_shape(self, batch):
        return batch, self.samples, self.case.latent_dim

    def _terms(self, x, noise):
        batch = x.shape[0]
        moments = self.networks["encoder"](x, True)[:, None]
        mean, log_variance = tf.split(moments, 2, axis=-1)
        z = mean + tf.exp(0.5 * log_variance) * noise
        logits = self.networks["decoder"](tf.reshape(z, (-1, self.case.latent_dim)), True)
        logits = tf.reshape(logits, (batch, self.samples, -1))
        x = tf.repeat(tf.reshape(x, (batch, 1, -1)), self.samples, axis=1)
        nats = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits)
        # log p(z) - log q(z | x); what both are divided by cancels.
        log_ratio = 0.5 * tf.reduce_sum(tf.square(noise) + log_variance - tf.square(z), -1)
        log_weights = log_ratio - tf.reduce_sum(nats, -1)
        bound = tf.reduce_mean(tf.reduce_logsumexp(log_weights, 1)) - math.log(self.samples)
        return -bound, -tf.reduce_mean(log_weights)

"""The variational autoencoder with a Bernoulli likelihood."""

import tensorflow as tf

from .. import plan
from .networks import Adam, Network


class VAE(tf.Module):
    """Variables, train step and sampling of one case.

    Args:
        case: A `benchmarks.cases.Case`.
        weights: `{network: [array, ...]}` in Keras' order, or `None`.
    """

    terms = ("loss", "reconstruction", "kl")

    def __init__(self, case, weights):
        super().__init__()
        self.case = case
        self.networks = {
            name: Network(network, weights and weights[name])
            for name, network in plan.networks(case).items()
        }
        self._weights = [network.weights for network in self.networks.values()]
        self._optimizer = Adam(case, "model", sum(self._weights, []))

    def step(self, x):
        """One train step on `(batch, ...)`; returns its `terms` in order."""
        noise = tf.random.normal(self._noise_shape(x.shape[0]))
        with tf.GradientTape() as tape:
            terms = self._terms(x, noise)
        gradients = tape.gradient(terms[0], self._weights)
        self._optimizer.apply(sum(gradients, []))
        return terms

    def sample(self, count):
        """Means of p(x | z) for `count` codes from the prior."""
        noise = tf.random.normal((count, self.case.latent_dim))
        return tf.sigmoid(self.networks["decoder"](noise, False))

    def shown(self):
        """What `Native.as_keras` returns."""
        found, weights, moments = iter(self._optimizer.first_moments), {}, []
        for name, network in self.networks.items():
            weights[name] = network.arrays()
            moments += network.in_keras_order([next(found) for _ in network.weights])
        return weights, {"model": moments}

    def _noise_shape(self, batch):
        return batch, self.case.latent_dim

    def _terms(self, x, noise):
        mean, log_variance = tf.split(self.networks["encoder"](x, True), 2, axis=-1)
        z = mean + tf.exp(0.5 * log_variance) * noise
        logits = self.networks["decoder"](z, True)
        nats = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits)
        reconstruction = tf.reduce_sum(nats) / x.shape[0]
        divergence = tf.exp(log_variance) - 1 - log_variance + tf.square(mean)
        kl = 0.5 * tf.reduce_sum(divergence) / x.shape[0]
        return reconstruction + kl, reconstruction, kl

"""The VQ-VAE whose codebook follows by moving averages."""

import tensorflow as tf

from .. import plan
from .vae import VAE


class VQVAE(VAE):
    """Variables, train step and sampling of one case; arguments as `VAE`'s."""

    terms = ("loss", "reconstruction", "commitment", "perplexity", "usage")

    def __init__(self, case, weights):
        super().__init__(case, weights)
        self._grid = plan.networks(case)["decoder"].input_shape[:2]
        self._book = plan.Codebook(case)
        self._codes, self._counts, self._sums, self._idle = (
            tf.Variable(getattr(self._book, name), trainable=False) for name in plan.Codebook.names
        )

    def step(self, x):
        with tf.GradientTape() as tape:
            terms, z, codes = self._quantized(x)
        gradients = tape.gradient(terms[0], self._weights)
        self._optimizer.apply(sum(gradients, []))
        self._follow(z, codes)
        return terms

    def sample(self, count):
        """Codes one by one, as often as each is used, decoded."""
        places = count * self._grid[0] * self._grid[1]
        codes = tf.random.categorical(tf.math.log(self._counts)[None], places)
        q = tf.reshape(tf.gather(self._codes, codes[0]), (count, *self._grid, self._book.dim))
        return self.networks["decoder"](q, False)

    def shown(self):
        weights, moments = super().shown()
        book = (self._codes, self._counts, self._sums, self._idle)
        return weights | {"codebook": [part.numpy() for part in book]}, moments

    def _quantized(self, x):
        """The terms, the encoder's vectors `(places, dim)`, and the indices of their codes."""
        z = self.networks["encoder"](x, True)
        book = self._codes.read_value()
        flat = tf.stop_gradient(tf.reshape(z, (-1, self._book.dim)))
        # |z|^2 is the same for all codes.
        halves = 0.5 * tf.reduce_sum(tf.square(book), 1)
        codes = tf.argmin(halves - tf.matmul(flat, book, transpose_b=True), 1, tf.int32)
        q = tf.reshape(tf.gather(book, codes), tf.shape(z))
        rebuilt = self.networks["decoder"](z + tf.stop_gradient(q - z), True)
        reconstruction = tf.reduce_sum(tf.square(rebuilt - x)) / x.shape[0]
        commitment = tf.reduce_mean(tf.reduce_sum(tf.square(z - q), -1))
        chosen = self._chosen(codes)
        shares = chosen / tf.reduce_sum(chosen)
        perplexity = tf.exp(-tf.reduce_sum(shares * tf.math.log(tf.maximum(shares, 1e-30))))
        usage = tf.reduce_mean(tf.cast(chosen > 0, tf.float32))
        loss = reconstruction + self._book.beta * commitment
        return (loss, reconstruction, commitment, perplexity, usage), flat, codes

    def _chosen(self, codes):
        return tf.math.unsorted_segment_sum(tf.ones_like(codes, tf.float32), codes, self._book.size)

    def _follow(self, z, codes):
        """The moving averages after a step; a code long unused moves to a vector of the batch."""
        size, decay, epsilon = self._book.size, self._book.decay, self._book.epsilon
        chosen = self._chosen(codes)
        counts = decay * self._counts + (1 - decay) * chosen
        sums = tf.math.unsorted_segment_sum(z, codes, size)
        sums = decay * self._sums + (1 - decay) * sums
        total = tf.reduce_sum(counts)
        smoothed = (counts + epsilon) / (total + size * epsilon) * total
        idle = tf.where(chosen > 0, 0, self._idle + 1)
        dead = idle >= self._book.revive_after
        new = tf.gather(z, tf.random.uniform((size,), 0, z.shape[0], tf.int32))
        self._codes.assign(tf.where(dead[:, None], new, sums / smoothed[:, None]))
        self._sums.assign(tf.where(dead[:, None], new, sums))
        self._counts.assign(tf.where(dead, 1.0, counts))
        self._idle.assign(tf.where(dead, 0, idle))

"""Examples made from noise: what every family with a generator of z offers, once."""

from keras import ops


class FromNoise:
    """Placed before `GenerativeModel`: a model with a `generator` of noise.

    The family sets `generator`, `latent_dim`, `num_classes` (`None` where it takes no labels) and
    `generator_average` (`None` where it keeps no average).
    """

    def prior_noise(self, stream, count):
        """What the generator is given, labels aside: z ~ N(0, I) unless the family has another.

        Args:
            stream: A `keras_gen.random.Stream`.
            count: Number of examples.

        Returns:
            `(count, latent_dim)` in the compute dtype.
        """
        return stream.normal((count, self.latent_dim), self.compute_dtype)

    def draw_noise(self, x):
        """Noise of the prior for a batch, as many as examples."""
        return self.prior_noise(self._stream, ops.shape(x)[0])

    def generate(self, noise, labels=None, training=False):
        """Examples `(batch, height, width, channels)` from noise `(batch, latent_dim)`."""
        return self.generator(self.condition(noise, labels), training=training)

    @property
    def sampling_generator(self):
        """The network that `sample` generates with: the average of the generator, if kept."""
        return self.generator if self.generator_average is None else self.generator_average

    def call(self, inputs, training=False):
        """Map noise, or `(noise, labels)`, to examples: with the averaged generator, if kept."""
        noise, labels = inputs if isinstance(inputs, list | tuple) else (inputs, None)
        network = self.sampling_generator
        return ops.cast(network(self.condition(noise, labels), training=False), "float32")

    def sample(self, count, seed=None, labels=None):
        """Generate examples from fresh noise.

        Args:
            count: Number of examples.
            seed: Integer: the same examples each time; fresh ones where `None`.
            labels: Of a conditional model: class numbers, repeated in turn; all where `None`.

        Returns:
            `(count, height, width, channels)` float32, in the range of the generator's output:
            [-1, 1] with a tanh.
        """
        labels = self.sampling_labels(count, labels)
        noise = self.prior_noise(self.sampling_stream(seed), count)
        return self((noise, labels))

"""Examples made from noise: what every family with a generator of z offers, once."""

from keras import ops

from keras_gen import engine
from keras_gen.models.averages import AveragedGenerator, standing_statistics


class FromNoise(AveragedGenerator):
    """Placed before `GenerativeModel`: a model with a `generator` of noise.

    The family sets `generator`, `latent_dim`, `num_classes` (`None` where it takes no labels) and
    `generator_average` (`None` where it keeps no average).
    """

    def prior_noise(self, stream, count, truncation=None):
        """What the generator is given, labels aside: z ~ N(0, I) unless the family has another.

        Args:
            stream: A `keras_gen.random.Stream`.
            count: Number of examples.
            truncation: Largest absolute value of z; `None` for any.

        Returns:
            `(count, latent_dim)` in the compute dtype.
        """
        shape = (count, self.latent_dim)
        if truncation is not None:
            return stream.truncated_normal(shape, truncation, self.compute_dtype)
        return stream.normal(shape, self.compute_dtype)

    def draw_noise(self, x):
        """Noise of the prior for a batch, as many as examples."""
        return self.prior_noise(self._stream, ops.shape(x)[0])

    def generate(self, noise, labels=None, training=False):
        """Examples `(batch, height, width, channels)` from noise `(batch, latent_dim)`."""
        return self.generator(self.condition(noise, labels), training=training)

    def test_step(self, data):
        """Both players' losses on one batch, and the terms beside them."""
        objectives = self.objectives(*self.unpack(data))
        (d_loss, terms), (g_loss, apart) = (objective() for objective in objectives.values())
        return self.log(discriminator_loss=d_loss, generator_loss=g_loss, **terms, **apart)

    def objectives(self, real, labels):
        """What each player minimizes on a batch, with noise of its own, as in evaluation.

        Args:
            real: `(batch, ...)` examples.
            labels: int32 `(batch,)`, or `None`.

        Returns:
            `{player: function without arguments -> (loss, terms)}`, the discriminator first.
        """
        raise NotImplementedError

    def gradient_norms(self, x, labels=None):
        """The norm of each player's gradient on examples, as in evaluation; nothing moves.

        Args:
            x: `(batch, ...)` examples.
            labels: Of a conditional model, `(batch,)`.

        Returns:
            `{player: float32 scalar}`.
        """
        with self._attending(training=False):
            real, labels = self.unpack((x, labels) if labels is not None else x)
            norms = {}
            for player, objective in self.objectives(real, labels).items():
                _, gradients = engine.value_and_grad(objective, self.player_variables(player))
                squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients]
                norms[player] = ops.sqrt(sum(squares))
            return norms

    def call(self, inputs, training=False):
        """Map noise, or `(noise, labels)`, to examples: with the averaged generator, if kept."""
        noise, labels = inputs if isinstance(inputs, list | tuple) else (inputs, None)
        network = self.sampling_generator
        return ops.cast(network(self.condition(noise, labels), training=False), "float32")

    def sample(self, count, seed=None, labels=None, truncation=None):
        """Generate examples from fresh noise.

        Args:
            count: Number of examples.
            seed: Integer: the same examples each time; fresh ones where `None`.
            labels: Of a conditional model: class numbers, repeated in turn; all where `None`.
            truncation: Largest absolute value of z: less of it (2 to 0.04) trades variety for
                fidelity. `None` for any, as in training.

        Returns:
            `(count, height, width, channels)` float32, in the range of the generator's output:
            [-1, 1] with a tanh.

        Reference:
            Brock et al. 2019, "Large Scale GAN Training for High Fidelity Natural Image
            Synthesis", section 3.1 (truncation).
        """
        labels = self.sampling_labels(count, labels)
        noise = self.prior_noise(self.sampling_stream(seed), count, truncation)
        return self((noise, labels))

    def standing_statistics(self, batches=100, batch_size=64, seed=0, labels=None, truncation=None):
        """Give the sampling generator's batch normalization the averages of what it will sample.

        Args:
            batches: How many are averaged over.
            batch_size: Examples in each.
            seed: Of their noise.
            labels: Of a conditional model: class numbers, repeated in turn; all where `None`.
            truncation: That samples will be drawn with.

        Reference:
            Brock et al. 2019, appendix C.1.
        """
        labels = self.sampling_labels(batch_size, labels)
        stream = self.sampling_stream(seed)
        standing_statistics(
            self.sampling_generator,
            (
                self.condition(self.prior_noise(stream, batch_size, truncation), labels)
                for _ in range(batches)
            ),
        )

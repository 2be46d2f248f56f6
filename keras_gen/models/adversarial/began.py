"""BEGAN: the discriminator is an autoencoder, and an equilibrium keeps the players in step."""

from keras import ops

from keras_gen import engine
from keras_gen.losses import mean_absolute_error
from keras_gen.models.adversarial.from_noise import FromNoise
from keras_gen.models.base import GenerativeModel


class BEGAN(FromNoise, GenerativeModel):
    """GAN whose discriminator D rebuilds images: well those of the data, badly those of G.

    `discriminator: minimize L(x) - k * L(G(z_D))`, `L(v) = mean(|v - D(v)|)`
    `generator:     minimize L(G(z_G))`
    `then           k <- min(max(k + lambda_k * (gamma * L(x) - L(G(z_G))), 0), 1)`

    z is uniform in [-1, 1]. k begins at 0 and rises while the generator's images are rebuilt
    better than `gamma` asks: D then looks after the data alone no longer. The term "convergence"
    is the paper's measure of it, `L(x) + |gamma * L(x) - L(G(z_G))|`, which falls.

    Args:
        generator: `(batch, latent_dim) -> (batch, height, width, channels)`.
        discriminator: `(batch, height, width, channels) ->` the same: an autoencoder.
        latent_dim: Size of z.
        gamma: Diversity ratio, `L(G(z)) / L(x)` at the equilibrium, in [0, 1]: a lower one makes
            better images of fewer kinds.
        lambda_k: How fast k moves, in (0, 1].
        ema: Decay of the generator's averaged copy, with which `sample` then generates;
            `None` keeps no average.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Raises:
        ValueError: A number is out of its range, or the discriminator does not give what it takes.

    Reference:
        Berthelot et al. 2017, "BEGAN: Boundary Equilibrium Generative Adversarial Networks",
        sections 3.3 and 3.4.
    """

    terms = ("convergence", "discriminator_loss", "generator_loss", "real_error", "k")

    def __init__(
        self,
        generator,
        discriminator,
        *,
        latent_dim: int,
        gamma: float = 0.5,
        lambda_k: float = 0.001,
        ema: float | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma must be in [0, 1]; got {gamma!r}.")
        if not 0 < lambda_k <= 1:
            raise ValueError(f"lambda_k must be in (0, 1]; got {lambda_k!r}.")
        taken, given = discriminator.input_shape[1:], discriminator.output_shape[1:]
        if taken != given:
            raise ValueError(
                f"discriminator: expected an autoencoder, outputs of the shape of its inputs, "
                f"{taken}; got {given}."
            )
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.gamma = gamma
        self.lambda_k = lambda_k
        self.ema = ema
        self.k = self.add_weight(
            shape=(),
            initializer="zeros",
            dtype="float32",
            trainable=False,
            autocast=False,
            name="k",
        )
        self.generator_average = None if ema is None else self.average_of(generator, ema)

    @staticmethod
    def sockets(data_shape, latent_dim, **_):
        return {
            "generator": ((latent_dim,), data_shape),
            "discriminator": (data_shape, data_shape),
        }

    def train_step(self, data):
        real, _ = self.unpack(data)
        noise = self.draw_noise(real)
        d_loss, real_error = engine.minimize(
            lambda: self.discriminator_objective(real, noise, True),
            self.discriminator.trainable_variables,
            self.optimizer["discriminator"],
        )
        fresh = self.draw_noise(real)
        g_loss, _ = engine.minimize(
            lambda: (self.generator_objective(fresh, True), {}),
            self.generator.trainable_variables,
            self.optimizer["generator"],
        )
        logs = self.log_errors(d_loss, real_error, g_loss)
        k = self.k + self.lambda_k * (self.gamma * real_error - g_loss)
        self.k.assign(ops.clip(k, 0.0, 1.0))
        return logs

    def test_step(self, data):
        objectives = self.objectives(*self.unpack(data))
        (d_loss, real_error), (g_loss, _) = (objective() for objective in objectives.values())
        return self.log_errors(d_loss, real_error, g_loss)

    def objectives(self, real, labels):
        noise, fresh = self.draw_noise(real), self.draw_noise(real)
        return {
            "discriminator": lambda: self.discriminator_objective(real, noise, False),
            "generator": lambda: (self.generator_objective(fresh, False), {}),
        }

    def log_errors(self, d_loss, real_error, g_loss):
        """Every term of a step, the measure of convergence among them."""
        return self.log(
            convergence=real_error + ops.abs(self.gamma * real_error - g_loss),
            discriminator_loss=d_loss,
            generator_loss=g_loss,
            real_error=real_error,
            k=self.k,
        )

    def prior_noise(self, stream, count, truncation=None):
        """z: `(count, latent_dim)`, uniform in [-1, 1], cut to `[-truncation, truncation]`."""
        width = 1.0 if truncation is None else min(1.0, truncation)
        return width * (2 * stream.uniform((count, self.latent_dim), self.compute_dtype) - 1)

    def discriminator_objective(self, real, noise, training):
        """`L(x) - k * L(G(z))`, and `L(x)` beside it."""
        fake = ops.stop_gradient(self.generate(noise, training=training))
        real_error = self.error(real, training)
        return real_error - self.k * self.error(fake, training), real_error

    def generator_objective(self, noise, training):
        """`L(G(z))`."""
        return self.error(self.generate(noise, training=training), training)

    def error(self, v, training=False):
        """L(v): how badly the discriminator rebuilds images, in units of the data."""
        return ops.mean(mean_absolute_error(v, self.discriminator(v, training=training)))

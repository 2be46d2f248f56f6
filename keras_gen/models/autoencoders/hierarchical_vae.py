"""The ladder VAE: two stochastic layers, the lower posterior corrected by the upper layer."""

from collections.abc import Sequence

from keras import ops

from keras_gen.losses import bernoulli_nll, gaussian_kl, gaussian_log_density
from keras_gen.models.autoencoders.gaussian_codes import reparameterize
from keras_gen.models.autoencoders.latents import Latents
from keras_gen.models.autoencoders.likelihood import ImportanceWeighted
from keras_gen.models.base import GenerativeModel
from keras_gen.schedules import schedule


class HierarchicalVAE(Latents, ImportanceWeighted, GenerativeModel):
    """Variational autoencoder of data in [0, 1] with two layers of latents, as a ladder.

    `loss = mean(-log p(x | z1) + beta * (lower_kl + upper_kl))`,
    `lower_kl = KL(q(z1 | x, z2) || p(z1 | z2))`, `upper_kl = KL(q(z2 | x) || N(0, I))`

    `q(z1 | x, z2)` joins what the encoder says with what `p(z1 | z2)` expects, each weighted by
    its precision.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, features + 2 * latent_dims[0])`:
            features for the upper encoder, then mean and log variance of the lower layer.
        upper_encoder: `(batch, features) -> (batch, 2 * latent_dims[1])`: q(z2 | x).
        upper_decoder: `(batch, latent_dims[1]) -> (batch, 2 * latent_dims[0])`: p(z1 | z2).
        decoder: `(batch, latent_dims[0]) -> (batch, height, width, channels)`: logits.
        latent_dims: Sizes of z1 and z2.
        features: Numbers that the encoder hands up.
        beta: Weight of both KL terms; 1 is the bound. A schedule of `keras_gen.schedules`, or its
            dict: without a warm-up the codes may collapse at once (section 2.3).
        binarize: Draw binary pixels with the grey levels as probabilities, anew in each step.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Sonderby et al. 2016, "Ladder Variational Autoencoders", equations 8 to 14.
    """

    terms = ("loss", "reconstruction", "lower_kl", "upper_kl")
    networks_of_samples = ("upper_decoder", "decoder")

    def __init__(
        self,
        encoder,
        upper_encoder,
        upper_decoder,
        decoder,
        *,
        latent_dims: Sequence = (32, 16),
        features: int = 128,
        beta: float | dict = 1.0,
        binarize: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if len(latent_dims) != 2 or any(size < 1 for size in latent_dims):
            raise ValueError(
                "latent_dims must be two sizes of at least 1, the lower layer's first; got "
                f"{latent_dims!r}."
            )
        if isinstance(beta, int | float) and beta < 0:
            raise ValueError(f"beta must not be negative; got {beta!r}.")
        self.encoder = encoder
        self.upper_encoder = upper_encoder
        self.upper_decoder = upper_decoder
        self.decoder = decoder
        self.latent_dims = list(latent_dims)
        self.features = features
        self.beta = beta
        self._beta = schedule(beta)
        self.binarize = binarize

    @staticmethod
    def sockets(data_shape, latent_dims=(32, 16), features=128, **_):
        lower, upper = latent_dims
        return {
            "encoder": (data_shape, (features + 2 * lower,)),
            "upper_encoder": ((features,), (2 * upper,)),
            "upper_decoder": ((upper,), (2 * lower,)),
            "decoder": ((lower,), data_shape),
        }

    def draw_noise(self, x):
        lower, upper = (self.normal((ops.shape(x)[0], size)) for size in self.latent_dims)
        return lower, upper, self.uniform(ops.shape(x)) if self.binarize else None

    def objective(self, x, noise, labels, training):
        lower_noise, upper_noise, pixel_noise = noise
        if pixel_noise is not None:
            x = ops.cast(pixel_noise < x, x.dtype)
        hint, upper_mean, upper_log_variance = self.bottom_up(x, training)
        z2 = reparameterize(upper_mean, upper_log_variance, upper_noise)
        expected, (mean, log_variance) = self.top_down(hint, z2, training)
        z1 = reparameterize(mean, log_variance, lower_noise)
        logits = self.decoder(z1, training=training)
        reconstruction = ops.mean(bernoulli_nll(x, logits))
        prior_mean, prior_log_variance = expected
        # KL between two normals is that of the first, in units of the second, to N(0, I).
        shift = (mean - prior_mean) * ops.exp(-0.5 * prior_log_variance)
        lower_kl = ops.mean(gaussian_kl(shift, log_variance - prior_log_variance))
        upper_kl = ops.mean(gaussian_kl(upper_mean, upper_log_variance))
        beta = self._beta(self.optimizer.iterations) if training else self._beta.end
        loss = reconstruction + beta * (lower_kl + upper_kl)
        terms = {"reconstruction": reconstruction, "lower_kl": lower_kl, "upper_kl": upper_kl}
        return loss, terms

    def bottom_up(self, x, training=False):
        """What the encoder says of z1 (mean, log variance), and mean and log variance of z2."""
        handed_up, hint = ops.split(self.encoder(x, training=training), [self.features], axis=-1)
        moments = self.upper_encoder(handed_up, training=training)
        return ops.split(hint, 2, axis=-1), *ops.split(moments, 2, axis=-1)

    def top_down(self, hint, z2, training=False):
        """Mean and log variance of p(z1 | z2), and those of q(z1 | x, z2)."""
        expected = ops.split(self.upper_decoder(z2, training=training), 2, axis=-1)
        return expected, precision_weighted(*hint, *expected)

    def log_weights(self, x, noise, labels=None):
        """`log p(x | z1) + log p(z1 | z2) + log p(z2) - log q(z1, z2 | x)`, `(batch, samples)`.

        Args:
            x: `(batch, height, width, channels)`, binary.
            noise: standard normal `(batch, samples, latent_dims[0])` and
                `(batch, samples, latent_dims[1])`.
            labels: Not taken by this family.
        """
        lower_noise, upper_noise = noise
        samples = lower_noise.shape[1]
        hint, upper_mean, upper_log_variance = self.bottom_up(x)
        hint = [part[:, None] for part in hint]
        upper = upper_mean[:, None], upper_log_variance[:, None]
        z2 = reparameterize(*upper, upper_noise)
        moments = self.upper_decoder(ops.reshape(z2, (-1, self.latent_dims[1])), training=False)
        moments = ops.reshape(moments, (-1, samples, 2 * self.latent_dims[0]))
        expected = ops.split(moments, 2, axis=-1)
        lower = precision_weighted(*hint, *expected)
        z1 = reparameterize(*lower, lower_noise)
        logits = self.decoder(ops.reshape(z1, (-1, self.latent_dims[0])), training=False)
        nats = bernoulli_nll(ops.repeat(x, samples, axis=0), logits)
        log_prior = gaussian_log_density(z2, 0.0, 0.0) + gaussian_log_density(z1, *expected)
        log_posterior = gaussian_log_density(z2, *upper) + gaussian_log_density(z1, *lower)
        return log_prior - log_posterior - ops.reshape(nats, (-1, samples))

    def latent_noise(self, stream, batch, samples):
        """Standard normal numbers of a stream for both layers, `samples` an example."""
        return tuple(
            stream.normal((batch, samples, size), self.compute_dtype) for size in self.latent_dims
        )

    def encode(self, x, labels=None):
        """Mean and deviation of z1 at the mean of z2, each `(batch, latent_dims[0])`."""
        hint, upper_mean, _ = self.bottom_up(ops.convert_to_tensor(x))
        _, (mean, log_variance) = self.top_down(hint, upper_mean)
        return mean, ops.exp(0.5 * log_variance)

    def draw_codes(self, x, stream, labels=None):
        """One sample z1 of q(z1 | x, z2), z2 one of q(z2 | x): `(batch, latent_dims[0])`."""
        hint, *upper = self.bottom_up(ops.convert_to_tensor(x))
        noise = self.latent_noise(stream, ops.shape(x)[0], 1)
        lower_noise, upper_noise = (each[:, 0] for each in noise)
        _, lower = self.top_down(hint, reparameterize(*upper, upper_noise))
        return reparameterize(*lower, lower_noise)

    def decode(self, z, labels=None):
        """Mean of p(x | z1), probabilities in [0, 1], from codes `(batch, latent_dims[0])`."""
        logits = self.decoder(ops.convert_to_tensor(z), training=False)
        return ops.sigmoid(ops.cast(logits, "float32"))

    def prior_codes(self, stream, count):
        """Codes z1 of p(z1 | z2), `(count, latent_dims[0])`, z2 of N(0, I), by a random stream."""
        lower, upper = (stream.normal((count, n), self.compute_dtype) for n in self.latent_dims)
        mean, log_variance = ops.split(self.upper_decoder(upper, training=False), 2, axis=-1)
        return reparameterize(mean, log_variance, lower)


def precision_weighted(mean, log_variance, other_mean, other_log_variance):
    """Mean and log variance of the product of two normals: Sonderby et al. 2016, equations 11-12.

    `variance = 1 / (1 / v1 + 1 / v2)`, `mean = (m1 / v1 + m2 / v2) * variance`
    """
    log_joint = -ops.logaddexp(-log_variance, -other_log_variance)
    joint = mean * ops.exp(log_joint - log_variance)
    return joint + other_mean * ops.exp(log_joint - other_log_variance), log_joint

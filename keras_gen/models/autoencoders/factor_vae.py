"""FactorVAE: a discriminator measures how far the latents are from independent of each other."""

from keras import ops

from keras_gen import engine
from keras_gen.losses import adversarial_loss, gaussian_kl
from keras_gen.models.autoencoders.gaussian_codes import GaussianCodes, reparameterize
from keras_gen.models.base import GenerativeModel

RANKS = 2**23  # integers that order a batch: as many as the stream draws, so hardly two alike


class FactorVAE(GaussianCodes, GenerativeModel):
    """Variational autoencoder that pays for the total correlation of its latents.

    `autoencoder:   loss = mean(-log p(x | z) + KL(q(z | x) || N(0, I)) + gamma * log ratio(z))`
    `discriminator: minimize -mean(log D(z) + log(1 - D(permuted z'))) / 2`,
    `log ratio = log(D / (1 - D)) = log q(z) - log prod_j q(z_j)` where D is at its best

    `permuted z'` has each latent shuffled over the batch on its own: a sample of the product of
    the latents' own distributions. Where the paper takes `z'` from a second batch, here it is a
    second sample of the posteriors of the first.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, 2 * latent_dim)`: mean and log
            variance of q(z | x).
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)`: logits (Bernoulli) or
            means (Gaussian); with `variance="learned"` twice the channels, log variances last.
        discriminator: `(batch, latent_dim) -> (batch, 1)`: the log ratio, D before its sigmoid.
        latent_dim: Size of z.
        gamma: Weight of the total correlation.
        likelihood: "bernoulli" (data in [0, 1]) or "gaussian".
        variance: Of the Gaussian: a fixed positive number, or "learned" for each pixel.
        binarize: Draw binary pixels with the grey levels as probabilities, anew in each step.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Its players are "autoencoder" (encoder and decoder) and "discriminator".

    Reference:
        Kim & Mnih 2018, "Disentangling by Factorising", equations 2 and 3, algorithms 1 and 2.
    """

    terms = ("loss", "reconstruction", "kl", "total_correlation", "discriminator_loss")

    def __init__(
        self,
        encoder,
        decoder,
        discriminator,
        *,
        latent_dim: int,
        gamma: float = 10.0,
        likelihood: str = "bernoulli",
        variance: float | str = 1.0,
        binarize: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if gamma < 0:
            raise ValueError(f"gamma must not be negative; got {gamma!r}.")
        self.observe(likelihood, variance, binarize)
        self.encoder = encoder
        self.decoder = decoder
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.gamma = gamma
        self._loss = adversarial_loss("non_saturating")

    @staticmethod
    def sockets(data_shape, latent_dim, variance=1.0, **_):
        plain = GaussianCodes.sockets(data_shape, latent_dim, variance=variance)
        return {**plain, "discriminator": ((latent_dim,), (1,))}

    def player_variables(self, player):
        """The encoder and the decoder are one player, "autoencoder"."""
        if player == "autoencoder":
            return self.encoder.trainable_variables + self.decoder.trainable_variables
        return super().player_variables(player)

    def train_step(self, data):
        x, _ = self.unpack(data)
        noise, ranks, pixel_noise = self.draw_noise(x)
        x = self.observed(x, pixel_noise)
        loss, (terms, codes) = engine.minimize(
            lambda: self.autoencoder_objective(x, noise, True),
            self.player_variables("autoencoder"),
            self.optimizer["autoencoder"],
        )
        d_loss, _ = engine.minimize(
            lambda: (self.discriminator_objective(*codes, ranks, True), {}),
            self.discriminator.trainable_variables,
            self.optimizer["discriminator"],
        )
        return self.log(loss=loss, discriminator_loss=d_loss, **terms)

    def test_step(self, data):
        x, _ = self.unpack(data)
        noise, ranks, pixel_noise = self.draw_noise(x)
        x = self.observed(x, pixel_noise)
        loss, (terms, codes) = self.autoencoder_objective(x, noise, False)
        d_loss = self.discriminator_objective(*codes, ranks, False)
        return self.log(loss=loss, discriminator_loss=d_loss, **terms)

    def draw_noise(self, x):
        """Noise of two samples of the posterior; ranks that permute the second; that of pixels."""
        shape = (ops.shape(x)[0], self.latent_dim)
        noise = self.normal(shape), self.normal(shape)
        return noise, self.integers(shape, RANKS), self.pixel_noise(x)

    def autoencoder_objective(self, x, noise, training):
        """The autoencoder's loss; its terms, and the codes `(z, z')` beside it."""
        mean, log_variance = self.posterior(x, training=training)
        z, other = (reparameterize(mean, log_variance, each) for each in noise)
        output = self.decoded(z, training=training)
        reconstruction = ops.mean(self.negative_log_likelihood(x, output))
        kl = ops.mean(gaussian_kl(mean, log_variance))
        log_ratio = ops.cast(self.discriminator(z, training=training), "float32")
        total_correlation = ops.mean(log_ratio)
        loss = reconstruction + kl + self.gamma * total_correlation
        terms = {
            "reconstruction": reconstruction,
            "kl": kl,
            "total_correlation": total_correlation,
        }
        return loss, (terms, (z, other))

    def discriminator_objective(self, z, other, ranks, training):
        """How badly D tells codes from codes whose latents were permuted."""
        permuted = permute_dims(other, ranks)
        joint = self.discriminator(z, training=training)
        factored = self.discriminator(permuted, training=training)
        return 0.5 * ops.mean(self._loss.discriminator(joint, factored))


def permute_dims(z, ranks):
    """Each latent shuffled over the batch on its own: `z[order[i, j], j]`, `order` sorts `ranks`.

    Args:
        z: Codes `(batch, latent_dim)`.
        ranks: int32 `(batch, latent_dim)`, drawn evenly.

    Returns:
        `(batch, latent_dim)`: each column holds the numbers of that column of `z`.

    Reference:
        Kim & Mnih 2018, algorithm 1.
    """
    return ops.take_along_axis(z, ops.argsort(ranks, axis=0), axis=0)

"""VAE/GAN: reconstructions judged in the features of a discriminator, not pixel by pixel."""

from keras import ops

from keras_gen import engine
from keras_gen.losses import adversarial_loss, gaussian_kl, gaussian_nll
from keras_gen.models.autoencoders.gaussian_codes import reparameterize
from keras_gen.models.autoencoders.latents import Latents
from keras_gen.models.base import GenerativeModel


class VAEGAN(Latents, GenerativeModel):
    """Variational autoencoder whose decoder is also the generator of a GAN.

    `encoder_loss = KL(q(z | x) || N(0, I)) + distance`,
    `decoder_loss = gamma * distance - (log D(rebuilt) + log D(sampled)) / 2`,
    `discriminator_loss = -log D(x) - (log(1 - D(rebuilt)) + log(1 - D(sampled))) / 2`,
    `distance = -log N(F(x) | F(rebuilt), I)`, `D = discriminator(F(.))`, `rebuilt = decoder(z)`,
    `sampled = decoder(z_prior)`

    Args:
        encoder: `(batch, height, width, channels) -> (batch, 2 * latent_dim)`: mean and log
            variance of q(z | x).
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)` in the data's range.
        features: `(batch, height, width, channels) -> (batch, features_dim)`: F, the layer of the
            discriminator in which images are compared.
        discriminator: `(batch, features_dim) -> (batch, 1)`: logits.
        latent_dim: Size of z.
        features_dim: Size of F.
        gamma: Weight of the distance in the decoder's loss.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Larsen et al. 2016, "Autoencoding beyond Pixels Using a Learned Similarity Metric",
        equations 5 to 9 and algorithm 1, with the non-saturating loss for the decoder, and the
        two kinds of fakes, which the paper sums, averaged: as many as there are real images.
    """

    terms = ("discriminator_loss", "decoder_loss", "encoder_loss", "distance", "kl")

    def __init__(
        self,
        encoder,
        decoder,
        features,
        discriminator,
        *,
        latent_dim: int,
        features_dim: int = 128,
        gamma: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if gamma < 0:
            raise ValueError(f"gamma must not be negative; got {gamma!r}.")
        self.encoder = encoder
        self.decoder = decoder
        self.features = features
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.features_dim = features_dim
        self.gamma = gamma
        self._loss = adversarial_loss("non_saturating")

    @staticmethod
    def sockets(data_shape, latent_dim, features_dim=128, **_):
        return {
            "encoder": (data_shape, (2 * latent_dim,)),
            "decoder": ((latent_dim,), data_shape),
            "features": (data_shape, (features_dim,)),
            "discriminator": ((features_dim,), (1,)),
        }

    def player_variables(self, player):
        """F belongs to the discriminator."""
        own = super().player_variables(player)
        return self.features.trainable_variables + own if player == "discriminator" else own

    def train_step(self, data):
        x, _ = self.unpack(data)
        noise = self.draw_noise(x)
        d_loss, _ = engine.minimize(
            lambda: (self.discriminator_objective(x, noise, True), {}),
            self.player_variables("discriminator"),
            self.optimizer["discriminator"],
        )
        decoder_loss, _ = engine.minimize(
            lambda: (self.decoder_objective(x, noise, True), {}),
            self.decoder.trainable_variables,
            self.optimizer["decoder"],
        )
        encoder_loss, terms = engine.minimize(
            lambda: self.encoder_objective(x, noise, True),
            self.encoder.trainable_variables,
            self.optimizer["encoder"],
        )
        losses = {"discriminator_loss": d_loss, "decoder_loss": decoder_loss}
        return self.log(**losses, encoder_loss=encoder_loss, **terms)

    def test_step(self, data):
        x, _ = self.unpack(data)
        noise = self.draw_noise(x)
        d_loss = self.discriminator_objective(x, noise, False)
        decoder_loss = self.decoder_objective(x, noise, False)
        encoder_loss, terms = self.encoder_objective(x, noise, False)
        losses = {"discriminator_loss": d_loss, "decoder_loss": decoder_loss}
        return self.log(**losses, encoder_loss=encoder_loss, **terms)

    def draw_noise(self, x):
        """Noise of the posterior's sample, and a code of the prior."""
        shape = (ops.shape(x)[0], self.latent_dim)
        return self.normal(shape), self.normal(shape)

    def discriminator_objective(self, x, noise, training):
        """How badly D tells data from reconstructions and from samples, averaged over the two."""
        _, _, rebuilt, sampled = self._images(x, noise, training)
        real = self.judge(x, training)
        losses = (
            ops.mean(self._loss.discriminator(real, self.judge(ops.stop_gradient(fake), training)))
            for fake in (rebuilt, sampled)
        )
        return 0.5 * sum(losses)

    def decoder_objective(self, x, noise, training):
        """The weighted distance, and what D makes of reconstructions and samples."""
        _, _, rebuilt, sampled = self._images(x, noise, training)
        fooling = sum(
            ops.mean(self._loss.generator(self.judge(fake, training)))
            for fake in (rebuilt, sampled)
        )
        return self.gamma * self.distance(x, rebuilt, training) + 0.5 * fooling

    def encoder_objective(self, x, noise, training):
        """`KL + distance`, and both by name."""
        mean, log_variance, rebuilt, _ = self._images(x, noise, training)
        kl = ops.mean(gaussian_kl(mean, log_variance))
        distance = self.distance(x, rebuilt, training)
        return kl + distance, {"distance": distance, "kl": kl}

    def _images(self, x, noise, training):
        posterior_noise, prior_code = noise
        mean, log_variance = self.posterior(x, training)
        z = reparameterize(mean, log_variance, posterior_noise)
        rebuilt = self.decoder(z, training=training)
        return mean, log_variance, rebuilt, self.decoder(prior_code, training=training)

    def distance(self, x, rebuilt, training=False):
        """`-log N(F(x) | F(rebuilt), I)` averaged over the batch, in nats."""
        seen = self.features(x, training=training)
        return ops.mean(gaussian_nll(seen, self.features(rebuilt, training=training)))

    def judge(self, x, training=False):
        """Logits `(batch, 1)`: how real the discriminator takes examples for."""
        return self.discriminator(self.features(x, training=training), training=training)

    def posterior(self, x, training=False):
        """Mean and log variance of q(z | x), each `(batch, latent_dim)`."""
        return ops.split(self.encoder(x, training=training), 2, axis=-1)

    def encode(self, x, labels=None):
        """Mean and deviation of q(z | x) for examples, each `(batch, latent_dim)`."""
        mean, log_variance = self.posterior(ops.convert_to_tensor(x))
        return mean, ops.exp(0.5 * log_variance)

    def decode(self, z, labels=None):
        """Examples in the range of the decoder's output from codes `(batch, latent_dim)`."""
        return ops.cast(self.decoder(ops.convert_to_tensor(z), training=False), "float32")

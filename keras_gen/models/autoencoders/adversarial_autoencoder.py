"""The adversarial autoencoder: its encoder learns to make codes that pass for the prior's."""

from keras import ops

from keras_gen import engine
from keras_gen.losses import adversarial_loss as loss_named
from keras_gen.models.autoencoders.point_codes import PointCodes
from keras_gen.models.base import GenerativeModel


class AdversarialAutoencoder(PointCodes, GenerativeModel):
    """Autoencoder whose encoder is also the generator of a GAN over codes.

    `autoencoder:   minimize mean(d(x, decoder(encoder(x))))`
    `discriminator: minimize mean(loss.discriminator(D(z), D(encoder(x))))`, `z ~ N(0, I)`
    `encoder:       minimize mean(loss.generator(D(encoder(x))))`

    The three take their steps in this order, the first being the paper's reconstruction phase,
    the others its regularization phase. The encoder is deterministic, as in the paper's
    experiments.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, latent_dim)`.
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)`.
        discriminator: `(batch, latent_dim) -> (batch, 1)`: logits.
        latent_dim: Size of the code.
        adversarial_loss: "minimax", "non_saturating", "least_squares", "hinge".
        reconstruction: d: "squared_error" (data of any range, summed over the pixels) or
            "bernoulli" (data in [0, 1]; the decoder gives logits; nats an image).
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Its players are "autoencoder" (encoder and decoder), "discriminator", and "encoder", whose
    optimizer keeps moments of the adversarial loss only.

    Reference:
        Makhzani et al. 2015, "Adversarial Autoencoders", section 2.
    """

    terms = (
        "reconstruction",
        "discriminator_loss",
        "encoder_loss",
        "prior_score",
        "code_score",
    )

    def __init__(
        self,
        encoder,
        decoder,
        discriminator,
        *,
        latent_dim: int,
        adversarial_loss: str = "non_saturating",
        reconstruction: str = "squared_error",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.rebuild_by(reconstruction)
        self.encoder = encoder
        self.decoder = decoder
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.adversarial_loss = adversarial_loss
        self._loss = loss_named(adversarial_loss)

    @staticmethod
    def sockets(data_shape, latent_dim, **_):
        return {
            **PointCodes.sockets(data_shape, latent_dim),
            "discriminator": ((latent_dim,), (1,)),
        }

    def player_variables(self, player):
        """The encoder and the decoder together are the player "autoencoder"."""
        if player == "autoencoder":
            return self.encoder.trainable_variables + self.decoder.trainable_variables
        return super().player_variables(player)

    def train_step(self, data):
        x, _ = self.unpack(data)
        prior = self.draw_noise(x)
        reconstruction, _ = engine.minimize(
            lambda: (self.autoencoder_objective(x, True), {}),
            self.player_variables("autoencoder"),
            self.optimizer["autoencoder"],
        )
        d_loss, scores = engine.minimize(
            lambda: self.discriminator_objective(x, prior, True),
            self.discriminator.trainable_variables,
            self.optimizer["discriminator"],
        )
        encoder_loss, _ = engine.minimize(
            lambda: (self.encoder_objective(x, True), {}),
            self.encoder.trainable_variables,
            self.optimizer["encoder"],
        )
        losses = {"discriminator_loss": d_loss, "encoder_loss": encoder_loss}
        return self.log(reconstruction=reconstruction, **losses, **scores)

    def test_step(self, data):
        x, _ = self.unpack(data)
        reconstruction = self.autoencoder_objective(x, False)
        d_loss, scores = self.discriminator_objective(x, self.draw_noise(x), False)
        encoder_loss = self.encoder_objective(x, False)
        losses = {"discriminator_loss": d_loss, "encoder_loss": encoder_loss}
        return self.log(reconstruction=reconstruction, **losses, **scores)

    def draw_noise(self, x):
        """Codes of the prior, as many as examples."""
        return self.normal((ops.shape(x)[0], self.latent_dim))

    def autoencoder_objective(self, x, training):
        """The reconstruction error."""
        return self.reconstruction_error(x, self.encoder(x, training=training), training)

    def discriminator_objective(self, x, prior, training):
        """The discriminator's loss; its mean probability of "prior" on both sides beside it."""
        code = ops.stop_gradient(self.encoder(x, training=training))
        prior_logits = self.discriminator(prior, training=training)
        code_logits = self.discriminator(code, training=training)
        return ops.mean(self._loss.discriminator(prior_logits, code_logits)), {
            "prior_score": ops.mean(ops.sigmoid(ops.cast(prior_logits, "float32"))),
            "code_score": ops.mean(ops.sigmoid(ops.cast(code_logits, "float32"))),
        }

    def encoder_objective(self, x, training):
        """How badly the codes of examples pass for the prior's."""
        code = self.encoder(x, training=training)
        return ops.mean(self._loss.generator(self.discriminator(code, training=training)))

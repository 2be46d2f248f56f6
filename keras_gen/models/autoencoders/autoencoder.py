"""The autoencoder: a code from which the data can be rebuilt."""

from keras_gen.models.autoencoders.point_codes import FittedCodes
from keras_gen.models.base import GenerativeModel


class Autoencoder(FittedCodes, GenerativeModel):
    """Autoencoder: minimizes the reconstruction error through a narrow code.

    `loss = mean(d(x, decoder(encoder(x))))`

    It has no prior of its own. `sample` decodes codes drawn from a diagonal normal distribution
    with the running mean and variance of the training codes: the simplest density that can be
    fitted to them, and a floor for better ones.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, latent_dim)`.
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)`.
        latent_dim: Size of the code.
        reconstruction: "squared_error" (data of any range, summed over the pixels) or
            "bernoulli" (data in [0, 1]; the decoder gives logits; nats an image).
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Hinton & Salakhutdinov 2006, "Reducing the Dimensionality of Data with Neural Networks".
    """

    terms = ("loss",)

    def __init__(
        self, encoder, decoder, *, latent_dim: int, reconstruction: str = "squared_error", **kwargs
    ):
        super().__init__(**kwargs)
        self.rebuild_by(reconstruction)
        self.encoder = encoder
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.add_code_moments()

    def objective(self, x, noise, labels, training):
        code = self.encoder(x, training=training)
        if training:
            self.follow(code)
        return self.reconstruction_error(x, code, training), {}

"""The autoencoder: a code from which the data can be rebuilt."""

from keras import ops

from keras_gen.losses import bernoulli_nll, squared_error
from keras_gen.models.base import GenerativeModel

RECONSTRUCTIONS = {"squared_error": squared_error, "bernoulli": bernoulli_nll}
CODE_MOMENTUM = 0.99  # of the running moments from which `sample` draws: about 100 batches


class Autoencoder(GenerativeModel):
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
        if reconstruction not in RECONSTRUCTIONS:
            known = ", ".join(map(repr, RECONSTRUCTIONS))
            raise ValueError(f"reconstruction must be one of {known}; got {reconstruction!r}.")
        self.encoder = encoder
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.reconstruction = reconstruction
        shape = {"shape": (latent_dim,), "dtype": "float32", "trainable": False}
        self.code_mean = self.add_weight(initializer="zeros", name="code_mean", **shape)
        self.code_variance = self.add_weight(initializer="ones", name="code_variance", **shape)

    @staticmethod
    def sockets(data_shape, latent_dim, **_):
        return {"encoder": (data_shape, (latent_dim,)), "decoder": ((latent_dim,), data_shape)}

    def objective(self, x, noise, labels, training):
        code = self.encoder(x, training=training)
        if training:
            self._follow(ops.stop_gradient(ops.cast(code, "float32")))
        distance = RECONSTRUCTIONS[self.reconstruction]
        return ops.mean(distance(x, self.decoder(code, training=training))), {}

    def _follow(self, code):
        new_moments = ops.mean(code, axis=0), ops.var(code, axis=0)
        for moment, new in zip((self.code_mean, self.code_variance), new_moments, strict=True):
            moment.assign(CODE_MOMENTUM * moment + (1.0 - CODE_MOMENTUM) * new)

    def encode(self, x):
        """Codes `(batch, latent_dim)` of examples `(batch, height, width, channels)`."""
        return self.encoder(x, training=False)

    def decode(self, code):
        """Examples in the data's range from codes `(batch, latent_dim)`."""
        output = ops.cast(self.decoder(code, training=False), "float32")
        return ops.sigmoid(output) if self.reconstruction == "bernoulli" else output

    def call(self, inputs, training=False):
        """Reconstruct: `decode(encode(x))`."""
        return self.decode(self.encode(inputs))

    def sample(self, count, seed=None, labels=None):
        """Decode codes drawn from the normal distribution fitted to the training codes.

        Args:
            count: Number of examples.
            seed: Integer: the same examples each time; fresh ones where `None`.
            labels: Not taken by this family.

        Returns:
            `(count, height, width, channels)` float32, in the range of the data.
        """
        self.sampling_labels(count, labels)
        noise = self.sampling_stream(seed).normal((count, self.latent_dim))
        return self.decode(self.code_mean + ops.sqrt(self.code_variance) * noise)

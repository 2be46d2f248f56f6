"""What autoencoders share that give each example one code: encode, decode, rebuild."""

from keras import ops

from keras_gen.losses import bernoulli_nll, squared_error
from keras_gen.models.autoencoders.latents import Latents

RECONSTRUCTIONS = {"squared_error": squared_error, "bernoulli": bernoulli_nll}
CODE_MOMENTUM = 0.99  # of the running moments from which `sample` draws: about 100 batches


class PointCodes(Latents):
    """Placed before `GenerativeModel`: `encoder` gives one code, `decoder` rebuilds from it.

    The family sets `encoder`, `decoder`, `latent_dim`, and calls `rebuild_by`. Codes are drawn
    from N(0, I), to which its loss holds them; where nothing does, it has `FittedCodes`.
    """

    def rebuild_by(self, reconstruction):
        """Set the reconstruction error by its name, after a check."""
        if reconstruction not in RECONSTRUCTIONS:
            known = ", ".join(map(repr, RECONSTRUCTIONS))
            raise ValueError(f"reconstruction must be one of {known}; got {reconstruction!r}.")
        self.reconstruction = reconstruction

    @staticmethod
    def sockets(data_shape, latent_dim, **_):
        return {"encoder": (data_shape, (latent_dim,)), "decoder": ((latent_dim,), data_shape)}

    def reconstruction_error(self, x, code, training=False):
        """`mean(d(x, decoder(code)))`, summed over the pixels of an example."""
        distance = RECONSTRUCTIONS[self.reconstruction]
        return ops.mean(distance(x, self.decoder(code, training=training)))

    def encode(self, x, labels=None):
        """Codes of examples, and their deviation, which is 0: each `(batch, latent_dim)`."""
        code = self.encoder(ops.convert_to_tensor(x), training=False)
        return code, ops.zeros_like(code)

    def decode(self, code, labels=None):
        """Examples in the data's range from codes `(batch, latent_dim)`."""
        output = ops.cast(self.decoder(ops.convert_to_tensor(code), training=False), "float32")
        return ops.sigmoid(output) if self.reconstruction == "bernoulli" else output


class FittedCodes(PointCodes):
    """Codes that nothing holds to a prior: a normal distribution follows them while they train.

    `code_mean`, `code_variance`: running moments of each number of the code. It is the simplest
    density that can be fitted to codes, and a floor for better ones.
    """

    def add_code_moments(self):
        """Make the running moments, as weights that do not train."""
        shape = {"shape": (self.latent_dim,), "dtype": "float32", "trainable": False}
        self.code_mean = self.add_weight(initializer="zeros", name="code_mean", **shape)
        self.code_variance = self.add_weight(initializer="ones", name="code_variance", **shape)

    def follow(self, code):
        """Move the running moments towards those of a batch of codes."""
        code = ops.stop_gradient(ops.cast(code, "float32"))
        new_moments = ops.mean(code, axis=0), ops.var(code, axis=0)
        for moment, new in zip((self.code_mean, self.code_variance), new_moments, strict=True):
            moment.assign(CODE_MOMENTUM * moment + (1.0 - CODE_MOMENTUM) * new)

    def prior_codes(self, stream, count):
        """Codes of the fitted normal, `(count, latent_dim)`, from a random stream."""
        noise = stream.normal((count, self.latent_dim))
        return self.code_mean + ops.sqrt(self.code_variance) * noise

"""The vector-quantized autoencoder: a grid of codes out of one codebook, learned with them."""

from keras import ops

from keras_gen import engine
from keras_gen.models.autoencoders import quantizers
from keras_gen.models.autoencoders.grid_codes import GridCodes
from keras_gen.models.base import GenerativeModel


class VQVAE(GridCodes, GenerativeModel):
    """Autoencoder whose code is a grid of entries of a learned codebook.

    `loss = mean(d(x, decoder(q)) + |sg(z) - q|**2 + beta * |z - sg(q)|**2)`,
    `z = encoder(x)`, `q = e_k`, `k = argmin over j of |z - e_j|`

    `sg` stops the gradient; the squares are averages over the grid. The decoder's gradient at q is
    handed to z as it is (straight through). With `update="ema"` the second term is left out, and
    each code is a moving average of the vectors that chose it.

    It has no prior of its own. `sample` draws each code of the grid by itself, as often as it is
    used in training: a floor for the priors that can be fitted to `codes(x)`.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, rows, columns, embedding_dim)`.
        decoder: `(batch, rows, columns, embedding_dim) -> (batch, height, width, channels)`.
        embedding_dim: Size of a code.
        codebook_size: Number of codes.
        downsampling: The data's sides over those of the grid that a config's networks are built
            for: a divisor of the sides.
        beta: Weight of the commitment; the paper's 0.25 holds from 0.1 to 2.
        update: How the codebook learns: "ema" (moving averages) or "loss" (by its gradient).
        decay: Of the moving averages, in [0, 1).
        revive_after: A code that was not chosen for so many train steps moves to a random vector
            of the batch; the paper's `None` never does so.
        reconstruction: d: "squared_error" (data of any range, summed over the pixels) or
            "bernoulli" (data in [0, 1]; the decoder gives logits; nats an image).
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        van den Oord et al. 2017, "Neural Discrete Representation Learning", equations 1 to 3 and
        appendix A.1.
    """

    terms = ("loss", "reconstruction", "commitment")

    def __init__(
        self,
        encoder,
        decoder,
        *,
        embedding_dim: int = 64,
        codebook_size: int = 512,
        downsampling: int = 4,
        beta: float = 0.25,
        update: str = "ema",
        decay: float = 0.99,
        revive_after: int | None = 100,
        reconstruction: str = "squared_error",
        **kwargs,
    ):
        super().__init__(**kwargs)
        quantizers.check_codebook(codebook_size, beta, update, decay, revive_after)
        self.rebuild_by(reconstruction)
        quantizers.check_ends(encoder, decoder, "embedding_dim", embedding_dim)
        self.encoder = encoder
        self.decoder = decoder
        self.embedding_dim = embedding_dim
        self.codebook_size = codebook_size
        self.downsampling = downsampling
        self.beta = beta
        self.update = update
        self.decay = decay
        self.revive_after = revive_after
        if update == "loss":
            self.add_term("codebook")
        self.add_term("perplexity", direction="up")
        self.add_term("usage", direction="up")
        self.codebook = quantizers.Codebook(
            codebook_size,
            embedding_dim,
            update=update,
            decay=decay,
            revive_after=revive_after,
            seed=(self.seed, 0),
        )

    @staticmethod
    def sockets(data_shape, embedding_dim=64, downsampling=4, **_):
        return GridCodes.grid_sockets(data_shape, embedding_dim, downsampling)

    def draw_noise(self, x):
        """For each code, where in the batch it is revived."""
        return self.integers((self.codebook_size,), quantizers.PLACES)

    def train_step(self, data):
        """One step of the optimizer, and then the codebook follows what it saw."""
        x, _ = self.unpack(data)
        noise = self.draw_noise(x)
        loss, (terms, z, codes) = engine.minimize(
            lambda: self.quantized(x, training=True), self.trainable_variables, self.optimizer
        )
        self.codebook.follow(z, codes, noise)
        return self.log(loss=loss, **terms)

    def objective(self, x, noise, labels, training):
        loss, (terms, _, _) = self.quantized(x, training)
        return loss, terms

    def quantized(self, x, training):
        """The loss, and `({term: number}, vectors of the encoder, indices of their codes)`."""
        z = ops.cast(self.encoder(x, training=training), "float32")
        codes = self.codebook.nearest(z)
        q = self.codebook.vectors(codes)
        reconstruction = self.reconstruction_error(x, quantizers.straight_through(z, q), training)
        commitment = squared_distance(z, ops.stop_gradient(q))
        loss = reconstruction + self.beta * commitment
        chosen = quantizers.counts_by_code(codes, self.codebook_size)
        terms = {
            "reconstruction": reconstruction,
            "commitment": commitment,
            "perplexity": quantizers.perplexity(chosen),
            "usage": quantizers.usage(chosen),
        }
        if self.update == "loss":
            terms["codebook"] = squared_distance(ops.stop_gradient(z), q)
            loss = loss + terms["codebook"]
        return loss, (terms, z, codes)

    def codes(self, x):
        """Indices of the codes of examples: int32 `(batch, rows, columns)`."""
        return self.codebook.nearest(self.encoder(ops.convert_to_tensor(x), training=False))

    def vectors(self, indices):
        """Codes `(..., embedding_dim)` of indices."""
        return self.codebook.vectors(indices)

    def draw_indices(self, stream, shape):
        """Indices of the shape, drawn by how often each code is used."""
        return quantizers.draw_codes(stream.uniform(shape), self.codebook.counts)


def squared_distance(z, q):
    """`|z - q|**2` averaged over the grid and the batch."""
    return ops.mean(ops.sum(ops.square(z - q), axis=-1))

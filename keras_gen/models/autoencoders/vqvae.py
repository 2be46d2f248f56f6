"""The vector-quantized autoencoder: a grid of codes out of one codebook, learned with them."""

import math

from keras import ops

from keras_gen import engine
from keras_gen.losses import bernoulli_nll, squared_error
from keras_gen.models.autoencoders import quantizers
from keras_gen.models.autoencoders.latents import Latents
from keras_gen.models.base import GenerativeModel

RECONSTRUCTIONS = {"squared_error": squared_error, "bernoulli": bernoulli_nll}


class VQVAE(Latents, GenerativeModel):
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
        quantizers.check_choice("reconstruction", reconstruction, RECONSTRUCTIONS)
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
        self.reconstruction = reconstruction
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
        grid = (*quantizers.grid_of(data_shape, downsampling), embedding_dim)
        return {"encoder": (data_shape, grid), "decoder": (grid, data_shape)}

    @property
    def latent_dim(self):
        """Codes of one example: the places of the grid."""
        return math.prod(self.encoder.output_shape[1:-1])

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
        output = self.decoder(quantizers.straight_through(z, q), training=training)
        reconstruction = ops.mean(RECONSTRUCTIONS[self.reconstruction](x, output))
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

    def decode_codes(self, indices):
        """Examples in the data's range from indices `(batch, rows, columns)`.

        Raises:
            ValueError: An index is not one of the codebook's.
        """
        indices = quantizers.check_indices(indices, self.codebook_size)
        return self.decode(self.codebook.vectors(indices))

    def encode(self, x, labels=None):
        """Codes of examples, and their deviation, which is 0.

        Returns:
            Two tensors `(batch, rows, columns, embedding_dim)`.
        """
        q = self.codebook.vectors(self.codes(x))
        return q, ops.zeros_like(q)

    def decode(self, q, labels=None):
        """Examples in the data's range from codes `(batch, rows, columns, embedding_dim)`."""
        output = ops.cast(self.decoder(ops.convert_to_tensor(q), training=False), "float32")
        return ops.sigmoid(output) if self.reconstruction == "bernoulli" else output

    def sample(self, count, seed=None, labels=None):
        """Decode codes that are drawn one by one, as often as each is used in training.

        Args:
            count: Number of examples.
            seed: Integer: the same examples each time; fresh ones where `None`.
            labels: Not taken by this family.

        Returns:
            `(count, height, width, channels)` float32, in the range of the data.
        """
        self.sampling_labels(count, labels)
        shape = (count, *self.encoder.output_shape[1:-1])
        uniform = self.sampling_stream(seed).uniform(shape)
        return self.decode(
            self.codebook.vectors(quantizers.draw_codes(uniform, self.codebook.counts))
        )


def squared_distance(z, q):
    """`|z - q|**2` averaged over the grid and the batch."""
    return ops.mean(ops.sum(ops.square(z - q), axis=-1))

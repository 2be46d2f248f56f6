"""The residual-quantized autoencoder: each codebook quantizes what the ones before it left."""

import math

from keras import ops

from keras_gen import engine
from keras_gen.models.autoencoders import quantizers
from keras_gen.models.autoencoders.grid_codes import GridCodes
from keras_gen.models.base import GenerativeModel


class ResidualVQVAE(GridCodes, GenerativeModel):
    """Autoencoder whose code is a grid of sums, each of one entry of every codebook.

    `loss = mean(d(x, decoder(q_L)) + beta * sum over l of |z - sg(q_l)|**2)`, `z = encoder(x)`,
    `q_l = q_(l-1) + e_l(k_l)`, `k_l = argmin over j of |z - q_(l-1) - e_l(j)|`, `q_0 = 0`

    `sg` stops the gradient; the squares are averages over the grid. The decoder's gradient at q_L
    is handed to z as it is (straight through). Each code is a moving average of the rests that
    chose it.

    It has no prior of its own. `sample` draws each code of the grid and each level by itself, as
    often as it is used in training: a floor for the priors that can be fitted to `codes(x)`.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, rows, columns, embedding_dim)`.
        decoder: `(batch, rows, columns, embedding_dim) -> (batch, height, width, channels)`.
        levels: L, the number of codebooks.
        embedding_dim: Size of a code.
        codebook_size: Number of codes in each codebook.
        downsampling: The data's sides over those of the grid that a config's networks are built
            for: a divisor of the sides.
        beta: Weight of the commitment.
        decay: Of the moving averages, in [0, 1).
        revive_after: A code that was not chosen for so many train steps moves to a random rest of
            the batch; `None`: never.
        reconstruction: d: "squared_error" (data of any range, summed over the pixels) or
            "bernoulli" (data in [0, 1]; the decoder gives logits; nats an image).
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Zeghidour et al. 2021, "SoundStream", section III-C and algorithm 1: a codebook each; Lee
        et al. 2022, "Autoregressive Image Generation using Residual Quantization", section 3.1,
        for the loss.
    """

    terms = ("loss", "reconstruction", "commitment")

    def __init__(
        self,
        encoder,
        decoder,
        *,
        levels: int = 4,
        embedding_dim: int = 64,
        codebook_size: int = 512,
        downsampling: int = 4,
        beta: float = 0.25,
        decay: float = 0.99,
        revive_after: int | None = 100,
        reconstruction: str = "squared_error",
        **kwargs,
    ):
        super().__init__(**kwargs)
        quantizers.check_integer("levels", levels, 1)
        quantizers.check_codebook(codebook_size, beta, "ema", decay, revive_after)
        self.rebuild_by(reconstruction)
        quantizers.check_ends(encoder, decoder, "embedding_dim", embedding_dim)
        self.encoder = encoder
        self.decoder = decoder
        self.levels = self.codes_a_place = levels
        self.embedding_dim = embedding_dim
        self.codebook_size = codebook_size
        self.downsampling = downsampling
        self.beta = beta
        self.decay = decay
        self.revive_after = revive_after
        self.add_term("perplexity", direction="up")
        self.add_term("usage", direction="up")
        self.codebooks = [
            quantizers.Codebook(
                codebook_size,
                embedding_dim,
                decay=decay,
                revive_after=revive_after,
                seed=(self.seed, level),
                name=f"codebook_{level}",
            )
            for level in range(levels)
        ]

    @staticmethod
    def sockets(data_shape, embedding_dim=64, downsampling=4, **_):
        return GridCodes.grid_sockets(data_shape, embedding_dim, downsampling)

    @property
    def latent_dim(self):
        """Codes of one example: those of each level at each place of the grid."""
        return self.levels * math.prod(self.encoder.output_shape[1:-1])

    def draw_noise(self, x):
        """For each code of each level, where in the batch it is revived."""
        return self.integers((self.levels, self.codebook_size), quantizers.PLACES)

    def train_step(self, data):
        """One step of the optimizer, and then the codebooks follow what they saw."""
        x, _ = self.unpack(data)
        noise = self.draw_noise(x)
        loss, (terms, rests, codes) = engine.minimize(
            lambda: self.quantized(x, training=True), self.trainable_variables, self.optimizer
        )
        for level, codebook in enumerate(self.codebooks):
            codebook.follow(rests[level], codes[level], noise[level])
        return self.log(loss=loss, **terms)

    def objective(self, x, noise, labels, training):
        loss, (terms, _, _) = self.quantized(x, training)
        return loss, terms

    def quantized(self, x, training):
        """The loss, and `({term: number}, what each level quantized, indices of its codes)`."""
        z = ops.cast(self.encoder(x, training=training), "float32")
        codes, sums = self.residual_codes(z)
        reconstruction = self.reconstruction_error(
            x, quantizers.straight_through(z, sums[-1]), training
        )
        commitment = sum(
            ops.mean(ops.sum(ops.square(z - ops.stop_gradient(q)), axis=-1)) for q in sums[1:]
        )
        chosen = [quantizers.counts_by_code(level, self.codebook_size) for level in codes]
        terms = {
            "reconstruction": reconstruction,
            "commitment": commitment,
            "perplexity": sum(map(quantizers.perplexity, chosen)) / self.levels,
            "usage": sum(map(quantizers.usage, chosen)) / self.levels,
        }
        rests = [z - q for q in sums[:-1]]
        return reconstruction + self.beta * commitment, (terms, rests, codes)

    def residual_codes(self, z):
        """Quantize vectors level by level.

        Args:
            z: float32 `(..., embedding_dim)`.

        Returns:
            `(indices of each level, [q_0, ..., q_L])`: int32 `(...)`, and `(..., embedding_dim)`.
        """
        codes, sums = [], [ops.zeros_like(z)]
        for codebook in self.codebooks:
            codes.append(codebook.nearest(z - sums[-1]))
            sums.append(sums[-1] + codebook.vectors(codes[-1]))
        return codes, sums

    def codes(self, x):
        """Indices of the codes of examples: int32 `(batch, rows, columns, levels)`."""
        z = self.encoder(ops.convert_to_tensor(x), training=False)
        codes, _ = self.residual_codes(ops.cast(z, "float32"))
        return ops.stack(codes, axis=-1)

    def vectors(self, indices):
        """`sum over l of e_l(k_l)` of indices `(..., levels)`."""
        return sum(
            codebook.vectors(indices[..., level]) for level, codebook in enumerate(self.codebooks)
        )

    def draw_indices(self, stream, shape):
        """Indices `(*shape, levels)`, drawn by how often each code of a level is used."""
        drawn = [
            quantizers.draw_codes(stream.uniform(shape), codebook.counts)
            for codebook in self.codebooks
        ]
        return ops.stack(drawn, axis=-1)

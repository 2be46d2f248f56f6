"""An autoregressive prior over the codes of a quantized autoencoder."""

import keras
import numpy as np
from keras import ops

from keras_gen.models.autoencoders.grid_codes import GridCodes
from keras_gen.models.base import GenerativeModel
from keras_gen.networks import pixel_cnn
from keras_gen.priors.prior import TrainedPrior, parts_of
from keras_gen.random import seeded_weights


class CodeModel(GenerativeModel):
    """A grid of indices, each told by those before it, row by row.

    `loss = -log p(k) = -sum over the places i of log softmax(network(k))_i[k_i]`, nats a grid

    Where each place of the grid has several levels, they stand beside each other in its row, and a
    code is shown to the network as one of `levels * size`: which level it is of says which comes
    next.

    Args:
        network: `(batch, rows, columns) -> (batch, rows, columns, size)`: logits of each place from
            the codes before it, integers in `[0, levels * size)`.
        size: Number of codes of a level.
        levels: Columns that are levels of one place.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        van den Oord et al. 2016, "Pixel Recurrent Neural Networks", equation 1.
    """

    terms = ("loss",)

    def __init__(self, network, *, size: int, levels: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.size = size
        self.levels = levels

    def objective(self, x, noise, labels, training):
        return -ops.mean(self.log_density(x, training)), {}

    def log_density(self, x, training=False):
        """`log p(k)` of indices `(batch, rows, columns)`: nats `(batch,)`."""
        logits = ops.cast(self.logits(x, training), "float32")
        chosen = ops.one_hot(ops.cast(x, "int32"), self.size, dtype="float32")
        return ops.sum(chosen * ops.log_softmax(logits, axis=-1), axis=(1, 2, 3))

    def logits(self, x, training=False):
        """Of each place `(batch, rows, columns, size)`, by the places before it."""
        level = ops.arange(x.shape[-1], dtype="int32") % self.levels
        return self.network(ops.cast(x, "int32") + self.size * level, training=training)


class PixelCNN(TrainedPrior):
    """A PixelCNN over the indices of a `VQVAE`, `ResidualVQVAE` or `FSQ`.

    The levels of a residual quantization are read place by place, coarse to fine.

    Args:
        width: Channels of the network, and numbers of the vector that a code is shown as.
        blocks: Its residual blocks.
        epochs: Passes over the codes.
        batch_size: Grids a step.
        learning_rate: Of Adam.
        seed: Of the weights and the order of the codes.

    Reference:
        van den Oord et al. 2017, "Neural Discrete Representation Learning", section 3.3.
    """

    dtype = "int32"

    def __init__(
        self,
        width: int = 64,
        blocks: int = 5,
        epochs: int = 30,
        batch_size: int = 100,
        learning_rate: float = 1e-3,
        *,
        seed: int = 0,
    ):
        super().__init__(epochs, batch_size, learning_rate, seed)
        self.width = width
        self.blocks = blocks

    def fit(self, model, x, labels=None):
        if not isinstance(model, GridCodes):
            raise TypeError(
                f"PixelCNN is fitted to indices of codes; {type(model).__name__} has none. Give it "
                "a VQVAE, ResidualVQVAE or FSQ, or take another prior."
            )
        self.size, self.levels = model.codebook_size, model.codes_a_place
        return super().fit(model, x, labels)

    def codes_of(self, model, x, stream, labels):
        return model.codes(x)

    def examples_of(self, codes, stream, labels):
        return self.model.decode_codes(codes)

    def fit_codes(self, codes):
        places = self.code_shape[:-1] if self.levels > 1 else self.code_shape
        rows, *_ = (*places, 1)  # a vector has one place
        self.grid = (rows, codes.shape[1] // rows)
        with seeded_weights(self.seed):
            told = keras.Input(self.grid, dtype="int32")
            # Vectors of `width` numbers: a first convolution over `size` channels would cost more
            # than all that follows.
            vectors = keras.layers.Embedding(self.levels * self.size, self.width)(told)
            ends = (*self.grid, self.width), (*self.grid, self.size)
            logits = pixel_cnn(*ends, width=self.width, blocks=self.blocks)(vectors)
            network = keras.Model(told, logits)
        # Indices above 256 are no numbers of bfloat16.
        options = {"levels": self.levels, "seed": self.seed, "dtype": "float32"}
        self.code_model = CodeModel(network, size=self.size, **options)
        self.train(self.code_model, codes.reshape(-1, *self.grid).astype("float32"))

    def draw(self, count, rng):
        """Place by place, `argmax(logits + gumbel)`: one pass of the network each."""
        grids = np.zeros((count, *self.grid), "float32")
        for part in parts_of(count):
            drawn = grids[part]
            for row, column in np.ndindex(*self.grid):
                logits = ops.convert_to_numpy(self.code_model.logits(drawn))[:, row, column]
                gumbel = rng.gumbel(size=logits.shape)
                drawn[:, row, column] = np.argmax(logits + gumbel, axis=-1)
        return grids

    def density(self, codes):
        grids = codes.reshape(-1, *self.grid).astype("float32")
        parts = [
            ops.convert_to_numpy(self.code_model.log_density(grids[part]))
            for part in parts_of(len(grids))
        ]
        return np.concatenate(parts)

"""An autoregressive prior over the codes of a quantized autoencoder."""

import keras
import numpy as np
from keras import ops

from keras_gen.models.base import GenerativeModel
from keras_gen.networks import pixel_cnn
from keras_gen.priors.prior import Prior, parts_of


class CodeModel(GenerativeModel):
    """A grid of indices, each told by those before it, row by row.

    `loss = -log p(k) = -sum over the places i of log softmax(network(k))_i[k_i]`, nats a grid

    Args:
        network: `(batch, rows, columns, size) -> (batch, rows, columns, size)`: logits of each
            place from the places before it.
        size: Number of codes.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        van den Oord et al. 2016, "Pixel Recurrent Neural Networks", equation 1.
    """

    terms = ("loss",)

    def __init__(self, network, *, size: int, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.size = size

    def objective(self, x, noise, labels, training):
        return -ops.mean(self.log_density(x, training)), {}

    def log_density(self, x, training=False):
        """`log p(k)` of indices `(batch, rows, columns)`: nats `(batch,)`."""
        logits = ops.cast(self.logits(x, training), "float32")
        chosen = ops.one_hot(ops.cast(x, "int32"), self.size, dtype="float32")
        return ops.sum(chosen * ops.log_softmax(logits, axis=-1), axis=(1, 2, 3))

    def logits(self, x, training=False):
        """Of each place `(batch, rows, columns, size)`, by the places before it."""
        shown = ops.one_hot(ops.cast(x, "int32"), self.size, dtype=self.compute_dtype)
        return self.network(shown, training=training)


class PixelCNN(Prior):
    """A PixelCNN over the indices of a `VQVAE`, `ResidualVQVAE` or `FSQ`.

    The levels of a residual quantization are read place by place, coarse to fine.

    Args:
        width: Channels of the network.
        blocks: Its residual blocks.
        epochs: Passes over the codes.
        batch_size: Grids a step.
        learning_rate: Of Adam.
        seed: Of the weights and the training.

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
        super().__init__(seed=seed)
        self.width = width
        self.blocks = blocks
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate

    def codes_of(self, model, x, labels):
        if not hasattr(model, "decode_codes"):
            raise TypeError(
                f"PixelCNN is fitted to indices of codes; {type(model).__name__} has none. Give it "
                "a VQVAE, ResidualVQVAE or FSQ, or take another prior."
            )
        self.size = model.codebook_size
        parts = [ops.convert_to_numpy(model.codes(x[part])) for part in parts_of(len(x))]
        return np.concatenate(parts)

    def examples_of(self, codes, stream, labels):
        return self.model.decode_codes(codes)

    def fit_codes(self, codes):
        rows = self.code_shape[0]
        self.grid = (rows, codes.shape[1] // rows)
        ends = (*self.grid, self.size)
        keras.utils.set_random_seed(self.seed)
        network = pixel_cnn(ends, ends, width=self.width, blocks=self.blocks)
        self.code_model = CodeModel(network, size=self.size, seed=self.seed)
        self.code_model.compile(keras.optimizers.Adam(self.learning_rate))
        grids = codes.reshape(-1, *self.grid).astype("float32")
        self.code_model.fit(grids, batch_size=self.batch_size, epochs=self.epochs, verbose=0)

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

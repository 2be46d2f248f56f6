"""Finite scalar quantization: codes that are rounded numbers, with no codebook to learn."""

import math
from collections.abc import Sequence

import numpy as np
from keras import ops

from keras_gen.models.autoencoders import quantizers
from keras_gen.models.autoencoders.grid_codes import GridCodes
from keras_gen.models.base import GenerativeModel

COUNT_MOMENTUM = 0.99  # of the running counts from which `sample` draws: about 100 batches
EPSILON = 1e-3  # keeps the outermost levels from rounding beyond themselves
MOST_CODES = 2**24  # that float32 counts tell apart


class FSQ(GridCodes, GenerativeModel):
    """Autoencoder whose code is a grid of vectors of a few rounded numbers each.

    `loss = mean(d(x, decoder(q)))`, `q = (f + sg(round(f) - f)) / floor(L / 2)`,
    `f = tanh(encoder(x) + shift) * half - offset`, `half = (L - 1) * (1 - epsilon) / 2`,
    `offset = 1 / 2` where L is even, else 0, `shift = tan(offset / half)`

    `sg` stops the gradient: it goes straight through the rounding. Each number of q takes L values
    in [-1, 1], and every combination is a code: there is nothing to learn, and nothing to collapse.

    It has no prior of its own. `sample` draws each code of the grid by itself, as often as it is
    used in training: a floor for the priors that can be fitted to `codes(x)`.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, rows, columns, len(levels))`.
        decoder: `(batch, rows, columns, len(levels)) -> (batch, height, width, channels)`.
        levels: L of each number, at least 2; the paper advises 5 or more. Their product is the
            number of codes.
        downsampling: The data's sides over those of the grid that a config's networks are built
            for: a divisor of the sides.
        reconstruction: d: "squared_error" (data of any range, summed over the pixels) or
            "bernoulli" (data in [0, 1]; the decoder gives logits; nats an image).
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Mentzer et al. 2023, "Finite Scalar Quantization: VQ-VAE Made Simple", section 3.1 and
        appendix A.1.
    """

    terms = ("loss",)

    def __init__(
        self,
        encoder,
        decoder,
        *,
        levels: Sequence = (8, 5, 5, 5),
        downsampling: int = 4,
        reconstruction: str = "squared_error",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not levels:
            raise ValueError(f"levels must be one integer or more; got {levels!r}.")
        for level in levels:
            quantizers.check_integer("levels", level, 2)
        if math.prod(levels) > MOST_CODES:
            raise ValueError(
                f"levels must make {MOST_CODES} codes at most; got {math.prod(levels)}."
            )
        self.rebuild_by(reconstruction)
        quantizers.check_ends(encoder, decoder, "levels", len(levels))
        self.encoder = encoder
        self.decoder = decoder
        self.levels = list(levels)
        self.downsampling = downsampling
        self.codebook_size = math.prod(levels)
        self.add_term("perplexity", direction="up")
        self.add_term("usage", direction="up")
        self.counts = self.add_weight(
            shape=(self.codebook_size,),
            initializer="ones",
            dtype="float32",
            trainable=False,
            autocast=False,
            name="counts",
        )

    @staticmethod
    def sockets(data_shape, levels=(8, 5, 5, 5), downsampling=4, **_):
        return GridCodes.grid_sockets(data_shape, len(levels), downsampling)

    def objective(self, x, noise, labels, training):
        bounded = bound(self.encoder(x, training=training), self.levels)
        q = quantizers.straight_through(bounded, ops.round(bounded)) / half_widths(self.levels)
        loss = self.reconstruction_error(x, q, training)
        codes = to_indices(ops.stop_gradient(bounded), self.levels)
        chosen = quantizers.counts_by_code(codes, self.codebook_size)
        if training:
            old = ops.convert_to_tensor(self.counts)
            self.counts.assign(COUNT_MOMENTUM * old + (1.0 - COUNT_MOMENTUM) * chosen)
        perplexity, usage = quantizers.perplexity(chosen), quantizers.usage(chosen)
        return loss, {"perplexity": perplexity, "usage": usage}

    def codes(self, x):
        """Indices of the codes of examples: int32 `(batch, rows, columns)`."""
        z = self.encoder(ops.convert_to_tensor(x), training=False)
        return to_indices(bound(z, self.levels), self.levels)

    def vectors(self, indices):
        """Codes in [-1, 1], `(..., len(levels))`, of indices."""
        return from_indices(indices, self.levels)

    def draw_indices(self, stream, shape):
        """Indices of the shape, drawn by how often each code is used."""
        return quantizers.draw_codes(stream.uniform(shape), self.counts)


def bound(z, levels):
    """`tanh(z + shift) * half - offset`: numbers that round to L integers, from `-floor(L / 2)`.

    Args:
        z: `(..., len(levels))`.
        levels: L of each number.

    Returns:
        float32, the shape of `z`.
    """
    levels = np.array(levels)
    half = (levels - 1) * (1 - EPSILON) / 2
    offset = np.where(levels % 2 == 0, 0.5, 0.0)
    shift, half, offset = (
        ops.convert_to_tensor(part, "float32") for part in (np.tan(offset / half), half, offset)
    )
    return ops.tanh(ops.cast(z, "float32") + shift) * half - offset


def half_widths(levels):
    """`floor(L / 2)`, by which codes are brought to [-1, 1]."""
    return ops.convert_to_tensor(np.array(levels) // 2, "float32")


def to_indices(bounded, levels):
    """Index of each code: its digits `round(f) + floor(L / 2)`, the first the lowest.

    Args:
        bounded: f, `(..., len(levels))`.
        levels: L of each number: the bases of the digits.

    Returns:
        int32 `(...)` in `[0, prod(levels))`.
    """
    digits = ops.cast(ops.round(bounded) + half_widths(levels), "int32")
    return ops.cast(ops.sum(digits * _places(levels), axis=-1), "int32")


def from_indices(indices, levels):
    """Codes in [-1, 1] of indices `(...)`: float32 `(..., len(levels))`."""
    bases = ops.convert_to_tensor(np.array(levels), "int32")
    digits = ops.expand_dims(indices, -1) // _places(levels) % bases
    widths = half_widths(levels)
    return (ops.cast(digits, "float32") - widths) / widths


def _places(levels):
    """What one step of each digit adds to the index: 1, L_1, L_1 L_2, ..."""
    return ops.convert_to_tensor(np.cumprod([1, *levels[:-1]]), "int32")

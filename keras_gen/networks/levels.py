"""The levels of a network whose images double from one to the next: their sides, widths, layers."""

import keras

from keras_gen.networks import parts
from keras_gen.networks.equalized import (
    EqualizedConv2D,
    EqualizedDense,
    MinibatchDeviation,
    PixelNormalization,
)

SMALLEST_SIDE = 4


def levels(name, sides, width, widest, start=None):
    """Sides and channels of each level, the coarsest first.

    Args:
        name: of the option that holds the sides, for errors.
        sides: height and width of the finest level.
        width: channels of the finest level, doubled at each coarser one up to `widest`.
        widest: see there.
        start: the smaller side of the coarsest level. None: sides are halved while they are even
            and stay at least 4 (64 -> 4, 28 -> 7).

    Returns:
        `[[height, width], ...]` and as many numbers of channels: of two levels or more.

    Raises:
        ValueError: a number is not positive, or the sides do not come of doubling `start`.
    """
    parts.check_width("width", width)
    parts.check_width("widest", widest)
    finest_last = range(_halvings(name, sides, start), -1, -1)
    return (
        [[side // 2**i for side in sides] for i in finest_last],
        [min(width * 2**i, widest) for i in finest_last],
    )


def convolution(channels, name, kernel_size=3, normalize=False):
    """The layers of `convolve -> activate [-> normalize pixels]`."""
    convolve = EqualizedConv2D(channels, kernel_size, padding="same", name=name)
    return [convolve, *finish(name, normalize)]


def finish(name, normalize=False):
    """The layers of `activate [-> normalize pixels]`."""
    activation = parts.activation_layer("leaky_relu", f"{name}_activation")
    return [activation] + normalize * [PixelNormalization(name=f"{name}_normalization")]


def verdict(channels, outputs, group_size):
    """A discriminator's last layers: `how much the batch differs -> convolve -> activate -> dense
    -> activate -> dense`."""
    return [
        MinibatchDeviation(group_size, name="deviation"),
        *convolution(channels, "level_0_0"),
        keras.layers.Flatten(name="flatten"),
        EqualizedDense(channels, name="level_0_1"),
        *finish("level_0_1"),
        EqualizedDense(outputs, gain=1.0, name="output"),
    ]


def _halvings(name, sides, start):
    """How often the sides are halved down to those of level 0: at least once."""
    if start is None:
        halvings = 0
        while min(sides) >= SMALLEST_SIDE * 2 ** (halvings + 1) and not any(
            side % 2 ** (halvings + 1) for side in sides
        ):
            halvings += 1
        wanted = f"even sides of at least {2 * SMALLEST_SIDE}"
    else:
        parts.check_width("start", start)
        halvings = (min(sides) // start).bit_length() - 1
        if min(sides) != start * 2**halvings or any(side % 2**halvings for side in sides):
            halvings = 0
        wanted = f"sides that come of doubling start = {start}"
    if halvings < 1:
        raise parts.expected(name, f"{wanted}, or there is one level only", tuple(sides))
    return halvings

"""The networks of R3GAN: residual blocks without normalization, that begin as the identity.

The options of both builders:

    filters: channels of each grid, in the order of the data: of the coarsest first (generator), of
        the finest first (discriminator). Sides are doubled or halved between two grids.
    blocks: residual blocks of each grid, 0 or more; one a grid where None. Those of the finest grid
        take most of the time.
    expansion: channels inside a block over those around it.
    groups: in how many groups of channels the 3 x 3 convolutions are split; 1 is quickest on a CPU.
    name: name of the model.

A block is `x + conv1(act(conv3(act(conv1(x)))))`, `act` a bias and a leaky ReLU of slope 0.2. Its
last kernel begins at zero and its others at `gain / sqrt(inputs)`, `gain**2 = 2 / (1 + 0.2**2)`
over the square root of the number of blocks, so that the variance neither grows nor falls with the
depth.

A side s becomes ceil(s / 2) between two grids; on the way back the generator crops the last row or
column where the side is odd.

Reference: Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern GAN Baseline",
section 3; Zhang et al. 2019, "Fixup Initialization: Residual Learning Without Normalization".
"""

import math
from collections.abc import Sequence
from typing import Literal

import keras

from keras_gen.networks import parts
from keras_gen.networks.conv import AXES, crop, pyramid
from keras_gen.networks.layers import BilinearDoubling, GridKernel, LearnedGrid

SLOPE = 0.2
GAIN = 2.0 / (1.0 + SLOPE**2)  # what keeps the variance through a leaky ReLU


def r3gan_generator(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    filters: Sequence[int] = (128, 64, 32),
    blocks: Sequence[int | Literal[0]] | None = None,
    expansion: int = 2,
    groups: int = 1,
    output_activation: str | None = None,
    name: str = "r3gan_generator",
) -> keras.Model:
    """A learned grid weighed by the vector, then blocks and bilinear doublings, to an image.

    `grid * dense(z) -> blocks -> (up(conv1(x)) -> blocks) per further grid -> conv1`.

    Args:
        input_shape: `(features,)`.
        output_shape: `(height, width, channels)`.
        filters: see the module for this and the options not named here.
        output_activation: None as in the paper, "tanh" or "sigmoid".

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind or out of its range.
    """
    input_shape = parts.check_shape("input_shape", input_shape, ("features",))
    output_shape = parts.check_shape("output_shape", output_shape, AXES[3])
    parts.check_choice("output_activation", output_activation, parts.OUTPUT_ACTIVATIONS)
    filters = parts.check_widths("filters", filters)
    blocks = _checked_blocks(blocks, filters)
    _check_options(filters, expansion, groups)
    gain = _gain(blocks)
    coarsest, *grids = pyramid(output_shape[:-1], len(filters) - 1)[::-1]

    x = inputs = keras.Input(input_shape, name="inputs")
    x = keras.layers.Dense(filters[0], use_bias=False, kernel_initializer=_start(), name="weigh")(x)
    x = LearnedGrid(coarsest, name="grid")(x)
    x = _blocks(x, "grid_1", blocks[0], expansion, groups, gain)
    for i, (channels, side) in enumerate(zip(filters[1:], grids, strict=True), start=2):
        # The mixing of channels and the doubling commute: on the coarser grid it costs a fourth.
        x = _change_channels(x, channels, f"up_{i}")
        x = crop(BilinearDoubling(name=f"up_{i}")(x), side, f"up_{i}_crop")
        x = _blocks(x, f"grid_{i}", blocks[i - 1], expansion, groups, gain)
    x = _conv1(output_shape[-1], "output", activation=output_activation)(x)
    return keras.Model(inputs, x, name=name)


def r3gan_discriminator(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    filters: Sequence[int] = (32, 64, 128),
    blocks: Sequence[int | Literal[0]] | None = None,
    expansion: int = 2,
    groups: int = 1,
    name: str = "r3gan_discriminator",
) -> keras.Model:
    """Blocks and halvings, from an image to a grid that a kernel a channel reads, to logits.

    `conv1 -> blocks -> (conv1(pool(x)) -> blocks) per further grid -> kernel of the grid's size,
    a channel each -> dense`, `pool` the mean of 2 x 2, which is bilinear halving. No layer but the
    blocks' has a bias.

    Args:
        input_shape: `(height, width, channels)`.
        output_shape: `(outputs,)`, (1,) for a logit.
        filters: see the module for this and the options not named here.

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind or out of its range.
    """
    input_shape = parts.check_shape("input_shape", input_shape, AXES[3])
    (outputs,) = parts.check_shape("output_shape", output_shape, ("outputs",))
    filters = parts.check_widths("filters", filters)
    blocks = _checked_blocks(blocks, filters)
    _check_options(filters, expansion, groups)
    pyramid(input_shape[:-1], len(filters) - 1)  # refuses more halvings than the image has
    gain = _gain(blocks)

    x = inputs = keras.Input(input_shape, name="inputs")
    x = _conv1(filters[0], "image")(x)
    x = _blocks(x, "grid_1", blocks[0], expansion, groups, gain)
    for i, channels in enumerate(filters[1:], start=2):
        x = keras.layers.AveragePooling2D(2, padding="same", name=f"down_{i}")(x)
        x = _change_channels(x, channels, f"down_{i}")
        x = _blocks(x, f"grid_{i}", blocks[i - 1], expansion, groups, gain)
    x = GridKernel(name="grid")(x)
    x = keras.layers.Dense(outputs, use_bias=False, kernel_initializer=_start(), name="output")(x)
    return keras.Model(inputs, x, name=name)


def _start(gain=1.0):
    """Normal numbers of variance `gain / inputs`."""
    return keras.initializers.VarianceScaling(gain, "fan_in", "untruncated_normal")


def _conv1(channels, name, **options):
    return keras.layers.Conv2D(
        channels, 1, use_bias=False, kernel_initializer=_start(), name=name, **options
    )


def _change_channels(x, channels, name):
    return x if x.shape[-1] == channels else _conv1(channels, f"{name}_channels")(x)


def _blocks(x, name, blocks, expansion, groups, gain):
    channels, inner = x.shape[-1], x.shape[-1] * expansion
    for i in range(1, blocks + 1):
        label = f"{name}_block_{i}"
        y = keras.layers.Conv2D(inner, 1, kernel_initializer=_start(gain), name=f"{label}_in")(x)
        y = parts.activation_layer("leaky_relu", f"{label}_activation_1")(y)
        y = keras.layers.Conv2D(
            inner,
            3,
            padding="same",
            groups=groups,
            kernel_initializer=_start(gain),
            name=f"{label}_conv",
        )(y)
        y = parts.activation_layer("leaky_relu", f"{label}_activation_2")(y)
        y = keras.layers.Conv2D(
            channels, 1, use_bias=False, kernel_initializer="zeros", name=f"{label}_out"
        )(y)
        x = keras.layers.Add(name=label)([x, y])
    return x


def _gain(blocks):
    """Of the variances: deviations times the number of blocks to the power of -1 / (2 m - 2), of
    m = 3 layers in a block (Zhang et al. 2019)."""
    return GAIN / math.sqrt(max(1, sum(blocks)))


def _checked_blocks(blocks, filters):
    blocks = tuple(1 for _ in filters) if blocks is None else blocks
    fits = isinstance(blocks, (tuple, list)) and len(blocks) == len(filters)
    if not fits or any(isinstance(b, bool) or not isinstance(b, int) or b < 0 for b in blocks):
        wanted = f"one number of 0 or more for each of the {len(filters)} grids"
        raise parts.expected("blocks", wanted, blocks)
    return tuple(blocks)


def _check_options(filters, expansion, groups):
    for option, value in (("expansion", expansion), ("groups", groups)):
        parts.check_width(option, value)
    if any(channels * expansion % groups for channels in filters):
        wanted = f"a divisor of every inner width, {[c * expansion for c in filters]}"
        raise parts.expected("groups", wanted, groups)

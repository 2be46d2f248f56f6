"""Strided convolutions between an image or a signal and a vector, of any size and channels.

The options of both builders:

    filters: channels of each stage, in the order of the data: one stage halves (encoder) or
        doubles (decoder) both sides. None: as many stages as `width` needs.
    width: without `filters`, channels at the finest scale, doubled at each coarser one up to
        8 * width; sides are halved until the larger is at most 7 (28 -> 14 -> 7,
        32 -> 16 -> 8 -> 4), at least once.
    kernel_size: side of every kernel. 4 is a multiple of the stride, so that a transposed
        convolution covers every pixel equally often: no checkerboard.
    activation: Keras' name of the hidden activation; "leaky_relu" has slope 0.2.
    normalization: of the hidden layers: None, "batch", "layer" (one example's whole map) or
        "instance" (each channel of one example's map on its own).
    batch_norm_momentum: share of the old running statistics kept at each step, in [0, 1); see
        `mlp` for why it is 0.9.
    dropout: share of hidden activations dropped while training, in [0, 1).
    kernel_initializer: Keras' name of an initializer, or "dcgan": normal, deviation 0.02.
    output_bias: whether the output layer has a bias; a loss that only compares outputs with
        each other cannot see one.
    name: name of the model.

A side s becomes ceil(s / 2) at each stage; on the way back the decoder crops the last row or
column where the side is odd. A signal `(steps, channels)` has one side, an image two.
"""

import math
from collections.abc import Sequence

import keras

from keras_gen.networks import parts

AXES = {2: ("steps", "channels"), 3: ("height", "width", "channels")}
CONVOLUTIONS = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D}
TRANSPOSED = {1: keras.layers.Conv1DTranspose, 2: keras.layers.Conv2DTranspose}
STRIDE = 2
SMALLEST_SIDE = 7
WIDEST = 8


def conv_encoder(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    filters: Sequence[int] | None = None,
    width: int = 32,
    kernel_size: int = 4,
    activation: str = "leaky_relu",
    normalization: str | None = None,
    normalize_first: bool = False,
    batch_norm_momentum: float = 0.9,
    dropout: float = 0.0,
    kernel_initializer: str = "glorot_uniform",
    output_activation: str | None = None,
    output_bias: bool = True,
    name: str = "conv_encoder",
) -> keras.Model:
    """Strided convolutions from an image, or a signal, to a vector.

    `(convolve by 2 -> normalize -> activate -> drop out) per stage -> flatten -> dense`.

    Args:
        input_shape: `(height, width, channels)` or `(steps, channels)`.
        output_shape: shape of one output, `(features,)`.
        filters: see the module for this and the options not named here.
        normalize_first: whether the first stage is normalised too. Radford et al. leave it out:
            the discriminator then sees the mean and the scale of the pixels.
        output_activation: None, "sigmoid" or "tanh".

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind or out of its range.

    Reference: Radford et al., "Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks", 2016, section 3.
    """
    input_shape = check_grid("input_shape", input_shape)
    output_shape = parts.check_shape("output_shape", output_shape)
    parts.check_choice("output_activation", output_activation, parts.OUTPUT_ACTIVATIONS)
    parts.check_width("kernel_size", kernel_size)
    _, filters = stages(input_shape[:-1], filters, width, coarse_first=False)
    hidden = parts.Hidden(
        activation, normalization, batch_norm_momentum, dropout, kernel_initializer
    )

    convolution = CONVOLUTIONS[len(input_shape) - 1]
    x = inputs = keras.Input(input_shape, name="inputs")
    for i, channels in enumerate(filters, start=1):
        normalize = normalize_first or i > 1
        x = convolution(
            channels,
            kernel_size,
            strides=STRIDE,
            padding="same",
            name=f"stage_{i}",
            **hidden.weights(normalize),
        )(x)
        x = hidden.finish(x, f"stage_{i}", normalize)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(
        math.prod(output_shape),
        activation=output_activation,
        use_bias=output_bias,
        kernel_initializer=parts.initializer(kernel_initializer),
        name="output",
    )(x)
    if len(output_shape) > 1:
        x = keras.layers.Reshape(output_shape, name="output_shape")(x)
    return keras.Model(inputs, x, name=name)


def conv_decoder(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    filters: Sequence[int] | None = None,
    width: int = 32,
    kernel_size: int = 4,
    activation: str = "relu",
    normalization: str | None = None,
    batch_norm_momentum: float = 0.9,
    dropout: float = 0.0,
    kernel_initializer: str = "glorot_uniform",
    output_activation: str | None = None,
    output_bias: bool = True,
    name: str = "conv_decoder",
) -> keras.Model:
    """Strided transposed convolutions from a vector to an image or signal: the encoder mirrored.

    `dense to the coarsest grid -> (normalize -> activate -> drop out -> convolve, transposed,
    by 2 -> crop) per stage`.

    The mirror of the encoder's first stage is the output layer, which is never normalised.

    Args:
        input_shape: shape of one code, `(features,)`.
        output_shape: `(height, width, channels)` or `(steps, channels)`.
        filters: channels of each grid from the coarsest on, the image's own left out; see the
            module for the options not named here.
        output_activation: None (logits or an unbounded mean), "sigmoid" for pixels in [0, 1] or
            "tanh" for [-1, 1].

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind or out of its range.

    Reference: Radford et al., "Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks", 2016, section 3.
    """
    input_shape = parts.check_shape("input_shape", input_shape)
    output_shape = check_grid("output_shape", output_shape)
    parts.check_choice("output_activation", output_activation, parts.OUTPUT_ACTIVATIONS)
    parts.check_width("kernel_size", kernel_size)
    sides, filters = stages(output_shape[:-1], filters, width, coarse_first=True)
    hidden = parts.Hidden(
        activation, normalization, batch_norm_momentum, dropout, kernel_initializer
    )

    transposed = TRANSPOSED[len(output_shape) - 1]
    x = inputs = keras.Input(input_shape, name="inputs")
    if len(input_shape) > 1:
        x = keras.layers.Flatten(name="flatten")(x)
    grid = (*sides[0], filters[0])
    x = keras.layers.Dense(math.prod(grid), name="grid", **hidden.weights())(x)
    x = keras.layers.Reshape(grid, name="grid_shape")(x)
    x = hidden.finish(x, "grid")
    for i, (channels, side) in enumerate(zip(filters[1:], sides[1:-1], strict=True), start=1):
        x = transposed(
            channels,
            kernel_size,
            strides=STRIDE,
            padding="same",
            name=f"stage_{i}",
            **hidden.weights(),
        )(x)
        x = crop(x, side, f"stage_{i}_crop")
        x = hidden.finish(x, f"stage_{i}")
    x = transposed(
        output_shape[-1],
        kernel_size,
        strides=STRIDE,
        padding="same",
        activation=output_activation,
        use_bias=output_bias,
        kernel_initializer=parts.initializer(kernel_initializer),
        name="output",
    )(x)
    return keras.Model(inputs, crop(x, sides[-1], "output_crop"), name=name)


def pyramid(sides, stages):
    """The sides of every grid that halving them so often gives, from the finest to the coarsest.

    Args:
        sides: `(height, width)` or `(steps,)`.
        stages: how often they are halved, at least once and until one place is left at most.

    Returns:
        A list of `stages + 1` tuples.

    Raises:
        ValueError: so many stages cannot be.
    """
    whole = _halved_to_one(sides)
    if not 1 <= stages < len(whole):
        wanted = f"1 to {len(whole) - 1} stages that change the sides {sides}"
        raise parts.expected("filters", wanted, f"filters of {stages} stages")
    return whole[: stages + 1]


def _halved_to_one(sides):
    whole = [sides]
    while max(whole[-1]) > 1:
        whole.append(tuple(math.ceil(side / STRIDE) for side in whole[-1]))
    return whole


def stages(sides, filters, width, coarse_first, smallest=SMALLEST_SIDE):
    """The sides of every grid, the image's included, and the channels of each stage, in order."""
    parts.check_width("width", width)
    if filters is None:
        small = [i for i, grid in enumerate(_halved_to_one(sides)) if max(grid) <= smallest]
        count = max(1, small[0])
        filters = [width * min(2**i, WIDEST) for i in range(count)]
        filters = filters[::-1] if coarse_first else filters
    filters = parts.check_widths("filters", filters)
    grids = pyramid(sides, len(filters))
    return (grids[::-1] if coarse_first else grids), filters


def check_grid(name, shape):
    """Returns the shape of an image or a signal as a tuple of positive integers."""
    axes = AXES.get(len(shape)) if isinstance(shape, (tuple, list)) else None
    return parts.check_shape(name, shape, axes or AXES[3])


def crop(x, sides, name):
    """Drops the last row or column of what is larger than `sides`."""
    spare = [is_ - wanted for is_, wanted in zip(x.shape[1:-1], sides, strict=True)]
    if not any(spare):
        return x
    if len(spare) == 1:
        return keras.layers.Cropping1D((0, spare[0]), name=name)(x)
    return keras.layers.Cropping2D([(0, last) for last in spare], name=name)(x)


def same_sides(input_shape, output_shape):
    """Returns `output_shape` as a tuple, after a check that it has the sides of the input."""
    output_shape = parts.check_shape("output_shape", output_shape, AXES[len(input_shape)])
    if output_shape[:-1] != input_shape[:-1]:
        wanted = f"the sides of the input, {input_shape[:-1]}, and channels"
        raise parts.expected("output_shape", wanted, output_shape)
    return output_shape

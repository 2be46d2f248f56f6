"""The networks of StyleGAN2: styles scale the features of every layer; a residual judge of images.

The options of both builders:

    width, widest, start: of `levels`; the paper's are 512 up to 64 x 64, then halved.
    name: name of the model.

All weights are equalised. Images double bilinearly, which is the paper's filter [1, 3, 3, 1] but at
the borders, and are halved by the mean of 2 x 2.

Reference: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN".
"""

from collections.abc import Sequence

import keras

from keras_gen.networks import parts
from keras_gen.networks.conv import AXES
from keras_gen.networks.equalized import (
    GAIN,
    EqualizedConv2D,
    EqualizedDense,
    PixelNormalization,
)
from keras_gen.networks.layers import BilinearDoubling
from keras_gen.networks.levels import convolution, finish, levels, verdict
from keras_gen.networks.modulated import ConstantGrid, ModulatedConv2D, PixelNoise, Row


def style_generator(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    width: int = 16,
    widest: int = 128,
    start: int | None = None,
    features: int = 128,
    mapping_layers: int = 8,
    mapping_speed: float = 0.01,
    output_activation: str | None = None,
    name: str = "style_generator",
) -> keras.Model:
    """Vectors to styles (its layer "mapping"), styles to images (its layer "synthesis").

    `mapping:   normalize -> (dense -> activate) a layer`
    `synthesis: constant -> styled convolution -> (up -> styled convolution twice) a level`, where
    a styled convolution is `modulated by its style -> noise -> activate`, and the image is the sum
    of what a modulated convolution 1 x 1 makes of each level, doubled on.

    The synthesis takes `(batch, 2 * levels, features)`, one style for each convolution but that
    of a level's image, which shares the next level's first; the last image has one of its own.

    Args:
        input_shape: `(features,)`.
        output_shape: `(height, width, channels)`.
        width: see the module for this and the options not named here.
        features: numbers of a style; 512 in the paper.
        mapping_layers: dense layers from a vector to a style.
        mapping_speed: how fast the mapping learns beside the synthesis.
        output_activation: None as in the paper, "tanh" or "sigmoid".

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind, or the sides do not come of doubling `start`.

    Reference: Karras et al. 2020, figure 2d and section 4.1 (output skips); the mapping of
    Karras et al. 2019, section 2 and appendix C.
    """
    input_shape = parts.check_shape("input_shape", input_shape, ("features",))
    output_shape = parts.check_shape("output_shape", output_shape, AXES[3])
    parts.check_choice("output_activation", output_activation, parts.OUTPUT_ACTIVATIONS)
    for option, value in (("features", features), ("mapping_layers", mapping_layers)):
        parts.check_width(option, value)
    if not mapping_speed > 0:
        raise parts.expected("mapping_speed", "a number above 0", mapping_speed)
    mapping = _mapping(input_shape, features, mapping_layers, mapping_speed)
    sides, widths = levels("output_shape", output_shape[:-1], width, widest, start)
    synthesis = _synthesis(sides, widths, features, output_shape[-1], output_activation)
    inputs = keras.Input(input_shape, name="inputs")
    styles = keras.layers.RepeatVector(2 * len(sides), name="styles")(mapping(inputs))
    return keras.Model(inputs, synthesis(styles), name=name)


def _mapping(input_shape, features, depth, speed):
    x = inputs = keras.Input(input_shape, name="latents")
    x = PixelNormalization(name="normalization")(x)
    for i in range(1, depth + 1):
        # Weights so much larger, and outputs so much smaller, bias and all: Adam's steps, which
        # are of one length whatever the scale, are small beside them.
        large = keras.initializers.RandomNormal(stddev=1.0 / speed)
        x = EqualizedDense(features, kernel_initializer=large, name=f"dense_{i}")(x)
        x = keras.layers.Rescaling(speed, name=f"dense_{i}_speed")(x)
        for layer in finish(f"dense_{i}"):
            x = layer(x)
    return keras.Model(inputs, x, name="mapping")


def _synthesis(sides, widths, features, channels, output_activation):
    def styled(x, width, name):
        x = ModulatedConv2D(width, 3, padding="same", name=name)(x, next(ahead))
        x = PixelNoise(name=f"{name}_noise")(x)
        x = parts.activation_layer("leaky_relu", f"{name}_activation")(x)
        return keras.layers.Rescaling(GAIN, name=f"{name}_gain")(x)

    inputs = keras.Input((2 * len(sides), features), name="styles")
    styles = [Row(i, name=f"style_{i}")(inputs) for i in range(2 * len(sides))]
    ahead = iter(styles)
    image, x = None, ConstantGrid((*sides[0], widths[0]), name="constant")(styles[0])
    for level, width in enumerate(widths):
        if level:
            x = BilinearDoubling(name=f"level_{level}_up")(x)
            x = styled(x, width, f"level_{level}_0")
        x = styled(x, width, f"level_{level}_1")
        made = ModulatedConv2D(channels, 1, gain=1.0, demodulate=False, name=f"image_{level}")
        new = made(x, styles[2 * level + 1])
        if image is not None:
            image = BilinearDoubling(name=f"images_{level}_up")(image)
            new = keras.layers.Add(name=f"images_{level}")([image, new])
        image = new
    if output_activation is not None:
        image = keras.layers.Activation(output_activation, name="output")(image)
    return keras.Model(inputs, image, name="synthesis")


def style_discriminator(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    width: int = 16,
    widest: int = 128,
    start: int | None = None,
    group_size: int | None = 4,
    name: str = "style_discriminator",
) -> keras.Model:
    """Images to numbers, over residual blocks that halve them.

    `convolve, 1 x 1 -> activate -> block a level -> how much the batch differs -> convolve
    -> activate -> dense -> activate -> dense`, where a block is
    `((convolve -> activate) twice -> halve) + (halve -> convolve, 1 x 1)`, over sqrt(2).

    Args:
        input_shape: `(height, width, channels)`.
        output_shape: shape of one output, `(features,)`.
        width: see the module for this and the options not named here.
        group_size: images a group of those that are compared; None for the whole batch.

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind, or the sides do not come of doubling `start`.

    Reference: Karras et al. 2020, figure 7c and section 4.1 (residual discriminator).
    """
    input_shape = parts.check_shape("input_shape", input_shape, AXES[3])
    (outputs,) = parts.check_shape("output_shape", output_shape, ("features",))
    if group_size is not None:
        parts.check_width("group_size", group_size)
    _, widths = levels("input_shape", input_shape[:-1], width, widest, start)

    def through(x, *layers):
        for layer in layers:
            x = layer(x)
        return x

    x = inputs = keras.Input(input_shape, name="inputs")
    x = through(x, *convolution(widths[-1], "pixels", kernel_size=1))
    for level in range(len(widths) - 1, 0, -1):
        block, coarser = f"level_{level}", widths[level - 1]
        y = through(
            x,
            *convolution(widths[level], f"{block}_0"),
            *convolution(coarser, f"{block}_1"),
            keras.layers.AveragePooling2D(2, name=f"{block}_halve"),
        )
        x = through(
            x,
            keras.layers.AveragePooling2D(2, name=f"{block}_skip_halve"),
            EqualizedConv2D(coarser, 1, gain=1.0, use_bias=False, name=f"{block}_skip"),
        )
        x = keras.layers.Add(name=block)([x, y])
        x = keras.layers.Rescaling(2**-0.5, name=f"{block}_scale")(x)
    x = through(x, *verdict(widths[0], outputs, group_size))
    return keras.Model(inputs, x, name=name)

"""The U-Net: down to a vector and up again, each scale handed over to its counterpart."""

from collections.abc import Sequence

import keras

from keras_gen.networks import parts
from keras_gen.networks.conv import (
    CONVOLUTIONS,
    STRIDE,
    TRANSPOSED,
    check_grid,
    crop,
    same_sides,
    stages,
)


def unet(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    filters: Sequence[int] | None = None,
    width: int = 64,
    kernel_size: int = 4,
    activation: str = "relu",
    down_activation: str = "leaky_relu",
    normalization: str | None = "batch",
    batch_norm_momentum: float = 0.9,
    dropout: float = 0.5,
    dropout_stages: int = 3,
    kernel_initializer: str = "dcgan",
    output_activation: str | None = None,
    output_bias: bool = True,
    name: str = "unet",
) -> keras.Model:
    """Strided convolutions down, transposed ones up, and what each scale held beside it again.

    `(convolve by 2 -> normalize -> activate) per stage -> (convolve, transposed, by 2 -> crop ->
    normalize -> activate -> drop out -> join what the stage down of these sides gave) per stage
    but the last -> convolve, transposed, by 2 -> crop`.

    The first stage and the innermost, whose grid may be a single place, are not normalised.

    Args:
        input_shape: `(height, width, channels)` or `(steps, channels)`, of any size: a side s
            becomes ceil(s / 2) at each stage, and on the way up the last row or column is cut off
            where it was odd.
        output_shape: the same sides, with channels of its own.
        filters: channels of each stage down; those up mirror them. None: as many stages as lead to
            a grid of one place, doubled at each from `width` up to 8 * width.
        width: without `filters`, channels of the first stage.
        kernel_size: side of every kernel.
        activation: Keras' name of the activation of the stages up.
        down_activation: of those down; "leaky_relu" has slope 0.2.
        normalization: of the hidden layers: None, "batch", "layer" or "instance".
        batch_norm_momentum: share of the old running statistics kept at each step, in [0, 1).
        dropout: share of activations dropped while training, in [0, 1): the paper's only noise.
        dropout_stages: how many stages up, the innermost first, drop out.
        kernel_initializer: Keras' name of an initializer, or "dcgan": normal, deviation 0.02.
        output_activation: None, "sigmoid" for pixels in [0, 1] or "tanh" for [-1, 1].
        output_bias: whether the output layer has a bias.
        name: name of the model.

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind or out of its range, or the sides differ.

    Reference: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks",
    2017, sections 3.2.1 and 6.1.1; Ronneberger et al., "U-Net", 2015.
    """
    input_shape = check_grid("input_shape", input_shape)
    output_shape = same_sides(input_shape, output_shape)
    parts.check_choice("output_activation", output_activation, parts.OUTPUT_ACTIVATIONS)
    parts.check_width("kernel_size", kernel_size)
    parts.check_width("dropout_stages", dropout_stages)
    sides, filters = stages(input_shape[:-1], filters, width, coarse_first=False, smallest=1)
    options = normalization, batch_norm_momentum
    down = parts.Hidden(down_activation, *options, 0.0, kernel_initializer)
    up = parts.Hidden(activation, *options, 0.0, kernel_initializer)
    dropping = parts.Hidden(activation, *options, dropout, kernel_initializer)

    rank = len(input_shape) - 1
    convolution, transposed = CONVOLUTIONS[rank], TRANSPOSED[rank]
    x = inputs = keras.Input(input_shape, name="inputs")
    handed_over = []
    for i, channels in enumerate(filters, start=1):
        normalize = 1 < i < len(filters)
        x = convolution(
            channels,
            kernel_size,
            strides=STRIDE,
            padding="same",
            name=f"down_{i}",
            **down.weights(normalize),
        )(x)
        x = down.finish(x, f"down_{i}", normalize)
        handed_over.append(x)
    for i in range(len(filters) - 1, 0, -1):
        hidden = dropping if len(filters) - i <= dropout_stages else up
        x = transposed(
            filters[i - 1],
            kernel_size,
            strides=STRIDE,
            padding="same",
            name=f"up_{i}",
            **hidden.weights(),
        )(x)
        x = hidden.finish(crop(x, sides[i], f"up_{i}_crop"), f"up_{i}")
        x = keras.layers.Concatenate(name=f"joined_{i}")([x, handed_over[i - 1]])
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
    return keras.Model(inputs, crop(x, sides[0], "output_crop"), name=name)

"""The PatchGAN: a discriminator that judges each patch of an image on its own."""

from collections.abc import Sequence

import keras

from keras_gen.networks import parts
from keras_gen.networks.conv import AXES, CONVOLUTIONS, STRIDE, WIDEST, check_grid


def patch_gan(
    input_shape: Sequence[int],
    output_shape: Sequence[int | None],
    *,
    width: int = 64,
    stages: int = 3,
    kernel_size: int = 4,
    activation: str = "leaky_relu",
    normalization: str | None = "batch",
    batch_norm_momentum: float = 0.9,
    dropout: float = 0.0,
    kernel_initializer: str = "dcgan",
    output_bias: bool = True,
    name: str = "patch_gan",
) -> keras.Model:
    """Strided convolutions from an image to a map of logits, one a patch.

    `(convolve by 2 -> normalize -> activate) per stage -> convolve -> normalize -> activate
    -> convolve to one channel`.

    With kernels of 4 a logit sees a patch of `9 * 2**stages - 2` pixels a side: 16, 34, 70 and 142
    with 1, 2, 3 and 4 stages. The first stage is not normalised.

    Args:
        input_shape: `(height, width, channels)` or `(steps, channels)`.
        output_shape: `(rows, columns, 1)`: the sides of the map, each the image's divided by
            2**stages and rounded up; None where it is left to this builder.
        width: channels of the first stage, doubled at each later layer up to 8 * width.
        stages: convolutions by 2; with more of them the patches are larger, and fewer.
        kernel_size: side of every kernel.
        activation: Keras' name of the hidden activation; "leaky_relu" has slope 0.2.
        normalization: of the hidden layers: None, "batch", "layer" or "instance".
        batch_norm_momentum: share of the old running statistics kept at each step, in [0, 1).
        dropout: share of hidden activations dropped while training, in [0, 1).
        kernel_initializer: Keras' name of an initializer, or "dcgan": normal, deviation 0.02.
        output_bias: whether the output layer has a bias.
        name: name of the model.

    Returns:
        A functional model `(batch, *input_shape) -> (batch, rows, columns, 1)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind or out of its range, or the map has other sides.

    Reference: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks",
    2017, sections 3.2.2 and 6.1.2.
    """
    input_shape = check_grid("input_shape", input_shape)
    for option, value in (("width", width), ("stages", stages), ("kernel_size", kernel_size)):
        parts.check_width(option, value)
    made = (*(-(-side // STRIDE**stages) for side in input_shape[:-1]), 1)
    wanted = tuple(output_shape) if isinstance(output_shape, (tuple, list)) else output_shape
    if wanted not in (made, (None,) * (len(made) - 1) + (1,)):
        sides = f"{made} of {stages} stages, or None for its sides"
        raise parts.expected("output_shape", f"({', '.join(AXES[len(made)])}): {sides}", wanted)
    hidden = parts.Hidden(
        activation, normalization, batch_norm_momentum, dropout, kernel_initializer
    )

    convolution = CONVOLUTIONS[len(input_shape) - 1]
    x = inputs = keras.Input(input_shape, name="inputs")
    for i in range(stages + 1):
        normalize = i > 0
        x = convolution(
            width * min(2**i, WIDEST),
            kernel_size,
            strides=STRIDE if i < stages else 1,
            padding="same",
            name=f"stage_{i + 1}",
            **hidden.weights(normalize),
        )(x)
        x = hidden.finish(x, f"stage_{i + 1}", normalize)
    x = convolution(
        1,
        kernel_size,
        padding="same",
        use_bias=output_bias,
        kernel_initializer=parts.initializer(kernel_initializer),
        name="output",
    )(x)
    return keras.Model(inputs, x, name=name)

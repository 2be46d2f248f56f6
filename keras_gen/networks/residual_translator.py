"""Johnson et al.'s image translator: down, residual blocks, up, with mirrored borders."""

from collections.abc import Sequence

import keras
from keras import ops

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


@keras.saving.register_keras_serializable(package="keras_gen")
class ReflectPadding(keras.layers.Layer):
    """Mirrors an image, or a signal, at its borders, which are not repeated.

    Args:
        padding: Places added at each border, fewer than each side has.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, padding, **kwargs):
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, x):
        sides = [[self.padding, self.padding]] * (len(x.shape) - 2)
        return ops.pad(x, [[0, 0], *sides, [0, 0]], mode="reflect")

    def compute_output_shape(self, shape):
        batch, *sides, channels = shape
        return (batch, *(side + 2 * self.padding for side in sides), channels)

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}


def residual_translator(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    width: int = 64,
    downsampling: int = 2,
    blocks: int = 6,
    activation: str = "relu",
    normalization: str | None = "instance",
    batch_norm_momentum: float = 0.9,
    dropout: float = 0.0,
    kernel_initializer: str = "dcgan",
    output_activation: str | None = None,
    output_bias: bool = True,
    name: str = "residual_translator",
) -> keras.Model:
    """From an image to another of its size: down, residual blocks, and up again.

    `c7s1-64, d128, d256, R256 x blocks, u128, u64, c7s1-channels` in the paper's names: `c7s1` a
    7 x 7 convolution, `d` a 3 x 3 one by 2, `R` two of 3 x 3 added to what they were given, `u`
    a transposed 3 x 3 one by 2; each normalised and activated. Where a convolution does not
    stride, the border is mirrored instead of filled with 0.

    Args:
        input_shape: `(height, width, channels)` or `(steps, channels)`, of any size.
        output_shape: the same sides, with channels of its own.
        width: channels at the finest scale, doubled at each coarser one; 64 in the paper.
        downsampling: how often the sides are halved; 2 in the paper.
        blocks: residual blocks at the coarsest scale; 6 in the paper for sides of 128, 9 for 256.
        activation: Keras' name of the hidden activation.
        normalization: of the hidden layers: None, "batch", "layer" or "instance".
        batch_norm_momentum: share of the old running statistics kept at each step, in [0, 1).
        dropout: share of hidden activations dropped while training, in [0, 1).
        kernel_initializer: Keras' name of an initializer, or "dcgan": normal, deviation 0.02.
        output_activation: None, "sigmoid" for pixels in [0, 1] or "tanh" for [-1, 1].
        output_bias: whether the output layer has a bias.
        name: name of the model.

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind or out of its range, or the sides differ or are
            too small.

    Reference: Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
    Networks", 2017, section 7.2; Johnson et al., "Perceptual Losses for Real-Time Style Transfer
    and Super-Resolution", 2016.
    """
    input_shape = check_grid("input_shape", input_shape)
    output_shape = same_sides(input_shape, output_shape)
    parts.check_choice("output_activation", output_activation, parts.OUTPUT_ACTIVATIONS)
    for option, value in (("width", width), ("downsampling", downsampling), ("blocks", blocks)):
        parts.check_width(option, value)
    smallest = min(-(-side // STRIDE**downsampling) for side in input_shape[:-1])
    if smallest < 2 or min(input_shape[:-1]) < 4:
        wanted = f"sides of 4 or more, and of 2 when halved {downsampling} times"
        raise parts.expected("input_shape", wanted, input_shape)
    filters = [width * 2**i for i in range(1, downsampling + 1)]
    sides, filters = stages(input_shape[:-1], filters, width, coarse_first=False)
    hidden = parts.Hidden(
        activation, normalization, batch_norm_momentum, dropout, kernel_initializer
    )

    rank = len(input_shape) - 1
    convolution, transposed = CONVOLUTIONS[rank], TRANSPOSED[rank]

    def mirrored(x, channels, kernel_size, name, **options):
        x = ReflectPadding(kernel_size // 2, name=f"{name}_border")(x)
        return convolution(channels, kernel_size, name=name, **options)(x)

    strided = {"kernel_size": 3, "strides": STRIDE, "padding": "same"}
    x = inputs = keras.Input(input_shape, name="inputs")
    x = hidden.finish(mirrored(x, width, 7, "first", **hidden.weights()), "first")
    for i, channels in enumerate(filters, start=1):
        x = convolution(channels, **strided, name=f"down_{i}", **hidden.weights())(x)
        x = hidden.finish(x, f"down_{i}")
    for i in range(1, blocks + 1):
        y = mirrored(x, filters[-1], 3, f"block_{i}_in", **hidden.weights())
        y = hidden.finish(y, f"block_{i}_in")
        y = mirrored(y, filters[-1], 3, f"block_{i}_out", **hidden.weights())
        y = hidden.normalize(y, f"block_{i}_out")
        x = keras.layers.Add(name=f"block_{i}")([x, y])
    for i, channels in enumerate([*filters[-2::-1], width], start=1):
        x = transposed(channels, **strided, name=f"up_{i}", **hidden.weights())(x)
        x = hidden.finish(crop(x, sides[-1 - i], f"up_{i}_crop"), f"up_{i}")
    x = mirrored(
        x,
        output_shape[-1],
        7,
        "output",
        activation=output_activation,
        use_bias=output_bias,
        kernel_initializer=parts.initializer(kernel_initializer),
    )
    return keras.Model(inputs, x, name=name)

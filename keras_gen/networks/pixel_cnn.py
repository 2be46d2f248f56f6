"""The PixelCNN: each place of a grid is told by the places before it, row by row."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_gen.networks import parts
from keras_gen.networks.conv import AXES


@keras.saving.register_keras_serializable(package="keras_gen")
class MaskedConv2D(keras.layers.Conv2D):
    """A convolution that sees the rows above, and of its own row what is to the left.

    Args:
        filters: Channels that come out.
        kernel_size: Side of the kernel, odd.
        sees_itself: Whether it sees its own place: the paper's mask B; the first layer's is A.
        **kwargs: of `keras.layers.Conv2D`.

    Reference: van den Oord et al., "Pixel Recurrent Neural Networks", 2016, section 3.4.
    """

    def __init__(self, filters, kernel_size, sees_itself=True, **kwargs):
        super().__init__(filters, kernel_size, **{**kwargs, "padding": "same"})
        self.sees_itself = sees_itself
        rows, columns = self.kernel_size
        self._mask = np.zeros((rows, columns, 1, 1), "float32")
        self._mask[: rows // 2] = 1.0
        self._mask[rows // 2, : columns // 2 + sees_itself] = 1.0

    def convolution_op(self, inputs, kernel):
        kernel = ops.convert_to_tensor(kernel)
        return super().convolution_op(inputs, kernel * ops.cast(self._mask, kernel.dtype))

    def get_config(self):
        return {**super().get_config(), "sees_itself": self.sees_itself}


def pixel_cnn(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    width: int = 64,
    blocks: int = 5,
    kernel_size: int = 3,
    first_kernel_size: int = 7,
    activation: str = "relu",
    kernel_initializer: str = "glorot_uniform",
    name: str = "pixel_cnn",
) -> keras.Model:
    """Masked convolutions with residual blocks, from a grid to what follows at each of its places.

    `conv_A -> h + conv1(act(conv_B(act(conv1(act(h)))))) per block -> act -> conv1 -> act -> conv1`

    What a place is told does not depend on itself, nor on a place after it. A triangle above and to
    the right of a place is not seen either, the paper's blind spot, unless later blocks reach it.

    Args:
        input_shape: `(rows, columns, features)`.
        output_shape: `(rows, columns, outputs)`: logits of a code, say.
        width: channels of every hidden layer; the blocks' inner ones have half of them.
        blocks: residual blocks.
        kernel_size: side of their kernels, odd.
        first_kernel_size: side of the first kernel, odd; 7 in the paper.
        activation: Keras' name of the hidden activation.
        kernel_initializer: Keras' name of an initializer.
        name: name of the model.

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`.

    Raises:
        ValueError: an option is not of its kind, or the shapes are not those of one grid.

    Reference: van den Oord et al., "Pixel Recurrent Neural Networks", 2016, section 3.4, figure 5
        and table 1.
    """
    grid = parts.check_shape("input_shape", input_shape, AXES[3])
    outputs = parts.check_shape("output_shape", output_shape, AXES[3])
    if outputs[:2] != grid[:2]:
        raise parts.expected("output_shape", f"the grid of the input, {grid[:2]}", outputs)
    parts.check_width("width", width)
    if isinstance(blocks, bool) or not isinstance(blocks, int) or blocks < 0:
        raise parts.expected("blocks", "an integer of 0 or more", blocks)
    for option, size in (("kernel_size", kernel_size), ("first_kernel_size", first_kernel_size)):
        parts.check_width(option, size)
        if size % 2 == 0:
            raise parts.expected(option, "an odd integer", size)

    def convolution(filters, size, name, sees_itself=True):
        initializer = parts.initializer(kernel_initializer)
        return MaskedConv2D(filters, size, sees_itself, kernel_initializer=initializer, name=name)

    def activate(x, name):
        return parts.activation_layer(activation, name)(x)

    inner = max(1, width // 2)
    inputs = keras.Input(grid, name="inputs")
    x = convolution(width, first_kernel_size, "first", sees_itself=False)(inputs)
    for i in range(1, blocks + 1):
        y = convolution(inner, 1, f"block_{i}_in")(activate(x, f"block_{i}_activation_1"))
        y = convolution(inner, kernel_size, f"block_{i}")(activate(y, f"block_{i}_activation_2"))
        y = convolution(width, 1, f"block_{i}_out")(activate(y, f"block_{i}_activation_3"))
        x = keras.layers.Add(name=f"block_{i}_sum")([x, y])
    x = convolution(width, 1, "last")(activate(x, "last_activation_1"))
    x = convolution(outputs[-1], 1, "output")(activate(x, "last_activation_2"))
    return keras.Model(inputs, x, name=name)

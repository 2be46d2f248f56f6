"""Strided convolutions and residual blocks between an image or a signal and a grid of vectors.

The options of both builders:

    width: channels of every hidden layer; 256 in the paper.
    blocks: residual blocks at the coarsest scale.
    kernel_size: side of the strided kernels. 4 is a multiple of the stride, so that a transposed
        convolution covers every pixel equally often: no checkerboard.
    activation: Keras' name of the hidden activation; "leaky_relu" has slope 0.2.
    normalization: of the hidden layers: None, "batch", "layer" (one example's whole map) or
        "instance" (each channel of one example's map on its own).
    batch_norm_momentum: share of the old running statistics kept at each step, in [0, 1); see
        `mlp` for why it is 0.9.
    dropout: share of hidden activations dropped while training, in [0, 1).
    kernel_initializer: Keras' name of an initializer, or "dcgan": normal, deviation 0.02.
    output_bias: whether the output layer has a bias.
    name: name of the model.

The shapes say how often the sides are halved: (28, 28, 1) to (7, 7, 64) is twice. A signal
`(steps, channels)` has one side, an image two.
"""

from collections.abc import Sequence

import keras

from keras_gen.networks import parts
from keras_gen.networks.conv import AXES, CONVOLUTIONS, STRIDE, TRANSPOSED


def residual_encoder(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    width: int = 128,
    blocks: int = 2,
    kernel_size: int = 4,
    activation: str = "relu",
    normalization: str | None = None,
    batch_norm_momentum: float = 0.9,
    dropout: float = 0.0,
    kernel_initializer: str = "glorot_uniform",
    output_activation: str | None = None,
    output_bias: bool = True,
    name: str = "residual_encoder",
) -> keras.Model:
    """Strided convolutions, then residual blocks, from an image or a signal to a grid of vectors.

    `(convolve by 2 -> activate) per halving -> x + conv1(act(conv3(act(x)))) per block
    -> activate -> convolve, 1 x 1`.

    Args:
        input_shape: `(height, width, channels)` or `(steps, channels)`.
        output_shape: shape of the grid, `(height / 2**n, width / 2**n, features)`, n at least 1.
        width: see the module for this and the options not named here.
        output_activation: None, "sigmoid" or "tanh".

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind or out of its range, or the grid does not come
            of halving the sides.

    Reference: van den Oord et al., "Neural Discrete Representation Learning", 2017, section 4.1.
    """
    image, grid = _check_ends(input_shape, output_shape)
    _check_options(width, blocks, kernel_size, output_activation)
    hidden = parts.Hidden(
        activation, normalization, batch_norm_momentum, dropout, kernel_initializer
    )

    halvings = _halvings(image, grid, "output_shape")
    convolution = CONVOLUTIONS[len(image) - 1]
    x = inputs = keras.Input(image, name="inputs")
    for i in range(1, halvings + 1):
        if i > 1:
            x = hidden.finish(x, f"stage_{i - 1}")
        x = convolution(
            width, kernel_size, STRIDE, padding="same", name=f"stage_{i}", **hidden.weights()
        )(x)
    x = _residual_blocks(x, convolution, width, blocks, hidden)
    x = convolution(
        grid[-1],
        1,
        activation=output_activation,
        use_bias=output_bias,
        kernel_initializer=parts.initializer(kernel_initializer),
        name="output",
    )(x)
    return keras.Model(inputs, x, name=name)


def residual_decoder(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    width: int = 128,
    blocks: int = 2,
    kernel_size: int = 4,
    activation: str = "relu",
    normalization: str | None = None,
    batch_norm_momentum: float = 0.9,
    dropout: float = 0.0,
    kernel_initializer: str = "glorot_uniform",
    output_activation: str | None = None,
    output_bias: bool = True,
    name: str = "residual_decoder",
) -> keras.Model:
    """Residual blocks, then strided transposed convolutions: the encoder mirrored.

    `convolve, 1 x 1 -> x + conv1(act(conv3(act(x)))) per block -> activate
    -> (convolve, transposed, by 2 -> activate) per doubling`, the last not activated.

    Args:
        input_shape: shape of the grid, `(height / 2**n, width / 2**n, features)`, n at least 1.
        output_shape: `(height, width, channels)` or `(steps, channels)`.
        width: see the module for this and the options not named here.
        output_activation: None (logits or an unbounded mean), "sigmoid" for pixels in [0, 1] or
            "tanh" for [-1, 1].

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind or out of its range, or the grid does not come
            of halving the sides.

    Reference: van den Oord et al., "Neural Discrete Representation Learning", 2017, section 4.1.
    """
    grid, image = _check_ends(input_shape, output_shape)
    _check_options(width, blocks, kernel_size, output_activation)
    hidden = parts.Hidden(
        activation, normalization, batch_norm_momentum, dropout, kernel_initializer
    )

    halvings = _halvings(image, grid, "input_shape")
    convolution, transposed = CONVOLUTIONS[len(image) - 1], TRANSPOSED[len(image) - 1]
    x = inputs = keras.Input(grid, name="inputs")
    x = convolution(width, 1, name="grid", **hidden.weights())(x)
    x = _residual_blocks(x, convolution, width, blocks, hidden)
    for i in range(1, halvings):
        x = transposed(
            width, kernel_size, STRIDE, padding="same", name=f"stage_{i}", **hidden.weights()
        )(x)
        x = hidden.finish(x, f"stage_{i}")
    x = transposed(
        image[-1],
        kernel_size,
        STRIDE,
        padding="same",
        activation=output_activation,
        use_bias=output_bias,
        kernel_initializer=parts.initializer(kernel_initializer),
        name="output",
    )(x)
    return keras.Model(inputs, x, name=name)


def _residual_blocks(x, convolution, width, blocks, hidden):
    """The blocks one after the other, and the activation that ends them."""
    for i in range(1, blocks + 1):
        y = hidden.finish(x, f"block_{i}_in")
        y = convolution(width, 3, padding="same", name=f"block_{i}_3", **hidden.weights())(y)
        y = hidden.finish(y, f"block_{i}_3")
        y = convolution(width, 1, name=f"block_{i}_1", **hidden.weights())(y)
        x = keras.layers.Add(name=f"block_{i}")([x, y])
    return hidden.finish(x, "blocks")


def _check_ends(input_shape, output_shape):
    """Both shapes as tuples of two or three integers, of one length."""
    axes = AXES.get(len(input_shape)) if isinstance(input_shape, (tuple, list)) else None
    input_shape = parts.check_shape("input_shape", input_shape, axes or AXES[3])
    return input_shape, parts.check_shape("output_shape", output_shape, AXES[len(input_shape)])


def _halvings(image, grid, name):
    """How often the sides of the image are halved to those of the grid."""
    halvings = (image[0] // grid[0]).bit_length() - 1
    if halvings < 1 or any(
        fine != coarse * STRIDE**halvings
        for fine, coarse in zip(image[:-1], grid[:-1], strict=True)
    ):
        wanted = f"a grid whose sides are {image[:-1]} halved once or more, without a rest"
        raise parts.expected(name, wanted, grid)
    return halvings


def _check_options(width, blocks, kernel_size, output_activation):
    parts.check_width("width", width)
    parts.check_width("kernel_size", kernel_size)
    if isinstance(blocks, bool) or not isinstance(blocks, int) or blocks < 0:
        raise parts.expected("blocks", "an integer of 0 or more", blocks)
    parts.check_choice("output_activation", output_activation, parts.OUTPUT_ACTIVATIONS)

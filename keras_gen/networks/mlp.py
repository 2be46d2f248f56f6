"""The multi-layer perceptron: any shape in, any shape out."""

import math
from collections.abc import Sequence

import keras

from keras_gen.networks import parts


def mlp(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    units: Sequence[int] = (256,),
    activation: str = "relu",
    normalization: str | None = None,
    batch_norm_momentum: float = 0.9,
    dropout: float = 0.0,
    kernel_initializer: str = "glorot_uniform",
    output_activation: str | None = None,
    output_bias: bool = True,
    name: str = "mlp",
) -> keras.Model:
    """Fully connected layers between two shapes.

    `flatten -> (dense -> normalize -> activate -> drop out) per hidden layer -> dense -> reshape`.

    Args:
        input_shape: shape of one example, `(features,)` or `(height, width, channels)`.
        output_shape: shape of one output.
        units: width of each hidden layer; empty for a linear map.
        activation: Keras' name of the hidden activation; "leaky_relu" has slope 0.2.
        normalization: of the hidden layers: None, "batch" or "layer".
        batch_norm_momentum: share of the old running statistics kept at each step, in [0, 1).
            0.9 keeps up with weights that move; Keras' own 0.99 still holds a third of its
            initial values after 100 steps, so an early sample looks worse than its model is.
        dropout: share of hidden activations dropped while training, in [0, 1).
        kernel_initializer: Keras' name of an initializer, or "dcgan": normal, deviation 0.02.
        output_activation: None, "sigmoid" or "tanh".
        output_bias: whether the output layer has a bias; a loss that only compares outputs with
            each other cannot see one.
        name: name of the model.

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind or out of its range.
    """
    input_shape = parts.check_shape("input_shape", input_shape)
    output_shape = parts.check_shape("output_shape", output_shape)
    units = parts.check_widths("units", units)
    parts.check_choice("output_activation", output_activation, parts.OUTPUT_ACTIVATIONS)
    hidden = parts.Hidden(
        activation, normalization, batch_norm_momentum, dropout, kernel_initializer
    )

    inputs = keras.Input(input_shape, name="inputs")
    x = keras.layers.Flatten(name="flatten")(inputs)
    for i, width in enumerate(units, start=1):
        x = keras.layers.Dense(width, name=f"hidden_{i}", **hidden.weights())(x)
        x = hidden.finish(x, f"hidden_{i}")
    x = keras.layers.Dense(
        math.prod(output_shape),
        activation=output_activation,
        use_bias=output_bias,
        kernel_initializer=parts.initializer(kernel_initializer),
        name="output",
    )(x)
    outputs = keras.layers.Reshape(output_shape, name="output_shape")(x)
    return keras.Model(inputs, outputs, name=name)

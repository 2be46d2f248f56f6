"""The masked autoencoder of a density: each output sees only the inputs before its own."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_gen.networks import parts


@keras.saving.register_keras_serializable(package="keras_gen")
class MaskedDense(keras.layers.Layer):
    """A dense layer without some of its connections: `x @ (mask * kernel) + bias`.

    Args:
        mask: `(inputs, outputs)` of 0 and 1; nested lists or an array.
        kernel_initializer: Keras' name of an initializer.
        **kwargs: `name`, `dtype` of `keras.layers.Layer`.
    """

    def __init__(self, mask, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.mask = np.asarray(mask, "float32")
        self.kernel_initializer = kernel_initializer

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=self.mask.shape, initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = self.add_weight(shape=self.mask.shape[1:], initializer="zeros", name="bias")

    def call(self, x):
        kernel = ops.convert_to_tensor(self.kernel)
        return ops.matmul(x, kernel * ops.cast(self.mask, kernel.dtype)) + self.bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.mask.shape[1])

    def get_config(self):
        own = {"mask": self.mask.tolist(), "kernel_initializer": self.kernel_initializer}
        return {**super().get_config(), **own}


def made(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    units: Sequence[int] = (128, 128),
    activation: str = "relu",
    per_input: int = 2,
    kernel_initializer: str = "glorot_uniform",
    name: str = "made",
) -> keras.Model:
    """Masked dense layers: `per_input` numbers for each input, of the inputs before it.

    `outputs[j * inputs + d] = f_j(x[0], ..., x[d - 1], context)`

    Inputs in excess of the outputs are context, which every output sees. All outputs begin at 0:
    a flow made of them begins as the identity.

    Args:
        input_shape: `(inputs + context,)`.
        output_shape: `(per_input * inputs,)`.
        units: width of each hidden layer, at least one.
        activation: Keras' name of the hidden activation.
        per_input: numbers for each input; 2 for a shift and a scale.
        kernel_initializer: of the hidden layers: Keras' name of an initializer.
        name: name of the model.

    Returns:
        A functional model `(batch, inputs + context) -> (batch, per_input * inputs)`.

    Raises:
        ValueError: an option is not of its kind, or the shapes do not fit together.

    Reference: Germain et al., "MADE: Masked Autoencoder for Distribution Estimation", 2015,
        section 4.
    """
    (given,) = parts.check_shape("input_shape", input_shape)
    (outputs,) = parts.check_shape("output_shape", output_shape)
    units = parts.check_widths("units", units)
    inputs, rest = divmod(outputs, per_input)
    if rest or inputs > given or not units:
        raise ValueError(
            f"made: expected per_input = {per_input} outputs for each input, at most {given} "
            f"inputs, and hidden layers; got {outputs} outputs and units {units}."
        )
    degrees = np.concatenate([np.arange(1, inputs + 1), np.zeros(given - inputs, int)])
    x = first = keras.Input((given,), name="inputs")
    for i, width in enumerate(units, start=1):
        # 0 sees the context alone; where there is none, such a unit is a second bias.
        hidden = np.arange(width) % max(inputs, 1)
        mask = degrees[:, None] <= hidden[None]
        layer = MaskedDense(mask, parts.initializer(kernel_initializer), name=f"hidden_{i}")
        x = parts.activation_layer(activation, f"hidden_{i}_activation")(layer(x))
        degrees = hidden
    mask = degrees[:, None] < np.tile(np.arange(1, inputs + 1), per_input)[None]
    x = MaskedDense(mask, "zeros", name="output")(x)
    return keras.Model(first, x, name=name)

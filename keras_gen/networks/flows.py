"""Flows of codes: invertible networks that say by how much they stretch.

Both builders make `(batch, size + context) -> (batch, size + 1)`: the codes moved, and the log of
the absolute determinant of their derivative by the codes that came in.
"""

from collections.abc import Sequence

import keras
from keras import ops

from keras_gen.networks import parts
from keras_gen.networks.layers import Columns
from keras_gen.networks.made import made

OPEN = 1.5  # what a gate is moved by at the beginning: it keeps 0.8 of the code


@keras.saving.register_keras_serializable(package="keras_gen")
class GatedStep(keras.layers.Layer):
    """`gate * z + (1 - gate) * m`, reversed, and `sum(log gate)`; `gate = sigmoid(s + 1.5)`."""

    def call(self, z, told):
        m, s = ops.split(told, 2, axis=-1)
        gate = ops.sigmoid(s + OPEN)
        log_gate = ops.log_sigmoid(s + OPEN)
        z = ops.flip(gate * z + (1.0 - gate) * m, axis=-1)
        return z, ops.sum(log_gate, axis=-1, keepdims=True)


@keras.saving.register_keras_serializable(package="keras_gen")
class PlanarStep(keras.layers.Layer):
    """`z + u tanh(w . z + b)` and `log |1 + u . w (1 - tanh(w . z + b)**2)|`."""

    def call(self, z, told):
        size = z.shape[-1]
        u, w, b = told[:, :size], told[:, size : 2 * size], told[:, 2 * size :]
        along = ops.sum(u * w, axis=-1, keepdims=True)
        squared = ops.sum(ops.square(w), axis=-1, keepdims=True) + 1e-6
        u = u + (ops.softplus(along) - 1.0 - along) * w / squared
        height = ops.tanh(ops.sum(w * z, axis=-1, keepdims=True) + b)
        stretch = 1.0 + ops.sum(u * w, axis=-1, keepdims=True) * (1.0 - ops.square(height))
        return z + u * height, ops.log(ops.abs(stretch))


def inverse_autoregressive_flow(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    steps: int = 4,
    units: Sequence[int] = (128,),
    activation: str = "elu",
    name: str = "inverse_autoregressive_flow",
) -> keras.Model:
    """Gated autoregressive steps, the order of the code reversed between them.

    `z <- gate * z + (1 - gate) * m`, `gate = sigmoid(s + 1.5)`, `m, s` of the codes before
    and the context; `log |det| = sum(log gate)`

    Args:
        input_shape: `(size + context,)`.
        output_shape: `(size + 1,)`.
        steps: How many, at least 1.
        units: width of each hidden layer of a step.
        activation: Keras' name of the hidden activation.
        name: name of the model.

    Returns:
        A functional model `(batch, size + context) -> (batch, size + 1)`.

    Raises:
        ValueError: an option is not of its kind, or the shapes do not fit together.

    Reference: Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow",
        2016, equations 13 and 14, algorithm 1.
    """
    given, size = _sizes(input_shape, output_shape, steps)
    inputs = keras.Input((given,), name="inputs")
    z, context = _parts(inputs, given, size)
    log_determinants = []
    for i in range(1, steps + 1):
        network = made((given,), (2 * size,), units=units, activation=activation, name=f"step_{i}")
        seen = keras.layers.Concatenate(name=f"seen_{i}")([z, *context]) if context else z
        z, log_determinant = GatedStep(name=f"gate_{i}")(z, network(seen))
        log_determinants.append(log_determinant)
    return _flow(inputs, z, log_determinants, name)


def planar_flow(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    steps: int = 10,
    name: str = "planar_flow",
) -> keras.Model:
    """Steps that push the code along one direction, across one plane; both told by the context.

    `z <- z + u tanh(w . z + b)`, `log |det| = log |1 + u . w (1 - tanh(w . z + b)**2)|`, with u
    moved along w so that `u . w > -1`: it can be undone.

    Args:
        input_shape: `(size + context,)`, with a context of at least 1.
        output_shape: `(size + 1,)`.
        steps: How many, at least 1.
        name: name of the model.

    Returns:
        A functional model `(batch, size + context) -> (batch, size + 1)`.

    Raises:
        ValueError: an option is not of its kind, or the shapes do not fit together.

    Reference: Rezende & Mohamed, "Variational Inference with Normalizing Flows", 2015, equations
        10 to 12, appendix A.1.
    """
    given, size = _sizes(input_shape, output_shape, steps)
    if given == size:
        raise ValueError(
            "planar_flow: its steps come from a context, and there is none: set context above 0."
        )
    inputs = keras.Input((given,), name="inputs")
    z, (context,) = _parts(inputs, given, size)
    log_determinants = []
    for i in range(1, steps + 1):
        told = keras.layers.Dense(2 * size + 1, name=f"step_{i}")(context)
        z, log_determinant = PlanarStep(name=f"push_{i}")(z, told)
        log_determinants.append(log_determinant)
    return _flow(inputs, z, log_determinants, name)


def _parts(inputs, given, size):
    """The code, and a list of its context: empty where there is none."""
    context = [Columns(size, given, name="context")(inputs)] if given > size else []
    return Columns(0, size, name="code")(inputs), context


def _flow(inputs, z, log_determinants, name):
    if len(log_determinants) > 1:
        log_determinants = [keras.layers.Add(name="log_determinant")(log_determinants)]
    outputs = keras.layers.Concatenate(name="output")([z, *log_determinants])
    return keras.Model(inputs, outputs, name=name)


def _sizes(input_shape, output_shape, steps):
    (given,) = parts.check_shape("input_shape", input_shape)
    (outputs,) = parts.check_shape("output_shape", output_shape)
    if not 1 <= outputs - 1 <= given:
        raise ValueError(
            "a flow: expected size + context inputs and size + 1 outputs; got "
            f"{given} inputs and {outputs} outputs."
        )
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be an integer of at least 1; got {steps!r}.")
    return given, outputs - 1

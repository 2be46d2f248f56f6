"""The engine on TensorFlow: stateful already, so a tape and Keras' own train function do."""

import tensorflow as tf
from keras import ops


def value_and_grad(objective, variables):
    """Differentiate an objective with respect to Keras variables.

    Args:
        objective: Function without arguments -> `(loss, aux)`; `loss` a scalar tensor.
        variables: List of `keras.Variable`s.

    Returns:
        `((loss, aux), gradients)`; one gradient a variable, zero where the loss does not
        depend on it.
    """
    with tf.GradientTape() as tape:
        loss, aux = objective()
    values = [variable._value for variable in variables]
    gradients = tape.gradient(loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return (loss, aux), [tf.convert_to_tensor(gradient) for gradient in gradients]


def apply_gradients(optimizer, gradients, variables):
    """Let the optimizer change the variables by the gradients.

    Args:
        optimizer: A Keras optimizer.
        gradients: List of tensors, one a variable.
        variables: List of `keras.Variable`s.
    """
    optimizer.apply(gradients, variables)


def input_gradient(fn, x):
    """Gradient of a function with respect to its input: `d sum(fn(x)) / dx`.

    The sum makes it one gradient per example where `fn` treats examples apart. It can be
    differentiated again: gradient penalties are written with it.

    Args:
        fn: Function of one tensor: a critic, a network.
        x: `(batch, ...)` tensor.

    Returns:
        A tensor of the shape of `x`.
    """
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(ops.cast(fn(x), "float32"))
    return tape.gradient(total, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


class StepAdapter:
    """Placed before `keras.Model`; on TensorFlow a stateful `train_step` runs as it is."""

    def _resolve_jit_for(self, steps):
        """`jit_compile="auto"`: XLA on an accelerator, plain graphs on a CPU, as Keras decides."""
        return None

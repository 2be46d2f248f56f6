"""The engine on TensorFlow: stateful already, so a tape and Keras' own train function do."""

import contextlib

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


def one_program(function):
    """The function itself: the step's own graph holds it.

    Args:
        function: `function(*numbers, shape) -> tensor`.

    Returns:
        The function.
    """
    return function


def sampling():
    """What `sample` runs in: here as it is; only a tape records."""
    return contextlib.nullcontext()


class StepAdapter:
    """Placed before `keras.Model`; on TensorFlow a stateful `train_step` runs as it is."""

    def _make_function(self, step_function):
        """With XLA and `steps_per_execution=K`, K steps are one program: a loop inside XLA.

        Keras calls a program of one step K times, from a loop outside. Batches of unlike
        shapes, as the last of an epoch may be, and epochs that end early still go one by one.
        """
        by_steps = super()._make_function(step_function)
        many = self.steps_per_execution
        plain = self.run_eagerly or not self.jit_compile or tf.distribute.has_strategy()
        if many == 1 or plain:
            return by_steps
        one = tf.function(step_function, jit_compile=True, reduce_retracing=True)

        @tf.function(jit_compile=True, reduce_retracing=True)
        @tf.autograph.experimental.do_not_convert
        def loop(batches):
            like = tf.nest.map_structure(
                lambda leaf: tf.TensorSpec(leaf.shape[1:], leaf.dtype), batches
            )
            logs = one.get_concrete_function(like).structured_outputs

            def body(i, _):
                return i + 1, step_function(tf.nest.map_structure(lambda leaf: leaf[i], batches))

            nothing = tf.nest.map_structure(lambda log: tf.zeros(log.shape, log.dtype), logs)
            return tf.while_loop(lambda i, _: i < many, body, (0, nothing))[1]

        @tf.function(reduce_retracing=True)
        @tf.autograph.experimental.do_not_convert
        def read(iterator):
            return [iterator.get_next_as_optional() for _ in range(many)]

        def function(iterator):
            if not isinstance(iterator, tf.data.Iterator):
                return by_steps(iterator)
            batches = [batch.get_value() for batch in read(iterator) if batch.has_value()]
            if not batches:
                raise StopIteration
            shapes = {tuple(leaf.shape for leaf in tf.nest.flatten(batch)) for batch in batches}
            if len(batches) == many and len(shapes) == 1:
                return loop(tf.nest.map_structure(lambda *leaves: tf.stack(leaves), *batches))
            for batch in batches:
                logs = one(batch)
            return logs

        return function

    def _resolve_jit_for(self, steps):
        """`jit_compile="auto"`: XLA on an accelerator, plain graphs on a CPU, as Keras decides."""
        return None

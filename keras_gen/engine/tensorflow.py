"""The engine on TensorFlow: stateful already, so a tape and Keras' own train function do."""

import functools
import itertools
import weakref

import keras
import tensorflow as tf
from keras import ops
from keras.src.backend.tensorflow.optimizer import TFOptimizer
from keras.src.backend.tensorflow.trainer import TFEpochIterator
from keras.src.models.functional import Functional
from keras.src.trainers.data_adapters.tf_dataset_adapter import TFDatasetAdapter

from keras_gen.engine.swapping import swapped
from keras_gen.engine.versions import has

has(keras.Model, "_make_function")
has(Functional, "_standardize_inputs")
has(TFEpochIterator, "_get_iterator")
has(TFOptimizer, "_all_reduce_sum_gradients")

STEPS_THAT_REPAY_XLA = 2000
CONVOLUTIONS = tuple(getattr(keras.layers, name) for name in dir(keras.layers) if "Conv" in name)


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
    # Keras sums over replicas by one `IdentityN` of all gradients. TensorFlow's dependency
    # optimizer takes that for a path from each weight's read to its own update, drops the control
    # edge between the two, and then removes the `IdentityN`: where a gradient does not depend on
    # the weight (a Wasserstein critic's output layer), the update may overtake the read.
    alone = tf.distribute.get_strategy().num_replicas_in_sync == 1
    sums = {"_all_reduce_sum_gradients": lambda _, pairs: pairs} if alone else {}
    with swapped(TFOptimizer, sums):
        optimizer.apply(gradients, variables)


def value_and_input_gradient(fn, x):
    """The value of a function of a tensor, and the gradient of its sum: `d sum(value) / dx`.

    The sum makes it one gradient per example where `fn` treats examples apart. It can be
    differentiated again: gradient penalties are written with it, and share the pass that judges.

    Args:
        fn: Function of one tensor, a critic, a network -> `(value, aux)`.
        x: `(batch, ...)` tensor.

    Returns:
        `((value, aux), gradient)`, the gradient of the shape of `x`.
    """
    with tf.GradientTape() as tape:
        tape.watch(x)
        value, aux = fn(x)
        total = tf.reduce_sum(ops.cast(value, "float32"))
    gradient = tape.gradient(total, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return (value, aux), gradient


def every(period, counter, function, otherwise):
    """Take `function()` where `counter % period == 0`, else `otherwise()`; only one is computed.

    Args:
        period: Integer, 1 or more.
        counter: An integer `keras.Variable` that the step has not changed yet.
        function: Function without arguments -> a nest of tensors; what it writes is kept.
        otherwise: As `function`, the same nest, shapes and dtypes.

    Returns:
        What the one that was taken returned.
    """
    here = tf.equal(ops.convert_to_tensor(counter.value) % period, 0)
    return tf.cond(here, function, otherwise)


def one_program(function):
    """Compile a pure function of a shape and a few numbers as one graph; a step's holds it itself.

    Args:
        function: `function(*numbers, shape) -> tensor`; the numbers int32 scalars.

    Returns:
        The function; another shape is another program, another number is not.
    """
    program = tf.function(function, autograph=False)

    @functools.wraps(function)
    def compiled(*inputs):
        if not tf.executing_eagerly():
            return function(*inputs)
        *numbers, shape = inputs
        return program(*map(tf.convert_to_tensor, numbers), shape)

    return compiled


def peek(variable):
    """The value of a scalar variable as a Python number, also while a program is being traced.

    What is traced does not see it change: for what chooses a program.

    Args:
        variable: A scalar `keras.Variable`.
    """
    with tf.init_scope():
        return variable._value.numpy().item()


def sampling():
    """What `sample` runs in: each network called for inference is one program."""
    return swapped(Functional, {"call": _one_program_call})


_keras_call = Functional.call
_programs = weakref.WeakKeyDictionary()  # {network: its compiled call, or None where it has none}


def _one_program_call(network, inputs, training=None, mask=None):
    if training or mask is not None or not tf.executing_eagerly():
        return _keras_call(network, inputs, training, mask)
    if network not in _programs:
        _programs[network] = _program_of(network)
    program = _programs[network]
    if program is not None:
        try:
            return program(*network._standardize_inputs(inputs))
        except Exception:  # it cannot be traced, or is wrong, which Keras' own call then says
            _programs[network] = None
    return _keras_call(network, inputs, training, mask)


def _program_of(network):
    """A network's inference as one program, of its inputs in a row.

    It is of any number of examples from the first call on: traced with the number of that one, and
    again when another comes, it would be two programs, and TensorFlow rounds them differently.
    """
    reference = weakref.ref(network)
    structure = keras.tree.map_structure(lambda declared: 0, network.input)

    def call(*inputs):
        return _keras_call(reference(), keras.tree.pack_sequence_as(structure, inputs), False, None)

    signature = [tf.TensorSpec(declared.shape, declared.dtype) for declared in network.inputs]
    return tf.function(call, autograph=False, input_signature=signature)


def _untuned(batches):
    """The batches of an epoch, of which tf.data tunes nothing unless they are a user's `Dataset`.

    Its tuner sleeps for twice as long each time, and TensorFlow 2.21 tells it to stop before it
    marks it as stopped: where it wakes between the two, as on one core, it sleeps on, and the
    epoch ends as late as the next power of two of 10 ms.
    """
    dataset = batches._distributed_dataset
    if isinstance(batches.data_adapter, TFDatasetAdapter) or not isinstance(
        dataset, tf.data.Dataset
    ):
        return dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


_untuned_batches = functools.partial(swapped, TFEpochIterator, {"_get_iterator": _untuned})


class StepAdapter:
    """Placed before `keras.Model`; on TensorFlow a stateful `train_step` runs as it is."""

    def fit(self, *args, **kwargs):
        with _untuned_batches():
            return super().fit(*args, **kwargs)

    def evaluate(self, *args, **kwargs):
        with _untuned_batches():
            return super().evaluate(*args, **kwargs)

    def predict(self, *args, **kwargs):
        with _untuned_batches():
            return super().predict(*args, **kwargs)

    def _make_function(self, step_function):
        """One program a step, or a loop of `steps_per_execution` steps in one program.

        Batches are read outside of it: inside, Keras' way, a batch costs 0.3 ms of waiting for
        another thread. Batches of unlike shapes, as the last of an epoch may be, epochs that end
        early, and convolutions of XLA's on a CPU go one by one.
        """
        if self.run_eagerly or self._distribute_strategy is not None:
            return super()._make_function(step_function)
        program = functools.partial(
            tf.function, jit_compile=self.jit_compile, autograph=False, reduce_retracing=True
        )
        many = self.steps_per_execution
        one = program(step_function)

        @program
        def loop(batches):
            """`many` steps that lie in `batches`, stacked; the step is traced once for all."""
            first = tf.nest.map_structure(lambda leaf: leaf[0], batches)
            logs = one.get_concrete_function(first).structured_outputs

            def body(i, _):
                return i + 1, one(tf.nest.map_structure(lambda leaf: leaf[i], batches))

            nothing = tf.nest.map_structure(lambda log: tf.zeros(log.shape, log.dtype), logs)
            return tf.while_loop(lambda i, _: i < many, body, (0, nothing), parallel_iterations=1)[
                1
            ]

        verdicts = {}

        def suits_a_loop(batch):
            signature = _signature(batch)
            if signature not in verdicts:
                verdicts[signature] = not self.jit_compile or _suits_a_loop_of_xla(
                    one.get_concrete_function(batch).graph
                )
            return verdicts[signature]

        def function(iterator):
            batches = [_without_optionals(batch) for batch in itertools.islice(iterator, many)]
            if not batches:
                raise StopIteration
            alike = len(batches) == many > 1 and len(set(map(_signature, batches))) == 1
            if alike and suits_a_loop(batches[0]):
                return loop(tf.nest.map_structure(lambda *leaves: tf.stack(leaves), *batches))
            for batch in batches:
                logs = one(batch)
            return logs

        return function

    def _resolve_jit_for(self, steps):
        """`jit_compile="auto"`: XLA on an accelerator, as Keras decides; on a CPU where a run of
        `steps` steps repays the compile and no layer convolves: plain graphs convolve faster."""
        if _accelerated():
            return None
        long = steps is not None and steps >= STEPS_THAT_REPAY_XLA
        return long and not any(isinstance(layer, CONVOLUTIONS) for layer in self._flatten_layers())


def _accelerated():
    return tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU")


def _suits_a_loop_of_xla(graph):
    """Whether XLA may put a step into a loop: on a CPU it leaves its fast convolutions there."""
    graph = graph.as_graph_def()
    branches = (function.node_def for function in graph.library.function)
    nodes = itertools.chain(graph.node, *branches)
    return _accelerated() or not any("Conv" in node.op for node in nodes)


def _signature(batch):
    """The shapes of a batch, None of what `train_on_batch` hands on as absent."""
    return tuple(None if leaf is None else leaf.shape for leaf in tf.nest.flatten(batch))


def _without_optionals(batch):
    """Keras hands absent labels and weights as empty `tf.experimental.Optional`s."""
    if not any(isinstance(leaf, tf.experimental.Optional) for leaf in tf.nest.flatten(batch)):
        return batch
    return tf.nest.map_structure(
        lambda leaf: None if isinstance(leaf, tf.experimental.Optional) else leaf, batch
    )

"""The engine on JAX: a stateful step runs inside scopes that carry every write out as a value.

While Keras builds its train function, it is handed a stateless face of `train_step`: the
author's step is run inside a `keras.StatelessScope` over all state, and the new values are read
back. Inside, each differentiation opens a child scope that starts from its parent's values
(Keras' own nested scopes do not) and returns what was written as auxiliary output of
`jax.value_and_grad`, so that no tracer leaks.
"""

import contextlib
import functools
import itertools
import weakref

import jax
import keras
from keras import ops
from keras.src.backend.common.stateless_scope import get_stateless_scope
from keras.src.models.functional import Functional

from keras_gen.engine.kernels import fast_kernels
from keras_gen.engine.swapping import swapped
from keras_gen.engine.versions import has

has(jax.core, "Tracer")
has(keras.Model, "_make_function", "jax_state_sync")


class _RecordingScope(keras.StatelessScope):
    """A scope that starts from its parent's values and remembers which variables it wrote."""

    def __init__(self, parent=None):
        super().__init__(initialize_variables=False)
        self.written = {}
        if parent is not None:
            self.state_mapping.update(parent.state_mapping)

    def add_update(self, update):
        variable, value = update
        self.written[id(variable)] = variable
        # No gradient flows through an assignment, as on the backends that really assign.
        super().add_update((variable, jax.lax.stop_gradient(value)))

    def updates(self):
        return [self.state_mapping[key] for key in self.written]


def _differentiate(transform, function, inputs):
    """Run `transform(pure)(inputs)`, `pure` collecting what `function` writes; keep the writes.

    `function(inputs, scope) -> (scalar, aux)` runs inside `scope`.
    """
    parent = get_stateless_scope()
    written = {}

    def pure(inputs):
        scope = _RecordingScope(parent)
        with scope:
            value, aux = function(inputs, scope)
        written.clear()
        written.update(scope.written)
        return value, (aux, scope.updates())

    result = transform(pure)(inputs)
    return result, list(written.values())


def _keep(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def value_and_grad(objective, variables):
    """Differentiate an objective with respect to Keras variables.

    Args:
        objective: Function without arguments -> `(loss, aux)`; `loss` a scalar tensor.
        variables: List of `keras.Variable`s.

    Returns:
        `((loss, aux), gradients)`; one gradient a variable, zero where the loss does not
        depend on it.
    """

    def function(values, scope):
        for variable, value in zip(variables, values, strict=True):
            scope.state_mapping[id(variable)] = value
        return objective()

    def transform(pure):
        return jax.value_and_grad(pure, has_aux=True)

    values = [variable.value for variable in variables]
    ((loss, (aux, updates)), gradients), written = _differentiate(transform, function, values)
    _keep(written, updates)
    return (loss, aux), gradients


def apply_gradients(optimizer, gradients, variables):
    """Let the optimizer change the variables by the gradients.

    Args:
        optimizer: A Keras optimizer.
        gradients: List of tensors, one a variable.
        variables: List of `keras.Variable`s.
    """
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

    def function(x, scope):
        value, aux = fn(x)
        return jax.numpy.sum(ops.cast(value, "float32")), (value, aux)

    def transform(pure):
        return jax.grad(pure, has_aux=True)

    (gradient, (results, updates)), written = _differentiate(transform, function, x)
    _keep(written, updates)
    return results, gradient


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
    here = ops.convert_to_tensor(counter.value) % period == 0
    if not isinstance(here, jax.core.Tracer):
        return function() if here else otherwise()
    parent, written = get_stateless_scope(), {}

    def traced(branch, collect):
        scope = _RecordingScope(parent)
        with scope:
            result = branch()
        return result, collect(scope)

    for branch in (function, otherwise):  # what either writes, both give back
        jax.eval_shape(lambda branch=branch: traced(branch, lambda s: written.update(s.written)))
    variables = list(written.values())

    def kept(scope):
        return [
            scope.get_current_value(v) if scope.get_current_value(v) is not None else v.value
            for v in variables
        ]

    result, values = jax.lax.cond(
        here, lambda: traced(function, kept), lambda: traced(otherwise, kept)
    )
    _keep(variables, values)
    return result


def one_program(function):
    """Compile a pure function of a shape and a few numbers as one program: one dispatch.

    Args:
        function: `function(*numbers, shape) -> tensor`; the numbers int32 scalars.

    Returns:
        The function; another shape is another program, another number is not.
    """

    program = jax.jit(lambda numbers, shape: function(*numbers, shape), static_argnums=1)

    @functools.wraps(function)
    def compiled(*inputs):
        return program(inputs[:-1], inputs[-1])

    return compiled


def peek(variable):
    """The value of a scalar variable as a Python number, also while a program is being traced.

    What is traced does not see it change: for what chooses a program.

    Args:
        variable: A scalar `keras.Variable`.
    """
    return variable._value.item()


@contextlib.contextmanager
def sampling():
    """What `sample` runs in: our kernels, and each network called for inference one program."""
    with fast_kernels(), swapped(Functional, {"call": _one_program_call}):
        yield


_keras_call = Functional.call
_programs = weakref.WeakKeyDictionary()  # {network: its compiled call, or None where it has none}


def _one_program_call(network, inputs, training=None, mask=None):
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(inputs))
    if training or mask is not None or traced or get_stateless_scope() is not None:
        return _keras_call(network, inputs, training, mask)
    if network not in _programs:
        _programs[network] = jax.jit(functools.partial(_pure_call, weakref.ref(network)))
    program = _programs[network]
    if program is not None:
        try:
            return program([variable.value for variable in network.variables], inputs)
        except Exception:  # it cannot be traced, or is wrong, which Keras' own call then says
            _programs[network] = None
    return _keras_call(network, inputs, training, mask)


def _pure_call(reference, values, inputs):
    network, scope = reference(), _RecordingScope()
    scope.state_mapping.update(zip(map(id, network.variables), values, strict=True))
    with scope:
        outputs = _keras_call(network, inputs, False, None)
    if scope.written:
        raise _WritesState
    return outputs


class _WritesState(Exception):
    """A network that draws its own random numbers, say, moves on with each call."""


class StepAdapter:
    """Placed before `keras.Model`: lets Keras' JAX trainer run a stateful `train_step`."""

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            with self._stateless_face("train_step", self._train_state_variables):
                super().make_train_function(force)
            self.train_function = self._keeping_state(self.train_function)

    def make_test_function(self, force=False):
        if self.test_function is None or force:
            with self._stateless_face("test_step", self._test_state_variables):
                super().make_test_function(force)
            self.test_function = self._keeping_state(self.test_function)

    def _make_function(self, step_function, concatenate_outputs=False):
        """With `steps_per_execution=K`, K steps are one dispatch: a `lax.scan` over K batches.

        Keras calls the step K times from Python. Batches of unlike shapes, as the last of an
        epoch may be, still go one by one, and so do convolutions on a CPU.
        """
        many = self.steps_per_execution
        plain = self.run_eagerly or not self.jit_compile or keras.distribution.distribution()
        if many == 1 or concatenate_outputs or plain:
            return super()._make_function(step_function, concatenate_outputs)

        def one(state, batch):
            logs, new = step_function(state, batch)
            # A number that Python made has a weak type, and a carry must keep its type.
            return jax.tree.map(
                lambda n, old: jax.lax.convert_element_type(n, old.dtype), new, state
            ), logs

        @functools.partial(jax.jit, donate_argnums=0)
        def scan(state, batches):
            stacked = jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *batches)
            state, logs = jax.lax.scan(one, state, stacked)
            return jax.tree.map(lambda log: log[-1], logs), state

        verdicts = {}

        def suits_a_loop(state, batch):
            signature = _signature(batch)
            if signature not in verdicts:
                verdicts[signature] = _suits_a_loop(step_function.trace(state, batch).jaxpr)
            return verdicts[signature]

        def function(state, iterator):
            batches = list(itertools.islice(iterator, many))
            if not batches:
                raise StopIteration
            alike = len(batches) == many and len({_signature(batch) for batch in batches}) == 1
            if alike and suits_a_loop(state, batches[0]):
                return scan(state, batches)
            for batch in batches:
                logs, state = step_function(state, batch)
            return logs, state

        return function

    def _keeping_state(self, function):
        """Give the weights back when a step or its data raises.

        Keras empties the variables when an epoch begins; an error in the first step (labels
        missing, a wrong shape) would lose them.
        """

        def guarded(state, iterator):
            try:
                return function(state, iterator)
            except Exception:
                if not any(value.is_deleted() for group in state for value in group):
                    names = ["trainable_variables", "non_trainable_variables"]
                    names += ["optimizer_variables"] if len(state) == 4 else []
                    names += ["metrics_variables"]
                    self._jax_state = dict(zip(names, state, strict=True))
                    self.jax_state_sync()
                raise

        return guarded

    def _train_state_variables(self):
        return (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )

    def _test_state_variables(self):
        return self.trainable_variables, self.non_trainable_variables, self.metrics_variables

    @contextlib.contextmanager
    def _stateless_face(self, name, state_variables):
        """Shadow the stateful step by `face(state, data) -> logs, state` for a while."""
        stateful_step = getattr(self, name)

        def face(state, data):
            variables = state_variables()
            scope = _RecordingScope()
            for group, values in zip(variables, state, strict=True):
                for variable, value in zip(group, values, strict=True):
                    scope.state_mapping[id(variable)] = value
            with scope:
                logs = stateful_step(data)
            stray = [v for v in scope.written.values() if not _among(v, variables)]
            if stray:
                raise ValueError(
                    f"{name} of {type(self).__name__} writes to the variable "
                    f"'{stray[0].path}', which is not part of the model: keep it, or the layer "
                    "that owns it, as an attribute of the model."
                )
            state = tuple([scope.get_current_value(v) for v in group] for group in variables)
            return logs, state

        self.__dict__[name] = face
        try:
            yield
        finally:
            del self.__dict__[name]

    def _resolve_jit_for(self, steps):
        """`jit_compile="auto"`: XLA always, as Keras decides."""
        return None


def _suits_a_loop(jaxpr):
    """Whether a step may run inside a loop of XLA.

    XLA:CPU leaves its fast convolutions inside a loop: a small VAE's step took 30 times as long.
    """
    return jax.default_backend() != "cpu" or "conv_general_dilated" not in str(jaxpr)


def _signature(batch):
    return tuple((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(batch))


def _among(variable, groups):
    return any(variable is other for group in groups for other in group)

"""The engine: the only room that knows the backend.

Ten names, the same on TensorFlow, JAX and PyTorch:

- `value_and_grad(objective, variables)` -> `((loss, aux), gradients)`
- `apply_gradients(optimizer, gradients, variables)`
- `value_and_input_gradient(fn, x)` -> `((value, aux), d sum(value) / dx)`, itself differentiable
- `input_gradient(fn, x)` -> `d sum(fn(x)) / dx`, written once, below
- `every(period, counter, function, otherwise)`: one of two, by a counter, and no work for the other
- `StepAdapter`: mixin placed before `keras.Model`; lets Keras run a stateful `train_step`
- `one_program(function)`: a pure function of numbers and a shape, compiled on JAX
- `peek(variable)`: a number of the state, also while a program is being traced
- `sampling()`: what a model's `sample` runs in
- `minimize(objective, variables, optimizer)` -> `(loss, aux)`, written once, below

An *objective* is a function without arguments that returns `(loss, aux)`: a scalar, and any
nest of tensors that the training step wants to see again. Everything that the objective writes
(batch statistics, counters, metrics) is kept.
"""

import keras
from keras import ops

from keras_gen.engine.versions import inner_parts

_backend = keras.backend.backend()
if _backend not in ("jax", "tensorflow", "torch"):
    raise ImportError(
        f"keras_gen trains on jax, tensorflow and torch; Keras runs on {_backend!r} here. "
        "Set KERAS_BACKEND to one of the three before importing keras."
    )
with inner_parts():
    from keras_gen.engine.draws import serve_random
    from keras_gen.engine.kernels import fast_kernels

    if _backend == "jax":
        from keras_gen.engine.jax import (
            StepAdapter,
            apply_gradients,
            every,
            one_program,
            peek,
            sampling,
            value_and_grad,
            value_and_input_gradient,
        )
    elif _backend == "tensorflow":
        from keras_gen.engine.tensorflow import (
            StepAdapter,
            apply_gradients,
            every,
            one_program,
            peek,
            sampling,
            value_and_grad,
            value_and_input_gradient,
        )
    else:
        from keras_gen.engine.torch import (
            StepAdapter,
            apply_gradients,
            every,
            one_program,
            peek,
            sampling,
            value_and_grad,
            value_and_input_gradient,
        )

__all__ = [
    "StepAdapter",
    "apply_gradients",
    "every",
    "fast_kernels",
    "input_gradient",
    "minimize",
    "one_program",
    "peek",
    "sampling",
    "serve_random",
    "value_and_grad",
    "value_and_input_gradient",
]


def input_gradient(fn, x):
    """Gradient of a function with respect to its input: `d sum(fn(x)) / dx`.

    Args:
        fn: Function of one tensor -> a tensor.
        x: `(batch, ...)` tensor.

    Returns:
        A tensor of the shape of `x`, as `value_and_input_gradient` takes it.
    """
    return value_and_input_gradient(lambda x: (fn(x), None), x)[1]


def minimize(objective, variables, optimizer):
    """Take one optimizer step on `objective` with respect to `variables`.

    `variables <- optimizer(variables, d (loss + regularizers(variables)) / d variables)`

    The regularizers of the variables (`kernel_regularizer=...`) join what is differentiated,
    not the loss that is returned. Under `mixed_float16` the loss is scaled by the group's one
    loss scale; a step whose gradients are not finite changes nothing but that scale.

    Args:
        objective: Function without arguments -> `(loss, aux)`; `loss` a scalar tensor.
        variables: The list of `keras.Variable`s to change: one player's.
        optimizer: A Keras optimizer: `self.optimizer["player"]`, or the group itself where
            there is one player.

    Returns:
        `(loss, aux)`, unscaled, as the objective returned them.
    """
    optimizer = getattr(optimizer, "only_optimizer", optimizer)
    scale = getattr(optimizer, "loss_scale", None)

    def scaled():
        result = objective()
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(
                "An objective returns a pair (loss, aux); this one returned "
                f"{type(result).__name__}. Return (loss, {{}}) where there is nothing to add."
            )
        loss, aux = result
        total = ops.cast(loss, "float32")
        for variable in variables:
            if variable.regularizer is not None:
                total = total + ops.cast(variable.regularizer(variable), "float32")
        return (total if scale is None else scale.scale(total)), (loss, aux)

    (_, (loss, aux)), gradients = value_and_grad(scaled, variables)
    finite = None
    if scale is not None:
        gradients, finite = scale.unscale(gradients)
    steps = optimizer.gradient_accumulation_steps
    if finite is None and not steps:
        apply_gradients(optimizer, gradients, variables)
    else:
        _apply_where(finite, steps, optimizer, gradients, variables)
    return loss, aux


def _apply_where(finite, steps, optimizer, gradients, variables):
    """Apply the gradients where they are finite and their accumulation is full.

    Both values of every variable are computed and one is chosen (`ops.where`): no branch on
    data, so that the step can be traced on every backend.
    """
    if not optimizer.built:
        optimizer.build(variables)
    proceed = True if finite is None else finite
    counter = optimizer._iterations
    if steps:
        full = ops.equal((counter + 1) % steps, 0)
        sums = [
            optimizer._accumulated_gradients[optimizer._get_variable_index(v)] for v in variables
        ]
        totals = [s + ops.cast(g, s.dtype) for s, g in zip(sums, gradients, strict=True)]
        for total_variable, total in zip(sums, totals, strict=True):
            new = ops.where(full, ops.zeros_like(total), total)
            total_variable.assign(ops.where(proceed, new, total_variable.value))
        gradients = [total / steps for total in totals]
        apply_here = ops.logical_and(proceed, full)
        own = [v for v in optimizer.variables if all(v is not s for s in sums)]
    else:
        apply_here, own = proceed, optimizer.variables
    changing = list(variables) + [v for v in own if v is not counter]
    old = [ops.copy(v.value) for v in changing]
    old_count = ops.copy(counter.value)
    with _without_accumulation(optimizer, steps):
        apply_gradients(optimizer, gradients, variables)
    for variable, value in zip(changing, old, strict=True):
        variable.assign(ops.where(apply_here, variable.value, value))
    counter.assign(ops.where(proceed, old_count + 1, old_count))


class _without_accumulation:
    """Let the optimizer see updates, not micro-batches, while `_apply_where` does the summing."""

    def __init__(self, optimizer, steps):
        self.optimizer, self.steps = optimizer, steps

    def __enter__(self):
        if self.steps:
            counter = self.optimizer._iterations
            counter.assign(ops.floor_divide(counter.value, self.steps))
            self.optimizer.gradient_accumulation_steps = None

    def __exit__(self, *exc):
        if self.steps:
            self.optimizer.gradient_accumulation_steps = self.steps

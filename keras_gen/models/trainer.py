"""How training a model of ours differs from Keras' own `compile`, `fit` and `evaluate`."""

import itertools
import types

import keras
import numpy as np
from keras import ops

from keras_gen import engine
from keras_gen.optimizers import OptimizerGroup


class Diverged(RuntimeError):
    """A term of the loss stopped being finite; nothing was written after it."""


class Trainer(engine.StepAdapter):
    """Placed before `keras.Model`: several players, every source of data, a stop at a fault.

    A model that uses it has `player_variables`, `_terms` and the variable `_fault`.
    """

    def compile(
        self, optimizer="adam", *, run_eagerly=False, jit_compile="auto", steps_per_execution=1
    ):
        """Configure training.

        Args:
            optimizer: One optimizer (or its name), or `{player: optimizer}` for a model with
                several; kept as an `OptimizerGroup`.
            run_eagerly: Run `train_step` line by line, to debug it.
            jit_compile: `True`, `False` or `"auto"`: XLA on JAX and TensorFlow, whole-step
                capture on PyTorch (auto: where the run is long enough to repay the compile).
            steps_per_execution: Train steps a call of the train function.
        """
        group = optimizer
        if not isinstance(group, OptimizerGroup):
            layers = self._flatten_layers()
            half = any(layer.compute_dtype == "float16" for layer in layers)
            group = OptimizerGroup(optimizer, scale_loss=half)
        super().compile(
            optimizer=group,
            run_eagerly=run_eagerly,
            jit_compile=jit_compile,
            steps_per_execution=steps_per_execution,
            auto_scale_loss=False,
        )
        self._auto_jit = jit_compile == "auto" and not run_eagerly
        group.bind(self.player_variables)
        if all(layer.built for layer in self._flatten_layers()):
            group.build(self.trainable_variables)

    def get_compile_config(self):
        if not self.compiled:
            return None
        return {
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "run_eagerly": self.run_eagerly,
            "jit_compile": "auto" if self._auto_jit else self.jit_compile,
            "steps_per_execution": self.steps_per_execution,
        }

    def compile_from_config(self, config):
        config = dict(config)
        optimizer = keras.saving.deserialize_keras_object(config.pop("optimizer"))
        self.compile(optimizer=optimizer, **config)

    def fit(self, x=None, y=None, *, callbacks=None, validation_data=None, epochs=1, **kwargs):
        """Train, as `keras.Model.fit`: arrays, tf.data, DataLoader, PyDataset, grain, generators.

        Batches may be bare, `(x,)` or `(x, labels)`. A run whose terms stop being finite raises
        `Diverged` at the end of that epoch, before any callback writes anything.

        Args:
            x: Examples, or a source of batches.
            y: Labels `(examples,)` for a conditional model, where `x` is an array.
            callbacks: Keras callbacks.
            validation_data: As `x`, or `(x, labels)`.
            epochs: Passes over the data.
            **kwargs: The rest of `keras.Model.fit`'s arguments.

        Returns:
            Keras' `History`.

        Raises:
            Diverged: A term was not finite.
        """
        x, steps = _as_tuples(x)
        if steps is not None:
            kwargs.setdefault("steps_per_epoch", steps)
        if validation_data is not None and not isinstance(validation_data, tuple):
            validation_data, steps = _as_tuples(validation_data)
            if steps is not None:
                kwargs.setdefault("validation_steps", steps)
        self._check_labels(y)
        if self._auto_jit:
            self._settle_jit(x, epochs, kwargs)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [_StopAtFault(), *map(self._directed, keras.tree.flatten(callbacks or []))]
        return super().fit(
            x, y, callbacks=callbacks, validation_data=validation_data, epochs=epochs, **kwargs
        )

    def evaluate(self, x=None, y=None, **kwargs):
        """Mean terms over the data, weighted by examples, as `keras.Model.evaluate`.

        The random numbers are the same in each evaluation, and no training stream moves.
        """
        x, steps = _as_tuples(x)
        if steps is not None and kwargs.get("steps") is None:
            kwargs["steps"] = steps
        self._check_labels(y)
        return super().evaluate(x, y, **kwargs)

    def _directed(self, callback):
        """Tell a callback with `mode="auto"` that its term is better the lower it is.

        Keras 3.15 asks only the metrics that `compile(metrics=...)` was given.
        """
        term = self._terms.get(str(getattr(callback, "monitor", "")).removeprefix("val_"))
        if term is not None and getattr(callback, "mode", None) == "auto":
            callback.mode = {"down": "min", "up": "max"}[term._direction]
        return callback

    def _settle_jit(self, x, epochs, options):
        per_epoch = options.get("steps_per_epoch")
        if per_epoch is None and hasattr(x, "__len__"):
            per_epoch = len(x)
            if hasattr(x, "shape"):
                per_epoch = -(-per_epoch // (options.get("batch_size") or 32))
        steps = None if per_epoch is None else per_epoch * epochs
        choice = self._resolve_jit_for(steps)
        if choice is not None and choice != self.jit_compile:
            self.jit_compile = choice
            self.train_function = None

    def _note_fault(self, means):
        """Note on the device which term was first not finite, and when."""
        order = list(self._terms)
        bad = ops.logical_not(ops.isfinite(ops.stack(list(means.values()))))
        positions = np.array([order.index(term) for term in means], "int32")
        term = ops.min(ops.where(bad, positions, len(order)))
        here = ops.stack([ops.cast(self.optimizer.iterations, "int32"), ops.cast(term, "int32")])
        first = ops.logical_and(ops.any(bad), self._fault[0] < 0)
        self._fault.assign(ops.where(first, here, self._fault.value))

    def check_finite(self):
        """Raise `Diverged` if a term of any train step so far, or a weight now, is not finite.

        The last step's terms may be finite and its gradients not: hence the weights.
        """
        advice = "Lower the learning rate or clip the gradients (clipnorm); nothing was saved after"
        step, term = (int(value) for value in ops.convert_to_numpy(self._fault.value))
        if step >= 0:
            raise Diverged(
                f"{type(self).__name__} diverged: term '{list(self._terms)[term]}' was not finite "
                f"at train step {step + 1}. {advice} that step."
            )
        for variable in self.trainable_variables:
            if not np.isfinite(ops.convert_to_numpy(variable).astype("float32")).all():
                raise Diverged(
                    f"{type(self).__name__} diverged: weight '{variable.path}' was not finite "
                    f"after train step {int(self.optimizer.iterations)}. {advice} it."
                )


class _StopAtFault(keras.callbacks.Callback):
    """Raise `Diverged` at the end of an epoch, before later callbacks write anything."""

    async_safe = True

    def on_epoch_end(self, epoch, logs=None):
        self.model.check_finite()


def _as_tuples(x):
    """Let every source give whole epochs, and bare batches work like tuples.

    Keras 3.15 refuses a generator of bare arrays, splits a DataLoader's bare tensor along its
    rows, and takes the end of a grain dataset for a failure.

    Returns:
        `(source, steps an epoch or None)`.
    """
    if isinstance(x, types.GeneratorType):
        return (_as_tuple(batch) for batch in x), None
    if hasattr(x, "collate_fn") and hasattr(x, "dataset"):  # a torch DataLoader
        endless = (_as_tuple(batch) for _ in itertools.count() for batch in x)
        return endless, len(x)
    if type(x).__module__.startswith("grain.") and hasattr(x, "repeat") and hasattr(x, "__len__"):
        return x.repeat(), len(x)
    return x, None


def _as_tuple(batch):
    parts = batch if isinstance(batch, list | tuple) else (batch,)
    return tuple(ops.convert_to_numpy(part) for part in parts)

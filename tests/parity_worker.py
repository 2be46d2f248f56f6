"""Runs every case of `families` on one backend and writes down what parity compares.

`python tests/parity_worker.py FOLDER [--reference]` under a KERAS_BACKEND. The reference writes
the state before each of its 8 steps; the others take each step from that state.
"""

import contextlib
import os
import re
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_gen  # noqa: I001  chooses the backend before Keras is imported

import keras
import numpy as np
from builders import ENDS, NARROW
from families import CASES
from keras import ops

from keras_gen import GenerativeModel, engine, networks

# Of steps taken one by one: what comes every few steps, comes; and of free ones.
SYNCHRONISED, FREE, BATCH = 8, 20, 8
BACKEND = keras.backend.backend()


def state_variables(model):
    return [*model.variables, *model.optimizer.variables]


def name_of(variable):
    """Without the number that Keras gives to the second model of a class, say."""
    return re.sub(r"_\d+(?=_|$)", "", variable.name)


def numbers(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def draw(model):
    """The same weights on every backend, drawn in NumPy."""
    rng = np.random.default_rng(11)
    for variable in model.trainable_variables:
        fan = max(int(np.prod(variable.shape[:-1])), 1)
        variable.assign(rng.normal(0, fan**-0.5, variable.shape).astype("float32"))
    for variable in model.non_trainable_variables:
        if np.ptp(numbers(variable)) > 0:  # state that begins at random, as singular vectors do
            direction = rng.normal(size=variable.shape)
            variable.assign((direction / np.linalg.norm(direction)).astype("float32"))


def start(model):
    """As `draw`, and the averages of the model begin at what they average."""
    draw(model)
    for network, average, _ in model._averages:
        average.set_weights(network.get_weights())


def batches(case):
    x, labels = case.data(FREE * BATCH)
    for i in range(SYNCHRONISED):
        part = slice(i * BATCH, (i + 1) * BATCH)
        yield (x[part],) if labels is None else (x[part], labels[part])


def distance(one, other):
    return np.linalg.norm(np.subtract(one, other, dtype="float64"))


class Steps:
    """Takes a model's steps one by one, and keeps each gradient by its place, name and shape.

    Where a step is compiled, which on JAX is much the sooner, its gradients come out as state of
    the model, whose shapes the reference tells.
    """

    def __init__(self, model, shapes=None):
        self.model, self.order, self.found = model, [], {}
        self.slots = None
        if not model.run_eagerly:
            self.slots = {
                key: keras.Variable(np.zeros(shape, "float32"), trainable=False, name="gradient")
                for key, shape in shapes.items()
            }
            model._tracker.unlock()  # it is built
            model.recorded_gradients = list(self.slots.values())
            model._tracker.lock()
        self.apply, engine.apply_gradients = engine.apply_gradients, self.recording

    def __enter__(self):
        return self

    def __exit__(self, *_):
        engine.apply_gradients = self.apply

    def recording(self, optimizer, gradients, variables):
        for gradient, variable in zip(gradients, variables, strict=True):
            key = f"{len(self.order)} {name_of(variable)} {tuple(variable.shape)}"
            self.order.append(key)
            if self.slots is None:
                self.found[key] = numbers(gradient)
            else:
                self.slots[key].assign(gradient)
        self.apply(optimizer, gradients, variables)

    def take(self, batch):
        """`(terms, gradients)` of one step."""
        traced_before, self.order = self.order, []
        self.model.reset_metrics()
        if self.slots is None:
            terms = self.model.train_step(batch)
        else:
            terms = self.model.fit(*batch, batch_size=BATCH, shuffle=False, verbose=0).history
            self.order = self.order or traced_before
            self.found = {key: numbers(self.slots[key].value) for key in self.order}
        terms = {term: numbers(value).reshape(()) for term, value in terms.items()}
        return terms, {key: self.found[key] for key in self.order}


def synchronised(case, model, folder, reference):
    """Each step from the reference's state: terms, gradients, and how far from its next state."""
    record, saved, shapes = {}, {}, {}
    variables = state_variables(model)
    states = None
    if not reference:
        states = dict(np.load(awaited(folder / f"states_{case.name}.npz")))
        shapes = {
            key.removeprefix("gradient "): shape
            for key, shape in states.items()
            if key.startswith("gradient")
        }
    trained = {id(variable) for variable in model.trainable_variables}
    with Steps(model, shapes) as steps:
        for step, batch in enumerate(batches(case)):
            for i, variable in enumerate(variables):
                if reference:
                    saved[f"{step}_{i}"] = numbers(variable.value)
                else:
                    variable.assign(states[f"{step}_{i}"])
            terms, gradients = steps.take(batch)
            record |= {f"term {step} {term}": value for term, value in terms.items()}
            for key, gradient in gradients.items():
                record[f"gradient {step} {key}"] = gradient
                saved[f"gradient {key}"] = np.array(gradient.shape, int)
            for i, variable in enumerate([] if reference else variables):
                old, new = states[f"{step}_{i}"], states[f"{step + 1}_{i}"]
                apart, moved = distance(numbers(variable.value), new), distance(new, old)
                kind = "weight" if id(variable) in trained else "state"
                compared = np.array([apart, moved, np.linalg.norm(new)])
                record[f"{kind} {step} {i} {name_of(variable)}"] = compared
        for i, variable in enumerate(variables):
            saved[f"{SYNCHRONISED}_{i}"] = numbers(variable.value)
    if reference:
        np.savez(folder / "unfinished.npz", **saved)
        (folder / "unfinished.npz").rename(folder / f"states_{case.name}.npz")
    return record


def awaited(path):
    """A file of the reference, once it is there whole; whoever started both ends a vain wait."""
    while not path.exists():
        time.sleep(0.1)
    return path


class StepByStep(keras.callbacks.Callback):
    """Collects each step's own terms: the running means start anew at every batch."""

    def __init__(self):
        super().__init__()
        self.terms = []

    def on_train_batch_end(self, batch, logs=None):
        self.terms.append({name: float(value) for name, value in logs.items()})
        getattr(self.model, "jax_state_sync", lambda: None)()
        self.model.reset_metrics()


def free(case, model, variables):
    """Twenty steps through `fit` without looking back: terms a step, and state before and after."""
    begun = [numbers(variable.value) for variable in variables]
    x, labels = case.data(FREE * BATCH)
    watch = StepByStep()
    model.fit(x, labels, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[watch])
    record = {
        f"term {step} {name}": np.array(value)
        for step, terms in enumerate(watch.terms)
        for name, value in terms.items()
    }
    trained = {id(variable) for variable in model.trainable_variables}
    for i, (variable, old) in enumerate(zip(variables, begun, strict=True)):
        kind = "weight" if id(variable) in trained else "state"
        record[f"{kind} {i} {name_of(variable)}"] = numbers(variable.value)
        record[f"begun {i} {name_of(variable)}"] = old
    record["sample"] = numbers(case.sample(model, 5, seed=1))
    return record


def offered(case, model, variables):
    """What a family can do besides a step, each from the same weights: `{its name: numbers}`.

    And which variables that moved.
    """
    begun = [numbers(variable.value) for variable in variables]
    x, labels = case.data(4)
    found = {"sample": case.sample(model, 5, seed=1)}
    if hasattr(model, "gradient_norms"):
        for player, norm in model.gradient_norms(x, labels).items():
            found[f"norm of {player}"] = norm
    if case.input_channels:
        found["translation"] = model.translate(x[..., : case.input_channels])
    elif not case.from_noise:
        mask = np.ones(x.shape[1:], "float32")
        mask[:3] = 0
        two = None if labels is None else labels[:2]
        found["reconstruction"] = model.reconstruct(x, labels)
        found["repair"] = model.reconstruct(x, labels, mask=mask)
        found["walk"] = model.interpolate(x[:2], x[2:], 3, labels=two)
        found["traversal"] = model.traverse(x[:2], [0], [-1.0, 1.0], labels=two)
    if type(model).log_likelihood is not GenerativeModel.log_likelihood:
        given = {} if labels is None else {"labels": labels}
        found["likelihood"] = model.log_likelihood(np.round(x), samples=5, **given)
    found = {name: numbers(value) for name, value in found.items()}
    found["moved"] = [
        variable.path
        for variable, old in zip(variables, begun, strict=True)
        if not np.array_equal(numbers(variable.value), old)
    ]
    return found


def mapped():
    """What each builder's network makes of the same numbers with the same weights."""
    # TensorFlow traces a network for longer than it takes to call it once.
    programs = contextlib.nullcontext if BACKEND == "tensorflow" else engine.sampling
    found = {}
    for name, (given, made) in ENDS.items():
        network = networks.BUILDERS[name](given, made, **NARROW.get(name, {}))
        draw(network)
        x = np.random.default_rng(0).normal(size=(8, *given)).astype("float32")
        with programs():
            found[name] = numbers(network(x))
    return found


def main():
    folder, reference = Path(sys.argv[1]), "--reference" in sys.argv
    if BACKEND == "torch":
        import torch

        torch.set_num_threads(1)
    for case in CASES:
        # JAX would compile each operation of a step that is not compiled, and the step as well.
        model = case.model(run_eagerly=BACKEND != "jax")
        start(model)
        variables = state_variables(model)
        begun = [numbers(variable.value) for variable in variables]
        parts = {"synchronised": synchronised(case, model, folder, reference)}
        for part in (offered, free):
            if part is free and model.run_eagerly:
                model = case.model()
                variables = state_variables(model)
            for variable, value in zip(variables, begun, strict=True):
                variable.assign(value)
            parts[part.__name__] = part(case, model, variables)
        for name, found in parts.items():
            np.savez(folder / f"{case.name}_{name}_{BACKEND}.npz", **found)
    np.savez(folder / f"networks_{BACKEND}.npz", **mapped())
    stream = keras_gen.random.Stream(1234)
    np.savez(
        folder / f"stream_{BACKEND}.npz",
        words=numbers(stream.words((1001,))),
        uniform=numbers(stream.uniform((1001,))),
        integers=numbers(stream.integers((1001,), 1000)),
        normal=numbers(stream.normal((1001,))),
    )


if __name__ == "__main__":
    main()

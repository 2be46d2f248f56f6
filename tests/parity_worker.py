"""Runs every case of `families` on one backend and writes down what parity compares.

`python tests/parity_worker.py FOLDER [--reference]` under a KERAS_BACKEND. The reference writes
the state before each of its 8 steps; the others take each step from that state.
"""

import os
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


def synchronised(case, folder, reference):
    """Each step from the reference's state: terms, gradients, and how far from its next state."""
    model = case.model(run_eagerly=True)
    start(model)
    record, gradients = {}, []
    plain = engine.apply_gradients

    def recording(optimizer, grads, variables):
        gradients.extend((v.name, numbers(g)) for g, v in zip(grads, variables, strict=True))
        plain(optimizer, grads, variables)

    states = None if reference else dict(np.load(awaited(folder / f"states_{case.name}.npz")))
    saved = {}
    engine.apply_gradients = recording
    try:
        for step, batch in enumerate(batches(case)):
            for i, variable in enumerate(state_variables(model)):
                if reference:
                    saved[f"{step}_{i}"] = numbers(variable.value)
                else:
                    variable.assign(states[f"{step}_{i}"])
            model.reset_metrics()
            gradients.clear()
            for term, value in model.train_step(batch).items():
                record[f"term {step} {term}"] = numbers(value)
            for i, (path, gradient) in enumerate(gradients):
                record[f"gradient {step} {i} {path}"] = gradient
            for i, variable in enumerate([] if reference else state_variables(model)):
                old, new = states[f"{step}_{i}"], states[f"{step + 1}_{i}"]
                apart, moved = distance(numbers(variable.value), new), distance(new, old)
                record[f"state {step} {i} {variable.name}"] = np.array([apart, moved])
        for i, variable in enumerate(state_variables(model)):
            saved[f"{SYNCHRONISED}_{i}"] = numbers(variable.value)
    finally:
        engine.apply_gradients = plain
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


def free(case):
    """Twenty steps through `fit` without looking back: terms a step, and state before and after."""
    model = case.model()
    start(model)
    begun = [numbers(variable.value) for variable in state_variables(model)]
    x, labels = case.data(FREE * BATCH)
    watch = StepByStep()
    model.fit(x, labels, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[watch])
    record = {
        f"term {step} {name}": np.array(value)
        for step, terms in enumerate(watch.terms)
        for name, value in terms.items()
    }
    trained = {id(variable) for variable in model.trainable_variables}
    for i, (variable, old) in enumerate(zip(state_variables(model), begun, strict=True)):
        kind = "weight" if id(variable) in trained else "state"
        record[f"{kind} {i} {variable.name}"] = numbers(variable.value)
        record[f"begun {i} {variable.name}"] = old
    record["sample"] = numbers(case.sample(model, 5, seed=1))
    return record


def offered(case):
    """What a family can do besides a step, each from the same weights: `{its name: numbers}`."""
    model = case.model(run_eagerly=True)
    start(model)
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
    return {name: numbers(value) for name, value in found.items()}


def mapped():
    """What each builder's network makes of the same numbers with the same weights."""
    found = {}
    for name, (given, made) in ENDS.items():
        network = networks.BUILDERS[name](given, made, **NARROW.get(name, {}))
        draw(network)
        x = np.random.default_rng(0).normal(size=(8, *given)).astype("float32")
        found[name] = numbers(network(x))
    return found


def main():
    folder, reference = Path(sys.argv[1]), "--reference" in sys.argv
    if BACKEND == "torch":
        import torch

        torch.set_num_threads(1)
    for case in CASES:
        np.savez(
            folder / f"{case.name}_synchronised_{BACKEND}.npz",
            **synchronised(case, folder, reference),
        )
        np.savez(folder / f"{case.name}_free_{BACKEND}.npz", **free(case))
        np.savez(folder / f"{case.name}_offered_{BACKEND}.npz", **offered(case))
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

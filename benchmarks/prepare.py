"""What all contestants of a race begin from, written once by a process of its own.

The initial weights are keras-gen's; the native twins' processes never import Keras.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from . import cases

ROOT = Path(__file__).parents[__package__.count(".") + 1]
EXAMPLES = "examples"


def environment():
    """The environment of a process that imports this package: `PYTHONPATH` has its root."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def prepare(path, name, count, backend, **overrides):
    """Writes the initial weights of a case and its examples, in a fresh process.

    Args:
        path: of the npz file.
        name: of the case.
        count: how many examples.
        backend: the one that Keras runs on meanwhile.
        **overrides: `batch`, `side`, `width` of `Case.scaled`.

    Raises:
        RuntimeError: the process failed; the message is its last line.
    """
    request = json.dumps({"path": str(path), "name": name, "count": count, "overrides": overrides})
    result = subprocess.run(
        [sys.executable, "-m", f"{__package__}.prepare", request],
        env={**environment(), "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(last_line(result.stderr))


def last_line(text):
    """The last line of a text that is not empty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def load(path, sockets):
    """Reads what `prepare` wrote.

    Args:
        path: of the npz file.
        sockets: names of the case's networks.

    Returns:
        `(weights, examples)`: `{network: [float32 array, ...]}` in the order of Keras'
        `get_weights()`, and float32 `(count, ...)`.
    """
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    weights = {}
    for socket in sockets:
        count = sum(key.startswith(f"{socket}/") for key in arrays)
        weights[socket] = [arrays[f"{socket}/{index}"] for index in range(count)]
    return weights, arrays[EXAMPLES]


def _write(path, name, count, overrides):
    from .keras_gen_model import model_of

    case = cases.read(name, **overrides)
    model = model_of(case)
    arrays = {
        f"{socket}/{index}": array
        for socket in case.sockets
        for index, array in enumerate(getattr(model, socket).get_weights())
    }
    np.savez(path, **arrays, **{EXAMPLES: case.examples(count)})


if __name__ == "__main__":
    _write(**json.loads(sys.argv[1]))

"""A model's whole training state in a file: written beside and renamed, verified before it is read.

`position.json` is renamed last and names its file of arrays: the two change together.
"""

import hashlib
import itertools
import json
import re
from pathlib import Path

import keras
import numpy as np

from keras_gen.callbacks import replacing

FORMAT = 1  # of a checkpoint


class RunError(ValueError):
    """A run's folder is not what it should be: one line names the file and what to do."""


def save_state(model, path, position):
    """Write a checkpoint: all variables of a model, its optimizers and metrics, and a position.

    It replaces the checkpoint at `path` in one moment, whole or not at all.

    Args:
        model: A built and compiled Keras model.
        path: Folder of the checkpoint; made if missing.
        position: A dict of JSON values and NumPy arrays: whatever else a run has to remember.

    Raises:
        OSError: A file cannot be written; the old checkpoint is intact.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    arrays = {name: to_numpy(variable) for name, variable in _state_of(model).items()}
    position = _plain(position, arrays)
    old = None
    if (path / "position.json").exists():
        old = _read_document(path / "position.json")["state"]["file"]
    new = path / ("state-b.npz" if old == "state-a.npz" else "state-a.npz")
    with replacing(new) as file:
        np.savez(file, **arrays)
    document = {
        "format": FORMAT,
        "model": type(model).__name__,
        "seed": getattr(model, "seed", None),
        "state": {"file": new.name, "bytes": new.stat().st_size, "sha256": _sha256(new)},
        "position": position,
    }
    try:
        write_text(path / "position.json", json.dumps(document, indent=1))
    except OSError:
        new.unlink()
        raise
    for stray in path.glob("*state-*.npz"):  # the old one, and what a killed run left
        if stray != new:
            stray.unlink()


def load_state(model, path, check=None):
    """Read a checkpoint into a model, of any backend; nothing changes unless all of it fits.

    Args:
        model: A built and compiled Keras model, of the architecture that was saved.
        path: Folder of the checkpoint.
        check: Function of the position that raises where it does not fit, or `None`.

    Returns:
        The position.

    Raises:
        RunError: A file is missing or damaged, or it is the checkpoint of another model.
    """
    path = Path(path)
    document = _read_document(path / "position.json")
    for name, here in (
        ("model", type(model).__name__),
        ("seed", getattr(model, "seed", None)),
    ):
        if document[name] != here:
            raise RunError(
                f"{path}: is of another model: {name} {document[name]} there, {here} here; give "
                "the config that it was started with"
            )
    file = path / document["state"]["file"]
    arrays = _read_arrays(file, document["state"])
    position = _with_arrays(document["position"], arrays)
    state = _state_of(model)
    saved = {name: array for name, array in arrays.items() if not name.startswith("position/")}
    for ours, theirs in itertools.zip_longest(state, saved):
        if ours != theirs:
            raise RunError(
                f"{file}: is of another model: where it has {theirs or 'nothing'}, "
                f"{type(model).__name__} has {ours or 'nothing'}; give the config that it was "
                "started with"
            )
    values = {name: _fitting(saved[name], v, name, file) for name, v in state.items()}
    if check is not None:
        check(position)
    for name, variable in state.items():
        variable.assign(values[name])
    return position


def amend(path, **entries):
    """Change entries of a checkpoint's position; its arrays stay as they are.

    Args:
        path: Folder of the checkpoint.
        entries: The JSON values to set in the position.

    Raises:
        RunError: `position.json` is missing or damaged.
        OSError: It cannot be written; the old one is intact.
    """
    path = Path(path) / "position.json"
    document = _read_document(path)
    document["position"].update(entries)
    write_text(path, json.dumps(document, indent=1))


def _state_of(model):
    """All variables of a model, its optimizers and metrics, by names that every backend shares.

    A name is `<group>/<index>/<path>`: Keras' paths carry numbers that count what else was built
    in the process (`dense_3`), so these are left out and the index tells variables apart.
    """
    owners = {id(v): network.name for network in model.layers for v in network.variables}
    for player in model.optimizer:
        owners.update((id(v), player) for v in model.optimizer[player].variables)
    state = {}
    for group, variables in (
        ("model", model.variables),
        ("optimizer", model.optimizer.variables),
        ("metrics", model.metrics_variables),
    ):
        for i, variable in enumerate(variables):
            # The first part of an optimizer's path is a name that its player's takes the place of.
            path = variable.path.split("/", 1)[-1] if group == "optimizer" else variable.path
            parts = (group, f"{i:04d}", owners.get(id(variable)), path)
            name = "/".join(part for part in parts if part)
            state[re.sub(r"(?<=[a-z0-9])_\d+(?=[/_]|$)", "", name)] = variable
    return state


def to_numpy(variable):
    """A copy of a variable's value, as a checkpoint holds it."""
    array = keras.ops.convert_to_numpy(variable.value)
    # A copy: on a CPU it may be a view of what the next step overwrites. NumPy's own format
    # knows no bfloat16, every value of which is a float32.
    builtin = array.dtype.isbuiltin == 1
    return np.array(array) if builtin else array.astype("float32")


def _fitting(array, variable, name, file):
    """The saved array in the variable's dtype; integers of backends differ in width."""
    shape, here = tuple(array.shape), tuple(variable.shape)
    if shape != here:
        raise RunError(
            f"{file}: is of another model: {name} has shape {shape} there, {here} here; give the "
            "config that it was started with"
        )
    dtype = keras.backend.standardize_dtype(variable.dtype)
    kinds = {"i": "whole", "u": "whole", "f": "real", "b": "truth"}
    ours = "real" if keras.backend.is_float_dtype(dtype) else kinds[np.dtype(dtype).kind]
    if kinds.get(array.dtype.kind) != ours:
        raise RunError(
            f"{file}: is of another model: {name} is {array.dtype} there, {dtype} here; give the "
            "config that it was started with"
        )
    return array if ours == "real" else array.astype(dtype)


def _plain(nest, arrays):
    """A nest as JSON can hold it; its arrays join `arrays` and leave their names behind."""
    if isinstance(nest, dict):
        return {key: _plain(value, arrays) for key, value in nest.items()}
    if isinstance(nest, list | tuple):
        return [_plain(value, arrays) for value in nest]
    if isinstance(nest, np.ndarray | np.generic):
        name = f"position/{len(arrays):04d}"
        arrays[name] = np.asarray(nest)
        return {"array": name}
    return nest


def _with_arrays(nest, arrays):
    if isinstance(nest, dict):
        if set(nest) == {"array"}:
            return arrays[nest["array"]][()]  # a scalar, if it was one
        return {key: _with_arrays(value, arrays) for key, value in nest.items()}
    return [_with_arrays(value, arrays) for value in nest] if isinstance(nest, list) else nest


def _read_document(path):
    document = read_json(path)
    try:
        wanted = document["format"], document["state"]["file"], document["position"]
    except (KeyError, TypeError):
        raise RunError(
            f"{path}: is no position of a keras-gen run; restore it from a copy"
        ) from None
    if wanted[0] != FORMAT:
        raise RunError(
            f"{path}: has format {wanted[0]!r}, this keras-gen reads {FORMAT}; update it"
        )
    if wanted[1] not in ("state-a.npz", "state-b.npz"):
        raise RunError(f"{path}: names {wanted[1]!r} as its file, which no run wrote")
    return document


def _read_arrays(file, expected):
    if not file.exists():
        raise RunError(f"{file}: is missing; restore it from a copy, or start another run")
    size = file.stat().st_size
    if size != expected["bytes"]:
        kind = "truncated" if size < expected["bytes"] else "changed"
        raise RunError(
            f"{file}: {kind} checkpoint: {size} bytes, {expected['bytes']} were written; "
            "restore it from a copy, or start another run"
        )
    if _sha256(file) != expected["sha256"]:
        raise RunError(
            f"{file}: is damaged (its SHA-256 is not the one in position.json); restore it from a "
            "copy, or start another run"
        )
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path, text):
    """Write a text file in one moment, whole or not at all.

    Args:
        path: The file to write; its folder exists.
        text: What it holds from now on.

    Raises:
        OSError: The file cannot be written; an old one is intact.
    """
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def read_json(path):
    """Read what a JSON file of a run's folder holds.

    Args:
        path: The file.

    Raises:
        RunError: The file is missing or damaged.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: is missing; this is no run's folder, or not all of one") from None
    except ValueError as error:
        raise RunError(f"{path}: is damaged ({error}); restore it from a copy") from error

"""The rooms of the house: who may import whom, and where a family lives (DESIGN, section 1)."""

import ast
import graphlib
import sys
from pathlib import Path

import pytest

import keras_gen

HOUSE = Path(keras_gen.__file__).parent
FILES = sorted(HOUSE.rglob("*.py"))
BACKENDS = {"jax", "tensorflow", "torch"}
# room: what of ours it may import, besides itself. Absent on purpose: models never import
# networks, they receive them.
MAY_IMPORT = {
    "augmentations": set(),
    "backend": set(),
    "callbacks": set(),
    "data": {"engine"},  # which tells what of Keras has moved
    "engine": set(),
    "losses": set(),
    "metrics": set(),
    "optimizers": set(),
    "random": {"engine"},
    "schedules": set(),
    "networks": {"engine", "random"},
    "samplers": {"schedules"},
    "priors": {"data", "engine", "losses", "models", "networks", "random"},
    "models": {
        "augmentations",
        "engine",
        "losses",
        "optimizers",
        "random",
        "samplers",
        "schedules",
    },
    "checkpoints": {"callbacks"},
    "runs": {"callbacks", "checkpoints"},
    "evaluation": {"metrics"},
}
MAY_IMPORT["config"] = set(MAY_IMPORT) - {"backend"}
MAY_IMPORT["cli"] = {"backend", "config", "data"}
MAY_IMPORT["keras_gen"] = {"backend", "models"}  # the front door, __init__.py
# room: what of others', besides Keras, NumPy and the standard library.
FROM_OUTSIDE = {
    "callbacks": {"PIL"},
    "cli": {"rich", "typer"},
    "config": {"pydantic"},
    "data": {"PIL", "mlxtend", "scipy", "sklearn", "soundfile", "tensorflow_datasets"},
    "metrics": {"scipy", "sklearn"},
    "priors": {"sklearn"},
}


def room_of(path):
    first = path.relative_to(HOUSE).parts[0]
    return "keras_gen" if first == "__init__.py" else first.removesuffix(".py")


def imports(path):
    """Dotted names of everything that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            if isinstance(node.args[0], ast.Constant):
                yield node.args[0].value


def strangers(path):
    """What a file imports and its room may not."""
    room = room_of(path)
    backend = {path.stem, path.parent.name} & BACKENDS if room == "engine" else set()
    outside = {"keras", "numpy", *sys.stdlib_module_names} | FROM_OUTSIDE.get(room, set()) | backend
    for name in imports(path):
        first, *rest = name.split(".")
        if first != "keras_gen":
            if first not in outside:
                yield name
        elif rest and rest[0] in MAY_IMPORT and rest[0] not in MAY_IMPORT[room] | {room}:
            yield name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_room_imports_only_what_it_may(path):
    assert list(strangers(path)) == []


def test_every_room_is_in_the_table_and_none_imports_in_a_circle():
    assert {room_of(path) for path in FILES} <= set(MAY_IMPORT)
    assert list(graphlib.TopologicalSorter(MAY_IMPORT).static_order())[-1] in ("cli", "keras_gen")


def test_no_room_is_a_drawer_for_odds_and_ends():
    drawers = {"common", "helper", "helpers", "misc", "tools", "util", "utils"}
    assert [
        path for path in FILES if drawers & set(path.relative_to(HOUSE).with_suffix("").parts)
    ] == []


@pytest.mark.parametrize(
    "file, line",
    [
        ("losses/likelihood.py", "import torch"),
        ("engine/jax.py", "from tensorflow import function"),
        ("models/base.py", "def f():\n    from keras_gen import networks"),
        ("models/base.py", "from keras_gen.networks.mlp import mlp"),
        ("networks/mlp.py", "import importlib\nimportlib.import_module('keras_gen.models')"),
        ("optimizers.py", "import scipy.stats"),
    ],
)
def test_the_table_sees_a_stranger(file, line, tmp_path, monkeypatch):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(line)
    monkeypatch.setattr(sys.modules[__name__], "HOUSE", tmp_path)
    assert list(strangers(tmp_path / file))

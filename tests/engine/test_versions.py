"""An inner part that moved is told in one line, and the ranges that it names are tested ones."""

import importlib
import re
import sys
import tomllib
import types
from pathlib import Path

import keras
import pytest

from keras_gen.engine import versions

ROOT = Path(__file__).parents[2]
BACKEND = keras.backend.backend()
# Of each backend: a module that the engine imports from inside a package, and a name in it.
INNER = {
    "jax": ("keras.src.models.functional", "Functional"),
    "tensorflow": ("keras.src.backend.tensorflow.trainer", "TFEpochIterator"),
    "torch": ("torch.fx.experimental.proxy_tensor", "make_fx"),
}


def import_engine_anew(monkeypatch):
    for name in ("keras_gen.engine", f"keras_gen.engine.{BACKEND}"):
        monkeypatch.delitem(sys.modules, name)
    return importlib.import_module("keras_gen.engine")


def the_line(part):
    package = part.split(".")[0]
    oldest, newest = versions.TESTED[package]
    return (
        f"keras-gen needs {part}, which the {package} installed here "
        f"({sys.modules[package].__version__}) does not have; it is tested with {package} "
        f"{oldest} to {newest}: pip install '{package}>={oldest},<={newest}'"
    )


def test_a_module_that_moved_is_named_with_its_version(monkeypatch):
    module, _ = INNER[BACKEND]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(versions.MovedError) as raised:
        import_engine_anew(monkeypatch)
    assert str(raised.value) == the_line(module)


def test_a_name_that_moved_is_named_with_its_version(monkeypatch):
    module, name = INNER[BACKEND]
    monkeypatch.delattr(f"{module}.{name}")
    with pytest.raises(versions.MovedError) as raised:
        import_engine_anew(monkeypatch)
    assert str(raised.value) == the_line(f"{module}.{name}")
    assert raised.value.__suppress_context__  # one line, and no error from inside above it


def test_a_method_that_is_used_later_is_missed_at_the_import(monkeypatch):
    owner, name = {
        "jax": (sys.modules["jax"].core if BACKEND == "jax" else None, "Tracer"),
        "tensorflow": (keras.Model, "_make_function"),
        "torch": (keras.optimizers.Optimizer, "_backend_update_step"),
    }[BACKEND]
    owner = next(kind for kind in getattr(owner, "__mro__", (owner,)) if name in vars(kind))
    monkeypatch.delattr(owner, name)
    with pytest.raises(versions.MovedError, match=rf"needs [\w.]+\.{name}, which the \w+ inst"):
        import_engine_anew(monkeypatch)


@pytest.mark.skipif(BACKEND != "torch", reason="inductor is PyTorch's")
def test_a_part_that_only_compiling_needs_is_told_once_and_training_goes_on(monkeypatch):
    import keras_gen
    from keras_gen.engine import torch as engine

    class Regression(keras_gen.GenerativeModel):
        def __init__(self, network, **kwargs):
            super().__init__(**kwargs)
            self.network = network

        def objective(self, x, noise, labels, training):
            return keras.ops.mean(keras.ops.square(x - self.network(x))), {}

    monkeypatch.delattr("torch._guards.tracing")
    monkeypatch.setattr(engine, "compile_graph", engine.compile_with_inductor)
    model = Regression(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))
    model.compile("sgd", jit_compile=True)
    line = re.escape(the_line("torch._guards.tracing"))
    with pytest.warns(UserWarning, match=f"^jit_compile: {line}. Training goes on eagerly.$"):
        model.fit(keras.ops.ones((8, 2)), batch_size=4, verbose=0)
    assert int(model.optimizer.iterations) == 2


def test_other_errors_stay_as_they_are(monkeypatch, tmp_path):
    """Those of other packages, of no inner part, and from inside a package that is broken."""
    (tmp_path / "broken_release").mkdir()
    (tmp_path / "broken_release" / "__init__.py").write_text("")
    (tmp_path / "broken_release" / "inner.py").write_text("from broken_release import gone")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(versions.TESTED, "broken_release", ("1.0", "2.0"))

    def fails(message, block):
        with pytest.raises((ImportError, AttributeError)) as raised, versions.inner_parts():
            block()
        assert not isinstance(raised.value, versions.MovedError)
        assert message in str(raised.value)

    fails("cannot import name 'gone'", lambda: importlib.import_module("broken_release.inner"))
    fails("No module named 'absent_one'", lambda: importlib.import_module("absent_one.inner"))
    fails("has no attribute 'gone'", lambda: versions.has(pytest, "gone"))
    monkeypatch.setitem(sys.modules, "broken_release", None)
    fails("broken_release", lambda: importlib.import_module("broken_release"))


def test_the_version_is_that_of_the_package_that_lost_the_part(monkeypatch):
    release = types.ModuleType("release")
    release.inner, release.__version__ = types.ModuleType("release.inner"), "9.9.dev1"
    for name, module in (("release", release), ("release.inner", release.inner)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(versions.TESTED, "release", ("1.0", "2.0"))
    with pytest.raises(ImportError, match=r"release\.inner\.part, which the .*\(9\.9\.dev1\)"):
        with versions.inner_parts():
            from release.inner import part  # noqa: F401


# -- The ranges -----------------------------------------------------------------------------------


def pins(name):
    """`{package: version}` of a file of constraints; markers left out."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return dict(re.match(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines if line)


def test_the_floors_are_those_of_the_project_and_the_ranges_are_what_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *(extras[backend][0] for backend in ROOMS_OF_ENGINE)]
    floors = {}
    for requirement in declared:
        name, floor = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()
        floors[name] = floor
    pinned = pins("floors.txt")
    for name, floor in floors.items():
        assert release_of(pinned[name]) == release_of(floor), name
    newest = pins("newest.txt")
    for package, (oldest, latest) in versions.TESTED.items():
        assert (pinned[package], newest[package]) == (oldest, latest), package


ROOMS_OF_ENGINE = ("jax", "tensorflow", "torch")


def release_of(version):
    """Of "2.6" and "2.6.0" the same."""
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers

"""Shared by all tests: the backend under test, its threads, compilers that do not optimize.

A run of `tests/neutral` alone has no backend: there Keras and the three cannot be imported.
"""

import importlib
import importlib.abc
import importlib.machinery
import os
import random
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_gen  # noqa: E402, F401  chooses the backend before Keras is imported

# isort: split
import numpy as np  # noqa: E402
import pytest  # noqa: E402

NEUTRAL = Path(__file__).parent / "neutral"
# Closed forms and refusals: they hold on one backend, and parity holds the others to its numbers.
OF_ONE_BACKEND = [Path(__file__).parent / folder for folder in ("models", "networks")]
# Whether programs are compiled as users' are, which takes hours: `make test-all`.
AS_USERS = os.environ.get("KERAS_GEN_TEST_COMPILERS") == "users"
# Whether a test that the gate runs on one backend, or in a part, runs whole: `make test-all`.
ALL = os.environ.get("KERAS_GEN_TEST_ALL") == "1"
# XLA's fusion emitters alone are half of the time that it takes to compile one operation.
QUICK = "--xla_cpu_use_fusion_emitters=false"
# JAX is told by a setting of its own, test by test.
UNOPTIMIZED = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
FLAGS_SINCE = {"jax": (0, 10), "tensorflow": (2, 21)}  # what the gate runs on


class Blocked(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds Keras and the backends, so that they count as installed, and refuses to load them.

    `sys.modules[name] = None`, the usual blocker, breaks SciPy, which looks there for tensors.
    """

    names = ("jax", "keras", "tensorflow", "torch")
    refused = []  # names asked for; a test fails by it even where an ImportError was caught

    def find_spec(self, name, path=None, target=None):
        if name not in self.names or not importlib.machinery.PathFinder.find_spec(name, path):
            return None
        return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        self.refused.append(spec.name)
        raise ImportError(
            f"tests/neutral: {spec.name} was imported; a test that needs Keras or a backend "
            "belongs elsewhere in tests/"
        )

    def exec_module(self, module):
        raise AssertionError("create_module has refused")


def pytest_configure(config):
    places = (config.invocation_params.dir / arg.partition("::")[0] for arg in config.args)
    config.neutral = all(place.resolve().is_relative_to(NEUTRAL) for place in places)
    if config.neutral:
        assert not set(Blocked.names) & set(sys.modules)
        sys.meta_path.insert(0, Blocked())
    if config.neutral or _only_hands_out_tests(config):
        return
    if AS_USERS:  # torch's own, when inductor is imported
        config.addinivalue_line("filterwarnings", "ignore:.torch.jit:DeprecationWarning")
    if _backend() != "torch":
        _let_xla_compile_quickly()
    else:
        import torch

        torch.set_num_threads(1)
    if _backend() == "jax":
        import jax

        jax.config.update("jax_compilation_cache_dir", jax_cache())
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.hookimpl(tryfirst=True)  # before pytest looks at the marks
def pytest_collection_modifyitems(config, items):
    """Skips `gpu` tests where there is no GPU, unless the CPU stands in for it.

    It does so for those marked `gpu(on_cpu=True)`; with `KERAS_GEN_TEST_DEVICE=cpu` in the
    environment for all of them, and with `KERAS_GEN_TEST_DEVICE=gpu` for none: they fail.
    """
    if config.neutral:
        return
    for item in items:
        if item.path.parent in OF_ONE_BACKEND and not item.get_closest_marker("every_backend"):
            item.add_marker(pytest.mark.one_backend)
    # Two workers end together where the longest tests do not come last; tests of one case
    # come one after another, since they share what was compiled.
    items.sort(key=lambda item: (not _is_long(item), _case_of(item)))
    wanted = os.environ.get("KERAS_GEN_TEST_DEVICE")
    if wanted not in (None, "cpu", "gpu"):
        raise pytest.UsageError(f"KERAS_GEN_TEST_DEVICE: expected cpu or gpu, got {wanted!r}")
    if wanted == "gpu" or _has_gpu():
        return
    for item in items:
        mark = item.get_closest_marker("gpu")
        if mark and not wanted and not mark.kwargs.get("on_cpu"):
            item.add_marker(pytest.mark.skip(reason="no GPU on this machine"))


def _is_long(item):
    return any(item.get_closest_marker(mark) for mark in ("inductor", "many_steps"))


def _case_of(item):
    """Its file, and the name of the case that a test of conformance is about."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if item.path.name != "conformance.py" or not hasattr(parameters.get("case"), "optimizers"):
        return str(item.path), ""
    return str(item.path), parameters["case"].name


@pytest.fixture(scope="session")
def device():
    """What tests marked `gpu` run on: "gpu", or "cpu" where it stands in for one."""
    return "gpu" if _has_gpu() or os.environ.get("KERAS_GEN_TEST_DEVICE") == "gpu" else "cpu"


def jax_cache():
    """A folder of compiled programs: the suite compiles the same few again and again."""
    return os.path.join(tempfile.gettempdir(), f"keras_gen_tests_jax_{os.getuid()}")


def environment_of(backend):
    """For a process that runs another backend: programs of a few steps, compiled quickly."""
    environment = {**os.environ, "KERAS_BACKEND": backend}
    if AS_USERS:
        return environment
    unoptimized = UNOPTIMIZED if backend == "tensorflow" else ""
    return environment | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {QUICK} {unoptimized}",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
        # What the suite on JAX has compiled.
        "JAX_COMPILATION_CACHE_DIR": jax_cache(),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def _backend():
    import keras

    return keras.backend.backend()


def _only_hands_out_tests(config):
    """Whether this process starts workers that run the tests, as xdist's first one does."""
    return bool(config.getoption("tx", None)) and not hasattr(config, "workerinput")


def _let_xla_compile_quickly():
    """Spares XLA what costs more than it gains here, in this process and in none that it starts.

    XLA reads its flags once, at its first program, and ends the process at one that it does not
    know, as that of the oldest versions (`make test-floors`) does.
    """
    version = importlib.import_module(_backend()).__version__
    if AS_USERS or tuple(map(int, version.split(".")[:2])) < FLAGS_SINCE[_backend()]:
        return
    with pytest.MonkeyPatch.context() as patch:
        given = os.environ.get("XLA_FLAGS", "")
        if _backend() == "jax":
            import jax

            patch.setenv("XLA_FLAGS", f"{given} {QUICK}")
            jax.devices()
        else:
            import tensorflow as tf

            patch.setenv("XLA_FLAGS", f"{given} {QUICK} {UNOPTIMIZED}")
            tf.function(lambda: tf.constant(0) + 1, jit_compile=True)()


def _has_gpu():
    if _backend() == "jax":
        import jax

        return jax.default_backend() == "gpu"
    if _backend() == "torch":
        import torch

        return torch.cuda.is_available()
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


@pytest.hookimpl(tryfirst=True)  # before the fixtures of a module, which train too
def pytest_runtest_setup(item):
    """Programs are optimized only in tests marked `many_steps`: others hardly run them.

    On TensorFlow that leaves Grappler out, which parity lets rewrite a step of every case.
    """
    if item.config.neutral or _backend() == "torch":
        return
    few_steps = not (AS_USERS or item.get_closest_marker("many_steps") or _has_gpu())
    if _backend() == "jax":
        import jax

        jax.config.update("jax_disable_most_optimizations", few_steps)
    else:
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": few_steps})


@pytest.fixture(autouse=True)
def fresh_state(request, monkeypatch):
    """Seeds Keras, restores its policy, and keeps compilers from what costs more than it gains.

    Without inductor a captured torch graph computes the same numbers and needs no ten-second
    compile; tests marked `inductor` compile it.
    """
    if request.config.neutral:
        random.seed(0)
        np.random.seed(0)
        Blocked.refused.clear()
        yield
        assert not Blocked.refused, f"imported in tests/neutral: {Blocked.refused}"
        return
    import keras

    keras.utils.set_random_seed(0)
    if _backend() == "torch" and not (AS_USERS or request.node.get_closest_marker("inductor")):
        engine = importlib.import_module("keras_gen.engine.torch")
        monkeypatch.setattr(engine, "compile_graph", lambda graph, inputs: graph)
    yield
    keras.config.set_dtype_policy("float32")

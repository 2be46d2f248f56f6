"""Shared by all tests: the backend under test, its threads, captured graphs without inductor."""

import importlib
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_gen  # noqa: E402, F401  chooses the backend before Keras is imported

# isort: split
import keras  # noqa: E402
import pytest  # noqa: E402

BACKEND = keras.backend.backend()


def pytest_configure(config):
    if BACKEND == "torch":
        import torch

        torch.set_num_threads(1)
    if BACKEND == "jax":
        import jax

        # The suite compiles the same few programs again and again.
        folder = os.path.join(tempfile.gettempdir(), f"keras_gen_tests_jax_{os.getuid()}")
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_collection_modifyitems(items):
    reason = None if _has_gpu() else "no GPU on this machine"
    for item in items:
        if reason and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason=reason))


def _has_gpu():
    if BACKEND == "jax":
        import jax

        return jax.default_backend() == "gpu"
    if BACKEND == "torch":
        import torch

        return torch.cuda.is_available()
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


@pytest.fixture(autouse=True)
def fresh_state(request, monkeypatch):
    """Seeds Keras, restores its policy, and runs captured torch graphs as they are.

    Without inductor a captured graph computes the same numbers and needs no ten-second compile;
    tests marked `inductor` compile it.
    """
    keras.utils.set_random_seed(0)
    if BACKEND == "torch" and not request.node.get_closest_marker("inductor"):
        engine = importlib.import_module("keras_gen.engine.torch")
        monkeypatch.setattr(engine, "compile_graph", lambda graph, inputs: graph)
    yield
    keras.config.set_dtype_policy("float32")

"""Shared by all tests: the backend under test, its threads, compilers that do not optimize."""

import importlib
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_gen  # noqa: E402, F401  chooses the backend before Keras is imported

# isort: split
import keras  # noqa: E402
import pytest  # noqa: E402

BACKEND = keras.backend.backend()
UNOPTIMIZED = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def pytest_configure(config):
    if BACKEND == "tensorflow":
        _compile_without_optimizing()
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
    """Skips `gpu` tests where there is no GPU, unless the CPU stands in for it.

    It does so for those marked `gpu(on_cpu=True)`; with `KERAS_GEN_TEST_DEVICE=cpu` in the
    environment for all of them, and with `KERAS_GEN_TEST_DEVICE=gpu` for none: they fail.
    """
    wanted = os.environ.get("KERAS_GEN_TEST_DEVICE")
    if wanted not in (None, "cpu", "gpu"):
        raise pytest.UsageError(f"KERAS_GEN_TEST_DEVICE: expected cpu or gpu, got {wanted!r}")
    if wanted == "gpu" or _has_gpu():
        return
    for item in items:
        mark = item.get_closest_marker("gpu")
        if mark and not wanted and not mark.kwargs.get("on_cpu"):
            item.add_marker(pytest.mark.skip(reason="no GPU on this machine"))
        elif mark:
            item.add_marker(pytest.mark.few_steps)


@pytest.fixture(scope="session")
def device():
    """What tests marked `gpu` run on: "gpu", or "cpu" where it stands in for one."""
    return "gpu" if _has_gpu() or os.environ.get("KERAS_GEN_TEST_DEVICE") == "gpu" else "cpu"


def _compile_without_optimizing():
    """Keeps TensorFlow's XLA from optimizing, in this process and in none that it starts.

    XLA reads its flags once, at its first program.
    """
    import tensorflow as tf

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", f"{os.environ.get('XLA_FLAGS', '')} {UNOPTIMIZED}")
        tf.function(lambda: tf.constant(0) + 1, jit_compile=True)()


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
    """Seeds Keras, restores its policy, and keeps compilers from what costs more than it gains.

    Without inductor a captured torch graph computes the same numbers and needs no ten-second
    compile; tests marked `inductor` compile it. On JAX, those marked `few_steps` are compiled
    without optimizing, which pays only where programs hardly run.
    """
    keras.utils.set_random_seed(0)
    if BACKEND == "torch" and not request.node.get_closest_marker("inductor"):
        engine = importlib.import_module("keras_gen.engine.torch")
        monkeypatch.setattr(engine, "compile_graph", lambda graph, inputs: graph)
    if BACKEND == "jax":
        import jax

        few_steps = request.node.get_closest_marker("few_steps") is not None
        jax.config.update("jax_disable_most_optimizations", few_steps)
    yield
    keras.config.set_dtype_policy("float32")

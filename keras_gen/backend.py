"""Chooses Keras' backend before Keras is imported."""

import importlib.util
import os
import sys
from pathlib import Path

BACKENDS = ("jax", "tensorflow", "torch")


def installed():
    """Names of the backends that can be imported here, in order of preference."""
    return [name for name in BACKENDS if importlib.util.find_spec(name) is not None]


def choose():
    """Settle `KERAS_BACKEND`: the environment, else keras.json, else the first one installed.

    Keras alone would pick TensorFlow, and a JAX-only user would meet an import error.

    Raises:
        ImportError: No backend is installed, or the named one is not.
    """
    if "keras" in sys.modules:
        return
    named = os.environ.get("KERAS_BACKEND")
    if not named:
        home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
        if (home / "keras.json").exists():
            return
        found = installed()
        if not found:
            raise ImportError(
                "keras-gen needs a backend: pip install 'keras-gen[jax]', 'keras-gen[tensorflow]' "
                "or 'keras-gen[torch]'."
            )
        os.environ["KERAS_BACKEND"] = found[0]
    elif named in BACKENDS and named not in installed():
        raise ImportError(
            f"backend {named!r} is not installed (found: {', '.join(installed()) or 'none'}): "
            f"pip install 'keras-gen[{named}]'."
        )

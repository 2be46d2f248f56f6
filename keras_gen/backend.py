"""Chooses Keras' backend before Keras is imported."""

import importlib.util
import json
import os
import sys
from pathlib import Path

BACKENDS = ("jax", "tensorflow", "torch")


def installed():
    """Names of the backends that can be imported here, in order of preference."""
    return [name for name in BACKENDS if importlib.util.find_spec(name) is not None]


def choose():
    """Settle `KERAS_BACKEND`: the environment, else keras.json, else the first one installed.

    Keras alone would pick TensorFlow, and a JAX-only user would meet an import error. Keras also
    writes keras.json, naming TensorFlow, at its first import on a machine: a backend named there
    counts where it is installed.

    Raises:
        ImportError: No backend is installed, or the named one is not.
    """
    if "keras" in sys.modules:
        return
    named, found = os.environ.get("KERAS_BACKEND"), installed()
    if not named:
        if not found:
            raise ImportError(
                "keras-gen needs a backend: pip install 'keras-gen[jax]', 'keras-gen[tensorflow]' "
                "or 'keras-gen[torch]'."
            )
        configured = _in_keras_json()
        if configured is None or configured in set(BACKENDS) - set(found):
            os.environ["KERAS_BACKEND"] = found[0]
    elif named in BACKENDS and named not in found:
        raise ImportError(
            f"backend {named!r} is not installed (found: {', '.join(found) or 'none'}): "
            f"pip install 'keras-gen[{named}]'."
        )


def _in_keras_json():
    """The backend that keras.json names; `None` where there is no such file or entry."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        return json.loads((home / "keras.json").read_text()).get("backend")
    except (OSError, ValueError, AttributeError):
        return None

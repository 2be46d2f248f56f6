"""keras-gen: generative models written once in Keras 3, for TensorFlow, JAX and PyTorch.

Importing the package settles Keras' backend and nothing more: the rooms come when they are used,
so that the command line can answer, and refuse a config, before Keras is there. Where Keras is
loaded already, so are they.
"""

import contextlib
import importlib
import sys

from keras_gen import backend

__version__ = "0.1.0"

ROOMS = (
    "augmentations",
    "backend",
    "callbacks",
    "checkpoints",
    "config",
    "data",
    "engine",
    "evaluation",
    "losses",
    "metrics",
    "models",
    "networks",
    "optimizers",
    "random",
    "runs",
)
WITHOUT_KERAS = ("ConfigError", "DataError", "backend", "config", "data", "evaluation")
# Public names, and the room each lives in.
HOMES = {
    "ConfigError": "config",
    "DataError": "data",
    "Diverged": "models.trainer",
    "GenerativeModel": "models.base",
    "OptimizerGroup": "optimizers",
    "RunError": "runs",
    "build": "config.build",
    "evaluate": "config.actions",
    "load": "config.actions",
    "train": "config.actions",
}

__all__ = [*ROOMS, *HOMES]


def __getattr__(name):
    if name in (*ROOMS, *HOMES) and name not in WITHOUT_KERAS:
        backend.choose()
    if name in ROOMS:
        return importlib.import_module(f"keras_gen.{name}")
    if name in HOMES:
        return getattr(importlib.import_module(f"keras_gen.{HOMES[name]}"), name)
    raise AttributeError(f"module 'keras_gen' has no attribute {name!r}")


def __dir__():
    return [*__all__, "__version__"]


with contextlib.suppress(ImportError):  # told when a room is used: the command line must start
    backend.choose()
    if "keras" in sys.modules:
        from keras_gen import models  # noqa: F401  registers the families, for keras.saving

"""keras-gen: generative models written once in Keras 3, for TensorFlow, JAX and PyTorch."""

import importlib

from keras_gen import backend

backend.choose()

from keras_gen import engine, losses, models, networks, optimizers, random  # noqa: E402
from keras_gen.models.base import Diverged, GenerativeModel  # noqa: E402
from keras_gen.optimizers import OptimizerGroup  # noqa: E402

__version__ = "0.1.0"

# Rooms that bring libraries of their own (scikit-learn, pillow, pydantic): imported when used.
LAZY_ROOMS = ("callbacks", "config", "data", "metrics")

__all__ = [
    "Diverged",
    "GenerativeModel",
    "OptimizerGroup",
    "backend",
    "engine",
    "losses",
    "models",
    "networks",
    "optimizers",
    "random",
]


def __getattr__(name):
    if name in LAZY_ROOMS:
        return importlib.import_module(f"keras_gen.{name}")
    raise AttributeError(f"module 'keras_gen' has no attribute {name!r}")


def __dir__():
    return [*__all__, *LAZY_ROOMS]

"""The cases as TensorFlow users write them without Keras: modules, tapes, one function."""

from .contestant import MODES, Native

__all__ = ["MODES", "Native"]

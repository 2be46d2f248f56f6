"""Configs: TOML -> checked recipe -> model and data; the only place where the rooms meet.

Reading and checking need pydantic alone. Keras and the rooms built on it are imported when a
model is built.
"""

from keras_gen.config.errors import ConfigError
from keras_gen.config.files import Recipe, find, presets, read, to_toml

__all__ = ["ConfigError", "Recipe", "find", "presets", "read", "to_toml"]

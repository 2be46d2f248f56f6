"""Swaps functions of one of Keras' modules, and puts them back."""

import contextlib


@contextlib.contextmanager
def swapped(module, functions):
    """Let a module have other functions inside the `with` block.

    Args:
        module: A module of Keras.
        functions: `{name in it: function}`.
    """
    originals = {name: getattr(module, name) for name in functions}
    try:
        for name, function in functions.items():
            setattr(module, name, function)
        yield
    finally:
        for name, function in originals.items():
            setattr(module, name, function)

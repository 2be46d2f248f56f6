"""Swaps functions of one of Keras' modules or classes, and puts them back."""

import contextlib


@contextlib.contextmanager
def swapped(module, functions):
    """Let a module or class have other functions inside the `with` block.

    Args:
        module: A module of Keras, or a class that defines the functions itself.
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

"""Swaps functions of one of Keras' modules or classes, and puts them back."""

import contextlib
import threading

_lock = threading.Lock()
_standing = {}  # {(module, name): [its own function, those that stand in for it, newest last]}


@contextlib.contextmanager
def swapped(module, functions):
    """Let a module or class have other functions inside the `with` block.

    Blocks may overlap, as those of two threads that sample do: its own function is back when the
    last one ends.

    Args:
        module: A module of Keras, or a class that defines the functions itself.
        functions: `{name in it: function}`.
    """
    with _lock:
        for name, function in functions.items():
            standing = _standing.setdefault((module, name), [getattr(module, name)])
            standing.append(function)
            setattr(module, name, function)
    try:
        yield
    finally:
        with _lock:
            for name, function in functions.items():
                standing = _standing[module, name]
                standing.remove(function)
                setattr(module, name, standing[-1])
                if len(standing) == 1:
                    del _standing[module, name]

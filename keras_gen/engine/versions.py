"""Which versions the engine is tested with, and one line where an inner part of one has moved.

The engine reaches inside Keras and the backends, whose inner parts may be elsewhere in the next
release. What it takes from there is taken in `inner_parts`: whoever imports keras-gen beside such
a release reads which package it is, which version is here, and which are tested.
"""

import contextlib
import re
import sys
import traceback

# The oldest and the newest of each, as floors.txt and newest.txt pin them.
TESTED = {
    "jax": ("0.6.0", "0.12.0.1"),
    "keras": ("3.15.0", "3.15.1"),
    "tensorflow": ("2.18.0", "2.21.0"),
    "torch": ("2.6.0", "2.14.1"),
}


class MovedError(ImportError):
    """An inner part of a package is not where the engine knows it."""


@contextlib.contextmanager
def inner_parts():
    """Tell in one line which part is gone, where a name is imported or looked up in the block.

    Raises:
        MovedError: Code of ours asked a package of `TESTED` for a part that it does not have. An
            error of another package, or from inside one that is broken, stays as it is.
    """
    try:
        yield
    except (ImportError, AttributeError) as error:
        part = _asked_for(error)
        if part is None:
            raise
        package, _, _ = part.partition(".")
        here = getattr(sys.modules.get(package), "__version__", "of an unknown version")
        oldest, newest = TESTED[package]
        raise MovedError(
            f"keras-gen needs {part}, which the {package} installed here ({here}) does not have; "
            f"it is tested with {package} {oldest} to {newest}: "
            f"pip install '{package}>={oldest},<={newest}'"
        ) from None


def has(owner, *names):
    """Look names up that are used later, so that `inner_parts` tells of them when it is imported.

    Args:
        owner: A module or a class.
        *names: Of its functions and methods.

    Raises:
        AttributeError: It has not all of them.
    """
    for name in names:
        getattr(owner, name)


def _asked_for(error):
    """The dotted name of the part that code of ours asked for in vain; None for other errors."""
    modules = [
        frame.f_globals["__name__"]
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name == "<module>"
    ]
    if modules and modules[-1].partition(".")[0] in TESTED:
        return None  # the package itself fails while it is imported
    if isinstance(error, AttributeError):
        owner, name = error.obj, error.name
        owner = getattr(owner, "__name__", None) if isinstance(owner, type(sys)) else _path(owner)
    else:
        owner = error.name
        name = re.match(r"cannot import name '(\w+)'", str(error))
        name = name and name[1]
    part = ".".join(filter(None, (owner, name)))
    package, _, inner = part.partition(".")
    return part if package in TESTED and inner else None


def _path(owner):
    kind = owner if isinstance(owner, type) else type(owner)
    return f"{kind.__module__}.{kind.__qualname__}"

"""The one error of the room, and how it names what was probably meant."""

import difflib


class DataError(ValueError):
    """A data set, a file or an option of this room is not what it should be; one line says what.

    Args:
        message: one line: the field or file, what was expected, what came, what to do.
    """

    def __init__(self, message):
        super().__init__(" ".join(str(message).split()))


def nearest(word, known):
    """Suggests the known name closest to a misspelt one.

    Args:
        word: what was written.
        known: the names there are.

    Returns:
        `"; did you mean 'x'?"`, or an empty string where nothing is close.
    """
    matches = difflib.get_close_matches(str(word), [str(name) for name in known], n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def require(field, value, known):
    """Checks that a value is one of a few.

    Args:
        field: the option's name, for the error.
        value: what came.
        known: the values there are.

    Returns:
        The value.

    Raises:
        DataError: the value is none of them.
    """
    if value not in known:
        choices = ", ".join(map(repr, known))
        raise DataError(f"{field}: expected one of {choices}, got {value!r}{nearest(value, known)}")
    return value

"""The error of a config: one line that names the field, what was expected and what came."""

from keras_gen.data.errors import nearest


class ConfigError(ValueError):
    """A config, or what the command line adds to it, cannot be used.

    Args:
        message: one line: the field or file, what was expected, what came, what to do.
    """

    def __init__(self, message):
        super().__init__(" ".join(str(message).split()))


def did_you_mean(word, known):
    """Names the nearest known word, and all of them.

    Args:
        word: what was written.
        known: the words there are.

    Returns:
        `"; did you mean 'x'? known: ..."`, without the question where nothing is near.
    """
    question = nearest(word, known) or ";"
    return f"{question} known: {', '.join(sorted(map(str, known)))}"


def look_up(field, word, known):
    """Checks that a word is known.

    Args:
        field: where it was written, for the error.
        word: what was written.
        known: the words there are.

    Returns:
        The word.

    Raises:
        ConfigError: it is not among them.
    """
    if word is None:
        raise ConfigError(f"{field}: missing; known: {', '.join(known)}")
    if not isinstance(word, str) or word not in known:
        raise ConfigError(f"{field}: nothing is called {word!r}{did_you_mean(word, known)}")
    return word

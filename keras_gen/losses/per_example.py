"""What every loss shares: float32 going in, one number per example coming out."""

from keras import ops


def float32(x):
    """Casts to float32: a half-precision sum over pixels overflows or loses its small terms."""
    return ops.cast(x, "float32")


def float32_rows(x, y):
    """Casts two tensors to float32, a row an example, and insists on one shape.

    Broadcasting is refused because `(batch, 1)` against `(batch,)` would quietly compare every
    example with every other. Rows, because XLA's loops over `(batch, 28, 28, 1)` take up to twice
    the time of those over `(batch, 784)`.

    Args:
        x: tensor `(batch, ...)`.
        y: tensor of the same shape; dimensions unknown while tracing match anything.

    Returns:
        `x` and `y` as float32 tensors `(batch, features)`.

    Raises:
        ValueError: the shapes differ.
    """
    x, y = float32(x), float32(y)
    agree = all(a == b or None in (a, b) for a, b in zip(x.shape, y.shape, strict=False))
    if len(x.shape) != len(y.shape) or not agree:
        raise ValueError(f"expected two tensors of one shape, got {x.shape} and {y.shape}")
    return rows(x), rows(y)


def rows(values):
    """Flattens `(batch, ...)` to `(batch, features)`."""
    return ops.reshape(values, (ops.shape(values)[0], -1))


def mean_per_example(values):
    """Averages `(batch, ...)` over every axis but the first, to `(batch,)`."""
    return ops.mean(rows(values), axis=1)

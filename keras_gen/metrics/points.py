"""Sets of points, `(count, features)`: how they are read, how far apart, and how they spread.

Everything is computed in float64, a block of rows at a time: float32 loses the difference between
two near points with large coordinates, and a float64 copy of the whole set may not fit.
"""

import numpy as np

BLOCK = 2**22  # float64 numbers worked on at once: 32 MB


def as_points(name, values, at_least=1):
    """Reads `(count, ...)` as `(count, features)`.

    Raises:
        ValueError: there are fewer than `at_least` points, or a coordinate is not finite.
    """
    values = np.asarray(values)
    if values.ndim < 1 or len(values) < at_least:
        raise ValueError(f"{name}: expected at least {at_least} points, got shape {values.shape}")
    values = values.reshape(len(values), -1)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: expected finite numbers, got nan or inf")
    return values


def as_comparable_points(a_name, a, b_name, b, at_least=1):
    """Reads two sets of points of the same space.

    Raises:
        ValueError: either is no such set, or they differ in their number of features.
    """
    a, b = as_points(a_name, a, at_least), as_points(b_name, b, at_least)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{b_name}: expected {a.shape[1]} features as {a_name} has, got {b.shape[1]}"
        )
    return a, b


def squared_distances(a, b):
    """Squared Euclidean distances between all pairs, a block of rows at a time.

    `|a - b|**2 = |a|**2 - 2 * a @ b + |b|**2`.

    Args:
        a: `(n, features)`.
        b: `(m, features)`.

    Yields:
        `(rows, block)`: a slice of `a` and its float64 distances `(rows, m)`.
    """
    b = b.astype("float64")
    b_norms = np.square(b).sum(axis=1)
    for rows in _blocks(len(a), max(b.shape)):
        block = a[rows].astype("float64")
        distances = np.square(block).sum(axis=1)[:, None] + b_norms
        distances -= 2 * (block @ b.T)
        yield rows, np.maximum(distances, 0, out=distances)  # rounding may dip below zero


def fit_gaussian(points):
    """The mean of a set of points, and a factor of their covariance.

    `factor.T @ factor = sum((x - mean) (x - mean).T) / (count - 1)`.

    Args:
        points: `(count, features)`, at least two.

    Returns:
        `mean` `(features,)` and `factor` `(features, features)`, float64: the principal axes, each
        as long as the deviation along it.
    """
    count, features = points.shape
    mean = points.mean(axis=0, dtype="float64")
    scatter = np.zeros((features, features))
    for rows in _blocks(count, features):
        centred = points[rows] - mean
        scatter += centred.T @ centred
    variances, axes = np.linalg.eigh(scatter / (count - 1))
    deviations = np.sqrt(np.maximum(variances, 0))  # rounding may dip below zero
    return mean, deviations[:, None] * axes.T


def _blocks(count, width):
    size = max(1, BLOCK // width)
    return [slice(start, start + size) for start in range(0, count, size)]

"""Precision and recall, density and coverage: fidelity and variety, measured apart."""

import numpy as np

from keras_gen.metrics.points import as_comparable_points, squared_distances


def precision_recall(real, fake, k=3):
    """How far generated examples lie among the data, and the data among generated examples.

    With `ball(x)` around each point, as wide as the distance to its k-th neighbour in its own set:

    `precision = mean over fake of (in ball(r) for any real r)`
    `recall = mean over real of (in ball(f) for any fake f)`
    `density = mean over fake of (number of balls ball(r) it is in) / k`
    `coverage = mean over real of (any fake in ball(r))`

    Precision and recall count a point on a ball's edge as inside, density and coverage as outside,
    as their authors do. Numbers compare only for the same `k`, counts and feature extractor.

    Args:
        real: features of data, `(count, features)`; more axes are flattened.
        fake: features of generated examples, `(count, features)`; counts may differ.
        k: which neighbour sets the width of a ball, fewer than either count. Kynkäänniemi et al.
            take 3, Naeem et al. 5.

    Returns:
        A dict of "precision", "recall" and "coverage", in [0, 1], and "density", at least 0 and
        about 1 where fake and real are alike.

    Raises:
        ValueError: too few points for `k`, different numbers of features, or nan or inf.

    Reference: Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative
    Models", 2019, section 2; Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative
    Models", 2020, section 3.
    """
    if k < 1:
        raise ValueError(f"k: expected at least 1, got {k!r}")
    real, fake = as_comparable_points("real", real, "fake", fake, at_least=k + 1)
    real_radius, fake_radius = _squared_radii(real, k), _squared_radii(fake, k)
    fake_is_inside = np.zeros(len(fake), bool)
    real_is_inside, real_is_covered = np.zeros((2, len(real)), bool)
    balls = 0
    for rows, distances in squared_distances(real, fake):
        radius = real_radius[rows, None]
        fake_is_inside |= (distances <= radius).any(axis=0)
        real_is_inside[rows] = (distances <= fake_radius).any(axis=1)
        strictly = distances < radius
        real_is_covered[rows] = strictly.any(axis=1)
        balls += np.count_nonzero(strictly)
    return {
        "precision": float(fake_is_inside.mean()),
        "recall": float(real_is_inside.mean()),
        "density": float(balls / (k * len(fake))),
        "coverage": float(real_is_covered.mean()),
    }


def _squared_radii(points, k):
    """Squared distance of each point to its k-th neighbour; the nearest of all is itself."""
    radii = np.empty(len(points))
    for rows, distances in squared_distances(points, points):
        distances.partition(k, axis=1)
        radii[rows] = distances[:, k]
    return radii

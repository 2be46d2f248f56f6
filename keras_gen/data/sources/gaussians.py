"""Points around known centres in the plane, whose modes can be counted: nothing to download."""

from typing import NamedTuple

import numpy as np

from keras_gen.data.dataset import ArrayPixels, Dataset
from keras_gen.data.splits import held_out, random_stream

TRAIN_POINTS, TEST_POINTS = 20_000, 5_000


class Gaussians(NamedTuple):
    """Normal distributions of one deviation, each as likely as the others.

    Args:
        centres: float64 `(modes, features)`.
        deviation: of each of them, along each axis.
    """

    centres: np.ndarray
    deviation: float


def load(request):
    """Loads the points of "ring" or of "grid": `centre + deviation * z`, `z ~ N(0, I)`.

    Args:
        request: a `Request`; the points are always the same, its `seed` chooses the "validation"
            points among the 20,000 to train on, mode by mode.

    Returns:
        A `Dataset` of `(2,)` without a range; labels are the modes.

    Raises:
        DataError: the split is unknown or empty, or an option that only pictures have.
    """
    split = request.known_split()
    request.numbers_only("points in the plane", size=request.geometry.size)
    modes = MIXTURES[request.name]()
    count, place = (TEST_POINTS, 1) if split == "test" else (TRAIN_POINTS, 0)
    rng = random_stream(0, place)
    labels = rng.integers(len(modes.centres), size=count)
    points = modes.centres[labels] + modes.deviation * rng.standard_normal((count, 2))
    if split != "test":
        chosen = held_out(request.name, labels, split, request.validation_fraction, request.seed)
        points, labels = points[chosen], labels[chosen]
    return Dataset(
        request.name,
        split,
        ArrayPixels(points.astype("float32"), limits=None),
        value_range=None,
        labels=labels.astype(np.int32),
        num_classes=len(modes.centres),
        columns=("x", "y"),
        modes=modes,
    )


def ring():
    """Eight on a circle of radius 2, deviation 0.02: Metz et al. 2017, "Unrolled GANs"."""
    angles = 2 * np.pi * np.arange(8) / 8
    return Gaussians(2 * np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.02)


def grid():
    """Five by five, two apart, deviation 0.05: Srivastava et al. 2017, "VEEGAN"."""
    line = np.arange(-4.0, 5.0, 2.0)
    return Gaussians(np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2), 0.05)


MIXTURES = {"ring": ring, "grid": grid}

"""Which modes of the data samples reach, and how evenly: of data whose modes are known."""

import numpy as np

from keras_gen.metrics.points import as_comparable_points, squared_distances

NEAR = 3.0  # deviations: a normal point of the plane is farther in one of ninety cases
REJECTED = -1  # the class of an image that is of none
LEAST_MODES = 0.99  # share of all modes
MOST_REVERSE_KL = 0.15  # nats
LEAST_PRECISION = 0.7
LEAST_RECALL = 0.5


def gaussian_mode_coverage(samples, centres, deviation):
    """Modes of a mixture of Gaussians that samples reach, and how many of them lie near one.

    A sample is of high quality within three deviations of a centre, and of the mode whose centre is
    nearest. Of the mixture itself, in the plane, `1 - exp(-9 / 2) = 0.989` are.

    Args:
        samples: `(count, features)`.
        centres: `(modes, features)`.
        deviation: of each Gaussian, along each axis.

    Returns:
        `{"modes", "high_quality", "reverse_kl"}`: modes with at least one sample of high quality;
        the share of these among all samples; and `reverse_kl` of their modes.

    Raises:
        ValueError: no samples, different numbers of features, or nan or inf.

    Reference: Srivastava et al., "VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational
    Learning", 2017, section 4.
    """
    samples, centres = as_comparable_points("samples", samples, "centres", centres)
    near, counts = 0, np.zeros(len(centres), int)
    for _, distances in squared_distances(samples, centres):
        modes = distances.argmin(axis=1)[distances.min(axis=1) <= (NEAR * deviation) ** 2]
        near += len(modes)
        counts += np.bincount(modes, minlength=len(centres))
    return {
        "modes": int(np.count_nonzero(counts)),
        "high_quality": near / len(samples),
        "reverse_kl": reverse_kl(counts),
    }


def stacked_mode_coverage(classes, num_classes=10):
    """Modes that stacks of images reach: a mode is a class in each channel.

    A stack is accepted where every channel is of some class.

    Args:
        classes: integers `(count, channels)`; `REJECTED` where a channel is of no class.
        num_classes: of a channel.

    Returns:
        `{"accepted", "modes", "reverse_kl"}`: the share of stacks that are accepted; modes with at
        least one of them; and `reverse_kl` of their modes.

    Reference: Metz et al., "Unrolled Generative Adversarial Networks", 2017, section 3.3, where
    nothing is rejected.
    """
    classes = np.asarray(classes)
    accepted = classes[(classes != REJECTED).all(axis=1)]
    places = num_classes ** np.arange(classes.shape[1])[::-1]
    counts = np.bincount(accepted @ places, minlength=num_classes ** classes.shape[1])
    return {
        "accepted": len(accepted) / len(classes),
        "modes": int(np.count_nonzero(counts)),
        "reverse_kl": reverse_kl(counts),
    }


def reverse_kl(counts):
    """How unevenly modes are reached: `KL(q || p) = sum(q * log(q / p))`, p the same for each mode.

    Of n samples of p itself it is about `(modes - 1) / (2 * n)`.

    Args:
        counts: samples of each mode, `(modes,)`.

    Returns:
        Nats, a float: 0 where all are reached alike; `log(modes)`, which all samples in one mode
        have, also where there is no sample.
    """
    counts = np.asarray(counts, "float64")
    if not counts.any():
        return float(np.log(len(counts)))
    q = counts[counts > 0] / counts.sum()
    return max(0.0, float((q * np.log(q * len(counts))).sum()))


def covers(modes, of, reverse_kl, precision, recall):
    """Whether samples cover the data: 99 % of its modes, evenly, and like it within each.

    No one of these numbers is enough. Ten fixed images, one a class, stacked at random, reach every
    mode evenly and precisely: their recall is 0. Noise that a classifier is sure of reaches the
    modes: its precision is 0.

    Args:
        modes: how many are reached.
        of: how many there are.
        reverse_kl: nats, of the samples' modes to the uniform distribution.
        precision: of the samples, k-nearest-neighbour.
        recall: of the samples.

    Returns:
        True where at least 99 % of the modes are reached, the divergence is at most 0.15,
        precision at least 0.7 and recall at least 0.5.
    """
    return (
        modes >= LEAST_MODES * of
        and reverse_kl <= MOST_REVERSE_KL
        and precision >= LEAST_PRECISION
        and recall >= LEAST_RECALL
    )

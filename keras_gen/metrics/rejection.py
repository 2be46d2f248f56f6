"""A classifier that can say no: an image of no class has a class of its own."""

import numpy as np
from scipy import ndimage

from keras_gen.metrics.classifier import Classifier
from keras_gen.metrics.mode_coverage import REJECTED

CONFIDENCE = 0.9
EPOCHS = 8
NONE_SHARE = 0.2  # images of no class, for each image of one
PATCHES = (4, 7)  # a side that shuffled patches divide


class RejectingClassifier(Classifier):
    """A `Classifier` with one class more, for what is no image of the data.

    `accepted = (max over classes of p(class)) >= 0.9`, the class "none" not among them

    A plain softmax is sure of noise. This one has seen the images as they are, moved, blurred,
    darkened and noisy a little, which they survive; and, for each five of these, one that is none:
    patches shuffled, sums and differences of several images, smooth noise, and noise with the
    spectrum of an image (`none_of_them`). No sample of a fitted Gaussian or of independent pixels
    is among them.

    Args:
        image_shape: `(height, width, channels)`.
        classes: number of classes, without "none".
        name: what the trained classifier is called.
        seed: of the weights, of what is done to the images, and of their order.
    """

    extra_classes = 1

    def fit(self, images, labels, *, shown=300_000, **options):
        """Trains on versions of the images and on images of no class.

        Args:
            images: `(count, height, width, channels)` in [0, 1].
            labels: classes `(count,)`, integers from 0.
            shown: images that training passes, about; each is shown in two versions or more,
                and these three times or more.
            **options: further arguments of `Classifier.fit`.

        Returns:
            The classifier itself.

        Raises:
            ValueError: as `Classifier.fit`.
        """
        images, labels = np.asarray(images, "float32"), np.asarray(labels).ravel()
        rng = np.random.default_rng(self.seed)
        copies = max(2, round(shown / EPOCHS / len(images)))
        some = versions(images, copies, rng)
        none = none_of_them(images, round(NONE_SHARE * len(some)), rng)
        classes = np.append(np.tile(labels, copies), np.full(len(none), self.classes))
        epochs = max(3, round(shown / len(some)))
        return super().fit(np.concatenate([some, none]), classes, epochs=epochs, **options)

    def classify(self, images, confidence=CONFIDENCE):
        """The class of each image that the classifier is sure of.

        Args:
            images: `(count, height, width, channels)` in [0, 1].
            confidence: the least probability of a class.

        Returns:
            Integers `(count,)`; -1 where no class is as probable.

        Raises:
            ValueError: an image is outside [0, 1].
        """
        probabilities = self.predict_proba(images)[:, : self.classes]
        sure = probabilities.max(axis=1) >= confidence
        return np.where(sure, probabilities.argmax(axis=1), REJECTED)


def versions(images, copies, rng):
    """Images as they are, then moved, then moved and spoilt a little: of the same classes.

    Args:
        images: `(count, height, width, channels)` in [0, 1].
        copies: of each image: a quarter as they are, a quarter moved.
        rng: NumPy's generator.

    Returns:
        `(copies * count, height, width, channels)` in [0, 1], all images copy by copy.
    """
    as_they_are = max(1, copies // 4)
    parts = [images] * as_they_are
    for copy in range(as_they_are, copies):
        moved = _moved(images, rng)
        parts.append(moved if copy < 2 * as_they_are else _spoilt(moved, rng))
    return np.concatenate(parts)


def none_of_them(images, count, rng):
    """Images that have much in common with those of the data and are none: four kinds, in turn.

    Patches shuffled within an image or between images; `mean + sum(+-(x - mean)) / sqrt(k)` of
    three to eight images x; smooth noise, half of it fading where the mean image does; images with
    phases of noise.

    Args:
        images: `(n, height, width, channels)` in [0, 1].
        count: how many.
        rng: NumPy's generator.

    Returns:
        `(count, height, width, channels)` in [0, 1].
    """
    kinds = (_shuffled, _combined, _noise, _rephased)
    sizes = [len(range(kind, count, len(kinds))) for kind in range(len(kinds))]
    made = [kind(images, size, rng) for kind, size in zip(kinds, sizes, strict=True)]
    return np.clip(np.concatenate(made), 0, 1).astype("float32")


def _moved(images, rng):
    """Turned by up to 10 degrees, slanted, stretched by a tenth, shifted by up to a fourteenth."""
    count, height, width, channels = images.shape
    angles = np.deg2rad(rng.uniform(-10, 10, count))
    slants = rng.uniform(-0.15, 0.15, count)
    stretches = np.exp(rng.uniform(-0.1, 0.1, (count, 2)))
    shifts = rng.uniform(-1 / 14, 1 / 14, (count, 2)) * (height, width)
    middle = (np.array([height, width]) - 1) / 2
    moved = np.empty_like(images)
    for i in range(count):
        cos, sin = np.cos(angles[i]), np.sin(angles[i])
        turn = np.array([[cos - sin * slants[i], -sin], [sin + cos * slants[i], cos]])
        matrix = turn * stretches[i]
        offset = middle - matrix @ (middle + shifts[i])
        for channel in range(channels):
            ndimage.affine_transform(
                images[i, ..., channel],
                matrix,
                offset,
                output=moved[i, ..., channel],
                order=1,
                mode="nearest",
            )
    return moved


def _spoilt(images, rng):
    """A third each, independently: blurred, darkened or brightened, noisy."""
    images = images.copy()
    blurred, bent, noisy = rng.random((3, len(images))) < 0.3
    side = min(images.shape[1:3])
    for part in np.array_split(np.flatnonzero(blurred), 4):
        width = rng.uniform(0, side / 30)
        images[part] = ndimage.gaussian_filter(images[part], (0, width, width, 0))
    images[bent] **= np.exp(rng.uniform(-1, 1, (bent.sum(), 1, 1, 1)))
    noise = rng.standard_normal(images[noisy].shape)
    images[noisy] += rng.uniform(0, 0.12, (noisy.sum(), 1, 1, 1)) * noise
    return np.clip(images, 0, 1)


def _chosen(images, count, rng):
    return images[rng.integers(len(images), size=count)]


def _shuffled(images, count, rng):
    made = _chosen(images, count, rng)
    height, width, channels = made.shape[1:]
    for kind, part in enumerate(np.array_split(np.arange(count), 2 * len(PATCHES))):
        parts = min(PATCHES[kind // 2], height, width)
        rows, columns = height // parts, width // parts
        whole = made[part, : parts * rows, : parts * columns]
        patches = whole.reshape(-1, parts, rows, parts, columns, channels).swapaxes(2, 3)
        patches = patches.reshape(len(part), parts**2, -1)
        if kind % 2:  # between images: each place of the patch of some image there
            patches = np.stack([rng.permutation(place) for place in patches.swapaxes(0, 1)], axis=1)
        order = rng.random(patches.shape[:2]).argsort(axis=1)[..., None]
        patches = np.take_along_axis(patches, order, axis=1)
        patches = patches.reshape(-1, parts, parts, rows, columns, channels).swapaxes(2, 3)
        made[part, : parts * rows, : parts * columns] = patches.reshape(whole.shape)
    return made


def _combined(images, count, rng):
    mean = images.mean(axis=0)
    made = np.zeros((count, *images.shape[1:]), "float32")
    summands = rng.integers(3, 9, count)
    for place in range(summands.max(initial=0)):
        rows = np.flatnonzero(summands > place)
        signs = rng.choice([-1.0, 1.0], (len(rows), 1, 1, 1))
        made[rows] += signs * (_chosen(images, len(rows), rng) - mean)
    return mean + made / np.sqrt(summands)[:, None, None, None]


def _noise(images, count, rng):
    shape = images.shape[1:]
    made = rng.standard_normal((count, *shape))
    for part in np.array_split(np.arange(count), 8):
        width = rng.uniform(0, min(shape[:2]) / 9)
        field = ndimage.gaussian_filter(made[part], (0, width, width, 0), mode="wrap")
        made[part] = field / max(field.std(), 1e-6) if len(part) else field
    made *= rng.uniform(0.1, 1, (count, 1, 1, 1))
    made += rng.uniform(-0.5, 0.8, (count, 1, 1, 1))
    mean = images.mean(axis=0)
    made[::2] = np.clip(made[::2], 0, 1) * mean / max(mean.max(), 1e-6)
    return made


def _rephased(images, count, rng):
    shape = images.shape[1:3]
    spectra = np.fft.rfft2(_chosen(images, count, rng), axes=(1, 2))
    noise = np.fft.rfft2(rng.standard_normal((count, *images.shape[1:])), axes=(1, 2))
    share = rng.uniform(0.6, 1, (count, 1, 1, 1))  # of the noise in each phase
    phases = (1 - share) * np.angle(spectra) + share * np.angle(noise)
    return np.fft.irfft2(np.abs(spectra) * np.exp(1j * phases), s=shape, axes=(1, 2))

"""What every source hands out: images, signals or vectors, and labels, by index, in one shape."""

import numpy as np

from keras_gen.data.cleaning import CleaningReport
from keras_gen.data.errors import DataError


class ArrayPixels:
    """Pixels held in memory in the type they came in.

    Args:
        array: `(count, height, width, channels)`, `(count, steps, channels)` or
            `(count, features)`, uint8 or float32.
        limits: `(lowest, highest)` that a pixel can be; None for any number, as in a series.
    """

    def __init__(self, array, limits):
        self.array = array
        self.limits = limits
        self.shape = array.shape[1:]

    def __len__(self):
        return len(self.array)

    def read(self, indices):
        """Reads the pixels of some images, within `limits`.

        Args:
            indices: integers `(count,)`.

        Returns:
            `(count, height, width, channels)`.
        """
        return self.array[indices]


class Dataset:
    """One split of a source: images of one shape and range, and labels where there are any.

    Of a series the images are signals, windows `(steps, channels)` of real numbers; of a table, or
    of points in the plane, vectors `(features,)` of them.

    Args:
        name: what the source was loaded as.
        split: which split of it this is.
        pixels: where images are read from: `shape`, `limits`, `len()` and `read(indices)`, as in
            `ArrayPixels`.
        value_range: `(lowest, highest)` of the float32 images handed out; None for real numbers, of
            a series or of vectors.
        labels: int32 `(count,)`; or a callable without arguments that reads them when they are
            first needed; or None.
        class_names: the name of each class, or None.
        num_classes: how many classes there are, or None.
        licence: the licence of the data, or None where it is not known.
        standard: `(mean, deviation)` of each channel of a series, or of each number of a row, in
            its own units: `x * deviation + mean` leads back to them; None where they are kept.
        rate: samples a second, of sounds.
        input_channels: of pairs, how many channels, the first ones, are the input's; None where an
            image is no pair.
        columns: the name of each number of a vector.
        modes: what is known of the modes of data that were made: `gaussians.Gaussians` or
            `stacked_digits.Parts`; else None.
        report: a `CleaningReport`; None for a published set taken as it is.

    Attributes:
        shape: `(height, width, channels)` of every image, `(steps, channels)` of every signal,
            `(features,)` of every vector.
        lazy: whether images are decoded when they are asked for, and not held in memory.
        has_labels: whether there are labels.
    """

    def __init__(
        self,
        name,
        split,
        pixels,
        value_range,
        *,
        labels=None,
        class_names=None,
        num_classes=None,
        licence=None,
        standard=None,
        rate=None,
        input_channels=None,
        columns=None,
        modes=None,
        report=None,
    ):
        self.name = name
        self.split = split
        self.shape = tuple(int(n) for n in pixels.shape)
        self.value_range = value_range
        self.class_names = class_names
        self.num_classes = num_classes
        self.licence = licence
        self.standard = standard
        self.rate = rate
        self.input_channels = input_channels
        self.columns = columns
        self.modes = modes
        self.report = report or CleaningReport(len(pixels), len(pixels))
        self.lazy = not isinstance(pixels, ArrayPixels)
        self.has_labels = labels is not None
        self._pixels = pixels
        self._labels = labels
        self._levels = None
        if pixels.limits == (0, 255):
            # All that a byte can become: one gather a batch, and 255 is exactly the upper end.
            low, high = value_range
            self._levels = (low + (high - low) * np.arange(256) / 255).astype(np.float32)

    def __len__(self):
        return len(self._pixels)

    def __repr__(self):
        kind = {1: "vectors", 2: "signals", 3: "images"}[len(self.shape)]
        return f"<Dataset {self.name} {self.split}: {len(self)} {kind} {self.shape}>"

    def images(self, indices=None):
        """Reads images.

        Args:
            indices: integers, a slice or a mask over the split; None for all of it, which a
                large folder should not be asked for.

        Returns:
            float32 `(count, height, width, channels)` in `value_range`; signals
            `(count, steps, channels)`; vectors `(count, features)`.

        Raises:
            DataError: a file can no longer be read.
        """
        pixels = self._pixels.read(self._positions(indices))
        if self._pixels.limits is None:
            return np.ascontiguousarray(pixels, np.float32)
        if pixels.dtype == np.uint8 and self._levels is not None:
            return self._levels[pixels]
        return to_range(pixels, self._pixels.limits, self.value_range)

    def labels(self, indices=None):
        """Reads labels.

        Args:
            indices: integers, a slice or a mask over the split; None for all of it.

        Returns:
            int32 `(count,)`, or None where the source has no labels.
        """
        if callable(self._labels):
            self._labels = self._labels()
        if self._labels is None:
            return None
        return self._labels[self._positions(indices)]

    def arrays(self, limit=None):
        """Reads the split, or a share of it, into arrays.

        Args:
            limit: at most so many images, spread evenly over the split (its first images alone
                would be of one class where files are sorted by class); None for all.

        Returns:
            `(images, labels)` as `images` and `labels` give them.
        """
        indices = None
        if limit is not None and limit < len(self):
            indices = np.arange(limit) * len(self) // limit
        return self.images(indices), self.labels(indices)

    def batches(
        self,
        batch_size,
        *,
        shuffle_seed=None,
        labels=False,
        augment=None,
        drop_last=False,
        prefetch=None,
    ):
        """Opens a stream of batches that `model.fit` takes as its `x`.

        Args:
            batch_size: images a batch.
            shuffle_seed: seeds the order of every epoch and the augmentation; None keeps the
                split's own order.
            labels: whether a batch is `(images, labels)` and not images alone.
            augment: `(images, rng) -> images`, such as `augmentation(...)`, or None.
            drop_last: whether a last batch that is not full is left out.
            prefetch: whether a thread prepares the next batch meanwhile; None for yes where
                images are decoded or augmented.

        Returns:
            A `Batches`.

        Raises:
            DataError: labels are asked for and there are none, or no batch would be left.
        """
        from keras_gen.data.batches import Batches

        return Batches(
            self,
            batch_size,
            shuffle_seed=shuffle_seed,
            labels=labels,
            augment=augment,
            drop_last=drop_last,
            prefetch=prefetch,
        )

    def _positions(self, indices):
        if indices is None:
            return np.arange(len(self))
        if isinstance(indices, np.ndarray) and indices.dtype.kind in "iu":
            return indices
        if isinstance(indices, slice):
            return np.arange(len(self))[indices]
        indices = np.asarray(indices)
        if indices.dtype == bool:
            return np.flatnonzero(indices)
        try:
            return np.atleast_1d(indices.astype(np.int64, casting="safe"))
        except TypeError:
            if indices.size == 0:
                return np.empty(0, np.int64)
            raise DataError(f"indices: expected integers, got {indices.dtype}") from None


def to_range(pixels, limits, value_range):
    """Maps pixels from one range to another.

    Args:
        pixels: any shape, within `limits`.
        limits: `(lowest, highest)` that they can be.
        value_range: `(lowest, highest)` that they become.

    Returns:
        float32 of the same shape, never outside `value_range`.
    """
    low, high = value_range
    scale = (high - low) / (limits[1] - limits[0])
    # In float32 the upper end may come out one rounding too high: clip.
    images = np.multiply(pixels, np.float32(scale), dtype=np.float32)
    images += np.float32(low - limits[0] * scale)
    return np.clip(images, low, high, out=images)

"""A stream of batches whose every batch is a pure function of (seed, epoch, batch)."""

import math
import numbers
import sys

import keras
import numpy as np

from keras_gen.data.errors import DataError
from keras_gen.data.splits import random_stream

# The purposes of random numbers, so that order and augmentation never share them.
ORDER, AUGMENTATION = 0, 1


class Batches(keras.utils.PyDataset):
    """Batches of a data set in an order that is new each epoch and can be resumed anywhere.

    The order of epoch `e` is the permutation drawn at `(shuffle_seed, e)`, and the augmentation of
    its batch `i` is drawn at `(shuffle_seed, e, i)`: nothing depends on what was read before.

    To resume at batch `b` of epoch `e`, set `epoch = e`, then `start_batch = b`: the length of
    that epoch is the batches that are left. Keras reads the length once a `fit`, so the rest of
    epoch `e` needs a `fit` of its own (`initial_epoch=e, epochs=e + 1`) before the next goes on;
    a `fit` that runs past it is stopped with an error, not cut short.

    Args:
        dataset: a `Dataset`.
        batch_size: images a batch.
        shuffle_seed: a non-negative integer; None keeps the data set's own order.
        labels: whether a batch is `(images, labels)` and not images alone.
        augment: `(images, rng) -> images`, or None.
        drop_last: whether a last batch that is not full is left out.
        workers: Keras prepares batches in so many threads beside the training when above 1.

    Raises:
        DataError: an argument is out of range, or labels are asked for and there are none.
    """

    def __init__(
        self,
        dataset,
        batch_size,
        *,
        shuffle_seed=None,
        labels=False,
        augment=None,
        drop_last=False,
        workers=1,
    ):
        super().__init__(workers=workers)
        if not whole(batch_size) or batch_size < 1:
            raise DataError(f"batch_size: expected 1 or more, got {batch_size!r}")
        if shuffle_seed is not None and (not whole(shuffle_seed) or shuffle_seed < 0):
            raise DataError(f"shuffle_seed: expected 0 or more, or None, got {shuffle_seed!r}")
        if labels and not dataset.has_labels:
            raise DataError(
                f"labels: {dataset.name} has none; leave labels out or take another source"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle_seed = shuffle_seed
        self.labels = labels
        self.augment = augment
        self.drop_last = drop_last
        parts = len(dataset) / batch_size
        self.batches_per_epoch = math.floor(parts) if drop_last else math.ceil(parts)
        if not self.batches_per_epoch:
            raise DataError(
                f"batch_size: {batch_size} is more than the {len(dataset)} images of "
                f"{dataset.name} {dataset.split} and drop_last leaves no batch; take a smaller one"
            )
        # Epoch and first batch in one tuple: a thread that prefetches never sees half a change.
        self._position = (0, 0)
        self._order = (None, None)
        self._resumed_epoch_done = False

    @property
    def epoch(self):
        """The epoch whose batches are handed out; setting it starts that epoch at its batch 0."""
        return self._position[0]

    @epoch.setter
    def epoch(self, epoch):
        if not whole(epoch) or epoch < 0:
            raise DataError(f"epoch: expected 0 or more, got {epoch!r}")
        self._position = (int(epoch), 0)

    @property
    def start_batch(self):
        """The batch of the whole epoch at which this epoch begins; 0 again in the next epoch."""
        return self._position[1]

    @start_batch.setter
    def start_batch(self, batch):
        if not whole(batch) or not 0 <= batch < self.batches_per_epoch:
            raise DataError(
                f"start_batch: expected 0 to {self.batches_per_epoch - 1}, got {batch!r}; after "
                f"the last batch of an epoch, set the next epoch"
            )
        self._position = (self.epoch, int(batch))

    def __len__(self):
        return self.batches_per_epoch - self.start_batch

    def __getitem__(self, index):
        """Makes one batch.

        Args:
            index: counts from `start_batch`.

        Returns:
            float32 images `(batch, height, width, channels)` in the data set's range; or
            `(images, labels)`, labels int32 `(batch,)`.

        Raises:
            IndexError: the epoch has no such batch.
        """
        epoch, start = self._position
        batch = start + index
        if index < 0 or batch >= self.batches_per_epoch:
            raise IndexError(f"batch {index} of {self.batches_per_epoch - start}")
        order = self.order(epoch)
        chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
        images = self.dataset.images(chosen)
        if self.augment is not None:
            rng = random_stream(self.shuffle_seed or 0, AUGMENTATION, epoch, batch)
            images = self.augment(images, rng)
        return (images, self.dataset.labels(chosen)) if self.labels else images

    def order(self, epoch):
        """Draws the order of an epoch.

        Args:
            epoch: counts from 0.

        Returns:
            int `(count,)`: a permutation of the data set's indices.
        """
        known, order = self._order
        if known != epoch:
            if self.shuffle_seed is None:
                order = np.arange(len(self.dataset))
            else:
                rng = random_stream(self.shuffle_seed, ORDER, epoch)
                order = rng.permutation(len(self.dataset))
            self._order = (epoch, order)
        return order

    def on_epoch_begin(self):
        """Stops a `fit` that would run on with the length of a resumed epoch (see the class)."""
        if self._resumed_epoch_done:
            raise DataError(
                f"epochs: a fit that began inside epoch {self.epoch - 1} can only finish it; fit "
                f"with initial_epoch={self.epoch - 1}, epochs={self.epoch}, then fit the rest"
            )

    def on_epoch_end(self):
        """Goes on to the next epoch."""
        if is_reset(sys._getframe(1)):
            self._resumed_epoch_done = False
            return
        self._resumed_epoch_done = self.start_batch > 0
        self._position = (self.epoch + 1, 0)


def is_reset(frame):
    """Whether Keras calls `on_epoch_end` before any epoch, to reset what it reads from.

    `fit` and `evaluate` do so once each before their first batch, and nothing else tells that
    call from an epoch's end: with one batch an epoch even the same batches were read before it.

    Args:
        frame: the caller's frame.

    Returns:
        True where `EpochIterator.reset` called.
    """
    while frame is not None and frame.f_globals.get("__name__", "").startswith("keras."):
        if frame.f_code.co_name == "reset":
            return True
        if frame.f_code.co_name in ("fit", "evaluate", "predict"):
            return False
        frame = frame.f_back
    return False


def whole(number):
    """Whether a number is an integer, and not a truth value."""
    return isinstance(number, numbers.Integral) and not isinstance(number, bool)

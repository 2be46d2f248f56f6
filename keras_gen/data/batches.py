"""A stream of batches whose every batch is a pure function of (seed, epoch, batch)."""

import concurrent.futures
import functools
import math
import numbers
import sys

import keras
import numpy as np

from keras_gen.data.errors import DataError
from keras_gen.data.splits import random_stream
from keras_gen.engine.versions import inner_parts

with inner_parts():
    from keras.src.trainers import epoch_iterator
    from keras.src.trainers.data_adapters.data_adapter import DataAdapter
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

# The purposes of random numbers, so that order and augmentation never share them.
ORDER, AUGMENTATION = 0, 1


# Keras takes a DataAdapter as it is. A mere PyDataset it would read in an order shuffled by
# Python's global random numbers, `fit(shuffle=True)` being the default: nothing of ours decides
# that order, and nothing could resume it.
class Batches(keras.utils.PyDataset, DataAdapter):
    """Batches of a data set in an order that is new each epoch and can be resumed anywhere.

    The order of epoch `e` is the permutation drawn at `(shuffle_seed, e)`, and the augmentation of
    its batch `i` is drawn at `(shuffle_seed, e, i)`: nothing depends on what was read before, and
    `fit`'s own `shuffle` changes nothing.

    To resume at batch `b` of epoch `e`, set `epoch = e`, then `start_batch = b`: the length of
    that epoch is the batches that are left, and the next epochs are whole again.

    Args:
        dataset: a `Dataset`.
        batch_size: images a batch.
        shuffle_seed: a non-negative integer; None keeps the data set's own order.
        labels: whether a batch is `(images, labels)` and not images alone.
        augment: `(images, rng) -> images`, or None.
        drop_last: whether a last batch that is not full is left out.
        prefetch: whether a thread prepares the next batch meanwhile; None for yes where images
            are decoded or augmented.

    Raises:
        DataError: an argument is out of range, or labels are asked for and there are none.
    """

    batch_size = None

    def __init__(
        self,
        dataset,
        batch_size,
        *,
        shuffle_seed=None,
        labels=False,
        augment=None,
        drop_last=False,
        prefetch=None,
    ):
        super().__init__()
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
        self.prefetch = (augment is not None or dataset.lazy) if prefetch is None else prefetch
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
        self._ahead = (None, None)

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
        place, ahead = self._ahead
        made = ahead.result() if place == (epoch, batch) else self._make(epoch, batch)
        if self.prefetch and batch + 1 < self.batches_per_epoch:
            ahead = self._thread.submit(self._make, epoch, batch + 1)
            self._ahead = ((epoch, batch + 1), ahead)
        return made

    def _make(self, epoch, batch):
        chosen = self.order(epoch)[batch * self.batch_size : (batch + 1) * self.batch_size]
        images = self.dataset.images(chosen)
        if self.augment is not None:
            rng = random_stream(self.shuffle_seed or 0, AUGMENTATION, epoch, batch)
            images = self.augment(images, rng)
        return (images, self.dataset.labels(chosen)) if self.labels else images

    @functools.cached_property
    def _thread(self):
        return concurrent.futures.ThreadPoolExecutor(1, "prefetch")

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
        """Tells Keras the length of this epoch, which it reads only once a `fit`."""
        caller = calling_frame(sys._getframe(1))
        if caller is not None:
            caller.f_locals["self"]._num_batches = len(self)

    def on_epoch_end(self):
        """Goes on to the next epoch."""
        caller = calling_frame(sys._getframe(1))
        # Each fit and evaluate resets what it reads from before its first batch, by this call
        # too. No epoch ended then, and with one batch an epoch nothing else tells the two apart.
        if caller is None or caller.f_code.co_name != "reset":
            self._position = (self.epoch + 1, 0)

    @functools.cached_property
    def _reader(self):
        return PyDatasetAdapter(self, shuffle=False)

    def get_numpy_iterator(self):
        """Iterates over an epoch as NumPy arrays, for Keras."""
        return self._reader.get_numpy_iterator()

    def get_jax_iterator(self):
        """Iterates over an epoch as what JAX takes, for Keras."""
        return self._reader.get_jax_iterator()

    def get_tf_dataset(self):
        """Wraps the stream into a `tf.data.Dataset`, for Keras."""
        return self._reader.get_tf_dataset()

    def get_torch_dataloader(self):
        """Wraps the stream into a `torch.utils.data.DataLoader`, for Keras."""
        return self._reader.get_torch_dataloader()


def calling_frame(frame):
    """Finds the method of Keras' `EpochIterator` that calls.

    Args:
        frame: the caller's frame.

    Returns:
        A frame, or None where Keras does not call.
    """
    while frame is not None and frame.f_globals.get("__name__") != epoch_iterator.__name__:
        frame = frame.f_back
    return frame


def whole(number):
    """Whether a number is an integer, and not a truth value."""
    return isinstance(number, numbers.Integral) and not isinstance(number, bool)

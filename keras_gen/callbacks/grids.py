"""Grids of pictures that are written every few epochs: samples, reconstructions, translations."""

from pathlib import Path

import keras
import numpy as np

from keras_gen.callbacks.pictures import save_grid

COLUMNS = 8  # pairs a row of a grid of translations
CELLS, POINTS = 64, 1000  # samples a grid, where nobody says otherwise


class _Grid(keras.callbacks.Callback):
    """A grid of images, written at the end of every few epochs.

    A subclass has `images() -> (count, height, width, channels), columns`.
    """

    async_safe = True

    def __init__(self, path, every=1, value_range=(0.0, 1.0)):
        super().__init__()
        if every < 1:
            raise ValueError(f"every: expected 1 or more; got {every!r}.")
        self.path = Path(path)
        self.every = every
        self.value_range = value_range

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        one_file = self.path.suffix.lower() == ".png"
        self.write(self.path if one_file else self.path / f"epoch_{epoch + 1:04d}.png")

    def write(self, path):
        """Write the grid of the model as it is now to `path`."""
        images, columns = self.images()
        save_grid(images, path, columns, self.value_range)


class SampleGrid(_Grid):
    """Write a grid of samples at the end of every few epochs, from the same noise each time.

    A conditional model gets one column a class.

    Args:
        path: A folder, where `epoch_0001.png`, ... are written; or one `.png` file, written anew
            each time.
        count: Samples a grid, of a conditional model rounded up to whole rows; where `None` 64, and
            1,000 of vectors, whose grid is one picture of them all.
        every: Epochs between two grids.
        seed: Of `model.sample`: the same noise each time, so that the grids can be compared.
        value_range: `(low, high)` of the samples; `None` of signals, drawn as curves, and of
            vectors, drawn as points.
        labels: The classes to show; all of the model's where `None`.

    Raises:
        ValueError: `count` or `every` is below 1.
    """

    def __init__(self, path, count=None, every=1, seed=0, value_range=(0.0, 1.0), labels=None):
        super().__init__(path, every, value_range)
        if count is not None and count < 1:
            raise ValueError(f"count: expected 1 or more; got {count!r}.")
        self.count = count
        self.seed = seed
        self.labels = labels

    def images(self):
        samples, columns = self.samples(self.count or CELLS)
        if self.count is None and len(samples.shape) == 2:
            samples, columns = self.samples(POINTS)
        return samples, columns

    def samples(self, count):
        """So many samples, and columns; of a conditional model a column a class."""
        labels, columns = self.labels, None
        classes = getattr(self.model, "num_classes", None)
        if classes is not None:
            labels = np.arange(classes) if labels is None else np.atleast_1d(labels)
            columns = len(labels)
            count = -(-count // columns) * columns
        return self.model.sample(count, seed=self.seed, labels=labels), columns


class ReconstructionGrid(_Grid):
    """Write examples above what an autoencoder makes of them, every few epochs.

    With a mask three rows: the example, what the model is shown of it, and the repair.

    Args:
        path: A folder, where `epoch_0001.png`, ... are written; or one `.png` file, written anew
            each time.
        x: `(count, height, width, channels)` or `(count, steps, channels)` examples in the data's
            range: a column each.
        labels: int `(count,)` of a conditional model.
        mask: Of `model.reconstruct`: 1 where a pixel is known; `None`: all of them.
        every: Epochs between two grids.
        value_range: `(low, high)` of the examples; `None` of signals, drawn as curves.

    Raises:
        ValueError: `every` is below 1.
    """

    def __init__(self, path, x, labels=None, mask=None, every=1, value_range=(0.0, 1.0)):
        super().__init__(path, every, value_range)
        self.x = np.asarray(x, "float32")
        self.labels = labels
        self.mask = mask

    def images(self):
        rebuilt = keras.ops.convert_to_numpy(
            self.model.reconstruct(self.x, self.labels, mask=self.mask)
        )
        shown = [] if self.mask is None else [np.where(self.mask, self.x, 0.0)]
        return np.concatenate([self.x, *shown, rebuilt]), len(self.x)


class TranslationGrid(_Grid):
    """Write inputs, what a model makes of them, and the truth below each, every few epochs.

    Args:
        path: A folder, where `epoch_0001.png`, ... are written; or one `.png` file, written anew
            each time.
        inputs: `(count, height, width, channels)` in the data's range, which the model has not
            been trained on: a column each, eight a row.
        targets: `(count, height, width, channels)`: the truth.
        every: Epochs between two grids.
        value_range: `(low, high)` of the images.

    Raises:
        ValueError: `every` is below 1, or there are not as many inputs as targets.
    """

    def __init__(self, path, inputs, targets, every=1, value_range=(0.0, 1.0)):
        super().__init__(path, every, value_range)
        if len(inputs) != len(targets) or not len(inputs):
            raise ValueError(
                f"inputs: expected as many as targets, 1 or more; got {len(inputs)} and "
                f"{len(targets)}."
            )
        self.inputs = np.asarray(inputs, "float32")
        self.targets = np.asarray(targets, "float32")

    def images(self):
        made = keras.ops.convert_to_numpy(self.model.translate(self.inputs))
        columns = min(COLUMNS, len(made))
        rows = []
        for start in range(0, len(made), columns):
            for images in (self.inputs, made, self.targets):
                row = _in_colour(images[start : start + columns])
                blank = np.full((columns - len(row), *row.shape[1:]), self.value_range[0])
                rows += [row, blank.astype("float32")]
        return np.concatenate(rows), columns


def _in_colour(images):
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


class TraversalGrid(_Grid):
    """Write what one latent at a time does to an example, every few epochs: a row a latent.

    Args:
        path: A folder, where `epoch_0001.png`, ... are written; or one `.png` file, written anew
            each time.
        x: `(height, width, channels)` or `(steps, channels)`: the example whose mean code is moved.
        latents: Indices of the latents; all where `None`.
        values: What a latent is set to, a column each; 7 from -3 to 3 where `None`.
        label: Of a conditional model: the example's.
        every: Epochs between two grids.
        value_range: `(low, high)` of the example; `None` of a signal, drawn as a curve.

    Raises:
        ValueError: `every` is below 1.
    """

    def __init__(
        self, path, x, latents=None, values=None, label=None, every=1, value_range=(0.0, 1.0)
    ):
        super().__init__(path, every, value_range)
        self.x = np.asarray(x, "float32")
        self.latents = latents
        self.values = values
        self.label = label

    def images(self):
        labels = None if self.label is None else np.asarray([self.label], "int32")
        (moved,) = self.model.traverse(self.x[None], self.latents, self.values, labels=labels)
        _, columns, *shape = np.shape(moved)
        return np.reshape(moved, (-1, *shape)), columns

"""What is made every few epochs: grids of pictures, and learning rates of one player."""

import contextlib
import os
from pathlib import Path

import keras
import numpy as np

SMALLEST_CELL = 64  # pixels: images with shorter sides are enlarged by a whole factor
GAP = 2  # pixels between two images of a grid
GAP_GREY = 64


@contextlib.contextmanager
def replacing(path):
    """Open a file beside `path` that takes its place, whole, if the block ends without error.

    Killed at any moment, it leaves the old file or the new one, never a part of one.

    Args:
        path: The file to write; its folder exists.

    Yields:
        The file, open for writing bytes.

    Raises:
        OSError: The file cannot be written; `filename` is `path`, whose old content is intact.
    """
    path = Path(path)
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def grid(images, columns=None, value_range=(0.0, 1.0)):
    """Lay images out in rows, left to right and top to bottom.

    `pixel = round(255 (image - low) / (high - low))`, clipped to [0, 255]; what is not a number
    is black. Images with sides under 64 pixels are enlarged by a whole factor.

    Args:
        images: `(count, height, width, channels)`, 1 or 3 channels, or `(count, height, width)`.
        columns: Images a row; about as many as there are rows where `None`.
        value_range: `(low, high)`: the values that are shown as black and white.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        ValueError: The shape is not one of images, or the range is empty.
    """
    images = np.asarray(keras.ops.convert_to_numpy(images), "float32")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or not len(images) or images.shape[-1] not in (1, 3):
        raise ValueError(
            "images: expected (count, height, width, 1 or 3 channels) with count 1 or more; got "
            f"shape {images.shape}."
        )
    low, high = value_range
    if not low < high:
        raise ValueError(f"value_range: expected (low, high) with low < high; got {value_range!r}.")
    count, height, width, _ = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    levels = np.nan_to_num((images - low) / (high - low), posinf=1.0, neginf=0.0)
    pixels = np.rint(255.0 * np.clip(levels, 0.0, 1.0)).astype("uint8")
    factor = max(1, SMALLEST_CELL // max(height, width))
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    height, width = height * factor + GAP, width * factor + GAP
    canvas = np.full((rows * height - GAP, columns * width - GAP, 3), GAP_GREY, "uint8")
    for place, image in enumerate(pixels):
        top, left = place // columns * height, place % columns * width
        canvas[top : top + height - GAP, left : left + width - GAP] = image
    return canvas


def save_grid(images, path, columns=None, value_range=(0.0, 1.0)):
    """Write images to a PNG file as one grid.

    Args:
        images: `(count, height, width, channels)`, 1 or 3 channels, or `(count, height, width)`.
        path: The file to write, replaced whole if it exists.
        columns: Images a row; about as many as there are rows where `None`.
        value_range: `(low, high)`: the values that are shown as black and white.

    Raises:
        ValueError: The shape is not one of images, or the range is empty.
        OSError: The file cannot be written; an old one is intact.
    """
    from PIL import Image

    picture = Image.fromarray(grid(images, columns, value_range))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        picture.save(file, format="PNG")


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
        count: Samples a grid; of a conditional model rounded up to whole rows.
        every: Epochs between two grids.
        seed: Of `model.sample`: the same noise each time, so that the grids can be compared.
        value_range: `(low, high)` of the samples.
        labels: The classes to show; all of the model's where `None`.

    Raises:
        ValueError: `count` or `every` is below 1.
    """

    def __init__(self, path, count=64, every=1, seed=0, value_range=(0.0, 1.0), labels=None):
        super().__init__(path, every, value_range)
        if count < 1:
            raise ValueError(f"count: expected 1 or more; got {count!r}.")
        self.count = count
        self.seed = seed
        self.labels = labels

    def images(self):
        count, labels, columns = self.count, self.labels, None
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
        x: `(count, height, width, channels)` examples in the data's range: a column each.
        labels: int `(count,)` of a conditional model.
        mask: Of `model.reconstruct`: 1 where a pixel is known; `None`: all of them.
        every: Epochs between two grids.
        value_range: `(low, high)` of the examples.

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
        low = self.value_range[0]
        shown = [] if self.mask is None else [np.where(self.mask, self.x, low)]
        return np.concatenate([self.x, *shown, rebuilt]), len(self.x)


class TraversalGrid(_Grid):
    """Write what one latent at a time does to an example, every few epochs: a row a latent.

    Args:
        path: A folder, where `epoch_0001.png`, ... are written; or one `.png` file, written anew
            each time.
        x: `(height, width, channels)`: the example whose mean code is moved.
        latents: Indices of the latents; all where `None`.
        values: What a latent is set to, a column each; 7 from -3 to 3 where `None`.
        label: Of a conditional model: the example's.
        every: Epochs between two grids.
        value_range: `(low, high)` of the example.

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


class _OfOnePlayer(keras.callbacks.Callback):
    """A callback that moves the learning rate of one player of the model's `OptimizerGroup`."""

    async_safe = True

    def __init__(self, player=None):
        super().__init__()
        self.player = player

    @property
    def optimizer(self):
        """The player's Keras optimizer; the only one where no player was named."""
        group = self.model.optimizer
        known = ", ".join(repr(name) for name in group)
        if self.player is None and len(group) > 1:
            raise ValueError(f"{type(self).__name__}: say which player: player= one of {known}.")
        if self.player is not None and self.player not in group:
            raise ValueError(
                f"{type(self).__name__}: no player {self.player!r}; compile() was given {known}."
            )
        return group.only_optimizer if self.player is None else group[self.player]

    @property
    def rate(self):
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))

    def on_train_begin(self, logs=None):
        scheduled = keras.optimizers.schedules.LearningRateSchedule
        if isinstance(self.optimizer._learning_rate, scheduled):
            raise ValueError(
                f"{type(self).__name__}: optimizer {self.optimizer.name!r} has a learning-rate "
                "schedule of its own, which would win; give it a number."
            )

    def log_rate(self, logs):
        if logs is not None:
            name = "learning_rate" if self.player is None else f"{self.player}_learning_rate"
            logs[name] = self.rate


class LearningRate(_OfOnePlayer):
    """Set one player's learning rate at the start of each epoch: `rate = schedule(epoch)`.

    Keras' `LearningRateScheduler` sets all players at once. The rate is a function of the epoch
    alone, so that an epoch that is resumed has the rate it began with. It is logged as
    `learning_rate`, or `<player>_learning_rate`.

    Args:
        schedule: Function of the epoch, counted from 0.
        player: The name given to `compile(optimizer={player: ...})`; may be left out where there
            is one optimizer.

    Raises:
        ValueError: When training begins: the player is unknown, missing, or has a schedule.
    """

    def __init__(self, schedule, player=None):
        super().__init__(player)
        self.schedule = schedule

    def on_epoch_begin(self, epoch, logs=None):
        self.optimizer.learning_rate = float(self.schedule(epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.log_rate(logs)


class ReduceOnPlateau(_OfOnePlayer):
    """Lower one player's learning rate when a logged number no longer improves.

    After `patience` epochs without an improvement of more than `min_delta`:
    `rate = max(factor * rate, min_rate)`. Keras' `ReduceLROnPlateau` lowers all players at once.
    The rate is logged as `learning_rate`, or `<player>_learning_rate`.

    Args:
        monitor: Name of a logged number, as "loss" or "val_loss".
        player: The name given to `compile(optimizer={player: ...})`; may be left out where there
            is one optimizer.
        factor: In (0, 1).
        patience: Epochs, 1 or more.
        min_delta: Smallest change that counts as an improvement.
        cooldown: Epochs after a reduction that are not counted as waiting.
        min_rate: Lowest learning rate.
        mode: "min" where lower is better, else "max".

    Raises:
        ValueError: An argument is out of range; or, in training, the player is unknown or
            `monitor` is not logged.
    """

    def __init__(
        self,
        monitor,
        player=None,
        *,
        factor=0.5,
        patience=10,
        min_delta=1e-4,
        cooldown=0,
        min_rate=0.0,
        mode="min",
    ):
        super().__init__(player)
        if not 0.0 < factor < 1.0:
            raise ValueError(f"factor: expected a number in (0, 1); got {factor!r}.")
        if patience < 1:
            raise ValueError(f"patience: expected 1 epoch or more; got {patience!r}.")
        if mode not in ("min", "max"):
            raise ValueError(f"mode: expected 'min' or 'max'; got {mode!r}.")
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.min_delta = min_delta
        self.cooldown = cooldown
        self.min_rate = min_rate
        self.mode = mode
        self._forget()

    def _forget(self):
        self.best = None
        self.waited = 0
        self.cooling = 0

    def get_state(self):
        """What a checkpoint keeps: the best value, epochs waited, epochs of cooldown left."""
        return {"best": self.best, "waited": self.waited, "cooling": self.cooling}

    def set_state(self, state):
        """Take up where `get_state` left off."""
        self.best, self.waited, self.cooling = state["best"], state["waited"], state["cooling"]

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._forget()

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        if self.monitor not in logs:
            known = ", ".join(map(repr, logs)) or "nothing"
            raise ValueError(f"monitor: {self.monitor!r} is not logged; there is {known}.")
        self.log_rate(logs)
        value = float(logs[self.monitor])
        gain = None
        if self.best is not None:
            gain = self.best - value if self.mode == "min" else value - self.best
        improved = gain is None or gain > self.min_delta
        if improved:
            self.best = value
        if improved or self.cooling:
            self.waited, self.cooling = 0, max(0, self.cooling - 1)
            return
        self.waited += 1
        if self.waited >= self.patience and self.rate > self.min_rate:
            self.optimizer.learning_rate = max(self.factor * self.rate, self.min_rate)
            self.waited, self.cooling = 0, self.cooldown

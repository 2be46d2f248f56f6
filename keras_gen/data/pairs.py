"""Pairs of images: one image each, the channels of the input followed by those of the target."""

import numbers

import numpy as np

from keras_gen.data.errors import DataError
from keras_gen.data.geometry import Geometry
from keras_gen.data.splits import random_stream

INPUTS = ("grey", "small")
FACTOR = 4  # how many times smaller a "small" input is, where nobody says otherwise
PARTING = 0x9A125  # keeps the shuffled inputs apart from the splits, which are drawn from the seed


class Joined:
    """Pixels of pairs whose inputs and targets are read apart.

    Args:
        inputs: pixels as a `Dataset` takes them.
        targets: as many, of the same height, width and limits.
    """

    def __init__(self, inputs, targets):
        self.inputs = inputs
        self.targets = targets
        self.limits = targets.limits
        self.shape = (*targets.shape[:2], inputs.shape[2] + targets.shape[2])

    def __len__(self):
        return len(self.targets)

    def read(self, indices):
        """Reads some pairs: `(count, height, width, input + target channels)`."""
        return np.concatenate([self.inputs.read(indices), self.targets.read(indices)], axis=-1)


class WithInput:
    """Pixels of pairs whose inputs are made of their targets, when they are read.

    Args:
        targets: pixels as a `Dataset` takes them.
        make: picture `(height, width, channels)` -> its input.
        channels: of the input.
    """

    def __init__(self, targets, make, channels):
        self.targets = targets
        self.make = make
        self.limits = targets.limits
        self.shape = (*targets.shape[:2], channels + targets.shape[2])

    def __len__(self):
        return len(self.targets)

    def read(self, indices):
        """Reads some pairs: `(count, height, width, input + target channels)`."""
        targets = self.targets.read(indices)
        pairs = np.empty((len(targets), *self.shape), targets.dtype)
        for pair, target in zip(pairs, targets, strict=True):
            pair[...] = np.concatenate([self.make(target), target], axis=-1)
        return pairs


class WithoutPartner:
    """Pixels of pairs whose inputs were shuffled: none stands beside its own target.

    Args:
        pairs: pixels as a `Dataset` takes them.
        channels: of the input.
        seed: of the order.
    """

    def __init__(self, pairs, channels, seed):
        self.pairs = pairs
        self.channels = channels
        self.limits = pairs.limits
        self.shape = pairs.shape
        # One cycle through all of them, in an order drawn at random: no input stays where it was.
        circle = random_stream(seed, PARTING).permutation(len(pairs))
        self.order = np.empty(len(pairs), np.int64)
        self.order[circle] = np.roll(circle, 1)

    def __len__(self):
        return len(self.pairs)

    def read(self, indices):
        """Reads some pairs: `(count, height, width, input + target channels)`."""
        others = self.pairs.read(self.order[indices])[..., : self.channels]
        return np.concatenate([others, self.pairs.read(indices)[..., self.channels :]], axis=-1)


def input_maker(kind, factor, pixels, name):
    """Finds how an input is made of a picture.

    `grey`: its luma (ITU-R 601). `small`: the picture shrunk by `factor` and enlarged again, both
    bicubically.

    Args:
        kind: of `INPUTS`.
        factor: of "small"; None for 4.
        pixels: the pictures, as a `Dataset` takes them.
        name: of the source, for errors.

    Returns:
        A function from a picture `(height, width, channels)` to its input, and the channels of
        that.

    Raises:
        DataError: the pictures have no colours to take away, or are not to be shrunk so.
    """
    height, width, channels = pixels.shape
    if kind == "grey":
        if channels != 3:
            raise DataError(
                f"input: 'grey' needs pictures in colour, {name} gives {channels} channel(s); set "
                "channels = 3, or take another input"
            )
        luma = Geometry(channels=1)
        return (lambda picture: luma.pixels(picture, pixels.limits)), 1
    factor = FACTOR if factor is None else factor
    whole = isinstance(factor, numbers.Integral) and not isinstance(factor, bool)
    if not whole or not 2 <= factor <= min(height, width):
        raise DataError(
            f"input_factor: expected a whole number from 2 to {min(height, width)}, the smaller "
            f"side of {name}, got {factor!r}"
        )
    small = Geometry(size=(-(-height // factor), -(-width // factor)), resize_filter="bicubic")
    large = Geometry(size=(height, width), resize_filter="bicubic")

    def shrunk(picture):
        return large.pixels(small.pixels(picture, pixels.limits), pixels.limits)

    return shrunk, channels

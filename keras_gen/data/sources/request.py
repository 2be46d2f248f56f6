"""What a user asked of a source, checked."""

import math
import numbers
import pathlib
from dataclasses import dataclass

import numpy as np

from keras_gen.data.cleaning import CleaningReport
from keras_gen.data.dataset import ArrayPixels, Dataset
from keras_gen.data.errors import DataError, require
from keras_gen.data.geometry import Geometry
from keras_gen.data.pairs import INPUTS, WithInput, WithoutPartner, input_maker
from keras_gen.data.splits import SPLITS, assign

UNIT_RANGE = (0.0, 1.0)


@dataclass(frozen=True)
class Request:
    """The arguments of `load`, checked; each is described there.

    Args:
        name: the whole name, `"folder:faces"`.
        argument: what stands behind its colon, `"faces"`, or an empty string.
        geometry: `size`, `channels`, `crop` and `resize_filter` in one.
    """

    name: str
    argument: str
    split: str
    geometry: Geometry
    value_range: tuple | None
    on_bad: str
    min_side: int
    keep_duplicates: bool
    seed: int
    validation_fraction: float
    test_fraction: float | None
    source_range: tuple | None
    label_key: str | None
    in_memory: bool | None
    input: str | None
    input_factor: int | None
    unpaired: bool
    rate: int | None
    data_dir: pathlib.Path | None

    def __post_init__(self):
        require("on_bad", self.on_bad, ("refuse", "skip"))
        for field in ("value_range", "source_range"):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, checked_range(field, getattr(self, field)))
        for field, lowest in (("seed", 0), ("min_side", 1)):
            value = getattr(self, field)
            if not isinstance(value, numbers.Integral) or value < lowest:
                raise DataError(f"{field}: expected an integer from {lowest}, got {value!r}")
        if self.rate is not None and (not isinstance(self.rate, numbers.Integral) or self.rate < 1):
            raise DataError(f"rate: expected samples a second, 1 or more, got {self.rate!r}")
        if self.input is not None:
            require("input", self.input, INPUTS)
        if self.input_factor is not None and self.input != "small":
            raise DataError(
                f"input_factor: only input = 'small' has one, got {self.input_factor!r} with "
                f"input = {self.input!r}; leave it out"
            )
        for field in ("validation_fraction", "test_fraction"):
            value = getattr(self, field)
            if value is not None and not (isinstance(value, numbers.Real) and 0 <= value < 1):
                raise DataError(f"{field}: expected 0 or more and less than 1, got {value!r}")

    def known_split(self):
        """Checks the split's name against the three that every source of ours has.

        Returns:
            "train", "validation" or "test".

        Raises:
            DataError: it is none of them.
        """
        return require("split", self.split, SPLITS)

    def members(self, parts, digests, split=None):
        """Lists the examples of one split, as the seed and the fractions asked for give them.

        Args:
            parts: for each example "train", "validation" or "test" as the source has it.
            digests: a bytes digest of each example.
            split: "train", "validation" or "test"; the one asked for where None.

        Returns:
            Positions, increasing.

        Raises:
            DataError: see `assign`.
        """
        return assign(
            self.name,
            parts,
            digests,
            split or self.known_split(),
            test_fraction=self.test_fraction,
            validation_fraction=self.validation_fraction,
            seed=self.seed,
        )

    def path(self):
        """Finds the path named behind the colon, from `data_dir` where it is relative.

        Returns:
            A `pathlib.Path`.
        """
        path = pathlib.Path(self.argument).expanduser()
        return path if self.data_dir is None else self.data_dir / path

    def numbers_only(self, what, **others):
        """Checks that nothing is asked that only pictures have.

        Args:
            what: "a series of real numbers", for the error.
            **others: further options that must be None.

        Raises:
            DataError: an option is not None.
        """
        pictures_only = {
            "value_range": self.value_range,
            "channels": self.geometry.channels,
            "crop": self.geometry.crop,
            "input": self.input,
            "unpaired": self.unpaired or None,
            **others,
        }
        for option, value in pictures_only.items():
            if value is not None:
                raise DataError(
                    f"{option}: {self.name} is {what}, expected none, got {value!r}; leave it out"
                )

    def dataset(self, images, limits, **promises):
        """Makes a data set of pixels in memory, brought to the shape asked for.

        Args:
            images: `(count, height, width, channels)` within `limits`.
            limits: `(lowest, highest)` that a pixel can be.
            **promises: further arguments of `Dataset`.

        Returns:
            A `Dataset`.

        Raises:
            DataError: the images are smaller than the crop.
        """
        return self.opened(ArrayPixels(self.brought(images, limits), limits), **promises)

    def brought(self, images, limits):
        """Brings pixels in memory to the shape asked for.

        Args:
            images: `(count, height, width, channels)` within `limits`.
            limits: `(lowest, highest)` that a pixel can be.

        Returns:
            `(count, height, width, channels)` of that shape.

        Raises:
            DataError: the images are smaller than the crop.
        """
        if not self.geometry.fits(*images.shape[1:3]):
            raise DataError(
                f"crop: {self.name} has images of {images.shape[1]}x{images.shape[2]}, got "
                f"{self.geometry.crop}; take a smaller crop"
            )
        if not self.geometry.crop and self.geometry.output(*images.shape[1:]) == images.shape[1:]:
            return images
        first = self.geometry.pixels(images[0], limits)
        brought = first[None].repeat(len(images), axis=0)
        for position, pixels in enumerate(images):
            brought[position] = self.geometry.pixels(pixels, limits)
        return brought

    def opened(self, pixels, **promises):
        """Makes a data set that reads from `pixels`, of pairs where `input` asks for them.

        Args:
            pixels: see `Dataset`.
            **promises: further arguments of `Dataset`.

        Returns:
            A `Dataset`.

        Raises:
            DataError: `input` or `unpaired` does not go with the pictures.
        """
        in_memory = isinstance(pixels, ArrayPixels)
        if self.input is not None:
            if "input_channels" in promises:
                raise DataError(
                    f"input: {self.name} has inputs of its own, got {self.input!r}; leave it out"
                )
            make, channels = input_maker(self.input, self.input_factor, pixels, self.name)
            promises["input_channels"] = channels
            pixels = WithInput(pixels, make, channels)
        if self.unpaired:
            if "input_channels" not in promises:
                raise DataError(
                    f"unpaired: {self.name} has no pairs to part; leave it out, or set input"
                )
            if self.split.partition("[")[0] == "train":
                pixels = WithoutPartner(pixels, promises["input_channels"], self.seed)
        if in_memory and not isinstance(pixels, ArrayPixels):
            pixels = ArrayPixels(pixels.read(np.arange(len(pixels))), pixels.limits)
        promises.setdefault("report", CleaningReport(len(pixels), len(pixels)))
        return Dataset(self.name, self.split, pixels, self.value_range or UNIT_RANGE, **promises)


def checked_range(field, pair):
    """Reads a pair of floats, the lower first.

    Args:
        field: the option's name, for the error.
        pair: two finite numbers.

    Returns:
        `(lowest, highest)` as floats.

    Raises:
        DataError: it is no such pair.
    """
    try:
        low, high = (float(number) for number in pair)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise DataError(f"{field}: expected (lowest, highest) such as (0, 1), got {pair!r}")
    return low, high

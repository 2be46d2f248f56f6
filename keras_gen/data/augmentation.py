"""Random changes to a batch of training images: flip, crop, rotate, zoom, translate."""

import numbers
from dataclasses import dataclass, fields

import numpy as np

from keras_gen.data.errors import DataError, nearest, require

FILLS = ("reflect", "edge")


@dataclass(frozen=True)
class Augmentation:
    """A seeded random change of every image of a batch; `augmentation` builds and checks it.

    Args:
        flip: "horizontal", "vertical", "both" or None: each asked for with probability 1/2.
        crop: pixels of padding; a window of the image's own size is cut from the padded image.
        rotate: the largest angle in degrees, either way.
        zoom: the largest change of scale: 0.1 draws a scale from 0.9 to 1.1.
        translate: the largest shift as a share of the side, either way.
        fill: what stands beyond the border: "reflect", "edge", or a value of the image's range.
    """

    flip: str | None = None
    crop: int = 0
    rotate: float = 0.0
    zoom: float = 0.0
    translate: float = 0.0
    fill: str | float = "reflect"

    def __call__(self, images, rng):
        """Changes a batch.

        Args:
            images: float32 `(batch, height, width, channels)`; left as it is.
            rng: a `numpy.random.Generator`, the only source of chance.

        Returns:
            float32 `(batch, height, width, channels)`, within the range of `images` and `fill`.
        """
        if self.flip in ("horizontal", "both"):
            images = mirrored(images, rng.random(len(images)) < 0.5, axis=2)
        if self.flip in ("vertical", "both"):
            images = mirrored(images, rng.random(len(images)) < 0.5, axis=1)
        if self.crop:
            corners = rng.integers(0, 2 * self.crop + 1, (len(images), 2))
            images = windows(images, self.crop, corners, self.fill)
        if self.rotate or self.zoom or self.translate:
            angles, scales, ys, xs = rng.uniform(-1, 1, (4, len(images)))
            shifts = np.stack([ys * images.shape[1], xs * images.shape[2]], axis=1)
            images = warped(
                images,
                degrees=self.rotate * angles,
                scale=1 + self.zoom * scales,
                shift=self.translate * shifts,
                fill=self.fill,
            )
        return images


def augmentation(**options):
    """Builds an augmentation from the options of `Augmentation`.

    Args:
        **options: `flip` (True means "horizontal"), `crop`, `rotate`, `zoom`, `translate`,
            `fill`; what is left out is left alone.

    Returns:
        An `Augmentation`: `(images, rng) -> images`.

    Raises:
        DataError: an option is unknown or out of range.
    """
    known = [field.name for field in fields(Augmentation)]
    for name in options:
        if name not in known:
            raise DataError(
                f"augment: no option {name!r}, expected {', '.join(known)}{nearest(name, known)}"
            )
    flip = options.get("flip")
    options["flip"] = {True: "horizontal", False: None}.get(flip, flip)
    require("augment.flip", options["flip"], (None, "horizontal", "vertical", "both"))
    crop = options.get("crop", 0)
    if not isinstance(crop, numbers.Integral) or isinstance(crop, bool) or crop < 0:
        raise DataError(f"augment.crop: expected pixels of padding, 0 or more, got {crop!r}")
    for name, highest in (("rotate", 180.0), ("zoom", 0.99), ("translate", 1.0)):
        value = options.get(name, 0.0)
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not number or not 0 <= value <= highest:
            raise DataError(f"augment.{name}: expected 0 to {highest:g}, got {value!r}")
    fill = options.get("fill", "reflect")
    if isinstance(fill, str):
        require("augment.fill", fill, FILLS)
    elif not isinstance(fill, numbers.Real) or not np.isfinite(fill):
        raise DataError(f"augment.fill: expected 'reflect', 'edge' or a number, got {fill!r}")
    return Augmentation(**options)


def mirrored(images, chosen, axis):
    """Mirrors the chosen images.

    Args:
        images: `(batch, height, width, channels)`.
        chosen: bool `(batch,)`.
        axis: 1 for upside down, 2 for left to right.

    Returns:
        `(batch, height, width, channels)`, a new array.
    """
    return np.where(chosen[:, None, None, None], np.flip(images, axis), images)


def windows(images, padding, corners, fill):
    """Cuts a window of the image's own size from each padded image.

    Args:
        images: `(batch, height, width, channels)`.
        padding: pixels added to each border.
        corners: int `(batch, 2)`: top and left of each window in the padded image.
        fill: what stands beyond the border, as in `Augmentation`.

    Returns:
        `(batch, height, width, channels)`.
    """
    height, width = images.shape[1:3]
    rows = corners[:, :1] - padding + np.arange(height)
    columns = corners[:, 1:] - padding + np.arange(width)
    return gathered(images, rows[:, :, None], columns[:, None, :], fill)


def warped(images, *, degrees, scale, shift, fill):
    """Rotates, scales and shifts images about their centres, read between pixels bilinearly.

    Args:
        images: float32 `(batch, height, width, channels)`.
        degrees: `(batch,)`: angles, counter-clockwise.
        scale: `(batch,)`: above 1 enlarges.
        shift: `(batch, 2)`: pixels down and to the right.
        fill: what stands beyond the border, as in `Augmentation`.

    Returns:
        float32 `(batch, height, width, channels)`.
    """
    height, width = images.shape[1:3]
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    shift = np.asarray(shift)[:, :, None, None]
    y = np.arange(height)[:, None] - middle_y - shift[:, 0]
    x = np.arange(width)[None, :] - middle_x - shift[:, 1]
    angle = np.deg2rad(degrees)[:, None, None]
    scale = np.asarray(scale)[:, None, None]
    # The inverse map: from each pixel of the result to its place in the original.
    rows = ((np.cos(angle) * y + np.sin(angle) * x) / scale + middle_y).astype(np.float32)
    columns = ((np.cos(angle) * x - np.sin(angle) * y) / scale + middle_x).astype(np.float32)
    top, left = np.floor(rows), np.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    top, left = top.astype(np.int64), left.astype(np.int64)
    upper = (1 - right) * gathered(images, top, left, fill)
    upper += right * gathered(images, top, left + 1, fill)
    lower = (1 - right) * gathered(images, top + 1, left, fill)
    lower += right * gathered(images, top + 1, left + 1, fill)
    result = (1 - down) * upper + down * lower
    # A weighted mean of equal numbers may come out one rounding above them.
    edges = [images.min(), images.max()] + ([] if fill in FILLS else [fill])
    return np.clip(result, min(edges), max(edges), out=result)


def gathered(images, rows, columns, fill):
    """Reads whole pixels, also beyond the border.

    Args:
        images: `(batch, height, width, channels)`.
        rows: int `(batch, height, width)`, or what broadcasts to it with `columns`.
        columns: int, likewise.
        fill: what stands beyond the border, as in `Augmentation`.

    Returns:
        `(batch, height, width, channels)`.
    """
    count, height, width, channels = images.shape
    inner_rows, inner_columns = inside(rows, height, fill), inside(columns, width, fill)
    first = np.arange(count)[:, None, None] * (height * width)
    flat = images.reshape(count * height * width, channels)
    pixels = flat[first + inner_rows * width + inner_columns]
    if fill not in FILLS:
        pixels[(inner_rows != rows) | (inner_columns != columns)] = fill
    return pixels


def inside(places, side, fill):
    """Moves places beyond a border to where their value is read: mirrored or clipped."""
    if fill == "reflect":
        # Mirrored about the border pixel's outer edge, so that a side of one pixel works too.
        places = places % (2 * side)
        return np.minimum(places, 2 * side - 1 - places)
    return np.clip(places, 0, side - 1)

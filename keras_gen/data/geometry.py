"""What happens to one picture between its file and the batch: channels, crop, resize.

The order is fixed: the mode is converted, the centre is cropped out, the crop is resized.
"""

import numbers
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from keras_gen.data.errors import DataError, require

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

GREY_MODES = ("1", "L", "LA", "La")
COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")
ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")

BYTE = (0, 255)


def natural_channels(mode):
    """Counts the channels that a Pillow mode is read with: 1, 3, or None when it cannot be."""
    if mode in GREY_MODES:
        return 1
    return 3 if mode in COLOUR_MODES else None


def side_pair(field, side):
    """Reads a side or a `(height, width)` pair.

    Args:
        field: the option's name, for the error.
        side: a positive integer, a pair of them, or None.

    Returns:
        `(height, width)`, or None.

    Raises:
        DataError: it is neither.
    """
    if side is None:
        return None
    pair = tuple(side) if isinstance(side, (tuple, list)) else (side, side)
    whole = all(isinstance(n, numbers.Integral) and not isinstance(n, bool) for n in pair)
    if len(pair) != 2 or not whole or min(pair) < 1:
        raise DataError(f"{field}: expected a side in pixels or (height, width), got {side!r}")
    return int(pair[0]), int(pair[1])


@dataclass(frozen=True)
class Geometry:
    """The shape that every picture of a data set is brought to.

    Args:
        size: `(height, width)` to resize to, or None to keep what there is.
        channels: 1 for luma (ITU-R 601), 3 for RGB, or None to keep what there is.
        crop: `(height, width)` of the centre to keep, "square" for the largest centred square,
            or None. Comes before the resize.
        resize_filter: a name of `FILTERS`.
    """

    size: tuple | None = None
    channels: int | None = None
    crop: tuple | str | None = None
    resize_filter: str = "lanczos"

    @classmethod
    def checked(cls, size, channels, crop, resize_filter):
        """Builds a geometry from what a user wrote.

        Args:
            size: a side, `(height, width)` or None.
            channels: 1, 3 or None.
            crop: a side, `(height, width)`, "square" or None.
            resize_filter: a name of `FILTERS`.

        Returns:
            A `Geometry`.

        Raises:
            DataError: one of them is none of these.
        """
        if channels is not None:
            require("channels", channels, (1, 3))
        require("resize_filter", resize_filter, tuple(FILTERS))
        if isinstance(crop, str):
            require("crop", crop, ("square",))
        else:
            crop = side_pair("crop", crop)
        return cls(side_pair("size", size), channels, crop, resize_filter)

    def region(self, height, width):
        """Places the crop: `(top, left, height, width)` of the centre that is kept."""
        if self.crop is None:
            return 0, 0, height, width
        if not self.fits(height, width):
            raise DataError(f"crop: {self.crop} is more than a picture of {height}x{width}")
        inner = (min(height, width),) * 2 if self.crop == "square" else self.crop
        return (height - inner[0]) // 2, (width - inner[1]) // 2, *inner

    def fits(self, height, width):
        """Whether a picture is large enough for the crop."""
        if not isinstance(self.crop, tuple):
            return True
        return self.crop[0] <= height and self.crop[1] <= width

    def output(self, height, width, channels):
        """Foretells the shape that a picture is brought to.

        Args:
            height: rows of the picture.
            width: columns of the picture.
            channels: its channels.

        Returns:
            `(height, width, channels)`.
        """
        size = self.size or self.region(height, width)[2:]
        return (*size, self.channels or channels)

    def picture(self, image):
        """Brings a Pillow image to the shape asked for.

        The camera's orientation (EXIF) is applied; transparency is laid on white.

        Args:
            image: a Pillow image of a grey, palette or colour mode.

        Returns:
            uint8 pixels `(height, width, channels)`, 0 to 255.
        """
        image = ImageOps.exif_transpose(image)
        image = in_channels(image, self.channels or natural_channels(image.mode))
        top, left, height, width = self.region(image.height, image.width)
        if (height, width) != (image.height, image.width):
            image = image.crop((left, top, left + width, top + height))
        if self.size is not None and self.size != (height, width):
            image = image.resize(self.size[::-1], FILTERS[self.resize_filter])
        pixels = np.asarray(image)
        return pixels[..., None] if pixels.ndim == 2 else pixels

    def pixels(self, pixels, limits):
        """Brings an array of pixels to the shape asked for.

        Bytes go through Pillow and stay bytes; any other range is resized in float32, so that a
        picture of 17 levels is not rounded to them, and clipped to its range.

        Args:
            pixels: `(height, width, channels)`, within `limits`.
            limits: `(lowest, highest)` that a pixel can be.

        Returns:
            `(height, width, channels)`, uint8 where they came as bytes, else float32.
        """
        if self.output(*pixels.shape) == pixels.shape and self.crop is None:
            return pixels
        layers = pixels.shape[2]
        if pixels.dtype == np.uint8 and tuple(limits) == BYTE and layers in (1, 3, 4):
            return self.picture(Image.fromarray(pixels[..., 0] if layers == 1 else pixels))
        pixels = luma_or_rgb(pixels.astype(np.float32), self.channels, limits)
        top, left, height, width = self.region(*pixels.shape[:2])
        pixels = pixels[top : top + height, left : left + width]
        if self.size is not None and self.size != (height, width):
            pixels = np.stack(
                [
                    np.asarray(
                        Image.fromarray(np.ascontiguousarray(pixels[..., layer])).resize(
                            self.size[::-1], FILTERS[self.resize_filter]
                        )
                    )
                    for layer in range(pixels.shape[2])
                ],
                axis=-1,
            )
        return np.clip(pixels, *limits)


def in_channels(image, channels):
    """Converts a Pillow image to "L" or "RGB", transparency laid on white."""
    if image.mode in ALPHA_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def luma_or_rgb(pixels, channels, limits):
    """Converts float pixels `(height, width, channels)` as `in_channels` converts bytes."""
    layers = pixels.shape[2]
    if channels is None or channels == layers:
        return pixels
    if layers == 4:
        alpha = (pixels[..., 3:] - limits[0]) / (limits[1] - limits[0])
        pixels = pixels[..., :3] * alpha + limits[1] * (1 - alpha)
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if channels == 3:
        return pixels
    return pixels @ np.float32([[0.299], [0.587], [0.114]])

"""Channels, crop and resize against Pillow itself."""

import numpy as np
import pytest
from PIL import Image

from keras_gen.data import DataError
from keras_gen.data.geometry import FILTERS, Geometry


def colour(height=12, width=10, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("name", FILTERS)
def test_bytes_are_resized_by_pillow(name):
    pixels = colour()
    expected = Image.fromarray(pixels).resize((5, 7), getattr(Image.Resampling, name.upper()))
    brought = Geometry.checked((7, 5), None, None, name).pixels(pixels, (0, 255))
    np.testing.assert_array_equal(brought, np.asarray(expected))


def test_few_levels_are_not_rounded():
    # A box of 2x2 is the mean of four pixels, here a quarter of a level.
    pixels = np.array([[0, 0], [0, 1]], np.uint8)[..., None]
    brought = Geometry.checked(1, None, None, "box").pixels(pixels, (0, 16))
    np.testing.assert_allclose(brought, [[[0.25]]])


def test_crop_is_central_and_before_the_resize():
    pixels = colour(218, 178)
    brought = Geometry.checked(64, None, 178, "lanczos").pixels(pixels, (0, 255))
    middle = Image.fromarray(pixels[20:198]).resize((64, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(brought, np.asarray(middle))
    square = Geometry.checked(None, None, "square", "lanczos").pixels(pixels, (0, 255))
    np.testing.assert_array_equal(square, pixels[20:198])


def test_luma_of_bytes_and_of_floats():
    pixels = colour()
    expected = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    grey = Geometry.checked(None, 1, None, "lanczos")
    np.testing.assert_array_equal(grey.pixels(pixels, (0, 255)), expected)
    floats = grey.pixels(pixels.astype(np.float32) / 255, (0, 1))
    np.testing.assert_allclose(floats * 255, expected, atol=0.51)


@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_is_laid_on_white(channels):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (255, 0, 0, 255)
    pixels[0, 1, 3] = 51  # black, a fifth opaque: 204 on white
    geometry = Geometry.checked(None, channels, None, "lanczos")
    expected = [[[76], [204]], [[255], [255]]]
    if channels == 3:
        expected = [[[255, 0, 0], [204] * 3], [[255] * 3, [255] * 3]]
    np.testing.assert_array_equal(geometry.pixels(pixels, (0, 255)), expected)
    floats = geometry.pixels(pixels.astype(np.float32), (0, 255))
    np.testing.assert_allclose(floats, expected, atol=0.5)


def test_a_transparent_colour_of_a_palette_is_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.info["transparency"] = 1
    np.testing.assert_array_equal(Geometry().picture(image), [[[10, 20, 30], [255, 255, 255]]])


@pytest.mark.parametrize(
    "options, told",
    [
        ({"size": 0}, "size: expected a side in pixels"),
        ({"size": (1, 2, 3)}, "size: expected"),
        ({"size": 3.5}, "size: expected"),
        ({"channels": 2}, "channels: expected one of 1, 3, got 2"),
        ({"crop": "centre"}, "crop: expected one of 'square'"),
        ({"resize_filter": "lanczo"}, "did you mean 'lanczos'"),
    ],
)
def test_bad_options(options, told):
    arguments = {"size": None, "channels": None, "crop": None, "resize_filter": "box"} | options
    with pytest.raises(DataError, match=told):
        Geometry.checked(**arguments)


def test_crop_beyond_the_picture():
    with pytest.raises(DataError, match="crop"):
        Geometry.checked(None, None, 11, "box").pixels(colour(12, 10), (0, 255))

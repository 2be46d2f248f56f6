"""Augmentation by NumPy's own flips, rolls and rotations, and by what a linear ramp must become."""

import numpy as np
import pytest

from keras_gen.data import DataError, augmentation
from keras_gen.data.augmentation import mirrored, warped, windows

STILL = {"degrees": np.zeros(1), "scale": np.ones(1), "shift": np.zeros((1, 2)), "fill": "edge"}


def pictures(count=4, height=6, width=6, channels=3, seed=0):
    shape = (count, height, width, channels)
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def test_mirrored_flips_only_the_chosen():
    images = pictures()
    flipped = mirrored(images, np.array([True, False, True, False]), axis=2)
    np.testing.assert_array_equal(flipped[[0, 2]], images[[0, 2], :, ::-1])
    np.testing.assert_array_equal(flipped[[1, 3]], images[[1, 3]])


def test_flip_happens_to_about_half_and_changes_nothing_else():
    images = pictures(400)
    changed = augmentation(flip=True)(images, np.random.default_rng(0))
    same = (changed == images).all(axis=(1, 2, 3))
    turned = (changed == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ turned).all()
    # Four standard deviations of a fair coin tossed 400 times.
    assert abs(turned.sum() - 200) < 40


@pytest.mark.parametrize(
    "fill, numpy_pad",
    [("reflect", {"mode": "symmetric"}), ("edge", {"mode": "edge"}), (-1, {"constant_values": -1})],
)
def test_windows_are_cut_from_numpys_padding(fill, numpy_pad):
    images = pictures(3, 5, 7)
    corners = np.array([[0, 0], [2, 3], [4, 1]])
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), **numpy_pad)
    expected = [p[y : y + 5, x : x + 7] for p, (y, x) in zip(padded, corners, strict=True)]
    np.testing.assert_array_equal(windows(images, 2, corners, fill), expected)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_warped_by_right_angles_is_rot90(quarter):
    images = pictures(1)
    turned = warped(images, **STILL | {"degrees": np.array([90.0 * quarter])})
    np.testing.assert_allclose(turned, np.rot90(images, quarter, axes=(1, 2)), atol=1e-5)


def test_warped_by_whole_pixels_is_a_shift():
    images = pictures(1)
    moved = warped(images, **STILL | {"shift": np.array([[2, -1]]), "fill": 0.5})
    np.testing.assert_allclose(moved[:, 2:, :-1], images[:, :-2, 1:], atol=1e-6)
    np.testing.assert_array_equal(moved[:, :2], 0.5)
    np.testing.assert_array_equal(moved[:, :, -1], 0.5)


def test_warped_keeps_a_ramp_a_ramp():
    # Bilinear reading is exact on a linear function: twice as large, half as steep.
    ramp = np.broadcast_to(np.arange(9, dtype=np.float32)[None, None, :, None], (1, 9, 9, 1))
    larger = warped(ramp, **STILL | {"scale": np.array([2.0])})
    np.testing.assert_allclose(larger[0, 4, :, 0], 4 + (np.arange(9) - 4) / 2, atol=1e-6)


def test_everything_at_once_is_seeded_and_stays_in_range():
    images = pictures()
    before = images.copy()
    augment = augmentation(flip="both", crop=2, rotate=20, zoom=0.2, translate=0.1)
    first, again = (augment(images, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, augment(images, np.random.default_rng(6)))
    np.testing.assert_array_equal(images, before)
    assert first.dtype == np.float32 and first.shape == images.shape
    assert first.min() >= images.min() and first.max() <= images.max()


@pytest.mark.parametrize(
    "options, told",
    [
        ({"flp": True}, "no option 'flp'.*did you mean 'flip'"),
        ({"flip": "diagonal"}, "augment.flip: expected one of"),
        ({"crop": -1}, "augment.crop: expected pixels of padding"),
        ({"rotate": "much"}, "augment.rotate: expected 0 to 180, got 'much'"),
        ({"zoom": 1.5}, "augment.zoom: expected 0 to 0.99"),
        ({"fill": "zero"}, "augment.fill: expected one of"),
        ({"fill": float("nan")}, "augment.fill"),
    ],
)
def test_bad_options(options, told):
    with pytest.raises(DataError, match=told):
        augmentation(**options)

"""The denoising autoencoder: what it is shown, what it is judged by, what it repairs."""

import keras
import numpy as np
import pytest
from keras import ops
from toys import linear, numpy

from keras_gen import networks
from keras_gen.models import DenoisingAutoencoder


def small(shape=(6, 6, 2), **options):
    encoder = networks.mlp(shape, (16,), units=(32,))
    decoder = networks.mlp((16,), shape, units=(32,))
    return DenoisingAutoencoder(encoder, decoder, latent_dim=16, **options)


def spoilt(model, x):
    x = ops.convert_to_tensor(x)
    return numpy(model.spoil(x, model.draw_noise(x)))


def test_missing_pixels_are_zero_in_all_channels():
    model = small(missing=0.3)
    x = np.ones((500, 6, 6, 2), "float32")
    shown = spoilt(model, x)
    assert set(np.unique(shown)) == {0.0, 1.0}
    np.testing.assert_array_equal(shown[..., 0], shown[..., 1])
    # Four deviations of the mean of 18,000 draws.
    assert abs((shown == 0).mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 18_000)
    assert not np.array_equal(spoilt(model, x), shown)


def test_missing_numbers_of_a_vector_are_lost_one_by_one():
    shown = spoilt(small(shape=(10,), missing=0.3), np.ones((600, 10), "float32"))
    assert abs((shown == 0).mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 6000)
    assert 0 < shown[:, 0].mean() < 1 and not np.any(np.all(shown == 0, axis=1))


def test_a_hole_is_one_square_anywhere():
    shown = spoilt(small(hole=2), np.ones((400, 6, 6, 2), "float32"))
    corners = set()
    for image in shown[..., 0]:
        rows, columns = np.nonzero(image == 0)
        assert len(rows) == 4 and np.ptp(rows) == 1 and np.ptp(columns) == 1
        corners.add((rows.min(), columns.min()))
    assert corners == {(row, column) for row in range(5) for column in range(5)}


def test_noise_has_its_deviation():
    shown = spoilt(small(noise=0.5), np.ones((400, 6, 6, 2), "float32"))
    assert shown.mean() == pytest.approx(1.0, abs=0.02)
    assert shown.std() == pytest.approx(0.5, rel=0.02)


def test_the_whole_example_is_the_target():
    """Through identities the error is what was spoilt: `sum((x - known * x)**2)`."""
    eye = linear(np.eye(3), np.zeros(3))
    model = DenoisingAutoencoder(eye, linear(np.eye(3), np.zeros(3)), latent_dim=3, missing=0.5)
    x = np.array([[1.0, 2.0, 3.0]], "float32")
    known = ops.convert_to_tensor(np.array([[1.0, 0.0, 1.0]], "float32"))
    loss, _ = model.objective(ops.convert_to_tensor(x), (None, known), None, False)
    assert float(numpy(loss)) == pytest.approx(4.0)


def test_it_repairs_what_it_never_saw():
    """Images on a line of brightness: a filled hole is nearer the truth than the hole was."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    pattern = rng.uniform(0.2, 1.0, (6, 6, 2))
    x = (rng.uniform(0.5, 1.5, (256, 1, 1, 1)) * pattern).astype("float32")
    model = small(hole=3)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(x[:192], batch_size=32, epochs=40, verbose=0)
    mask = np.ones((6, 6, 2), "float32")
    mask[1:4, 2:5] = 0
    repaired = numpy(model.reconstruct(x[192:], mask=mask))
    np.testing.assert_array_equal(repaired * mask, x[192:] * mask)
    hole = mask == 0
    error = np.square(repaired - x[192:])[:, hole].mean()
    assert error < 0.1 * np.square(x[192:])[:, hole].mean()
    # Better than the mean training image, which knows nothing of this one's brightness.
    assert error < 0.7 * np.square(x[:192].mean(0) - x[192:])[:, hole].mean()


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "noise, missing and hole are all 0"),
        ({"noise": -1.0}, "noise must not be negative; got -1.0"),
        ({"missing": 1.0}, r"missing must be in \[0, 1\); got 1.0"),
        ({"hole": 6}, "hole must be the side of a square smaller than the image, 6 x 6; got 6"),
        ({"noise": 1.0, "reconstruction": "l3"}, "reconstruction must be one of"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)

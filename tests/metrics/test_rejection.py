"""The classifier that rejects: what it has seen, what it takes, and what it turns away."""

import numpy as np
import pytest

from keras_gen import data
from keras_gen.metrics import (
    Classifier,
    RejectingClassifier,
    fitted_gaussian_samples,
    independent_pixels_samples,
    rejection,
)

pytestmark = pytest.mark.many_steps


def digits(split="train"):
    return data.load("digits", split).arrays()


@pytest.fixture(scope="module")
def trained():
    """On 8x8 digits: seconds, and not as good as on larger ones."""
    return RejectingClassifier((8, 8, 1), 10, name="judge").fit(*digits(), shown=60_000)


@pytest.mark.one_backend
@pytest.mark.slow
def test_it_takes_digits_it_has_not_seen_and_turns_away_what_only_has_their_pixels(trained):
    """No sample of these models was trained on; a softmax of ten classes is sure of many."""
    train, train_labels = digits()
    test, labels = digits("test")
    found = trained.classify(test)
    assert (found >= 0).mean() > 0.75
    assert (found == labels)[found >= 0].mean() > 0.98
    assert trained.accuracy(test, labels) > 0.95
    plain = Classifier((8, 8, 1), 10, name="plain").fit(train, train_labels, epochs=30)
    for images, most in (
        (fitted_gaussian_samples(train, 1000, 0, (0.0, 1.0)), 0.15),
        (independent_pixels_samples(train, 1000, 0), 0.04),
        (np.random.default_rng(0).random((1000, 8, 8, 1)), 0.005),
    ):
        assert (trained.classify(images) >= 0).mean() <= most
        assert (plain.predict_proba(images).max(axis=1) >= 0.9).mean() > 0.1


@pytest.mark.slow
def test_a_higher_confidence_takes_fewer(trained):
    test, _ = digits("test")
    shares = [(trained.classify(test, level) >= 0).mean() for level in (0.0, 0.5, 0.99)]
    assert shares[0] == 1.0 > shares[1] > shares[2]


@pytest.mark.slow
def test_none_is_no_class_and_a_file_keeps_it(trained, tmp_path):
    test, _ = digits("test")
    probabilities = trained.predict_proba(test)
    assert probabilities.shape == (297, 11) and trained.classes == 10
    best = probabilities[:, :10].max(axis=1)
    expected = np.where(best >= 0.9, probabilities[:, :10].argmax(axis=1), -1)
    np.testing.assert_array_equal(trained.classify(test), expected)
    noise = np.random.default_rng(0).random((100, 8, 8, 1))
    assert np.median(trained.predict_proba(noise)[:, 10]) > 0.9  # sure that they are none
    assert (trained.classify(noise) == -1).mean() >= 0.95
    trained.save(tmp_path / "judge.keras")
    loaded = RejectingClassifier.load(tmp_path / "judge.keras")
    assert loaded.classes == 10
    np.testing.assert_array_equal(loaded.classify(test), expected)


def test_versions_are_the_images_then_near_them():
    images, _ = digits()
    made = rejection.versions(images[:100], 8, np.random.default_rng(0))
    assert made.shape == (800, 8, 8, 1) and made.dtype == np.float32
    assert made.min() >= 0 and made.max() <= 1
    copies = made.reshape(8, 100, 8, 8, 1)
    np.testing.assert_array_equal(copies[:2], np.stack([images[:100]] * 2))
    own = np.square(copies[2:] - images[:100]).sum(axis=(2, 3, 4))
    other = np.square(copies[2:] - images[100:200]).sum(axis=(2, 3, 4))
    assert 0 < own.mean() < other.mean() / 2


def test_a_moved_image_is_moved_by_pixels():
    """A dot in the middle stays within a fourteenth of a side of it; its grey is kept, about."""
    images = np.zeros((50, 29, 29, 2), "float32")
    images[:, 13:16, 13:16] = 1.0
    moved = rejection._moved(images, np.random.default_rng(0))
    places = np.indices((29, 29)).reshape(2, 1, 29, 29, 1)
    centres = (places * moved).sum(axis=(2, 3)) / moved.sum(axis=(1, 2))
    assert np.abs(centres - 14).max() < 29 / 14 + 0.5
    np.testing.assert_allclose(centres[..., 0], centres[..., 1], atol=1e-4)
    assert moved.sum(axis=(1, 2, 3)).mean() == pytest.approx(18, rel=0.1)


def test_an_image_of_none_keeps_something_of_the_data():
    images, _ = digits()
    rng = np.random.default_rng(0)
    within = rejection._shuffled(images, 400, rng)
    # Patches within an image: the same pixels in another order, for half of them.
    known = {tuple(np.sort(image, axis=None)) for image in images}
    kept = [tuple(np.sort(image, axis=None)) in known for image in within]
    assert 150 < sum(kept) < 400
    combined = rejection._combined(images, 20_000, rng)
    # mean + sum(+-(x - mean)) / sqrt(k): mean and variance of the data, pixel by pixel.
    np.testing.assert_allclose(combined.mean(axis=0), images.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(combined.std(axis=0), images.std(axis=0), atol=0.02)
    spectrum = np.abs(np.fft.fft2(images, axes=(1, 2))).mean(axis=0)
    rephased = rejection._rephased(images, 2000, rng)
    np.testing.assert_allclose(
        np.abs(np.fft.fft2(rephased, axes=(1, 2))).mean(axis=0), spectrum, rtol=0.15, atol=0.05
    )


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 3), (5, 9, 1)])
def test_images_of_none_are_as_many_as_asked_for_and_in_range(shape):
    images = np.random.default_rng(0).random((30, *shape)).astype("float32")
    made = rejection.none_of_them(images, 33, np.random.default_rng(0))
    assert made.shape == (33, *shape) and made.dtype == np.float32
    assert made.min() >= 0 and made.max() <= 1
    again = rejection.none_of_them(images, 33, np.random.default_rng(0))
    np.testing.assert_array_equal(made, again)


def test_independent_pixels_are_those_of_the_data_and_independent():
    images, _ = digits()
    made = independent_pixels_samples(images, 5000, 0).reshape(-1, 64)
    flat = images.reshape(-1, 64)
    for pixel in range(64):
        assert set(made[:, pixel]) <= set(flat[:, pixel])
    np.testing.assert_allclose(made.mean(axis=0), flat.mean(axis=0), atol=0.03)
    lively = flat.std(axis=0) > 0.1
    others = ~np.eye(lively.sum(), dtype=bool)
    assert np.abs(np.corrcoef(flat[:, lively].T)[others]).max() > 0.5
    assert np.abs(np.corrcoef(made[:, lively].T)[others]).max() < 0.08

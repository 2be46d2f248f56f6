"""The floors against scikit-learn, scipy and cases known by hand."""

import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from keras_gen import metrics
from keras_gen.metrics import (
    fitted_gaussian_samples,
    independent_pixels_nll,
    nearest_neighbour_distance,
    pca_reconstruction_error,
    points,
    translation_baselines,
)

IMAGE = (3, 2, 2)


def images(count, seed=0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(12, 12))
    return (rng.normal(size=(count, 12)) @ mixing + 1.0).reshape(count, *IMAGE).astype("float32")


def test_pca_loses_the_variance_of_the_components_left_out():
    train = images(500)
    eigenvalues = np.linalg.eigvalsh(np.cov(train.reshape(500, 12), rowvar=False, bias=True))
    for components in (1, 5, 11):
        error = pca_reconstruction_error(train, train, components)
        assert error == pytest.approx(eigenvalues[: 12 - components].sum(), rel=1e-4)


def test_pca_rebuilds_what_its_components_span():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(2, 12))
    train, test = rng.normal(size=(50, 2)) @ plane, rng.normal(size=(20, 2)) @ plane
    assert pca_reconstruction_error(train, test, 2) == pytest.approx(0, abs=1e-12)
    assert pca_reconstruction_error(train, test, 1) > 1


def test_pca_is_judged_on_the_test_images():
    train, test = np.zeros((10, 4)), np.full((3, 4), 2.0)
    train[:, 0] = np.arange(10)
    # The one component is the first axis: 3 pixels at 2 instead of 0 are left.
    assert pca_reconstruction_error(train, test, 1) == pytest.approx(12.0)


def test_independent_pixels_are_bernoulli():
    rng = np.random.default_rng(0)
    train, test = (rng.uniform(size=(2, 40, *IMAGE)) < 0.3).astype("float32")
    p = (train.sum(axis=0) + 1) / 42
    expected = -stats.bernoulli.logpmf(test, p).reshape(40, -1).sum(axis=1).mean()
    assert independent_pixels_nll(train, test) == pytest.approx(expected, rel=1e-6)


def test_independent_pixels_by_hand():
    # One pixel, never lit in 8 images: p = 1 / 10.
    train = np.zeros((8, 1))
    assert independent_pixels_nll(train, [[0.0]]) == pytest.approx(-np.log(0.9))
    assert independent_pixels_nll(train, [[1.0]]) == pytest.approx(-np.log(0.1))
    assert independent_pixels_nll(train, [[0.5]]) == pytest.approx(-np.log(0.09) / 2)


def test_independent_pixels_need_probabilities():
    with pytest.raises(ValueError, match=r"^test: expected \[0, 1\], got \[-1, 2\]"):
        independent_pixels_nll(np.zeros((2, 2)), [[-1.0, 2.0]])


def test_gaussian_samples_have_the_moments_of_the_data():
    train = images(300)
    samples = fitted_gaussian_samples(train, 40_000, seed=0, value_range=(-100, 100))
    assert samples.shape == (40_000, *IMAGE) and samples.dtype == np.float32
    flat, data = samples.reshape(-1, 12), train.reshape(-1, 12)
    covariance = np.cov(data, rowvar=False)
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    np.testing.assert_allclose(flat.mean(axis=0), data.mean(axis=0), atol=0.1)
    # Standard error of a covariance of 40,000 draws: scale * sqrt(2 / 40,000) = 0.7 %.
    assert (abs(np.cov(flat, rowvar=False) - covariance) / scale).max() < 0.03


def test_gaussian_samples_stay_in_the_span_of_few_images():
    train = images(3)
    samples = fitted_gaussian_samples(train, 10, seed=0, value_range=(-100, 100))
    centred = (samples - train.mean(axis=0)).reshape(10, 12)
    assert np.linalg.matrix_rank(centred, tol=1e-3) == 2


def test_gaussian_samples_keep_to_range_and_seed():
    train = images(50)
    first, again, other = (fitted_gaussian_samples(train, 9, s, (0.0, 1.0)) for s in (1, 1, 2))
    assert first.min() == 0 and first.max() == 1
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("block", [1, 200, 2**22])
def test_nearest_neighbours_are_scikit_learns(block, monkeypatch):
    monkeypatch.setattr(points, "BLOCK", block)
    samples, train = images(30, seed=1), images(80, seed=2)
    peer = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(train.reshape(80, 12))
    expected = peer.kneighbors(samples.reshape(30, 12))[0][:, 0]
    np.testing.assert_allclose(nearest_neighbour_distance(samples, train), expected, rtol=1e-4)


def test_a_copy_is_at_distance_zero():
    train = images(50)
    distances = nearest_neighbour_distance(train[[7]] + 0.5 * np.eye(12)[0].reshape(IMAGE), train)
    np.testing.assert_allclose(distances, [0.5], rtol=1e-5)
    np.testing.assert_allclose(nearest_neighbour_distance(train[10:20], train), 0, atol=1e-5)


# -- Mixtures over binary pixels ------------------------------------------------------------------


def binary(p, count, seed):
    return (np.random.default_rng(seed).random((count, len(p))) < p).astype("float32")


def test_one_component_is_the_model_of_independent_pixels():
    train, test = binary([0.1, 0.5, 0.9], 500, 0), binary([0.1, 0.5, 0.9], 200, 1)
    mixture = metrics.bernoulli_mixture_nll(train, test, components=1, passes=1)
    assert mixture == pytest.approx(metrics.independent_pixels_nll(train, test), rel=1e-6)


def test_a_mixture_finds_the_classes_it_was_drawn_from():
    """Two kinds of images, all but disjoint: the entropy of the source, by its own definition."""
    p = np.array([[0.95] * 20 + [0.05] * 20, [0.05] * 20 + [0.95] * 20])
    kinds = np.random.default_rng(0).integers(0, 2, 6000)
    x = (np.random.default_rng(1).random((6000, 40)) < p[kinds]).astype("float32")
    likelihoods = np.stack([stats.bernoulli.logpmf(x[5000:], row).sum(1) for row in p], 1)
    entropy = -np.log(np.exp(likelihoods).mean(1)).mean()
    found = metrics.bernoulli_mixture_nll(x[:5000], x[5000:], components=2)
    assert found == pytest.approx(entropy, abs=0.05)
    assert found < metrics.independent_pixels_nll(x[:5000], x[5000:]) - 10


def test_one_gaussian_is_the_normal_density_of_dequantized_pixels():
    """Variance of x + u: p (1 - p) + 1/12; the cross-entropy of a Gaussian with that variance."""
    p = np.array([0.2, 0.5])
    train, test = binary(p, 40_000, 0), binary(p, 40_000, 1)
    found = metrics.gaussian_mixture_nll(train, test, components=1)
    variance = p * (1 - p) + 1 / 12
    assert found == pytest.approx(0.5 * np.log(2 * np.pi * np.e * variance).sum(), abs=0.02)
    entropy = stats.bernoulli.entropy(p).sum()
    assert found > entropy, "a bound from above"


@pytest.mark.parametrize("mixture", [metrics.bernoulli_mixture_nll, metrics.gaussian_mixture_nll])
def test_mixtures_refuse_grey_pixels_and_no_components(mixture):
    x = binary([0.5, 0.5], 10, 0)
    with pytest.raises(ValueError, match="test: expected pixels of 0 and 1, got 0 to 0.5"):
        mixture(x, 0.5 * x)
    for name in ("components", "passes"):
        with pytest.raises(ValueError, match=f"{name}: expected an integer from 1, got 0"):
            mixture(x, x, **{name: 0})


# -- Translations ---------------------------------------------------------------------------------


def pairs(count, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((count, 4, 5, 3), (count, 4, 5, channels))
    return [rng.uniform(size=shape).astype("float32") for shape in shapes]


def test_the_baselines_of_a_translation_are_scikit_learns_and_numpys():
    (x, y), (test, _) = pairs(60), pairs(20, seed=1)
    blocks = [(x[:7], y[:7]), (x[7:50], y[7:50]), (x[50:], y[50:])]
    made = translation_baselines(blocks, test)
    nearest = NearestNeighbors(n_neighbors=1).fit(x.reshape(60, -1))
    places = nearest.kneighbors(test.reshape(20, -1), return_distance=False)[:, 0]
    np.testing.assert_array_equal(made["nearest"], y[places])
    np.testing.assert_array_equal(made["identity"], test)
    shift = (y.astype("float64") - x).mean(axis=0)
    np.testing.assert_allclose(made["mean_shift"], np.clip(test + shift, 0, 1), atol=1e-6)
    assert made["mean_shift"].min() == 0.0, "some are clipped"


def test_an_input_of_other_channels_is_its_mean_repeated():
    (x, y), (test, _) = pairs(10, channels=1), pairs(3, seed=1)
    made = translation_baselines([(x, y)], test)
    grey = test.mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(made["identity"], grey, rtol=1e-6)
    shift = (y.astype("float64") - x.mean(axis=-1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(made["mean_shift"], np.clip(grey + shift, 0, 1), atol=1e-6)
    back = translation_baselines([(y, x)], grey)
    np.testing.assert_allclose(back["identity"], np.repeat(grey, 3, axis=-1))


def test_a_translation_without_training_pairs_is_refused():
    with pytest.raises(ValueError, match="blocks: expected training pairs, got none"):
        translation_baselines([], pairs(2)[0])
    with pytest.raises(ValueError, match="train_inputs: expected 60 features as inputs has"):
        translation_baselines([[each[:, :2] for each in pairs(4)]], pairs(2)[0])

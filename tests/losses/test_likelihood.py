"""Likelihoods against scipy.stats, at the extremes, and in half precision."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_gen.losses import (
    bernoulli_nll,
    categorical_nll,
    gaussian_nll,
    mean_absolute_error,
    squared_error,
)

LOSSES = [mean_absolute_error, bernoulli_nll, categorical_nll, gaussian_nll, squared_error]

SHAPE = (5, 4, 3, 2)


def draw(seed, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def per_example(values):
    return values.reshape(len(values), -1).sum(axis=1)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_bernoulli_nll_is_minus_the_log_mass():
    x, logits = (draw(0) > 0).astype("float32"), 3 * draw(1)
    expected = -per_example(stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits.astype("float64")))))
    np.testing.assert_allclose(numpy(bernoulli_nll(x, logits)), expected, rtol=1e-5)


def test_bernoulli_nll_of_grey_levels_is_the_cross_entropy():
    x, p = np.array([[0.25]]), 0.75
    expected = -(0.25 * np.log(p) + 0.75 * np.log(1 - p))
    np.testing.assert_allclose(numpy(bernoulli_nll(x, [[np.log(3.0)]])), [expected], rtol=1e-6)


def test_bernoulli_nll_of_a_fair_coin_is_log_2_a_pixel():
    nats = numpy(bernoulli_nll(np.ones((2, 28, 28, 1)), np.zeros((2, 28, 28, 1))))
    np.testing.assert_allclose(nats, 784 * np.log(2), rtol=1e-6)


def test_bernoulli_nll_at_extreme_logits():
    x, logits = np.array([[0.0], [1.0], [0.0], [1.0]]), np.array([[100.0], [-100], [-100], [100]])
    np.testing.assert_allclose(numpy(bernoulli_nll(x, logits)), [100, 100, 0, 0], atol=1e-6)


def test_categorical_nll_is_minus_the_log_mass():
    logits = 3 * draw(0, (6, 4))
    classes = np.eye(4)[[0, 3, 2, 1, 1, 0]]
    odds = np.exp(logits.astype("float64"))
    expected = -stats.multinomial(1, odds / odds.sum(1, keepdims=True)).logpmf(classes)
    np.testing.assert_allclose(numpy(categorical_nll(classes, logits)), expected, rtol=1e-5)


def test_categorical_nll_of_even_odds_is_the_log_of_the_classes():
    nats = numpy(categorical_nll(np.eye(10), np.full((10, 10), 5.0)))
    np.testing.assert_allclose(nats, np.log(10), rtol=1e-6)


def test_categorical_nll_at_extreme_logits():
    logits = np.array([[1000.0, 0.0], [1000.0, 0.0]])
    nats = numpy(categorical_nll(np.eye(2), logits))
    np.testing.assert_allclose(nats, [0.0, 1000.0], atol=1e-6)


@pytest.mark.parametrize("log_variance", [0.0, -1.5, draw(2), draw(2, (1, 1, 1, 2))])
def test_gaussian_nll_is_minus_the_log_density(log_variance):
    x, mean = draw(0), draw(1)
    deviation = np.exp(np.float64(0.5) * log_variance)
    expected = -per_example(stats.norm.logpdf(x.astype("float64"), mean, deviation))
    np.testing.assert_allclose(numpy(gaussian_nll(x, mean, log_variance)), expected, rtol=1e-5)


def test_gaussian_nll_defaults_to_unit_variance():
    nats = numpy(gaussian_nll(np.zeros((1, 10)), np.ones((1, 10))))
    np.testing.assert_allclose(nats, [5 * np.log(2 * np.pi) + 5], rtol=1e-6)


def test_squared_error_by_hand():
    x, y = np.array([[[1.0, 2.0]], [[0.0, 0.0]]]), np.array([[[3.0, 1.0]], [[0.0, 0.5]]])
    np.testing.assert_allclose(numpy(squared_error(x, y)), [5.0, 0.25])


def test_absolute_error_is_a_mean_over_an_example():
    x, y = np.array([[[1.0, 2.0]], [[0.0, 0.0]]]), np.array([[[3.0, 1.0]], [[0.0, 0.5]]])
    np.testing.assert_allclose(numpy(mean_absolute_error(x, y)), [1.5, 0.25])


def test_squared_error_of_integer_pixels_does_not_wrap():
    black, white = np.zeros((1, 2, 2, 1), "uint8"), np.full((1, 2, 2, 1), 255, "uint8")
    np.testing.assert_allclose(numpy(squared_error(black, white)), [4 * 255**2])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_comes_out_as_float32(loss, dtype):
    # The sum, 4 * 16384 and more, is past float16's largest number, 65504.
    x, y = ops.cast(np.full((1, 16384), 4), dtype), ops.cast(np.full((1, 16384), -4), dtype)
    value = loss(x, y)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert value.shape == (1,)
    assert np.isfinite(numpy(value)).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_broadcasting_is_refused(loss):
    with pytest.raises(ValueError, match="one shape"):
        loss(np.zeros((8,)), np.zeros((8, 1)))
    with pytest.raises(ValueError, match="one shape"):
        loss(np.zeros((8, 4)), np.zeros((8, 1)))


def test_one_number_per_example_for_vectors_of_length_one():
    assert squared_error(np.zeros((7, 1)), np.zeros((7, 1))).shape == (7,)
    assert squared_error(np.zeros((7,)), np.zeros((7,))).shape == (7,)


def test_losses_take_symbolic_batches():
    x = keras.Input((4, 3))
    assert keras.ops.shape(squared_error(x, x)) == (None,)

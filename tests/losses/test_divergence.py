"""The KL divergence against its closed form, Monte Carlo and its limits."""

import keras
import numpy as np
import pytest
from scipy import stats

from keras_gen.losses import gaussian_kl


def kl(mean, log_variance):
    return keras.ops.convert_to_numpy(gaussian_kl(mean, log_variance))


def test_the_prior_is_at_distance_zero():
    np.testing.assert_array_equal(kl(np.zeros((3, 5)), np.zeros((3, 5))), np.zeros(3))


def test_a_shifted_mean_costs_half_its_square():
    np.testing.assert_allclose(kl([[3.0, 4.0]], [[0.0, 0.0]]), [12.5])


def test_a_scaled_deviation_by_hand():
    # KL(N(0, 4) || N(0, 1)) = (4 - 1 - log 4) / 2
    np.testing.assert_allclose(kl([[0.0]], [[np.log(4.0)]]), [(3 - np.log(4)) / 2], rtol=1e-6)


def test_it_is_the_expected_log_ratio():
    mean, log_variance = 0.7, -0.9
    q, p = stats.norm(mean, np.exp(log_variance / 2)), stats.norm()
    expected = q.expect(lambda z: q.logpdf(z) - p.logpdf(z))
    np.testing.assert_allclose(kl([[mean]], [[log_variance]]), [expected], rtol=1e-5)


def test_latents_almost_at_the_prior_keep_their_digits():
    # exp(v) - 1 - v = v**2 / 2 + ..., of which float32 keeps next to nothing if written so.
    v = np.array([[1e-3], [-1e-3], [7e-4], [-3e-4]])
    np.testing.assert_allclose(kl(0 * v, v), v[:, 0] ** 2 / 4, rtol=2e-3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_comes_out_as_float32(dtype):
    mean = keras.ops.cast(np.full((2, 4), 300.0), dtype)
    value = gaussian_kl(mean, keras.ops.zeros_like(mean))
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    np.testing.assert_allclose(kl(mean, keras.ops.zeros_like(mean)), 180000.0, rtol=1e-2)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one shape"):
        gaussian_kl(np.zeros((2, 4)), np.zeros((2, 1)))

"""The facts of returns against processes whose kurtosis and correlations have a closed form."""

import numpy as np
import pytest

from keras_gen.metrics import stylized_facts

LAGS = np.arange(1, 11)
rng = np.random.default_rng(0)


def test_a_gaussian_without_memory_has_none_of_them():
    facts = stylized_facts(rng.normal(size=(4000, 64, 1)))
    # Three deviations: sqrt(24 / n), and 1 / sqrt(n) a lag, of 256,000 returns.
    assert abs(facts["excess_kurtosis"]) < 0.03
    assert facts["autocorrelation"] < 0.006
    assert abs(facts["volatility_clustering"]) < 0.003


def test_the_kurtosis_of_student_t():
    facts = stylized_facts(rng.standard_t(12, size=(20000, 64)))
    assert facts["excess_kurtosis"] == pytest.approx(6 / (12 - 4), abs=0.05)


def test_the_correlation_of_an_autoregression():
    """`x[t] = 0.8 x[t - 1] + noise`: `r(lag) = 0.8 ** lag`."""
    noise, x = rng.normal(size=(4000, 64)), np.empty((4000, 64))
    x[:, 0] = noise[:, 0] / np.sqrt(1 - 0.8**2)
    for t in range(1, 64):
        x[:, t] = 0.8 * x[:, t - 1] + noise[:, t]
    assert stylized_facts(x)["autocorrelation"] == pytest.approx((0.8**LAGS).mean(), abs=0.01)


def test_windows_of_unlike_volatility():
    """`x = s * noise`, s one of 1 and 3 a window: `E|x| = s sqrt(2 / pi)` given s."""
    s = np.where(np.arange(4000) % 2, 3.0, 1.0)
    facts = stylized_facts(s[:, None, None] * rng.normal(size=(4000, 64, 1)))
    assert facts["excess_kurtosis"] == pytest.approx(3 * (s**4).mean() / 25 - 3, abs=0.05)
    shared = 2 / np.pi * s.var()
    clustering = shared / ((s**2).mean() - 2 / np.pi * s.mean() ** 2)
    assert facts["volatility_clustering"] == pytest.approx(clustering, abs=0.01)
    assert facts["autocorrelation"] < 0.01


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (np.zeros((3, 10, 1)), "more than 10 steps; got \\(3, 10, 1\\)"),
        (np.zeros((3, 20, 2)), "got \\(3, 20, 2\\)"),
        (np.full((3, 20), np.nan), "nan or inf"),
        (np.ones((3, 20)), "all the same"),
    ],
)
def test_what_is_no_window_of_returns_is_refused(windows, message):
    with pytest.raises(ValueError, match=message):
        stylized_facts(windows)

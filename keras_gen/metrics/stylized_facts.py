"""What the returns of all markets have in common: fat tails, no memory of sign, one of size."""

import numpy as np

LAGS = range(1, 11)  # days: two weeks of trading


def stylized_facts(windows):
    """Three facts of returns, pooled over all windows.

    `excess_kurtosis = mean(y**4) / mean(y**2)**2 - 3`, `y = x - mean(x)`;
    `autocorrelation = mean over lags 1 to 10 of |r(x, lag)|`;
    `volatility_clustering = mean over lags 1 to 10 of r(|x|, lag)`;
    `r(y, lag) = mean(y[t] * y[t + lag]) / mean(y**2)`, y without its mean

    A Gaussian without memory has 0, about 0 and about 0; returns have fat tails (far above 0), no
    autocorrelation, and volatility that clusters (0.1 to 0.3).

    Args:
        windows: returns `(count, steps, 1)` or `(count, steps)`, more than 10 steps.

    Returns:
        `{"excess_kurtosis", "autocorrelation", "volatility_clustering"}`, floats.

    Raises:
        ValueError: another shape, numbers that are not finite, or returns that are all the same.

    Reference: Cont, "Empirical Properties of Asset Returns: Stylized Facts and Statistical
    Issues", 2001, section 4.
    """
    x = np.asarray(windows, "float64")
    if x.ndim == 3 and x.shape[2] == 1:
        x = x[..., 0]
    if x.ndim != 2 or not len(x) or x.shape[1] <= max(LAGS):
        raise ValueError(
            f"windows: expected (count, steps, 1) with more than {max(LAGS)} steps; got "
            f"{np.shape(windows)}"
        )
    if not np.isfinite(x).all():
        raise ValueError("windows: expected finite numbers, got nan or inf")
    if x.min() == x.max():
        raise ValueError("windows: the returns are all the same")
    y = x - x.mean()
    return {
        "excess_kurtosis": float((y**4).mean() / (y**2).mean() ** 2 - 3.0),
        "autocorrelation": float(np.mean([abs(_correlation(x, lag)) for lag in LAGS])),
        "volatility_clustering": float(np.mean([_correlation(np.abs(x), lag) for lag in LAGS])),
    }


def _correlation(x, lag):
    y = x - x.mean()
    return (y[:, :-lag] * y[:, lag:]).mean() / (y**2).mean()

"""The Fréchet distance between two sets of features, each read as a normal distribution."""

import numpy as np

from keras_gen.metrics.points import as_comparable_points, fit_gaussian


def frechet_distance(features_a, features_b):
    """Squared Fréchet (2-Wasserstein) distance between two fitted normal distributions.

    `|mean_a - mean_b|**2 + trace(cov_a + cov_b - 2 * sqrt(cov_a @ cov_b))`.

    With `cov = factor.T @ factor`, the trace of the square root is the sum of the singular values
    of `factor_a @ factor_b.T`: no square root of a matrix, no negative eigenvalue to clip, and
    covariances may be singular. Fewer examples give a larger distance: compare equal counts, of
    features of the same extractor.

    Args:
        features_a: `(count, features)`, at least two; more axes are flattened.
        features_b: `(count, features)`; counts may differ.

    Returns:
        A float, at least 0, in squared feature units. With features of InceptionV3 it is the FID;
        with any other extractor it is not, and must not be called so.

    Raises:
        ValueError: fewer than two points, different numbers of features, or nan or inf.

    Reference: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local
    Nash Equilibrium", 2017, equation 6; Dowson & Landau, "The Fréchet Distance between
    Multivariate Normal Distributions", 1982.
    """
    a, b = as_comparable_points("features_a", features_a, "features_b", features_b, at_least=2)
    (mean_a, factor_a), (mean_b, factor_b) = fit_gaussian(a), fit_gaussian(b)
    overlap = np.linalg.svd(factor_a @ factor_b.T, compute_uv=False).sum()
    spread = np.square(factor_a).sum() + np.square(factor_b).sum() - 2 * overlap
    return max(0.0, float(np.square(mean_a - mean_b).sum() + spread))

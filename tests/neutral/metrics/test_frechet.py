"""The Fréchet distance against its closed forms and against scipy's matrix square root."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from keras_gen.metrics import frechet_distance, points


def correlated(count, features, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, features)) @ rng.normal(size=(features, features)) + seed


def with_moments(mean, deviations, seed=0):
    """Points whose sample mean and diagonal sample covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(200, len(mean)))
    x = np.linalg.qr(x - x.mean(axis=0))[0] * np.sqrt(len(x) - 1)
    return x * deviations + mean


def by_sqrtm(a, b):
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    trace = np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    return np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + trace


def by_eigenvalues(a, b):
    """trace(sqrt(cov_a @ cov_b)) from sqrt(cov_a) @ cov_b @ sqrt(cov_a); bears singular ones."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    trace = np.trace(cov_a + cov_b) - 2 * overlap
    return np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + trace


@pytest.mark.parametrize("block", [1, 300, 2**22])
def test_it_is_scipys_sqrtm(block, monkeypatch):
    monkeypatch.setattr(points, "BLOCK", block)
    a, b = correlated(200, 6, seed=0), correlated(150, 6, seed=1)
    assert frechet_distance(a, b) == pytest.approx(by_sqrtm(a, b), rel=1e-9)


def test_diagonal_covariances_have_a_closed_form():
    # |m_a - m_b|**2 + sum((s_a - s_b)**2)
    mean_a, mean_b = np.array([0.0, 1.0, -2.0]), np.array([1.0, 1.0, 0.0])
    deviations_a, deviations_b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.5])
    a, b = with_moments(mean_a, deviations_a, 0), with_moments(mean_b, deviations_b, 1)
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + 1 + 0 + 2.5**2, rel=1e-10)


def test_one_feature_by_hand():
    # means 1 and 5, sample variances 2 and 8: 16 + (sqrt 2 - sqrt 8)**2
    assert frechet_distance([[0.0], [2.0]], [[3.0], [7.0]]) == pytest.approx(18.0)


def test_a_set_is_at_distance_zero_from_itself():
    a = correlated(100, 8, seed=3)
    assert 0 <= frechet_distance(a, a) < 1e-9
    assert 0 <= frechet_distance(a, a[::-1]) < 1e-9


def test_it_is_symmetric():
    a, b = correlated(100, 5, seed=3), correlated(70, 5, seed=4)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)


def test_singular_covariances():
    """Fewer points than features, and features that never vary."""
    a, b = correlated(5, 20, seed=0), correlated(9, 20, seed=1)
    a[:, 3] = b[:, 3] = 0.0
    moved = a + np.eye(20)[0]
    assert frechet_distance(a, moved) == pytest.approx(1.0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(by_eigenvalues(a, b), rel=1e-5)


def test_float32_features_far_from_zero_keep_their_digits():
    a = with_moments(np.zeros(4), np.ones(4)).astype("float32")
    far = (a + np.float32(4096)).astype("float32")
    # In float32 alone E[x**2] - E[x]**2 would lose the variance altogether: 4096**2 = 2**24.
    assert frechet_distance(far, far + np.float32(2)) == pytest.approx(16.0, rel=1e-3)
    assert frechet_distance(a + 4096.0, 2 * a + 4096.0) == pytest.approx(4.0, rel=1e-2)


def test_what_cannot_be_measured_is_an_error():
    a = correlated(10, 3, seed=0)
    with pytest.raises(ValueError, match="^features_b: expected 3 features"):
        frechet_distance(a, a[:, :2])
    with pytest.raises(ValueError, match="^features_a: expected at least 2 points"):
        frechet_distance(a[:1], a)
    with pytest.raises(ValueError, match="finite"):
        frechet_distance(a, np.full_like(a, np.inf))

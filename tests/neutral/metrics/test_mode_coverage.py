"""Mode coverage where every number is known: by hand, and of the mixture itself."""

import numpy as np
import pytest

from keras_gen.metrics import (
    covers,
    gaussian_mode_coverage,
    points,
    reverse_kl,
    stacked_mode_coverage,
)

LINE = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [30.0, 0.0]])


def test_points_by_hand():
    """Deviation 1: within 3 of a centre is near. Two near the first, one near the second."""
    samples = [[0.0, 3.0], [-1.0, 1.0], [10.0, -3.0], [0.0, 3.1], [15.0, 0.0], [24.0, 0.0]]
    scores = gaussian_mode_coverage(samples, LINE, 1.0)
    assert scores["modes"] == 2
    assert scores["high_quality"] == pytest.approx(3 / 6)
    # q = (2/3, 1/3) of four: 2/3 log(8/3) + 1/3 log(4/3).
    assert scores["reverse_kl"] == pytest.approx(2 / 3 * np.log(8 / 3) + 1 / 3 * np.log(4 / 3))


@pytest.mark.parametrize("block", [1, 2**22])
def test_of_the_mixture_itself(block, monkeypatch):
    """`P(distance <= 3 deviations) = 1 - exp(-9 / 2)` in the plane; KL about (modes - 1) / 2n."""
    monkeypatch.setattr(points, "BLOCK", block)
    rng = np.random.default_rng(0)
    samples = LINE[rng.integers(4, size=20_000)] + 0.5 * rng.standard_normal((20_000, 2))
    scores = gaussian_mode_coverage(samples, LINE, 0.5)
    assert scores["modes"] == 4
    assert scores["high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=4 * 0.0007)
    assert 0 <= scores["reverse_kl"] < 10 * 3 / 40_000


def test_no_point_near_a_centre_is_the_worst_there_is():
    scores = gaussian_mode_coverage([[5.0, 5.0]], LINE, 1.0)
    assert scores == {"modes": 0, "high_quality": 0.0, "reverse_kl": pytest.approx(np.log(4))}


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([5, 5, 5, 5], 0.0),
        ([7, 0, 0, 0], np.log(4)),
        ([3, 3, 0, 0], np.log(2)),
        ([0, 0, 0, 0], np.log(4)),
        ([3, 1], 0.75 * np.log(1.5) + 0.25 * np.log(0.5)),
    ],
)
def test_the_divergence_by_hand(counts, expected):
    assert reverse_kl(counts) == pytest.approx(expected, abs=1e-12)


def test_the_divergence_of_uniform_samples_is_their_number():
    """`2 n KL` is a chi-square of modes - 1 degrees: mean 999, deviation 45."""
    rng = np.random.default_rng(0)
    counts = np.bincount(rng.integers(1000, size=25_600), minlength=1000)
    assert 2 * 25_600 * reverse_kl(counts) == pytest.approx(999, abs=4 * 45)


def test_stacks_by_hand():
    """A stack with one channel rejected is rejected; 123 twice and 321 once are left."""
    classes = [[1, 2, 3], [1, 2, 3], [3, 2, 1], [1, -1, 3], [-1, -1, -1], [0, 0, -1]]
    scores = stacked_mode_coverage(classes)
    assert scores["accepted"] == pytest.approx(3 / 6)
    assert scores["modes"] == 2
    expected = 2 / 3 * np.log(2000 / 3) + 1 / 3 * np.log(1000 / 3)
    assert scores["reverse_kl"] == pytest.approx(expected)


def test_every_combination_is_a_mode_of_its_own():
    classes = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    assert stacked_mode_coverage(classes, 4) == {
        "accepted": 1.0,
        "modes": 64,
        "reverse_kl": pytest.approx(0.0, abs=1e-12),
    }


def test_nothing_accepted_is_the_worst_there_is():
    assert stacked_mode_coverage([[-1, 0, 0]]) == {
        "accepted": 0.0,
        "modes": 0,
        "reverse_kl": pytest.approx(np.log(1000)),
    }


def test_to_cover_takes_all_four():
    enough = {"modes": 990, "of": 1000, "reverse_kl": 0.15, "precision": 0.7, "recall": 0.5}
    assert covers(**enough) is True
    for name, short in (
        ("modes", 989),
        ("reverse_kl", 0.151),
        ("precision", 0.69),
        ("recall", 0.49),
    ):
        assert covers(**{**enough, name: short}) is False


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((3, 3)), "centres: expected 3 features as samples has, got 2"),
        (np.zeros((0, 2)), "samples: expected at least 1 points"),
        ([[0.0, np.nan]], "samples: expected finite numbers"),
    ],
)
def test_what_is_no_sample_is_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        gaussian_mode_coverage(samples, LINE, 1.0)

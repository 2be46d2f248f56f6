"""Precision, recall, density and coverage against loops over points, and where they are known."""

import tracemalloc

import numpy as np
import pytest

from keras_gen.metrics import points, precision_recall


def clouds(real_count=60, fake_count=45, features=4, shift=0.7, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(real_count, features)).astype("float32"),
        rng.normal(shift, 0.8, size=(fake_count, features)).astype("float32"),
    )


def by_loops(real, fake, k):
    """The four definitions, one pair of points at a time."""
    real, fake = real.astype("float64"), fake.astype("float64")

    def radius(i, cloud):
        return sorted(np.linalg.norm(cloud[i] - y) for j, y in enumerate(cloud) if j != i)[k - 1]

    real_balls = [(x, radius(i, real)) for i, x in enumerate(real)]
    fake_balls = [(x, radius(i, fake)) for i, x in enumerate(fake)]
    return {
        "precision": np.mean([any(dist(x, c) <= r for c, r in real_balls) for x in fake]),
        "recall": np.mean([any(dist(x, c) <= r for c, r in fake_balls) for x in real]),
        "density": np.mean([sum(dist(x, c) < r for c, r in real_balls) / k for x in fake]),
        "coverage": np.mean([any(dist(x, c) < r for x in fake) for c, r in real_balls]),
    }


def dist(x, y):
    return np.linalg.norm(x - y)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("block", [1, 500, 2**22])
def test_it_is_what_loops_over_points_find(k, block, monkeypatch):
    monkeypatch.setattr(points, "BLOCK", block)
    real, fake = clouds()
    expected = by_loops(real, fake, k)
    assert 0 < min(expected.values()) and expected["precision"] < 1, "a case that decides nothing"
    scores = precision_recall(real, fake, k)
    assert scores == pytest.approx(expected, abs=1e-12)
    assert {type(score) for score in scores.values()} == {float}, "a plain number, for JSON"


def test_the_same_set_twice():
    # Whole numbers, so that a point on the edge of a ball is on it exactly; and in general
    # position, since density is 1 only where no two neighbours are equally far.
    real = np.random.default_rng(0).integers(-10_000, 10_000, size=(50, 5))
    scores = precision_recall(real, real, k=3)
    assert scores == {"precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}


def test_far_apart():
    real, fake = clouds(shift=1000)
    scores = precision_recall(real, fake)
    assert scores == {"precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0}


def test_one_mode_of_two_is_precise_and_recalls_half():
    rng = np.random.default_rng(0)
    left, right, fake = rng.uniform(-1, 1, size=(3, 300, 2)) + [[[0, 0]], [[100, 0]], [[0, 0]]]
    scores = precision_recall(np.concatenate([left, right]), fake)
    assert scores["precision"] > 0.9
    assert 0.4 < scores["recall"] <= 0.5
    assert 0.4 < scores["coverage"] <= 0.5


def test_one_outlier_raises_precision_but_hardly_density():
    """Naeem et al. 2020, figure 1: the ball of a real outlier takes in every fake."""
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(size=(200, 2)), [[50.0, 0.0]]])
    fake = rng.normal(size=(200, 2)) + [[25.0, 0.0]]
    scores = precision_recall(real, fake, k=5)
    assert scores["precision"] > 0.9
    assert scores["density"] < 0.25


def test_edges_count_for_precision_but_not_for_density():
    # The ball of each real point reaches exactly to the other one; the fake sits on both edges
    # of the outer pair only.
    real, fake = np.array([[0.0], [2.0]]), np.array([[4.0], [40.0]])
    assert precision_recall(real, fake, k=1) == {
        "precision": 0.5,
        "recall": 1.0,
        "density": 0.0,
        "coverage": 0.0,
    }


def test_a_common_offset_does_not_matter():
    real, fake = clouds()
    moved = precision_recall(real.astype("float64") + 1e4, fake.astype("float64") + 1e4)
    assert moved == pytest.approx(precision_recall(real, fake))


def test_images_are_flattened():
    real, fake = clouds(features=12)
    images = precision_recall(real.reshape(-1, 2, 3, 2), fake.reshape(-1, 2, 3, 2))
    assert images == precision_recall(real, fake)


@pytest.mark.slow
def test_five_thousand_points_need_little_memory():
    real, fake = clouds(5000, 5000, features=128)
    tracemalloc.start()
    precision_recall(real, fake)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6


def test_what_cannot_be_measured_is_an_error():
    real, fake = clouds()
    with pytest.raises(ValueError, match="^k: expected at least 1"):
        precision_recall(real, fake, k=0)
    with pytest.raises(ValueError, match="^fake: expected at least 4 points"):
        precision_recall(real, fake[:3])
    with pytest.raises(ValueError, match="^fake: expected 4 features as real has, got 3"):
        precision_recall(real, fake[:, :3])
    with pytest.raises(ValueError, match="^real: expected finite numbers"):
        precision_recall(np.full_like(real, np.nan), fake)

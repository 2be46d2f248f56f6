"""Adversarial losses by hand, at the extremes, and in the direction each player is pushed."""

import keras
import numpy as np
import pytest
from scipy.special import expit

from keras_gen.losses import AdversarialLoss, adversarial_loss

NAMES = ("minimax", "non_saturating", "least_squares", "hinge", "wasserstein", "relativistic")


def log_sigmoid(x):
    return np.log(expit(x))


# name: (discriminator(real, fake), generator(fake)) as the papers print them.
PAPERS = {
    "minimax": (
        lambda r, f: -(log_sigmoid(r) + np.log(1 - expit(f))),
        lambda f: np.log(1 - expit(f)),
    ),
    "non_saturating": (
        lambda r, f: -(log_sigmoid(r) + np.log(1 - expit(f))),
        lambda f: -log_sigmoid(f),
    ),
    "least_squares": (lambda r, f: (r - 1) ** 2 / 2 + f**2 / 2, lambda f: (f - 1) ** 2 / 2),
    "hinge": (
        lambda r, f: -np.minimum(0, r - 1) - np.minimum(0, -f - 1),
        lambda f: -f,
    ),
    "wasserstein": (lambda r, f: f - r, lambda f: -f),
    "relativistic": (lambda r, f: -log_sigmoid(r - f), lambda f, r: -log_sigmoid(f - r)),
}


def generated(loss, fake, real):
    """The generator's loss, beside the data where it is relative."""
    return loss.generator(fake, real) if loss.relative else loss.generator(fake)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 3, 2, 1)])
def test_losses_are_the_papers(name, shape):
    loss = adversarial_loss(name)
    real, fake = np.random.default_rng(0).normal(scale=2, size=(2, *shape))
    discriminator, generator = PAPERS[name]
    for value, expected in [
        (loss.discriminator(real, fake), discriminator(real, fake)),
        (
            generated(loss, fake, real),
            generator(fake, real) if name == "relativistic" else generator(fake),
        ),
    ]:
        assert value.shape == (6,)
        expected = expected.reshape(6, -1).mean(axis=1)
        np.testing.assert_allclose(numpy(value), expected, rtol=1e-5, atol=1e-6)


def test_an_undecided_discriminator():
    # Goodfellow et al. 2014, theorem 1: at D = 1/2 the criterion is -log 4.
    undecided = np.zeros((1, 1))
    value = adversarial_loss("minimax").discriminator(undecided, undecided)
    np.testing.assert_allclose(numpy(value), [np.log(4)], rtol=1e-6)


def test_relativistic_losses_are_log_2_at_equality_and_each_others_mirror():
    loss = adversarial_loss("relativistic")
    logits = np.array([[-3.0], [0.0], [7.0]])
    for value in (loss.discriminator(logits, logits), loss.generator(logits, logits)):
        np.testing.assert_allclose(numpy(value), np.log(2), rtol=1e-6)
    # By hand: log(1 + exp(-(2 - 0.5))) = 0.20141, log(1 + exp(1.5)) = 1.70141.
    real, fake = np.array([[2.0]]), np.array([[0.5]])
    np.testing.assert_allclose(numpy(loss.discriminator(real, fake)), [0.20141], atol=1e-5)
    np.testing.assert_allclose(numpy(loss.generator(fake, real)), [1.70141], atol=1e-5)


def test_a_lower_target_for_data():
    """Salimans et al. 2016, section 3.4: `t` of the logarithm of D, `1 - t` of that of 1 - D."""
    real, fake, t = np.array([[1.5], [-0.5]]), np.array([[0.3], [2.0]]), 0.9
    entropy = t * log_sigmoid(real) + (1 - t) * log_sigmoid(-real) + log_sigmoid(-fake)
    squares = (real - t) ** 2 / 2 + fake**2 / 2
    for name, expected in [
        ("minimax", -entropy),
        ("non_saturating", -entropy),
        ("least_squares", squares),
    ]:
        loss = adversarial_loss(name)
        assert loss.smooth
        value = loss.discriminator(real, fake, real_target=t)
        np.testing.assert_allclose(numpy(value), expected[:, 0], rtol=1e-5)


def test_hinge_stops_at_the_margin():
    value = adversarial_loss("hinge").discriminator(np.array([1.0, 5.0]), np.array([-1.0, -5.0]))
    np.testing.assert_array_equal(numpy(value), [0.0, 0.0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("real, fake", [(100, -100), (-100, 100), (100, 100), (-100, -100)])
def test_extreme_logits_stay_finite(name, real, fake):
    loss = adversarial_loss(name)
    assert np.isfinite(
        numpy(loss.discriminator(np.full((2, 1), real), np.full((2, 1), fake)))
    ).all()
    pushed = generated(loss, np.full((2, 1), fake), np.full((2, 1), real))
    assert np.isfinite(numpy(pushed)).all()


@pytest.mark.parametrize("name", NAMES)
def test_each_player_is_pushed_its_way(name):
    loss, low, high = adversarial_loss(name), np.array([[0.25]]), np.array([[0.5]])

    def discriminator(real, fake):
        return numpy(loss.discriminator(real, fake))[0]

    assert discriminator(high, low) < discriminator(low, low), "real logits should rise"
    assert discriminator(high, low) < discriminator(high, high), "fake logits should fall"
    assert numpy(generated(loss, high, low)) < numpy(generated(loss, low, low)), "should rise"


def test_the_minimax_generator_saturates_and_the_other_does_not():
    # d/df log(1 - D) = -D, d/df -log D = D - 1: at f = -10, -0.00005 and -0.99995.
    def slope(loss):
        return (numpy(loss.generator([-9.9]))[0] - numpy(loss.generator([-10.1]))[0]) / 0.2

    assert -1e-3 < slope(adversarial_loss("minimax")) < 0
    assert slope(adversarial_loss("non_saturating")) == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_comes_out_as_float32(name, dtype):
    loss, logits = adversarial_loss(name), keras.ops.cast(np.full((2, 1), 300.0), dtype)
    for value in (loss.discriminator(logits, logits), generated(loss, logits, logits)):
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        assert np.isfinite(numpy(value)).all()


def test_lookup():
    mine = AdversarialLoss("mine", lambda real, fake: fake, lambda fake: fake)
    assert adversarial_loss(mine) is mine
    assert [adversarial_loss(name).name for name in NAMES] == list(NAMES)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="minimax, non_saturating.*got 'hinges'"):
        adversarial_loss("hinges")

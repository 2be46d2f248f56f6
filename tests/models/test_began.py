"""BEGAN: a step by hand, how k moves and where it stops, and the measure of convergence."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats
from toys import (
    assert_linear,
    assert_pulls_on,
    compiled,
    constant,
    linear,
    number,
    numpy,
    random_linear,
    values,
)

from keras_gen.models import BEGAN

RNG = np.random.default_rng(5)
REAL = RNG.normal(size=(4, 3)).astype("float32")


def small(k=0.0, **options):
    model = BEGAN(random_linear(2, 3, 0), random_linear(3, 3, 1), latent_dim=2, **options)
    model.k.assign(k)
    return model


def rebuilding(real_error, fake_error, k=0.0, **options):
    """D gives 0 whatever it sees, so L(v) is the mean of |v|: here of data and samples so large."""
    model = BEGAN(constant(2, [fake_error] * 3), constant(3, [0.0] * 3), latent_dim=2, **options)
    model.k.assign(k)
    logs = compiled(model).train_step(np.full((4, 3), real_error, "float32"))
    return model, {term: number(value) for term, value in logs.items()}


def error_and_slopes(v, kernel, bias):
    """L(v) of a linear D, and its slopes in the kernel, the bias and v."""
    rest = v - (v @ kernel + bias)
    sign = np.sign(rest) / rest.size
    return np.abs(rest).mean(), -v.T @ sign, -sign.sum(0), sign - sign @ kernel.T


def test_a_whole_train_step_by_hand():
    k, rate, gamma = 0.4, 0.05, 0.6
    model = compiled(small(k=k, gamma=gamma, lambda_k=rate), 0.2, 0.1)
    drawn = RNG.uniform(-1, 1, (2, 4, 2)).astype("float32")
    noise = iter(drawn)
    model.draw_noise = lambda x: ops.convert_to_tensor(next(noise))
    (g_kernel, g_bias), (kernel, bias) = values(model.generator), values(model.discriminator)
    real_error, of_kernel, of_bias, _ = error_and_slopes(REAL, kernel, bias)
    fake_error, fake_kernel, fake_bias, _ = error_and_slopes(
        drawn[0] @ g_kernel + g_bias, kernel, bias
    )
    kernel, bias = (
        kernel - 0.2 * (of_kernel - k * fake_kernel),
        bias - 0.2 * (of_bias - k * fake_bias),
    )
    g_loss, _, _, of_image = error_and_slopes(drawn[1] @ g_kernel + g_bias, kernel, bias)
    logs = model.train_step(REAL)
    assert_linear(model.discriminator, kernel, bias)
    g_kernel, g_bias = g_kernel - 0.1 * drawn[1].T @ of_image, g_bias - 0.1 * of_image.sum(0)
    assert_linear(model.generator, g_kernel, g_bias)
    balance = gamma * real_error - g_loss
    expected = {
        "discriminator_loss": real_error - k * fake_error,
        "generator_loss": g_loss,
        "real_error": real_error,
        "k": k,
        "convergence": real_error + abs(balance),
    }
    for term, value in expected.items():
        assert number(logs[term]) == pytest.approx(value, rel=1e-4), term
    assert number(model.k.value) == pytest.approx(k + rate * balance, rel=1e-5)


@pytest.mark.parametrize(
    "real_error, fake_error, k, after",
    [
        (2.0, 0.4, 0.0, 0.06),  # 0.1 (0.5 * 2 - 0.4): samples are rebuilt too well
        (2.0, 1.4, 0.5, 0.46),  # not well enough
        (2.0, 1.0, 0.3, 0.3),  # the equilibrium, gamma = 1 / 2
        (2.0, 1.4, 0.01, 0.0),  # -0.03 is no share
        (2.0, 0.4, 0.99, 1.0),  # nor is 1.05
    ],
)
def test_k_follows_the_balance_and_stays_in_its_range(real_error, fake_error, k, after):
    model, logs = rebuilding(real_error, fake_error, k, lambda_k=0.1)
    assert number(model.k.value) == pytest.approx(after, abs=1e-6)
    assert logs["k"] == pytest.approx(k)
    assert logs["discriminator_loss"] == pytest.approx(real_error - k * fake_error, rel=1e-6)


@pytest.mark.parametrize("fake_error, convergence", [(0.4, 2.6), (1.4, 2.4), (1.0, 2.0)])
def test_the_measure_of_convergence(fake_error, convergence):
    """`L(x) + |gamma L(x) - L(G(z))|`, section 3.4.1: as far from the equilibrium on each side."""
    _, logs = rebuilding(2.0, fake_error)
    assert logs["convergence"] == pytest.approx(convergence, rel=1e-6)


def test_an_error_is_a_mean_over_the_pixels():
    """lambda_k = 0.001 is meant for one: a sum would move k as many times faster."""
    _, logs = rebuilding(2.0, 0.4)
    assert logs["real_error"] == pytest.approx(2.0) and logs["generator_loss"] == pytest.approx(0.4)


def test_k_is_saved_and_evaluation_leaves_it(tmp_path):
    model, _ = rebuilding(2.0, 0.4, 0.2, lambda_k=0.1)
    model.evaluate(REAL, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert number(again.k.value) == pytest.approx(0.26, rel=1e-6)
    logs = again.train_step(np.full((4, 3), 2.0, "float32"))
    assert number(logs["k"]) == pytest.approx(0.26, rel=1e-6)
    assert number(again.k.value) == pytest.approx(0.32, rel=1e-6)


def test_the_discriminators_objective_has_no_slope_in_the_generator():
    model, real = small(k=0.5), ops.convert_to_tensor(REAL)
    noise = ops.convert_to_tensor(RNG.uniform(-1, 1, (4, 2)).astype("float32"))
    assert_pulls_on(
        model, lambda: model.discriminator_objective(real, noise, True), "discriminator"
    )


def test_noise_is_uniform():
    model = BEGAN(linear(np.eye(2), np.zeros(2)), linear(np.eye(2), np.zeros(2)), latent_dim=2)
    for noise in (model.draw_noise(ops.zeros((4000, 2))), model.sample(4000, seed=1)):
        for column in numpy(noise).T:
            assert stats.kstest(column, stats.uniform(-1, 2).cdf).pvalue > 0.01


def test_sockets():
    assert BEGAN.sockets((64, 64, 3), latent_dim=64) == {
        "generator": ((64,), (64, 64, 3)),
        "discriminator": ((64, 64, 3), (64, 64, 3)),
    }


@pytest.mark.parametrize(
    "options, message",
    [
        ({"gamma": 1.5}, r"gamma must be in \[0, 1\]; got 1.5"),
        ({"gamma": -0.1}, r"gamma must be in \[0, 1\]; got -0.1"),
        ({"lambda_k": 0.0}, r"lambda_k must be in \(0, 1\]; got 0.0"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_a_discriminator_that_is_no_autoencoder_is_refused():
    message = r"discriminator: expected an autoencoder, .* its inputs, \(3,\); got \(1,\)"
    with pytest.raises(ValueError, match=message):
        BEGAN(random_linear(2, 3, 0), random_linear(3, 1, 1), latent_dim=2)

"""The regularized autoencoder: each regularizer against its closed form."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special, stats
from toys import linear, number, numpy

from keras_gen import engine
from keras_gen.models import RegularizedAutoencoder

RNG = np.random.default_rng(0)
KERNEL = np.random.default_rng(1).normal(size=(3, 5))


def small(decoder=None, **options):
    rng = np.random.default_rng(2)
    encoder = linear(0.5 * rng.normal(size=(5, 3)), rng.normal(size=3))
    decoder = linear(KERNEL, rng.normal(size=5)) if decoder is None else decoder
    return RegularizedAutoencoder(encoder, decoder, latent_dim=3, **options)


def run(network, x):
    kernel, bias = network.get_weights()
    return x @ kernel + bias


def tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))


def terms_of(model, x, noise=None, training=False):
    loss, terms = model.objective(tensor(x), noise, None, training)
    return {name: number(value) for name, value in {"loss": loss, **terms}.items()}


def test_the_loss_is_the_papers_with_l2():
    model = small(beta=0.3, regularizer_weight=0.01)
    x = RNG.normal(size=(6, 5)).astype("float32")
    code = run(model.encoder, x)
    error = ((x - run(model.decoder, code)) ** 2).sum(1).mean()
    length = 0.5 * (code**2).sum(1).mean()
    squares = sum((w**2).sum() for w in model.decoder.get_weights())
    terms = terms_of(model, x)
    assert terms["reconstruction"] == pytest.approx(error, rel=1e-4)
    assert terms["code_length"] == pytest.approx(length, rel=1e-4)
    assert terms["regularization"] == pytest.approx(squares, rel=1e-5)
    assert terms["loss"] == pytest.approx(error + 0.3 * length + 0.01 * squares, rel=1e-4)


def test_without_a_regularizer_there_is_no_such_term():
    model = small(beta=0.3, regularizer=None)
    terms = terms_of(model, RNG.normal(size=(6, 5)))
    assert "regularization" not in model.terms and set(terms) == set(model.terms)
    expected = terms["reconstruction"] + 0.3 * terms["code_length"]
    assert terms["loss"] == pytest.approx(expected, rel=1e-5)


# -- The gradient penalty -------------------------------------------------------------------------


def test_the_slope_of_a_linear_decoder_along_a_direction():
    """The decoder is `z W + b`, so `v' J = W v`."""
    v = RNG.normal(size=(6, 5))
    model = small(regularizer="gradient_penalty", regularizer_weight=2.0)
    found = numpy(model.squared_slope(tensor(RNG.normal(size=(6, 3))), tensor(v)))
    np.testing.assert_allclose(found, ((v @ KERNEL.T) ** 2).sum(1), rtol=1e-4)
    terms = terms_of(model, RNG.normal(size=(6, 5)), tensor(v))
    assert terms["regularization"] == pytest.approx(found.mean(), rel=1e-4)


def test_the_penalty_of_a_linear_decoder_is_its_squared_frobenius_norm():
    model = small(regularizer="gradient_penalty")
    x = ops.zeros((20_000, 5))
    slopes = numpy(model.squared_slope(ops.zeros((20_000, 3)), model.draw_noise(x)))
    expected, error = (KERNEL**2).sum(), slopes.std() / np.sqrt(len(slopes))
    assert 4 * error < 0.05 * expected
    assert slopes.mean() == pytest.approx(expected, abs=4 * error)


def test_the_slope_of_a_curved_decoder_is_that_at_its_code():
    """`J = diag(p (1 - p)) W'` for `p = sigmoid(z W + b)`."""
    decoder = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(5, activation="sigmoid", use_bias=False)]
    )
    decoder.set_weights([KERNEL])
    model = small(decoder, regularizer="gradient_penalty")
    z, v = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 5))
    p = special.expit(z @ KERNEL)
    expected = (((v * p * (1 - p)) @ KERNEL.T) ** 2).sum(1)
    found = numpy(model.squared_slope(tensor(z), tensor(v)))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_penalty_trains_the_decoder():
    """`d |W v|^2 / dW = 2 (W v) v'`: with one direction for all, whatever the codes."""
    v = RNG.normal(size=5)
    model = small(regularizer="gradient_penalty")
    kernel = model.decoder.trainable_variables[:1]
    z, directions = tensor(RNG.normal(size=(4, 3))), tensor(np.tile(v, (4, 1)))
    _, (gradient,) = engine.value_and_grad(
        lambda: (ops.mean(model.squared_slope(z, directions)), {}), kernel
    )
    np.testing.assert_allclose(numpy(gradient), 2 * np.outer(KERNEL @ v, v), rtol=1e-4, atol=1e-4)


# -- The spectral norm ----------------------------------------------------------------------------


def two_layers():
    network = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(5)]
    )
    rng = np.random.default_rng(3)
    network.set_weights([rng.normal(size=np.shape(w)) for w in network.get_weights()])
    return network


def test_power_iterations_find_the_singular_values_of_every_kernel():
    model = small(two_layers(), regularizer="spectral", regularizer_weight=2.0)
    x = RNG.normal(size=(6, 5))
    first = terms_of(model, x, training=True)["regularization"]
    for _ in range(200):
        terms = terms_of(model, x, training=True)
    kernels = [w for w in model.decoder.get_weights() if w.ndim == 2]
    expected = sum(np.linalg.svd(k, compute_uv=False)[0] ** 2 for k in kernels)
    assert first < 0.999 * expected  # a power iteration comes from below
    assert terms["regularization"] == pytest.approx(expected, rel=1e-4)
    rest = terms["reconstruction"] + model.beta * terms["code_length"]
    assert terms["loss"] == pytest.approx(rest + 2.0 * expected, rel=1e-4)


def test_evaluation_moves_no_power_iteration():
    model = small(regularizer="spectral")
    before = numpy(model.directions[0].value)
    terms_of(model, RNG.normal(size=(6, 5)))
    np.testing.assert_array_equal(before, numpy(model.directions[0].value))


def test_the_gradient_of_the_spectral_norm():
    """`d s^2 / dW = 2 s u v'`, of the largest singular value and its two vectors."""
    model = small(regularizer="spectral")
    for _ in range(200):
        model.squared_spectral_norms(training=True)
    kernel = model.decoder.trainable_variables[:1]
    _, (gradient,) = engine.value_and_grad(lambda: (model.squared_spectral_norms(), {}), kernel)
    u, s, v = np.linalg.svd(KERNEL)
    expected = 2 * s[0] * np.outer(u[:, 0], v[0])
    np.testing.assert_allclose(numpy(gradient), expected, rtol=1e-3, atol=1e-3)


def test_a_convolution_is_a_matrix_of_its_last_axis():
    decoder = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Reshape((2, 2, 1)),
            keras.layers.Conv2D(3, 2, padding="same"),
        ]
    )
    rng = np.random.default_rng(4)
    decoder.set_weights([rng.normal(size=np.shape(w)) for w in decoder.get_weights()])
    model = RegularizedAutoencoder(None, decoder, latent_dim=4, regularizer="spectral")
    for _ in range(200):
        found = model.squared_spectral_norms(training=True)
    matrix = decoder.get_weights()[0].reshape(-1, 3)
    expected = np.linalg.svd(matrix, compute_uv=False)[0] ** 2
    assert number(found) == pytest.approx(expected, rel=1e-4)


# -- Codes and samples ----------------------------------------------------------------------------


def test_training_follows_the_moments_of_the_codes_and_samples_are_drawn_from_them():
    model = small(regularizer=None)
    x = RNG.normal(2.0, 3.0, (50, 5)).astype("float32")
    codes = run(model.encoder, x)
    terms_of(model, x, training=True)
    np.testing.assert_allclose(numpy(model.code_mean), 0.01 * codes.mean(0), rtol=1e-3)
    np.testing.assert_allclose(numpy(model.code_variance), 0.99 + 0.01 * codes.var(0), rtol=1e-4)
    model.decoder.set_weights([np.eye(3, 5), np.zeros(5)])
    model.code_mean.assign([3.0, -1.0, 0.0])
    model.code_variance.assign([4.0, 0.25, 1.0])
    samples = numpy(model.sample(4000, seed=0))
    laws = (stats.norm(3, 2), stats.norm(-1, 0.5), stats.norm(0, 1))
    for column, law in zip(samples[:, :3].T, laws, strict=True):
        assert stats.kstest(column, law.cdf).pvalue > 0.01


@pytest.mark.parametrize(
    "options, message",
    [
        ({"regularizer": "l1"}, "regularizer must be None or one of 'l2', 'gradient_penalty', "),
        ({"reconstruction": "l1"}, "reconstruction must be one of 'squared_error', 'bernoulli'; g"),
        ({"beta": -1.0}, "beta must not be negative; got -1.0"),
        ({"regularizer_weight": -2.0}, "regularizer_weight must not be negative; got -2.0"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RegularizedAutoencoder(None, None, latent_dim=2, **options)

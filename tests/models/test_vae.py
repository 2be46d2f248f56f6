"""The variational autoencoder against closed forms, quadrature and SciPy's distributions."""

import keras
import numpy as np
import pytest
from families import VECTORS, fill, named, small_mlp
from keras import ops
from scipy import stats
from toys import Seen, constant, linear, number, numpy

from keras_gen import networks, priors
from keras_gen.models import FAMILIES, VAE


def objective(model, x, latent_noise=None, pixel_noise=None, labels=None):
    """`{term: float}` of the model's objective at this noise; its own noise where `None`."""
    x = ops.convert_to_tensor(np.asarray(x, "float32"))
    noise = model.draw_noise(x)
    if latent_noise is not None:
        noise = ops.convert_to_tensor(np.asarray(latent_noise, "float32")), pixel_noise
    loss, terms = model.objective(x, noise, labels, training=False)
    return {name: number(value) for name, value in {"loss": loss, **terms}.items()}


# -- The bound ------------------------------------------------------------------------------------

MEAN, DEVIATION = np.array([1.5, -0.5]), np.array([0.5, 2.0])
LOG_VARIANCE = 2 * np.log(DEVIATION)
# KL(q || p) = cross-entropy of q against p - entropy of q, both by SciPy and hand.
KL = sum(
    0.5 * (np.log(2 * np.pi) + m**2 + s**2) - stats.norm(m, s).entropy()
    for m, s in zip(MEAN, DEVIATION, strict=True)
)


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_the_loss_is_reconstruction_plus_beta_kl(beta):
    logits = np.array([-1.0, 0.5, 2.0])
    encoder = constant(3, [*MEAN, *LOG_VARIANCE])
    model = VAE(encoder, constant(2, logits), latent_dim=2, beta=beta)
    x = np.array([[0, 1, 1], [1, 0, 0]])
    expected = -stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(1).mean()
    terms = objective(model, x)
    assert terms["reconstruction"] == pytest.approx(expected, rel=1e-5)
    assert terms["kl"] == pytest.approx(KL, rel=1e-5)
    assert terms["loss"] == pytest.approx(expected + beta * KL, rel=1e-5)


def test_a_step_pulls_a_useless_code_to_the_prior():
    """`dKL / d(mean, log variance) = (mean, (variance - 1) / 2)`; the decoder hears nothing."""
    model = VAE(constant(3, [*MEAN, *LOG_VARIANCE]), constant(2, [0.0] * 3), latent_dim=2, beta=2)
    model.compile(keras.optimizers.SGD(0.1))
    model.train_step(np.zeros((4, 3), "float32"))
    step = 0.1 * 2 * np.array([*MEAN, *(DEVIATION**2 - 1) / 2])
    np.testing.assert_allclose(
        model.encoder.get_weights()[1], [*MEAN, *LOG_VARIANCE] - step, rtol=1e-5
    )


def linear_gaussian(shift=0.0):
    """`p(x|z) = N(Wz + b, s^2)` with its true posterior, its mean shifted, as the encoder.

    `W` has orthogonal columns, so that the posterior, `N(P W'(x - b) / s^2, P)` with
    `P = (I + W'W / s^2)^-1`, is diagonal (Bishop 2006, equation 2.116).
    """
    w = np.array([[1.0, 1.0], [2.0, 0.0], [1.0, -1.0]])
    b, variance = np.array([0.5, -1.0, 2.0]), 0.3
    posterior = np.linalg.inv(np.eye(2) + w.T @ w / variance)
    assert posterior[0, 1] == 0
    to_mean = w @ posterior / variance
    encoder = linear(
        np.hstack([to_mean, np.zeros((3, 2))]),
        [*(shift - b @ to_mean), *np.log(np.diag(posterior))],
    )
    options = {"latent_dim": 2, "likelihood": "gaussian", "variance": variance}
    marginal = stats.multivariate_normal(b, w @ w.T + variance * np.eye(3))
    return VAE(encoder, linear(w.T, b), **options), marginal, posterior


def test_with_the_true_posterior_the_bound_is_the_log_likelihood():
    model, marginal, _ = linear_gaussian()
    x = np.random.default_rng(0).normal(0, 3, (6, 3))
    # The loss is a quadratic of the noise: four points with mean 0 and covariance I integrate it.
    noise = np.sqrt(2) * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    terms = objective(model, np.repeat(x, 4, axis=0), np.tile(noise, (6, 1)))
    assert terms["loss"] == pytest.approx(-marginal.logpdf(x).mean(), rel=1e-5)


def test_with_another_posterior_the_bound_is_looser_by_their_kl():
    shift = np.array([0.3, -0.2])
    model, marginal, posterior = linear_gaussian(shift)
    x = np.random.default_rng(0).normal(0, 3, (6, 3))
    noise = np.sqrt(2) * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    terms = objective(model, np.repeat(x, 4, axis=0), np.tile(noise, (6, 1)))
    gap = 0.5 * shift @ np.linalg.inv(posterior) @ shift
    assert terms["loss"] == pytest.approx(gap - marginal.logpdf(x).mean(), rel=1e-5)


# -- The code -------------------------------------------------------------------------------------


def identity_decoder():
    seen = Seen()
    return seen, keras.Sequential([keras.Input((2,)), seen])


def test_z_is_the_mean_plus_the_deviation_times_the_noise():
    seen, decoder = identity_decoder()
    encoder = constant(2, [*MEAN, *LOG_VARIANCE])
    model = VAE(encoder, decoder, latent_dim=2, likelihood="gaussian")
    noise = np.array([[0.0, 0.0], [1.0, -2.0]])
    objective(model, np.zeros((2, 2)), noise)
    np.testing.assert_allclose(seen.last, MEAN + DEVIATION * noise, rtol=1e-6)
    objective(model, np.zeros((5000, 2)))
    for column, m, s in zip(seen.last.T, MEAN, DEVIATION, strict=True):
        assert stats.kstest(column, stats.norm(m, s).cdf).pvalue > 0.01
    mean, deviation = (numpy(part)[0] for part in model.encode(np.zeros((1, 2), "float32")))
    np.testing.assert_allclose([mean, deviation], [MEAN, DEVIATION], rtol=1e-6)
    np.testing.assert_allclose(numpy(model(np.zeros((1, 2), "float32")))[0], MEAN, rtol=1e-6)


def test_samples_decode_the_prior():
    _, decoder = identity_decoder()
    model = VAE(constant(2, [0.0] * 4), decoder, latent_dim=2, likelihood="gaussian")
    for column in numpy(model.sample(5000, seed=1)).T:
        assert stats.kstest(column, stats.norm.cdf).pvalue > 0.01
    shown = VAE(constant(2, [0.0] * 4), constant(2, [-1.0, 3.0]), latent_dim=2).sample(1)
    np.testing.assert_allclose(numpy(shown)[0], [1 / (1 + np.e), 1 / (1 + np.exp(-3))], rtol=1e-5)


# -- The likelihood -------------------------------------------------------------------------------


@pytest.mark.parametrize("variance", [1.0, 0.25])
def test_gaussian_of_fixed_variance(variance):
    mean, x = np.array([0.5, -1.0, 2.0]), np.array([[0.0, 1.0, 2.0], [3.0, 0.0, -1.0]])
    options = {"latent_dim": 1, "likelihood": "gaussian", "variance": variance}
    model = VAE(constant(3, [0.0, 0.0]), constant(1, mean), **options)
    expected = -stats.norm(mean, np.sqrt(variance)).logpdf(x).sum(1).mean()
    assert objective(model, x)["reconstruction"] == pytest.approx(expected, rel=1e-5)


def test_gaussian_of_learned_variance():
    """The log variance is `-7 + softplus(output)`, so never below -7."""
    mean, outputs = np.array([0.5, -1.0, 2.0]), np.array([-30.0, 5.0, 9.0])
    x = mean + np.array([[0.01, 0.2, 2.0], [-0.03, 0.1, -1.0]])
    options = {"latent_dim": 1, "likelihood": "gaussian", "variance": "learned"}
    model = VAE(constant(3, [0.0, 0.0]), constant(1, [*mean, *outputs]), **options)
    deviation = np.exp(0.5 * (np.logaddexp(0, outputs) - 7))
    expected = -stats.norm(mean, deviation).logpdf(x).sum(1).mean()
    assert objective(model, x)["reconstruction"] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(numpy(model.sample(1))[0], mean, rtol=1e-6)


def test_dynamic_binarization_draws_pixels_with_their_grey_level_anew():
    levels, logits = np.array([0.0, 0.2, 0.7, 1.0]), np.array([0.5, -1.0, 2.0, 1.0])
    seen = Seen()
    encoder = keras.Sequential([keras.Input((4,)), seen, constant(4, [0.0, 0.0])])
    model = VAE(encoder, constant(1, logits), latent_dim=1, binarize=True)
    x = np.tile(levels, (4000, 1))
    terms, first = objective(model, x), seen.last
    assert set(np.unique(first)) == {0.0, 1.0}
    # Four deviations of a mean of 4000 draws; a pixel of 0 or 1 is no draw.
    bound = 4 * np.sqrt(levels * (1 - levels) / 4000)
    assert np.all(np.abs(first.mean(0) - levels) <= bound)
    expected = (np.logaddexp(0, logits) - first * logits).sum(1).mean()
    assert terms["reconstruction"] == pytest.approx(expected, rel=1e-5), "judged on those pixels"
    objective(model, x)
    assert not np.array_equal(seen.last, first)
    model.binarize = False
    objective(model, x)
    np.testing.assert_array_equal(seen.last, x.astype("float32"))


# -- Labels ---------------------------------------------------------------------------------------


def test_both_networks_of_a_conditional_vae_are_told_the_class():
    given = {name: Seen() for name in ("encoder", "decoder")}
    encoder = keras.Sequential(
        [
            keras.Input((2, 2, 4)),
            given["encoder"],
            keras.layers.Flatten(),
            constant(16, [*MEAN, *LOG_VARIANCE]),
        ]
    )
    shift = np.vstack([np.zeros((2, 4)), np.outer([1, 2, 4], np.ones(4))])
    decoder = keras.Sequential(
        [
            keras.Input((5,)),
            given["decoder"],
            linear(shift, np.zeros(4)),
            keras.layers.Reshape((2, 2, 1)),
        ]
    )
    model = VAE(encoder, decoder, latent_dim=2, num_classes=3, likelihood="gaussian")
    x = np.random.default_rng(0).uniform(size=(2, 2, 2, 1))
    objective(model, x, np.zeros((2, 2)), labels=ops.convert_to_tensor(np.array([2, 0], "int32")))
    one_hot = np.array([[0, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(given["encoder"].last[..., :1], x, rtol=1e-6)
    planes = np.broadcast_to(one_hot[:, None, None], (2, 2, 2, 3))
    np.testing.assert_array_equal(given["encoder"].last[..., 1:], planes)
    np.testing.assert_allclose(given["decoder"].last[:, :2], [MEAN, MEAN], rtol=1e-6)
    np.testing.assert_array_equal(given["decoder"].last[:, 2:], one_hot)
    assert numpy(model.sample(4, seed=0, labels=[2, 1]))[:, 0, 0, 0].tolist() == [4, 2, 4, 2]
    assert numpy(model.sample(4, seed=0))[:, 0, 0, 0].tolist() == [1, 2, 4, 1]


# -- Construction ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, encoder, decoder",
    [
        ({}, ((8, 8, 3), (10,)), ((5,), (8, 8, 3))),
        ({"num_classes": 4}, ((8, 8, 7), (10,)), ((9,), (8, 8, 3))),
        ({"variance": "learned"}, ((8, 8, 3), (10,)), ((5,), (8, 8, 6))),
    ],
)
def test_sockets(options, encoder, decoder):
    sockets = VAE.sockets((8, 8, 3), latent_dim=5, **options)
    assert sockets == {"encoder": encoder, "decoder": decoder}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"likelihood": "laplace"}, "likelihood must be 'bernoulli' or 'gaussian'; got 'laplace'"),
        ({"likelihood": "gaussian", "variance": 0.0}, "variance must be a positive number or 'le"),
        ({"likelihood": "gaussian", "variance": "fixed"}, "variance must be a positive number or"),
        ({"variance": 0.5}, "variance belongs to likelihood='gaussian'"),
        ({"beta": -1.0}, "beta must not be negative; got -1.0"),
        ({"likelihood": "gaussian", "binarize": True}, "binarize=True needs likelihood='bern"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        VAE(None, None, latent_dim=2, **options)


# -- Where the decoder begins --------------------------------------------------------------------


@pytest.mark.parametrize("build", [networks.mlp, networks.conv_decoder])
def test_a_learned_variance_begins_at_that_of_the_data(build):
    """The output bias alone: mean and variance of each value, or of each channel."""
    rng = np.random.default_rng(0)
    x = rng.normal([[[2.0, -1.0]]], [[[3.0, 0.5]]], (5000, 8, 2))
    encoder = networks.mlp((8, 2), (4,), units=())
    sockets = VAE.sockets((8, 2), latent_dim=2, variance="learned")
    decoder = build(*sockets["decoder"])
    options = {"latent_dim": 2, "likelihood": "gaussian", "variance": "learned"}
    model = VAE(encoder, decoder, **options)
    model.start_at(x.mean(axis=0), x.std(axis=0))
    (output,) = numpy(model.decoded(ops.zeros((1, 2))))
    mean, log_variance = (numpy(part) for part in model.gaussian(ops.convert_to_tensor(output)))
    wanted = x.mean(axis=0), x.std(axis=0)
    if build is networks.conv_decoder:
        wanted = x.mean(axis=(0, 1)), np.sqrt(np.square(wanted[1]).mean(axis=0))
    np.testing.assert_allclose(mean, np.broadcast_to(wanted[0], (8, 2)), rtol=1e-5)
    deviation = np.exp(log_variance / 2)
    np.testing.assert_allclose(deviation, np.broadcast_to(wanted[1], (8, 2)), rtol=1e-4)


def test_a_value_that_never_changes_begins_just_above_the_floor():
    model = VAE(
        constant(2, [0.0] * 4),
        networks.mlp((2,), (4,), units=()),
        latent_dim=2,
        likelihood="gaussian",
        variance="learned",
    )
    model.start_at(np.zeros(2), np.zeros(2))
    _, log_variance = model.gaussian(model.decoded(ops.zeros((1, 2))))
    np.testing.assert_allclose(numpy(log_variance), -7.0 + 1e-2, rtol=1e-5)


# -- Samples of p(x | z) --------------------------------------------------------------------------


def test_samples_with_noise_have_the_decoders_spread():
    """A decoder that ignores its code: samples are N(mean, variance), 4 deviations allowed."""
    mean, log_variance = np.array([1.0, -2.0]), np.array([0.3, 1.2])
    output = [*mean, *np.log(np.expm1(log_variance + 7.0))]  # the inverse of floor + softplus
    count = 20_000
    options = {"latent_dim": 2, "likelihood": "gaussian", "variance": "learned"}
    noisy = VAE(constant(2, [0.0] * 4), constant(2, output), sample_noise=True, **options)
    samples = numpy(noisy.sample(count, seed=3))
    deviation = np.exp(log_variance / 2)
    np.testing.assert_allclose(samples.mean(axis=0), mean, atol=4 * deviation.max() / count**0.5)
    np.testing.assert_allclose(samples.std(axis=0) / deviation, 1.0, atol=4 / (2 * count) ** 0.5)
    assert abs(np.corrcoef(samples.T)[0, 1]) < 4 / count**0.5
    np.testing.assert_array_equal(samples, numpy(noisy.sample(count, seed=3)))
    plain = VAE(constant(2, [0.0] * 4), constant(2, output), **options)
    np.testing.assert_allclose(numpy(plain.sample(3, seed=3)), [mean] * 3, rtol=1e-6)


def test_a_prior_adds_the_models_own_noise():
    """Codes by a fitted prior, pixels by p(x | z): no two rows of 300 samples share their noise."""
    options = {"latent_dim": 2, "likelihood": "gaussian", "variance": 0.25}
    model = VAE(constant(2, [0.0] * 4), constant(2, [1.0, 5.0]), sample_noise=True, **options)
    prior = priors.StandardNormal().fit(model, np.zeros((10, 2), "float32"))
    samples = prior.sample(300, seed=1)  # more than are decoded at once
    assert len(np.unique(samples, axis=0)) == 300
    np.testing.assert_allclose(samples.std(axis=0), 0.5, atol=4 * 0.5 / 600**0.5)


def test_a_bernoulli_has_no_noise_to_sample():
    with pytest.raises(ValueError, match="sample_noise=True needs likelihood='gaussian'"):
        VAE(constant(2, [0.0] * 4), constant(2, [0.0] * 2), latent_dim=2, sample_noise=True)


@pytest.mark.parametrize("name", ["vae", "flow_vae", "factor_vae", "info_vae"])
def test_every_family_of_normal_codes_can_learn_its_variance(name):
    """The decoder gives twice the channels, and a step moves those of the variance too."""
    (case,) = named(name)
    family = FAMILIES[name]
    parts = {**VECTORS, "flow": (networks.planar_flow, {}), "discriminator": small_mlp()}
    options = {"latent_dim": 4, "likelihood": "gaussian", "variance": "learned"}
    model = fill(family, parts, **options)
    assert model.decoder.output_shape[1:] == (8, 8, 2)
    optimizers = {player: "adam" for player in case.optimizers}
    model.compile("adam" if list(optimizers) == ["model"] else optimizers)
    x, _ = case.data()
    *_, bias = model.decoder.trainable_variables
    before = numpy(bias).reshape(-1, 2)
    history = model.fit(x, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert np.all(numpy(bias).reshape(-1, 2) != before)
    assert numpy(model.sample(3, seed=0)).shape == (3, 8, 8, 1)

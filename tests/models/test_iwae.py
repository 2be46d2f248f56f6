"""IWAE and importance sampling against exact marginals: a linear decoder's, a single pixel's."""

import ctypes
import platform
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from scipy import integrate, stats
from toys import constant, linear, number, numpy

from keras_gen import networks
from keras_gen.losses import gaussian_log_density, importance_bound, reparameterized_log_density
from keras_gen.models import IWAE, VAE, VampVAE
from keras_gen.models.autoencoders import likelihood

W = np.array([[1.0, 1.0], [2.0, 0.0], [1.0, -1.0]])  # orthogonal columns: a diagonal posterior
B, VARIANCE = np.array([0.5, -1.0, 2.0]), 0.3


def linear_gaussian(too_wide=1.0):
    """`p(x|z) = N(Wz + b, s^2)`; its posterior (Bishop 2006, equation 2.116), widened."""
    posterior = np.linalg.inv(np.eye(2) + W.T @ W / VARIANCE)
    to_mean = W @ posterior / VARIANCE
    log_variance = np.log(np.diag(posterior) * too_wide**2)
    encoder = linear(np.hstack([to_mean, np.zeros((3, 2))]), [*(-B @ to_mean), *log_variance])
    model = VAE(encoder, linear(W.T, B), latent_dim=2, likelihood="gaussian", variance=VARIANCE)
    return model, stats.multivariate_normal(B, W @ W.T + VARIANCE * np.eye(3))


# -- The bound ------------------------------------------------------------------------------------


def test_with_the_true_posterior_every_sample_weighs_the_marginal():
    model, marginal = linear_gaussian()
    x = np.random.default_rng(0).normal(0, 2, (5, 3)).astype("float32")
    estimate = model.log_likelihood(x, samples=1, seed=0)
    np.testing.assert_allclose(estimate, marginal.logpdf(x), rtol=1e-5)


def test_the_bound_rises_to_the_marginal_as_samples_grow():
    """With a posterior 20 % too wide in 2 dimensions: within 0.02 nat at 5,000 samples."""
    model, marginal = linear_gaussian(too_wide=1.2)
    x = np.random.default_rng(1).normal(0, 2, (200, 3)).astype("float32")
    exact = marginal.logpdf(x)
    gaps = [np.mean(exact - model.log_likelihood(x, k, seed=1)) for k in (1, 5, 50, 5000)]
    # KL(q || posterior) of a deviation 1.2 times too large, in two dimensions.
    assert gaps[0] == pytest.approx(1.2**2 - 1 - np.log(1.2**2), abs=0.15)
    assert gaps[0] > gaps[1] > gaps[2] > abs(gaps[3])
    assert np.abs(exact - model.log_likelihood(x, 5000, seed=2)).max() < 0.1
    assert abs(gaps[3]) < 0.02


def test_chunks_of_samples_are_one_sum(monkeypatch):
    import keras_gen.models.autoencoders.likelihood as room

    model, _ = linear_gaussian(too_wide=1.2)
    x = np.random.default_rng(1).normal(0, 2, (7, 3)).astype("float32")
    seen = []
    plain = VAE.log_weights

    def kept(self, x, noise, labels=None):
        weights = plain(self, x, noise, labels)
        seen.append(numpy(weights))
        return weights

    monkeypatch.setattr(VAE, "log_weights", kept)
    monkeypatch.setattr(room, "NUMBERS_AT_ONCE", 4 * 4 * 3)
    estimate = model.log_likelihood(x, samples=10, batch_size=4)
    assert [w.shape for w in seen] == [(4, 4), (4, 4), (4, 2), (3, 4), (3, 4), (3, 2)]
    weights = np.vstack([np.hstack(seen[:3]), np.hstack(seen[3:])])
    np.testing.assert_allclose(estimate, np.log(np.exp(weights).mean(1)), rtol=1e-5)


def test_bits_per_dimension():
    model, marginal = linear_gaussian()
    x = np.random.default_rng(0).normal(0, 2, (5, 3)).astype("float32")
    expected = -marginal.logpdf(x).mean() / (3 * np.log(2))
    assert model.bits_per_dimension(x, samples=2) == pytest.approx(expected, rel=1e-5)


def test_a_bernoulli_pixel_by_quadrature():
    """`p(x = 1) = E sigmoid(a z + b)` over z ~ N(0, 1)."""
    slope, shift = 3.0, -1.0
    model = IWAE(constant(1, [0.2, -0.3]), linear([[slope]], [shift]), latent_dim=1, samples=2)

    def share(z):
        return stats.norm.pdf(z) / (1 + np.exp(-(slope * z + shift)))

    one, _ = integrate.quad(share, -12, 12)
    x = np.array([[1.0], [0.0]], "float32")
    estimate = model.log_likelihood(x, samples=40_000, seed=0)
    np.testing.assert_allclose(estimate, np.log([one, 1 - one]), atol=0.02)


def test_the_weights_bound():
    log_weights = np.log([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]])
    np.testing.assert_allclose(numpy(importance_bound(log_weights)), np.log([2.0, 4.0]), rtol=1e-6)
    mean, deviation, noise = 0.5, 0.7, np.array([[[0.3, -1.0], [2.0, 0.1]]])
    z = mean + deviation * noise
    log_variance = np.full((1, 1, 2), 2 * np.log(deviation))
    expected = stats.norm(mean, deviation).logpdf(z).sum(-1)
    for found in (
        reparameterized_log_density(noise, log_variance),
        gaussian_log_density(z, mean, log_variance),
    ):
        np.testing.assert_allclose(numpy(found), expected, rtol=1e-5)


# -- The objective --------------------------------------------------------------------------------


def small_iwae(**options):
    rng = np.random.default_rng(3)
    encoder = linear(0.3 * rng.normal(size=(3, 4)), 0.2 * rng.normal(size=4))
    decoder = linear(rng.normal(size=(2, 3)), rng.normal(size=3))
    return IWAE(encoder, decoder, latent_dim=2, **options)


def objective(model, x, noise):
    loss, terms = model.objective(
        ops.convert_to_tensor(x), (ops.convert_to_tensor(noise), None), None, training=False
    )
    return number(loss), number(terms["negative_elbo"])


def test_the_loss_is_the_papers_whatever_its_arguments():
    rng = np.random.default_rng(4)
    x = rng.integers(0, 2, (5, 3)).astype("float32")
    noise = rng.normal(size=(5, 6, 2)).astype("float32")
    model = small_iwae(samples=3, groups=2, elbo_share=0.25)
    # By hand, with SciPy's densities.
    kernel, bias = model.encoder.get_weights()
    mean, log_variance = np.split(x @ kernel + bias, 2, axis=1)
    deviation = np.exp(log_variance / 2)[:, None]
    z = mean[:, None] + deviation * noise
    kernel, bias = model.decoder.get_weights()
    probability = 1 / (1 + np.exp(-(z @ kernel + bias)))
    log_w = stats.bernoulli.logpmf(x[:, None], probability).sum(-1)
    log_w += stats.norm.logpdf(z).sum(-1) - stats.norm(mean[:, None], deviation).logpdf(z).sum(-1)
    elbo = log_w.mean()
    miwae = np.log(np.exp(log_w.reshape(5, 2, 3)).mean(2)).mean()
    loss, negative_elbo = objective(model, x, noise)
    assert negative_elbo == pytest.approx(-elbo, rel=1e-5)
    assert loss == pytest.approx(-(0.25 * elbo + 0.75 * miwae), rel=1e-5)


def test_one_sample_is_the_vae_of_the_same_networks():
    rng = np.random.default_rng(5)
    x = rng.integers(0, 2, (4, 3)).astype("float32")
    noise = rng.normal(size=(4, 1, 2)).astype("float32")
    iwae = small_iwae(samples=1)
    vae = VAE(iwae.encoder, iwae.decoder, latent_dim=2)
    # The VAE's divergence is in closed form, IWAE's a sample: they agree on average.
    many = rng.normal(size=(4, 200_000, 2)).astype("float32")
    _, negative_elbo = objective(iwae, x, many)
    loss, terms = vae.objective(ops.convert_to_tensor(x), (noise[:, 0], None), None, False)
    reconstruction = [
        number(vae.objective(ops.convert_to_tensor(x), (many[:, k], None), None, False)[0])
        for k in range(400)
    ]
    assert negative_elbo == pytest.approx(np.mean(reconstruction), abs=0.1)


def test_a_trained_bound_is_tighter_than_the_elbo_it_logs():
    model = small_iwae(samples=20)
    model.compile(keras.optimizers.Adam(1e-2))
    x = np.random.default_rng(6).integers(0, 2, (32, 3)).astype("float32")
    history = model.fit(x, epochs=3, batch_size=16, verbose=0).history
    assert all(a < b for a, b in zip(history["loss"], history["negative_elbo"], strict=True))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"samples": 0}, "samples must be an integer of at least 1; got 0"),
        ({"groups": 1.5}, "groups must be an integer of at least 1; got 1.5"),
        ({"elbo_share": 2.0}, r"elbo_share must be in \[0, 1\]; got 2.0"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small_iwae(**options)


def test_a_likelihood_of_no_samples_is_refused():
    with pytest.raises(ValueError, match="samples must be an integer of at least 1; got 0"):
        small_iwae().log_likelihood(np.zeros((1, 3)), samples=0)


def test_the_output_begins_at_the_mean_example():
    mean = np.array([0.0, 0.2, 0.5, 1.0])
    model = IWAE(constant(4, np.zeros(4)), constant(2, np.ones(4)), latent_dim=2)
    model.start_at(mean)
    expected = np.broadcast_to([0.001, 0.2, 0.5, 0.999], (3, 4))
    np.testing.assert_allclose(numpy(model.decode(np.ones((3, 2), "float32"))), expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"mean example has shape \(5,\), .* decoded \(4,\)"):
        model.start_at(np.zeros(5))


@pytest.mark.parametrize(
    "family, decoder, widest",
    [
        # The hidden layer is 300 wide, the data 3.
        (IWAE, networks.mlp((2,), (3,), units=(300,)), 300),
        # Each code stands beside 500 components.
        (VampVAE, networks.mlp((2,), (3,), units=(8,)), 1000),
        (IWAE, constant(2, np.zeros(3)), 3),
    ],
    ids=["wide_layer", "many_components", "wide_data"],
)
def test_a_chunk_of_a_likelihood_is_as_small_as_its_widest_tensor_asks(
    family, decoder, widest, monkeypatch
):
    monkeypatch.setattr(likelihood, "NUMBERS_AT_ONCE", 30_000)
    model, chunks = family(constant(3, np.zeros(4)), decoder, latent_dim=2), []
    monkeypatch.setattr(
        type(model),
        "log_weights",
        lambda self, x, noise, labels: chunks.append(noise.shape) or ops.zeros(noise.shape[:2]),
    )
    nats = model.log_likelihood(np.zeros((4, 3)), samples=3000, batch_size=4)
    np.testing.assert_allclose(nats, 0.0, atol=1e-6)
    assert sum(chunk[1] for chunk in chunks) == 3000
    assert max(chunk[0] * chunk[1] * widest for chunk in chunks) in range(20_000, 30_001)


def peak():
    """The most MB that this process has held since `/proc/self/clear_refs` was told to forget."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="reads the peak as Linux tells it")
def test_the_memory_of_a_likelihood_does_not_grow_with_its_samples(monkeypatch):
    """1,000 samples of 100 images at once would be 314 MB for the logits alone, thrice over.

    In chunks a quarter as large as they are by default: a backend that runs ahead holds several.
    """
    assert 4 * likelihood.NUMBERS_AT_ONCE < 35e6  # bytes
    monkeypatch.setattr(likelihood, "NUMBERS_AT_ONCE", 2**21)
    sockets = IWAE.sockets((28, 28, 1), latent_dim=50)
    parts = {name: networks.mlp(*shapes, units=(200, 200)) for name, shapes in sockets.items()}
    model = IWAE(**parts, latent_dim=50)
    x = np.zeros((100, 28, 28, 1), "float32")
    model.log_likelihood(x, samples=1)
    ctypes.CDLL(None).malloc_trim(0)  # or what tests before this one freed would be used first
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    model.log_likelihood(x, samples=1000)
    assert peak() - before < 300

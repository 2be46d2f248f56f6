"""FactorVAE: the permutation, both losses by hand, and a total correlation in closed form."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special, stats
from toys import constant, linear, number, numpy

from keras_gen.models import FactorVAE
from keras_gen.models.autoencoders.factor_vae import permute_dims

RNG = np.random.default_rng(0)


def small(**options):
    rng = np.random.default_rng(1)

    def network(inputs, outputs):
        return linear(0.4 * rng.normal(size=(inputs, outputs)), 0.2 * rng.normal(size=outputs))

    return FactorVAE(network(5, 4), network(2, 5), network(2, 1), latent_dim=2, **options)


def run(network, x):
    kernel, bias = network.get_weights()
    return x @ kernel + bias


def tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))


# -- The permutation ------------------------------------------------------------------------------


def permuted_by(model, z):
    _, ranks, _ = model.draw_noise(ops.zeros((len(z), 5)))
    return numpy(permute_dims(tensor(z), ranks))


def test_each_latent_keeps_its_numbers_and_no_example_keeps_its_latents():
    shared = RNG.normal(size=2000)
    z = np.stack([shared, shared + 0.1 * RNG.normal(size=2000)], axis=1).astype("float32")
    shuffled = permuted_by(small(), z)
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(z, axis=0))
    assert np.corrcoef(z.T)[0, 1] > 0.99
    # Independent columns correlate by 1 / sqrt(n), give or take.
    assert abs(np.corrcoef(shuffled.T)[0, 1]) < 4 / np.sqrt(2000)
    for before, after in zip(z.T, shuffled.T, strict=True):
        assert abs(np.corrcoef(before, after)[0, 1]) < 4 / np.sqrt(2000)


def test_it_is_drawn_anew_each_time():
    model, z = small(), RNG.normal(size=(50, 2))
    assert not np.array_equal(permuted_by(model, z), permuted_by(model, z))


def test_the_permutation_sorts_the_ranks():
    z, ranks = [[1, 10], [2, 20], [3, 30]], np.array([[5, 1], [0, 9], [3, 4]], "int32")
    found = numpy(permute_dims(tensor(z), ops.convert_to_tensor(ranks)))
    np.testing.assert_array_equal(found, [[2, 10], [3, 30], [1, 20]])


# -- The losses -----------------------------------------------------------------------------------


def test_both_losses_are_the_papers():
    model = small(gamma=7.0)
    x = RNG.integers(0, 2, (6, 5)).astype("float32")
    first, second = RNG.normal(size=(2, 6, 2)).astype("float32")
    ranks = RNG.permuted(np.tile(np.arange(6), (2, 1)), axis=1).T.astype("int32")
    mean, log_variance = np.split(run(model.encoder, x), 2, axis=1)
    z, other = (mean + np.exp(log_variance / 2) * noise for noise in (first, second))
    probabilities = special.expit(run(model.decoder, z))
    nats = -stats.bernoulli.logpmf(x, probabilities).sum(1).mean()
    kl = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(1).mean()
    log_d = -np.logaddexp(0, -run(model.discriminator, z))
    correlation = (log_d - np.log1p(-np.exp(log_d))).mean()  # log D - log(1 - D)
    shuffled = np.stack([other[np.argsort(ranks[:, j]), j] for j in range(2)], axis=1)
    d_loss = -0.5 * (log_d - np.logaddexp(0, run(model.discriminator, shuffled))).mean()

    noise = tensor(first), tensor(second)
    loss, (terms, codes) = model.autoencoder_objective(tensor(x), noise, False)
    assert number(terms["reconstruction"]) == pytest.approx(nats, rel=1e-4)
    assert number(terms["kl"]) == pytest.approx(kl, rel=1e-4)
    assert number(terms["total_correlation"]) == pytest.approx(correlation, rel=1e-4)
    assert number(loss) == pytest.approx(nats + kl + 7.0 * correlation, rel=1e-4)
    np.testing.assert_allclose(numpy(codes[0]), z, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(numpy(codes[1]), other, rtol=1e-4, atol=1e-6)
    found = model.discriminator_objective(*codes, ops.convert_to_tensor(ranks), False)
    assert number(found) == pytest.approx(d_loss, rel=1e-4)


class LogRatio(keras.layers.Layer):
    """`log q(z) - log q(z_1) q(z_2)` of two standard normals with a correlation: the best D."""

    def __init__(self, correlation):
        super().__init__()
        self.correlation = correlation

    def call(self, z):
        r, (a, b) = self.correlation, (z[:, :1], z[:, 1:])
        tilt = (r**2 * (a**2 + b**2) - 2 * r * a * b) / (2 * (1 - r**2))
        return -0.5 * np.log(1 - r**2) - tilt


def test_with_the_best_discriminator_the_term_is_the_total_correlation():
    """Of two normals with correlation r it is `-log(1 - r^2) / 2`."""
    r = 0.8
    z = RNG.multivariate_normal([0, 0], [[1, r], [r, 1]], size=40_000)
    encoder = linear(np.hstack([np.eye(2), np.zeros((2, 2))]), [0, 0, -40, -40])  # z = x
    judge = keras.Sequential([keras.Input((2,)), LogRatio(r)])
    model = FactorVAE(encoder, constant(2, [0.0, 0.0]), judge, latent_dim=2)
    noise = tensor(0 * z), tensor(0 * z)
    _, (terms, _) = model.autoencoder_objective(tensor(z), noise, False)
    a, b = z.T
    spread = np.std((r**2 * (a**2 + b**2) - 2 * r * a * b) / (2 * (1 - r**2)))
    error = spread / np.sqrt(len(z))
    expected = -0.5 * np.log(1 - r**2)
    assert 4 * error < 0.05 * expected
    assert number(terms["total_correlation"]) == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize(
    "player, moves", [("autoencoder", {"encoder", "decoder"}), ("discriminator", {"discriminator"})]
)
def test_a_player_moves_its_own_networks_only(player, moves):
    model = small()
    rates = {name: 0.1 if name == player else 0.0 for name in ("autoencoder", "discriminator")}
    model.compile({name: keras.optimizers.SGD(rate) for name, rate in rates.items()})
    networks = ("encoder", "decoder", "discriminator")
    before = {name: getattr(model, name).get_weights()[0] for name in networks}
    model.train_step(RNG.uniform(size=(4, 5)).astype("float32"))
    after = {name: getattr(model, name).get_weights()[0] for name in networks}
    moved = {name for name in networks if not np.array_equal(before[name], after[name])}
    assert moved == moves


@pytest.mark.parametrize(
    "options, message",
    [
        ({"gamma": -1.0}, "gamma must not be negative; got -1.0"),
        ({"likelihood": "laplace"}, "likelihood must be 'bernoulli' or 'gaussian'; got 'laplace'"),
        ({"likelihood": "gaussian", "variance": 0.0}, "variance must be a positive number or 'le"),
        ({"variance": 0.5}, "variance belongs to likelihood='gaussian'"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FactorVAE(None, None, None, latent_dim=2, **options)

"""Priors against the densities that their codes were drawn from."""

import random

import keras
import numpy as np
import pytest
from families import named
from keras import ops
from scipy import stats

from keras_gen import GenerativeModel, engine, priors
from keras_gen.models import GAN
from keras_gen.models.autoencoders import Latents
from keras_gen.models.autoencoders.grid_codes import GridCodes
from keras_gen.networks import made, mlp, pixel_cnn
from keras_gen.priors.maf import Flow

COVARIANCE = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, -0.3], [0.0, -0.3, 0.5]])
MEAN = np.array([1.0, -2.0, 0.5])
TRUTH = stats.multivariate_normal(MEAN, COVARIANCE)


class Codes(Latents, GenerativeModel):
    """A model whose codes are its data: an encoder with a deviation, a decoder that doubles."""

    def __init__(self, deviation=0.0):
        super().__init__()
        self.deviation = deviation

    def encode(self, x, labels=None):
        return x, self.deviation * ops.ones_like(x)

    def decode(self, z, labels=None):
        return 2.0 * ops.convert_to_tensor(z)


def drawn(count=4000):
    return TRUTH.rvs(count, random_state=0).astype("float32")


def random_made(size, context=0, seed=0):
    network = made((size + context,), (2 * size,), units=(16, 16))
    rng = np.random.default_rng(seed)
    network.set_weights([0.3 * rng.normal(size=w.shape) for w in network.get_weights()])
    return network


def test_an_output_sees_the_inputs_before_its_own_and_the_context():
    network = random_made(4, context=2)
    x = np.random.default_rng(1).normal(size=(1, 6)).astype("float32")
    before = ops.convert_to_numpy(network(x)).reshape(2, 4)
    for moved in range(6):
        other = x.copy()
        other[0, moved] += 1.0
        changed = np.any(ops.convert_to_numpy(network(other)).reshape(2, 4) != before, axis=0)
        expected = np.arange(4) > moved if moved < 4 else np.ones(4, bool)
        np.testing.assert_array_equal(changed, expected)


def test_a_made_begins_at_zero_and_comes_back_from_its_config():
    network = made((3,), (6,))
    assert not np.any(ops.convert_to_numpy(network(np.ones((2, 3), "float32"))))
    network = random_made(3)
    again = keras.Model.from_config(network.get_config())
    again.set_weights(network.get_weights())
    x = np.random.default_rng(2).normal(size=(5, 3)).astype("float32")
    np.testing.assert_allclose(ops.convert_to_numpy(again(x)), ops.convert_to_numpy(network(x)))


@pytest.mark.parametrize("options", [{"units": ()}, {"per_input": 4}], ids=str)
def test_shapes_of_a_made_that_do_not_fit_are_refused(options):
    with pytest.raises(ValueError, match="made: expected|units"):
        made((3,), (6,), **{"units": (8,), **options})


def test_a_flow_is_invertible_and_its_log_determinant_is_that_of_its_jacobian():
    flow = Flow([random_made(3, seed=seed) for seed in range(3)])
    x = np.random.default_rng(3).normal(size=(6, 3)).astype("float32")
    u, log_determinant = flow.forward(ops.convert_to_tensor(x))
    np.testing.assert_allclose(ops.convert_to_numpy(flow.inverse(u)), x, atol=1e-5)
    rows = [
        engine.input_gradient(lambda x, d=d: flow.forward(x)[0][:, d], ops.convert_to_tensor(x))
        for d in range(3)
    ]
    jacobian = np.stack([ops.convert_to_numpy(row) for row in rows], axis=1)
    _, expected = np.linalg.slogdet(jacobian)
    np.testing.assert_allclose(ops.convert_to_numpy(log_determinant), expected, atol=1e-4)


@pytest.mark.one_backend
@pytest.mark.many_steps
@pytest.mark.parametrize(
    "prior, within",
    [
        (priors.GaussianMixture(1), 0.01),
        (priors.MAF(2, units=(32,), epochs=20, learning_rate=3e-3), 0.05),
        (priors.TwoStageVAE(units=(64,), epochs=100, learning_rate=3e-3), 0.05),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_prior_finds_the_density_of_its_codes(prior, within):
    """`KL(truth || prior)`, estimated on other draws of the truth, and the moments of samples."""
    prior.fit(Codes(), drawn())
    held_out = TRUTH.rvs(2000, random_state=1)
    gap = np.mean(TRUTH.logpdf(held_out) - prior.log_prob(held_out))
    assert -0.05 < gap < within
    x = prior.sample(4000, seed=0)
    assert x.shape == (4000, 3) and x.dtype == "float32"
    np.testing.assert_allclose(x.mean(0), 2 * MEAN, atol=0.2)
    np.testing.assert_allclose(np.cov(x.T), 4 * COVARIANCE, atol=0.5)
    np.testing.assert_array_equal(x, prior.sample(4000, seed=0))
    assert not np.array_equal(x, prior.sample(4000, seed=1))


def test_the_mixture_is_fitted_to_samples_of_the_posteriors_not_to_their_means():
    prior = priors.GaussianMixture(1).fit(Codes(deviation=2.0), drawn())
    codes = prior.sample_codes(20_000, seed=0)
    np.testing.assert_allclose(np.cov(codes.T), COVARIANCE + 4.0 * np.eye(3), atol=0.3)


def test_the_standard_normal_is_scipys():
    prior = priors.StandardNormal().fit(Codes(), drawn(50))
    z = np.random.default_rng(4).normal(size=(5, 3))
    np.testing.assert_allclose(prior.log_prob(z), stats.norm.logpdf(z).sum(1), rtol=1e-5)
    assert abs(prior.sample(20_000, seed=0).std() - 2.0) < 0.05


def test_a_place_is_told_by_the_places_before_it_row_by_row():
    network = pixel_cnn((4, 5, 2), (4, 5, 3), width=6, blocks=2)
    rng = np.random.default_rng(5)
    network.set_weights([0.5 * rng.normal(size=w.shape) for w in network.get_weights()])
    x = rng.normal(size=(1, 4, 5, 2)).astype("float32")
    before = ops.convert_to_numpy(network(x))
    seen = np.zeros((20, 20), bool)
    for place in range(20):
        moved = x.copy()
        moved[0, place // 5, place % 5] += 1.0
        change = np.abs(ops.convert_to_numpy(network(moved)) - before).max(-1)
        seen[place] = change.reshape(-1) > 1e-6
    assert not seen[np.tril_indices(20)].any()
    assert all(seen[place, place + 1] for place in range(19) if place % 5 < 4)
    assert all(seen[place, place + 5] for place in range(15))


STAY, CHAIN = 0.7, 3  # the next code is the last one, or one of the two others


class Indices(GridCodes, GenerativeModel):
    """A quantized model whose data are its codes."""

    codebook_size = CHAIN

    def __init__(self, levels=1):
        super().__init__()
        self.codes_a_place = levels

    def codes(self, x):
        return ops.cast(ops.convert_to_tensor(x), "int32")

    def decode_codes(self, indices):
        return 2.0 * ops.cast(ops.convert_to_tensor(indices), "float32")


def chain(count, shape, seed):
    rng = np.random.default_rng(seed)
    places = [rng.integers(0, CHAIN, count)]
    for _ in range(int(np.prod(shape)) - 1):
        other = (places[-1] + rng.integers(1, CHAIN, count)) % CHAIN
        places.append(np.where(rng.random(count) < STAY, places[-1], other))
    return np.stack(places, 1).reshape(count, *shape)


def chain_nats(codes):
    flat = codes.reshape(len(codes), -1)
    stays = flat[:, 1:] == flat[:, :-1]
    each = np.where(stays, np.log(STAY), np.log((1 - STAY) / (CHAIN - 1)))
    return each.sum(1) - np.log(CHAIN)


@pytest.mark.one_backend
@pytest.mark.many_steps
@pytest.mark.parametrize("shape", [(1, 6), (1, 3, 2)], ids=["codes", "levels of codes"])
def test_a_pixel_cnn_finds_the_probabilities_of_indices(shape):
    """A chain along a row: `KL(truth || prior)` on other draws, and how often a code stays."""
    prior = priors.PixelCNN(width=16, blocks=1, epochs=15, learning_rate=3e-3)
    levels = shape[2] if len(shape) == 3 else 1
    prior.fit(Indices(levels), chain(4000, shape, seed=0))
    held_out = chain(2000, shape, seed=1)
    gap = np.mean(chain_nats(held_out) - prior.log_prob(held_out))
    assert -0.01 < gap < 0.05
    codes = prior.sample_codes(3000, seed=0)
    assert codes.shape == (3000, *shape) and codes.dtype == "int32"
    flat = codes.reshape(3000, 6)
    assert (flat[:, 1:] == flat[:, :-1]).mean() == pytest.approx(STAY, abs=0.03)
    np.testing.assert_array_equal(prior.sample(3000, seed=0), 2.0 * codes)


@pytest.mark.one_backend
@pytest.mark.many_steps
def test_a_pixel_cnn_is_told_which_level_a_code_is_of():
    """Only the second level of a place follows the first: far from an edge, the place tells which.

    With the truth known, `KL(truth || prior)` on other draws; a code may be any of `CHAIN` but for
    a second level, which is its place's first level with probability `STAY`.
    """

    def pairs(count, seed):
        rng = np.random.default_rng(seed)
        first = rng.integers(0, CHAIN, (count, 1, 12))
        other = (first + rng.integers(1, CHAIN, first.shape)) % CHAIN
        return np.stack([first, np.where(rng.random(first.shape) < STAY, first, other)], axis=-1)

    prior = priors.PixelCNN(width=8, blocks=0, epochs=8, learning_rate=1e-2)
    prior.fit(Indices(levels=2), pairs(2000, seed=0))
    held_out = pairs(1000, seed=1)
    stays = held_out[..., 0] == held_out[..., 1]
    second = np.where(stays, np.log(STAY), np.log((1 - STAY) / (CHAIN - 1)))
    truth = (second - np.log(CHAIN)).sum(axis=(1, 2))
    gap = np.mean(truth - prior.log_prob(held_out))
    assert -0.01 < gap < 0.15


@pytest.mark.parametrize("shape, levels", [((), 1), ((3,), 3), ((4,), 1), ((4, 2), 2)])
def test_a_pixel_cnn_takes_codes_of_vectors_and_of_signals(shape, levels):
    codes = np.random.default_rng(0).integers(0, CHAIN, (50, *shape))
    prior = priors.PixelCNN(width=4, blocks=0, epochs=1).fit(Indices(levels), codes)
    assert prior.sample_codes(7, seed=0).shape == (7, *shape)
    assert prior.log_prob(codes).shape == (50,)
    assert prior.grid[1] % levels == 0


@pytest.mark.parametrize("name", ["vqvae_ema", "fsq", "residual", "vqvae_signal"])
def test_a_pixel_cnn_is_fitted_to_every_family_of_indices(name):
    (case,) = named(name)
    x, _ = case.data()
    prior = priors.PixelCNN(width=4, blocks=0, epochs=1).fit(case.build(), x)
    assert prior.sample(3, seed=0).shape == (3, *x.shape[1:])


def test_fitting_leaves_the_users_random_numbers_alone():
    np.random.seed(3)
    expected = np.random.random(2)
    np.random.seed(3)
    first, state = np.random.random(), random.getstate()
    priors.MAF(1, units=(4,), epochs=1).fit(Codes(), drawn(20))
    np.testing.assert_array_equal([first, np.random.random()], expected)
    assert random.getstate() == state


@pytest.mark.parametrize("make", [priors.MAF, priors.TwoStageVAE], ids=lambda make: make.__name__)
def test_the_same_seed_fits_the_same_density(make):
    codes = [
        make(units=(4,), epochs=2, seed=seed).fit(Codes(1.0), drawn(300)).sample_codes(5, seed=0)
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(codes[0], codes[1])
    assert not np.array_equal(codes[0], codes[2])


def test_a_pixel_cnn_is_refused_a_model_without_indices():
    with pytest.raises(TypeError, match="PixelCNN is fitted to indices of codes; Codes has none"):
        priors.PixelCNN().fit(Codes(), drawn(5))


@pytest.mark.parametrize("make", list(priors.PRIORS.values()), ids=list(priors.PRIORS))
def test_a_prior_that_was_not_fitted_says_so(make):
    with pytest.raises(ValueError, match=rf"call {make.__name__}.fit\(model, x\) first"):
        make().sample(3)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="components must be an integer of at least 1; got 0"):
        priors.GaussianMixture(0)
    with pytest.raises(ValueError, match="10 normals cannot be fitted to 4 codes"):
        priors.GaussianMixture().fit(Codes(), drawn(4))
    with pytest.raises(ValueError, match="layers must be an integer of at least 1; got 0"):
        priors.MAF(0)
    with pytest.raises(ValueError, match=r"codes must be \(count, \*\(3,\)\); got \(2, 4\)"):
        priors.StandardNormal().fit(Codes(), drawn(5)).log_prob(np.zeros((2, 4)))
    gan = GAN(mlp((2,), (3,)), mlp((3,), (1,)), latent_dim=2)
    with pytest.raises(TypeError, match="is fitted to codes; GAN has none"):
        priors.StandardNormal().fit(gan, drawn(5))

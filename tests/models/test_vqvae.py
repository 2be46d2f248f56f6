"""The vector-quantized autoencoder against NumPy: nearest codes, gradients, moving averages."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats
from toys import constant, linear, number, numpy

from keras_gen.models import VQVAE
from keras_gen.models.autoencoders import quantizers

RNG = np.random.default_rng(0)
CODES = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]], "float32")


def identity(codes=CODES, **options):
    """A model of vectors whose networks hand them on."""
    size, dim = codes.shape
    eye = linear(np.eye(dim), np.zeros(dim)), linear(np.eye(dim), np.zeros(dim))
    model = VQVAE(*eye, embedding_dim=dim, codebook_size=size, **options)
    model.codebook.codes.assign(codes)
    if model.update == "ema":
        model.codebook.sums.assign(codes)
    return model


def near(codes, places, spread=0.1):
    """Vectors around codes, and the codes they are nearest to."""
    return (codes[places] + RNG.normal(0, spread, (len(places), codes.shape[1]))).astype("float32")


# -- Pure functions -------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_the_nearest_code_is_numpys(offset):
    vectors, codes = RNG.normal(size=(5, 3, 4, 6)), RNG.normal(size=(17, 6))
    distances = ((vectors[..., None, :] - codes) ** 2).sum(-1)
    inputs = [ops.convert_to_tensor(part + offset, "float32") for part in (vectors, codes)]
    found = numpy(quantizers.nearest_code(*inputs))
    assert found.dtype == "int32"
    np.testing.assert_array_equal(found, distances.argmin(-1))


def test_perplexity_and_usage():
    def both(counts):
        counts = ops.convert_to_tensor(counts, "float32")
        return number(quantizers.perplexity(counts)), number(quantizers.usage(counts))

    assert both([5.0] * 12) == pytest.approx((12, 1), rel=1e-5)
    assert both([0, 0, 7, 0]) == pytest.approx((1, 0.25), rel=1e-5)
    counts = RNG.integers(1, 50, 30)
    expected = np.exp(stats.entropy(counts)), 1
    assert both(counts) == pytest.approx(expected, rel=1e-5)


def test_counts_and_sums_by_code():
    indices = RNG.integers(0, 6, (4, 5)).astype("int32")
    counts = numpy(quantizers.counts_by_code(ops.convert_to_tensor(indices), 8))
    np.testing.assert_array_equal(counts, np.bincount(indices.ravel(), minlength=8))
    values = RNG.normal(size=(20, 3)).astype("float32")
    flat = indices.ravel()
    sums = quantizers.sums_by_code(ops.convert_to_tensor(values), ops.convert_to_tensor(flat), 8)
    expected = [values[flat == code].sum(0) for code in range(8)]
    np.testing.assert_allclose(numpy(sums), expected, rtol=1e-5, atol=1e-6)


def test_codes_are_drawn_as_often_as_the_counts_say():
    uniform = ((np.arange(1000) + 0.5) / 1000).reshape(10, 100).astype("float32")
    counts = ops.convert_to_tensor([0.0, 30.0, 0.0, 10.0, 60.0, 0.0], "float32")
    drawn = numpy(quantizers.draw_codes(ops.convert_to_tensor(uniform), counts))
    assert drawn.shape == (10, 100)
    np.testing.assert_array_equal(np.bincount(drawn.ravel()), [0, 300, 0, 100, 600])


# -- The objective --------------------------------------------------------------------------------


@pytest.mark.parametrize("update", ["ema", "loss"])
def test_the_terms_by_hand(update):
    model = identity(update=update, beta=0.3)
    x = np.array([[0.5, 0.0], [2.0, 1.0], [0.0, 2.0], [0.1, 0.2]], "float32")
    q = CODES[[0, 1, 2, 0]]
    error = ((x - q) ** 2).sum(1).mean()  # the decoder hands q on, the grid has one place
    loss, terms = model.objective(ops.convert_to_tensor(x), None, None, training=False)
    expected = {
        "reconstruction": error,
        "commitment": error,
        "perplexity": np.exp(stats.entropy([0.5, 0.25, 0.25])),
        "usage": 1.0,
    }
    total = error + 0.3 * error
    if update == "loss":
        expected["codebook"] = error
        total += error
    assert {name: number(term) for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)
    assert number(loss) == pytest.approx(total, rel=1e-5)


def test_bernoulli_reconstruction_is_minus_the_log_mass_and_shows_probabilities():
    logits = np.array([-2.0, 0.0, 3.0])
    options = {"embedding_dim": 1, "codebook_size": 1, "reconstruction": "bernoulli"}
    model = VQVAE(constant(3, [0.0]), constant(1, logits), **options)
    x = np.array([[0, 1, 1], [1, 0, 1]], "float32")
    _, terms = model.objective(ops.convert_to_tensor(x), None, None, training=False)
    probabilities = 1 / (1 + np.exp(-logits))
    expected = -stats.bernoulli.logpmf(x, probabilities).sum(1).mean()
    assert number(terms["reconstruction"]) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(numpy(model(x))[1], probabilities, rtol=1e-5)


@pytest.mark.parametrize("update", ["ema", "loss"])
def test_the_encoder_is_given_the_decoders_gradient_at_the_codes(update):
    """Equation 3 on two linear networks, differentiated by hand."""
    rng = np.random.default_rng(1)
    a, c = rng.normal(size=(4, 2)), rng.normal(size=2)
    b, d = rng.normal(size=(2, 4)), rng.normal(size=4)
    options = {"embedding_dim": 2, "codebook_size": 3, "revive_after": None}
    model = VQVAE(linear(a, c), linear(b, d), update=update, beta=0.7, **options)
    model.codebook.codes.assign(CODES)
    x = rng.normal(size=(6, 4)).astype("float32")
    z = x @ a + c
    chosen = ((z[:, None] - CODES) ** 2).sum(-1).argmin(1)
    q = CODES[chosen]
    of_output = 2 * (q @ b + d - x) / len(x)
    of_z = of_output @ b.T + 0.7 * 2 * (z - q) / len(x)
    rate = 0.1
    model.compile(keras.optimizers.SGD(rate))
    model.train_step(x)
    for weights, expected in (
        (model.encoder, (a - rate * x.T @ of_z, c - rate * of_z.sum(0))),
        (model.decoder, (b - rate * q.T @ of_output, d - rate * of_output.sum(0))),
    ):
        for found, wanted in zip(weights.get_weights(), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    if update == "loss":
        codes = CODES.copy()
        for code in range(3):
            codes[code] -= rate * 2 * (q - z)[chosen == code].sum(0) / len(x)
        np.testing.assert_allclose(numpy(model.codebook.codes), codes, rtol=1e-4, atol=1e-5)


# -- The codebook ---------------------------------------------------------------------------------


def test_a_codebook_of_moving_averages_is_not_trainable():
    def owned(model, variables):
        return any(model.codebook.codes is variable for variable in variables)

    averaged, trained = identity(update="ema"), identity(update="loss")
    assert owned(averaged, averaged.non_trainable_variables)
    assert not owned(averaged, averaged.trainable_variables)
    assert owned(trained, trained.trainable_variables)


def test_two_steps_of_the_papers_moving_averages():
    model = identity(decay=0.8, revive_after=None)
    model.compile(keras.optimizers.SGD(0.0))
    counts, sums, codes = np.ones(3), CODES.copy(), CODES.copy()
    for places in ([0, 0, 0, 1, 1], [0, 1, 1, 1, 1]):  # nothing near the third code
        x = near(CODES, places)
        model.train_step(x)
        chosen = ((x[:, None] - codes) ** 2).sum(-1).argmin(1)
        np.testing.assert_array_equal(chosen, places)
        counts = 0.8 * counts + 0.2 * np.bincount(chosen, minlength=3)
        sums = 0.8 * sums + 0.2 * np.array([x[chosen == code].sum(0) for code in range(3)])
        smoothed = (counts + 1e-5) / (counts.sum() + 3e-5) * counts.sum()
        codes = sums / smoothed[:, None]
        np.testing.assert_allclose(numpy(model.codebook.codes), codes, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(numpy(model.codebook.counts), counts, rtol=1e-5)


@pytest.mark.parametrize("update", ["ema", "loss"])
def test_dead_codes_move_to_vectors_of_the_batch_and_live_ones_stay(update):
    codes = np.array([[0, 0], [2, 0], [50, 50], [60, 60]], "float32")
    model = identity(codes, update=update, decay=0.9, revive_after=3)
    model.compile(keras.optimizers.SGD(0.0))
    model.codebook.idle.assign([0, 0, 0, 0])
    places = [0, 0, 1, 1, 0, 1]
    for _ in range(2):
        model.train_step(codes[places])  # exactly on the live codes: their averages stay
        np.testing.assert_allclose(numpy(model.codebook.codes), codes, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(numpy(model.codebook.idle), [0, 0, 2, 2])
    x = near(codes, places)
    x[:, 0] += 0.01 * np.arange(6)
    model.train_step(x)
    found = numpy(model.codebook.codes)
    np.testing.assert_allclose(found[:2], codes[:2], atol=0.3)
    sources = [np.flatnonzero((x == code).all(1)) for code in found]
    assert [len(source) for source in sources] == [0, 0, 1, 1]
    assert sources[2] != sources[3]
    np.testing.assert_array_equal(numpy(model.codebook.idle), [0, 0, 0, 0])
    if update == "ema":
        np.testing.assert_array_equal(numpy(model.codebook.sums)[2:], found[2:])
        np.testing.assert_array_equal(numpy(model.codebook.counts)[2:], [1, 1])


def test_the_first_batch_places_the_codes_it_does_not_choose():
    codes = np.full((4, 2), 90.0, "float32") + np.arange(4, dtype="float32")[:, None]
    model = identity(codes, update="loss")
    model.compile(keras.optimizers.SGD(0.0))
    x = RNG.normal(size=(9, 2)).astype("float32")
    model.train_step(x)
    found = numpy(model.codebook.codes)
    np.testing.assert_array_equal(found[0], codes[0])  # the nearest of them all
    places = {int(np.flatnonzero((x == code).all(1))[0]) for code in found[1:]}
    assert len(places) == 3


def test_where_codes_revive_is_random():
    x = RNG.normal(size=(64, 2)).astype("float32")
    found = []
    for seed in (0, 1, 1):
        model = identity(seed=seed)
        model.compile(keras.optimizers.SGD(0.0))
        model.codebook.codes.assign(np.zeros((3, 2)) + [[0], [90], [90]])
        model.train_step(x)
        found.append(numpy(model.codebook.codes)[1:])
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[1], found[2])


# -- Codes ----------------------------------------------------------------------------------------


def test_codes_encode_decode_and_call_agree():
    model = identity()
    x = near(CODES, [2, 0, 1, 1])
    indices = numpy(model.codes(x))
    assert indices.dtype == "int32"
    np.testing.assert_array_equal(indices, [2, 0, 1, 1])
    mean, deviation = (numpy(part) for part in model.encode(x))
    np.testing.assert_array_equal(mean, CODES[indices])
    np.testing.assert_array_equal(deviation, np.zeros_like(mean))
    np.testing.assert_allclose(numpy(model(x)), CODES[indices], atol=1e-6)
    np.testing.assert_allclose(numpy(model.decode_codes(indices)), CODES[indices], atol=1e-6)
    for wrong, got in (([0, 3], "3"), ([-1], "-1"), ([0.5], "float64")):
        with pytest.raises(ValueError, match=f"indices: expected integers from 0 to 2; got {got}"):
            model.decode_codes(np.array(wrong))


def test_samples_use_codes_as_often_as_training_did():
    model = identity()
    model.codebook.counts.assign([1.0, 0.0, 3.0])
    samples = numpy(model.sample(4000, seed=0))
    shares = [(samples == code).all(1).mean() for code in CODES]
    assert shares[1] == 0
    assert stats.binomtest(int(4000 * shares[2]), 4000, 0.75).pvalue > 0.01
    assert sum(shares) == 1


def test_the_grid_of_a_config():
    assert VQVAE.sockets((28, 28, 1), embedding_dim=16, downsampling=4, beta=1.0) == {
        "encoder": ((28, 28, 1), (7, 7, 16)),
        "decoder": ((7, 7, 16), (28, 28, 1)),
    }
    assert VQVAE.sockets((60, 2), downsampling=4)["encoder"] == ((60, 2), (15, 64))
    with pytest.raises(ValueError, match=r"downsampling: expected a divisor .* \(28, 30\); got 4"):
        VQVAE.sockets((28, 30, 1))


def test_callbacks_know_that_more_codes_are_better():
    model = identity()
    for term, mode in (("perplexity", "max"), ("val_usage", "max"), ("commitment", "min")):
        callback = keras.callbacks.EarlyStopping(term)
        callback.mode = "auto"
        assert model._directed(callback).mode == mode


@pytest.mark.parametrize(
    "options, message",
    [
        ({"codebook_size": 0}, "codebook_size must be an integer of at least 1; got 0"),
        ({"codebook_size": 2.0}, "codebook_size must be an integer of at least 1; got 2.0"),
        ({"embedding_dim": 3}, r"embedding_dim: expected .* outputs end in 3; got \(2,\)"),
        ({"decoder": linear(np.eye(3), np.zeros(3))}, r"decoder: expected .* \(2,\),.* \(3,\)"),
        ({"beta": -0.1}, "beta must not be negative; got -0.1"),
        ({"update": "sgd"}, "update must be one of 'ema', 'loss'; got 'sgd'"),
        ({"decay": 1.0}, r"decay must be in \[0, 1\); got 1.0"),
        ({"revive_after": 0}, "revive_after must be an integer of at least 1; got 0"),
        ({"reconstruction": "l2"}, "reconstruction must be one of 'squared_error', 'bern"),
    ],
)
def test_what_is_refused(options, message):
    networks = {name: linear(np.eye(2), np.zeros(2)) for name in ("encoder", "decoder")}
    with pytest.raises(ValueError, match=message):
        VQVAE(**{**networks, "embedding_dim": 2, "codebook_size": 4, **options})

"""Finite scalar quantization against the paper's code and its arithmetic by hand."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats
from toys import linear, number, numpy

from keras_gen.models import FSQ
from keras_gen.models.autoencoders import fsq

LEVELS = [(3, 5, 4), (8, 5, 5, 5), (2, 2, 2), (7,), (6, 3)]


def rounded(z, levels):
    bounded = fsq.bound(ops.convert_to_tensor(z, "float32"), levels)
    return numpy(bounded), numpy(ops.round(bounded))


def test_the_papers_example():
    """The example of the authors' own notebook: levels 3, 5, 4."""
    levels = (3, 5, 4)
    bounded = fsq.bound(ops.convert_to_tensor([[0.25, 0.6, -7.0]]), levels)
    index = fsq.to_indices(bounded, levels)
    assert numpy(index).tolist() == [1 * 1 + 3 * 3 + 0 * 15]
    np.testing.assert_allclose(numpy(fsq.from_indices(index, levels)), [[0.0, 0.5, -1.0]])


@pytest.mark.parametrize("level", range(2, 10))
def test_a_number_takes_its_levels_odd_or_even(level):
    """Odd: 0 and as many on either side. Even: one more below 0 (section 3.1)."""
    z = np.linspace(-9, 9, 2001)[:, None]
    bounded, integers = rounded(z, (level,))
    lowest = -(level // 2)
    np.testing.assert_array_equal(np.unique(integers), np.arange(lowest, lowest + level))
    half = (level - 1) * (1 - 1e-3) / 2
    offset = 0.0 if level % 2 else 0.5
    expected = np.tanh(z + np.tan(offset / half)) * half - offset
    np.testing.assert_allclose(bounded, expected, rtol=1e-4, atol=1e-5)
    indices = ops.convert_to_tensor(np.arange(level, dtype="int32"))
    codes = numpy(fsq.from_indices(indices, (level,)))
    np.testing.assert_allclose(codes[:, 0], np.arange(lowest, lowest + level) / (level // 2))
    assert codes.min() == -1 and codes.max() <= 1
    assert (rounded(np.zeros((1, 1)), (level,))[1] == 0).all()


@pytest.mark.parametrize("levels", LEVELS)
def test_indices_and_codes_are_one_to_one(levels):
    size = int(np.prod(levels))
    indices = np.arange(size, dtype="int32").reshape(1, -1)
    codes = fsq.from_indices(ops.convert_to_tensor(indices), levels)
    shown = numpy(codes).reshape(size, -1)
    assert len(np.unique(shown, axis=0)) == size
    back = numpy(fsq.to_indices(codes * fsq.half_widths(levels), levels))
    assert back.dtype == "int32"
    np.testing.assert_array_equal(back, indices)
    # The first number is the lowest digit.
    digits = np.stack(np.unravel_index(indices[0], levels, order="F"), axis=-1)
    halves = np.array(levels) // 2
    np.testing.assert_allclose(shown, (digits - halves) / halves, atol=1e-6)


def small(levels=(5, 4), seed=0, **options):
    rng = np.random.default_rng(seed)
    dims = len(levels)
    a, c = rng.normal(size=(3, dims)), rng.normal(size=dims)
    b, d = rng.normal(size=(dims, 3)), rng.normal(size=3)
    return FSQ(linear(a, c), linear(b, d), levels=levels, **options), (a, c, b, d)


def by_hand(z, levels):
    """`f` and `q` of vectors, and `dq / dz` as if nothing were rounded."""
    levels = np.array(levels)
    half = (levels - 1) * 0.999 / 2
    offset = np.where(levels % 2 == 0, 0.5, 0.0)
    tanh = np.tanh(z + np.tan(offset / half))
    q = np.round(tanh * half - offset) / (levels // 2)
    return q, half * (1 - tanh**2) / (levels // 2)


def test_a_step_goes_straight_through_the_rounding():
    model, (a, c, b, d) = small()
    x = np.random.default_rng(1).normal(size=(7, 3)).astype("float32")
    q, slope = by_hand(x @ a + c, (5, 4))
    output = q @ b + d
    of_output = 2 * (output - x) / len(x)
    of_z = of_output @ b.T * slope
    loss, terms = model.objective(ops.convert_to_tensor(x), None, None, training=False)
    assert number(loss) == pytest.approx(((x - output) ** 2).sum(1).mean(), rel=1e-4)
    assert set(terms) == {"perplexity", "usage"}  # no auxiliary loss
    model.compile(keras.optimizers.SGD(0.1))
    model.train_step(x)
    expected = a - 0.1 * x.T @ of_z, c - 0.1 * of_z.sum(0)
    for found, wanted in zip(model.encoder.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    found = model.decoder.get_weights()[0]
    np.testing.assert_allclose(found, b - 0.1 * q.T @ of_output, rtol=1e-4, atol=1e-5)


def test_codes_encode_decode_and_call_agree():
    model, (a, c, b, d) = small()
    x = np.random.default_rng(2).normal(size=(9, 3)).astype("float32")
    q, _ = by_hand(x @ a + c, (5, 4))
    indices = numpy(model.codes(x))
    assert indices.shape == (9,) and indices.max() < 20
    mean, deviation = (numpy(part) for part in model.encode(x))
    np.testing.assert_allclose(mean, q, atol=1e-6)
    np.testing.assert_array_equal(deviation, 0 * q)
    np.testing.assert_allclose(numpy(model.decode_codes(indices)), q @ b + d, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(numpy(model(x)), q @ b + d, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="indices: expected integers from 0 to 19; got 20"):
        model.decode_codes(np.array([0, 20]))


def test_counts_perplexity_and_samples_follow_the_codes():
    model, (a, c, b, d) = small()
    model.compile(keras.optimizers.SGD(0.0))
    x = np.random.default_rng(3).normal(size=(30, 3)).astype("float32")
    chosen = np.bincount(numpy(model.codes(x)), minlength=20)
    logs = {term: number(value) for term, value in model.train_step(x).items()}
    assert logs["perplexity"] == pytest.approx(np.exp(stats.entropy(chosen)), rel=1e-4)
    assert logs["usage"] == pytest.approx((chosen > 0).mean(), rel=1e-5)
    np.testing.assert_allclose(numpy(model.counts), 0.99 + 0.01 * chosen, rtol=1e-5)
    only = np.zeros(20)
    only[13] = 2.0
    model.counts.assign(only)
    expected = numpy(fsq.from_indices(ops.convert_to_tensor([13], "int32"), (5, 4))) @ b + d
    np.testing.assert_allclose(numpy(model.sample(3)), np.tile(expected, (3, 1)), rtol=1e-4)
    shares = np.full(20, 1.0)
    shares[:10] = 3.0
    model.counts.assign(shares)
    samples = numpy(model.sample(4000, seed=1))
    indices = ops.convert_to_tensor(np.arange(20, dtype="int32"))
    everything = numpy(fsq.from_indices(indices, (5, 4)))
    drawn = ((samples[:, None] - (everything @ b + d)) ** 2).sum(-1).argmin(1)
    assert stats.chisquare(np.bincount(drawn, minlength=20), shares / shares.sum() * 4000)[1] > 0.01


def test_sockets_and_the_number_of_codes():
    assert FSQ.sockets((28, 28, 1), levels=[8, 5, 5, 5], downsampling=2)["encoder"] == (
        (28, 28, 1),
        (14, 14, 4),
    )
    assert small((8, 5, 5, 5))[0].codebook_size == 1000


@pytest.mark.parametrize(
    "levels, message",
    [
        ((5, 1), "levels must be an integer of at least 2; got 1"),
        ((5, 4.0), "levels must be an integer of at least 2; got 4.0"),
        ((), r"levels must be one integer or more; got \(\)"),
        ((5, 4, 3), r"levels: expected an encoder whose outputs end in 3; got \(2,\)"),
        ((5000, 5000), "levels must make 16777216 codes at most; got 25000000"),
    ],
)
def test_what_is_refused(levels, message):
    networks = [linear(np.eye(2), np.zeros(2)) for _ in range(2)]
    with pytest.raises(ValueError, match=message):
        FSQ(*networks, levels=levels)

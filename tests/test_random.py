"""Random streams against Random123's known answers and an independent unsigned NumPy version."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_gen.random import Stream, below, threefry_2x32, to_open_unit_interval


def words_of(pair):
    return [
        int(word) & 0xFFFFFFFF for word in np.concatenate([ops.convert_to_numpy(w) for w in pair])
    ]


def as_int32(word):
    return np.array([word], "uint32").view("int32")


@pytest.mark.parametrize(
    "counter, key, expected",
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers_of_random123(counter, key, expected):
    """Random123 1.14, tests/kat_vectors, threefry2x32 with 20 rounds."""
    words = threefry_2x32(key, tuple(ops.convert_to_tensor(as_int32(c)) for c in counter))
    assert words_of(words) == list(expected)


def numpy_threefry(key, counter):
    """The same function in unsigned NumPy, from the paper, for comparison."""
    k0, k1 = np.uint32(key[0]), np.uint32(key[1])
    schedule = [k0, k1, np.uint32(0x1BD11BDA) ^ k0 ^ k1]
    rotations = [13, 15, 26, 6, 17, 29, 16, 24]
    with np.errstate(over="ignore"):
        x0, x1 = counter[0] + schedule[0], counter[1] + schedule[1]
        for i in range(20):
            x0 = x0 + x1
            r = np.uint32(rotations[i % 8])
            x1 = ((x1 << r) | (x1 >> np.uint32(32 - r))) ^ x0
            if i % 4 == 3:
                s = i // 4 + 1
                x0 = x0 + schedule[s % 3]
                x1 = x1 + schedule[(s + 1) % 3] + np.uint32(s)
    return x0, x1


def numpy_words(seed, call, size):
    elements = np.arange((size + 1) // 2, dtype="uint32")
    key = (seed & 0xFFFFFFFF, seed >> 32)
    return numpy_threefry(key, (elements, np.full_like(elements, call)))


@pytest.mark.parametrize("seed", [0, 1, 2**40 + 12345])
def test_a_stream_is_threefry_of_element_and_call(seed):
    stream = Stream(seed)
    for call, shape in enumerate([(7,), (3, 4), (5, 1, 3)]):
        expected = np.concatenate(numpy_words(seed, call, int(np.prod(shape))))
        words = ops.convert_to_numpy(stream.words(shape))
        np.testing.assert_array_equal(words.view("uint32").ravel(), expected[: int(np.prod(shape))])
        assert words.shape == shape


def test_uniforms_and_integers_bit_for_bit_and_normals_within_a_millionth():
    """What these equal on one backend they equal on each: hence the same numbers everywhere."""
    n = 10_001
    stream = Stream(42)
    uniform = ops.convert_to_numpy(stream.uniform((n,)))
    integers = ops.convert_to_numpy(stream.integers((n,), 10))
    normal = ops.convert_to_numpy(stream.normal((n,)))

    def exact(call):
        return [
            ((w >> np.uint32(9)).astype("float64") + 0.5) / 2**23 for w in numpy_words(42, call, n)
        ]

    np.testing.assert_array_equal(uniform, np.concatenate(exact(0))[:n].astype("float32"))
    np.testing.assert_array_equal(integers, np.floor(np.concatenate(exact(1))[:n] * 10))
    u1, u2 = exact(2)
    radius, angle = np.sqrt(-2 * np.log(u1)), 2 * np.pi * u2
    expected = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:n]
    np.testing.assert_allclose(normal, expected, atol=2e-6)
    assert normal.dtype == uniform.dtype == "float32" and integers.dtype == "int32"


@pytest.mark.parametrize("threshold, within", [(0.04, 1e-7), (1.0, 1e-6), (2.0, 2e-6), (3.0, 1e-5)])
def test_truncated_normals_are_scipys_of_the_same_uniform_numbers(threshold, within):
    n = 20_001
    uniform = ops.convert_to_numpy(Stream(11).uniform((n,))).astype("float64")
    expected = stats.truncnorm.ppf(uniform, -threshold, threshold)
    normal = ops.convert_to_numpy(Stream(11).truncated_normal((n,), threshold))
    assert normal.dtype == "float32" and np.abs(normal).max() <= threshold
    np.testing.assert_allclose(normal, expected, rtol=0, atol=within)


@pytest.mark.parametrize("threshold", [1e-3, 0.04, 2.0, 6.0])
def test_the_extreme_words_stay_within_the_threshold(threshold, monkeypatch):
    stream = Stream(0)
    words = ops.convert_to_tensor(np.array([2**31 - 1, -(2**31), -1], "int32"))
    monkeypatch.setattr(stream, "words", lambda shape: words)
    normal = ops.convert_to_numpy(stream.truncated_normal((3,), threshold)).astype("float64")
    assert (np.abs(normal) <= np.float32(threshold)).all()
    assert normal[2] == pytest.approx(
        stats.truncnorm.ppf(1 - 2.0**-24, -threshold, threshold), 2e-3
    )


def test_a_threshold_below_zero_is_refused():
    with pytest.raises(ValueError, match="threshold must be more than 0; got 0"):
        Stream(0).truncated_normal((2,), 0)


def test_the_extreme_words_stay_inside_the_open_interval_and_below_the_bound():
    words = ops.convert_to_tensor(np.array([0, -1, 2**31 - 1, -(2**31)], "int32"))
    uniform = ops.convert_to_numpy(to_open_unit_interval(words)).astype("float64")
    assert uniform.min() == 2.0**-24 and uniform.max() == 1 - 2.0**-24
    for high in (1, 2, 10, 2**23):
        integers = ops.convert_to_numpy(below(words, high))
        assert integers.min() == 0 and integers.max() == high - 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_no_number_of_few_bits_is_rounded_up_to_one(dtype):
    """A pixel of 1 is drawn by `u < 1`: of 65,536 numbers 128 would be 1 in bfloat16."""
    numbers = ops.cast(Stream(3).uniform((2**16,), dtype), "float32")
    numbers = ops.convert_to_numpy(numbers)
    assert 0 < numbers.min() and numbers.max() == 1 - 2.0 ** -{"float16": 11, "bfloat16": 8}[dtype]


def test_moments_and_independence_of_calls():
    stream = Stream(5)
    a, b = (ops.convert_to_numpy(stream.normal((200_000,))) for _ in range(2))
    # Standard errors: 1 / sqrt(n) = 0.0022 for the mean, sqrt(2 / n) for the variance.
    assert abs(a.mean()) < 0.01 and abs(a.var() - 1) < 0.02
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.01
    assert abs(np.corrcoef(a[:100_000], a[100_000:])[0, 1]) < 0.015


def test_the_counter_is_the_whole_position():
    counter = keras.Variable(0, dtype="int32", trainable=False)
    first = Stream(9, counter=counter)
    first.normal((4,))
    expected = ops.convert_to_numpy(first.normal((4,)))
    counter.assign(1)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(Stream(9, counter=counter).normal((4,))), expected
    )


def test_domains_and_seeds_keep_streams_apart():
    draws = [
        ops.convert_to_numpy(stream.words((100,)))
        for stream in (Stream(1), Stream(1, domain=1), Stream(1, domain=2), Stream(2))
    ]
    for i, a in enumerate(draws):
        for b in draws[:i]:
            assert (a != b).mean() > 0.98


@pytest.mark.parametrize("high", [0, -1, 2**23 + 1, 2.5])
def test_an_impossible_bound_is_refused(high):
    with pytest.raises(ValueError, match="2\\^23"):
        Stream(0).integers((2,), high)


def test_a_seed_that_is_no_integer_is_refused():
    with pytest.raises(TypeError, match="seed must be an integer; got 'x'"):
        Stream("x")


def test_a_key_of_tensors_is_that_key():
    """A key that a program is given, so that another seed does not compile it anew."""
    counter = [ops.arange(5, dtype="int32"), ops.arange(5, 10, dtype="int32")]
    words = (0x13198A2E, 0x7FFFFFFF)
    expected = threefry_2x32(words, counter)
    got = threefry_2x32([ops.convert_to_tensor(w, dtype="int32") for w in words], counter)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))

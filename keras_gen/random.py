"""Counter-based random streams: same seed, same numbers, on every backend.

Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3",
section 3.3), written in int32 `keras.ops`: wrap-around adds, xor, rotations. A draw is a pure
function of (seed, call, element): it traces, it can be saved as one integer, and it resumes.
"""

import contextlib
import math
import random

import keras
from keras import ops

from keras_gen import engine

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
KEY_PARITY = 0x1BD11BDA
BITS = {"float16": 11, "bfloat16": 8}  # of a number's significand


def _int32(word):
    """The int32 with the bits of an unsigned 32-bit Python integer."""
    word &= 0xFFFFFFFF
    return word - 2**32 if word >= 2**31 else word


def _shift_right_logical(x, bits):
    return ops.bitwise_and(ops.right_shift(x, bits), (1 << (32 - bits)) - 1)


def _rotate_left(x, bits):
    return ops.bitwise_or(ops.left_shift(x, bits), _shift_right_logical(x, 32 - bits))


def threefry_2x32(key, counter):
    """Threefry-2x32-20: two random words for each pair of counter words.

    Args:
        key: Two Python integers, read as 32-bit words, or two int32 scalar tensors.
        counter: Two int32 tensors of one shape.

    Returns:
        Two int32 tensors of that shape; every bit pattern is equally likely.

    Reference:
        Salmon et al. 2011, section 3.3; known answers from Random123's `kat_vectors`.
    """
    key = [_int32(word) if isinstance(word, int) else word for word in key]
    keys = (*key, key[0] ^ key[1] ^ KEY_PARITY)
    x0, x1 = counter[0] + keys[0], counter[1] + keys[1]
    for four_rounds in range(5):
        for bits in ROTATIONS[four_rounds % 2]:
            x0 = x0 + x1
            x1 = ops.bitwise_xor(_rotate_left(x1, bits), x0)
        x0 = x0 + keys[(four_rounds + 1) % 3]
        x1 = x1 + keys[(four_rounds + 2) % 3] + (four_rounds + 1)
    return x0, x1


def to_open_unit_interval(words):
    """Map int32 words to float32 in the open interval (0, 1): `(top 23 bits + 1/2) / 2^23`.

    Args:
        words: int32 tensor.

    Returns:
        float32 tensor of the same shape; smallest value 2^-24, largest 1 - 2^-24.
    """
    return (ops.cast(_shift_right_logical(words, 9), "float32") + 0.5) * 2.0**-23


def below(words, high):
    """Map int32 words to integers in `[0, high)`: `floor(u * high)`, never `high` itself.

    Args:
        words: int32 tensor.
        high: Exclusive bound, 1 to 2^23.

    Returns:
        int32 tensor of the same shape.
    """
    if not isinstance(high, int) or not 1 <= high <= 2**23:
        raise ValueError(f"high must be an integer from 1 to 2^23 = 8388608; got {high!r}.")
    scaled = ops.cast(ops.floor(to_open_unit_interval(words) * float(high)), "int32")
    return ops.minimum(scaled, high - 1)


def _blocks(call, key, shape):
    """Words for a shape: two tensors of `ceil(size / 2)` words, and the size."""
    size = 1
    for side in shape:
        size = size * side
    elements = ops.arange((size + 1) // 2, dtype="int32")
    return threefry_2x32(key, (elements, ops.zeros_like(elements) + call)), size


@engine.one_program
def _words(call, low, high, shape):
    blocks, size = _blocks(call, (low, high), shape)
    return ops.reshape(ops.concatenate(blocks)[:size], shape)


@engine.one_program
def _normals(call, low, high, shape):
    blocks, size = _blocks(call, (low, high), shape)
    u1, u2 = (to_open_unit_interval(block) for block in blocks)
    radius = ops.sqrt(-2.0 * ops.log(u1))
    angle = 6.283185307179586 * u2
    pairs = ops.concatenate([radius * ops.cos(angle), radius * ops.sin(angle)])
    return ops.reshape(pairs[:size], shape)


class Stream:
    """A stream of random numbers: the same for one seed, whatever the backend.

    `draw = f(threefry(key=(seed, domain), counter=(element, call)))`; each draw moves the
    stream by one call.

    Args:
        seed: Integer; its low 64 bits are used.
        domain: Small integer that keeps streams of one seed apart.
        counter: The scalar int32 `keras.Variable` that counts the calls; made where `None`.
            A model hands in its own, so that the position is saved with it.

    Reference:
        Salmon et al. 2011; Box & Muller 1958 for the normals.
    """

    def __init__(self, seed, domain=0, counter=None):
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"seed must be an integer; got {seed!r}.")
        high = ((seed >> 32) & 0xFFFFFFFF) ^ (domain * 0x9E3779B9)
        self.key = (_int32(seed), _int32(high))
        if counter is None:
            counter = keras.Variable(0, dtype="int32", trainable=False, name="random_counter")
        self.counter = counter

    def _next_call(self):
        call = self.counter.value + 0  # a copy: the counter moves on, in place on PyTorch
        self.counter.assign_add(1)
        return call

    def words(self, shape):
        """Uniform 32-bit words as int32.

        Args:
            shape: Shape of the result, a tuple.

        Returns:
            int32 tensor, every bit pattern equally likely.
        """
        return _words(self._next_call(), *self.key, shape)

    def uniform(self, shape, dtype="float32"):
        """Uniform numbers in the open interval (0, 1), 23 random bits each.

        Args:
            shape: Shape of the result, a tuple.
            dtype: Float dtype of the result; drawn in float32. In one of fewer bits no number is
                rounded up to 1.

        Returns:
            Tensor of that shape and dtype.
        """
        numbers = to_open_unit_interval(self.words(shape))
        if dtype in BITS:
            numbers = ops.minimum(numbers, 1.0 - 2.0 ** -BITS[dtype])
        return ops.cast(numbers, dtype)

    def normal(self, shape, dtype="float32"):
        """Standard normal numbers: `sqrt(-2 log u1) cos(2 pi u2)` and its sine twin.

        Args:
            shape: Shape of the result, a tuple.
            dtype: Float dtype of the result; drawn in float32.

        Returns:
            Tensor of that shape and dtype; equal on all backends within 1e-6.

        Reference:
            Box & Muller 1958.
        """
        return ops.cast(_normals(self._next_call(), *self.key, shape), dtype)

    def truncated_normal(self, shape, threshold, dtype="float32"):
        """Standard normal numbers among those of at most a threshold.

        `z = sqrt(2) erfinv((2 u - 1) erf(threshold / sqrt(2)))`, the inverse distribution
        function of uniform numbers: distributed as numbers drawn again until they lie within.

        Args:
            shape: Shape of the result, a tuple.
            threshold: More than 0: the largest absolute value. The truncation trick trades the
                variety of samples (2 and more) for their fidelity (0.04).
            dtype: Float dtype of the result; drawn in float32.

        Returns:
            Tensor of that shape and dtype, within `[-threshold, threshold]`; equal on all
            backends within 2e-6 at thresholds up to 2, and within 1e-5 at 3.

        Raises:
            ValueError: `threshold` is not above 0.

        Reference:
            Brock et al. 2019, "Large Scale GAN Training for High Fidelity Natural Image
            Synthesis", section 3.1.
        """
        if not threshold > 0:
            raise ValueError(f"threshold must be more than 0; got {threshold!r}.")
        level = (2 * self.uniform(shape) - 1) * math.erf(threshold / math.sqrt(2))
        draw = math.sqrt(2) * ops.erfinv(level)
        return ops.cast(ops.clip(draw, -threshold, threshold), dtype)

    def integers(self, shape, high):
        """Uniform integers in `[0, high)`.

        Args:
            shape: Shape of the result, a tuple.
            high: Exclusive bound, 1 to 2^23.

        Returns:
            int32 tensor of that shape.
        """
        return below(self.words(shape), high)


@contextlib.contextmanager
def seeded_weights(seed):
    """Inside it, Keras draws the same initial weights for the same seed; nothing else is seeded.

    Keras takes the seeds of initializers and dropout layers from Python's `random`. Its own
    `set_random_seed` sets NumPy's and the backends' global seeds as well, for good, and imports
    TensorFlow on every backend, which takes seconds.

    Args:
        seed: An integer.
    """
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)

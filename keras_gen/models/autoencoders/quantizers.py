"""What models with discrete codes share: nearest codes, a codebook that follows, its usage."""

import keras
import numpy as np
from keras import ops

PLACES = 2**23  # most that `Stream.integers` tells apart
EPSILON = 1e-5  # of the Laplace smoothing of counts


def nearest_code(vectors, codes):
    """Index of the code nearest to each vector: `argmin over j of |z - e_j|**2`.

    Args:
        vectors: `(..., dim)`.
        codes: `(size, dim)`.

    Returns:
        int32 `(...)` in `[0, size)`.

    Reference:
        van den Oord et al. 2017, equation 1.
    """
    vectors, codes = (ops.cast(ops.stop_gradient(part), "float32") for part in (vectors, codes))
    # |z|**2 is the same for all codes. Distances know no origin, but their rounding does.
    origin = ops.mean(codes, axis=0)
    vectors, codes = vectors - origin, codes - origin
    flat = ops.reshape(vectors, (-1, codes.shape[-1]))
    halves = 0.5 * ops.sum(ops.square(codes), axis=-1)
    indices = ops.argmin(halves - ops.matmul(flat, ops.transpose(codes)), axis=-1)
    return ops.reshape(ops.cast(indices, "int32"), ops.shape(vectors)[:-1])


def straight_through(z, quantized):
    """`z + stop_gradient(quantized - z)`: the value is quantized, the gradient is that of z.

    Reference:
        Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons".
    """
    return z + ops.stop_gradient(quantized - z)


def sums_by_code(values, indices, size):
    """Sums of the values that share an index: `(n, ...)` and int `(n,)` to `(size, ...)`."""
    zeros = ops.zeros((size, *values.shape[1:]), values.dtype)
    return ops.scatter_update(zeros, indices[:, None], values, reduction="add")


def counts_by_code(indices, size):
    """How often each index occurs in int `(...)`: float32 `(size,)`."""
    indices = ops.reshape(indices, (-1,))
    return sums_by_code(ops.ones_like(indices, "float32"), indices, size)


def perplexity(counts):
    """How many codes, used evenly, would be as hard to guess: `exp(-sum(p * log(p)))`.

    Args:
        counts: float32 `(size,)`, not all zero.

    Returns:
        A scalar from 1 (one code) to `size` (all alike).
    """
    shares = counts / ops.sum(counts)
    return ops.exp(-ops.sum(shares * ops.log(ops.maximum(shares, 1e-30))))


def usage(counts):
    """Share of the codes that occur at all, in [0, 1]."""
    return ops.mean(ops.cast(counts > 0, "float32"))


def draw_codes(uniform, counts):
    """Indices that occur as often as `counts` says: `min j with uniform < (c_0 + ... + c_j) / sum`.

    Args:
        uniform: numbers in (0, 1), `(...)`.
        counts: float32 `(size,)`, not all zero.

    Returns:
        int32 `(...)` in `[0, size)`.
    """
    edges = ops.cumsum(counts / ops.sum(counts))
    indices = ops.searchsorted(edges, ops.reshape(uniform, (-1,)), side="right")
    indices = ops.minimum(ops.cast(indices, "int32"), counts.shape[0] - 1)
    return ops.reshape(indices, ops.shape(uniform))


class Codebook(keras.layers.Layer):
    """Codes, how often each is chosen, and how long it has not been.

    Moving averages (A.1): `N <- decay * N + (1 - decay) * n`,
    `m <- decay * m + (1 - decay) * (sum of the vectors that chose the code)`, `e = m / N`, with N
    smoothed: `(N + epsilon) / (sum(N) + size * epsilon) * sum(N)`.

    Revival: a code that was not chosen for `revive_after` steps moves to a vector of the batch,
    each to another. The codes start as if that were about to happen, so that those which the first
    batch does not choose start on its vectors.

    Args:
        size: Number of codes.
        dim: Size of a code.
        update: "ema": the codes are moving averages, not trainable. "loss": they are trained.
        decay: Of the moving averages, in [0, 1).
        revive_after: Train steps, or `None`: never.
        seed: Two integers, of the first codes: uniform in `[-1 / size, 1 / size]`, the same on
            every backend.
        name: Name of the layer.

    Reference:
        van den Oord et al. 2017, appendix A.1; Williams et al. 2020, "Hierarchical Quantized
        Autoencoders", and Dhariwal et al. 2020, "Jukebox", section 3.1, for the revival.
    """

    def __init__(self, size, dim, *, update="ema", decay, revive_after, seed, name="codebook"):
        super().__init__(name=name, dtype="float32")
        self.size = size
        self.update = update
        self.decay = decay
        self.revive_after = revive_after
        rng = np.random.default_rng([part % 2**64 for part in seed])
        first = rng.uniform(-1 / size, 1 / size, (size, dim))

        def weight(name, value, **options):
            options = {"dtype": "float32", "trainable": False, **options}
            variable = self.add_weight(
                shape=value.shape, initializer="zeros", autocast=False, name=name, **options
            )
            variable.assign(value.astype(variable.dtype))
            return variable

        self.codes = weight("codes", first, trainable=update == "loss")
        self.counts = weight("counts", np.ones(size))
        self.sums = weight("sums", first) if update == "ema" else None
        self.idle = None
        if revive_after is not None:
            self.idle = weight("idle", np.full(size, revive_after - 1), dtype="int32")
        self.built = True

    def nearest(self, vectors):
        """Index of the code nearest to each vector `(..., dim)`: int32 `(...)`."""
        return nearest_code(vectors, ops.convert_to_tensor(self.codes))

    def vectors(self, indices):
        """The codes of indices `(...)`: float32 `(..., dim)`."""
        return ops.take(self.codes, indices, axis=0)

    def follow(self, vectors, indices, random):
        """Let the codes follow the vectors of a train step.

        Args:
            vectors: `(..., dim)`, what was quantized.
            indices: int `(...)`, the codes that were chosen for them.
            random: int `(size,)` in `[0, PLACES)`, for the revival.
        """
        vectors = ops.reshape(ops.cast(vectors, "float32"), (-1, self.codes.shape[-1]))
        indices = ops.reshape(indices, (-1,))
        chosen = counts_by_code(indices, self.size)
        codes, sums = ops.stop_gradient(ops.convert_to_tensor(self.codes)), None
        counts = self.decay * self.counts + (1.0 - self.decay) * chosen
        if self.update == "ema":
            total = ops.sum(counts)
            smoothed = (counts + EPSILON) / (total + self.size * EPSILON) * total
            sums = sums_by_code(vectors, indices, self.size)
            sums = self.decay * self.sums + (1.0 - self.decay) * sums
            codes = sums / smoothed[:, None]
        if self.revive_after is not None:
            idle = ops.where(chosen > 0, 0, self.idle + 1)
            dead = idle >= self.revive_after
            new = ops.take(vectors, _places(random, ops.shape(vectors)[0]), axis=0)
            codes = ops.where(dead[:, None], new, codes)
            sums = None if sums is None else ops.where(dead[:, None], new, sums)
            counts = ops.where(dead, 1.0, counts)
            self.idle.assign(ops.where(dead, 0, idle))
        self.counts.assign(counts)
        self.codes.assign(codes)
        if sums is not None:
            self.sums.assign(sums)


def _places(random, count):
    """A place in `[0, count)` for each code, no two alike where there are as many places."""
    size = random.shape[0]
    stride = ops.maximum(count // size, 1)
    return (ops.arange(size, dtype="int32") * stride + random % stride) % count


def check_codebook(size, beta, update, decay, revive_after):
    """Raises ValueError unless these make a codebook."""
    check_integer("codebook_size", size, 1)
    if beta < 0:
        raise ValueError(f"beta must not be negative; got {beta!r}.")
    check_choice("update", update, ("ema", "loss"))
    if not 0.0 <= decay < 1.0:
        raise ValueError(f"decay must be in [0, 1); got {decay!r}.")
    if revive_after is not None:
        check_integer("revive_after", revive_after, 1)


def check_integer(name, value, least):
    """Raises ValueError unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}; got {value!r}.")


def check_choice(name, value, choices):
    """Raises ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")


def check_ends(encoder, decoder, name, dim):
    """Raises ValueError unless the encoder gives what the decoder takes, with `dim` at the end."""
    given, taken = encoder.output_shape[1:], decoder.input_shape[1:]
    if given[-1] != dim:
        raise ValueError(f"{name}: expected an encoder whose outputs end in {dim}; got {given}.")
    if given != taken:
        raise ValueError(f"decoder: expected inputs of shape {given}, the encoder's; got {taken}.")


def check_indices(indices, size):
    """Integer indices as int32; ValueError where one is not in `[0, size)`."""
    numbers = np.asarray(ops.convert_to_numpy(indices))
    wrong = numbers[(numbers < 0) | (numbers >= size)]
    if wrong.size or not np.issubdtype(numbers.dtype, np.integer):
        got = wrong.flat[0] if wrong.size else numbers.dtype
        raise ValueError(f"indices: expected integers from 0 to {size - 1}; got {got}.")
    return ops.convert_to_tensor(numbers.astype("int32"))


def grid_of(data_shape, downsampling):
    """Sides of the grid of codes of data `(..., channels)`: each side over `downsampling`.

    Raises:
        ValueError: it does not divide the sides.
    """
    *sides, _ = data_shape
    check_integer("downsampling", downsampling, 1)
    if any(side % downsampling for side in sides):
        raise ValueError(
            f"downsampling: expected a divisor of the data's sides {tuple(sides)}; got "
            f"{downsampling!r}."
        )
    return tuple(side // downsampling for side in sides)

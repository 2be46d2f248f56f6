"""Codes that stand beside z in a generator's noise, and how one of them is set by hand."""

import numpy as np
from keras import ops


class Codes:
    """Categorical codes, one-hot, and then continuous ones, after the numbers of z.

    Codes are numbered in this order: code 0 is the first categorical one.

    Args:
        latent_dim: Size of z.
        categories: For each categorical code, how many values it has: 2 or more.
        continuous: Number of continuous codes.

    Raises:
        ValueError: There is no code, or one of fewer than 2 values.
    """

    def __init__(self, latent_dim, categories, continuous):
        if not categories and not continuous:
            raise ValueError("categories, continuous: expected at least one code; got none.")
        if any(size < 2 for size in categories):
            raise ValueError(f"categories: expected 2 values or more each; got {categories!r}.")
        if continuous < 0:
            raise ValueError(f"continuous must not be negative; got {continuous!r}.")
        self.latent_dim = latent_dim
        self.categories = tuple(categories)
        self.continuous = continuous

    def draw(self, stream, count, dtype, truncation=None):
        """z ~ N(0, I), each category alike often, and the continuous codes uniform in [-1, 1].

        Args:
            stream: A `keras_gen.random.Stream`.
            count: Number of examples.
            dtype: Float dtype of the result.
            truncation: Largest absolute value of z; `None` for any.

        Returns:
            `(count, latent_dim + sum(categories) + continuous)`.
        """
        shape = (count, self.latent_dim)
        if truncation is None:
            parts = [stream.normal(shape, dtype)]
        else:
            parts = [stream.truncated_normal(shape, truncation, dtype)]
        for size in self.categories:
            parts.append(ops.one_hot(stream.integers((count,), size), size, dtype=dtype))
        if self.continuous:
            parts.append(2 * stream.uniform((count, self.continuous), dtype) - 1)
        return ops.concatenate(parts, axis=-1)

    def cut(self, noise):
        """The codes in noise: a list of `(batch, values)`, and `(batch, continuous)`."""
        _, *categorical, continuous = cut(
            noise, (self.latent_dim, *self.categories, self.continuous)
        )
        return categorical, continuous

    def put(self, noise, code, values):
        """Sets one code, and keeps z and all others.

        Args:
            noise: As `draw` gives it.
            code: Number of the code.
            values: Category numbers, or real numbers: one, or several, repeated in turn.

        Returns:
            As `noise`.

        Raises:
            ValueError: There is no such code, or it has no such value.
        """
        sizes = (*self.categories, *[1] * self.continuous)
        if not 0 <= code < len(sizes):
            raise ValueError(f"code: expected 0 to {len(sizes) - 1}; got {code!r}.")
        values = np.resize(np.asarray(values), noise.shape[0])
        if code < len(self.categories):
            known = np.arange(sizes[code])
            wrong = values[~np.isin(values, known)]
            if wrong.size:
                raise ValueError(f"code {code}: expected values 0 to {known[-1]}; got {wrong[0]}.")
            new = values[:, None] == known
        else:
            new = values[:, None]
        start = self.latent_dim + sum(sizes[:code])
        new = ops.cast(ops.convert_to_tensor(new.astype("float32")), noise.dtype)
        return ops.concatenate([noise[:, :start], new, noise[:, start + sizes[code] :]], axis=-1)

    def values(self, code):
        """What there is to see of a code: each category, or 9 points from -2 to 2."""
        if code < len(self.categories):
            return np.arange(self.categories[code])
        return np.linspace(-2.0, 2.0, 9)


def cut(x, sizes):
    """`(batch, sum of sizes)` in parts of these sizes."""
    ends = np.cumsum(sizes).tolist()
    return [x[:, end - size : end] for size, end in zip(sizes, ends, strict=True)]

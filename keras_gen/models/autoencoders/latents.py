"""What every autoencoder offers on its codes: reconstruct, sample, interpolate, traverse."""

import keras
import numpy as np
from keras import ops

from keras_gen import engine


class Latents:
    """Placed before `GenerativeModel`: a model with `latent_dim`, `encode` and `decode`.

    `encode(x, labels=None) -> (mean, deviation)`, each `(batch, latent_dim)`; a deterministic
    encoder's deviation is zero. `decode(z, labels=None)` gives examples in the data's range.
    """

    def call(self, inputs, training=False):
        """Reconstruct from the mean code; `inputs` is `x`, or `(x, labels)`."""
        x, labels = inputs if isinstance(inputs, list | tuple) else (inputs, None)
        return self.decode(self.mean_code(x, labels), labels)

    def mean_code(self, x, labels=None):
        """The mean that `encode` gives, `(batch, latent_dim)`."""
        return self.encode(x, labels)[0]

    def prior_codes(self, stream, count):
        """Codes of the prior, N(0, I) unless the family has another: `(count, latent_dim)`.

        Args:
            stream: A `keras_gen.random.Stream`.
            count: Number of codes.
        """
        return stream.normal((count, self.latent_dim), self.compute_dtype)

    def reconstruct(self, x, labels=None, mask=None):
        """Rebuild examples from their mean codes; with a mask, only what is missing.

        `decode(mean(x))`, or `x where mask, else decode(mean(x where mask, else 0))`

        Args:
            x: `(batch, ...)` in the data's range.
            labels: int `(batch,)` of a conditional model.
            mask: `(batch, ...)` or the shape of one example, 0 where a value is missing (it may be
                NaN), anything else where it is known; `None` knows all of them.

        Returns:
            `(batch, ...)` in the data's range.

        Raises:
            ValueError: The mask has another shape than the examples.
        """
        x = ops.convert_to_tensor(x)
        if mask is None:
            with engine.sampling():
                return self.decode(self.mean_code(x, labels), labels)
        mask = ops.convert_to_tensor(mask)
        if tuple(mask.shape) not in (tuple(x.shape), tuple(x.shape)[1:]):
            raise ValueError(
                f"mask must have the shape of the examples, {tuple(x.shape)}, or of one of them, "
                f"{tuple(x.shape)[1:]}; got {tuple(mask.shape)}."
            )
        known = ops.cast(mask, "bool")
        # Not `mask * x`: what is missing may be NaN.
        shown = ops.where(known, x, ops.zeros_like(x))
        with engine.sampling():
            rebuilt = self.decode(self.mean_code(shown, labels), labels)
        return ops.where(known, x, ops.cast(rebuilt, x.dtype))

    def draw_codes(self, x, stream, labels=None):
        """One sample of the posterior of each example: `mean + deviation * noise`.

        Args:
            x: `(batch, ...)` in the data's range.
            stream: A `keras_gen.random.Stream`.
            labels: int `(batch,)` of a conditional model.

        Returns:
            Codes as `decode` takes them.
        """
        mean, deviation = self.encode(x, labels)
        noise = stream.normal(tuple(mean.shape), keras.backend.standardize_dtype(mean.dtype))
        return mean + deviation * noise

    def emit(self, z, stream, labels=None):
        """One example of each code: `decode(z)`, or a draw where the model samples its own noise.

        Args:
            z: Codes as `decode` takes them.
            stream: A `keras_gen.random.Stream`.
            labels: int `(batch,)` of a conditional model.

        Returns:
            `(batch, ...)` in the data's range.
        """
        return self.decode(z, labels)

    def sample(self, count, seed=None, labels=None):
        """Codes of the prior, and an example of each.

        Args:
            count: Number of examples.
            seed: Integer: the same examples each time; fresh ones where `None`.
            labels: Of a conditional model: class numbers, repeated in turn; all where `None`.

        Returns:
            `(count, ...)` float32: in [0, 1] where the decoder gives logits, else in the range of
            the data.
        """
        labels = self.sampling_labels(count, labels)
        stream = self.sampling_stream(seed)
        return self.emit(self.prior_codes(stream, count), stream, labels)

    def interpolate(self, start, end, steps=8, *, path="spherical", labels=None):
        """Decode the codes between those of two sets of examples.

        `linear: (1 - t) a + t b`; `spherical: (sin((1 - t) w) a + sin(t w) b) / sin(w)`, where `w`
        is the angle between the codes `a` and `b`.

        Args:
            start: `(batch, ...)` examples.
            end: `(batch, ...)` as many examples.
            steps: Number of points, both ends included; at least 2.
            path: "linear" or "spherical".
            labels: int `(batch,)` of a conditional model: those of every point.

        Returns:
            `(batch, steps, ...)` in the data's range.

        Raises:
            ValueError: An unknown path, fewer than 2 steps, or sets of unlike shapes.

        Reference:
            White 2016, "Sampling Generative Networks", section 2.1; Shoemake 1985.
        """
        if path not in PATHS:
            raise ValueError(f"path must be one of {', '.join(map(repr, PATHS))}; got {path!r}.")
        if steps < 2:
            raise ValueError(f"steps must be at least 2, the two ends; got {steps!r}.")
        if np.shape(start) != np.shape(end):
            raise ValueError(
                f"start and end must have one shape; got {np.shape(start)} and {np.shape(end)}."
            )
        with engine.sampling():
            a, b = (
                np.asarray(ops.convert_to_numpy(self.mean_code(x, labels)), "float32")
                for x in (start, end)
            )
            points = [
                ops.convert_to_numpy(self.decode(PATHS[path](a, b, t).astype("float32"), labels))
                for t in np.linspace(0.0, 1.0, steps)
            ]
        return np.stack(points, axis=1)

    def traverse(self, x, latents=None, values=None, *, labels=None):
        """Decode examples with one latent at a time moved over a range, the others kept.

        Args:
            x: `(batch, ...)` examples whose mean codes are moved.
            latents: Indices of the latents; all where `None`.
            values: What the latent is set to; 7 points from -3 to 3 where `None`.
            labels: int `(batch,)` of a conditional model.

        Returns:
            `(batch, latents, values, ...)` in the data's range.

        Raises:
            ValueError: A latent that the code does not have.
        """
        values = np.linspace(-3.0, 3.0, 7) if values is None else np.asarray(values, "float32")
        with engine.sampling():
            code = np.asarray(ops.convert_to_numpy(self.mean_code(x, labels)), "float32")
        latents = range(code.shape[-1]) if latents is None else list(latents)
        for latent in latents:
            if not 0 <= latent < code.shape[-1]:
                raise ValueError(
                    f"latents must be in 0 to {code.shape[-1] - 1}, those of the code; got "
                    f"{latent!r}."
                )
        rows = []
        with engine.sampling():
            for latent in latents:
                for value in values:
                    moved = code.copy()
                    moved[..., latent] = value
                    rows.append(ops.convert_to_numpy(self.decode(moved, labels)))
        grid = np.stack(rows, axis=1)
        return grid.reshape(len(code), len(latents), len(values), *grid.shape[2:])


def linear(a, b, t):
    """`(1 - t) a + t b`."""
    return (1 - t) * a + t * b


def spherical(a, b, t):
    """`(sin((1 - t) w) a + sin(t w) b) / sin(w)`; linear where the codes lie on one line."""
    axes = tuple(range(1, a.ndim))
    lengths = np.sqrt(np.sum(a * a, axes, keepdims=True) * np.sum(b * b, axes, keepdims=True))
    cosine = np.sum(a * b, axes, keepdims=True) / np.maximum(lengths, 1e-12)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    sine = np.sin(angle)
    on_a_line = sine < 1e-6
    sine = np.where(on_a_line, 1.0, sine)
    curved = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / sine
    return np.where(on_a_line, linear(a, b, t), curved)


PATHS = {"linear": linear, "spherical": spherical}

"""Serves `keras.random.*` from a model's own counter stream while one of its steps runs.

Keras' layers (Dropout, GaussianNoise, random augmentation) draw from `torch.Generator` on
PyTorch, which cannot be traced, and from three different generators on the three backends.
While a step of ours runs they draw from the model's stream: the step traces, and the same seed
drops the same units on every backend.
"""

from keras import ops
from keras.src import backend as keras_backend

from keras_gen.engine.swapping import swapped


def serve_random(stream):
    """Serve Keras' random draws from `stream` inside the `with` block.

    Args:
        stream: A `keras_gen.random.Stream`, or what draws as it does.
    """
    return swapped(keras_backend.random, _draws(stream))


def _draws(stream):
    def dtype_or_default(dtype):
        return dtype or keras_backend.floatx()

    def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
        return ops.cast(mean + stddev * stream.normal(shape), dtype_or_default(dtype))

    def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
        draw = minval + (maxval - minval) * stream.uniform(shape)
        return ops.cast(draw, dtype_or_default(dtype))

    def randint(shape, minval, maxval, dtype="int32", seed=None):
        return ops.cast(minval + stream.integers(shape, maxval - minval), dtype)

    def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
        draw = stream.truncated_normal(shape, threshold=2.0)
        return ops.cast(mean + stddev * draw, dtype_or_default(dtype))

    def dropout(inputs, rate, noise_shape=None, seed=None):
        if noise_shape is None:
            shape = ops.shape(inputs)
        else:
            full = ops.shape(inputs)
            shape = tuple(f if n is None else n for f, n in zip(full, noise_shape, strict=True))
        keep = stream.uniform(shape) >= rate
        return ops.where(keep, inputs / (1.0 - rate), ops.zeros_like(inputs))

    def categorical(logits, num_samples, dtype="int32", seed=None):
        # Gumbel-max: argmax(logits + Gumbel noise) is distributed as softmax(logits).
        batch, classes = ops.shape(logits)
        gumbel = -ops.log(-ops.log(stream.uniform((batch, num_samples, classes))))
        scores = ops.expand_dims(ops.cast(logits, "float32"), 1) + gumbel
        return ops.cast(ops.argmax(scores, axis=-1), dtype)

    return {
        "normal": normal,
        "uniform": uniform,
        "randint": randint,
        "truncated_normal": truncated_normal,
        "dropout": dropout,
        "categorical": categorical,
    }

"""The same random numbers for every contestant, whichever library it draws them from."""

import contextlib
import math
from unittest import mock

import keras
import numpy as np

from keras_gen.random import Stream

BACKEND = keras.backend.backend()
MOST = 2**16  # of a kind in a train step


class Draws:
    """The numbers of one train step: each kind is one row of numbers, cut as they are asked for.

    So whoever draws the noise of six objectives at once and whoever draws it six times get the
    same.
    """

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.normals = rng.standard_normal(MOST).astype("float32")
        self.uniforms = rng.random(MOST).astype("float32")
        self.restart()

    def restart(self):
        """Begins a step, which draws what the step before drew."""
        self.taken = {"normals": 0, "uniforms": 0}
        self.shapes = []  # of both kinds, in the order in which they were drawn

    def normal(self, *shape):
        """Standard normal numbers of a shape."""
        return self._cut("normals", shape)

    def uniform(self, *shape):
        """Numbers between 0 and 1 of a shape."""
        return self._cut("uniforms", shape)

    def integers(self, high, *shape):
        """0, 1, 2 and so on, again from 0 at `high`."""
        return (np.arange(math.prod(shape)) % high).reshape(shape).astype("int32")

    def _cut(self, kind, shape):
        self.shapes.append(shape)
        first, count = self.taken[kind], math.prod(shape)
        assert first + count <= MOST
        self.taken[kind] += count
        return getattr(self, kind)[first : first + count].reshape(shape)


@contextlib.contextmanager
def served():
    """Inside it keras-gen, stock Keras and the natives of this backend draw from `Draws`.

    What is compiled inside keeps the numbers, so that each of its steps draws them again; before
    a step that is not, `restart` it.

    Yields:
        The `Draws`.
    """
    draws = Draws()

    def tensor(numbers):
        return keras.ops.convert_to_tensor(numbers)

    def plain(shape):
        return tuple(int(side) for side in shape)

    with contextlib.ExitStack() as stack:

        def serve(owner, **functions):
            for name, function in functions.items():
                stack.enter_context(mock.patch.object(owner, name, function))

        serve(
            Stream,
            normal=lambda _, shape, *__: tensor(draws.normal(*plain(shape))),
            uniform=lambda _, shape, *__: tensor(draws.uniform(*plain(shape))),
            integers=lambda _, shape, high: tensor(draws.integers(high, *plain(shape))),
        )
        serve(
            keras.random,
            normal=lambda shape, **_: tensor(draws.normal(*plain(shape))),
            uniform=lambda shape, **_: tensor(draws.uniform(*plain(shape))),
            randint=lambda shape, _, high, **__: tensor(draws.integers(int(high), *plain(shape))),
        )
        {"jax": _in_jax, "tensorflow": _in_tensorflow, "torch": _in_torch}[BACKEND](serve, draws)
        yield draws


def _in_jax(serve, draws):
    import jax
    from jax.numpy import asarray

    serve(
        jax.random,
        normal=lambda _, shape: asarray(draws.normal(*shape)),
        uniform=lambda _, shape: asarray(draws.uniform(*shape)),
        randint=lambda _, shape, __, high: asarray(draws.integers(high, *shape)),
    )


def _in_tensorflow(serve, draws):
    import tensorflow as tf

    def uniform(shape, low=0, high=None, dtype=tf.float32):
        drawn = draws.uniform(*shape) if high is None else draws.integers(high, *shape)
        return tf.constant(drawn, dtype)

    serve(tf.random, normal=lambda shape: tf.constant(draws.normal(*shape)), uniform=uniform)


def _in_torch(serve, draws):
    """Serves functions that Dynamo reads once: where they are is a tensor, and not a number."""
    import torch

    restart, places = draws.restart, []

    def restart_all():
        restart()
        for place in places:
            place.zero_()

    def cut(numbers):
        numbers, place = torch.from_numpy(numbers), torch.zeros((), dtype=torch.int64)
        places.append(place)

        def drawn(*shape, device):
            count = math.prod(shape)
            found = numbers[place + torch.arange(count)]
            place.add_(count)
            return found.reshape(shape)

        return drawn

    def randint(high, shape, device):
        return (torch.arange(math.prod(shape)) % high).reshape(shape)

    draws.restart = restart_all
    serve(torch, randn=cut(draws.normals), rand=cut(draws.uniforms), randint=randint)

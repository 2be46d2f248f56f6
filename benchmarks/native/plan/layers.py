"""The layers that a plan is made of, their shapes in Keras' layout, and a network of them.

A kernel's `start` is a function of `plan.starts`; that of the network where it is None.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .starts import singular_vector

KERNEL, STRIDE = 4, 2
LEAKY_SLOPE = 0.2
NORM_EPSILON = 1e-5
NORM_MOMENTUM = 0.9
ADAM_EPSILON = 1e-7
UNIT_EPSILON = 1e-12  # of the norms that spectral layers divide by


class Dense(NamedTuple):
    """Kernel `(inputs, outputs)`; of norm 1 where spectral, as `Conv`'s."""

    inputs: int
    outputs: int
    bias: bool
    start: Callable | None = None
    spectral: bool = False

    def shapes(self):
        return _shapes((self.inputs, self.outputs), self.outputs, self)


class Conv(NamedTuple):
    """Kernel `(kernel, kernel, inputs, outputs)`, "same".

    A spectral one is divided by the norm of the kernel as a matrix W, a column an output:
    `sigma = |W u|`, `u <- unit(W^T unit(W u))` at each training call. u `(outputs,)` is its last
    array, and constant to gradients: Miyato et al. 2018, algorithm 1.
    """

    inputs: int
    outputs: int
    bias: bool
    kernel: int = KERNEL
    stride: int = STRIDE
    start: Callable | None = None
    spectral: bool = False

    def shapes(self):
        return _shapes((self.kernel, self.kernel, self.inputs, self.outputs), self.outputs, self)


class ConvTranspose(NamedTuple):
    """Keras' kernel `(4, 4, outputs, inputs)`, stride 2, "same", cropped to `grid`."""

    inputs: int
    outputs: int
    bias: bool
    grid: tuple
    start: Callable | None = None

    def shapes(self):
        return [(KERNEL, KERNEL, self.outputs, self.inputs)] + [(self.outputs,)] * self.bias


class LearnedGrid(NamedTuple):
    """A grid `(height, width, channels)` times what comes, `(batch, channels)`."""

    grid: tuple
    start: Callable | None = None

    def shapes(self):
        return [self.grid]


class GridKernel(NamedTuple):
    """The sum over places of the grid `(height, width, channels)`, each weighed by its number."""

    grid: tuple
    start: Callable | None = None

    def shapes(self):
        return [self.grid]


class BatchNorm(NamedTuple):
    """Gain, offset, running mean and running variance, each `(channels,)`."""

    channels: int

    def shapes(self):
        return [(self.channels,)] * 4


class Activation(NamedTuple):
    """By name: "relu", "leaky_relu" (slope 0.2), "tanh" or "sigmoid"."""

    name: str

    def shapes(self):
        return []


class Reshape(NamedTuple):
    """To `(batch, *shape)`."""

    shape: tuple

    def shapes(self):
        return []


class Halve(NamedTuple):
    """The means of 2 x 2 places of a grid with even sides."""

    def shapes(self):
        return []


class Double(NamedTuple):
    """Twice the sides, "nearest" or "bilinear" (between the middles of places)."""

    interpolation: str

    def shapes(self):
        return []


class SumOfPlaces(NamedTuple):
    """`(batch, height, width, channels) -> (batch, channels)`."""

    def shapes(self):
        return []


class Fork(NamedTuple):
    """What comes here is kept for the next `Join`."""

    def shapes(self):
        return []


class Switch(NamedTuple):
    """What was kept goes on, and what came here is kept: the weights of both lie in Keras' order.

    There are two of them, or none, between a `Fork` and its `Join`.
    """

    def shapes(self):
        return []


class Join(NamedTuple):
    """What is kept is added."""

    def shapes(self):
        return []


def through(layers, x, run):
    """What becomes of `x` in layers one after the other, forks kept and joined.

    Args:
        layers: Of a plan.
        x: `(batch, ...)`.
        run: `(index, layer, x) -> x` of the layers that are neither a fork, a switch nor a join.
    """
    kept = None
    for i, layer in enumerate(layers):
        match layer:
            case Fork():
                kept = x
            case Switch():
                x, kept = kept, x
            case Join():
                x = x + kept
            case _:
                x = run(i, layer, x)
    return x


def states(layer):
    """How many of a layer's arrays, its last ones, are not trained but follow."""
    return 2 if isinstance(layer, BatchNorm) else int(getattr(layer, "spectral", False))


class Network(NamedTuple):
    """Layers in order, the start of their kernels, the shape of one input."""

    layers: list
    start: Callable | None
    input_shape: tuple

    @property
    def size(self):
        """How many numbers its weights are."""
        return sum(math.prod(shape) for layer in self.layers for shape in layer.shapes())

    @property
    def dense_only(self):
        """Whether it has neither convolutions nor what follows along."""
        dense = all(isinstance(layer, Dense | Activation | Reshape) for layer in self.layers)
        return dense and not any(map(states, self.layers))

    def weights(self, arrays=None, seed=0):
        """The NumPy arrays of each layer: `arrays` in Keras' order, or fresh ones.

        Args:
            arrays: What Keras' `get_weights()` gives for this network, or `None`.
            seed: Of the fresh kernels.

        Returns:
            A list, as long as `layers`, of lists of float32 arrays.
        """
        if arrays is None:
            rng = np.random.default_rng(seed)
            return [self._initial(layer, rng) for layer in self.layers]
        arrays = iter(arrays)
        return [
            [np.asarray(next(arrays), "float32").reshape(shape) for shape in layer.shapes()]
            for layer in self.layers
        ]

    def _initial(self, layer, rng):
        if isinstance(layer, BatchNorm):
            return [np.full(layer.channels, value, "float32") for value in (1, 0, 0, 1)]
        start = getattr(layer, "start", None) or self.start
        arrays = [
            start(shape, rng).astype("float32") if len(shape) > 1 else np.zeros(shape, "float32")
            for shape in layer.shapes()
        ]
        if states(layer):
            arrays[-1] = singular_vector(arrays[0]).astype("float32")
        return arrays


def _shapes(kernel, outputs, layer):
    return [kernel] + [(outputs,)] * (layer.bias + layer.spectral)

"""The networks of a plan as PyTorch modules."""

import math

import torch
from torch import nn

from .. import plan
from .layers import (
    Crop,
    GridKernel,
    LearnedGrid,
    Residual,
    SpectralConv2d,
    SpectralLinear,
    SumOfPlaces,
    ToGrid,
    ToVector,
)
from .weights import keras_weights

ACTIVATIONS = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(plan.LEAKY_SLOPE, inplace=True),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


def padding(kernel):
    """Keras' "same": of a 4 x 4 kernel with stride 2 where sides are even, of 3 x 3 with 1."""
    return (kernel - 1) // 2


class Branch:
    """Modules one after the other, and the shape that they make.

    Args:
        shape: Of what comes in: `(height, width, channels)` or `(features,)`.
        forked: Whether what comes in is read again.
    """

    def __init__(self, shape, forked):
        self.modules, self.shape, self.forked = [], shape, forked

    def add(self, modules, shape):
        """Appends modules, which make `shape` of the branch's."""
        if self.forked and not self.modules and hasattr(modules[0], "inplace"):
            modules[0].inplace = False
        self.modules += modules
        self.shape = shape


def build(network, arrays, channels_last):
    """A planned network as an `nn.Sequential`.

    Args:
        network: A `plan.Network`.
        arrays: Weights in the order of Keras' `get_weights()`, or `None` for fresh ones.
        channels_last: Whether images' memory lies as `(batch, height, width, channels)`.
    """
    trunk = branch = Branch(network.input_shape, False)
    other, in_order = None, []
    for layer in network.layers:
        match layer:
            case plan.Fork():
                branch, other = Branch(trunk.shape, True), Branch(trunk.shape, True)
                in_order = []
            case plan.Switch():
                branch, other = other, branch
            case plan.Join():
                block = Residual(branch.modules, other.modules, in_order)
                trunk.add([block], branch.shape)
                branch = trunk
            case _:
                modules, shape = _modules(layer, branch.shape, channels_last)
                branch.add(modules, shape)
                in_order += modules
    module = nn.Sequential(*trunk.modules)
    if channels_last:
        module.to(memory_format=torch.channels_last)
    values = [value for layer in network.weights(arrays) for value in layer]
    for weight, value in zip(keras_weights(module), values, strict=True):
        weight.set(value)
    return module


def _modules(layer, shape, channels_last):
    """The modules of one planned layer, and the shape that they make of `shape`."""
    match layer:
        case plan.Dense(inputs, outputs, bias):
            kind = SpectralLinear if layer.spectral else nn.Linear
            return [kind(inputs, outputs, bias)], (outputs,)
        case plan.Conv(inputs, outputs, bias, kernel, stride):
            height, width, _ = shape
            # With a stride of 2 "same" pads an odd side once more, at its end.
            odd = stride > 1 and (height % 2 or width % 2)
            pads = [nn.ZeroPad2d((0, width % 2, 0, height % 2))] * odd
            kind = SpectralConv2d if layer.spectral else nn.Conv2d
            convolution = kind(inputs, outputs, kernel, stride, padding(kernel), bias=bias)
            sides = (math.ceil(side / stride) for side in (height, width))
            return [*pads, convolution], (*sides, outputs)
        case plan.ConvTranspose(inputs, outputs, bias, grid):
            convolution = nn.ConvTranspose2d(
                inputs, outputs, plan.KERNEL, plan.STRIDE, padding(plan.KERNEL), bias=bias
            )
            crops = [] if grid == tuple(2 * side for side in shape[:2]) else [Crop(*grid)]
            return [convolution, *crops], (*grid, outputs)
        case plan.BatchNorm(channels):
            kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
            return [kind(channels, plan.NORM_EPSILON, 1 - plan.NORM_MOMENTUM)], shape
        case plan.LearnedGrid(grid):
            return [LearnedGrid(grid)], grid
        case plan.GridKernel(grid):
            return [GridKernel(grid)], grid[2:]
        case plan.SumOfPlaces():
            return [SumOfPlaces()], shape[2:]
        case plan.Halve():
            return [nn.AvgPool2d(2)], (shape[0] // 2, shape[1] // 2, shape[2])
        case plan.Double(interpolation):
            double = nn.Upsample(scale_factor=2, mode=interpolation)
            return [double], (2 * shape[0], 2 * shape[1], shape[2])
        case plan.Activation(name):
            return [ACTIVATIONS[name]()], shape
        case plan.Reshape(new):
            module = ToVector(shape, channels_last) if len(new) == 1 else ToGrid(new, channels_last)
            return [module], new

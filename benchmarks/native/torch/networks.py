"""The networks of a plan as PyTorch modules, and their weights in Keras' layout.

Images are `(batch, channels, height, width)`; whether memory lies channels last is an option.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .. import plan


def padding(kernel):
    """Keras' "same": of a 4 x 4 kernel with stride 2 where sides are even, of 3 x 3 with 1."""
    return (kernel - 1) // 2


ACTIVATIONS = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(plan.LEAKY_SLOPE, inplace=True),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


class ToVector(nn.Module):
    """Flattens images in the order in which their memory lies, which costs nothing.

    Args:
        grid: `(height, width, channels)`.
        channels_last: Whether memory lies as `(batch, height, width, channels)`.
    """

    def __init__(self, grid, channels_last):
        super().__init__()
        self.grid, self.channels_last = grid, channels_last
        self.order = (0, 1, 2) if channels_last else (2, 0, 1)

    def forward(self, x):
        return (x.permute(0, 2, 3, 1) if self.channels_last else x).flatten(1)


class ToGrid(ToVector):
    """The inverse of `ToVector`."""

    def forward(self, x):
        height, width, channels = self.grid
        if self.channels_last:
            return x.view(-1, height, width, channels).permute(0, 3, 1, 2)
        return x.view(-1, channels, height, width)


class Crop(nn.Module):
    """Leaves the first rows and columns of `(batch, channels, rows, columns)`.

    Args:
        rows: How many.
        columns: How many.
    """

    def __init__(self, rows, columns):
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, x):
        return x[:, :, : self.rows, : self.columns]


class Residual(nn.Module):
    """`x + layers(x)`.

    Args:
        layers: Modules that leave their input as it is.
    """

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.layers(x)


def build(network, arrays, channels_last):
    """A planned network as an `nn.Sequential`.

    Args:
        network: A `plan.Network`.
        arrays: Weights in the order of Keras' `get_weights()`, or `None` for fresh ones.
        channels_last: Whether images' memory lies as `(batch, height, width, channels)`.
    """
    branches, shape = [[]], network.input_shape
    for layer in network.layers:
        if isinstance(layer, plan.Fork):
            branches.append([])
            continue
        if isinstance(layer, plan.Join):
            branch = branches.pop()
            added = [Residual(branch)]
        else:
            added, shape = _modules(layer, shape, channels_last)
            if len(branches) > 1 and not branches[-1] and hasattr(added[0], "inplace"):
                added[0].inplace = False  # what is forked is read again
        branches[-1] += added
    module = nn.Sequential(*branches[0])
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
            return [nn.Linear(inputs, outputs, bias)], (outputs,)
        case plan.Conv(inputs, outputs, bias, kernel, stride):
            height, width, _ = shape
            # With a stride of 2 "same" pads an odd side once more, at its end.
            odd = stride > 1 and (height % 2 or width % 2)
            pads = [nn.ZeroPad2d((0, width % 2, 0, height % 2))] * odd
            convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding(kernel), bias=bias)
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
        case plan.Activation(name):
            return [ACTIVATIONS[name]()], shape
        case plan.Reshape(new):
            module = ToVector(shape, channels_last) if len(new) == 1 else ToGrid(new, channels_last)
            return [module], new


@dataclass
class Weight:
    """One tensor of a network, and where Keras keeps its numbers.

    Args:
        tensor: Parameter or buffer in torch's layout.
        shape: Keras' shape, a dense layer's grid unfolded to `(height, width, channels)`.
        order: Permutation of `shape`'s axes that gives torch's.
        keras_shape: The shape as Keras has it.
    """

    tensor: torch.Tensor
    shape: tuple
    order: tuple
    keras_shape: tuple

    def set(self, value):
        """Copies a NumPy array in Keras' layout into the tensor."""
        moved = value.reshape(self.shape).transpose(self.order).reshape(self.tensor.shape)
        with torch.no_grad():
            self.tensor.copy_(torch.tensor(moved))

    def to_keras(self, tensor):
        """A NumPy copy, in Keras' layout, of a tensor that is laid out as this weight."""
        array = tensor.detach().cpu().numpy().reshape([self.shape[axis] for axis in self.order])
        return array.transpose(np.argsort(self.order)).reshape(self.keras_shape).copy()


def keras_weights(network):
    """Yields the `Weight`s of what `build` made, in the order of Keras' `get_weights()`."""
    layers = [None, *network, None]
    for before, layer, after in zip(layers, layers[1:], layers[2:], strict=False):
        if isinstance(layer, nn.Linear):
            yield from _linear_weights(before, layer, after)
        elif isinstance(layer, Residual):
            yield from keras_weights(layer.layers)
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            shape = tuple(layer.weight.shape[axis] for axis in (2, 3, 1, 0))
            yield Weight(layer.weight, shape, (3, 2, 0, 1), shape)
            yield from _vectors(layer.bias)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            yield from _vectors(layer.weight, layer.bias, layer.running_mean, layer.running_var)


def to_keras(network, gradients):
    """Gradients in Keras' layout, in the order of Keras' trainable variables.

    Args:
        network: What `build` made.
        gradients: Iterator over one gradient a parameter, maybe followed by other networks'.
    """
    return [
        weight.to_keras(next(gradients))
        for weight in keras_weights(network)
        if isinstance(weight.tensor, nn.Parameter)
    ]


def _linear_weights(before, layer, after):
    inputs, input_order = _features(before, ToVector, layer.in_features)
    outputs, output_order = _features(after, ToGrid, layer.out_features)
    order = (*(axis + len(inputs) for axis in output_order), *input_order)
    keras_shape = (layer.in_features, layer.out_features)
    yield Weight(layer.weight, (*inputs, *outputs), order, keras_shape)
    if layer.bias is not None:
        yield Weight(layer.bias, outputs, output_order, keras_shape[1:])


def _features(neighbour, kind, count):
    return (neighbour.grid, neighbour.order) if isinstance(neighbour, kind) else ((count,), (0,))


def _vectors(*tensors):
    for tensor in tensors:
        if tensor is not None:
            yield Weight(tensor, tuple(tensor.shape), (0,), tuple(tensor.shape))

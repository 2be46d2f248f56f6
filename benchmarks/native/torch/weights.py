"""Where Keras keeps the numbers of a network's tensors."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .layers import PerPlace, Residual, ToGrid, ToVector


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
            yield from keras_weights(layer.in_order)
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            shape = tuple(layer.weight.shape[axis] for axis in (2, 3, 1, 0))
            yield Weight(layer.weight, shape, (3, 2, 0, 1), shape)
            yield from _vectors(layer.bias, getattr(layer, "vector", None))
        elif isinstance(layer, PerPlace):
            shape = tuple(layer.weight.shape[axis] for axis in (2, 3, 1))
            yield Weight(layer.weight, shape, (2, 0, 1), shape)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            yield from _vectors(layer.weight, layer.bias, layer.running_mean, layer.running_var)


def trained(network):
    """The `Weight`s of a network's parameters, in the order of Keras' trainable variables."""
    return [w for w in keras_weights(network) if isinstance(w.tensor, nn.Parameter)]


def _linear_weights(before, layer, after):
    inputs, input_order = _features(before, ToVector, layer.in_features)
    outputs, output_order = _features(after, ToGrid, layer.out_features)
    order = (*(axis + len(inputs) for axis in output_order), *input_order)
    keras_shape = (layer.in_features, layer.out_features)
    yield Weight(layer.weight, (*inputs, *outputs), order, keras_shape)
    for vector in (layer.bias, getattr(layer, "vector", None)):
        if vector is not None:
            yield Weight(vector, outputs, output_order, keras_shape[1:])


def _features(neighbour, kind, count):
    return (neighbour.grid, neighbour.order) if isinstance(neighbour, kind) else ((count,), (0,))


def _vectors(*tensors):
    for tensor in tensors:
        if tensor is not None:
            yield Weight(tensor, tuple(tensor.shape), (0,), tuple(tensor.shape))

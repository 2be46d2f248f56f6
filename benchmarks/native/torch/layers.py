"""The layers of the twins that PyTorch lacks.

Images are `(batch, channels, height, width)`; whether memory lies channels last is an option.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .. import plan


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
    """`shortcut(x) + layers(x)`.

    Args:
        layers: Modules that leave their input as it is.
        shortcut: Such modules, maybe none.
        in_order: All of them, as Keras orders their weights.
    """

    def __init__(self, layers, shortcut, in_order):
        super().__init__()
        self.layers, self.shortcut = nn.Sequential(*layers), nn.Sequential(*shortcut)
        self.in_order = tuple(in_order)

    def forward(self, x):
        return self.shortcut(x) + self.layers(x)


class Spectral:
    """Before a layer with a `weight`: it is divided by its norm, as `plan.Conv` says."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.register_buffer("vector", torch.zeros(len(self.weight)))

    def divided_weight(self):
        """The weight over the estimate of its norm; in training the estimate is refined."""
        # Outputs first; in the order in which memory lies channels last, so no copy.
        matrix = self.weight.movedim(1, -1).flatten(1)
        vector = self.vector
        if self.training:
            with torch.no_grad():
                inner = F.normalize(vector @ matrix, dim=0, eps=plan.UNIT_EPSILON)
                # A new tensor: the next call changes the buffer before this one's backward pass.
                vector = F.normalize(matrix @ inner, dim=0, eps=plan.UNIT_EPSILON)
                self.vector.copy_(vector)
        return self.weight / (torch.linalg.vector_norm(vector @ matrix) + plan.UNIT_EPSILON)


class SpectralLinear(Spectral, nn.Linear):
    """`nn.Linear` of a weight of norm 1."""

    def forward(self, x):
        return F.linear(x, self.divided_weight(), self.bias)


class SpectralConv2d(Spectral, nn.Conv2d):
    """`nn.Conv2d` of a weight of norm 1."""

    def forward(self, x):
        return self._conv_forward(x, self.divided_weight(), self.bias)


class PerPlace(nn.Module):
    """A number for each place and channel of a grid.

    Args:
        grid: `(height, width, channels)`.
    """

    def __init__(self, grid):
        super().__init__()
        height, width, channels = grid
        self.weight = nn.Parameter(torch.zeros(1, channels, height, width))


class LearnedGrid(PerPlace):
    """The grid times a vector of its channels."""

    def forward(self, x):
        return x[:, :, None, None] * self.weight


class GridKernel(PerPlace):
    """The sum over places, each weighed by its number."""

    def forward(self, x):
        return (x * self.weight).sum((2, 3))


class SumOfPlaces(nn.Module):
    """`(batch, channels, height, width) -> (batch, channels)`."""

    def forward(self, x):
        return x.sum((2, 3))

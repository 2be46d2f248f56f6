"""The plans of R3GAN's and of SNGAN's networks: `keras_gen/networks/r3gan.py` and `sngan.py`.

1 x 1 convolutions go before doublings and after halvings, which they commute with.
"""

import functools
import math

from . import starts
from .layers import (
    LEAKY_SLOPE,
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Double,
    Fork,
    GridKernel,
    Halve,
    Join,
    LearnedGrid,
    Reshape,
    SumOfPlaces,
    Switch,
)


def r3gan_generator(options, input_shape, output_shape):
    """A learned grid weighed by the vector, then blocks and bilinear doublings."""
    filters = options["filters"]
    coarsest = (*_coarsest(output_shape, len(filters) - 1), filters[0])
    blocks, make = _blocks_of_grids(options)
    weigh = Dense(math.prod(input_shape), filters[0], False, starts.by_inputs)
    layers = [weigh, LearnedGrid(coarsest, starts.standard_normal), *make(blocks[0], filters[0])]
    for before, channels, count in zip(filters, filters[1:], blocks[1:], strict=False):
        layers += _change_channels(before, channels)
        layers += [Double("bilinear"), *make(count, channels)]
    return [*layers, _conv1(filters[-1], output_shape[-1])]


def r3gan_discriminator(options, input_shape, output_shape):
    """Blocks and halvings, then a kernel of the grid's size."""
    filters = options["filters"]
    coarsest = (*_coarsest(input_shape, len(filters) - 1), filters[-1])
    blocks, make = _blocks_of_grids(options)
    layers = [_conv1(input_shape[-1], filters[0]), *make(blocks[0], filters[0])]
    for before, channels, count in zip(filters, filters[1:], blocks[1:], strict=False):
        layers += [Halve(), *_change_channels(before, channels), *make(count, channels)]
    output = Dense(filters[-1], math.prod(output_shape), False, starts.by_inputs)
    return [*layers, GridKernel(coarsest, starts.by_inputs), output]


def sngan_generator(options, input_shape, output_shape):
    """Residual blocks that double the sides, to an image."""
    filters, spectral = options["filters"], options["spectral"]
    grid = (*_coarsest(output_shape, len(filters) - 1), filters[0])
    layers = [Dense(math.prod(input_shape), math.prod(grid), True, spectral=spectral)]
    layers.append(Reshape(grid))
    relu = Activation("relu")
    for before, channels in zip(filters, filters[1:], strict=False):
        layers += [
            *(Fork(), BatchNorm(before), relu, Double("nearest")),
            _conv3(before, channels, spectral, bias=False),
            BatchNorm(channels),
            *_aside(Conv(before, channels, False, 1, 1, spectral=spectral), Double("nearest")),
            *(relu, _conv3(channels, channels, spectral, bias=False), Join()),
        ]
    last = Conv(filters[-1], output_shape[-1], True, 3, 1, spectral=spectral)
    return [*layers, BatchNorm(filters[-1]), relu, last]


def sngan_discriminator(options, input_shape, output_shape):
    """Residual blocks, the first of which halve the sides, and a sum over places."""
    spectral, halving = options["spectral"], len(options["filters"])
    _coarsest(input_shape, halving)
    channels, layers, relu = input_shape[-1], [], Activation("relu")
    for i, width in enumerate((*options["filters"], *options["blocks"])):
        shortcut = Conv(channels, width, False, 1, 1, spectral=spectral)
        second = _conv3(width, width, spectral)
        layers += [Fork(), *[relu] * (i > 0), _conv3(channels, width, spectral), relu]
        if i < halving:
            layers += [second, Halve(), *_aside(Halve(), shortcut), Join()]
        else:
            layers += [*(_aside(shortcut) if width != channels else ()), second, Join()]
        channels = width
    outputs = math.prod(output_shape)
    output = Dense(channels, outputs, options["output_bias"], spectral=spectral)
    return [*layers, relu, SumOfPlaces(), output]


# {network: (function (options, input shape, output shape) -> layers, options with defaults)}
MADE = {
    "r3gan_generator": (
        r3gan_generator,
        {"filters": (128, 64, 32), "blocks": None, "expansion": 2, "output_activation": None},
    ),
    "r3gan_discriminator": (
        r3gan_discriminator,
        {"filters": (32, 64, 128), "blocks": None, "expansion": 2},
    ),
    "sngan_generator": (
        sngan_generator,
        {"filters": (256, 256, 256, 256), "spectral": False, "output_activation": "tanh"},
    ),
    "sngan_discriminator": (
        sngan_discriminator,
        {"filters": (128, 128), "blocks": (128, 128), "spectral": True, "output_bias": True},
    ),
}


def _coarsest(image, halvings):
    """Sides of the coarsest grid of an image `(height, width, channels)`."""
    whole = 2**halvings
    if any(side % whole for side in image[:2]):
        raise ValueError(f"the native twins halve even sides only; got {image[:2]}, {halvings} x")
    return tuple(side // whole for side in image[:2])


def _blocks_of_grids(options):
    """How many blocks each grid has, and a function `(blocks, channels) -> layers` of R3GAN's."""
    blocks = options["blocks"] or [1] * len(options["filters"])
    # Zhang et al. 2019: deviations times the blocks to the power of -1 / (2 m - 2), m = 3 layers.
    gain = 2 / (1 + LEAKY_SLOPE**2) / math.sqrt(max(1, sum(blocks)))
    start = functools.partial(starts.by_inputs, gain=gain)
    leaky = Activation("leaky_relu")

    def make(count, channels):
        inner = channels * options["expansion"]
        block = [
            *(Fork(), Conv(channels, inner, True, 1, 1, start), leaky),
            *(Conv(inner, inner, True, 3, 1, start), leaky),
            *(Conv(inner, channels, False, 1, 1, starts.zeros), Join()),
        ]
        return block * count

    return blocks, make


def _change_channels(before, after):
    return [] if before == after else [_conv1(before, after)]


def _conv1(inputs, outputs):
    return Conv(inputs, outputs, False, 1, 1, starts.by_inputs)


def _conv3(inputs, outputs, spectral, bias=True):
    start = functools.partial(starts.glorot_uniform, gain=2.0)
    return Conv(inputs, outputs, bias, 3, 1, start, spectral)


def _aside(*layers):
    """Layers that the shortcut goes through."""
    return [Switch(), *layers, Switch()]

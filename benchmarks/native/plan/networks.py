"""The plan of each network of a case: its layers, from its config."""

import math

from . import residual_gans, starts
from .layers import (
    STRIDE,
    Activation,
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    Fork,
    Join,
    Network,
    Reshape,
)
from .options import GAN_DEFAULTS, refuse

SMALLEST_SIDE = 7
WIDEST = 8


def networks(case):
    """The networks of a case: `{name: Network}` in the order of its players.

    Args:
        case: A `benchmarks.cases.Case`.

    Raises:
        ValueError: The case asks for something the native twins do not have.
    """
    if case.twin in ("vae", "iwae"):
        known = ("family", "latent_dim", "encoder", "decoder")
        refuse(case.model, known + ("samples",) * (case.twin == "iwae"), case.name)
        latent = case.latent_dim
        sockets = {"encoder": (case.shape, (2 * latent,)), "decoder": ((latent,), case.shape)}
    elif case.twin == "vqvae":
        known = ("family", "embedding_dim", "codebook_size", "downsampling", "encoder", "decoder")
        refuse(case.model, known, case.name)
        sides = (side // case.model["downsampling"] for side in case.shape[:2])
        grid = (*sides, case.model["embedding_dim"])
        sockets = {"encoder": (case.shape, grid), "decoder": (grid, case.shape)}
    else:
        latent = case.latent_dim
        known = ("family", "latent_dim", "generator", "discriminator", *GAN_DEFAULTS)
        refuse(case.model, known, case.name)
        sockets = {"discriminator": (case.shape, (1,)), "generator": ((latent,), case.shape)}
    return {name: _network(case.model[name], *shapes) for name, shapes in sockets.items()}


def _network(config, input_shape, output_shape):
    kind = config["network"]
    make, known = _MADE[kind]
    refuse(config, ("network", *known), kind)
    options = known | config
    normalization = options.get("normalization")
    if normalization not in ((None,) if kind in _RESIDUAL else (None, "batch")):
        raise ValueError(f"{kind}: no native normalization {normalization!r}")
    start = options.get("kernel_initializer", "glorot_uniform")
    if start not in _STARTS:
        raise ValueError(f"{kind}: no native initializer {start!r}")
    layers = make(options, input_shape, output_shape)
    if options.get("output_activation"):
        layers.append(Activation(options["output_activation"]))
    return Network(layers, _STARTS[start], tuple(input_shape))


def _mlp(options, input_shape, output_shape):
    features = math.prod(input_shape)
    layers = [Reshape((features,))] if len(input_shape) > 1 else []
    normalize = options["normalization"] == "batch"
    for units in options["units"]:
        layers.append(Dense(features, units, not normalize))
        layers += _finish(options, units, normalize)
        features = units
    layers.append(Dense(features, math.prod(output_shape), options["output_bias"]))
    return layers + ([Reshape(output_shape)] if len(output_shape) > 1 else [])


def _conv_encoder(options, input_shape, output_shape):
    grids, filters = _stages(input_shape[:2], options["width"])
    layers, channels = [], input_shape[-1]
    for i, width in enumerate(filters):
        normalize = options["normalization"] == "batch" and i > 0
        layers.append(Conv(channels, width, not normalize))
        layers += _finish(options, width, normalize)
        channels = width
    features = math.prod(grids[-1]) * channels
    return [
        *layers,
        Reshape((features,)),
        Dense(features, math.prod(output_shape), options["output_bias"]),
    ]


def _conv_decoder(options, input_shape, output_shape):
    grids, filters = (stage[::-1] for stage in _stages(output_shape[:2], options["width"]))
    normalize = options["normalization"] == "batch"
    channels = filters[0]
    coarsest = (*grids[0], channels)
    layers = [Dense(math.prod(input_shape), math.prod(coarsest), not normalize), Reshape(coarsest)]
    layers += _finish(options, channels, normalize)
    for width, grid in zip(filters[1:], grids[1:-1], strict=True):
        layers.append(ConvTranspose(channels, width, not normalize, grid))
        layers += _finish(options, width, normalize)
        channels = width
    last = ConvTranspose(channels, output_shape[-1], options["output_bias"], grids[-1])
    return [*layers, last]


def _residual_encoder(options, input_shape, output_shape):
    channels, width = input_shape[-1], options["width"]
    layers = []
    for i in range(_halvings(input_shape, output_shape)):
        layers += _finish(options, width, False) if i else []
        layers.append(Conv(channels, width, True))
        channels = width
    layers += _blocks(options)
    return [*layers, Conv(width, output_shape[-1], options["output_bias"], 1, 1)]


def _residual_decoder(options, input_shape, output_shape):
    width, halvings = options["width"], _halvings(output_shape, input_shape)
    layers = [Conv(input_shape[-1], width, True, 1, 1), *_blocks(options)]
    for i in range(1, halvings):
        grid = tuple(side * STRIDE**i for side in input_shape[:2])
        layers.append(ConvTranspose(width, width, True, grid))
        layers += _finish(options, width, False)
    last = ConvTranspose(width, output_shape[-1], options["output_bias"], tuple(output_shape[:2]))
    return [*layers, last]


def _blocks(options):
    width, layers = options["width"], []
    activate = Activation(options["activation"])
    for _ in range(options["blocks"]):
        convolutions = Conv(width, width, True, 3, 1), Conv(width, width, True, 1, 1)
        layers += [Fork(), activate, convolutions[0], activate, convolutions[1], Join()]
    return [*layers, activate]


def _halvings(image, grid):
    return (image[0] // grid[0]).bit_length() - 1


def _finish(options, channels, normalize):
    return [BatchNorm(channels)] * normalize + [Activation(options["activation"])]


def _stages(sides, width):
    """The grids from the image's own to the coarsest, and the channels of each but the first."""
    grids = [tuple(sides)]
    while max(grids[-1]) > SMALLEST_SIDE or len(grids) == 1:
        grids.append(tuple(math.ceil(side / STRIDE) for side in grids[-1]))
    return grids, [width * min(2**i, WIDEST) for i in range(len(grids) - 1)]


_STARTS = {"glorot_uniform": starts.glorot_uniform, "dcgan": starts.dcgan}
_SHARED = {
    "normalization": None,
    "kernel_initializer": "glorot_uniform",
    "output_activation": None,
    "output_bias": True,
}
_RESIDUAL = ("residual_encoder", "residual_decoder")
# {network: (function (options, input shape, output shape) -> layers, options with defaults)}
_MADE = {
    "mlp": (_mlp, {"units": (256,), "activation": "relu", **_SHARED}),
    "conv_encoder": (_conv_encoder, {"width": 32, "activation": "leaky_relu", **_SHARED}),
    "conv_decoder": (_conv_decoder, {"width": 32, "activation": "relu", **_SHARED}),
    "residual_encoder": (
        _residual_encoder,
        {"width": 128, "blocks": 2, "activation": "relu", **_SHARED},
    ),
    "residual_decoder": (
        _residual_decoder,
        {"width": 128, "blocks": 2, "activation": "relu", **_SHARED},
    ),
    **residual_gans.MADE,
}

"""The layers of a case's networks, read from its config without Keras, for the native twins."""

import math
from typing import NamedTuple

import numpy as np

KERNEL, STRIDE = 4, 2
SMALLEST_SIDE = 7
WIDEST = 8
LEAKY_SLOPE = 0.2
NORM_EPSILON = 1e-5
NORM_MOMENTUM = 0.9
ADAM_EPSILON = 1e-7

DEFAULTS = {
    "mlp": {"units": (256,), "activation": "relu"},
    "conv_encoder": {"width": 32, "activation": "leaky_relu"},
    "conv_decoder": {"width": 32, "activation": "relu"},
    "residual_encoder": {"width": 128, "blocks": 2, "activation": "relu"},
    "residual_decoder": {"width": 128, "blocks": 2, "activation": "relu"},
}
RESIDUAL = ("residual_encoder", "residual_decoder")
SHARED_DEFAULTS = {
    "normalization": None,
    "kernel_initializer": "glorot_uniform",
    "output_activation": None,
    "output_bias": True,
}


class Dense(NamedTuple):
    """Kernel `(inputs, outputs)`."""

    inputs: int
    outputs: int
    bias: bool

    def shapes(self):
        return [(self.inputs, self.outputs)] + [(self.outputs,)] * self.bias


class Conv(NamedTuple):
    """Kernel `(kernel, kernel, inputs, outputs)`, "same"."""

    inputs: int
    outputs: int
    bias: bool
    kernel: int = KERNEL
    stride: int = STRIDE

    def shapes(self):
        kernel = (self.kernel, self.kernel, self.inputs, self.outputs)
        return [kernel] + [(self.outputs,)] * self.bias


class ConvTranspose(NamedTuple):
    """Keras' kernel `(4, 4, outputs, inputs)`, stride 2, "same", cropped to `grid`."""

    inputs: int
    outputs: int
    bias: bool
    grid: tuple

    def shapes(self):
        return [(KERNEL, KERNEL, self.outputs, self.inputs)] + [(self.outputs,)] * self.bias


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


class Fork(NamedTuple):
    """What comes here is kept for the next `Join`."""

    def shapes(self):
        return []


class Join(NamedTuple):
    """What the last `Fork` kept is added."""

    def shapes(self):
        return []


class Network(NamedTuple):
    """Layers in order, the name of the initializer of their kernels, the shape of one input."""

    layers: list
    initializer: str
    input_shape: tuple

    @property
    def size(self):
        """How many numbers its weights are."""
        return sum(math.prod(shape) for layer in self.layers for shape in layer.shapes())

    @property
    def dense_only(self):
        """Whether it has neither convolutions nor batch statistics."""
        return all(isinstance(layer, Dense | Activation | Reshape) for layer in self.layers)

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
        return [self._initial_array(shape, rng) for shape in layer.shapes()]

    def _initial_array(self, shape, rng):
        if len(shape) == 1:
            return np.zeros(shape, "float32")
        if self.initializer == "dcgan":
            return rng.normal(0, 0.02, shape).astype("float32")
        limit = math.sqrt(6 / (math.prod(shape[:-2]) * (shape[-2] + shape[-1])))
        return rng.uniform(-limit, limit, shape).astype("float32")


def networks(case):
    """The networks of a case: `{name: Network}` in the order of its players.

    Args:
        case: A `benchmarks.cases.Case`.

    Raises:
        ValueError: The case asks for something the native twins do not have.
    """
    if case.twin in ("vae", "iwae"):
        known = ("family", "latent_dim", "encoder", "decoder")
        _refuse(case.model, known + ("samples",) * (case.twin == "iwae"), case.name)
        latent = case.latent_dim
        sockets = {"encoder": (case.shape, (2 * latent,)), "decoder": ((latent,), case.shape)}
    elif case.twin == "vqvae":
        known = ("family", "embedding_dim", "codebook_size", "downsampling", "encoder", "decoder")
        _refuse(case.model, known, case.name)
        sides = (side // case.model["downsampling"] for side in case.shape[:2])
        grid = (*sides, case.model["embedding_dim"])
        sockets = {"encoder": (case.shape, grid), "decoder": (grid, case.shape)}
    else:
        latent = case.latent_dim
        known = ("family", "latent_dim", "generator", "discriminator", *GAN_DEFAULTS)
        _refuse(case.model, known, case.name)
        sockets = {"discriminator": (case.shape, (1,)), "generator": ((latent,), case.shape)}
    return {name: _network(case.model[name], *shapes) for name, shapes in sockets.items()}


class Codebook:
    """What the moving averages of a VQ-VAE's codes begin with, and how they move.

    Args:
        case: A `benchmarks.cases.Case` whose twin is "vqvae".
    """

    beta = 0.25
    decay = 0.99
    epsilon = 1e-5  # of the smoothing of counts
    revive_after = 100  # steps without being chosen

    def __init__(self, case):
        self.size = case.model["codebook_size"]
        self.dim = case.model["embedding_dim"]
        seed = [case.train.get("seed", 0), 0]  # keras-gen's, so that all begin alike
        first = np.random.default_rng(seed).uniform(-1 / self.size, 1 / self.size, self.shape)
        self.codes = self.sums = first.astype("float32")
        self.counts = np.ones(self.size, "float32")
        self.idle = np.full(self.size, self.revive_after - 1, "int32")

    @property
    def shape(self):
        """`(codes, numbers of each)`."""
        return self.size, self.dim


GAN_DEFAULTS = {
    "adversarial_loss": "non_saturating",
    "penalty": None,
    "penalty_weight": 10.0,
    "discriminator_steps": 1,
}


def gan_options(case):
    """`{option: value}` of a GAN case, defaults filled in.

    Raises:
        ValueError: A loss or a penalty that the native twins do not have.
    """
    options = {name: case.model.get(name, default) for name, default in GAN_DEFAULTS.items()}
    if options["adversarial_loss"] not in ("non_saturating", "wasserstein"):
        raise ValueError(f"{case.name}: no native loss {options['adversarial_loss']!r}")
    if options["penalty"] not in (None, "wgan_gp"):
        raise ValueError(f"{case.name}: no native penalty {options['penalty']!r}")
    return options


def adam(case, player):
    """`(learning_rate, beta_1, beta_2)` of one player; "model" where there is but one."""
    optimizer = case.train["optimizer"]
    if player != "model":
        optimizer = optimizer[player]
    _refuse(optimizer, ("name", "learning_rate", "beta_1", "beta_2"), case.name)
    if optimizer["name"] != "adam":
        raise ValueError(f"{case.name}: no native optimizer {optimizer['name']!r}")
    return optimizer["learning_rate"], optimizer.get("beta_1", 0.9), optimizer.get("beta_2", 0.999)


def _network(config, input_shape, output_shape):
    kind = config["network"]
    known = DEFAULTS[kind] | SHARED_DEFAULTS
    _refuse(config, ("network", *known), kind)
    options = known | config
    known = (None,) if kind in RESIDUAL else (None, "batch")
    if options["normalization"] not in known:
        raise ValueError(f"{kind}: no native normalization {options['normalization']!r}")
    layers = _LAYERS[kind](options, input_shape, output_shape)
    if options["output_activation"]:
        layers.append(Activation(options["output_activation"]))
    return Network(layers, options["kernel_initializer"], tuple(input_shape))


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


_LAYERS = {
    "mlp": _mlp,
    "conv_encoder": _conv_encoder,
    "conv_decoder": _conv_decoder,
    "residual_encoder": _residual_encoder,
    "residual_decoder": _residual_decoder,
}


def _finish(options, channels, normalize):
    return [BatchNorm(channels)] * normalize + [Activation(options["activation"])]


def _stages(sides, width):
    """The grids from the image's own to the coarsest, and the channels of each but the first."""
    grids = [tuple(sides)]
    while max(grids[-1]) > SMALLEST_SIDE or len(grids) == 1:
        grids.append(tuple(math.ceil(side / STRIDE) for side in grids[-1]))
    return grids, [width * min(2**i, WIDEST) for i in range(len(grids) - 1)]


def _refuse(config, known, where):
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise ValueError(f"{where}: the native twins have no option {', '.join(unknown)}")

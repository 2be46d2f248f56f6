"""The residual networks of SNGAN: an image from a vector, a verdict on an image.

The options of both builders:

    filters: channels, in the order of the data: of the coarsest grid and of each stage that doubles
        both sides (generator); of each stage that halves them (discriminator).
    num_classes: of a conditional model, whose labels are the input's last features or channels:
        the generator's batch normalization then has a gain and a shift a class, the discriminator
        adds the projection of its features on the class. None: labels, if any, are plain inputs.
    spectral: whether every kernel is divided by its largest singular value.
    attention_after: after which stage, from 1, every place looks at all others; None for nowhere.
    name: name of the model.

    | images  | generator                | discriminator, `filters`; `blocks` |
    |---------|--------------------------|------------------------------------|
    | 32 x 32 | 256, 256, 256, 256       | 128, 128; 128, 128                 |
    | 48 x 48 | 512, 256, 128, 64        | 64, 128, 256, 512; 1024            |
    | 64 x 64 | 1024, 512, 256, 128, 64  | 64, 128, 256, 512, 1024; none      |

A side s becomes ceil(s / 2) at each stage; on the way back the generator crops the last row or
column where the side is odd.

Reference: Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks",
appendix B.4, tables 4 and 5 (32 and 48; 64 x 64 is the same with a stage more); Miyato & Koyama
2018, "cGANs with Projection Discriminator", equation 3 and section 4; Zhang et al. 2019,
"Self-Attention Generative Adversarial Networks", section 4.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from keras_gen.networks import parts
from keras_gen.networks.conv import AXES, crop, pyramid
from keras_gen.networks.layers import Columns, SelfAttention, SpectralConv2D, SpectralDense


def sngan_generator(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    filters: Sequence[int] = (256, 256, 256, 256),
    num_classes: int | None = None,
    spectral: bool = False,
    attention_after: int | None = None,
    batch_norm_momentum: float = 0.9,
    output_activation: str | None = "tanh",
    name: str = "sngan_generator",
) -> keras.Model:
    """Residual blocks that double the sides, from a vector to an image.

    `dense to the coarsest grid
    -> up(conv1(x)) + conv3(act(norm(conv3(up(act(norm(x))))))) per stage
    -> act(norm(x)) -> conv3`, `norm` batch normalization, `act` ReLU, `up` nearest.

    Args:
        input_shape: `(features,)`: the latents, and behind them the label where it is told one.
        output_shape: `(height, width, channels)`.
        filters: see the module for this and the options not named here.
        batch_norm_momentum: share of the old running statistics kept at each step, in [0, 1).
        output_activation: "tanh" for pixels in [-1, 1], "sigmoid" for [0, 1], or None.

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind or out of its range.
    """
    (features,) = parts.check_shape("input_shape", input_shape, ("features",))
    output_shape = parts.check_shape("output_shape", output_shape, AXES[3])
    parts.check_choice("output_activation", output_activation, parts.OUTPUT_ACTIVATIONS)
    parts.check_fraction("batch_norm_momentum", batch_norm_momentum)
    filters = parts.check_widths("filters", filters)
    _check_attention(attention_after, len(filters) - 1)
    latents = features - _check_classes(num_classes, features)
    coarsest, *grids = pyramid(output_shape[:-1], len(filters) - 1)[::-1]
    make = Layers(spectral)

    x = inputs = keras.Input((features,), name="inputs")
    label = None
    if num_classes:
        x = Columns(0, latents, name="latents")(inputs)
        label = Columns(latents, features, name="label")(inputs)

    def norm(x, name):
        return _batch_norm(x, label, batch_norm_momentum, name)

    grid = (*coarsest, filters[0])
    x = make.dense(math.prod(grid), name="grid")(x)
    x = keras.layers.Reshape(grid, name="grid_shape")(x)
    for i, (channels, side) in enumerate(zip(filters[1:], grids, strict=True), start=1):
        y = keras.layers.ReLU(name=f"stage_{i}_activation_1")(norm(x, f"stage_{i}_norm_1"))
        y = _up(y, side, f"stage_{i}_up")
        # Whatever a bias adds to a channel, the normalizations take away again.
        y = make.conv(channels, 3, gain=2.0, use_bias=False, name=f"stage_{i}_conv_1")(y)
        y = keras.layers.ReLU(name=f"stage_{i}_activation_2")(norm(y, f"stage_{i}_norm_2"))
        y = make.conv(channels, 3, gain=2.0, use_bias=False, name=f"stage_{i}_conv_2")(y)
        # Before the doubling, which it commutes with: a quarter of the work.
        x = make.conv(channels, 1, use_bias=False, name=f"stage_{i}_shortcut")(x)
        x = _up(x, side, f"stage_{i}_shortcut_up")
        x = keras.layers.Add(name=f"stage_{i}")([x, y])
        if i == attention_after:
            x = SelfAttention(spectral, name="attention")(x)
    x = keras.layers.ReLU(name="output_in")(norm(x, "output_norm"))
    x = make.conv(output_shape[-1], 3, activation=output_activation, name="output")(x)
    return keras.Model(inputs, x, name=name)


def sngan_discriminator(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    filters: Sequence[int] = (128, 128),
    blocks: Sequence[int] = (128, 128),
    num_classes: int | None = None,
    spectral: bool = True,
    attention_after: int | None = None,
    output_bias: bool = True,
    name: str = "sngan_discriminator",
) -> keras.Model:
    """Residual blocks that halve the sides, from an image to one logit, or several numbers.

    `conv1(pool(x)) + pool(conv3(act(conv3(act(x))))) per stage
    -> conv1(x) + conv3(act(conv3(act(x)))) per block
    -> h = sum over places of act(x) -> dense(h) [+ h . V label]`, `act` ReLU, `pool` the mean of
    2 x 2. The first stage begins without `act`; x itself where a block keeps the channels.

    Args:
        input_shape: `(height, width, channels)`: the image, and behind it constant planes of the
            label where it is told one.
        output_shape: `(outputs,)`, (1,) for a logit.
        filters: see the module for this and the options not named here.
        blocks: channels of each residual block behind the stages, which keeps the sides.
        output_bias: whether the output layer has a bias; a loss that only compares logits cannot
            see one.

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind or out of its range.
    """
    input_shape = parts.check_shape("input_shape", input_shape, AXES[3])
    (outputs,) = parts.check_shape("output_shape", output_shape, ("outputs",))
    filters = parts.check_widths("filters", filters)
    blocks = parts.check_widths("blocks", blocks)
    _check_attention(attention_after, len(filters))
    pyramid(input_shape[:-1], len(filters))
    channels = input_shape[-1] - _check_classes(num_classes, input_shape[-1])
    if num_classes and outputs != 1:
        raise parts.expected("output_shape", "(1,): a projection gives one logit", (outputs,))
    make = Layers(spectral)

    x = inputs = keras.Input(input_shape, name="inputs")
    if num_classes:
        x = Columns(0, channels, name="image")(inputs)
        planes = Columns(channels, input_shape[-1], name="label_planes")(inputs)
        label = keras.layers.GlobalAveragePooling2D(name="label")(planes)
    for i, width in enumerate(filters, start=1):
        x = _block(x, width, make, f"stage_{i}", activate_first=i > 1, pool=True)
        if i == attention_after:
            x = SelfAttention(spectral, name="attention")(x)
    for i, width in enumerate(blocks, start=1):
        x = _block(x, width, make, f"block_{i}")
    x = keras.layers.ReLU(name="last_activation")(x)
    places = x.shape[1] * x.shape[2]
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    h = keras.layers.Rescaling(float(places), name="sum")(x)
    logit = make.dense(outputs, use_bias=output_bias, name="output")(h)
    if num_classes:
        embedded = make.dense(h.shape[-1], use_bias=False, name="embedding")(label)
        projected = keras.layers.Dot(axes=-1, name="projection")([h, embedded])
        logit = keras.layers.Add(name="conditional_output")([logit, projected])
    return keras.Model(inputs, logit, name=name)


@dataclass(frozen=True)
class Layers:
    """Makes layers with weights: of spectral norm 1, or plain; Glorot's start times a gain."""

    spectral: bool

    def conv(self, filters, kernel_size, *, gain=1.0, **options):
        layer = SpectralConv2D if self.spectral else keras.layers.Conv2D
        start = keras.initializers.VarianceScaling(gain, "fan_avg", "uniform")
        return layer(filters, kernel_size, padding="same", kernel_initializer=start, **options)

    def dense(self, units, **options):
        return (SpectralDense if self.spectral else keras.layers.Dense)(units, **options)


def _batch_norm(x, label, momentum, name):
    """Batch normalization; with labels, whose gain and shift are those of the class."""
    plain = label is None
    x = keras.layers.BatchNormalization(
        momentum=momentum, epsilon=1e-5, center=plain, scale=plain, name=name
    )(x)
    if plain:
        return x
    for part, start, join in (
        ("gain", "ones", keras.layers.Multiply),
        ("shift", "zeros", keras.layers.Add),
    ):
        channels = x.shape[-1]
        each = keras.layers.Dense(
            channels, use_bias=False, kernel_initializer=start, name=f"{name}_{part}s"
        )(label)
        each = keras.layers.Reshape((1, 1, channels), name=f"{name}_{part}s_shape")(each)
        x = join(name=f"{name}_{part}")([x, each])
    return x


def _up(x, side, name):
    x = keras.layers.UpSampling2D(2, name=name)(x)
    return crop(x, side, f"{name}_crop")


def _block(x, width, make, name, activate_first=True, pool=False):
    y = keras.layers.ReLU(name=f"{name}_activation_1")(x) if activate_first else x
    y = make.conv(width, 3, gain=2.0, name=f"{name}_conv_1")(y)
    y = keras.layers.ReLU(name=f"{name}_activation_2")(y)
    y = make.conv(width, 3, gain=2.0, name=f"{name}_conv_2")(y)
    narrower = x.shape[-1] != width
    if pool:
        y = keras.layers.AveragePooling2D(2, padding="same", name=f"{name}_pool")(y)
        # Before the 1 x 1 convolution, which it commutes with: a quarter of the work.
        x = keras.layers.AveragePooling2D(2, padding="same", name=f"{name}_shortcut_pool")(x)
    if pool or narrower:
        x = make.conv(width, 1, use_bias=False, name=f"{name}_shortcut")(x)
    return keras.layers.Add(name=name)([x, y])


def _check_classes(num_classes, features):
    """How many of the features are the label's."""
    if num_classes is None:
        return 0
    parts.check_width("num_classes", num_classes)
    if num_classes >= features:
        wanted = (
            f"fewer than the {features} features or channels of the input, the label's included"
        )
        raise parts.expected("num_classes", wanted, num_classes)
    return num_classes


def _check_attention(after, stages):
    if after is not None and (isinstance(after, bool) or after not in range(1, stages + 1)):
        raise parts.expected("attention_after", f"a stage, 1 to {stages}, or None", after)

"""Random changes of images that gradients pass through, and nothing else.

A discriminator of few images learns them by heart. It is shown data and samples alike through
random changes, and the generator's gradient comes back through the same changes: DiffAugment
(Zhao et al. 2020), or changes applied with a probability that follows the discriminator's
overfitting (Karras et al. 2020). All chance comes in as uniform numbers, so that a step traces.
"""

import math

from keras import ops

# -- What a model holds -----------------------------------------------------------------------


class Augmentation:
    """Random changes of images, one after the other; `augmentation` builds and checks it.

    Args:
        names: Names of `TRANSFORMS`, in the order they are applied.
    """

    def __init__(self, names):
        self.names = tuple(names)
        self.adaptive = any(name in ADAPTIVE for name in self.names)

    def draws(self, channels):
        """How many uniform numbers an image takes.

        Args:
            channels: Channels of the images.

        Returns:
            An integer.
        """
        return sum(TRANSFORMS[name][1](channels) for name in self.names)

    def apply(self, images, uniforms, p=None):
        """Change each image of a batch in its own way.

        Args:
            images: `(batch, height, width, channels)`, any float dtype, in [-1, 1]. The papers
                add brightness, and fill with mid-grey, in these units.
            uniforms: float32 `(batch, draws(channels))` uniform numbers in (0, 1). Of fewer bits,
                a place or an angle could be one of a few only.
            p: Scalar in [0, 1]: with what probability each adaptive change is applied; not used
                by the others.

        Returns:
            `(batch, height, width, channels)` of the images' dtype, not clipped to a range:
            exactly `images` where nothing is applied.

        Raises:
            ValueError: These are no images, `uniforms` are not as many, or `p` is missing.
        """
        if len(images.shape) != 4:
            raise ValueError(
                f"augmentation {', '.join(self.names)}: changes images (batch, height, width, "
                f"channels) only; got shape {tuple(images.shape)}. Leave it out for vectors and "
                "signals."
            )
        channels = images.shape[-1]
        if len(uniforms.shape) != 2 or uniforms.shape[-1] != self.draws(channels):
            raise ValueError(
                f"uniforms: expected (batch, {self.draws(channels)}) for {', '.join(self.names)} "
                f"of {channels} channel(s); got shape {tuple(uniforms.shape)}."
            )
        if self.adaptive and p is None:
            raise ValueError(f"p: expected a number in [0, 1] for {', '.join(self.names)}.")
        result, uniforms = ops.cast(images, "float32"), ops.cast(uniforms, "float32")
        first = 0
        for name in self.names:
            change, draws = TRANSFORMS[name]
            own = uniforms[:, first : first + draws(channels)]
            first += draws(channels)
            options = {"p": ops.cast(p, "float32")} if name in ADAPTIVE else {}
            result = change(result, own, **options)
        return ops.cast(result, images.dtype)


def augmentation(names):
    """Build an augmentation from the names of its changes.

    DiffAugment, always applied: "color", "translation", "cutout". Adaptive, each change applied
    with probability p: "ada_pixels", "ada_geometry", "ada_color", and "ada" for these three.

    Args:
        names: A name, or a sequence of them in the order they are applied.

    Returns:
        An `Augmentation`.

    Raises:
        ValueError: A name is unknown, comes twice, or there is none.
    """
    given = [names] if isinstance(names, str) else list(names)
    known = ", ".join(map(repr, (*TRANSFORMS, "ada")))
    parts = []
    for name in given:
        if name not in TRANSFORMS and name != "ada":
            raise ValueError(f"augmentation: expected names among {known}; got {name!r}.")
        parts += ADAPTIVE if name == "ada" else [name]
    if not parts:
        raise ValueError(f"augmentation: expected one or more of {known}; got none.")
    if len(set(parts)) < len(parts):
        raise ValueError(f"augmentation: expected each change once; got {given!r}.")
    return Augmentation(parts)


# -- How strongly -----------------------------------------------------------------------------


def overfitting(real_logits):
    """How far a discriminator has learned its data by heart: `r_t = E[sign(D(x))]`.

    Args:
        real_logits: `(batch, 1)` logits of training images, changed as in training.

    Returns:
        float32 scalar in [-1, 1]: 0 where it cannot tell, 1 where it is sure of every image.

    Reference:
        Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data",
        equation 1.
    """
    return ops.mean(ops.sign(ops.cast(real_logits, "float32")))


def adapt(p, overfit, target, speed):
    """Move the probability of the adaptive changes against the overfitting.

    `p <- clip(p + speed * sign(overfit - target), 0, 1)`

    Args:
        p: Scalar in [0, 1].
        overfit: Scalar: `overfitting` of the images since p was last moved.
        target: Scalar that `overfit` is held at; 0.6 in the paper.
        speed: Images since p was last moved, over the images in which it goes from 0 to 1:
            500,000 in the paper, which moves p every four batches.

    Returns:
        float32 scalar in [0, 1].

    Reference:
        Karras et al. 2020, section 3.
    """
    step = speed * ops.sign(ops.cast(overfit, "float32") - target)
    return ops.clip(ops.cast(p, "float32") + step, 0.0, 1.0)


# -- DiffAugment ------------------------------------------------------------------------------


def color(images, uniforms):
    """Random brightness, saturation and contrast of each image.

    `x + b`; then `s (x - grey) + grey`, grey the mean over a pixel's channels; then
    `c (x - mean) + mean`, mean that of the image; `b ~ U(-1/2, 1/2)`, `s ~ U(0, 2)`,
    `c ~ U(1/2, 3/2)`.

    Args:
        images: float32 `(batch, height, width, channels)`.
        uniforms: float32 `(batch, 3)`: of b, s, c; `(batch, 2)` of grey images, without s.

    Returns:
        float32 `(batch, height, width, channels)`.

    Reference:
        Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training",
        section 3.
    """
    brightness, *saturation, contrast = _columns(uniforms)
    images = images + (brightness - 0.5)
    for level in saturation:
        grey = ops.mean(images, axis=-1, keepdims=True)
        images = 2 * level * (images - grey) + grey
    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    return (contrast + 0.5) * (images - mean) + mean


def translation(images, uniforms):
    """Move each image by up to an eighth of its sides, in whole pixels; what it leaves is 0.

    Args:
        images: float32 `(batch, height, width, channels)`.
        uniforms: float32 `(batch, 2)`: of the shifts down and to the right.

    Returns:
        float32 `(batch, height, width, channels)`.

    Reference:
        Zhao et al. 2020, section 3.
    """
    _, height, width, _ = images.shape
    places = []
    for axis, side in enumerate((height, width)):
        largest = int(side / 8 + 0.5)
        shift = _integers(uniforms[:, axis], 2 * largest + 1) - largest
        places.append(ops.arange(side, dtype="int32") - ops.expand_dims(shift, 1))
    rows, columns = ops.expand_dims(places[0], 2), ops.expand_dims(places[1], 1)
    there = ops.logical_and(_within(rows, height), _within(columns, width))
    moved = _pixels(images, ops.clip(rows, 0, height - 1), ops.clip(columns, 0, width - 1))
    return ops.where(ops.expand_dims(there, -1), moved, 0.0)


def cutout(images, uniforms):
    """Set a box of half the sides to 0, its centre anywhere in the image.

    Args:
        images: float32 `(batch, height, width, channels)`.
        uniforms: float32 `(batch, 2)`: of the centre's row and column.

    Returns:
        float32 `(batch, height, width, channels)`.

    Reference:
        Zhao et al. 2020, section 3; DeVries & Taylor 2017 for the box.
    """
    inside = []
    for axis, side in enumerate(images.shape[1:3]):
        size = int(side / 2 + 0.5)
        centre = _integers(uniforms[:, axis], side + 1 - size % 2)
        first = ops.expand_dims(centre, 1) - size // 2
        inside.append(_within(ops.arange(side, dtype="int32") - first, size))
    box = ops.logical_and(ops.expand_dims(inside[0], 2), ops.expand_dims(inside[1], 1))
    return ops.where(ops.expand_dims(box, -1), 0.0, images)


# -- Adaptive discriminator augmentation --------------------------------------------------------


def ada_pixels(images, uniforms, p):
    """Mirror, turn by quarters and move images by whole pixels: no pixel's value changes.

    Each with probability p: left to right or not; by 0 to 3 quarters, counter-clockwise, of
    square images only; by up to an eighth of the sides. Beyond its border an image is mirrored.

    Args:
        images: float32 `(batch, height, width, channels)`.
        uniforms: float32 `(batch, 7)`: whether and of what, each: mirror, turn, move (down and
            to the right).
        p: Scalar in [0, 1].

    Returns:
        float32 `(batch, height, width, channels)`.

    Reference:
        Karras et al. 2020, appendix B, "pixel blitting".
    """
    _, height, width, _ = images.shape
    mirrors, mirror, turns, turn, moves, down, right = ops.unstack(uniforms, axis=1)
    mirrored = ops.logical_and(mirrors < p, mirror < 0.5)
    sign = ops.where(mirrored, -1.0, 1.0)
    quarters = ops.where(turns < p, _integers(turn, 4 if height == width else 1), 0)
    shift = [
        ops.where(moves < p, ops.round((2 * level - 1) * 0.125 * side), 0.0)
        for level, side in ((down, height), (right, width))
    ]
    angle = 0.5 * math.pi * ops.cast(quarters, "float32")
    cosine, sine = ops.round(ops.cos(angle)), ops.round(ops.sin(angle))  # exact: -1, 0 or 1
    linear = (cosine, sine, -sign * sine, sign * cosine)
    rows, columns = _read_from(images, linear, shift)
    rows, columns = (ops.cast(ops.round(places), "int32") for places in (rows, columns))
    return _pixels(images, _mirrored(rows, height), _mirrored(columns, width))


def ada_geometry(images, uniforms, p):
    """Scale, turn, stretch and move images, read between pixels bilinearly.

    Each with probability p: scaling by `s`, `log2 s ~ N(0, 0.2^2)`; a turn by any angle;
    stretching by `k` across and `1 / k` down, `log2 k ~ N(0, 0.2^2)`; another turn; moving by
    `N(0, 0.125^2)` of the sides. Each turn has probability `1 - sqrt(1 - p)`: p for either.
    Beyond its border an image is mirrored. The paper filters by wavelets against aliasing; here
    bilinear interpolation stands alone.

    Args:
        images: float32 `(batch, height, width, channels)`.
        uniforms: float32 `(batch, 11)`: whether and of what, each: scale, turn, stretch, turn,
            move (down and to the right).
        p: Scalar in [0, 1].

    Returns:
        float32 `(batch, height, width, channels)`.

    Reference:
        Karras et al. 2020, appendix B, "general geometric transformations".
    """
    _, height, width, _ = images.shape
    scales, scale, *turns, moves, down, right = ops.unstack(uniforms, axis=1)
    first, angle, stretches, stretch, second, other = turns
    scale = ops.where(scales < p, _exponential(0.2 * _normal(scale)), 1.0)
    stretch = ops.where(stretches < p, _exponential(0.2 * _normal(stretch)), 1.0)
    turned = 1 - ops.sqrt(1 - p)
    angles = [
        ops.where(chosen < turned, math.pi * (2 * level - 1), 0.0)
        for chosen, level in ((first, angle), (second, other))
    ]
    shift = [
        ops.where(moves < p, 0.125 * side * _normal(level), 0.0)
        for level, side in ((down, height), (right, width))
    ]
    # From a pixel of the result back to the image: each change undone, the last one first.
    # [y, x] -> 1/s [c1 s1; -s1 c1] [k 0; 0 1/k] [c2 s2; -s2 c2] [y, x]
    (c1, s1), (c2, s2) = ((ops.cos(angle), ops.sin(angle)) for angle in angles)
    tall, wide = stretch, 1 / stretch
    linear = (
        (c1 * tall * c2 - s1 * wide * s2) / scale,
        (c1 * tall * s2 + s1 * wide * c2) / scale,
        (-s1 * tall * c2 - c1 * wide * s2) / scale,
        (-s1 * tall * s2 + c1 * wide * c2) / scale,
    )
    return _between_pixels(images, *_read_from(images, linear, shift))


def ada_color(images, uniforms, p):
    """Change the brightness, contrast, luma, hue and saturation of images.

    Each with probability p: `x + b`, `b ~ N(0, 0.2^2)`; `c x`, `log2 c ~ N(0, 0.5^2)`; of three
    channels also, `v = (1, 1, 1) / sqrt(3)` the axis of greys: the component along v mirrored
    or not; a turn about v by any angle; `x = grey + t (x - grey)`, `log2 t ~ N(0, 1)`.

    Args:
        images: float32 `(batch, height, width, channels)`.
        uniforms: float32 `(batch, 10)` of three channels, else `(batch, 4)`: whether and of what,
            each: brightness, contrast, luma, hue, saturation.
        p: Scalar in [0, 1].

    Returns:
        float32 `(batch, height, width, channels)`.

    Reference:
        Karras et al. 2020, appendix B, "color transformations".
    """
    brightens, brightness, contrasts, contrast, *of_three = _columns(uniforms)
    brightness = ops.where(brightens < p, 0.2 * _normal(brightness), 0.0)
    contrast = ops.where(contrasts < p, _exponential(0.5 * _normal(contrast)), 1.0)
    images = contrast * (images + brightness)
    if not of_three:
        return images
    flips, flip, turns, turn, saturates, saturation = of_three
    luma = ops.where(ops.logical_and(flips < p, flip < 0.5), -1.0, 1.0)
    angle = ops.where(turns < p, math.pi * (2 * turn - 1), 0.0)
    saturation = ops.where(saturates < p, _exponential(_normal(saturation)), 1.0)
    # luma v v' + t (cos (I - v v') + sin [v]x), in terms that vanish exactly where nothing is done.
    along, across = saturation * ops.cos(angle), saturation * ops.sin(angle)
    grey = ops.mean(images, axis=-1, keepdims=True)
    turned = (ops.roll(images, 1, axis=-1) - ops.roll(images, -1, axis=-1)) / math.sqrt(3)
    return along * images + (luma - along) * grey + across * turned


ADAPTIVE = ("ada_pixels", "ada_geometry", "ada_color")
# name: the change, and how many uniform numbers an image of so many channels takes
TRANSFORMS = {
    "color": (color, lambda channels: 2 if channels == 1 else 3),
    "translation": (translation, lambda channels: 2),
    "cutout": (cutout, lambda channels: 2),
    "ada_pixels": (ada_pixels, lambda channels: 7),
    "ada_geometry": (ada_geometry, lambda channels: 11),
    "ada_color": (ada_color, lambda channels: 10 if channels == 3 else 4),
}


# -- Numbers from uniform ones ------------------------------------------------------------------


def _columns(uniforms):
    """A number an image each, in the shape that multiplies images."""
    return [ops.reshape(column, (-1, 1, 1, 1)) for column in ops.unstack(uniforms, axis=1)]


def _integers(uniforms, count):
    """int32 in `[0, count)`: in float32 no number below 1 times `count` is rounded up to it."""
    return ops.cast(ops.floor(uniforms * count), "int32")


def _normal(uniforms):
    return math.sqrt(2) * ops.erfinv(2 * uniforms - 1)


def _exponential(exponent):
    return ops.exp(math.log(2) * exponent)


# -- Pixels ---------------------------------------------------------------------------------------


def _within(places, side):
    return ops.logical_and(places >= 0, places < side)


def _mirrored(places, side):
    """Places beyond a border, mirrored about the border's pixel."""
    span = max(1, 2 * (side - 1))
    places = ops.mod(places, span)
    return ops.minimum(places, 2 * (side - 1) - places)


def _read_from(images, linear, shift):
    """Where each pixel of a result is read: `linear` of its place less `shift`, about the centre.

    Args:
        images: `(batch, height, width, channels)`.
        linear: Four `(batch,)`: `[[row of row, row of column], [column of row, column of column]]`.
        shift: Two `(batch,)`: pixels down and to the right.

    Returns:
        Rows and columns, float32 `(batch, height, width)`.
    """
    _, height, width, _ = images.shape
    middle = (height - 1) / 2, (width - 1) / 2
    down, right = (
        ops.arange(side, dtype="float32") - centre - ops.expand_dims(moved, 1)
        for side, centre, moved in zip((height, width), middle, shift, strict=True)
    )
    down, right = ops.expand_dims(down, 2), ops.expand_dims(right, 1)
    a, b, c, d = (ops.reshape(entry, (-1, 1, 1)) for entry in linear)
    return a * down + b * right + middle[0], c * down + d * right + middle[1]


def _between_pixels(images, rows, columns):
    """Read images between their pixels, bilinearly; beyond the border they are mirrored."""
    _, height, width, _ = images.shape
    top, left = ops.floor(rows), ops.floor(columns)
    below, beside = ops.expand_dims(rows - top, -1), ops.expand_dims(columns - left, -1)
    top, left = ops.cast(top, "int32"), ops.cast(left, "int32")
    vertical = [_mirrored(top + step, height) for step in (0, 1)]
    horizontal = [_mirrored(left + step, width) for step in (0, 1)]
    upper, lower = (
        (1 - beside) * _pixels(images, row, horizontal[0])
        + beside * _pixels(images, row, horizontal[1])
        for row in vertical
    )
    return (1 - below) * upper + below * lower


def _pixels(images, rows, columns):
    """Read whole pixels.

    Args:
        images: `(batch, height, width, channels)`.
        rows: int32 `(batch, height, width)`, or what broadcasts to it with `columns`.
        columns: int32, likewise.

    Returns:
        `(batch, height, width, channels)`.
    """
    _, height, width, channels = images.shape
    first = ops.arange(ops.shape(images)[0], dtype="int32") * (height * width)
    places = ops.reshape(first, (-1, 1, 1)) + rows * width + columns
    # Along axis 1: along axis 0, TensorFlow's gradient is sparse.
    return ops.take(ops.reshape(images, (1, -1, channels)), places, axis=1)[0]

"""Networks that grow: a block for each scale of the images, of which a stage runs the lowest only.

The options of both builders:

    width, widest, start: of `levels`; the paper's are 512 as `widest`, and 256 as the `width` of
        images of 64 x 64.
    name: name of the model.

A network has `levels`, the coarsest being level 0. `stage(level, fading)` is the part of it for
the images of a level: a functional model of its own, whose variables are those that it needs.
While a level is faded in, its share alpha is a second input of the part:

    generator       image = (1 - alpha) * enlarged(image of the level before) + alpha * image
    discriminator   features = (1 - alpha) * features(shrunk(image)) + alpha * features
"""

import functools
import math
from collections.abc import Sequence

import keras

from keras_gen.networks import parts
from keras_gen.networks.conv import AXES
from keras_gen.networks.equalized import (
    GAIN,
    EqualizedConv2D,
    EqualizedDense,
    PixelNormalization,
)
from keras_gen.networks.levels import convolution, finish, levels, verdict

VECTOR = ("features",)


@keras.saving.register_keras_serializable(package="keras_gen")
class Fade(keras.layers.Layer):
    """`(1 - alpha) * before + alpha * after`."""

    def call(self, before, after, alpha):
        return (1.0 - alpha) * before + alpha * after


class Growing(keras.Model):
    """What both networks share: the sides and widths of the levels, and the stages.

    A subclass makes its layers, and connects those of one stage in `connect`.
    """

    def __init__(self, shapes, image, width, widest, start, name):
        super().__init__(name=name)
        self.shapes = shapes
        self.width, self.widest, self.start = width, widest, start
        *sides, self.channels = shapes[image]
        self.sides, self.widths = levels(image, sides, width, widest, start)
        self.levels = len(self.sides)
        # A cache that Keras does not take for layers to be saved once more.
        self.stage = functools.cache(self._stage)
        self.built = True

    def _stage(self, level, fading):
        inputs = keras.Input(self.inputs_of(level), name="inputs")
        alpha = keras.Input(batch_shape=(), dtype="float32", name="alpha") if fading else None
        outputs = self.connect(level, inputs, alpha)
        name = f"{self.name}_{level}{'_fading' if fading else ''}"
        return keras.Model([inputs, alpha] if fading else inputs, outputs, name=name)

    def call(self, inputs, training=False):
        return self.stage(self.levels - 1, False)(inputs, training=training)

    @property
    def input_shape(self):
        return (None, *self.shapes["input_shape"])

    @property
    def output_shape(self):
        return (None, *self.shapes["output_shape"])

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.shapes["output_shape"])

    def get_config(self):
        own = {name: getattr(self, name) for name in ("width", "widest", "start", "name")}
        return {**self.shapes, **own}


@keras.saving.register_keras_serializable(package="keras_gen")
class ProgressiveGenerator(Growing):
    """Vectors to images: `enlarge -> (convolve -> activate -> normalize pixels) twice` a level.

    Level 0 is `normalize -> dense to the grid -> activate -> normalize pixels -> convolve
    -> activate -> normalize pixels`. The image of a level is a convolution 1 x 1.

    Args:
        input_shape: shape of one latent, `(features,)`.
        output_shape: `(height, width, channels)`.
        width: see the module for this and the options not named here.
        output_activation: None, as in the paper, "sigmoid" for pixels in [0, 1] or "tanh" for
            [-1, 1].

    Returns:
        A model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind, or the sides do not come of doubling `start`.

    Reference: Karras et al. 2018, section 2 and table 2.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        output_shape: Sequence[int],
        *,
        width: int = 16,
        widest: int = 128,
        start: int | None = None,
        output_activation: str | None = None,
        name: str = "progressive_generator",
    ):
        shapes = {
            "input_shape": parts.check_shape("input_shape", input_shape, VECTOR),
            "output_shape": parts.check_shape("output_shape", output_shape, AXES[3]),
        }
        parts.check_choice("output_activation", output_activation, parts.OUTPUT_ACTIVATIONS)
        super().__init__(shapes, "output_shape", width, widest, start, name)
        self.output_activation = output_activation
        grid = (*self.sides[0], self.widths[0])
        # The table calls it a convolution, each output of which sees the whole grid: He's constant
        # is of so many inputs.
        gain = GAIN / math.sqrt(math.prod(self.sides[0]))
        lowest = [
            PixelNormalization(name="latent_normalization"),
            EqualizedDense(math.prod(grid), gain=gain, name="grid"),
            keras.layers.Reshape(grid, name="grid_shape"),
            *finish("grid", normalize=True),
            *convolution(self.widths[0], "level_0_1", normalize=True),
        ]
        self.blocks = [_block(shapes["input_shape"], lowest, "level_0")]
        for level in range(1, self.levels):
            name, channels = f"level_{level}", self.widths[level]
            layers = [
                keras.layers.UpSampling2D(name=f"{name}_enlarge"),
                *convolution(channels, f"{name}_0", normalize=True),
                *convolution(channels, f"{name}_1", normalize=True),
            ]
            below = (*self.sides[level - 1], self.widths[level - 1])
            self.blocks.append(_block(below, layers, name))
        image = {"kernel_size": 1, "gain": 1.0, "activation": output_activation}
        self.images = [
            _block(
                (*sides, channels),
                [EqualizedConv2D(self.channels, name=f"image_{level}_pixels", **image)],
                f"image_{level}",
            )
            for level, (sides, channels) in enumerate(zip(self.sides, self.widths, strict=True))
        ]
        self.enlarge = keras.layers.UpSampling2D(name="enlarge")
        self.fade = Fade(name="fade")
        self.stage(self.levels - 1, True)  # every layer has been called now, and so is built

    def inputs_of(self, level):
        """The shape of what a stage is given: of a latent, at every level."""
        return self.shapes["input_shape"]

    def connect(self, level, inputs, alpha):
        """The images of a level; `alpha` is None where the level is not being faded in."""
        x, below = inputs, None
        for block in self.blocks[: level + 1]:
            x, below = block(x), x
        image = self.images[level](x)
        if alpha is None:
            return image
        return self.fade(self.enlarge(self.images[level - 1](below)), image, alpha)

    def get_config(self):
        return {**super().get_config(), "output_activation": self.output_activation}


@keras.saving.register_keras_serializable(package="keras_gen")
class ProgressiveDiscriminator(Growing):
    """Images to numbers: `(convolve -> activate) twice -> average by 2` a level.

    What a level begins with is `convolve, 1 x 1 -> activate` of its images. Level 0 is
    `how much the batch differs -> convolve -> activate -> dense -> activate -> dense`.

    Args:
        input_shape: `(height, width, channels)`.
        output_shape: shape of one output, `(features,)`.
        width: see the module for this and the options not named here.
        group_size: images a group of those that are compared; None for the whole batch.

    Returns:
        A model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind, or the sides do not come of doubling `start`.

    Reference: Karras et al. 2018, sections 2 and 3 and table 2.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        output_shape: Sequence[int],
        *,
        width: int = 16,
        widest: int = 128,
        start: int | None = None,
        group_size: int | None = None,
        name: str = "progressive_discriminator",
    ):
        shapes = {
            "input_shape": parts.check_shape("input_shape", input_shape, AXES[3]),
            "output_shape": parts.check_shape("output_shape", output_shape, VECTOR),
        }
        if group_size is not None:
            parts.check_width("group_size", group_size)
        super().__init__(shapes, "input_shape", width, widest, start, name)
        self.group_size = group_size
        lowest = verdict(self.widths[0], shapes["output_shape"][0], group_size)
        grids = [(*sides, width) for sides, width in zip(self.sides, self.widths, strict=True)]
        self.blocks = [_block(grids[0], lowest, "level_0")]
        for level in range(1, self.levels):
            name = f"level_{level}"
            layers = [
                *convolution(self.widths[level], f"{name}_0"),
                *convolution(self.widths[level - 1], f"{name}_1"),
                keras.layers.AveragePooling2D(2, name=f"{name}_shrink"),
            ]
            self.blocks.append(_block(grids[level], layers, name))
        self.features = [
            _block(
                self.inputs_of(level),
                convolution(channels, f"features_{level}_pixels", kernel_size=1),
                f"features_{level}",
            )
            for level, channels in enumerate(self.widths)
        ]
        self.shrink = keras.layers.AveragePooling2D(2, name="shrink")
        self.fade = Fade(name="fade")
        self.stage(self.levels - 1, True)  # every layer has been called now, and so is built

    def inputs_of(self, level):
        """The shape of what a stage is given: of an image of the level."""
        return (*self.sides[level], self.channels)

    def connect(self, level, inputs, alpha):
        """The numbers of images of a level; `alpha` is None where it is not being faded in."""
        x = self.features[level](inputs)
        for i in range(level, -1, -1):
            x = self.blocks[i](x)
            if alpha is not None and i == level:
                x = self.fade(self.features[level - 1](self.shrink(inputs)), x, alpha)
        return x

    def get_config(self):
        return {**super().get_config(), "group_size": self.group_size}


def _block(shape, layers, name):
    return keras.Sequential([keras.Input(shape), *layers], name=name)

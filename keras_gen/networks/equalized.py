"""Layers whose weights all learn at one speed, and the two normalisations that go with them.

Reference: Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and
Variation", 2018, sections 3 and 4.
"""

import math

import keras
from keras import ops

GAIN = 2**0.5  # of He's initializer: half of a rectified output is gone


class Equalized:
    """Placed before a layer with a kernel: its scale is a constant of the layer, not of its start.

    `kernel = c * w`, `w ~ N(0, 1)` at the start, `c = gain / sqrt(fan in)`

    Adam moves every weight by about the same amount: with the constant outside, that is the same
    share of its range in every layer.

    Args:
        gain: The deviation of the outputs where the inputs have deviation 1; sqrt(2) before a
            rectifier.
        **kwargs: The arguments of the layer.

    Reference:
        Karras et al. 2018, section 4.1.
    """

    def __init__(self, *args, gain=GAIN, **kwargs):
        kwargs.setdefault("kernel_initializer", keras.initializers.RandomNormal(stddev=1.0))
        super().__init__(*args, **kwargs)
        self.gain = gain

    def constant(self):
        """`c = gain / sqrt(fan in)`."""
        return self.gain / math.sqrt(math.prod(self.kernel.shape[:-1]))

    def get_config(self):
        return {**super().get_config(), "gain": self.gain}


@keras.saving.register_keras_serializable(package="keras_gen")
class EqualizedConv2D(Equalized, keras.layers.Conv2D):
    """A convolution with an equalised learning rate."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel * self.constant())


@keras.saving.register_keras_serializable(package="keras_gen")
class EqualizedDense(Equalized, keras.layers.Dense):
    """A dense layer with an equalised learning rate."""

    def call(self, inputs, training=None):
        return super().call(inputs * self.constant(), training=training)


@keras.saving.register_keras_serializable(package="keras_gen")
class PixelNormalization(keras.layers.Layer):
    """Every pixel's features to length 1 a feature: `x / sqrt(mean(x**2) + 1e-8)`, last axis.

    Of vectors: the projection to the sphere of radius sqrt(features).

    Reference:
        Karras et al. 2018, section 4.2.
    """

    def call(self, x):
        wide = ops.cast(x, "float32")  # squares of half precision overflow, 1e-8 is nothing there
        mean = ops.mean(ops.square(wide), axis=-1, keepdims=True)
        return ops.cast(wide * ops.rsqrt(mean + 1e-8), x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="keras_gen")
class MinibatchDeviation(keras.layers.Layer):
    """One more feature map: how much the images of a batch, or of a group of it, differ.

    `s = mean(sqrt(variance(x over the group) + 1e-8) over places and features)`, the same number
    at every place of every image of the group.

    Args:
        group_size: Images a group, in the order of the batch, the last group maybe smaller; `None`:
            the whole batch.
        **kwargs: `name`, `dtype` of `keras.layers.Layer`.

    Reference:
        Karras et al. 2018, section 3; the groups are those of the authors' code.
    """

    def __init__(self, group_size=None, **kwargs):
        super().__init__(**kwargs)
        self.group_size = group_size

    def call(self, x):
        wide = ops.cast(x, "float32")
        axes = tuple(range(1, len(x.shape)))
        squares = ops.square(wide - self._mean_of_group(wide))
        deviation = ops.sqrt(self._mean_of_group(squares) + 1e-8)
        number = ops.mean(deviation, axis=axes, keepdims=True)
        feature = ops.broadcast_to(number, (*ops.shape(x)[:-1], 1))
        return ops.concatenate([x, ops.cast(feature, x.dtype)], axis=-1)

    def _mean_of_group(self, x):
        """The mean over the images of its group, for each image."""
        if self.group_size is None:
            return ops.mean(x, axis=0, keepdims=True)
        # A batch of any size: a matrix product, and no shape that the size must divide.
        group = ops.arange(ops.shape(x)[0]) // self.group_size
        together = ops.cast(group[:, None] == group[None, :], x.dtype)
        share = together / ops.sum(together, axis=1, keepdims=True)
        flat = ops.reshape(x, (-1, math.prod(x.shape[1:])))
        return ops.reshape(ops.matmul(share, flat), (-1, *x.shape[1:]))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self):
        return {**super().get_config(), "group_size": self.group_size}

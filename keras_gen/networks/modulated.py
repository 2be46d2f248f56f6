"""Layers that a style acts on: modulated convolutions, noise, and the constant they begin with.

Reference: Karras et al., "A Style-Based Generator Architecture for Generative Adversarial
Networks" (StyleGAN), 2019; Karras et al., "Analyzing and Improving the Image Quality of StyleGAN"
(StyleGAN2), 2020.
"""

import keras
from keras import ops

from keras_gen.networks.equalized import EqualizedConv2D, EqualizedDense


@keras.saving.register_keras_serializable(package="keras_gen")
class ModulatedConv2D(EqualizedConv2D):
    """A convolution whose kernel a style scales, an input channel at a time, for each example.

    `w'_ijk = s_i w_ijk`, `w''_ijk = w'_ijk / sqrt(sum_ik w'_ijk**2 + 1e-8)`, `s = A(style)`

    i is the input channel, j the output's, k the place in the kernel; A is dense, its bias 1 at the
    start. No kernel is made for an example: inputs are scaled by s, outputs by the root, which is
    the same.

    Args:
        *args: of `EqualizedConv2D`.
        demodulate: Whether outputs are divided by the norm that the style gives their kernel.
        **kwargs: of `EqualizedConv2D`.

    Call arguments:
        inputs: `(batch, height, width, channels)`.
        style: `(batch, features)`.

    Reference:
        Karras et al. 2020, section 2.2, equations 1 and 3.
    """

    def __init__(self, *args, demodulate=True, **kwargs):
        super().__init__(*args, **kwargs)
        self.demodulate = demodulate

    def build(self, inputs_shape, style_shape):
        super().build(inputs_shape)
        self.affine = EqualizedDense(
            inputs_shape[-1],
            gain=1.0,
            bias_initializer="ones",
            dtype=self.dtype_policy,
            name="affine",
        )
        self.affine.build(style_shape)

    def call(self, inputs, style):
        s = self.affine(style)
        x = self.convolution_op(inputs * s[:, None, None, :], self.kernel)
        if self.demodulate:
            w = ops.cast(self.kernel, "float32") * self.constant()
            norms = ops.matmul(ops.square(ops.cast(s, "float32")), ops.sum(ops.square(w), (0, 1)))
            x = x * ops.cast(ops.rsqrt(norms + 1e-8), x.dtype)[:, None, None, :]
        return self.activation(x + self.bias if self.use_bias else x)

    def compute_output_shape(self, inputs_shape, style_shape=None):
        return super().compute_output_shape(inputs_shape)

    def get_config(self):
        return {**super().get_config(), "demodulate": self.demodulate}


@keras.saving.register_keras_serializable(package="keras_gen")
class PixelNoise(keras.layers.Layer):
    """`x + strength * n`, `n ~ N(0, 1)`, a number a pixel: fresh in training, else always the same.

    The strength is learned and begins at 0. The noise that is always the same was drawn when the
    layer was built: what is generated depends on the style alone.

    Call arguments:
        x: `(batch, height, width, channels)`.

    Reference:
        Karras et al. 2019, section 3.2; of one strength for all channels Karras et al. 2020.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape):
        self.strength = self.add_weight(shape=(), initializer="zeros", name="strength")
        self.standing = self.add_weight(
            shape=(*input_shape[1:-1], 1),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            trainable=False,
            name="standing",
        )

    def call(self, x, training=False):
        noise = self.standing
        if training:
            shape = (*ops.shape(x)[:-1], 1)
            noise = keras.random.normal(shape, dtype=x.dtype, seed=self.seed_generator)
        return x + self.strength * noise

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="keras_gen")
class ConstantGrid(keras.layers.Layer):
    """One learned image for every example, whatever vectors `(batch, features)` it is given.

    Args:
        shape: `(height, width, channels)`.
        **kwargs: of `keras.layers.Layer`.

    Reference:
        Karras et al. 2019, section 2.
    """

    def __init__(self, shape, **kwargs):
        super().__init__(**kwargs)
        self.shape = tuple(shape)

    def build(self, input_shape):
        self.grid = self.add_weight(
            shape=self.shape,
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="grid",
        )

    def call(self, x):
        return ops.broadcast_to(ops.expand_dims(self.grid, 0), (ops.shape(x)[0], *self.shape))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.shape)

    def get_config(self):
        return {**super().get_config(), "shape": self.shape}


@keras.saving.register_keras_serializable(package="keras_gen")
class Row(keras.layers.Layer):
    """One of the vectors of each example: `x[:, index]`."""

    def __init__(self, index, **kwargs):
        super().__init__(**kwargs)
        self.index = index

    def call(self, x):
        return x[:, self.index]

    def get_config(self):
        return {**super().get_config(), "index": self.index}

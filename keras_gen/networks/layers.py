"""The few layers that Keras lacks: spectral norms, self-attention, doubling, a grid, slices."""

import keras
import numpy as np
from keras import ops

WARM_UP = 20  # power iterations on a new kernel


@keras.saving.register_keras_serializable(package="keras_gen")
class Columns(keras.layers.Layer):
    """Some features of each example, or channels of each place: `x[..., start:stop]`."""

    def __init__(self, start, stop, **kwargs):
        super().__init__(**kwargs)
        self.start, self.stop = start, stop

    def call(self, x):
        return x[..., self.start : self.stop]

    def get_config(self):
        return {**super().get_config(), "start": self.start, "stop": self.stop}


class Spectral:
    """Placed before a layer with a `kernel`: the kernel is divided by its largest singular value.

    `W / sigma(W)`, `sigma(W) = |W u|`, `u <- unit(W^T unit(W u))` at each training call

    W is the kernel as a matrix, a column an output. Its first singular vector u is estimated by
    power iteration, `iterations` a call, kept as the layer's state, and constant to gradients. The
    kernel itself is never written to: a layer may be called several times a step and be
    differentiated twice.

    Reference:
        Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks",
        section 2.1, equation 12, algorithm 1.
    """

    def __init__(self, *args, iterations=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.iterations = iterations

    def build(self, input_shape):
        super().build(input_shape)
        self.singular_vector = self.add_weight(
            shape=(self.kernel.shape[-1],),
            initializer=self._first_estimate,
            trainable=False,
            autocast=False,
            name="singular_vector",
        )

    def _first_estimate(self, shape, dtype=None):
        """Of the first kernel, some iterations on: a poor one would blow the first outputs up."""
        matrix = np.reshape(ops.convert_to_numpy(self.kernel), (-1, *shape))
        u = np.random.default_rng(0).normal(size=shape)
        for _ in range(WARM_UP):
            u = matrix.T @ (matrix @ u)
            u /= np.linalg.norm(u) + 1e-12
        return ops.convert_to_tensor(u, dtype)

    def divided_kernel(self, training=False):
        """The kernel over the estimate of its norm; a training call refines the estimate."""
        kernel = ops.convert_to_tensor(self.kernel)
        matrix = ops.reshape(ops.cast(kernel, "float32"), (-1, kernel.shape[-1]))
        constant, u = ops.stop_gradient(matrix), self.singular_vector.value
        if training:
            for _ in range(self.iterations):
                u = _unit(ops.dot(_unit(ops.dot(constant, u)), constant))
            self.singular_vector.assign(u)
        # To gradients the second vector is constant too, which changes none: it is the best one.
        norm = ops.sum(_unit(ops.dot(constant, u)) * ops.dot(matrix, u))
        return kernel / ops.cast(norm + 1e-12, kernel.dtype)

    # Keras' dense layers name the variables they save, and would leave the estimate out.
    def save_own_variables(self, store):
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store):
        keras.layers.Layer.load_own_variables(self, store)

    def get_config(self):
        return {**super().get_config(), "iterations": self.iterations}


@keras.saving.register_keras_serializable(package="keras_gen")
class SpectralDense(Spectral, keras.layers.Dense):
    """`keras.layers.Dense` of a kernel of norm 1: see `Spectral`."""

    def call(self, inputs, training=False):
        x = ops.matmul(inputs, self.divided_kernel(training))
        return self.activation(x + self.bias if self.use_bias else x)


@keras.saving.register_keras_serializable(package="keras_gen")
class SpectralConv2D(Spectral, keras.layers.Conv2D):
    """`keras.layers.Conv2D`, channels last, of a kernel of norm 1: see `Spectral`."""

    def call(self, inputs, training=False):
        x = self.convolution_op(inputs, self.divided_kernel(training))
        return self.activation(x + self.bias if self.use_bias else x)


@keras.saving.register_keras_serializable(package="keras_gen")
class SelfAttention(keras.layers.Layer):
    """Each place of an image looks at all places: `x + gamma * v(softmax(f(x) g(x)^T) h(x))`.

    f, g, h are linear maps of a place to an eighth of the channels, v is one back; gamma begins
    at 0.

    Args:
        spectral: Whether the four maps have kernels of norm 1.
        **kwargs: of `keras.layers.Layer`.

    Reference:
        Zhang et al. 2019, "Self-Attention Generative Adversarial Networks", section 3.
    """

    def __init__(self, spectral=True, **kwargs):
        super().__init__(**kwargs)
        self.spectral = spectral

    def build(self, input_shape):
        channels = input_shape[-1]
        inner = max(1, channels // 8)
        dense = SpectralDense if self.spectral else keras.layers.Dense
        for name, given, units in (
            ("f", channels, inner),
            ("g", channels, inner),
            ("h", channels, inner),
            ("v", inner, channels),
        ):
            layer = dense(units, use_bias=False, dtype=self.dtype_policy, name=name)
            layer.build((None, None, given))
            setattr(self, name, layer)
        self.gamma = self.add_weight(shape=(), initializer="zeros", name="gamma")

    def call(self, x, training=False):
        options = {"training": training} if self.spectral else {}
        places = ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))  # (batch, places, channels)
        f, g, h = (layer(places, **options) for layer in (self.f, self.g, self.h))
        weights = ops.softmax(ops.matmul(f, ops.transpose(g, (0, 2, 1))), axis=-1)
        seen = self.v(ops.matmul(weights, h), **options)
        return x + self.gamma * ops.reshape(seen, ops.shape(x))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "spectral": self.spectral}


@keras.saving.register_keras_serializable(package="keras_gen")
class BilinearDoubling(keras.layers.Layer):
    """Images of twice the height and width, read bilinearly between pixels' centres.

    `y[2i] = (x[i - 1] + 3 x[i]) / 4`, `y[2i + 1] = (3 x[i] + x[i + 1]) / 4`, by rows, then by
    columns; a border repeats itself. It is `UpSampling2D(2, interpolation="bilinear")` without the
    operation of that name, whose slope TensorFlow 2.21 takes for a constant when it differentiates
    again, and whose slope in half precision its XLA lacks.
    """

    def call(self, x):
        _, height, width, channels = x.shape
        rows, columns = (ops.cast(_doubling(side), x.dtype) for side in (height, width))
        # As two products: quicker on a CPU than slices, many times so on TensorFlow.
        x = ops.matmul(rows, ops.reshape(x, (-1, height, width * channels)))
        x = ops.matmul(columns, ops.reshape(x, (-1, width, channels)))
        return ops.reshape(x, (-1, 2 * height, 2 * width, channels))

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, 2 * height, 2 * width, channels)


@keras.saving.register_keras_serializable(package="keras_gen")
class LearnedGrid(keras.layers.Layer):
    """A learned image that a vector weighs channel by channel: `grid * x`.

    Args:
        sides: `(height, width)` of the grid.
        **kwargs: of `keras.layers.Layer`.

    Reference:
        Huang et al. 2024, "The GAN is dead; long live the GAN!", appendix: the generator's basis.
    """

    def __init__(self, sides, **kwargs):
        super().__init__(**kwargs)
        self.sides = tuple(sides)

    def build(self, input_shape):
        self.grid = self.add_weight(
            shape=(*self.sides, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="grid",
        )

    def call(self, x):
        return ops.expand_dims(ops.expand_dims(x, 1), 1) * self.grid

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.sides, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "sides": self.sides}


@keras.saving.register_keras_serializable(package="keras_gen")
class GridKernel(keras.layers.Layer):
    """One number a channel of a grid: `sum(kernel * x)` over its places.

    `(batch, height, width, channels) -> (batch, channels)`. That is a depthwise convolution by a
    kernel of the grid's size, whose derivatives XLA takes as convolutions of a padded grid.

    Args:
        **kwargs: of `keras.layers.Layer`.

    Reference:
        Huang et al. 2024, "The GAN is dead; long live the GAN!", appendix: the discriminator's
        last layer but one.
    """

    def build(self, input_shape):
        _, height, width, channels = input_shape
        self.kernel = self.add_weight(
            shape=(height, width, channels),
            initializer=keras.initializers.RandomNormal(stddev=(height * width) ** -0.5),
            name="kernel",
        )

    def call(self, x):
        return ops.sum(x * self.kernel, axis=(1, 2))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])


def _doubling(side):
    """The doubling of a side as a matrix `(2 * side, side)`."""
    x = np.eye(side, dtype="float32")
    before, after = np.concatenate([x[:1], x[:-1]]), np.concatenate([x[1:], x[-1:]])
    return np.stack([before + 3 * x, 3 * x + after], axis=1).reshape(2 * side, side) / 4


def _unit(vector):
    return vector / (ops.norm(vector) + 1e-12)

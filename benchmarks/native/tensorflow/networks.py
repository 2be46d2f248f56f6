"""Networks as `tf.Module`s of variables: images NHWC, kernels in Keras' layout, which is TF's."""

import itertools
import math

import numpy as np
import tensorflow as tf

from .. import plan

ACTIVATIONS = {
    "relu": tf.nn.relu,
    "leaky_relu": lambda x: tf.nn.leaky_relu(x, plan.LEAKY_SLOPE),
    "tanh": tf.tanh,
    "sigmoid": tf.sigmoid,
}


FEW = 10_000


class Network(tf.Module):
    """A network with its variables.

    Args:
        network: A `plan.Network`.
        arrays: What Keras' `get_weights()` gives for it, or `None`.
    """

    def __init__(self, network, arrays):
        super().__init__()
        self.dense_only = network.dense_only
        self._layers = network.layers
        arrays = network.weights(arrays)
        # One vector instead of many small arrays, so one update by the optimizer: 0.87 of the
        # time of gan_ring's step, 0.83 with XLA.
        self._joined = network.dense_only and network.size < FEW
        if self._joined:
            self._shapes = [[array.shape for array in own] for own in arrays]
            self._variables = tf.Variable(
                np.concatenate([a.ravel() for own in arrays for a in own])
            )
            self.weights = [self._variables]
        else:
            self._variables = [
                [
                    tf.Variable(array, trainable=i < len(own) - plan.states(layer))
                    for i, array in enumerate(own)
                ]
                for layer, own in zip(network.layers, arrays, strict=True)
            ]
            self.weights = [v for own in self._variables for v in own if v.trainable]

    def __call__(self, x, training):
        """Run the network on `(batch, ...)`; batch statistics are used where `training`."""
        variables = self._split(self._variables) if self._joined else self._variables
        return plan.through(
            self._layers, x, lambda i, layer, x: _layer(layer, variables[i], x, training)
        )

    def arrays(self):
        """All it holds, NumPy, as Keras' `get_weights()` orders it."""
        own = self._split(self._variables) if self._joined else self._variables
        return [part.numpy() for layer in own for part in layer]

    def in_keras_order(self, moments):
        """Tensors like `weights`, NumPy, in the order of Keras' trainable variables."""
        if self._joined:
            moments = [part for own in self._split(moments[0]) for part in own]
        return [part.numpy() for part in moments]

    def _split(self, vector):
        shapes = [shape for own in self._shapes for shape in own]
        parts = tf.split(vector, [math.prod(shape) for shape in shapes])
        reshaped = map(tf.reshape, parts, shapes)
        return [list(itertools.islice(reshaped, len(own))) for own in self._shapes]


def _layer(layer, variables, x, training):
    if getattr(layer, "spectral", False):
        *variables, vector = variables
        variables[0] = _divided(variables[0], vector, training)
    match layer:
        case plan.Dense():
            x = tf.matmul(x, variables[0])
        case plan.Conv():
            x = tf.nn.conv2d(x, variables[0], layer.stride, "SAME")
        case plan.ConvTranspose(outputs=channels, grid=grid):
            # Keras doubles the grid and crops it. With an even kernel an odd grid has the same
            # padding before it, so this is the same without a crop.
            shape = [x.shape[0], *grid, channels]
            x = tf.nn.conv2d_transpose(x, variables[0], shape, plan.STRIDE, "SAME")
        case plan.BatchNorm():
            return _batch_norm(*variables, x, training)
        case plan.Activation(name=name):
            return ACTIVATIONS[name](x)
        case plan.Reshape(shape=shape):
            return tf.reshape(x, (-1, *shape))
        case plan.LearnedGrid():
            return x[:, None, None] * variables[0]
        case plan.GridKernel():
            return tf.reduce_sum(x * variables[0], (1, 2))
        case plan.SumOfPlaces():
            return tf.reduce_sum(x, (1, 2))
        case plan.Halve():
            return tf.nn.avg_pool2d(x, 2, 2, "VALID")
        case plan.Double(interpolation="nearest"):
            return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
        case plan.Double(interpolation=interpolation):
            return tf.image.resize(x, (2 * x.shape[1], 2 * x.shape[2]), interpolation)
    # Not `bias_add`: 0.90 of the time of wgan_gp_28's step, 0.95 of vae_conv's.
    return x + variables[1] if len(variables) > 1 else x


def _divided(kernel, vector, training):
    """A kernel over its norm, as `plan.Conv` says; in training its vector moves on."""
    matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))
    now = vector.read_value()
    if training:
        constant = tf.stop_gradient(matrix)
        inner = _unit(tf.linalg.matvec(constant, now))
        now = _unit(tf.linalg.matvec(constant, inner, transpose_a=True))
        vector.assign(now)
    return kernel / (tf.norm(tf.linalg.matvec(matrix, now)) + plan.UNIT_EPSILON)


def _unit(vector):
    return vector / (tf.norm(vector) + plan.UNIT_EPSILON)


def _batch_norm(gain, offset, mean, variance, x, training):
    if not training:
        return tf.nn.batch_normalization(x, mean, variance, offset, gain, plan.NORM_EPSILON)
    axes = list(range(len(x.shape) - 1))
    if len(axes) == 3:
        x, now_mean, now_variance = tf.compat.v1.nn.fused_batch_norm(
            x, gain, offset, epsilon=plan.NORM_EPSILON, is_training=True
        )
        # The kernel's variance is the unbiased one; Keras keeps the biased.
        count = x.shape[0] * x.shape[1] * x.shape[2]
        now_variance *= (count - 1) / count
    else:
        now_mean, now_variance = tf.nn.moments(x, axes)
        x = tf.nn.batch_normalization(x, now_mean, now_variance, offset, gain, plan.NORM_EPSILON)
    for running, now in ((mean, now_mean), (variance, now_variance)):
        running.assign_sub((running - now) * (1 - plan.NORM_MOMENTUM))
    return x


class Adam(tf.Module):
    """Adam by TensorFlow's own fused kernel, one op a variable.

    Args:
        case: A `benchmarks.cases.Case`.
        player: Whose settings: "model" where there is but one.
        variables: What it changes.
    """

    def __init__(self, case, player, variables):
        super().__init__()
        self._rate, self._beta_1, self._beta_2, self._epsilon = plan.adam(case, player)
        self._variables = variables
        self._moments = [
            [tf.Variable(tf.zeros_like(v), trainable=False) for _ in range(2)] for v in variables
        ]
        self._powers = tf.Variable([self._beta_1, self._beta_2], trainable=False)

    def apply(self, gradients):
        """One step along `gradients`, one a variable."""
        powers = self._powers.read_value()
        for variable, (m, v), gradient in zip(
            self._variables, self._moments, gradients, strict=True
        ):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=self._rate,
                beta1=self._beta_1,
                beta2=self._beta_2,
                epsilon=self._epsilon,
                grad=gradient,
            )
        self._powers.assign(powers * [self._beta_1, self._beta_2])

    @property
    def first_moments(self):
        """One a variable."""
        return [m for m, _ in self._moments]

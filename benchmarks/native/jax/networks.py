"""Networks as pure functions over pytrees: images NHWC, kernels HWIO, a dict a layer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.flatten_util import ravel_pytree

from .. import plan

LAYOUT = ("NHWC", "HWIO", "NHWC")
STRIDES = (plan.STRIDE, plan.STRIDE)
ACTIVATIONS = {
    "relu": jax.nn.relu,
    "leaky_relu": lambda x: jax.nn.leaky_relu(x, plan.LEAKY_SLOPE),
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
}

FEW = 10_000


def adam(case, player, networks):
    """Adam for the parameters of `networks`, as the case sets it for `player`."""
    rate, beta_1, beta_2, epsilon = plan.adam(case, player)

    def update(gradients, state, parameters=None):
        # `plan.adam`'s epsilon as Optax's; a scalar, so it costs nothing.
        unbiased = epsilon / jnp.sqrt(1 - beta_2 ** (state.count + 1))
        scaling = optax.scale_by_adam(beta_1, beta_2, eps=unbiased)
        return scaling.update(gradients, state, parameters)

    scaling = optax.GradientTransformation(optax.scale_by_adam(beta_1, beta_2).init, update)
    optimizer = optax.chain(scaling, optax.scale_by_learning_rate(rate))
    small = sum(network.size for network in networks) < FEW
    # One vector instead of many small arrays: 0.85 of the time of gan_ring's step, but 1.5
    # of vae_mlp's, which then copies its kernels.
    return optax.flatten(optimizer) if small else optimizer


def first_moments(state, parameters):
    """The first moments in the state of an `adam`, as a tree like `parameters`."""
    moments = state[0].mu
    if isinstance(moments, jax.Array):  # of one vector
        _, apart = ravel_pytree(parameters)
        moments = apart(moments)
    return moments


def load(network, arrays):
    """Parameters and running statistics of a network, from Keras' arrays or fresh.

    Args:
        network: A `plan.Network`.
        arrays: What Keras' `get_weights()` gives for it, or `None`.

    Returns:
        `(parameters, statistics)`: each a list of one dict a layer.
    """
    parameters, statistics = [], []
    for layer, weights in zip(network.layers, network.weights(arrays), strict=True):
        if isinstance(layer, plan.ConvTranspose):
            weights[0] = _swap_layout(weights[0])
        weights = [jnp.asarray(array) for array in weights]
        trained = len(weights) - plan.states(layer)
        parameters.append(dict(zip(_names(layer), weights[:trained], strict=False)))
        statistics.append(dict(zip(_states(layer), weights[trained:], strict=False)))
    return parameters, statistics


def in_keras_layout(network, parameters, statistics=None):
    """What lies in trees as NumPy arrays in Keras' layout and order.

    Args:
        network: A `plan.Network`.
        parameters: As `load` returns them, or one more tree like them.
        statistics: As `load` returns them, or None.
    """
    arrays, statistics = [], statistics or [{}] * len(network.layers)
    for layer, values, running in zip(network.layers, parameters, statistics, strict=True):
        own = [np.asarray(values[name]) for name in _names(layer) if name in values]
        own += [np.asarray(running[name]) for name in _states(layer) if name in running]
        if isinstance(layer, plan.ConvTranspose):
            own[0] = _swap_layout(own[0])
        arrays += own
    return arrays


def apply(network, parameters, statistics, x, training):
    """Run a network.

    Args:
        network: A `plan.Network`.
        parameters: As `load` returns them.
        statistics: As `load` returns them.
        x: `(batch, ...)`.
        training: Whether batch normalization uses the batch's statistics.

    Returns:
        `(outputs, statistics)`: the statistics moved on where `training`.
    """
    moved = list(statistics)

    def run(i, layer, x):
        x, moved[i] = _layer(layer, parameters[i], statistics[i], x, training)
        return x

    return plan.through(network.layers, x, run), moved


def _layer(layer, own, running, x, training):
    if getattr(layer, "spectral", False):
        own, running = _divided(own, running, training)
    match layer:
        case plan.Dense():
            x = x @ own["kernel"]
        case plan.Conv():
            strides = (layer.stride, layer.stride)
            x = lax.conv_general_dilated(
                x, own["kernel"], strides, "SAME", dimension_numbers=LAYOUT
            )
        case plan.ConvTranspose(grid=(height, width)):
            x = lax.conv_transpose(x, own["kernel"], STRIDES, "SAME", dimension_numbers=LAYOUT)
            x = x[:, :height, :width]
        case plan.BatchNorm():
            return _batch_norm(own, running, x, training)
        case plan.Activation(name=name):
            x = ACTIVATIONS[name](x)
        case plan.Reshape(shape=shape):
            x = x.reshape(-1, *shape)
        case plan.LearnedGrid():
            x = x[:, None, None] * own["kernel"]
        case plan.GridKernel():
            x = (x * own["kernel"]).sum((1, 2))
        case plan.SumOfPlaces():
            x = x.sum((1, 2))
        case plan.Halve():
            batch, height, width, channels = x.shape
            # Its derivative is a broadcast, that of `lax.reduce_window` a dilated window.
            x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))
        case plan.Double(interpolation="nearest"):
            x = x.repeat(2, axis=1).repeat(2, axis=2)
        case plan.Double(interpolation=interpolation):
            batch, height, width, channels = x.shape
            x = jax.image.resize(x, (batch, 2 * height, 2 * width, channels), interpolation)
    return (x + own["bias"] if "bias" in own else x), running


def _divided(own, running, training):
    """Parameters with the kernel over its norm, as `plan.Conv` says, and the vector moved on."""
    kernel, vector = own["kernel"], running["vector"]
    matrix = kernel.reshape(-1, kernel.shape[-1])
    if training:
        constant = lax.stop_gradient(matrix)
        vector = _unit(_unit(constant @ vector) @ constant)
    norm = jnp.linalg.norm(matrix @ vector) + plan.UNIT_EPSILON
    return own | {"kernel": kernel / norm}, {"vector": vector}


def _unit(vector):
    return vector / (jnp.linalg.norm(vector) + plan.UNIT_EPSILON)


def _batch_norm(own, running, x, training):
    mean, variance = running["mean"], running["variance"]
    if training:
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axes)
        # E[x^2] - E[x]^2, as in Flax: one pass over x.
        variance = jnp.maximum(jnp.square(x).mean(axes) - jnp.square(mean), 0)
        running = {
            name: plan.NORM_MOMENTUM * running[name]
            + (1 - plan.NORM_MOMENTUM) * lax.stop_gradient(now)
            for name, now in (("mean", mean), ("variance", variance))
        }
    scale = own["scale"] * lax.rsqrt(variance + plan.NORM_EPSILON)
    return (x - mean) * scale + own["offset"], running


def _names(layer):
    return ("scale", "offset") if isinstance(layer, plan.BatchNorm) else ("kernel", "bias")


def _states(layer):
    return ("mean", "variance") if isinstance(layer, plan.BatchNorm) else ("vector",)


def _swap_layout(kernel):
    """Between Keras' transposed kernels and the HWIO of `lax.conv_transpose`: its own inverse."""
    return np.ascontiguousarray(kernel[::-1, ::-1].swapaxes(2, 3))

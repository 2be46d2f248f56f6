"""Networks that compute what the test says, and one that shows what it was given."""

import keras
import numpy as np
from keras import ops

from keras_gen import engine


def linear(kernel, bias):
    """`x -> x kernel + bias` as a network."""
    kernel, bias = np.asarray(kernel, "float32"), np.asarray(bias, "float32")
    dense = keras.layers.Dense(kernel.shape[1])
    network = keras.Sequential([keras.Input((kernel.shape[0],)), dense])
    network.set_weights([kernel, bias])
    return network


def constant(inputs, outputs):
    """A network that gives `outputs` whatever it is given."""
    return linear(np.zeros((inputs, len(outputs))), outputs)


def random_linear(inputs, outputs, seed):
    """A linear network of small weights, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return linear(0.5 * rng.normal(size=(inputs, outputs)), 0.3 * rng.normal(size=outputs))


def assert_linear(network, kernel, bias):
    """A linear network has these weights, up to rounding."""
    for found, expected in zip(values(network), (kernel, bias), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def assert_pulls_on(model, objective, player):
    """An objective has a slope in this player's variables, and none in the other's."""
    for name in ("generator", "discriminator"):
        variables = getattr(model, name).trainable_variables
        _, gradients = engine.value_and_grad(objective, variables)
        assert any(np.any(numpy(g) != 0) for g in gradients) == (name == player), name


class Seen(keras.layers.Layer):
    """Hands its input on, and keeps all that it was handed to look at."""

    def __init__(self):
        super().__init__()
        self.all = []

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)

    def call(self, x):
        self.all.append(numpy(ops.stop_gradient(x)))
        return x

    @property
    def last(self):
        return self.all[-1]


def compiled(model, discriminator=0.0, generator=0.0):
    """A GAN with plain gradient descent at these rates."""
    rates = {"discriminator": discriminator, "generator": generator}
    model.compile({player: keras.optimizers.SGD(rate) for player, rate in rates.items()})
    return model


def values(network):
    """What its trainable variables hold."""
    return [numpy(v.value) for v in network.trainable_variables]


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def number(tensor):
    return float(numpy(tensor))

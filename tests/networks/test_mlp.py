"""The perceptron's arithmetic and parameter count by hand."""

import keras
import numpy as np
import pytest

from keras_gen.networks import mlp


def test_it_computes_what_the_formula_says():
    network = mlp((2, 3), (4,), units=(5,), activation="relu")
    x = np.random.default_rng(0).normal(size=(7, 2, 3)).astype("float32")
    w1, b1, w2, b2 = network.get_weights()
    expected = np.maximum(x.reshape(7, 6) @ w1 + b1, 0) @ w2 + b2
    actual = keras.ops.convert_to_numpy(network(x))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_leaky_relu_has_slope_a_fifth():
    network = mlp((1,), (1,), units=(1,), activation="leaky_relu")
    network.set_weights([np.ones((1, 1)), np.zeros(1), np.ones((1, 1)), np.zeros(1)])
    actual = keras.ops.convert_to_numpy(network(np.array([[-10.0], [10.0]])))
    np.testing.assert_allclose(actual, [[-2.0], [10.0]], rtol=1e-6)


@pytest.mark.parametrize(
    "normalization, trainable, all_",
    [
        (None, 6 * 5 + 5 + 5 * 4 + 4, 59),
        ("layer", 6 * 5 + 5 + 2 * 5 + 5 * 4 + 4, 69),
        ("batch", 6 * 5 + 2 * 5 + 5 * 4 + 4, 64 + 2 * 5),  # no bias, and two running statistics
    ],
)
def test_parameters_by_hand(normalization, trainable, all_):
    network = mlp((2, 3), (2, 2), units=(5,), normalization=normalization)
    assert sum(int(np.prod(v.shape)) for v in network.trainable_variables) == trainable
    assert network.count_params() == all_


def test_without_hidden_layers_it_is_linear():
    network = mlp((3,), (2,), units=())
    assert [tuple(v.shape) for v in network.variables] == [(3, 2), (2,)]


def test_running_statistics_follow_the_momentum():
    network = mlp((1,), (1,), units=(1,), normalization="batch", batch_norm_momentum=0.75)
    network.get_layer("hidden_1").set_weights([np.ones((1, 1))])
    network(np.array([[3.0], [5.0]]), training=True)
    mean = network.get_layer("hidden_1_normalization").moving_mean
    np.testing.assert_allclose(keras.ops.convert_to_numpy(mean), [0.25 * 4], rtol=1e-6)

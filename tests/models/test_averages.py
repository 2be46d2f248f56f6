"""Averages: of constants, and standing statistics of batch normalization against NumPy."""

import keras
import numpy as np
import pytest
from toys import numpy

from keras_gen import models
from keras_gen.models.averages import standing_statistics

pytestmark = pytest.mark.every_backend

EPSILON = 1e-3


def network(trainable=True):
    """Two layers of batch normalization, with other state that moves in training around them."""
    norms = [keras.layers.BatchNormalization(epsilon=EPSILON, momentum=0.9) for _ in range(2)]
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5), norms[1]])
    layers = [keras.Input((4,)), keras.layers.Dense(3), norms[0], inner, keras.layers.Dropout(0.5)]
    model = keras.Sequential(layers)
    model.trainable = trainable
    model(np.ones((2, 4), "float32"), training=True)
    return model, norms


def batches(sizes=(6, 6, 6)):
    rng = np.random.default_rng(1)
    return [(rng.normal(2 * i, 1 + i, (n, 4))).astype("float32") for i, n in enumerate(sizes)]


def test_the_average_of_what_does_not_move_is_it():
    generator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(50)])
    discriminator = keras.Sequential([keras.Input((50,)), keras.layers.Dense(1)])
    gan = models.GAN(generator, discriminator, latent_dim=3, ema=0.9)
    still = {name: keras.optimizers.SGD(0.0) for name in ("generator", "discriminator")}
    gan.compile(still, run_eagerly=True)
    gan.fit(np.ones((40, 50), "float32"), batch_size=4, verbose=0)
    np.testing.assert_array_equal(
        numpy(gan.generator_average.layers[0].kernel), numpy(generator.layers[0].kernel)
    )


@pytest.mark.parametrize("trainable", [True, False])
def test_they_are_plain_averages_of_what_each_layer_saw_and_nothing_else_moves(trainable):
    model, norms = network(trainable)
    own = {id(v) for norm in norms for v in (norm.moving_mean, norm.moving_variance)}
    before = [(v, numpy(v), v.trainable) for v in model.variables if id(v) not in own]
    standing_statistics(model, batches())
    expected = []
    (kernel, bias), (inner_kernel, inner_bias) = (
        (numpy(dense.kernel), numpy(dense.bias))
        for dense in (model.layers[0], model.layers[2].layers[0])
    )
    for batch in batches():
        first = batch @ kernel + bias
        normal = (first - first.mean(0)) / np.sqrt(first.var(0) + EPSILON)
        second = normal @ inner_kernel + inner_bias
        expected.append([first.mean(0), first.var(0), second.mean(0), second.var(0)])
    got = [numpy(v) for norm in norms for v in (norm.moving_mean, norm.moving_variance)]
    for ours, theirs in zip(got, zip(*expected, strict=True), strict=True):
        np.testing.assert_allclose(ours, np.mean(theirs, axis=0), rtol=1e-4, atol=1e-5)
    for variable, value, was_trainable in before:
        np.testing.assert_array_equal(numpy(variable), value)
        assert variable.trainable == was_trainable
    assert [(norm.momentum, norm.trainable) for norm in norms] == [(0.9, trainable)] * 2


def test_nothing_moves_where_there_are_no_batches_or_one_is_no_input():
    model, _ = network()
    before = [numpy(v) for v in model.variables]
    with pytest.raises(ValueError, match="batches: expected one or more"):
        standing_statistics(model, [])
    with pytest.raises(ValueError):
        standing_statistics(model, [*batches(), np.ones((2, 7), "float32")])
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(numpy(variable), value)


def test_a_network_without_batch_normalization_is_left_as_it_is():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    standing_statistics(model, batches())

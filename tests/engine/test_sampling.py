"""What `sample` runs in: a network is one program there, and computes what it computes outside."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import engine, random
from keras_gen.networks import style_generator

compiled = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="PyTorch samples eagerly, in our kernels"
)


class Counted(keras.layers.Layer):
    """The identity; counts how often Python comes by."""

    calls = 0

    def call(self, x):
        Counted.calls += 1
        return x


class Noisy(keras.layers.Layer):
    """Draws numbers of its own, at inference too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, x):
        return x + keras.random.normal(ops.shape(x), seed=self.seeds)


def network(*layers):
    return keras.Sequential([keras.Input((4,)), *layers])


def images():
    options = {"kernel_size": 4, "strides": 2, "padding": "same"}
    return network(
        keras.layers.Dense(4 * 4 * 8),
        keras.layers.Reshape((4, 4, 8)),
        keras.layers.BatchNormalization(),
        keras.layers.Conv2DTranspose(3, **options, activation="tanh"),
        keras.layers.Dropout(0.5),
    )


def sampled(model, x):
    with engine.sampling():
        return ops.convert_to_numpy(model(x, training=False))


def test_it_computes_what_the_network_computes_outside_and_follows_its_weights():
    model, rng = images(), np.random.default_rng(0)
    for batch in (3, 3, 5):
        model.set_weights([rng.uniform(0.1, 1.0, size=w.shape) for w in model.get_weights()])
        x = rng.normal(size=(batch, 4)).astype("float32")
        expected = ops.convert_to_numpy(model(x, training=False))
        np.testing.assert_allclose(sampled(model, x), expected, rtol=1e-4, atol=1e-5)


def test_a_network_that_draws_its_own_numbers_goes_on_drawing():
    model, x = network(Noisy()), np.zeros((2, 4), "float32")
    first, second, third = (sampled(model, x) for _ in range(3))
    assert not np.array_equal(first, second) and not np.array_equal(second, third)


def test_a_network_that_looks_at_its_numbers_in_python_samples_as_well():
    class Hard(keras.layers.Layer):
        def call(self, x):
            return x * 2.0 if float(ops.max(x)) > 0 else x

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, x.dtype)

    model, x = network(Hard()), np.ones((2, 4), "float32")
    for sign in (1.0, -1.0):
        np.testing.assert_allclose(sampled(model, sign * x), max(sign, 2 * sign) * x)


def test_training_is_not_taken_for_inference():
    model, x = network(keras.layers.Dropout(0.5, seed=0)), np.ones((64, 4), "float32")
    with engine.sampling():
        assert set(np.unique(ops.convert_to_numpy(model(x, training=True)))) == {0.0, 2.0}
        np.testing.assert_array_equal(ops.convert_to_numpy(model(x)), x)


def test_what_is_computed_does_not_depend_on_how_many_were_asked_for_before():
    """TensorFlow rounds a program of five examples and one of any number differently."""
    rng = np.random.default_rng(0)
    asked, fresh = (style_generator((4,), (8, 8, 1), width=4, widest=6) for _ in range(2))
    weights = [0.3 * rng.normal(size=w.shape) for w in asked.get_weights()]
    for model in (asked, fresh):
        model.set_weights(weights)
    x = rng.normal(size=(7, 4)).astype("float32")
    sampled(asked, x)
    np.testing.assert_array_equal(sampled(asked, x[:5]), sampled(fresh, x[:5]))


@compiled
def test_python_comes_by_once_a_shape():
    model = network(Counted(), keras.layers.Dense(2))
    x = np.ones((3, 4), "float32")
    sampled(model, x)
    before = Counted.calls
    sampled(model, x)
    sampled(model, x)
    if keras.backend.backend() == "tensorflow":
        sampled(model, x[:2])
    assert Counted.calls == before


def test_inputs_are_told_apart_by_name_and_of_any_rank():
    a, b = (keras.Input((1,), name=name) for name in "ab")
    model = keras.Model([b, a], b - a)
    x = {"a": np.array([1.0, 2.0], "float32"), "b": np.array([3.0, 5.0], "float32")}
    for _ in range(2):
        np.testing.assert_array_equal(sampled(model, x), [[2.0], [3.0]])


@pytest.mark.parametrize("shared", [False, True])
def test_no_program_keeps_its_network(shared):
    model = images()
    if shared:  # its input leads to another, of which it is a layer
        model = keras.Model(model.inputs[0], model.outputs[0])
        keras.Model(model.input, model(model.input))
    sampled(model, np.ones((2, 4), "float32"))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("shape", [(7,), (3, 5)])
def test_random_numbers_are_those_of_the_function_itself(shape):
    for seed in (1, 2**40 + 3):
        stream = random.Stream(seed)
        drawn = [ops.convert_to_numpy(stream.words(shape)) for _ in range(2)]
        plain = getattr(random._words, "__wrapped__", random._words)
        for call, words in enumerate(drawn):
            count = ops.convert_to_tensor(call, "int32")
            np.testing.assert_array_equal(words, plain(count, *stream.key, shape))

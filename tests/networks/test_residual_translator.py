"""Johnson's translator: shapes, the paper's parameters, mirrored borders, a block by hand."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import engine
from keras_gen.networks import residual_translator
from keras_gen.networks.residual_translator import ReflectPadding


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("shape", [(16, 16, 3), (9, 6, 1), (11, 2)])
def test_images_and_signals_of_any_size(shape):
    network = residual_translator(shape, (*shape[:-1], 4), width=2, blocks=1)
    assert network.output_shape == (None, *shape[:-1], 4)
    assert numpy(network(np.zeros((2, *shape), "float32"))).shape == (2, *shape[:-1], 4)


def test_the_papers_parameters_by_hand():
    """Zhu et al. 2017, section 7.2: c7s1-64, d128, d256, R256 x 9, u128, u64, c7s1-3."""
    network = residual_translator(
        (256, 256, 3), (256, 256, 3), blocks=9, kernel_initializer="zeros"
    )
    kernels = 49 * 3 * 64 + 9 * (64 * 128 + 128 * 256) + 9 * 2 * 9 * 256 * 256
    kernels += 9 * (256 * 128 + 128 * 64) + 49 * 64 * 3
    normalizations = 2 * (64 + 128 + 256 + 9 * 2 * 256 + 128 + 64)
    assert network.count_params() == kernels + 3 + normalizations


@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (2, 6, 3)])
def test_borders_are_mirrored_and_their_gradients_fold_back(shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    pads = [(0, 0), *[(3, 3)] * (len(shape) - 2), (0, 0)]
    layer = ReflectPadding(3)
    padded = np.pad(x, pads, mode="reflect")
    np.testing.assert_array_equal(numpy(layer(x)), padded)
    # d sum(weight * padded) / dx: how often, and how much, each pixel was shown.
    weight = np.random.default_rng(1).normal(size=padded.shape).astype("float32")
    weights = ops.convert_to_tensor(weight)
    got = engine.input_gradient(lambda x: ops.sum(weights * layer(x)), ops.convert_to_tensor(x))
    source = np.pad(np.arange(x.size).reshape(shape), pads, mode="reflect")
    expected = np.bincount(source.ravel(), weight.ravel().astype("float64")).reshape(shape)
    np.testing.assert_allclose(numpy(got), expected, rtol=1e-4, atol=1e-5)


def test_a_block_adds_to_what_it_is_given():
    """One channel, kernels that see the place to their left, where the border is mirrored."""
    network = residual_translator(
        (4, 1), (4, 1), width=1, downsampling=1, blocks=1, normalization=None, activation="relu"
    )
    centre, left = np.zeros((7, 1, 1)), np.zeros((3, 2, 2))
    centre[3], left[0] = 1.0, np.eye(2)
    down, up = np.zeros((3, 1, 2)), np.zeros((3, 1, 2))
    down[0, 0] = [1.0, 2.0]  # the first of each pair of places
    up[0, 0] = [10.0, 100.0]
    values = {
        "first": (centre, [0.0]),
        "down_1": (down, [0.0, 0.0]),
        "block_1_in": (left, [0.0, -3.0]),
        "block_1_out": (left, [-1.5, 0.25]),  # nothing is activated after it
        "up_1": (up, [0.0]),
        "output": (centre, [0.125]),
    }
    for name, (kernel, bias) in values.items():
        network.get_layer(name).set_weights([kernel, np.array(bias)])
    coarse = np.array([[1.0, 2.0], [3.0, 6.0]])  # of x = 1, 2, 3, 4
    inner = np.maximum(coarse[::-1] + [0.0, -3.0], 0)  # left of the first place lies the second
    block = coarse + inner[::-1] + [-1.5, 0.25]
    made = numpy(network(np.arange(1.0, 5.0).reshape(1, 4, 1)))[0, :, 0]
    expected = np.zeros(4)
    expected[::2] = block @ [10.0, 100.0]
    np.testing.assert_allclose(made, expected + 0.125, rtol=1e-5)


@pytest.mark.parametrize(
    "option, value",
    [("width", 0), ("blocks", 0), ("downsampling", 1.0), ("normalization", "group")],
)
def test_a_wrong_option_is_named(option, value):
    with pytest.raises(ValueError, match=f"^{option}: expected .*, got "):
        residual_translator((8, 8, 1), (8, 8, 1), **{option: value})


@pytest.mark.parametrize("shape", [(3, 8, 1), (8, 4, 1)])
def test_sides_too_small_to_be_mirrored_are_refused(shape):
    with pytest.raises(
        ValueError, match="^input_shape: expected sides of 4 or more, and of 2 when"
    ):
        residual_translator(shape, shape)


def test_a_saved_network_is_the_same(tmp_path):
    network = residual_translator((8, 8, 1), (8, 8, 2), width=2, blocks=1)
    network.save(tmp_path / "network.keras")
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(numpy(loaded(x)), numpy(network(x)))

"""The residual networks: shapes, the paper's parameter count, the arithmetic of a block."""

import json

import keras
import numpy as np
import pytest

from keras_gen.networks import BUILDERS, residual_decoder, residual_encoder

# Shapes do not depend on the numbers, and JAX compiles a random initializer for every shape.
EMPTY = {"kernel_initializer": "zeros"}
ENDS = [
    ((28, 28, 1), (7, 7, 64)),
    ((32, 48, 3), (4, 6, 5)),
    ((6, 10, 2), (3, 5, 8)),
    ((60, 2), (15, 4)),
]


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def data(shape, count=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype("float32")


def test_they_are_builders():
    assert BUILDERS["residual_encoder"] is residual_encoder
    assert BUILDERS["residual_decoder"] is residual_decoder


@pytest.mark.parametrize("image, grid", ENDS)
def test_images_and_signals_to_grids_and_back(image, grid):
    encoder = residual_encoder(image, list(grid), width=3, **EMPTY)
    decoder = residual_decoder(grid, json.loads(json.dumps(image)), width=3, **EMPTY)
    assert encoder.output_shape == decoder.input_shape == (None, *grid)
    assert encoder.input_shape == decoder.output_shape == (None, *image)
    halvings = int(np.log2(image[0] / grid[0]))
    assert sum("stage_" in x.name and "act" not in x.name for x in encoder.layers) == halvings
    assert sum("stage_" in x.name and "act" not in x.name for x in decoder.layers) == halvings - 1


def test_the_papers_parameters_by_hand():
    """Van den Oord et al. 2017, section 4.1, on 32 x 32 x 3 with 256 hidden units."""
    shapes = (32, 32, 3), (8, 8, 64)
    blocks = 2 * (9 * 256 * 256 + 256 + 256 * 256 + 256)
    encoder = residual_encoder(*shapes, width=256, **EMPTY)
    stages = (16 * 3 * 256 + 256) + (16 * 256 * 256 + 256)
    assert encoder.count_params() == stages + blocks + (256 * 64 + 64)
    decoder = residual_decoder(*shapes[::-1], width=256, **EMPTY)
    stages = (16 * 256 * 256 + 256) + (16 * 256 * 3 + 3)
    assert decoder.count_params() == (64 * 256 + 256) + blocks + stages


def test_a_block_adds_to_what_it_is_given():
    """One number a place: every layer by hand, the 3 x 3 kernel seeing its centre only."""
    network = residual_decoder((2, 2, 1), (4, 4, 1), width=1, blocks=1, kernel_size=2)
    centre = np.zeros((3, 3, 1, 1))
    centre[1, 1] = 2.0
    one = np.ones((1, 1, 1, 1))
    spread = np.array([1.0, 10.0, 100.0, 1000.0]).reshape(2, 2, 1, 1)
    values = {
        "grid": (one, [0.5]),
        "block_1_3": (centre, [-1.0]),
        "block_1_1": (0.5 * one, [0.25]),
        "output": (spread, [0.125]),
    }
    for name, (kernel, bias) in values.items():
        network.get_layer(name).set_weights([kernel, np.array(bias)])
    x = np.array([[-2.0, 0.0], [1.0, 3.0]])
    y = x + 0.5
    y = y + 0.5 * np.maximum(2.0 * np.maximum(y, 0) - 1.0, 0) + 0.25
    expected = np.kron(np.maximum(y, 0), spread[..., 0, 0]) + 0.125
    assert (y > 0).sum() == 3
    np.testing.assert_allclose(numpy(network(x[None, :, :, None]))[0, ..., 0], expected, rtol=1e-5)


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("build, ends", [(residual_encoder, 1), (residual_decoder, -1)])
def test_every_trainable_variable_moves_and_a_copy_is_the_same(build, ends, normalization):
    shapes = ((8, 8, 2), (4, 4, 3))[::ends]
    options = {"width": 4, "normalization": normalization, "activation": "leaky_relu"}
    network = build(*shapes, **options)
    before = [numpy(v).copy() for v in network.trainable_variables]
    network.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    network.train_on_batch(data(shapes[0], 8), data(shapes[1], 8, seed=1))
    for variable, old in zip(network.trainable_variables, before, strict=True):
        # 1e-5: rounding alone moves a bias that batch normalisation hides by about 1e-9.
        assert abs(numpy(variable) - old).max() > 1e-5, variable.path
    copy = keras.Model.from_config(json.loads(json.dumps(network.get_config())))
    copy.set_weights(network.get_weights())
    np.testing.assert_array_equal(numpy(copy(data(shapes[0]))), numpy(network(data(shapes[0]))))


def test_dropout_and_output_activation():
    network = residual_encoder((8, 8, 1), (4, 4, 2), width=4, dropout=0.5)
    x = data((8, 8, 1))
    assert not np.allclose(numpy(network(x, training=True)), numpy(network(x, training=True)))
    np.testing.assert_array_equal(numpy(network(x)), numpy(network(x, training=False)))
    bounded = residual_decoder((4, 4, 2), (8, 8, 1), width=4, output_activation="sigmoid")
    shown = numpy(bounded(100 * data((4, 4, 2))))
    assert 0 <= shown.min() < shown.max() <= 1


WRONG = {
    "width": [0, 2.0],
    "blocks": [-1, True, 1.5],
    "kernel_size": [0, (4, 4)],
    "activation": ["swash"],
    "normalization": ["group"],
    "dropout": [1.0],
    "output_activation": ["relu"],
}


@pytest.mark.parametrize("build, ends", [(residual_encoder, 1), (residual_decoder, -1)])
def test_a_wrong_option_is_named_in_one_line(build, ends):
    shapes = ((8, 8, 1), (4, 4, 2))[::ends]
    for option, values in WRONG.items():
        for value in values:
            with pytest.raises(ValueError, match=f"^{option}: expected .*, got ") as error:
                build(*shapes, **{option: value})
            assert "\n" not in str(error.value)


@pytest.mark.parametrize("grid", [(8, 8, 2), (3, 3, 2), (4, 2, 2), (16, 16, 2), (5, 5, 2)])
def test_a_grid_that_halving_does_not_give_is_named(grid):
    wanted = r"expected a grid whose sides are \(8, 8\) halved once or more.*, got"
    with pytest.raises(ValueError, match=f"^output_shape: {wanted}"):
        residual_encoder((8, 8, 1), grid)
    with pytest.raises(ValueError, match=f"^input_shape: {wanted}"):
        residual_decoder(grid, (8, 8, 1))


@pytest.mark.parametrize("build", [residual_encoder, residual_decoder])
@pytest.mark.parametrize("shape", [(0,), (), 3, (None, 3), (-1, 2, 3), ("28", 1)])
def test_a_wrong_shape_is_named(build, shape):
    with pytest.raises(ValueError, match="^input_shape: expected "):
        build(shape, (4, 4, 2))
    with pytest.raises(ValueError, match="^output_shape: expected .height, width, channels"):
        build((8, 8, 1), shape)

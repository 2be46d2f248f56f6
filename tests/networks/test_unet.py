"""The U-Net: shapes, the paper's layers and parameters, what is handed over, where it drops out."""

import keras
import numpy as np
import pytest

from keras_gen.networks import unet


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def data(shape, count=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype("float32")


@pytest.mark.parametrize(
    "shape, stages", [((16, 16, 3), 4), ((9, 5, 1), 4), ((2, 1, 2), 1), ((11, 2), 4)]
)
def test_sides_of_any_size_go_down_to_one_place_and_come_back(shape, stages):
    network = unet(shape, (*shape[:-1], 4), width=2)
    assert network.output_shape == (None, *shape[:-1], 4)
    assert numpy(network(data(shape))).shape == (2, *shape[:-1], 4)
    down = [layer for layer in network.layers if layer.name in {f"down_{i}" for i in range(9)}]
    assert len(down) == stages
    assert down[-1].output.shape[1:-1] == (1,) * (len(shape) - 1)


def test_the_papers_parameters_by_hand():
    """Isola et al. 2017, section 6.1.1: C64-C128-C256-C512 x 5 and CD512 x 3-C512-C256-C128-C64."""
    network = unet((256, 256, 3), (256, 256, 3), kernel_initializer="zeros")
    down = [64, 128, 256, 512, 512, 512, 512, 512]
    up = [512, 512, 512, 512, 256, 128, 64]
    kernels = sum(16 * a * b for a, b in zip([3, *down], down, strict=False))
    # Each stage up but the first reads what the one before gave, and as much handed over.
    kernels += sum(16 * a * b for a, b in zip([512, *(2 * n for n in up)], [*up, 3], strict=True))
    biases = down[0] + down[-1] + 3
    normalizations = 4 * (sum(down[1:-1]) + sum(up))
    assert network.count_params() == kernels + biases + normalizations


def test_a_stage_up_reads_the_stage_before_and_what_was_handed_over():
    """Two stages of one channel: every layer by hand, each kernel seeing one place."""
    options = {"normalization": None, "kernel_size": 2, "activation": "linear"}
    network = unet((4, 4, 1), (4, 4, 1), filters=(1, 1), down_activation="linear", **options)
    mean, spread = np.full((2, 2, 1, 1), 0.25), np.ones((2, 2, 1, 1))
    both = np.broadcast_to([10.0, 100.0], (2, 2, 1, 2))
    values = {"down_1": (mean, 1.0), "down_2": (mean, 2.0), "up_1": (spread, 3.0)}
    for name, (kernel, bias) in {**values, "output": (both, 0.5)}.items():
        network.get_layer(name).set_weights([kernel, np.array([bias])])
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    fine = x.reshape(2, 2, 2, 2).mean(axis=(1, 3)) + 1
    coarse = fine.mean() + 2 + 3
    expected = 10 * coarse + 100 * np.kron(fine, np.ones((2, 2))) + 0.5
    np.testing.assert_allclose(numpy(network(x))[0, ..., 0], expected, rtol=1e-5)


def test_the_innermost_stages_drop_out_and_the_ends_are_not_normalised():
    network = unet((32, 32, 1), (32, 32, 1), width=2)
    names = [layer.name for layer in network.layers]
    assert [n for n in names if "dropout" in n] == [f"up_{i}_dropout" for i in (4, 3, 2)]
    assert [n for n in names if n.startswith("down") and "normal" in n] == [
        f"down_{i}_normalization" for i in (2, 3, 4)
    ]
    x = data((32, 32, 1))
    assert not np.allclose(numpy(network(x, training=True)), numpy(network(x, training=True)))
    np.testing.assert_array_equal(numpy(network(x)), numpy(network(x, training=False)))
    still = unet((32, 32, 1), (32, 32, 1), width=2, dropout=0.0)
    np.testing.assert_array_equal(
        *(numpy(still(x, training=True)) for _ in range(2)), "nothing else is drawn"
    )


def test_instance_normalization_is_that_of_each_channel_of_each_example():
    options = {"normalization": "instance", "kernel_initializer": "he_normal"}
    network = unet((8, 8, 1), (8, 8, 1), filters=(3, 4, 5), **options)
    layer = network.get_layer("up_2_normalization")
    seen = keras.Model(network.inputs[0], [layer.input, layer.output])
    x, normalized = map(numpy, seen(10 * data((8, 8, 1)) + 3))
    mean, variance = x.mean(axis=(1, 2), keepdims=True), x.var(axis=(1, 2), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(normalized, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "option, value",
    [
        ("dropout_stages", 0),
        ("filters", (2, 2, 2, 2)),
        ("normalization", "group"),
        ("dropout", 1.0),
    ],
)
def test_a_wrong_option_is_named(option, value):
    with pytest.raises(ValueError, match=f"^{option}: expected .*, got "):
        unet((8, 8, 1), (8, 8, 1), **{"width": 2, option: value})


def test_other_sides_are_refused():
    with pytest.raises(ValueError, match=r"^output_shape: expected the sides of the input, \(8, 8"):
        unet((8, 8, 1), (8, 4, 1))

"""The pyramids: which grids, which channels, and the convolution itself, on any size."""

import keras
import numpy as np
import pytest

from keras_gen.networks import conv_decoder, conv_encoder

GRIDS = {  # the sides of every grid, finest first
    (8, 8): [8, 4],
    (25, 25): [25, 13, 7],
    (28, 28): [28, 14, 7],
    (32, 32): [32, 16, 8, 4],
    (64, 64): [64, 32, 16, 8, 4],
    (128, 128): [128, 64, 32, 16, 8, 4],
    (256, 256): [256, 128, 64, 32, 16, 8, 4],
    (7, 7): [7, 4],
    (2, 2): [2, 1],
    (28, 20): [(28, 20), (14, 10), (7, 5)],
    (33, 5): [(33, 5), (17, 3), (9, 2), (5, 1)],
}
CASES = [
    (size, [g if isinstance(g, tuple) else (g, g) for g in grids], 1 + i % 4)
    for i, (size, grids) in enumerate(GRIDS.items())
]


# Shapes do not depend on the numbers, and JAX compiles a random initializer for every shape.
EMPTY = {"kernel_initializer": "zeros"}


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def convolve(x, kernel, stride=2):
    """A strided convolution with the zero padding of TensorFlow's "same", in plain loops."""
    rows, columns, size = *x.shape[:2], kernel.shape[0]
    out = [-(-side // stride) for side in (rows, columns)]
    pads = [
        max((o - 1) * stride + size - side, 0) for o, side in zip(out, (rows, columns), strict=True)
    ]
    x = np.pad(x, [(p // 2, p - p // 2) for p in pads] + [(0, 0)])
    y = np.zeros((*out, kernel.shape[-1]))
    for i in range(out[0]):
        for j in range(out[1]):
            window = x[stride * i : stride * i + size, stride * j : stride * j + size]
            y[i, j] = np.tensordot(window, kernel, axes=3)
    return y


@pytest.mark.parametrize("size, grids, channels", CASES)
def test_encoder_halves_and_doubles(size, grids, channels):
    network = conv_encoder((*size, channels), (10,), width=2, **EMPTY)
    widths = [2, 4, 8, 16, 16, 16, 16]
    stages = [layer.output.shape for layer in network.layers if layer.name[-1].isdigit()]
    assert stages == [(None, *g, w) for g, w in zip(grids[1:], widths, strict=False)]
    assert network.output_shape == (None, 10)


@pytest.mark.parametrize("size, grids, channels", CASES)
def test_decoder_is_the_mirror(size, grids, channels):
    network = conv_decoder((10,), (*size, channels), width=2, **EMPTY)
    widths = [2, 4, 8, 16, 16, 16, 16][: len(grids) - 1]
    hidden = [x.output.shape for x in network.layers if x.name.endswith("_activation")]
    expected = [(None, *g, w) for g, w in zip(grids[1:], widths, strict=True)][::-1]
    assert hidden == expected
    assert network.output_shape == (None, *size, channels)


@pytest.mark.parametrize("size", [(8, 8), (25, 25), (33, 5)])
@pytest.mark.parametrize("kernel_size", [3, 4])
def test_real_images_pass_through_any_size(size, kernel_size):
    options = {"width": 2, "kernel_size": kernel_size, **EMPTY}
    codes = conv_encoder((*size, 3), (6,), **options)(np.zeros((2, *size, 3), "float32"))
    assert numpy(conv_decoder((6,), (*size, 3), **options)(codes)).shape == (2, *size, 3)


@pytest.mark.parametrize("side", [6, 7])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_the_encoder_convolves(side, kernel_size):
    network = conv_encoder((side, side, 2), (5,), filters=(3,), kernel_size=kernel_size)
    x = np.random.default_rng(0).normal(size=(side, side, 2)).astype("float32")
    kernel, bias, dense, offset = network.get_weights()
    features = convolve(x, kernel) + bias
    features = np.where(features > 0, features, 0.2 * features)
    expected = features.ravel() @ dense + offset
    np.testing.assert_allclose(numpy(network(x[None]))[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [6, 7])
@pytest.mark.parametrize("kernel_size", [2, 3, 4, 5])
def test_the_decoder_convolves_transposed(side, kernel_size):
    """The output layer is the adjoint of the encoder's convolution of the uncropped image."""
    network = conv_decoder((5,), (side, side, 2), filters=(3,), kernel_size=kernel_size)
    dense, offset, kernel, bias = network.get_weights()
    z = np.random.default_rng(0).normal(size=5).astype("float32")
    grid = -(-side // 2)
    features = np.maximum(z @ dense + offset, 0).reshape(grid, grid, 3)
    full, expected = np.zeros((2 * grid, 2 * grid, 2)), np.zeros((side, side, 2))
    for index in np.ndindex(expected.shape):
        full[index] = 1
        expected[index] = (convolve(full, kernel) * features).sum()
        full[index] = 0
    np.testing.assert_allclose(numpy(network(z[None]))[0], expected + bias, rtol=1e-4, atol=1e-5)


def test_encoder_parameters_by_hand():
    network = conv_encoder((28, 28, 1), (10,), **EMPTY)
    assert network.count_params() == (16 * 1 * 32 + 32) + (16 * 32 * 64 + 64) + (3136 * 10 + 10)


def test_dcgan_parameters_by_hand():
    """Radford et al. 2016, figure 1: 100 -> 4 x 4 x 1024 -> 512 -> 256 -> 128 -> 64 x 64 x 3."""
    widths = (1024, 512, 256, 128)
    options = {"normalization": "batch", "kernel_size": 5, **EMPTY}
    generator = conv_decoder((100,), (64, 64, 3), filters=widths, **options)
    kernels = 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3) + 100 * 16 * 1024
    assert generator.count_params() == kernels + 4 * sum(widths) + 3
    discriminator = conv_encoder((64, 64, 3), (1,), filters=widths[::-1], **options)
    kernels = 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3) + 16 * 1024
    assert discriminator.count_params() == kernels + 128 + 4 * sum(widths[:3]) + 1


def test_the_first_stage_is_normalised_on_request_only():
    shapes = ((28, 28, 1), (1,))
    plain = conv_encoder(*shapes, normalization="batch", **EMPTY)
    first = conv_encoder(*shapes, normalization="batch", normalize_first=True, **EMPTY)
    names = {layer.name for layer in first.layers} - {layer.name for layer in plain.layers}
    assert names == {"stage_1_normalization"}
    assert plain.get_layer("stage_1").use_bias and not first.get_layer("stage_1").use_bias


def test_layer_normalisation_sees_the_whole_map():
    """Statistics over (height, width, channels) and a gain per channel: Gulrajani et al. 2017."""
    network = conv_encoder((8, 8, 1), (1,), normalization="layer", normalize_first=True, width=3)
    layer = network.get_layer("stage_1_normalization")
    y = numpy(layer(np.random.default_rng(0).normal(3, 2, size=(5, 4, 4, 3)).astype("float32")))
    np.testing.assert_allclose(y.mean(axis=(1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(axis=(1, 2, 3)), 1, atol=1e-4)
    assert abs(y.mean(axis=3)).max() > 0.1, "normalised pixel by pixel"
    assert [tuple(v.shape) for v in layer.trainable_variables] == [(3,), (3,)]


def test_filters_replace_width():
    network = conv_encoder((32, 32, 3), (1,), filters=(7, 9), width=1, **EMPTY)
    assert network.get_layer("stage_2").output.shape == (None, 8, 8, 9)
    network = conv_decoder((4,), (32, 32, 3), filters=(9, 7), **EMPTY)
    assert network.get_layer("grid_shape").output.shape == (None, 8, 8, 9)
    assert network.get_layer("stage_1").output.shape == (None, 16, 16, 7)


def test_a_signal_is_an_image_one_pixel_high():
    """With kernels that see one row, the image's convolutions are the signal's."""
    rng = np.random.default_rng(0)
    options = {"filters": (3, 4), "kernel_size": 3}
    signal = conv_encoder((11, 2), (5,), **options)
    assert [layer.output.shape[1] for layer in signal.layers if layer.name[-1].isdigit()] == [6, 3]
    x = rng.normal(size=(2, 11, 2)).astype("float32")
    y = x
    for i in (1, 2):
        kernel, bias = signal.get_layer(f"stage_{i}").get_weights()
        tall = np.zeros((3, *kernel.shape), "float32")
        tall[1] = kernel  # the other rows see padding only
        y = np.stack([convolve(one[None], tall)[0] for one in y]) + bias
        y = np.where(y > 0, y, 0.2 * y)
    kernel, bias = signal.get_layer("output").get_weights()
    expected = y.reshape(2, -1) @ kernel + bias
    np.testing.assert_allclose(numpy(signal(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [8, 11, 60])
def test_a_decoder_gives_a_signal_of_any_length(steps):
    network = conv_decoder((4,), (steps, 2), width=2, normalization="layer")
    assert network.output_shape == (None, steps, 2)
    assert np.all(np.isfinite(numpy(network(np.ones((3, 4), "float32")))))

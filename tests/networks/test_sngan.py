"""SNGAN's residual networks: the papers' sizes, labels inside the networks, blocks by hand."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen.networks import BUILDERS, sngan_discriminator, sngan_generator
from keras_gen.networks.layers import Spectral

RNG = np.random.default_rng(2)


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def test_they_are_builders():
    assert BUILDERS["sngan_generator"] is sngan_generator
    assert BUILDERS["sngan_discriminator"] is sngan_discriminator


@pytest.mark.slow
def test_the_papers_parameters_by_hand():
    """Miyato et al. 2018, table 4: CIFAR-10's networks."""

    def trainable(network):
        return sum(int(np.prod(v.shape)) for v in network.trainable_variables)

    def conv(inputs, outputs, side=3, bias=True):
        return side * side * inputs * outputs + bias * outputs

    c = 256
    # Two normalizations, two convolutions, the shortcut; none with a bias.
    stage = 2 * 2 * c + 2 * conv(c, c, bias=False) + conv(c, c, 1, bias=False)
    generator = (128 + 1) * 16 * c + 3 * stage + 2 * c + conv(c, 3)
    assert trainable(sngan_generator((128,), (32, 32, 3))) == generator
    c = 128
    first = conv(3, c) + conv(c, c) + conv(3, c, 1, bias=False)
    second = 2 * conv(c, c) + conv(c, c, 1, bias=False)
    discriminator = first + second + 2 * 2 * conv(c, c) + c + 1
    assert trainable(sngan_discriminator((32, 32, 3), (1,))) == discriminator


@pytest.mark.parametrize("image", [(28, 28, 1), (15, 10, 2)])
def test_any_size_and_channels(image):
    generator = sngan_generator((5,), image, filters=(4, 3, 2))
    discriminator = sngan_discriminator(image, (1,), filters=(2, 3), blocks=(4,))
    assert generator.output_shape == (None, *image)
    assert discriminator.output_shape == (None, 1)


def test_which_layers_are_spectral():
    def kinds(network):
        return {
            isinstance(layer, Spectral)
            for layer in network.layers
            if hasattr(layer, "kernel") and "norm" not in layer.name
        }

    assert kinds(sngan_discriminator((8, 8, 1), (1,), filters=(2,), blocks=())) == {True}
    plain = sngan_discriminator((8, 8, 1), (1,), filters=(2,), blocks=(), spectral=False)
    assert kinds(plain) == {False}
    assert kinds(sngan_generator((3,), (8, 8, 1), filters=(2, 2))) == {False}
    assert kinds(sngan_generator((3,), (8, 8, 1), filters=(2, 2), spectral=True)) == {True}


def test_a_discriminators_stage_by_hand():
    """One channel, kernels that see their centre only: every number on paper.

    x = 2 everywhere: conv_1 gives -2 or 2, the activation 0 or 2, conv_2 six times that, the mean
    the same; the shortcut gives half of x. Then ReLU, the sum over 4 places, the output.
    """
    network = sngan_discriminator((4, 4, 1), (1,), filters=(1,), blocks=(), spectral=False)

    def centre(value):
        return np.pad(np.full((1, 1, 1, 1), value), ((1, 1), (1, 1), (0, 0), (0, 0)))

    for sign, expected in [(1.0, 12.0 + 1.0), (-1.0, 1.0)]:
        network.get_layer("stage_1_conv_1").set_weights([centre(sign), np.zeros(1)])
        network.get_layer("stage_1_conv_2").set_weights([centre(6.0), np.zeros(1)])
        network.get_layer("stage_1_shortcut").set_weights([np.full((1, 1, 1, 1), 0.5)])
        network.get_layer("output").set_weights([np.full((1, 1), 10.0), np.full(1, 3.0)])
        logit = numpy(network(np.full((1, 4, 4, 1), 2.0, "float32")))
        np.testing.assert_allclose(logit, [[10.0 * 4 * expected + 3.0]], rtol=1e-6)


def test_the_generators_normalization_has_a_gain_and_a_shift_a_class():
    """Inference from its first statistics, mean 0 and variance 1: `gain[c] * x + shift[c]`."""
    network = sngan_generator((2 + 3,), (4, 4, 1), filters=(2, 2), num_classes=3)
    gains, shifts = RNG.normal(size=(2, 3, 2)).astype("float32")
    network.get_layer("stage_1_norm_1_gains").set_weights([gains])
    network.get_layer("stage_1_norm_1_shifts").set_weights([shifts])
    inner = keras.Model(
        network.inputs[0],
        [network.get_layer(name).output for name in ("grid_shape", "stage_1_norm_1_shift")],
    )
    inputs = np.hstack([RNG.normal(size=(3, 2)), np.eye(3)]).astype("float32")
    x, y = map(numpy, inner(inputs))
    expected = x / np.sqrt(1 + 1e-5) * gains[:, None, None] + shifts[:, None, None]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    # The latents reach the grid, the label does not.
    other = numpy(inner(np.hstack([inputs[:, :2], np.eye(3)[[1, 2, 0]]]).astype("float32"))[0])
    np.testing.assert_array_equal(other, x)


def test_the_discriminator_adds_the_projection_on_the_class():
    """Miyato & Koyama 2018, equation 3: `h . V y + psi(h)`."""
    network = sngan_discriminator((4, 4, 1 + 3), (1,), filters=(2,), blocks=(), num_classes=3)
    h = keras.Model(network.inputs[0], network.get_layer("sum").output)
    image = RNG.normal(size=(3, 4, 4, 1)).astype("float32")
    planes = np.broadcast_to(np.eye(3, dtype="float32")[:, None, None], (3, 4, 4, 3))
    x = np.concatenate([image, planes], axis=-1)
    embedding, output = network.get_layer("embedding"), network.get_layer("output")
    v = numpy(embedding.divided_kernel())
    features = numpy(h(x))
    expected = features @ numpy(output.divided_kernel()) + (features * v).sum(1, keepdims=True)
    np.testing.assert_allclose(numpy(network(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "builder, shapes, options, message",
    [
        (sngan_generator, ((4,), (8, 8, 1)), {"filters": (2,)}, "1 to 3 stages"),
        (sngan_generator, ((4,), (8, 8, 1)), {"num_classes": 4}, "fewer than the 4 features"),
        (
            sngan_generator,
            ((4,), (8, 8, 1)),
            {"filters": (2, 2), "attention_after": 2},
            "attention_after: expected a stage, 1 to 1",
        ),
        (sngan_discriminator, ((8, 8, 1), (1,)), {"filters": (2,) * 9}, "1 to 3 stages"),
        (sngan_discriminator, ((8, 8, 4), (2,)), {"num_classes": 3}, "a projection gives one"),
        (sngan_discriminator, ((8, 8, 1), (1,)), {"blocks": (0,)}, "blocks: expected"),
    ],
)
def test_what_is_refused(builder, shapes, options, message):
    with pytest.raises(ValueError, match=message):
        builder(*shapes, **options)

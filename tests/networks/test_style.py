"""Style networks: modulation by explicit kernels, noise, the sum of images, the mapping's speed."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen.networks import style_discriminator, style_generator
from keras_gen.networks.modulated import ConstantGrid, ModulatedConv2D, PixelNoise


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("demodulate", [True, False])
def test_a_modulated_convolution_is_one_with_a_kernel_of_each_example(demodulate):
    """Equations 1 and 3, the kernel of each example made and used as written there."""
    layer = ModulatedConv2D(4, 3, padding="same", demodulate=demodulate)
    x, style = normal(3, 5, 6, 2), normal(3, 7, seed=1)
    layer(x, style)
    layer.bias.assign(normal(4, seed=2))
    layer.affine.bias.assign(normal(2, seed=3))
    s = style @ numpy(layer.affine.kernel) / np.sqrt(7) + numpy(layer.affine.bias)
    w = numpy(layer.kernel) * np.sqrt(2 / (9 * 2))
    found = numpy(layer(x, style))
    for i in range(3):
        kernel = s[i][None, None, :, None] * w
        if demodulate:
            kernel = kernel / np.sqrt((kernel**2).sum(axis=(0, 1, 2)) + 1e-8)
        expected = numpy(ops.conv(x[i : i + 1], kernel.astype("float32"), padding="same"))[0]
        expected = expected + numpy(layer.bias)
        np.testing.assert_allclose(found[i], expected, rtol=1e-4, atol=1e-4)


def test_demodulated_features_keep_their_variance_whatever_the_style():
    layer = ModulatedConv2D(200, 3)
    x = normal(4, 12, 12, 30)
    style = (10.0 ** np.arange(-2, 2)[:, None] * normal(4, 5, seed=1)).astype("float32")
    layer(x, style)
    layer.affine.bias.assign(np.zeros(30))
    deviations = numpy(layer(x, style)).std(axis=(1, 2, 3))
    np.testing.assert_allclose(deviations, 1.0, rtol=0.1)


def test_noise_is_one_number_a_pixel_fresh_in_training_and_else_the_same():
    layer, x = PixelNoise(), normal(2, 30, 30, 3)
    np.testing.assert_array_equal(numpy(layer(x, training=True)), x)  # its strength begins at 0
    layer.strength.assign(0.5)
    evaluated = [numpy(layer(x)) - x for _ in range(2)]
    np.testing.assert_array_equal(*evaluated)
    standing = np.broadcast_to(0.5 * numpy(layer.standing), x.shape)
    np.testing.assert_allclose(evaluated[0], standing, atol=1e-6)
    trained = [numpy(layer(x, training=True)) - x for _ in range(2)]
    for noise in trained:
        np.testing.assert_allclose(noise[..., :1].repeat(3, axis=-1), noise, atol=1e-6)
        assert noise[..., 0].std() == pytest.approx(0.5, rel=0.15)
    assert np.abs(trained[0] - trained[1]).mean() > 0.1
    assert np.abs(trained[0][0] - trained[0][1]).mean() > 0.1


def test_a_constant_grid_is_the_same_for_every_example():
    layer = ConstantGrid((4, 3, 2))
    found = numpy(layer(normal(5, 7)))
    assert found.shape == (5, 4, 3, 2)
    np.testing.assert_array_equal(found, np.broadcast_to(numpy(layer.grid), found.shape))


def test_the_image_is_the_sum_of_what_each_level_makes_of_its_own_style():
    generator = style_generator((3,), (16, 16, 2), width=4, widest=8, features=5, mapping_layers=1)
    synthesis = generator.get_layer("synthesis")
    assert synthesis.input_shape == (None, 6, 5)
    styles = normal(2, 6, 5)
    whole = numpy(synthesis(styles))
    images = [synthesis.get_layer(f"image_{level}") for level in range(3)]
    kernels = [numpy(layer.kernel) for layer in images]
    total = 0.0
    for level in range(3):
        for i, (layer, kernel) in enumerate(zip(images, kernels, strict=True)):
            layer.kernel.assign(kernel * (i == level))
        alone = numpy(synthesis(styles))
        assert np.abs(alone).max() > 0.1
        for place in range(6):  # a style acts from its level on: later ones change nothing here
            moved = styles.copy()
            moved[:, place] += 1.0
            changes = np.abs(numpy(synthesis(moved)) - alone).max() > 1e-4
            assert changes == (place <= 2 * level + 1)
        total = total + alone
    np.testing.assert_allclose(total, whole, rtol=1e-4, atol=1e-4)


def test_a_copy_by_its_config_computes_the_same():
    generator = style_generator((3,), (8, 8, 2), width=4, widest=8, features=5)
    discriminator = style_discriminator((8, 8, 2), (1,), width=4, name="player")
    for network, x in ((generator, normal(2, 3)), (discriminator, normal(2, 8, 8, 2))):
        copy = keras.models.clone_model(network)
        copy.set_weights(network.get_weights())
        assert copy.name == network.name
        np.testing.assert_array_equal(numpy(copy(x)), numpy(network(x)))
    assert (generator.name, discriminator.name) == ("style_generator", "player")
    kinds = {layer.name: layer for layer in generator.get_layer("synthesis").layers}
    for name, options in (
        ("image_1", {"demodulate": False, "gain": 1.0}),
        ("level_1_0", {"demodulate": True}),
        ("constant", {"shape": (4, 4, 8)}),
        ("style_3", {"index": 3}),
    ):
        again = type(kinds[name]).from_config(kinds[name].get_config())
        assert {option: getattr(again, option) for option in options} == options


def test_the_mapping_starts_the_same_at_any_speed_and_moves_as_much_less():
    """As much on each weight, as of a step of Adam, changes a style as much less."""
    z, outputs, moved = normal(4, 3), [], []
    for speed in (1.0, 0.01):
        keras.utils.set_random_seed(0)
        generator = style_generator(
            (3,), (8, 8, 1), features=6, mapping_layers=2, mapping_speed=speed
        )
        mapping = generator.get_layer("mapping")
        before = numpy(mapping(z))
        outputs.append(before)
        for variable in mapping.trainable_variables:
            variable.assign(numpy(variable) + 1e-2)
        moved.append(np.abs(numpy(mapping(z)) - before).mean())
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-3, atol=1e-4)
    assert moved[1] / moved[0] == pytest.approx(0.01, rel=0.1)


def test_what_each_block_of_the_discriminator_adds_up():
    """With kernels of zero the way around is left: means of 2 x 2 over sqrt(2) a level."""
    discriminator = style_discriminator((16, 16, 1), (1,), width=2, widest=2)
    x = normal(3, 16, 16, 1)
    skips = keras.Model(discriminator.input, discriminator.get_layer("level_1_scale").output)
    pixels = keras.Model(discriminator.input, discriminator.get_layer("pixels_activation").output)
    for level in (1, 2):
        discriminator.get_layer(f"level_{level}_1").kernel.assign(np.zeros((3, 3, 2, 2)))
        identity = np.eye(2)[None, None] * np.sqrt(2)  # over the layer's constant, 1 / sqrt(2)
        discriminator.get_layer(f"level_{level}_skip").kernel.assign(identity)
    means = numpy(pixels(x)).reshape(3, 4, 4, 4, 4, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(numpy(skips(x)), means / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"features": 0}, "features: expected a positive integer, got 0"),
        ({"mapping_layers": 0}, "mapping_layers: expected a positive integer, got 0"),
        ({"mapping_speed": 0.0}, "mapping_speed: expected a number above 0, got 0.0"),
        ({"start": 3}, "output_shape: expected sides that come of doubling start = 3"),
        ({"output_activation": "relu"}, "output_activation: expected one of"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        style_generator((3,), (8, 8, 1), **options)
    if "start" in options:
        with pytest.raises(ValueError, match="input_shape: expected sides that come of doubling"):
            style_discriminator((8, 8, 1), (1,), **options)

"""Growing networks: the paper's sizes, its layers by hand, and what a stage consists of."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import engine
from keras_gen.networks import ProgressiveDiscriminator, ProgressiveGenerator, equalized
from keras_gen.networks.equalized import (
    EqualizedConv2D,
    EqualizedDense,
    MinibatchDeviation,
    PixelNormalization,
)

BUILDERS = (ProgressiveGenerator, ProgressiveDiscriminator)


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def data(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def generator(side=16, channels=1, **options):
    return ProgressiveGenerator((3,), (side, side, channels), width=2, widest=4, **options)


def discriminator(side=16, channels=1, **options):
    return ProgressiveDiscriminator((side, side, channels), (1,), width=2, widest=4, **options)


def shrunk(x, times=2):
    count, height, width, channels = x.shape
    squares = (count, height // times, times, width // times, times, channels)
    return x.reshape(squares).mean(axis=(2, 4))


# -- The layers, by hand --------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [1.0, 2**0.5])
def test_an_equalized_layer_keeps_the_variance_of_what_it_is_given(gain):
    """Outputs have variance gain**2 at the start, be there 9 or 900 inputs of variance 1."""
    for inputs in (9, 900):
        dense = EqualizedDense(2000, gain=gain)
        out = numpy(dense(data(20, inputs)))
        # 2,000 outputs an example: of their variance a share of sqrt(2 / 2000) and a little.
        assert out.var() == pytest.approx(gain**2, rel=0.15)
        assert numpy(dense.kernel).std() == pytest.approx(1.0, rel=0.05)
    convolution = EqualizedConv2D(500, 3, gain=gain)
    assert numpy(convolution(data(4, 3, 3, 100))).var() == pytest.approx(gain**2, rel=0.15)
    assert numpy(convolution.kernel).std() == pytest.approx(1.0, rel=0.05)


def test_the_constant_of_an_equalized_layer_is_outside_its_weights():
    """`y = c w x + b`, `c = gain / sqrt(fan in)`, beside Keras' layer of the kernel c w."""
    x = data(5, 3, 4, 2)
    for build, fan_in in ((lambda **o: EqualizedConv2D(3, 2, **o), 8), (dense_of_three, 2)):
        layer, c = build(gain=3.0, name="layer"), 3.0 / np.sqrt(fan_in)
        layer.build(x.shape)
        layer.bias.assign([1.0, 2.0, 3.0])
        config = {name: value for name, value in layer.get_config().items() if name != "gain"}
        plain = type(layer).__mro__[2].from_config(config)
        plain.build(x.shape)
        plain.set_weights([c * numpy(layer.kernel), numpy(layer.bias)])
        np.testing.assert_allclose(numpy(layer(x)), numpy(plain(x)), rtol=1e-4, atol=1e-5)
        ours, theirs = slopes(layer, x), slopes(plain, x)
        np.testing.assert_allclose(ours[0], c * theirs[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5)
        again = type(layer).from_config(layer.get_config())
        assert again.gain == 3.0 and again.kernel_initializer.stddev == 1.0


def dense_of_three(**options):
    return EqualizedDense(3, **options)


def slopes(layer, x):
    _, gradients = engine.value_and_grad(lambda: (ops.sum(layer(x)), {}), layer.weights)
    return [numpy(g) for g in gradients]


def test_pixel_normalization_by_hand():
    x = np.array([[[[3.0, -4.0], [0.0, 0.0]], [[1e-4, 0.0], [1.0, 1.0]]]], "float32")
    found = numpy(PixelNormalization()(x))
    root = np.sqrt(12.5)
    small = 1e-4 / np.sqrt(0.5e-8 + 1e-8)
    expected = [[[[3 / root, -4 / root], [0, 0]], [[small, 0], [1, 1]]]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    half = PixelNormalization(dtype="float16")(np.full((1, 4), 1000.0, "float16"))
    np.testing.assert_allclose(numpy(half), 1.0, rtol=1e-3)  # of squares beyond half precision


@pytest.mark.parametrize(
    "size, groups", [(None, ["01234"]), (2, ["01", "23", "4"]), (5, ["01234"])]
)
def test_minibatch_deviation_by_hand(size, groups):
    x = data(5, 2, 3, 4)
    found = numpy(MinibatchDeviation(size)(x))
    assert found.shape == (5, 2, 3, 5)
    np.testing.assert_array_equal(found[..., :4], x)
    for group in groups:
        images = [int(i) for i in group]
        alone = np.sqrt(x[images].astype("float64").var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(found[images, ..., 4], alone, rtol=1e-4)


def test_images_that_are_all_alike_have_a_deviation_with_a_slope():
    """`sqrt` has none at 0: NaN unless taken care of."""
    same = ops.convert_to_tensor(np.ones((3, 2, 2, 1), "float32"))
    slope = engine.input_gradient(lambda x: MinibatchDeviation()(x), same)
    assert np.all(np.isfinite(numpy(slope)))


# -- The sizes ------------------------------------------------------------------------------------


@pytest.fixture
def empty(monkeypatch):
    """Shapes do not depend on the numbers, and JAX compiles what draws them for every shape."""
    monkeypatch.setattr(keras.initializers, "RandomNormal", lambda **_: keras.initializers.Zeros())


# Table 2: numbers a convolution, of which an image's two are a block; then the whole.
BLOCKS = {4: 2.4, 8: 4.7, 16: 4.7, 32: 4.7, 64: 1.77, 128: 0.443, 256: 0.111, 512: 0.0277}
BLOCKS[1024] = 0.00694


def test_the_papers_parameters(empty):
    """Karras et al. 2018, table 2: 23.1 million each, at 1024 x 1024."""
    sizes = {"width": 16, "widest": 512}
    for network in (
        ProgressiveGenerator((512,), (1024, 1024, 3), **sizes),
        ProgressiveDiscriminator((1024, 1024, 3), (1,), **sizes),
    ):
        assert network.levels == 9 and network.widths == [512] * 4 + [256, 128, 64, 32, 16]
        counts = [block.count_params() / 1e6 for block in network.blocks]
        dense = {"ProgressiveGenerator": 4.2, "ProgressiveDiscriminator": 4.2}
        expected = list(BLOCKS.values())
        expected[0] += dense[type(network).__name__]
        np.testing.assert_allclose(counts, expected, rtol=0.01)
        assert round(network.stage(8, False).count_params() / 1e6, 1) == 23.1


@pytest.mark.parametrize(
    "image, start, sides",
    [
        ((64, 64, 3), None, [4, 8, 16, 32, 64]),
        ((28, 28, 1), None, [7, 14, 28]),
        ((28, 28, 1), 14, [14, 28]),
        ((24, 48, 3), None, [6, 12, 24]),
        ((24, 48, 3), 3, [3, 6, 12, 24]),
    ],
)
def test_sides_of_any_start(empty, image, start, sides):
    generator = ProgressiveGenerator((2,), image, width=1, widest=2, start=start)
    discriminator = ProgressiveDiscriminator(image, (1,), width=1, widest=2, start=start)
    for level, side in enumerate(sides):
        shape = (None, side, side * image[1] // image[0], image[2])
        for fading in (False, True)[: 1 + (level > 0)]:
            assert generator.stage(level, fading).output_shape == shape
            given = discriminator.stage(level, fading).inputs[0]
            assert given.shape == shape
    assert generator.levels == discriminator.levels == len(sides)


@pytest.mark.parametrize(
    "image, start, message",
    [
        ((7, 7, 1), None, r"even sides of at least 8, or there is one level only, got \(7, 7\)"),
        ((8, 9, 1), None, r"even sides of at least 8, or .*, got \(8, 9\)"),
        ((6, 6, 1), None, r"even sides of at least 8, or .*, got \(6, 6\)"),
        ((24, 24, 1), 4, r"sides that come of doubling start = 4, or .*, got \(24, 24\)"),
        ((16, 18, 1), 4, r"sides that come of doubling start = 4, or .*, got \(16, 18\)"),
        ((16, 16, 1), 16, r"sides that come of doubling start = 16, or .*, got \(16, 16\)"),
        ((16, 16, 1), 0, r"start: expected a positive integer, got 0"),
    ],
)
def test_sides_that_do_not_grow(image, start, message):
    with pytest.raises(ValueError, match=message):
        ProgressiveGenerator((2,), image, start=start)
    with pytest.raises(ValueError, match=message):
        ProgressiveDiscriminator(image, (1,), start=start)


@pytest.mark.parametrize("option", [{"widest": 0}, {"width": True}])
def test_a_wrong_width(option):
    (name,) = option
    with pytest.raises(ValueError, match=f"{name}: expected a positive integer, got "):
        ProgressiveGenerator((3,), (8, 8, 1), **option)


def test_a_wrong_group_size():
    with pytest.raises(ValueError, match="group_size: expected a positive integer, got 0"):
        discriminator(group_size=0)


# -- The stages -----------------------------------------------------------------------------------


def test_a_faded_generator_goes_from_the_level_before_to_the_level():
    network, z = generator(), data(3, 3)
    for level in (1, 2):
        faded, below, above = (
            network.stage(level, True),
            numpy(network.stage(level - 1, False)(z)),
            numpy(network.stage(level, False)(z)),
        )
        below = below.repeat(2, axis=1).repeat(2, axis=2)
        np.testing.assert_array_equal(numpy(faded([z, np.float32(0)])), below)
        np.testing.assert_array_equal(numpy(faded([z, np.float32(1)])), above)
        np.testing.assert_allclose(
            numpy(faded([z, np.float32(0.3)])), 0.7 * below + 0.3 * above, rtol=1e-4, atol=1e-6
        )
    np.testing.assert_array_equal(numpy(network(z)), above)


def test_a_faded_discriminator_goes_from_the_level_before_to_the_level():
    """Below the level, features are mixed: an answer is between the two, not their mean."""
    network = discriminator()
    for level, side in ((1, 8), (2, 16)):
        x = data(3, side, side, 1, seed=level)
        faded = network.stage(level, True)
        below = numpy(network.stage(level - 1, False)(shrunk(x)))
        above = numpy(network.stage(level, False)(x))
        np.testing.assert_allclose(numpy(faded([x, np.float32(0)])), below, rtol=1e-4)
        np.testing.assert_array_equal(numpy(faded([x, np.float32(1)])), above)
        between = numpy(faded([x, np.float32(0.3)]))
        assert np.all(between != below) and np.all(between != above)
    np.testing.assert_array_equal(numpy(network(x)), above)


@pytest.mark.parametrize("build", [generator, discriminator])
def test_a_stage_has_the_layers_that_it_needs_and_no_other(build):
    network = build()
    ends = network.images if build is generator else network.features

    def variables(parts):
        return {id(v) for part in parts for v in part.variables}

    for level in range(3):
        blocks = network.blocks[: level + 1]
        own = {id(v) for v in network.stage(level, False).trainable_variables}
        assert own == variables([*blocks, ends[level]])
        if level:
            fading = {id(v) for v in network.stage(level, True).trainable_variables}
            assert fading == own | variables([ends[level - 1]])
    assert {id(v) for v in network.variables} == variables([*network.blocks, *ends])
    assert network.stage(1, True) is network.stage(1, True), "one program, not one a call"


@pytest.mark.parametrize("build", BUILDERS)
def test_a_copy_is_the_same_network_of_other_numbers(build):
    ends = ((3,), (16, 16, 1)) if build is ProgressiveGenerator else ((16, 16, 1), (1,))
    option = {"output_activation": "tanh"} if build is ProgressiveGenerator else {"group_size": 2}
    network = build(*ends, width=2, widest=4, start=4, name="player", **option)
    copy = keras.models.clone_model(network)
    assert type(copy) is build and copy.get_config() == network.get_config()
    assert [v.path for v in copy.variables] == [v.path for v in network.variables]
    copy.set_weights(network.get_weights())
    x = data(4, *ends[0])
    np.testing.assert_array_equal(numpy(copy(x)), numpy(network(x)))


@pytest.mark.parametrize("activation, low, high", [("sigmoid", 0, 1), ("tanh", -1, 1)])
def test_every_level_ends_with_the_output_activation(activation, low, high):
    bounded, free = generator(output_activation=activation), generator()
    for network in (bounded, free):
        network.set_weights([30 * w for w in network.get_weights()])
    for stage in ((0, False), (1, True), (2, False)):
        inputs = [data(4, 3), np.float32(0.5)] if stage[1] else data(4, 3)
        out, wide = (numpy(each.stage(*stage)(inputs)) for each in (bounded, free))
        assert low <= out.min() < out.max() <= high and abs(wide).max() > 1


def test_equalized_layers_are_not_of_keras_own_initializer():
    assert equalized.GAIN**2 == pytest.approx(2.0)
    network = generator()
    kernels = [numpy(v.value).ravel() for v in network.variables if v.name == "kernel"]
    assert np.concatenate(kernels).std() == pytest.approx(1.0, rel=0.1)
    assert all(np.all(numpy(v.value) == 0) for v in network.variables if v.name == "bias")

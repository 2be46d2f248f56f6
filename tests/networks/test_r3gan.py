"""R3GAN's networks: they begin as the identity, keep the variance, have no idle bias."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen.networks import BUILDERS, r3gan_discriminator, r3gan_generator

RNG = np.random.default_rng(4)


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def test_they_are_builders():
    assert BUILDERS["r3gan_generator"] is r3gan_generator
    assert BUILDERS["r3gan_discriminator"] is r3gan_discriminator


@pytest.mark.parametrize("image", [(28, 28, 1), (15, 10, 2)])
def test_any_size_and_channels(image):
    generator = r3gan_generator((5,), image, filters=(4, 6, 4), blocks=(2, 0, 1))
    discriminator = r3gan_discriminator(image, (3,), filters=(4, 6, 4), blocks=(2, 0, 1))
    assert generator.output_shape == (None, *image)
    assert discriminator.output_shape == (None, 3)


def test_parameters_by_hand():
    network = r3gan_discriminator(
        (8, 8, 3), (1,), filters=(4, 6), blocks=(2, 2), expansion=3, groups=2
    )

    def block(c):
        inner = 3 * c
        return (c * inner + inner) + (9 * inner * inner // 2 + inner) + inner * c

    expected = 3 * 4 + 2 * block(4) + 4 * 6 + 2 * block(6) + 4 * 4 * 6 + 6
    assert network.count_params() == expected


def test_blocks_begin_as_the_identity():
    """The zero kernel at the end of each: a new network is its resampling and linear maps."""
    network = r3gan_generator((3,), (8, 8, 2), filters=(4, 4), blocks=(2, 2))
    z = RNG.normal(size=(2, 3)).astype("float32")
    weighed = z @ numpy(network.get_layer("weigh").kernel)
    grid = weighed[:, None, None] * numpy(network.get_layer("grid").grid)
    up = numpy(keras.layers.UpSampling2D(2, interpolation="bilinear")(grid))
    expected = up @ numpy(network.get_layer("output").kernel)[0, 0]
    np.testing.assert_allclose(numpy(network(z)), expected, rtol=1e-4, atol=1e-5)


def test_kernels_begin_as_the_paper_says():
    """Fixup of m = 3: deviation `sqrt(2 / 1.04 / inputs) * blocks ** (-1 / 4)`."""
    network = r3gan_discriminator((8, 8, 64), (1,), filters=(64, 64), blocks=(2, 2), groups=4)
    for name, inputs in [("grid_1_block_1_in", 64), ("grid_2_block_2_conv", 9 * 128 // 4)]:
        kernel = numpy(network.get_layer(name).kernel)
        expected = np.sqrt(2 / 1.04 / inputs) * 4 ** (-1 / 4)
        assert kernel.std() == pytest.approx(expected, rel=0.05), name
    grid = numpy(network.get_layer("grid").kernel)  # a channel's kernel reads 4 x 4 numbers
    assert grid.shape == (4, 4, 64) and grid.std() == pytest.approx(1 / 4, rel=0.1)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"filters": (4,)}, "1 to 3 stages"),
        ({"filters": (3, 4), "groups": 4}, r"groups: expected a divisor of .* \[6, 8\], got 4"),
        ({"filters": (4, 4), "blocks": (1,)}, "blocks: expected one number of 0 or more for each"),
        ({"filters": (4, 4), "blocks": (1, -1)}, "blocks: expected one number of 0 or more"),
    ],
)
def test_what_is_refused(options, message):
    for build, shapes in (
        (r3gan_generator, ((4,), (8, 8, 1))),
        (r3gan_discriminator, ((8, 8, 1), (1,))),
    ):
        with pytest.raises(ValueError, match=message):
            build(*shapes, **options)

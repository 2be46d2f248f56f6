"""The PatchGAN: how far a logit sees, the paper's parameters, the map that it gives."""

import keras
import numpy as np
import pytest

from keras_gen.networks import patch_gan


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("stages, patch", [(1, 16), (2, 34)])
def test_a_logit_sees_a_patch_of_the_papers_size(stages, patch):
    """Isola et al. 2017, section 4.4: 16 and 70 pixels; 9 * 2**stages - 2 in between."""
    assert patch == 9 * 2**stages - 2
    network = patch_gan(
        (64, 64, 1),
        (None, None, 1),
        width=1,
        stages=stages,
        normalization=None,
        activation="linear",
        kernel_initializer="ones",
    )
    lit = np.zeros((64, 64, 64, 1), "float32")
    lit[np.arange(64), np.arange(64), np.arange(64)] = 1.0  # one pixel each, along the diagonal
    middle = numpy(network(lit))[:, 32 // 2**stages, 32 // 2**stages, 0]
    assert (middle > 0).sum() == patch


def test_the_papers_parameters_by_hand():
    """Section 6.1.2: C64-C128-C256-C512 and a convolution to one channel, of 70 x 70 patches."""
    network = patch_gan((256, 256, 6), (32, 32, 1), kernel_initializer="zeros")
    widths = [6, 64, 128, 256, 512, 1]
    kernels = sum(16 * a * b for a, b in zip(widths, widths[1:], strict=False))
    assert network.count_params() == kernels + 64 + 1 + 4 * (128 + 256 + 512)
    assert network.output_shape == (None, 32, 32, 1)


@pytest.mark.parametrize(
    "shape, stages, made",
    [((9, 5, 2), 2, (3, 2, 1)), ((8, 8, 1), 5, (1, 1, 1)), ((20, 1), 3, (3, 1))],
)
def test_the_map_of_any_image(shape, stages, made):
    free = (*[None] * (len(shape) - 1), 1)
    for wanted in (free, list(made)):
        network = patch_gan(shape, wanted, width=2, stages=stages)
        assert network.output_shape == (None, *made)
    x = np.zeros((3, *shape), "float32")
    assert numpy(network(x)).shape == (3, *made)


@pytest.mark.parametrize("wrong", [(1,), (2, 2, 1), (None, None, 3), (None, 2, 1), 1])
def test_another_map_is_refused(wrong):
    told = r"^output_shape: expected \(height, width, channels\): \(4, 4, 1\) of 3 stages, or None"
    with pytest.raises(ValueError, match=told):
        patch_gan((32, 32, 3), wrong)


@pytest.mark.parametrize("option, value", [("stages", 0), ("width", 1.5), ("kernel_size", 0)])
def test_a_wrong_option_is_named(option, value):
    with pytest.raises(ValueError, match=f"^{option}: expected a positive integer, got "):
        patch_gan((32, 32, 3), (None, None, 1), **{option: value})

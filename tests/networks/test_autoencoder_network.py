"""The autoencoder: what passes through its code, and the decoder as the encoder's mirror."""

import keras
import numpy as np
import pytest

from keras_gen.networks import conv_autoencoder


def test_all_that_comes_out_has_passed_through_the_code():
    """A code of one number: the images that are made lie on a curve, and in a linear network on a
    line."""
    network = conv_autoencoder((8, 8, 1), (8, 8, 1), code=1, filters=(4,), activation="linear")
    x = np.random.default_rng(0).normal(size=(20, 8, 8, 1)).astype("float32")
    rebuilt = keras.ops.convert_to_numpy(network(x)).reshape(20, -1)
    spread = np.linalg.svd(rebuilt - rebuilt.mean(0), compute_uv=False)
    assert spread[0] > 1e-2 and spread[1] < 1e-4 * spread[0]


def test_the_decoder_has_the_encoders_stages_the_other_way_round():
    options = {"kernel_initializer": "zeros"}  # JAX compiles a random one for every shape
    network = conv_autoencoder((16, 16, 3), (16, 16, 3), code=5, filters=(4, 6), **options)
    encoder, decoder = (network.get_layer(name) for name in ("encoder", "decoder"))
    assert encoder.output_shape == decoder.input_shape == (None, 5)
    assert [encoder.get_layer(f"stage_{i}").filters for i in (1, 2)] == [4, 6]
    assert decoder.get_layer("grid_shape").output.shape == (None, 4, 4, 6)
    assert decoder.get_layer("stage_1").filters == 4


def test_a_code_has_a_size():
    with pytest.raises(ValueError, match="^code: expected .*, got 0"):
        conv_autoencoder((8, 8, 1), (8, 8, 1), code=0)

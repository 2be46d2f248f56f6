"""What autoencoders offer on their codes, with networks whose codes are known."""

import numpy as np
import pytest
from toys import linear, numpy

from keras_gen.models import VAE, Autoencoder


def identity(dimensions=2):
    eye = np.eye(dimensions)
    nothing = np.zeros(dimensions)
    return Autoencoder(linear(eye, nothing), linear(eye, nothing), latent_dim=dimensions)


def test_encode_gives_a_mean_and_a_deviation():
    x = np.array([[1.0, 2.0]], "float32")
    mean, deviation = identity().encode(x)
    np.testing.assert_allclose(numpy(mean), x)
    np.testing.assert_array_equal(numpy(deviation), [[0.0, 0.0]])
    encoder = linear(np.hstack([np.eye(2), np.zeros((2, 2))]), [0, 0, np.log(4.0), np.log(9.0)])
    vae = VAE(encoder, linear(np.eye(2), [0, 0]), latent_dim=2, likelihood="gaussian")
    mean, deviation = vae.encode(x)
    np.testing.assert_allclose(numpy(mean), x)
    np.testing.assert_allclose(numpy(deviation), [[2.0, 3.0]], rtol=1e-6)


def test_a_mask_keeps_what_is_known():
    """The model sees zeros where a value is missing, and gives only those back."""
    doubling = Autoencoder(
        linear([[1.0, 2.0], [0.0, 1.0]], [0, 5]), linear(np.eye(2), [0, 0]), latent_dim=2
    )
    x = np.array([[3.0, 7.0]], "float32")
    np.testing.assert_allclose(numpy(doubling.reconstruct(x)), [[3.0, 18.0]])
    np.testing.assert_allclose(numpy(doubling.reconstruct(x, mask=[[1, 0]])), [[3.0, 11.0]])
    np.testing.assert_allclose(numpy(doubling.reconstruct(x, mask=[1, 0])), [[3.0, 11.0]])
    lost = np.array([[3.0, np.nan]], "float32")
    np.testing.assert_allclose(numpy(doubling.reconstruct(lost, mask=[1, 0])), [[3.0, 11.0]])
    with pytest.raises(ValueError, match=r"mask must have the shape of the examples, \(1, 2\), or"):
        doubling.reconstruct(x, mask=np.ones((3,)))


def test_linear_and_spherical_paths():
    start, end = np.array([[1.0, 0.0]], "float32"), np.array([[0.0, 1.0]], "float32")
    model = identity()
    line = model.interpolate(start, end, 3, path="linear")
    np.testing.assert_allclose(line, [[[1, 0], [0.5, 0.5], [0, 1]]], atol=1e-6)
    arc = model.interpolate(start, end, 3, path="spherical")
    half = np.sqrt(0.5)
    np.testing.assert_allclose(arc, [[[1, 0], [half, half], [0, 1]]], atol=1e-6)
    # Codes on one line have no arc between them.
    straight = model.interpolate(start, 3 * start, 3)
    np.testing.assert_allclose(straight, [[[1, 0], [2, 0], [3, 0]]], atol=1e-6)


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((2,), {"path": "curly"}, "path must be one of 'linear', 'spherical'; got 'curly'"),
        ((1,), {}, "steps must be at least 2, the two ends; got 1"),
    ],
)
def test_paths_that_are_refused(arguments, options, message):
    x = np.zeros((1, 2), "float32")
    with pytest.raises(ValueError, match=message):
        identity().interpolate(x, x, *arguments, **options)
    with pytest.raises(ValueError, match=r"start and end must have one shape; got \(1, 2\) and"):
        identity().interpolate(x, np.zeros((3, 2), "float32"))


def test_a_traversal_moves_one_latent_at_a_time():
    x = np.array([[1.0, 2.0], [5.0, 6.0]], "float32")
    grid = identity().traverse(x, values=[-1.0, 0.0, 1.0])
    assert grid.shape == (2, 2, 3, 2)
    np.testing.assert_allclose(grid[0, 0], [[-1, 2], [0, 2], [1, 2]])
    np.testing.assert_allclose(grid[1, 1], [[5, -1], [5, 0], [5, 1]])
    assert identity().traverse(x, latents=[1]).shape == (2, 1, 7, 2)
    with pytest.raises(ValueError, match="latents must be in 0 to 1, those of the code; got 2"):
        identity().traverse(x, latents=[2])

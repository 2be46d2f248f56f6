"""Our kernels against Keras' own: values, first and second derivatives, every geometry."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import engine

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="only XLA needs other kernels on a CPU"
)

# rank, kernel side, strides, padding, dilation, side, data format, channels in
GEOMETRIES = [
    *itertools.product([2], [3, 4, 5], [2], ["same", "valid"], [1], [7], ["channels_last"], [8]),
    (2, 3, 1, "same", 1, 7, "channels_last", 8),
    (2, 4, 3, "same", 1, 7, "channels_last", 8),
    (1, 4, 2, "same", 1, 6, "channels_last", 8),
    (3, 3, 2, "same", 1, 5, "channels_last", 8),
    (2, 4, (2, 3), "same", 1, 7, "channels_last", 8),
    (2, 2, 3, "valid", 1, 6, "channels_last", 8),  # a stride that skips over entries
    (2, 4, 2, "same", 1, 6, "channels_last", 2),
    (2, 3, 1, "same", 2, 7, "channels_last", 8),
    (2, 4, 2, "same", 1, 6, "channels_first", 8),
]


def convolution(name, rank, side, strides, padding, dilation, size, data_format, channels):
    """The function of two arrays that a layer of this geometry computes, and two arrays."""
    rng = np.random.default_rng(0)
    ends = (channels, 3) if name == "conv" else (3, channels)
    sides = (size,) * rank
    shape = (*sides, channels) if data_format == "channels_last" else (channels, *sides)
    x = rng.normal(size=(2, *shape)).astype("float32")
    kernel = rng.normal(size=((side,) * rank + ends)).astype("float32") / side**rank
    function = getattr(ops, name)

    def compute(x, kernel):
        return function(
            x,
            kernel,
            strides=strides,
            padding=padding,
            dilation_rate=dilation,
            data_format=data_format,
        )

    return compute, x, kernel


def derivatives(function, x, kernel):
    """Value, gradient, and gradient of the gradient's norm: what a gradient penalty takes."""
    import jax

    def loss(x, kernel):
        return ops.sum(ops.square(function(x, kernel)) * 0.5 + ops.sin(function(x, kernel)))

    def slope(x, kernel):
        return sum(ops.sum(ops.square(g)) for g in jax.grad(loss, (0, 1))(x, kernel))

    def all_three(x, kernel):
        return (
            function(x, kernel),
            jax.grad(loss, (0, 1))(x, kernel),
            jax.grad(slope, (0, 1))(x, kernel),
        )

    return jax.tree.leaves(jax.jit(all_three)(x, kernel))


@pytest.mark.parametrize("name", ["conv", "conv_transpose"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_a_kernel_of_ours_equals_keras_own_in_value_and_two_derivatives(name, geometry):
    function, x, kernel = convolution(name, *geometry)
    expected = derivatives(function, x, kernel)
    with engine.fast_kernels():
        got = derivatives(function, x, kernel)
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("name", ["conv", "conv_transpose"])
def test_a_kernel_of_ours_maps_over_a_batch_of_kernels(name):
    import jax

    function, x, kernel = convolution(name, *GEOMETRIES[2])
    kernels = np.stack([kernel, 2 * kernel])

    def gradient(kernel):
        return jax.grad(lambda kernel: ops.sum(ops.tanh(function(x, kernel))))(kernel)

    expected = [gradient(kernel) for kernel in kernels]
    with engine.fast_kernels():
        got = jax.vmap(gradient)(kernels)
    np.testing.assert_allclose(got, np.stack(expected), rtol=1e-4, atol=1e-4)


def test_mixed_precision_keeps_its_dtype():
    function, x, kernel = convolution("conv_transpose", *GEOMETRIES[2])
    half = [ops.cast(array, "bfloat16") for array in (x, kernel)]
    with engine.fast_kernels():
        got = function(*half)
    assert got.dtype == half[0].dtype
    np.testing.assert_allclose(got.astype("float32"), function(x, kernel), rtol=0.1, atol=0.05)


def test_a_users_plain_layer_uses_them_inside_the_context_and_keras_own_after_it(monkeypatch):
    import jax

    layer = keras.layers.Conv2DTranspose(8, 4, strides=2, padding="same")
    x = np.ones((1, 3, 3, 2), "float32")
    layer.build(x.shape)

    def traced():
        return str(jax.make_jaxpr(lambda x: layer(x))(x))

    assert "custom_vjp" not in traced()
    with engine.fast_kernels():
        assert "custom_vjp" in traced()
    assert "custom_vjp" not in traced()
    monkeypatch.setenv("KERAS_GEN_KERNELS", "0")
    with engine.fast_kernels():
        assert "custom_vjp" not in traced()

"""Our kernels against Keras' own: values, first and second derivatives, every geometry."""

import functools
import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import engine

BACKEND = keras.backend.backend()
on_jax = pytest.mark.skipif(BACKEND != "jax", reason="a property of JAX's kernels")
on_torch = pytest.mark.skipif(BACKEND != "torch", reason="PyTorch's kernels")
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's kernels")
of_convolutions = pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow keeps Keras' own")

# rank, kernel side, strides, padding, dilation, side, data format, channels in
GEOMETRIES = [
    *itertools.product([2], [3, 4, 5], [2], ["same", "valid"], [1], [7], ["channels_last"], [8]),
    (2, 3, 1, "same", 1, 7, "channels_last", 8),
    (2, 4, 3, "same", 1, 7, "channels_last", 8),
    (1, 4, 2, "same", 1, 6, "channels_last", 8),
    (3, 3, 2, "same", 1, 5, "channels_last", 8),
    (2, 4, (2, 3), "same", 1, 7, "channels_last", 8),
    (2, 2, 3, "valid", 1, 6, "channels_last", 8),  # a stride that skips over entries
    (2, 4, 2, "same", 1, 6, "channels_last", 1),  # few channels
    (2, 3, 2, "same", 1, 7, "channels_last", 1),
    (2, 5, (2, 3), "valid", 1, 7, "channels_last", 1),
    (2, 2, 3, "valid", 1, 7, "channels_last", 1),
    (2, 4, 2, "same", 1, 8, "channels_last", 3),
    (2, 3, 2, "same", 1, 8, "channels_last", 3),  # padded at one end only
    (2, 5, 2, "valid", 1, 8, "channels_last", 3),  # a last column that no entry reads
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


def loss(function, *inputs):
    value = function(*inputs)
    return ops.sum(ops.square(value) * 0.5 + ops.sin(value))


def derivatives(function, *inputs):
    """Value, gradients, and gradients of their norm: what a gradient penalty takes."""
    if BACKEND == "torch":
        return derivatives_by_autograd(function, *inputs)
    if BACKEND == "tensorflow":
        return derivatives_by_tapes(function, *inputs)
    import jax

    every = tuple(range(len(inputs)))

    def gradients(*inputs):
        return jax.grad(lambda *inputs: loss(function, *inputs), every)(*inputs)

    def slope(*inputs):
        return sum(ops.sum(ops.square(g)) for g in gradients(*inputs))

    def all_three(*inputs):
        return function(*inputs), gradients(*inputs), jax.grad(slope, every)(*inputs)

    return [np.asarray(leaf) for leaf in jax.tree.leaves(jax.jit(all_three)(*inputs))]


def derivatives_by_autograd(function, *inputs):
    import torch

    inputs = [torch.tensor(array, requires_grad=True) for array in inputs]
    gradients = torch.autograd.grad(loss(function, *inputs), inputs, create_graph=True)
    slope = sum(ops.sum(ops.square(g)) for g in gradients)
    second = torch.autograd.grad(slope, inputs)
    return [t.detach().numpy() for t in (function(*inputs), *gradients, *second)]


def derivatives_by_tapes(function, *inputs):
    import tensorflow as tf

    @tf.function(autograph=False)
    def all_three(*inputs):
        with tf.GradientTape(watch_accessed_variables=False) as outer:
            outer.watch(inputs)
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(inputs)
                value = loss(function, *inputs)
            gradients = inner.gradient(value, inputs)
            slope = sum(ops.sum(ops.square(g)) for g in gradients)
        return function(*inputs), *gradients, *outer.gradient(slope, inputs)

    return [tensor.numpy() for tensor in all_three(*map(tf.constant, inputs))]


@of_convolutions
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


@on_jax
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


@of_convolutions
def test_mixed_precision_keeps_its_dtype():
    function, x, kernel = convolution("conv_transpose", *GEOMETRIES[2])
    half = [ops.cast(array, "bfloat16") for array in (x, kernel)]
    with engine.fast_kernels():
        got = function(*half)
    assert got.dtype == half[0].dtype
    exact = ops.convert_to_numpy(function(x, kernel))
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(got, "float32")), exact, rtol=0.1, atol=0.05
    )


@of_convolutions
@pytest.mark.parametrize(
    "name, dtype, batch, strides",
    [
        ("conv", "float16", 2, 1),
        ("conv", "bfloat16", 2, 2),
        ("conv", "float32", 1, 1),
        ("conv", "float32", 1, 2),
        ("conv_transpose", "float32", 1, 1),
    ],
)
def test_a_convolution_to_one_channel_is_differentiated(name, dtype, batch, strides):
    """PyTorch 2.13 on a CPU fails where its kernel lies channels-last and oneDNN does not take it.

    The slope of an entry of the kernel is the sum of the pixels that it reads: every so many of 6
    rows and columns, from its own place on. One of a transposed kernel spreads all of them.
    """
    rng = np.random.default_rng(2)
    x = rng.integers(-8, 8, size=(batch, 8, 8, 4 if name == "conv" else 1)) / 4  # exact in halves
    w = rng.normal(size=(3, 3, 4, 1))
    with engine.fast_kernels():
        kernel, image = keras.Variable(w, dtype=dtype), ops.convert_to_tensor(x, dtype=dtype)
        convolve = functools.partial(getattr(ops, name), image, kernel, strides=strides)
        (_, _), (gradient,) = engine.value_and_grad(
            lambda: (ops.sum(ops.cast(convolve(), "float32")), {}), [kernel]
        )
    places = [slice(i, i + 6, strides) if name == "conv" else slice(None) for i in range(3)]
    expected = [[x[:, rows, columns].sum((0, 1, 2)) for columns in places] for rows in places]
    expected = np.broadcast_to(np.array(expected)[..., None], w.shape)
    got = ops.convert_to_numpy(ops.cast(gradient, "float32"))
    np.testing.assert_allclose(got, expected, rtol=0.01, atol=1e-4)


@pytest.mark.parametrize("shape, axis", [((6, 4, 3, 5), -1), ((6, 5, 4, 3), 1), ((9, 5), -1)])
@pytest.mark.parametrize("name", ["BatchNormalization", "GroupNormalization"])
def test_normalization_equals_keras_own_in_value_and_two_derivatives(name, shape, axis):
    rng = np.random.default_rng(1)
    x = rng.normal(2.0, 3.0, size=shape).astype("float32")
    options = {"momentum": 0.5} if name[0] == "B" else {"groups": 1}
    layer = getattr(keras.layers, name)(axis=axis, **options)
    layer.build(shape)
    layer.set_weights([w + rng.normal(size=w.shape) * 0.1 for w in layer.get_weights()])

    def normalize(x):
        with keras.StatelessScope():
            return layer(x, training=True) if name[0] == "B" else layer(x)

    expected = derivatives(normalize, x)
    with engine.fast_kernels():
        got = derivatives(normalize, x)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("rank", [1, 4])
def test_a_bias_of_few_channels_equals_keras_own_in_value_and_two_derivatives(channels, rank):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(5, 6, 7, channels)).astype("float32")
    bias = rng.normal(size=(1,) * (rank - 1) + (channels,)).astype("float32")
    expected = derivatives(ops.add, x, bias)
    with engine.fast_kernels():
        got = derivatives(ops.add, x, bias)
    np.testing.assert_array_equal(got[0], x + bias)
    for ours, theirs in zip(got[1:], expected[1:], strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())


@on_torch
@pytest.mark.parametrize("shape, axes", [((6, 4, 3, 5), (0, 1, 2)), ((6, 5, 4, 3), (0, 2, 3))])
def test_moments_equal_numpys_in_value_and_gradient(shape, axes):
    """`loss = sum(mean * a + variance * b)`: its gradient is `(a + 2 b (x - mean)) / count`."""
    import torch

    rng = np.random.default_rng(5)
    x = rng.normal(3.0, 2.0, size=shape)
    a, b = rng.normal(size=(2, 5))
    tensor = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    with engine.fast_kernels():
        mean, variance = ops.moments(tensor, axes)
    total = (mean * torch.tensor(a)).sum() + (variance * torch.tensor(b)).sum()
    (gradient,) = torch.autograd.grad(total, tensor)
    np.testing.assert_allclose(mean.detach(), x.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(variance.detach(), x.var(axes), rtol=1e-5)
    to_shape = [5 if axis not in axes else 1 for axis in range(4)]
    mean, a, b = (each.reshape(to_shape) for each in (x.mean(axes), a, b))
    expected = (a + 2 * b * (x - mean)) / (x.size / 5)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_batch_normalization_keeps_its_moving_statistics():
    x = np.random.default_rng(2).normal(2.0, 3.0, size=(8, 3, 3, 4)).astype("float32")
    kept = []
    for context in (engine.fast_kernels(), keras.name_scope("as Keras does")):
        layer = keras.layers.BatchNormalization(momentum=0.5)
        with context:
            layer(x, training=True)
        kept.append([ops.convert_to_numpy(v) for v in layer.non_trainable_variables])
    for ours, theirs in zip(*kept, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(kept[0][0], 0.5 * x.mean((0, 1, 2)), rtol=1e-5)


@on_torch
def test_a_split_at_places_is_captured_and_equals_numpys():
    from torch.fx.experimental.proxy_tensor import make_fx

    x = np.arange(24.0, dtype="float32").reshape(4, 6)

    def parts(x):
        return ops.split(x, [1, 4], axis=-1) + ops.split(x, 2, axis=0)

    with engine.fast_kernels():
        captured = make_fx(parts)(ops.convert_to_tensor(x))
    expected = np.split(x, [1, 4], axis=-1) + np.split(x, 2, axis=0)
    for ours, theirs in zip(captured(ops.convert_to_tensor(x + 1)), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs + 1)


@on_torch
@pytest.mark.parametrize("shape", [(64, 256, 320), (40, 2000, 64), (5, 8, 256, 512)], ids=str)
def test_a_large_product_equals_numpys_in_value_and_two_derivatives(shape, monkeypatch):
    """`loss = (a b)^2 / 2 + sin(a b)`; gradients in closed form, second ones against PyTorch's."""
    from keras_gen.engine.kernels.torch import products

    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)
    rng = np.random.default_rng(3)
    a = rng.normal(size=shape[:-1]).astype("float32")
    b = (rng.normal(size=shape[-2:]) / shape[-2] ** 0.5).astype("float32")
    expected = derivatives(ops.matmul, a, b)
    with engine.fast_kernels():
        got = derivatives(ops.matmul, a, b)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5 * np.abs(theirs).max())
    c = a.astype("float64") @ b
    np.testing.assert_allclose(got[0], c, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got[1], (c + np.cos(c)) @ b.T, rtol=1e-3, atol=1e-3)


@on_torch
def test_images_are_not_copied_around_a_convolution():
    from torch.utils._python_dispatch import TorchDispatchMode

    copied = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if "clone" in str(function) or "copy" in str(function):
                copied.append(tuple(args[0].shape))
            return function(*args, **(kwargs or {}))

    function, x, kernel = convolution("conv", *GEOMETRIES[2])
    image, kernel = ops.convert_to_tensor(x), ops.convert_to_tensor(kernel)
    with engine.fast_kernels(), Watch():
        function(image, kernel)
    assert all(sorted(shape) == sorted(kernel.shape) for shape in copied)


@on_jax
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


@on_tensorflow
def test_a_users_batch_normalization_is_one_operation_and_its_convolution_adds_a_bias():
    import tensorflow as tf

    layers = [keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()]
    shape = (2, 5, 5, 3)
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)

    def operations():
        def call(x):
            for layer in layers:
                x = layer(x, training=True)
            return x

        graph = tf.function(call, autograph=False).get_concrete_function(tf.ones((2, 5, 5, 3)))
        return {operation.type for operation in graph.graph.get_operations()}

    assert "BiasAdd" in operations() and "FusedBatchNormV3" not in operations()
    with engine.fast_kernels():
        assert "FusedBatchNormV3" in operations() and "BiasAdd" not in operations()
    assert "BiasAdd" in operations()

"""Convolutions whose derivatives XLA does well on a CPU.

XLA:CPU takes the kernel's gradient of a transposed convolution in a form that is tens of times
slower than the same gradient of the convolution it is the adjoint of. A convolution, its adjoint
and the gradient of their kernel are closed under differentiation, so three rules make every
derivative, of any order, one of the three fast forms:

    C(x, w)    dx = T(g, w)    dw = D(x, g)
    T(y, w)    dy = C(g, w)    dw = D(g, y)
    D(x, y)    dx = T(y, g)    dy = C(x, g)

Reverse derivatives and `vmap` work; forward mode (`jax.jvp`) does not, as for any `custom_vjp`.
"""

import functools

import jax
from jax import numpy as jnp
from keras.src.backend.jax import nn

from keras_gen.engine.versions import has

FEW_CHANNELS = 8

_keras_conv, _keras_conv_transpose = nn.conv, nn.conv_transpose
has(nn, "compute_conv_transpose_padding_args_for_jax", "convert_to_tensor")
has(nn.backend, "standardize_data_format")


def kernels():
    """`{module of Keras' backend: {name: function}}`: on a CPU; accelerators have good ones."""
    if jax.default_backend() != "cpu":
        return {}
    return {nn: {"conv": conv, "conv_transpose": conv_transpose}}


def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """`keras.ops.conv`, C above."""
    options = {"strides": strides, "padding": padding}
    options |= {"data_format": data_format, "dilation_rate": dilation_rate}
    x, w = _tensors(inputs, kernel)
    return _trio(_convolution, x.shape[1:], w.shape, _hashable(options))[0](x, w)


def conv_transpose(
    inputs,
    kernel,
    strides=1,
    padding="valid",
    output_padding=None,
    data_format=None,
    dilation_rate=1,
):
    """`keras.ops.conv_transpose`, T above."""
    options = {"strides": strides, "padding": padding, "output_padding": output_padding}
    options |= {"data_format": data_format, "dilation_rate": dilation_rate}
    y, w = _tensors(inputs, kernel)
    return _trio(_transposed_convolution, y.shape[1:], w.shape, _hashable(options))[1](y, w)


def _tensors(inputs, kernel):
    kernel = nn.convert_to_tensor(kernel)
    return nn.convert_to_tensor(inputs, dtype=kernel.dtype), kernel


def _hashable(options):
    return tuple(
        (name, tuple(value) if isinstance(value, list) else value)
        for name, value in options.items()
    )


def _convolution(example, kernel, options):
    """C as Keras computes it, and T as its transpose in x."""

    def c(x, w):
        return _keras_conv(x, w, **options)

    def t(y, w):
        return _transpose(lambda x: c(x, w), (y.shape[0], *example), y)

    if _spreads(kernel, options):
        *sides, channels = example
        strides = _per_side(options["strides"], len(sides))
        pads = jax.lax.padtype_to_pads(sides, kernel[:-2], strides, options["padding"].upper())
        if channels == kernel[-2]:  # one group
            t = functools.partial(_depth_to_space, strides, [low for low, _ in pads], sides)
    return c, t


def _transposed_convolution(example, kernel, options):
    """C as the transpose, in y, of T as Keras computes it."""

    def plain_t(y, w):
        return _keras_conv_transpose(y, w, **options)

    def c(x, w):
        return _transpose(lambda y: plain_t(y, w), (x.shape[0], *example), x)

    if not _spreads(kernel, options):
        return c, plain_t
    pads = nn.compute_conv_transpose_padding_args_for_jax(
        input_shape=(1, *example), kernel_shape=kernel, **_without(options, "data_format")
    )
    strides = _per_side(options["strides"], len(example) - 1)
    geometry = list(zip(example, strides, kernel, pads, strict=False))
    sides = [(n - 1) * stride + low + high - k + 2 for n, stride, k, (low, high) in geometry]
    cut = [k - 1 - low for _, _, k, (low, _) in geometry]
    return c, functools.partial(_depth_to_space, strides, cut, sides)


def _spreads(kernel, options):
    """Whether T is best computed by `_depth_to_space`.

    That is where a stride would fill y with zeros, and for more than a few channels: below, the
    spreading costs more than the products with zeros do.
    """
    strides = _per_side(options["strides"], len(kernel) - 2)
    dilation = _per_side(options["dilation_rate"], len(kernel) - 2)
    last = nn.backend.standardize_data_format(options["data_format"]) == "channels_last"
    return (
        last
        and max(strides) > 1
        and max(dilation) == 1
        and kernel[-2] >= FEW_CHANNELS
        and options["padding"] != "causal"
    )


def _per_side(number, sides):
    return (number,) * sides if isinstance(number, int) else tuple(number)


def _without(options, name):
    return {key: value for key, value in options.items() if key != name}


def _depth_to_space(strides, cut, sides, y, w):
    """T as a convolution without strides to `prod(strides)` times the channels, then spread out.

    Args:
        strides: Of each spatial axis.
        cut: Entries to drop at the start of each axis.
        sides: Of the result.
        y: `(batch, *small sides, out channels)`.
        w: `(*kernel sides, in channels, out channels)`.

    Returns:
        `(batch, *sides, in channels)`.
    """
    n, channels = len(strides), w.shape[-2]
    blocks = [-(-k // stride) for k, stride in zip(w.shape, strides, strict=False)]
    rest = [(0, p * stride - k) for p, stride, k in zip(blocks, strides, w.shape, strict=False)]
    w = jnp.pad(w, [*rest, (0, 0), (0, 0)])
    pairs = [size for pair in zip(blocks, strides, strict=True) for size in pair]
    w = jnp.flip(w.reshape(*pairs, *w.shape[-2:]), [2 * i for i in range(n)])
    # To (*blocks, out channels, *strides, in channels).
    w = w.transpose([*range(0, 2 * n, 2), 2 * n + 1, *range(1, 2 * n, 2), 2 * n])
    w = w.reshape(*blocks, y.shape[-1], -1)
    spread = _keras_conv(
        jnp.pad(y, [(0, 0), *[(p - 1, p - 1) for p in blocks], (0, 0)]),
        w,
        padding="valid",
        data_format="channels_last",
    )
    grown = spread.shape[1:-1]
    spread = spread.reshape(y.shape[0], *grown, *strides, channels)
    beside = [axis for i in range(n) for axis in (1 + i, 1 + n + i)]
    spread = spread.transpose(0, *beside, 1 + 2 * n)
    full = [side * stride for side, stride in zip(grown, strides, strict=True)]
    spread = spread.reshape(y.shape[0], *full, channels)
    edges = [(-c, c + side - f, 0) for c, side, f in zip(cut, sides, full, strict=True)]
    spread = jax.lax.pad(spread, jnp.zeros((), spread.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    return jax.lax.optimization_barrier(spread)


def _transpose(linear, shape, cotangent):
    (result,) = jax.linear_transpose(linear, jax.ShapeDtypeStruct(shape, cotangent.dtype))(
        cotangent
    )
    return result


@functools.cache
def _trio(pair, example, kernel, options):
    """C, T and D for one geometry, each with its derivatives in the three.

    Args:
        pair: `_convolution` or `_transposed_convolution`.
        example: Shape of one example of the input.
        kernel: Shape of w.
        options: Keras' keyword arguments as pairs.
    """
    plain_c, plain_t = pair(example, kernel, dict(options))

    def plain_d(x, y):
        return _transpose(lambda w: plain_c(x, w), kernel, y)

    c, t, d = (jax.custom_vjp(plain) for plain in (plain_c, plain_t, plain_d))

    def keep(function):
        return lambda *inputs: (function(*inputs), inputs)

    c.defvjp(keep(c), lambda inputs, g: (t(g, inputs[1]), d(inputs[0], g)))
    t.defvjp(keep(t), lambda inputs, g: (c(g, inputs[1]), d(g, inputs[0])))
    d.defvjp(keep(d), lambda inputs, g: (t(inputs[1], g), c(inputs[0], g)))
    return c, t, d

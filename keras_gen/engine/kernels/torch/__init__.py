"""Convolutions and products in the forms that PyTorch does best on a CPU.

Keras 3.15 copies every image to `(batch, channels, height, width)` and back around a convolution,
and computes the border of a transposed convolution only to cut it off. Images that lie as
`(batch, height, width, channels)` are PyTorch's `channels_last`: a view is enough.

Batch normalization and its statistics are one operation, whose derivative is known; Keras' two
functions leave it to be derived from every step of theirs.
"""

import torch
from keras.src.backend.torch import nn, numpy
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.nn import functional

from keras_gen.engine.kernels.torch import few_channels
from keras_gen.engine.kernels.torch.products import product
from keras_gen.engine.versions import has

_keras_conv, _keras_conv_transpose = nn.conv, nn.conv_transpose
_keras_add, _keras_matmul, _keras_split = numpy.add, numpy.matmul, numpy.split
_keras_moments, _keras_batch_normalization = nn.moments, nn.batch_normalization
has(nn, "compute_conv_transpose_output_crops_for_torch", "convert_to_tensor")
has(nn.backend, "standardize_data_format")


def kernels():
    """`{module of Keras' backend: {name: function}}`."""
    return {
        nn: {
            "conv": conv,
            "conv_transpose": conv_transpose,
            "moments": moments,
            "batch_normalization": batch_normalization,
        },
        numpy: {"add": add, "matmul": matmul, "split": split},
    }


def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """`keras.ops.conv` without copies."""
    x, w = nn.convert_to_tensor(inputs), nn.convert_to_tensor(kernel)
    if not _of_images(x, data_format) or x.shape[3] % w.shape[2] or padding == "causal":
        return _keras_conv(x, w, strides, padding, data_format, dilation_rate)
    strides, dilation = _pair(strides), _pair(dilation_rate)
    pads = [(0, 0), (0, 0)]
    if padding == "same":
        pads = [
            _same(*each) for each in zip(x.shape[1:3], w.shape, strides, dilation, strict=False)
        ]
    groups = x.shape[3] // w.shape[2]
    if groups == 1 and few_channels.suits(x, w, strides, dilation):
        (above, below), (left, right) = pads
        if right > left or below > above:
            x = functional.pad(x, (0, 0, 0, right - left, 0, below - above))
        return few_channels.convolution(x, w, strides, (above, left))
    x = x.permute(0, 3, 1, 2)
    if any(low != high for low, high in pads):
        x, pads = functional.pad(x, (*pads[1], *pads[0])), [(0, 0), (0, 0)]
    low = [low for low, _ in pads]
    y = functional.conv2d(x, few_channels.oriented(w), None, strides, low, dilation, groups)
    return y.permute(0, 2, 3, 1)


def conv_transpose(
    inputs,
    kernel,
    strides=1,
    padding="valid",
    output_padding=None,
    data_format=None,
    dilation_rate=1,
):
    """`keras.ops.conv_transpose` without copies, and without what would be cut off."""
    y, w = nn.convert_to_tensor(inputs), nn.convert_to_tensor(kernel)
    options = {"strides": strides, "padding": padding, "output_padding": output_padding}
    options["dilation_rate"] = dilation_rate
    if not _of_images(y, data_format) or y.shape[3] != w.shape[3]:
        return _keras_conv_transpose(y, w, **options, data_format=data_format)
    crops = nn.compute_conv_transpose_output_crops_for_torch(y.shape, w.shape, **options)
    strides, dilation = _pair(strides), _pair(dilation_rate)
    cut = [low for low, _ in crops]
    more = [low - high for low, high in crops]  # PyTorch cuts `low` off both ends
    if min(cut) < 0 or any(m >= max(s, d) for m, s, d in zip(more, strides, dilation, strict=True)):
        return _keras_conv_transpose(y, w, **options, data_format=data_format)
    if few_channels.suits(y, w, strides, dilation):
        sides = [
            (side - 1) * stride + k - low - high
            for side, stride, k, (low, high) in zip(
                y.shape[1:3], strides, w.shape, crops, strict=False
            )
        ]
        return few_channels.transposed_convolution(y, w, strides, cut, sides)
    x = functional.conv_transpose2d(
        y.permute(0, 3, 1, 2),
        few_channels.oriented(w),
        None,
        strides,
        cut,
        [max(0, m) for m in more],
        1,
        dilation,
    )
    if min(more) < 0:
        height, width = (side + min(0, m) for side, m in zip(x.shape[2:], more, strict=True))
        x = x[:, :, :height, :width]
    return x.permute(0, 2, 3, 1)


def add(x1, x2):
    """`keras.ops.add`; the bias of images of few channels is added by rows."""
    x1, x2 = nn.convert_to_tensor(x1), nn.convert_to_tensor(x2)
    few = x1.ndim == 4 and 1 < x1.shape[3] <= few_channels.FEW and x1.device.type == "cpu"
    of_channels = few and x2.numel() == x2.shape[-1:].numel() == x1.shape[3]
    if not of_channels or x1.dtype != x2.dtype or x1.stride()[2:] != (x1.shape[3], 1):
        return _keras_add(x1, x2)
    return few_channels.biased(x1, x2)


def matmul(x1, x2):
    """`keras.ops.matmul`; a large product of float32 matrices is oneDNN's."""
    x1, x2 = nn.convert_to_tensor(x1), nn.convert_to_tensor(x2)
    if x1.ndim < 2 or x2.ndim != 2 or x1.dtype != torch.float32 or x2.dtype != torch.float32:
        return _keras_matmul(x1, x2)
    return product(x1.reshape(-1, x1.shape[-1]), x2).reshape(*x1.shape[:-1], x2.shape[1])


def split(x, indices_or_sections, axis=0):
    """`keras.ops.split`; at places that stay numbers, which a graph can be captured with."""
    places = indices_or_sections
    if not isinstance(places, list | tuple) or not all(isinstance(i, int) for i in places):
        return _keras_split(x, places, axis)
    return list(torch.tensor_split(nn.convert_to_tensor(x), tuple(places), dim=axis))


def moments(x, axes, keepdims=False, synchronized=False):
    """`keras.ops.moments`; those of each channel remember of what they are."""
    x = nn.convert_to_tensor(x)
    reduced = {axis % x.ndim for axis in ([axes] if isinstance(axes, int) else axes)}
    (channels, *more) = set(range(x.ndim)) - reduced or {None, 0}
    if more or keepdims or synchronized or x.dtype == torch.float16:
        return _keras_moments(x, axes, keepdims, synchronized)
    mean, variance = _Moments.apply(x.movedim(channels, 1))
    mean.is_mean_of = x, channels
    return mean, variance


class _Moments(torch.autograd.Function):
    """Mean and variance of each channel of `(batch, channels, ...)`."""

    @staticmethod
    def forward(ctx, x):
        if get_proxy_mode() is None and x.device.type == "cpu" and x.dtype == torch.float32:
            mean, variance = torch.batch_norm_update_stats(x, None, None, 0.0)
        else:  # as batch normalization has them itself: a compiler sees that they are the same
            rest = [axis for axis in range(x.ndim) if axis != 1]
            variance, mean = torch.var_mean(x, rest, correction=0)
        ctx.save_for_backward(x, mean)
        return mean, variance

    @staticmethod
    def backward(ctx, of_mean, of_variance):
        x, mean = ctx.saved_tensors
        shape = (-1,) + (1,) * (x.ndim - 2)
        of_mean, of_variance, mean = (t.reshape(shape) for t in (of_mean, of_variance, mean))
        return (of_mean + 2.0 * of_variance * (x - mean)) * (mean.numel() / x.numel())


def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):
    """`keras.ops.batch_normalization`; one operation where the statistics are those of `x`."""
    source, channels = getattr(mean, "is_mean_of", (None, None))
    if source is not x or axis % x.ndim != channels:
        return _keras_batch_normalization(x, mean, variance, axis, offset, scale, epsilon)
    normalized = functional.batch_norm(
        x.movedim(channels, 1), None, None, scale, offset, training=True, momentum=0.0, eps=epsilon
    )
    return normalized.movedim(1, channels)


def _of_images(x, data_format):
    return x.ndim == 4 and nn.backend.standardize_data_format(data_format) == "channels_last"


def _pair(number):
    return (number, number) if isinstance(number, int) else tuple(number)


def _same(side, kernel, stride, dilation):
    """Zeros before and after, so that `ceil(side / stride)` entries come out."""
    total = max((-(-side // stride) - 1) * stride + (kernel - 1) * dilation + 1 - side, 0)
    return total // 2, total - total // 2

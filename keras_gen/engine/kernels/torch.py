"""Convolutions of images in the memory format that PyTorch does best on a CPU.

Keras 3.15 copies every image to `(batch, channels, height, width)` and back around a convolution,
and computes the border of a transposed convolution only to cut it off. Images that lie as
`(batch, height, width, channels)` are PyTorch's `channels_last`: a view is enough.

Between an image of few channels and many features, a strided convolution and its transpose are
one matrix product and the sorting of pixels into patches, or back: oneDNN does these badly.

Batch normalization and its statistics are one operation, whose derivative is known; Keras' two
functions leave it to be derived from every step of theirs.
"""

import itertools

import torch
from keras.src.backend.torch import nn
from torch.nn import functional

FEW_CHANNELS = 1  # three colours already make oneDNN the faster

_keras_conv, _keras_conv_transpose = nn.conv, nn.conv_transpose
_keras_moments, _keras_batch_normalization = nn.moments, nn.batch_normalization


def kernels():
    """`{name in Keras' backend.nn: function}`."""
    return {
        "conv": conv,
        "conv_transpose": conv_transpose,
        "moments": moments,
        "batch_normalization": batch_normalization,
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
    if groups == 1 and _few(w, strides, dilation):
        return _convolve_patches(x, w, strides, pads)
    x = x.permute(0, 3, 1, 2)
    if any(low != high for low, high in pads):
        x, pads = functional.pad(x, (*pads[1], *pads[0])), [(0, 0), (0, 0)]
    low = [low for low, _ in pads]
    y = functional.conv2d(x, _oriented(w), None, strides, low, dilation, groups)
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
    if _few(w, strides, dilation):
        sides = [
            (side - 1) * stride + k - low - high
            for side, stride, k, (low, high) in zip(
                y.shape[1:3], strides, w.shape, crops, strict=False
            )
        ]
        return _add_patches(y, w, strides, cut, sides)
    x = functional.conv_transpose2d(
        y.permute(0, 3, 1, 2),
        _oriented(w),
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


def moments(x, axes, keepdims=False, synchronized=False):
    """`keras.ops.moments`; those of each channel remember of what they are."""
    x = nn.convert_to_tensor(x)
    reduced = {axis % x.ndim for axis in ([axes] if isinstance(axes, int) else axes)}
    (channels, *more) = set(range(x.ndim)) - reduced or {None, 0}
    if more or keepdims or synchronized or x.dtype == torch.float16:
        return _keras_moments(x, axes, keepdims, synchronized)
    # As batch normalization computes them itself: a compiler sees that they are the same.
    first = x.movedim(channels, 1)
    rest = [axis for axis in range(x.ndim) if axis != 1]
    variance, mean = torch.var_mean(first, rest, correction=0)
    mean.is_mean_of = x, channels
    return mean, variance


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


def _oriented(kernel):
    """A kernel `(height, width, in, out)` as PyTorch's `(out, in, height, width)`."""
    return kernel.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)


def _few(kernel, strides, dilation):
    return kernel.shape[2] <= FEW_CHANNELS and min(strides) > 1 and max(dilation) == 1


def _in_blocks(kernel, strides):
    """A kernel as `(rows, columns, *strides, in, out)`, filled up with zeros to whole blocks."""
    (rows, columns), (height, width) = (
        [-(-k // stride) for k, stride in zip(kernel.shape, strides, strict=False)],
        strides,
    )
    missing = (rows * height - kernel.shape[0], columns * width - kernel.shape[1])
    kernel = functional.pad(kernel, (0, 0, 0, 0, 0, missing[1], 0, missing[0]))
    return kernel.reshape(rows, height, columns, width, *kernel.shape[2:]).transpose(1, 2)


def _convolve_patches(x, kernel, strides, pads):
    """A convolution as one product: `(batch, height, width, channels)` to features."""
    blocks = _in_blocks(kernel, strides)
    rows, columns, height, width, channels, features = blocks.shape
    # Sides that come out, and with them the blocks of pixels that are read.
    out = [
        (side + sum(pad) - k) // stride + 1
        for side, pad, k, stride in zip(x.shape[1:3], pads, kernel.shape, strides, strict=False)
    ]
    read = [(out[0] + rows - 1) * height, (out[1] + columns - 1) * width]
    after = [r - side - low for r, side, (low, _) in zip(read, x.shape[1:3], pads, strict=True)]
    x = functional.pad(x, (0, 0, pads[1][0], after[1], pads[0][0], after[0]))
    x = x.reshape(-1, read[0] // height, height, read[1] // width, width, channels).transpose(2, 3)
    places = itertools.product(range(rows), range(columns))
    patches = torch.stack([x[:, i : i + out[0], j : j + out[1]] for i, j in places], 3)
    y = patches.reshape(-1, blocks[..., 0].numel()) @ blocks.reshape(-1, features)
    return y.reshape(-1, *out, features)


def _add_patches(y, kernel, strides, cut, sides):
    """The transpose of `_convolve_patches`: features to `(batch, *sides, channels)`."""
    blocks = _in_blocks(kernel, strides)
    rows, columns, height, width, channels, features = blocks.shape
    patches = y.reshape(-1, features) @ blocks.reshape(-1, features).T
    patches = patches.reshape(*y.shape[:3], rows, columns, height, width, channels)
    total = 0
    for i, j in itertools.product(range(rows), range(columns)):
        around = (0, 0, 0, 0, 0, 0, j, columns - 1 - j, i, rows - 1 - i)
        total = total + functional.pad(patches[:, :, :, i, j], around)
    batch, tall, wide = total.shape[:3]
    x = total.transpose(2, 3).reshape(batch, tall * height, wide * width, channels)
    after = [c + side - full for c, side, full in zip(cut, sides, x.shape[1:3], strict=True)]
    return functional.pad(x, (0, 0, -cut[1], after[1], -cut[0], after[0]))

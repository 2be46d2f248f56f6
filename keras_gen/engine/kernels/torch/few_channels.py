"""Strided convolutions between an image of few channels and many features, on PyTorch.

oneDNN does two of the three forms well on a CPU, and the transposed one five times slower. A block
of `strides` pixels reads the same features, so that one is a plain convolution from features to
blocks, which are then laid side by side. The three are closed under differentiation:

    C(x, w)    dx = T(g, w)    dw = D(x, g)
    T(y, w)    dy = C(g, w)    dw = D(g, y)
    D(x, y)    dx = T(y, g)    dy = C(x, g)

Images `x` are `(batch, height, width, channels)`, features `y` `(batch, rows, columns, features)`,
kernels `w` `(height, width, channels, features)`.
"""

import torch
from torch.nn import functional

FEW = 4


def suits(tensor, kernel, strides, dilation):
    """Whether a convolution is one of these: few channels, strides, on a CPU."""
    few = kernel.shape[2] <= FEW and min(strides) > 1 and max(dilation) == 1
    return few and tensor.device.type == "cpu"


def oriented(kernel):
    """A kernel `(height, width, in, out)` as PyTorch's `(out, in, height, width)`."""
    kernel = kernel.permute(3, 2, 0, 1)
    if kernel.shape[0] == 1 and kernel.device.type == "cpu":
        # PyTorch 2.13 differentiates no other layout where it is not oneDNN that convolves: in
        # half precision, or one small image. "grad_weight must be contiguous"
        return kernel.contiguous()
    return kernel.contiguous(memory_format=torch.channels_last)


def convolution(x, kernel, strides, low):
    """C: features of an image that has `low` zeros added on all four sides, rows and columns.

    Args:
        x: `(batch, height, width, channels)` tensor.
        kernel: `(height, width, channels, features)` tensor.
        strides: Pair of integers.
        low: Pair: zeros above and below, zeros left and right.

    Returns:
        `(batch, rows, columns, features)` tensor.
    """
    return _Convolution.apply(x, kernel, tuple(strides), tuple(low))


def transposed_convolution(y, kernel, strides, low, sides):
    """T: the adjoint of C with respect to its image.

    Args:
        y: `(batch, rows, columns, features)` tensor.
        kernel: `(height, width, channels, features)` tensor.
        strides: Pair of integers.
        low: Pair: rows cut off above, columns cut off on the left.
        sides: Pair: height and width of the image.

    Returns:
        `(batch, *sides, channels)` tensor.
    """
    return _TransposedConvolution.apply(y, kernel, tuple(strides), tuple(low), tuple(sides))


def _adjoint(x, kernel_sides, strides, low, outputs):
    """`x` with zeros, or cuts, so that C with the `low` that is returned gives `outputs`."""
    high = [
        (out - 1) * stride + k - side - before
        for out, stride, k, side, before in zip(
            outputs, strides, kernel_sides, x.shape[1:3], low, strict=True
        )
    ]
    if tuple(high) == tuple(low):
        return x, low
    return functional.pad(x, (0, 0, low[1], high[1], low[0], high[0])), (0, 0)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, kernel, strides, low):
        ctx.save_for_backward(x, kernel)
        ctx.geometry = strides, low
        y = functional.conv2d(x.permute(0, 3, 1, 2), oriented(kernel), None, strides, low)
        return y.permute(0, 2, 3, 1)

    @staticmethod
    def backward(ctx, g):
        x, kernel = ctx.saved_tensors
        strides, low = ctx.geometry
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = transposed_convolution(g, kernel, strides, low, x.shape[1:3])
        if ctx.needs_input_grad[1]:
            dw = _OfKernel.apply(x, g, kernel.shape[:2], strides, low)
        return dx, dw, None, None


class _TransposedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y, kernel, strides, low, sides):
        ctx.save_for_backward(y, kernel)
        ctx.geometry = strides, low
        blocks = _in_blocks(kernel, strides)
        x = functional.conv2d(
            y.permute(0, 3, 1, 2),
            blocks.contiguous(memory_format=torch.channels_last),
            padding=[blocks.shape[2] - 1, blocks.shape[3] - 1],
        )
        batch, _, tall, wide = x.shape
        x = x.permute(0, 2, 3, 1).reshape(batch, tall, wide, *strides, -1).transpose(2, 3)
        x = x.reshape(batch, tall * strides[0], wide * strides[1], -1)
        after = [
            cut + side - all_ for cut, side, all_ in zip(low, sides, x.shape[1:3], strict=True)
        ]
        if max(after) > 0:
            return functional.pad(x, (0, 0, -low[1], after[1], -low[0], after[0]))
        # A view; and inductor, which has to know where it lies, then computes the image itself
        # once, by rows, and not again in each loop that reads it.
        first = low[0] * x.stride(1) + low[1] * x.stride(2)
        return x.as_strided((batch, *sides, x.shape[3]), x.stride(), first)

    @staticmethod
    def backward(ctx, g):
        y, kernel = ctx.saved_tensors
        strides, low = ctx.geometry
        g, low = _adjoint(g, kernel.shape[:2], strides, low, y.shape[1:3])
        dy = dw = None
        if ctx.needs_input_grad[0]:
            dy = convolution(g, kernel, strides, low)
        if ctx.needs_input_grad[1]:
            dw = _OfKernel.apply(g, y, kernel.shape[:2], strides, low)
        return dy, dw, None, None, None


def biased(x, bias):
    """`x + bias`, row by row: a loop over three channels alone is none that a processor likes.

    Args:
        x: `(batch, height, width, channels)` tensor whose rows lie without gaps.
        bias: Tensor of as many numbers as channels.

    Returns:
        `(batch, height, width, channels)` tensor.
    """
    return _Biased.apply(x, bias)


class _Biased(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bias):
        ctx.shape = bias.shape
        row = bias.reshape(-1).repeat(x.shape[2])
        row = row.as_strided(row.shape, (1,))  # inductor computes it once, not with each image
        return (x.reshape(*x.shape[:2], -1) + row).reshape(x.shape)

    @staticmethod
    def backward(ctx, g):
        rows = g.reshape(-1, g.shape[2] * g.shape[3]).sum(0)
        return g, rows.reshape(-1, g.shape[3]).sum(0).reshape(ctx.shape)


class _OfKernel(torch.autograd.Function):
    """D: the adjoint of C with respect to its kernel."""

    @staticmethod
    def forward(ctx, x, y, sides, strides, low):
        ctx.save_for_backward(x, y)
        ctx.geometry = strides, low
        shape = (y.shape[3], x.shape[3], *sides)
        _, kernel, _ = torch.ops.aten.convolution_backward(
            y.permute(0, 3, 1, 2),
            x.permute(0, 3, 1, 2),
            x.new_empty(shape).contiguous(memory_format=torch.channels_last),  # only its shape
            None,
            strides,
            low,
            [1, 1],
            False,
            [0, 0],
            1,
            [False, True, False],
        )
        return kernel.permute(2, 3, 1, 0)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        strides, low = ctx.geometry
        dx = dy = None
        if ctx.needs_input_grad[0]:
            dx = transposed_convolution(y, g, strides, low, x.shape[1:3])
        if ctx.needs_input_grad[1]:
            dy = convolution(x, g, strides, low)
        return dx, dy, None, None, None


def _in_blocks(kernel, strides):
    """The kernel of T as one from features to blocks, as PyTorch's `(out, in, rows, columns)`.

    Filled up with zeros to whole blocks, and turned around, as the adjoint reads it.
    """
    (rows, columns), (height, width) = (
        [-(-k // stride) for k, stride in zip(kernel.shape, strides, strict=False)],
        strides,
    )
    missing = (rows * height - kernel.shape[0], columns * width - kernel.shape[1])
    kernel = functional.pad(kernel, (0, 0, 0, 0, 0, missing[1], 0, missing[0]))
    kernel = kernel.reshape(rows, height, columns, width, *kernel.shape[2:])
    kernel = kernel.permute(1, 3, 4, 5, 0, 2).flip(4, 5)
    return kernel.reshape(-1, kernel.shape[3], rows, columns)

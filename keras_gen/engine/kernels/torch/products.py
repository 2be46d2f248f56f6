"""Products of matrices on PyTorch, by whom a CPU does them faster.

PyTorch's own are Intel's MKL, which leaves half of the vector units of another maker's processor
idle; oneDNN, which comes with PyTorch too, does not.
"""

import functools
from pathlib import Path

import torch

LARGE, WIDE = 2**22, 32  # multiplications, and columns, that repay a call of oneDNN
# Inductor of 2.6, 2.7 and 2.9 computes other numbers where a codebook goes through the operation
# below and moves in the same graph; that of 2.13 and 2.14 does not (tests/engine/test_inductor.py).
SOUND = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 13)

_library = torch.library.Library("keras_gen", "DEF")
_library.define("product(Tensor a, Tensor b) -> Tensor")


def product(a, b):
    """`a @ b` of matrices, differentiable any number of times.

    Args:
        a: `(rows, inner)` tensor.
        b: `(inner, columns)` tensor.

    Returns:
        `(rows, columns)` tensor.
    """
    large = a.shape[0] * a.shape[1] * b.shape[1] >= LARGE and b.shape[1] >= WIDE
    on_cpu = a.device.type == "cpu" and a.dtype == b.dtype == torch.float32
    if large and on_cpu and onednn_is_faster():
        return _Product.apply(a, b)
    return a @ b


@functools.cache
def onednn_is_faster():
    """Whether the products are MKL's and the processor is not Intel's; never where not sound."""
    has_both = SOUND and torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()
    try:
        return has_both and "GenuineIntel" not in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


class _Product(torch.autograd.Function):
    """`c = a b`, `da = dc b'`, `db = a' dc`."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return torch.ops.keras_gen.product(a, b)

    @staticmethod
    def backward(ctx, gradient):
        a, b = ctx.saved_tensors
        of_a, of_b = ctx.needs_input_grad
        return (
            product(gradient, b.T) if of_a else None,
            product(a.T, gradient) if of_b else None,
        )


def _by_onednn(a, b):
    return torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], "")


def _shape(a, b):
    return a.new_empty(a.shape[0], b.shape[1])


_library.impl("product", _by_onednn, "CPU")
_library.impl("product", _shape, "Meta")


@functools.cache
def teach_inductor():
    """Let a compiled graph call oneDNN from C++: inductor knows it for constant matrices only."""
    from torch._inductor.ir import ExternKernel, TensorBox
    from torch._inductor.lowering import permute, register_lowering
    from torch._inductor.mkldnn_ir import LinearUnary

    def whole(matrix):
        return ExternKernel.realize_input(ExternKernel.require_contiguous(matrix))

    @register_lowering(torch.ops.keras_gen.product.default, type_promotion_kind=None)
    def _(a, b):
        transposed = whole(permute(b, [1, 0]))
        return TensorBox.create(LinearUnary.create(whole(a), transposed, None, "none", [], ""))

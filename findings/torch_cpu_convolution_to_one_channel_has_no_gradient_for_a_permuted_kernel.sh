#!/usr/bin/env bash
# torch 2.13.0 (the build for CPUs), numpy 2.4.6.
#
# A convolution to one channel, the end of a discriminator or a decoder of grey images. Its kernel is
# kept as `(height, width, in, 1)`, as Keras and TensorFlow do, and handed on by `.permute(3, 2, 0, 1)`,
# which PyTorch counts as contiguous in channels-last format.
# Expected: the gradient exists whatever the number of images, or for none.
# Seen: with two images it does; with one it is a RuntimeError, "grad_weight must be contiguous". PyTorch
# leaves a single small image to its own convolution, which refuses the stride of the axis of one
# channel; a copy of the kernel with the same numbers has a gradient.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 2>/dev/null
"$place/venv/bin/python" - <<'PY'
import torch


def gradient(images, copied):
    x = torch.ones(images, 8, 8, 4).permute(0, 3, 1, 2)
    kernel = torch.ones(3, 3, 4, 1).permute(3, 2, 0, 1)
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    if copied:
        kernel = kernel.clone(memory_format=torch.contiguous_format)
    kernel.requires_grad_()
    try:
        torch.nn.functional.conv2d(x, kernel, padding=1).sum().backward()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return kernel.grad.sum().item()


for images in (2, 1):
    for copied in (False, True):
        print(f"{images} image(s), kernel {'copied' if copied else 'permuted'}:", gradient(images, copied))
assert gradient(2, False) == gradient(2, True) == 2 * gradient(1, True) > 0
assert "must be contiguous" in gradient(1, False)
PY

"""What kernels begin as: functions `(shape, rng) -> array`, float64."""

import math

import numpy as np

WARM_UP = 20  # power iterations on a new kernel


def dcgan(shape, rng):
    """Normal, deviation 0.02: Radford et al. 2016."""
    return rng.normal(0, 0.02, shape)


def glorot_uniform(shape, rng, gain=1.0):
    """Uniform, variance `gain` over the mean of inputs and outputs."""
    limit = math.sqrt(6 * gain / (math.prod(shape[:-2]) * (shape[-2] + shape[-1])))
    return rng.uniform(-limit, limit, shape)


def by_inputs(shape, rng, gain=1.0):
    """Normal, variance `gain / inputs`."""
    return rng.normal(0, math.sqrt(gain / math.prod(shape[:-1])), shape)


def standard_normal(shape, rng):
    """Normal, deviation 1."""
    return rng.normal(size=shape)


def zeros(shape, rng):
    """Nothing but 0."""
    return np.zeros(shape)


def singular_vector(kernel):
    """The first right singular vector `(outputs,)` of a kernel `(..., outputs)`, nearly."""
    matrix = kernel.reshape(-1, kernel.shape[-1])
    u = np.random.default_rng(0).normal(size=kernel.shape[-1])
    for _ in range(WARM_UP):
        u = matrix.T @ (matrix @ u)
        u /= np.linalg.norm(u) + 1e-12
    return u

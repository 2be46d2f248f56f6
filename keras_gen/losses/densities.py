"""Log-densities that broadcast, summed over the last axis, in nats."""

import math

from keras import ops

from keras_gen.losses.per_example import float32


def gaussian_log_density(z, mean, log_variance):
    """Log-density of codes under diagonal normal distributions.

    `-sum(log(2 * pi) + log_variance + (z - mean)**2 / exp(log_variance)) / 2`

    Args:
        z: `(..., latent)`, any real number.
        mean: broadcasts to `z`, and `z` to it: `z[:, None]` against `mean[None]` gives every pair.
        log_variance: as `mean`.

    Returns:
        Nats, float32 `(...)`.

    Reference: Kingma & Welling, "Auto-Encoding Variational Bayes", 2014, appendix C.2.
    """
    z, mean, log_variance = float32(z), float32(mean), float32(log_variance)
    twice = math.log(2 * math.pi) + log_variance + ops.square(z - mean) * ops.exp(-log_variance)
    return -0.5 * ops.sum(twice, axis=-1)


def reparameterized_log_density(noise, log_variance):
    """Log-density of `z = mean + exp(log_variance / 2) * noise` under the normal that made it.

    `-sum(log(2 * pi) + log_variance + noise**2) / 2`

    Args:
        noise: `(..., latent)`, standard normal numbers.
        log_variance: broadcasts to `noise`.

    Returns:
        Nats, float32 `(...)`.
    """
    noise, log_variance = float32(noise), float32(log_variance)
    return -0.5 * ops.sum(math.log(2 * math.pi) + log_variance + ops.square(noise), axis=-1)

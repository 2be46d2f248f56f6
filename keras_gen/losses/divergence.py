"""Divergences between distributions in closed form, in nats per example."""

from keras import ops

from keras_gen.losses.per_example import float32_pair, sum_per_example


def gaussian_kl(mean, log_variance):
    """KL divergence from a diagonal normal distribution to the standard normal.

    `KL(N(mean, exp(log_variance)) || N(0, I))
    = sum(exp(log_variance) + mean**2 - 1 - log_variance) / 2`.

    Args:
        mean: `(batch, latent)`, any real number; more axes are summed over too.
        log_variance: `(batch, latent)`, the shape of `mean`, any real number.

    Returns:
        Nats per example, float32 `(batch,)`, never below zero.

    Raises:
        ValueError: `mean` and `log_variance` differ in shape.

    Reference: Kingma & Welling, "Auto-Encoding Variational Bayes", 2014, appendix B.
    """
    mean, log_variance = float32_pair(mean, log_variance)
    # expm1 keeps the digits that exp(v) - 1 loses when a latent has collapsed to the prior.
    twice = ops.expm1(log_variance) - log_variance + ops.square(mean)
    return sum_per_example(0.5 * twice)

"""Divergences between distributions: closed forms in nats per example, and from two samples."""

from keras import ops

from keras_gen.losses.per_example import float32_rows


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
    mean, log_variance = float32_rows(mean, log_variance)
    # expm1 keeps the digits that exp(v) - 1 loses when a latent has collapsed to the prior.
    twice = ops.expm1(log_variance) - log_variance + ops.square(mean)
    return ops.sum(0.5 * twice, axis=1)


def free_bits(mean, log_variance, nats):
    """KL divergence to the standard normal, of which each latent has some nats for nothing.

    `sum over latents of max(nats, mean over the batch of KL)`

    Args:
        mean: `(batch, latent)`.
        log_variance: `(batch, latent)`.
        nats: of each latent, at least 0; at 0 it is the mean of `gaussian_kl`.

    Returns:
        Nats, a float32 scalar.

    Reference: Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow",
    2016, equation 15.
    """
    mean, log_variance = float32_rows(mean, log_variance)
    each = 0.5 * (ops.expm1(log_variance) - log_variance + ops.square(mean))
    return ops.sum(ops.maximum(ops.mean(each, axis=0), nats))


def rbf_kernel(x, y, scale):
    """`exp(-|x - y|**2 / (2 * scale))` of every pair: `(n, d)` and `(m, d)` to `(n, m)`."""
    return ops.exp(-_squared_distances(x, y) / (2.0 * scale))


def imq_kernel(x, y, scale):
    """`sum over s of s * scale / (s * scale + |x - y|**2)` of every pair, `s` from 0.1 to 10.

    Reference: Tolstikhin et al., "Wasserstein Auto-Encoders", 2018, section 4 and appendix C.
    """
    distances = _squared_distances(x, y)
    scales = [s * scale for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
    return sum(s / (s + distances) for s in scales)


def maximum_mean_discrepancy(x, y, kernel, scale, unbiased=True):
    """Squared distance between two distributions, from samples of both.

    `sum_{i != j} k(x_i, x_j) / (n (n - 1)) + sum_{i != j} k(y_i, y_j) / (n (n - 1))
    - 2 sum_{i, j} k(x_i, y_j) / n**2`

    Args:
        x: `(n, features)`.
        y: `(n, features)`, as many.
        kernel: `(x, y, scale) -> (n, n)`: `rbf_kernel` or `imq_kernel`.
        scale: of squared distances at which the kernel falls off.
        unbiased: whether pairs of a sample with itself are left out, as above: 0 on average where
            the two agree, and so negative now and then. Where not, all means are over n**2 pairs:
            never below 0.

    Returns:
        A float32 scalar.

    Reference: Gretton et al., "A Kernel Two-Sample Test", 2012, lemma 6 and equation 5; Tolstikhin
    et al. 2018, algorithm 2.
    """
    x, y = float32_rows(x, y)
    count = ops.cast(ops.shape(x)[0], "float32")
    within = kernel(x, x, scale) + kernel(y, y, scale)
    pairs = count**2
    if unbiased:
        within = within * (1.0 - ops.eye(ops.shape(x)[0], dtype="float32"))
        pairs = count * ops.maximum(count - 1.0, 1.0)  # a batch of one example has none
    return ops.sum(within) / pairs - 2.0 * ops.sum(kernel(x, y, scale)) / count**2


def _squared_distances(x, y):
    return ops.sum(ops.square(x[:, None] - y[None]), axis=-1)

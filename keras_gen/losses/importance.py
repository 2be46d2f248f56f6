"""What weights samples of a posterior by how well they explain the data, in nats."""

import math

from keras import ops

from keras_gen.losses.per_example import float32


def importance_bound(log_weights):
    """Lower bound of the log-likelihood from importance weights of samples.

    `log(sum(exp(log_weights)) / samples)`: the evidence lower bound for one sample.

    Args:
        log_weights: `(batch, samples)`, `log p(x | z) + log p(z) - log q(z | x)`.

    Returns:
        Nats per example, float32 `(batch,)`.

    Reference: Burda et al., "Importance Weighted Autoencoders", 2016, equation 8.
    """
    log_weights = float32(log_weights)
    return ops.logsumexp(log_weights, axis=1) - math.log(log_weights.shape[1])

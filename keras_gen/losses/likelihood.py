"""Negative log-likelihoods of data under a decoder's distribution, in nats per example."""

import math

from keras import ops

from keras_gen.losses.per_example import float32, float32_rows, rows


def bernoulli_nll(x, logits):
    """Negative log-likelihood of `x` under independent Bernoulli variables.

    `-sum(x * log(p) + (1 - x) * log(1 - p))`, `p = sigmoid(logits)`.

    Args:
        x: data `(batch, ...)` in [0, 1]; grey levels make it a cross-entropy, whose minimum
            is not zero.
        logits: log-odds `(batch, ...)`, the shape of `x`, any real number.

    Returns:
        Nats per example, float32 `(batch,)`.

    Raises:
        ValueError: `x` and `logits` differ in shape.

    Reference: Kingma & Welling, "Auto-Encoding Variational Bayes", 2014, appendix C.1.
    """
    x, logits = float32_rows(x, logits)
    return ops.sum(ops.softplus(logits) - x * logits, axis=1)


def categorical_nll(x, logits):
    """Negative log-likelihood of a class under a categorical variable.

    `-sum(x * log(p))`, `p = softmax(logits)`.

    Args:
        x: one-hot classes `(batch, classes)`, or probabilities, which make it a cross-entropy.
        logits: `(batch, classes)`, any real number.

    Returns:
        Nats per example, float32 `(batch,)`.

    Raises:
        ValueError: `x` and `logits` differ in shape.
    """
    x, logits = float32_rows(x, logits)
    return -ops.sum(x * ops.log_softmax(logits, axis=1), axis=1)


def gaussian_nll(x, mean, log_variance=0.0):
    """Negative log-density of `x` under independent normal variables.

    `sum((log(2 * pi) + log_variance + (x - mean)**2 / exp(log_variance)) / 2)`.

    Args:
        x: data `(batch, ...)`, any real number.
        mean: `(batch, ...)`, the shape of `x`.
        log_variance: a number, or a tensor that broadcasts to `x`.

    Returns:
        Nats per example, float32 `(batch,)`; a density, so it may be negative.

    Raises:
        ValueError: `x` and `mean` differ in shape.

    Reference: Kingma & Welling, "Auto-Encoding Variational Bayes", 2014, appendix C.2.
    """
    log_variance = float32(log_variance)
    if len(log_variance.shape) > 0:
        log_variance = rows(ops.broadcast_to(log_variance, ops.shape(x)))
    x, mean = float32_rows(x, mean)
    twice = math.log(2 * math.pi) + log_variance + ops.square(x - mean) * ops.exp(-log_variance)
    return ops.sum(0.5 * twice, axis=1)


def squared_error(x, y):
    """Squared Euclidean distance between two tensors.

    `sum((x - y)**2)`.

    Args:
        x: `(batch, ...)`, any real number.
        y: `(batch, ...)`, the shape of `x`.

    Returns:
        Squared data units summed over the example, float32 `(batch,)`.

    Raises:
        ValueError: `x` and `y` differ in shape.

    Reference: Hinton & Salakhutdinov, "Reducing the Dimensionality of Data with Neural
    Networks", 2006.
    """
    x, y = float32_rows(x, y)
    return ops.sum(ops.square(x - y), axis=1)


def mean_absolute_error(x, y):
    """L1 distance between two tensors, averaged over the features of an example.

    `mean(|x - y|)`.

    Args:
        x: `(batch, ...)`, any real number.
        y: `(batch, ...)`, the shape of `x`.

    Returns:
        Data units per feature, float32 `(batch,)`.

    Raises:
        ValueError: `x` and `y` differ in shape.

    Reference: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks",
    2017, equation 3.
    """
    x, y = float32_rows(x, y)
    return ops.mean(ops.abs(x - y), axis=1)

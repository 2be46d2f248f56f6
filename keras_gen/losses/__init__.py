"""Losses: pure functions from tensors to one float32 number per example."""

from keras_gen.losses.adversarial import AdversarialLoss, adversarial_loss
from keras_gen.losses.densities import gaussian_log_density, reparameterized_log_density
from keras_gen.losses.divergence import (
    free_bits,
    gaussian_kl,
    imq_kernel,
    maximum_mean_discrepancy,
    rbf_kernel,
)
from keras_gen.losses.importance import importance_bound
from keras_gen.losses.likelihood import (
    bernoulli_nll,
    categorical_nll,
    gaussian_nll,
    mean_absolute_error,
    squared_error,
)

__all__ = [
    "AdversarialLoss",
    "adversarial_loss",
    "bernoulli_nll",
    "categorical_nll",
    "free_bits",
    "gaussian_kl",
    "gaussian_log_density",
    "gaussian_nll",
    "importance_bound",
    "imq_kernel",
    "maximum_mean_discrepancy",
    "mean_absolute_error",
    "rbf_kernel",
    "reparameterized_log_density",
    "squared_error",
]

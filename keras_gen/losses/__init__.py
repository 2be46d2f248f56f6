"""Losses: pure functions from tensors to one float32 number per example."""

from keras_gen.losses.adversarial import AdversarialLoss, adversarial_loss
from keras_gen.losses.divergence import gaussian_kl
from keras_gen.losses.likelihood import bernoulli_nll, gaussian_nll, squared_error

__all__ = [
    "AdversarialLoss",
    "adversarial_loss",
    "bernoulli_nll",
    "gaussian_kl",
    "gaussian_nll",
    "squared_error",
]

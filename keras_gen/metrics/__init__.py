"""Metrics: numbers judged after training, NumPy arrays in, plain numbers out."""

from keras_gen.metrics.baselines import (
    bernoulli_mixture_nll,
    fitted_gaussian_samples,
    gaussian_mixture_nll,
    independent_pixels_nll,
    nearest_neighbour_distance,
    pca_reconstruction_error,
    translation_baselines,
)
from keras_gen.metrics.classifier import Classifier
from keras_gen.metrics.frechet import frechet_distance
from keras_gen.metrics.precision_recall import precision_recall
from keras_gen.metrics.stylized_facts import stylized_facts

__all__ = [
    "Classifier",
    "bernoulli_mixture_nll",
    "fitted_gaussian_samples",
    "frechet_distance",
    "gaussian_mixture_nll",
    "independent_pixels_nll",
    "nearest_neighbour_distance",
    "pca_reconstruction_error",
    "precision_recall",
    "stylized_facts",
    "translation_baselines",
]

"""Metrics: numbers judged after training, NumPy arrays in, plain numbers out."""

from keras_gen.metrics.baselines import (
    bernoulli_mixture_nll,
    fitted_gaussian_samples,
    gaussian_mixture_nll,
    independent_pixels_nll,
    independent_pixels_samples,
    nearest_neighbour_distance,
    pca_reconstruction_error,
    translation_baselines,
)
from keras_gen.metrics.frechet import frechet_distance
from keras_gen.metrics.mode_coverage import (
    covers,
    gaussian_mode_coverage,
    reverse_kl,
    stacked_mode_coverage,
)
from keras_gen.metrics.precision_recall import precision_recall
from keras_gen.metrics.stylized_facts import stylized_facts

__all__ = [
    "Classifier",
    "RejectingClassifier",
    "bernoulli_mixture_nll",
    "covers",
    "fitted_gaussian_samples",
    "frechet_distance",
    "gaussian_mode_coverage",
    "gaussian_mixture_nll",
    "independent_pixels_nll",
    "independent_pixels_samples",
    "nearest_neighbour_distance",
    "pca_reconstruction_error",
    "precision_recall",
    "reverse_kl",
    "stacked_mode_coverage",
    "stylized_facts",
    "translation_baselines",
]


def __getattr__(name):
    # Classifiers are Keras models, and Keras takes seconds to import; the metrics need none.
    if name == "Classifier":
        from keras_gen.metrics.classifier import Classifier

        return Classifier
    if name == "RejectingClassifier":
        from keras_gen.metrics.rejection import RejectingClassifier

        return RejectingClassifier
    raise AttributeError(f"module 'keras_gen.metrics' has no attribute {name!r}")

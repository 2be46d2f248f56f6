"""scikit-learn's 1,797 handwritten digits, 8x8, 17 levels of grey: in the wheel, no download."""

import numpy as np

from keras_gen.data.errors import DataError
from keras_gen.data.splits import held_out, stratified

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
    split = request.known_split()
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            f"digits: needs scikit-learn ({error}); pip install 'keras-gen[data]'"
        ) from error
    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.uint8).reshape(-1, 8, 8, 1)
    test = stratified(labels, TEST_IMAGES / len(labels), seed=0)
    chosen = np.flatnonzero(test if split == "test" else ~test)
    if split != "test":
        chosen = chosen[
            held_out(request.name, labels[chosen], split, request.validation_fraction, request.seed)
        ]
    return request.dataset(
        images[chosen],
        (0, 16),
        labels=labels[chosen].astype(np.int32),
        num_classes=10,
        class_names=[str(digit) for digit in range(10)],
        licence="BSD-3-Clause",
    )

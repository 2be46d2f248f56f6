"""Data sets inside a wheel: one pool of labelled digits, of which some are always held out."""

import numpy as np

from keras_gen.data.splits import held_out, stratified


def digits_of(request, images, labels, limits, test_images, licence):
    """One split of a pool of handwritten digits, class by class.

    Args:
        request: a `Request`; "validation" is cut from what is not held out.
        images: uint8 `(count, height, width, 1)`.
        labels: integers `(count,)`, 0 to 9.
        limits: `(lowest, highest)` level of grey.
        test_images: how many are held out: the same ones whatever the seed.
        licence: of the data.

    Returns:
        A `Dataset`.
    """
    split = request.known_split()
    test = stratified(labels, test_images / len(labels), seed=0)
    chosen = np.flatnonzero(test if split == "test" else ~test)
    if split != "test":
        chosen = chosen[
            held_out(request.name, labels[chosen], split, request.validation_fraction, request.seed)
        ]
    return request.dataset(
        images[chosen],
        limits,
        labels=labels[chosen].astype(np.int32),
        num_classes=10,
        class_names=[str(digit) for digit in range(10)],
        licence=licence,
    )

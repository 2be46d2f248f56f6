"""How labels reach a conditional model, and which labels it takes."""

import numpy as np
from keras import ops


class Labelled:
    """Placed before `keras.Model`: a model with `num_classes`, or without."""

    def condition(self, x, labels):
        """Join one-hot labels to vectors or, as constant planes, to images.

        `[x, one_hot(labels)]` along the last axis; `x` itself where the model takes no labels.

        Args:
            x: `(batch, features)` or `(batch, height, width, channels)`.
            labels: int32 `(batch,)` in `[0, num_classes)`, or `None`.

        Returns:
            Tensor with `num_classes` more entries on its last axis.

        Raises:
            ValueError: The model is conditional and there are no labels.

        Reference:
            Mirza & Osindero 2014, "Conditional Generative Adversarial Nets", section 3.2.
        """
        classes = getattr(self, "num_classes", None)
        if classes is None:
            return x
        if labels is None:
            raise ValueError(
                f"{type(self).__name__}(num_classes={classes}) is conditional and got no labels: "
                "give fit(x, labels), or batches (x, labels)."
            )
        planes = ops.one_hot(labels, classes, dtype=x.dtype)
        for _ in range(len(x.shape) - 2):
            planes = ops.expand_dims(planes, 1)
        planes = ops.broadcast_to(planes, (*ops.shape(x)[:-1], classes))
        return ops.concatenate([x, planes], axis=-1)

    def _check_labels(self, labels):
        """Labels out of range are an error where they can be seen: one-hot would hide them."""
        classes = getattr(self, "num_classes", None)
        if classes is None or labels is None or not hasattr(labels, "shape"):
            return labels
        numbers = ops.convert_to_numpy(labels)
        if numbers.size and (numbers.min() < 0 or numbers.max() >= classes):
            wrong = numbers[(numbers < 0) | (numbers >= classes)].flat[0]
            raise ValueError(
                f"labels: {type(self).__name__}(num_classes={classes}) takes 0 to {classes - 1}; "
                f"got {wrong}."
            )
        return labels

    def sampling_labels(self, count, labels):
        """Labels for `sample`: checked, repeated in turn up to `count`; all where `None`."""
        classes = getattr(self, "num_classes", None)
        if classes is None:
            if labels is not None:
                raise ValueError(f"labels: this {type(self).__name__} takes none (num_classes).")
            return None
        labels = np.arange(classes) if labels is None else np.atleast_1d(np.asarray(labels))
        self._check_labels(labels)
        return ops.convert_to_tensor(np.resize(labels, count).astype("int32"))

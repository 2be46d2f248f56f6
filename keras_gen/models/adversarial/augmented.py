"""Random changes of what a discriminator is shown, so that it cannot learn few images by heart."""

from keras import ops

from keras_gen.augmentations import adapt, augmentation, overfitting


class Augmented:
    """Placed before `GenerativeModel`: a model that shows data and samples changed alike."""

    def augment_by(self, names, target, images):
        """Sets the changes, and logs the probability of adaptive ones as "augmentation_p".

        Args:
            names: as `keras_gen.augmentations.augmentation` takes them; None for none.
            target: overfitting that the probability of adaptive changes holds, in (0, 1).
            images: in how many the probability can go from 0 to 1, at least 1.

        Raises:
            ValueError: a name is not known, or a number is out of its range.
        """
        if not 0 < target < 1:
            raise ValueError(f"ada_target must be in (0, 1); got {target!r}.")
        if images < 1:
            raise ValueError(f"ada_images must be 1 or more; got {images!r}.")
        self.augmentation = names
        self.ada_target = target
        self.ada_images = images
        self._changes = None if names is None else augmentation(names)
        self.augmentation_p = None
        if self._changes is not None and self._changes.adaptive:
            self.augmentation_p = self.add_weight(
                shape=(),
                dtype="float32",
                initializer="zeros",
                trainable=False,
                autocast=False,
                name="augmentation_p",
            )
            self.add_term("augmentation_p")

    def show(self, x, training):
        """What the discriminator is shown of examples: changed at random in training.

        Args:
            x: `(batch, height, width, channels)` in [-1, 1], or any examples where there is no
                augmentation.
            training: whether they are changed.

        Returns:
            Examples of the same shape and dtype.
        """
        if self._changes is None or not training:
            return x
        shape = (ops.shape(x)[0], self._changes.draws(x.shape[-1]))
        return self._changes.apply(x, self._stream.uniform(shape), self.augmentation_p)

    def follow_overfitting(self, real_logits, training):
        """Moves the probability of adaptive changes, and gives it as a term where there is one.

        Args:
            real_logits: `(batch, 1)` of data as shown.
            training: whether it moves.

        Returns:
            `{}`, or `{"augmentation_p": scalar}`.
        """
        p = self.augmentation_p
        if p is None or not training:
            return {} if p is None else {"augmentation_p": p.value}
        speed = ops.cast(ops.shape(real_logits)[0], "float32") / self.ada_images
        p.assign(adapt(p.value, overfitting(real_logits), self.ada_target, speed))
        return {"augmentation_p": p.value}

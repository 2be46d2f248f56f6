"""Lengths of paths: how far an image goes when its style takes a step, and what that costs."""

from keras import ops

from keras_gen import engine

DECAY = 0.01  # of a: Karras et al. 2020, appendix B


class PathRegularized:
    """Placed before `GenerativeModel`: a model whose generator pays for paths of unlike lengths."""

    def regularize_paths(self, weight, every):
        """Sets what is paid, and logs it as "path_penalty" beside a, "path_length".

        Args:
            weight: what multiplies the penalty; 0 for none, of which nothing is computed.
            every: how many train steps go from one that pays to the next, which pays for all.

        Raises:
            ValueError: a number is out of its range.
        """
        if weight < 0:
            raise ValueError(f"path_length_weight must not be negative; got {weight!r}.")
        if every < 1:
            raise ValueError(f"path_length_every must be 1 or more; got {every!r}.")
        self.path_length_weight = weight
        self.path_length_every = every
        if weight:
            self.add_term("path_penalty")
            self.add_term("path_length")
            self.path_length = self.add_weight(
                shape=(),
                dtype="float32",
                initializer="zeros",
                trainable=False,
                autocast=False,
                name="path_length",
            )

    def draw_directions(self, x):
        """y: an image of noise for each of half of the batch, `E[sum(y**2)] = channels`."""
        if not self.path_length_weight:
            return None
        height, width, channels = x.shape[1:]
        batch = (ops.shape(x)[0] + 1) // 2  # the authors, too, pay for half
        return self.normal((batch, height, width, channels)) / (height * width) ** 0.5

    def path_terms(self, synthesis, styles, directions, training):
        """What paths cost, and a, which follows their mean length in training.

        `path_penalty = mean((|J_w^T y| - a)**2)`

        Args:
            synthesis: styles -> images.
            styles: w, `(batch, layers, features)`, of which the first are taken.
            directions: what `draw_directions` gave.
            training: whether it is a train step, of which only every so many pay.

        Returns:
            `{"path_penalty": scalar, "path_length": scalar}`, `{}` where nothing is paid.
        """
        if directions is None:
            return {}
        period = self.path_length_every if training else 1

        def paid():
            lengths = path_lengths(synthesis, styles[: ops.shape(directions)[0]], directions)
            a = ops.convert_to_tensor(self.path_length.value)
            if training:
                a = a + DECAY * (ops.stop_gradient(ops.mean(lengths)) - a)
            return period * ops.mean(ops.square(lengths - a)), a

        def unpaid():
            return ops.zeros((), "float32"), ops.convert_to_tensor(self.path_length.value)

        if period == 1:
            penalty, a = paid()
        else:
            penalty, a = engine.every(period, self.optimizer.iterations, paid, unpaid)
        if training:
            self.path_length.assign(a)
        return {"path_penalty": penalty, "path_length": a}


def path_lengths(synthesis, styles, directions):
    """How far an image goes in a direction when its style takes a step: `|J_w^T y|`.

    `J_w^T y = d sum(synthesis(w) * y) / dw`, its square summed over the features of a style and
    averaged over the layers.

    Args:
        synthesis: styles -> images `(batch, height, width, channels)`.
        styles: w, `(batch, layers, features)`.
        directions: y, of the images' shape.

    Returns:
        `(batch,)` float32.

    Reference:
        Karras et al. 2020, equation 4; the average over layers is that of the authors' code.
    """

    def along(w):
        return ops.cast(synthesis(w), "float32") * ops.cast(directions, "float32")

    slope = ops.cast(engine.input_gradient(along, styles), "float32")
    # The square root's own slope is infinite at 0.
    return ops.sqrt(ops.mean(ops.sum(ops.square(slope), axis=2), axis=1) + 1e-12)

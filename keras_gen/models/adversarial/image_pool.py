"""A pool of generated images, from which a discriminator is shown some of the past."""

from keras import ops


def exchange(pool, filled, images, coins, ranks):
    """Hands images in, and images out: half of them from the past, once the pool is full.

    While there is room, an image is kept and handed out as it is. Then `coin < 1/2` hands out one
    of the pool and puts the image into its place, and `coin >= 1/2` hands out the image itself.
    The places drawn within one batch are all different; what of a batch is beyond the pool's size
    passes by.

    Args:
        pool: `(size, ...)`.
        filled: int32 scalar: how many images it holds.
        images: `(batch, ...)`.
        coins: `(batch,)` uniform numbers in (0, 1).
        ranks: `(size,)` integers, drawn evenly, that order the pool.

    Returns:
        The images handed out `(batch, ...)`, the new pool, and how many it holds.

    Reference:
        Shrivastava et al. 2017, "Learning from Simulated and Unsupervised Images through
        Adversarial Training", section 2.3; Zhu et al. 2017 (CycleGAN), section 4.
    """
    size, batch = pool.shape[0], ops.shape(images)[0]
    order = ops.arange(batch, dtype="int32")
    room = filled + order < size
    pool = _put(pool, filled + order, images, room)
    places = ops.take(ops.argsort(ranks), ops.minimum(order, size - 1))
    swap = ops.logical_and(ops.logical_not(room), coins < 0.5)
    swap = ops.logical_and(swap, order < size)
    wide = ops.reshape(swap, (-1, *[1] * (len(images.shape) - 1)))
    given = ops.where(wide, ops.cast(ops.take(pool, places, axis=0), images.dtype), images)
    pool = _put(pool, places, images, swap)
    return given, pool, ops.minimum(filled + batch, size)


def _put(pool, places, images, chosen):
    """The pool with the chosen images at their places, which are all different."""
    size = pool.shape[0]
    here = ops.equal(ops.expand_dims(places, 1), ops.arange(size, dtype="int32"))
    where = ops.cast(ops.logical_and(here, ops.expand_dims(chosen, 1)), pool.dtype)
    flat = ops.reshape(ops.cast(images, pool.dtype), (ops.shape(images)[0], -1))
    # At most one image a place, so the sums are exact.
    put = ops.reshape(ops.matmul(ops.transpose(where), flat), pool.shape)
    taken = ops.reshape(ops.sum(where, axis=0), (size, *[1] * (len(pool.shape) - 1)))
    return ops.where(taken > 0.5, put, pool)


class ImagePool:
    """Placed before `keras.Model`: a model that keeps pools of images among its weights."""

    def add_pool(self, name, size, shape):
        """A pool as weights that do not train: it is saved and resumed.

        Args:
            name: Of the weights.
            size: Images that it holds.
            shape: `(height, width, channels)` of one.

        Returns:
            `(images, filled)`: variables `(size, *shape)` float32 and an int32 scalar.
        """
        options = {"initializer": "zeros", "trainable": False}
        images = self.add_weight((size, *shape), dtype="float32", name=name, **options)
        return images, self.add_weight((), dtype="int32", name=f"{name}_filled", **options)

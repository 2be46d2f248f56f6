"""Gradient penalties: what a discriminator pays for its slope, one number per example."""

from keras import ops

from keras_gen import engine


def wgan_gp(discriminator, real, fake, mix):
    """Two-sided penalty on lines between data and samples: `(|d D(x) / dx| - 1)^2`.

    `x = mix * real + (1 - mix) * fake`

    Args:
        discriminator: `(batch, ...) -> (batch, 1)` logits.
        real: `(batch, ...)` data.
        fake: `(batch, ...)` generated examples.
        mix: `(batch, 1, ...)` uniform numbers in (0, 1).

    Returns:
        `(batch,)` float32.

    Reference:
        Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", equation 3.
    """
    slope = engine.input_gradient(discriminator, mix * real + (1 - mix) * fake)
    squares = ops.square(ops.cast(slope, "float32"))
    # The square root's own slope is infinite at 0: a flat discriminator would make NaN.
    norm = ops.sqrt(ops.sum(squares, axis=tuple(range(1, len(slope.shape)))) + 1e-12)
    return ops.square(norm - 1)


PENALTIES = {"wgan_gp": wgan_gp}

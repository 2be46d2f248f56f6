"""The adversarial losses: what a discriminator and a generator each minimise.

In the formulas `D = sigmoid(logits)`, `real` and `fake` are the discriminator's logits for data
and for generated examples. Logits are `(batch, 1)`, `(batch,)` or a map of patches
`(batch, height, width, 1)`, averaged over its patches.
"""

from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from keras_gen.losses.per_example import float32, mean_per_example


class AdversarialLoss(NamedTuple):
    """Two losses, one a player; both are to be minimised.

    Args:
        name: how a config names it.
        discriminator: `(real_logits, fake_logits) -> (batch,)` float32.
        generator: `fake_logits -> (batch,)` float32.
    """

    name: str
    discriminator: Callable
    generator: Callable


def adversarial_loss(name_or_loss):
    """Looks an adversarial loss up by its name; an `AdversarialLoss` is returned as it is.

    Args:
        name_or_loss: "minimax", "non_saturating", "least_squares", "hinge", "wasserstein", or
            an `AdversarialLoss`.

    Returns:
        An `AdversarialLoss`.

    Raises:
        ValueError: the name is not known.
    """
    if isinstance(name_or_loss, AdversarialLoss):
        return name_or_loss
    for loss in LOSSES:
        if loss.name == name_or_loss:
            return loss
    known = ", ".join(loss.name for loss in LOSSES)
    raise ValueError(f"adversarial loss: expected one of {known}, got {name_or_loss!r}")


def cross_entropy_discriminator(real_logits, fake_logits):
    """`-(log(D(real)) + log(1 - D(fake)))`: Goodfellow et al. 2014, equation 1, negated."""
    real, fake = float32(real_logits), float32(fake_logits)
    return mean_per_example(ops.softplus(-real)) + mean_per_example(ops.softplus(fake))


def minimax_generator(fake_logits):
    """`log(1 - D(fake))`: Goodfellow et al. 2014, equation 1; flat where D is sure of a fake."""
    return -mean_per_example(ops.softplus(float32(fake_logits)))


def non_saturating_generator(fake_logits):
    """`-log(D(fake))`: Goodfellow et al. 2014, section 3; steep where D is sure of a fake."""
    return mean_per_example(ops.softplus(-float32(fake_logits)))


def least_squares_discriminator(real_logits, fake_logits):
    """`(real - 1)**2 / 2 + fake**2 / 2`: Mao et al. 2017, equation 9."""
    real, fake = float32(real_logits), float32(fake_logits)
    return 0.5 * (mean_per_example(ops.square(real - 1)) + mean_per_example(ops.square(fake)))


def least_squares_generator(fake_logits):
    """`(fake - 1)**2 / 2`: Mao et al. 2017, equation 9."""
    return 0.5 * mean_per_example(ops.square(float32(fake_logits) - 1))


def hinge_discriminator(real_logits, fake_logits):
    """`max(0, 1 - real) + max(0, 1 + fake)`: Miyato et al. 2018, equation 16."""
    real, fake = float32(real_logits), float32(fake_logits)
    return mean_per_example(ops.relu(1 - real)) + mean_per_example(ops.relu(1 + fake))


def wasserstein_discriminator(real_logits, fake_logits):
    """`fake - real`: Arjovsky et al. 2017, equation 2; needs a Lipschitz discriminator."""
    return mean_per_example(float32(fake_logits)) - mean_per_example(float32(real_logits))


def critic_generator(fake_logits):
    """`-fake`: the generator of the hinge and the Wasserstein loss."""
    return -mean_per_example(float32(fake_logits))


LOSSES = (
    AdversarialLoss("minimax", cross_entropy_discriminator, minimax_generator),
    AdversarialLoss("non_saturating", cross_entropy_discriminator, non_saturating_generator),
    AdversarialLoss("least_squares", least_squares_discriminator, least_squares_generator),
    AdversarialLoss("hinge", hinge_discriminator, critic_generator),
    AdversarialLoss("wasserstein", wasserstein_discriminator, critic_generator),
)

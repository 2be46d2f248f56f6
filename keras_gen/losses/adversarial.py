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
        generator: `fake_logits -> (batch,)` float32; `(fake_logits, real_logits)` of a
            relative loss.
        relative: whether the generator too is judged against the data.
        smooth: whether the discriminator's loss has a target for data, `real_target`, which label
            smoothing lowers.
    """

    name: str
    discriminator: Callable
    generator: Callable
    relative: bool = False
    smooth: bool = False


def adversarial_loss(name_or_loss):
    """Looks an adversarial loss up by its name; an `AdversarialLoss` is returned as it is.

    Args:
        name_or_loss: "minimax", "non_saturating", "least_squares", "hinge", "wasserstein",
            "relativistic", or an `AdversarialLoss`.

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


def cross_entropy_discriminator(real_logits, fake_logits, real_target=1.0):
    """`-(log(D(real)) + log(1 - D(fake)))`: Goodfellow et al. 2014, equation 1, negated.

    With a target t below 1, `-(t log(D(real)) + (1 - t) log(1 - D(real)) + log(1 - D(fake)))`:
    Salimans et al. 2016, section 3.4.
    """
    real, fake = float32(real_logits), float32(fake_logits)
    of_real = ops.softplus(-real) + (1.0 - real_target) * real
    return mean_per_example(of_real) + mean_per_example(ops.softplus(fake))


def minimax_generator(fake_logits):
    """`log(1 - D(fake))`: Goodfellow et al. 2014, equation 1; flat where D is sure of a fake."""
    return -mean_per_example(ops.softplus(float32(fake_logits)))


def non_saturating_generator(fake_logits):
    """`-log(D(fake))`: Goodfellow et al. 2014, section 3; steep where D is sure of a fake."""
    return mean_per_example(ops.softplus(-float32(fake_logits)))


def least_squares_discriminator(real_logits, fake_logits, real_target=1.0):
    """`(real - t)**2 / 2 + fake**2 / 2`, t = 1: Mao et al. 2017, equation 9."""
    of_real = ops.square(float32(real_logits) - real_target)
    return 0.5 * (mean_per_example(of_real) + mean_per_example(ops.square(float32(fake_logits))))


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


def relativistic_discriminator(real_logits, fake_logits):
    """`-log(sigmoid(real - fake))`, in pairs of the batch: Jolicoeur-Martineau 2019 (RSGAN);
    Huang et al. 2024, section 2 (RpGAN)."""
    return mean_per_example(ops.softplus(float32(fake_logits) - float32(real_logits)))


def relativistic_generator(fake_logits, real_logits):
    """`-log(sigmoid(fake - real))`, in pairs of the batch: as above."""
    return relativistic_discriminator(fake_logits, real_logits)


LOSSES = (
    AdversarialLoss("minimax", cross_entropy_discriminator, minimax_generator, smooth=True),
    AdversarialLoss(
        "non_saturating", cross_entropy_discriminator, non_saturating_generator, smooth=True
    ),
    AdversarialLoss(
        "least_squares", least_squares_discriminator, least_squares_generator, smooth=True
    ),
    AdversarialLoss("hinge", hinge_discriminator, critic_generator),
    AdversarialLoss("wasserstein", wasserstein_discriminator, critic_generator),
    AdversarialLoss(
        "relativistic", relativistic_discriminator, relativistic_generator, relative=True
    ),
)

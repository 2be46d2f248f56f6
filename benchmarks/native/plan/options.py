"""The numbers of a case that are no layers: losses, penalties, optimizers, a codebook."""

import numpy as np

from .layers import ADAM_EPSILON

GAN_DEFAULTS = {
    "adversarial_loss": "non_saturating",
    "penalty": None,
    "penalty_weight": 10.0,
    "discriminator_steps": 1,
}
LOSSES = ("non_saturating", "hinge", "wasserstein", "relativistic")
PENALTIES = ("wgan_gp", "r1", "r2")


def gan_options(case):
    """`{option: value}` of a GAN case, defaults filled in; "penalty" a tuple of names.

    Raises:
        ValueError: A loss or a penalty that the native twins do not have.
    """
    options = {name: case.model.get(name, default) for name, default in GAN_DEFAULTS.items()}
    if options["adversarial_loss"] not in LOSSES:
        raise ValueError(f"{case.name}: no native loss {options['adversarial_loss']!r}")
    penalties = options["penalty"] or ()
    penalties = (penalties,) if isinstance(penalties, str) else tuple(penalties)
    for penalty in penalties:
        if penalty not in PENALTIES:
            raise ValueError(f"{case.name}: no native penalty {penalty!r}")
    return options | {"penalty": penalties}


def adam(case, player):
    """`(learning_rate, beta_1, beta_2, epsilon)` of one player; "model" where there is but one.

    As in Keras: epsilon is added to the root of the second moment as it is, before its bias is
    corrected. Optax and PyTorch add it after.
    """
    optimizer = case.train["optimizer"]
    if player != "model":
        optimizer = optimizer[player]
    known = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": ADAM_EPSILON}
    refuse(optimizer, ("name", "learning_rate", *known), case.name)
    if optimizer["name"] != "adam":
        raise ValueError(f"{case.name}: no native optimizer {optimizer['name']!r}")
    defaults = (optimizer.get(name, default) for name, default in known.items())
    return optimizer["learning_rate"], *defaults


def refuse(config, known, where):
    """Raises a `ValueError` where a config has an option that is not among the known ones."""
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise ValueError(f"{where}: the native twins have no option {', '.join(unknown)}")


class Codebook:
    """What the moving averages of a VQ-VAE's codes begin with, and how they move.

    Args:
        case: A `benchmarks.cases.Case` whose twin is "vqvae".
    """

    names = ("codes", "counts", "sums", "idle")
    beta = 0.25
    decay = 0.99
    epsilon = 1e-5  # of the smoothing of counts
    revive_after = 100  # steps without being chosen

    def __init__(self, case):
        self.size = case.model["codebook_size"]
        self.dim = case.model["embedding_dim"]
        seed = [case.train.get("seed", 0), 0]  # keras-gen's, so that all begin alike
        first = np.random.default_rng(seed).uniform(-1 / self.size, 1 / self.size, self.shape)
        self.codes = self.sums = first.astype("float32")
        self.counts = np.ones(self.size, "float32")
        self.idle = np.full(self.size, self.revive_after - 1, "int32")

    @property
    def shape(self):
        """`(codes, numbers of each)`."""
        return self.size, self.dim

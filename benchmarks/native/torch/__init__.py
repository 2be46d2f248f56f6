"""The cases in plain PyTorch, as its best users write them."""

from .gan import Gan
from .iwae import Iwae
from .training import MODES
from .vae import Vae
from .vqvae import VqVae

__all__ = ["MODES", "Native"]

TWINS = {"vae": Vae, "iwae": Iwae, "vqvae": VqVae, "gan": Gan}


def Native(case, mode, weights, steps_per_call=1):
    """The twin of the case's family; arguments as every contestant's."""
    return TWINS[case.twin](case, mode, weights, steps_per_call)

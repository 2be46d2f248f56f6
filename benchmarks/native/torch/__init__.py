"""The cases in plain PyTorch, as its best users write them; and once more with our settings."""

from .gan import Gan
from .iwae import Iwae
from .training import MODES
from .vae import Vae
from .vqvae import VqVae

__all__ = ["MODES", "Native", "Tuned"]

TWINS = {"vae": Vae, "iwae": Iwae, "vqvae": VqVae, "gan": Gan}


class OurFlags:
    """Inductor's options of `keras_gen/engine/torch.py`, in front of a twin."""

    of_modules = of_steps = {
        "force_layout_optimization": True,
        "size_asserts": False,
        "cpp_wrapper": True,
    }


TUNED = {name: type(f"Tuned{twin.__name__}", (OurFlags, twin), {}) for name, twin in TWINS.items()}


def Native(case, mode, weights, steps_per_call=1):
    """The twin of the case's family; arguments as every contestant's."""
    return TWINS[case.twin](case, mode, weights, steps_per_call)


def Tuned(case, mode, weights, steps_per_call=1):
    """The same twin with our options of inductor; `registry.ENVIRONMENT` has our allocator's."""
    return TUNED[case.twin](case, mode, weights, steps_per_call)

"""The cases as JAX users write them: pure functions, Optax, one compiled step."""

from .contestant import MODES, Native

__all__ = ["MODES", "Native"]

"""The VQ-VAE whose codebook follows by moving averages, one pure train step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from .. import plan
from . import networks
from .vae import VAE


class VQVAE(VAE):
    """Pure functions of one case.

    Args:
        case: A `benchmarks.cases.Case`.
    """

    def __init__(self, case):
        self.networks = plan.networks(case)
        self.optimizer = networks.adam(case, "model", self.networks.values())
        self.codebook = plan.Codebook(case)

    def initial(self, weights):
        book = {name: getattr(self.codebook, name) for name in plan.Codebook.names}
        return super().initial(weights) | {"codebook": jax.tree.map(jnp.array, book)}

    def step(self, state, x):
        key, draw = jax.random.split(state["key"])
        book = state["codebook"]
        (_, (terms, statistics, z, codes)), gradients = jax.value_and_grad(
            self._objective, has_aux=True
        )(state["parameters"], state["statistics"], x, book)
        updates, moments = self.optimizer.update(gradients, state["moments"])
        parameters = optax.apply_updates(state["parameters"], updates)
        state = dict(parameters=parameters, statistics=statistics, moments=moments, key=key)
        return state | {"codebook": self._follow(book, z, codes, draw)}, terms

    def sample(self, state, key, count):
        """Codes one by one, as often as each is used, decoded."""
        book = state["codebook"]
        grid = (count, *self.networks["decoder"].input_shape[:2])
        codes = jax.random.categorical(key, jnp.log(book["counts"]), shape=grid)
        q = book["codes"][codes]
        return self._run("decoder", state["parameters"], state["statistics"], q, False)[0]

    def shown(self, state):
        weights, moments = super().shown(state)
        book = [np.asarray(state["codebook"][name]) for name in plan.Codebook.names]
        return weights | {"codebook": book}, moments

    def _objective(self, parameters, statistics, x, book):
        z, encoder = self._run("encoder", parameters, statistics, x, True)
        flat = lax.stop_gradient(z).reshape(-1, self.codebook.dim)
        # |z|^2 is the same for all codes.
        halves = 0.5 * jnp.square(book["codes"]).sum(1)
        codes = jnp.argmin(halves - flat @ book["codes"].T, axis=1)
        q = book["codes"][codes].reshape(z.shape)
        rebuilt, decoder = self._run(
            "decoder", parameters, statistics, z + lax.stop_gradient(q - z), True
        )
        reconstruction = jnp.square(rebuilt - x).sum() / len(x)
        commitment = jnp.square(z - q).sum(-1).mean()
        loss = reconstruction + self.codebook.beta * commitment
        chosen = jnp.bincount(codes, length=self.codebook.size)
        shares = chosen / len(codes)
        terms = {
            "loss": loss,
            "reconstruction": reconstruction,
            "commitment": commitment,
            "perplexity": jnp.exp(-(shares * jnp.log(jnp.maximum(shares, 1e-30))).sum()),
            "usage": (chosen > 0).mean(),
        }
        return loss, (terms, {"encoder": encoder, "decoder": decoder}, flat, codes)

    def _follow(self, book, z, codes, key):
        """The moving averages after a step; a code long unused moves to a vector of the batch."""
        size, decay, epsilon = self.codebook.size, self.codebook.decay, self.codebook.epsilon
        chosen = jnp.bincount(codes, length=size).astype("float32")
        counts = decay * book["counts"] + (1 - decay) * chosen
        sums = jax.ops.segment_sum(z, codes, size)
        sums = decay * book["sums"] + (1 - decay) * sums
        total = counts.sum()
        smoothed = (counts + epsilon) / (total + size * epsilon) * total
        idle = jnp.where(chosen > 0, 0, book["idle"] + 1)
        dead = idle >= self.codebook.revive_after
        new = z[jax.random.randint(key, (size,), 0, len(z))]
        return {
            "codes": jnp.where(dead[:, None], new, sums / smoothed[:, None]),
            "sums": jnp.where(dead[:, None], new, sums),
            "counts": jnp.where(dead, 1.0, counts),
            "idle": jnp.where(dead, 0, idle),
        }

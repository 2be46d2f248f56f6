"""The variational autoencoder with a Bernoulli likelihood, one pure train step."""

import jax
import jax.numpy as jnp
import optax

from .. import plan
from . import networks


class VAE:
    """Pure functions of one case.

    Args:
        case: A `benchmarks.cases.Case`.
    """

    def __init__(self, case):
        self.latent_dim = case.latent_dim
        self.networks = plan.networks(case)
        self.optimizer = networks.adam(case, "model", self.networks.values())

    def initial(self, weights):
        """The state of training: parameters, running statistics, moments, key."""
        loaded = {
            name: networks.load(network, weights and weights[name])
            for name, network in self.networks.items()
        }
        parameters = {name: own for name, (own, _) in loaded.items()}
        return {
            "parameters": parameters,
            "statistics": {name: running for name, (_, running) in loaded.items()},
            "moments": self.optimizer.init(parameters),
            "key": jax.random.key(0),
        }

    def step(self, state, x):
        """One train step on `(batch, ...)`: `-> (state, {term: number})`."""
        key, draw = jax.random.split(state["key"])
        noise = jax.random.normal(draw, self.noise_shape(len(x)))
        (_, (terms, statistics)), gradients = jax.value_and_grad(self._objective, has_aux=True)(
            state["parameters"], state["statistics"], x, noise
        )
        updates, moments = self.optimizer.update(gradients, state["moments"])
        parameters = optax.apply_updates(state["parameters"], updates)
        state = dict(parameters=parameters, statistics=statistics, moments=moments, key=key)
        return state, terms

    def noise_shape(self, batch):
        """Of what the posteriors of a batch take."""
        return batch, self.latent_dim

    def sample(self, state, key, count):
        """Means of p(x | z) for `count` codes from the prior."""
        noise = jax.random.normal(key, (count, self.latent_dim))
        logits, _ = self._run("decoder", state["parameters"], state["statistics"], noise, False)
        return jax.nn.sigmoid(logits)

    def shown(self, state):
        """What `Native.as_keras` returns, of a state."""
        own = networks.first_moments(state["moments"], state["parameters"])
        weights, moments = {}, []
        for name, network in self.networks.items():
            trees = state["parameters"][name], state["statistics"][name]
            weights[name] = networks.in_keras_layout(network, *trees)
            moments += networks.in_keras_layout(network, own[name])
        return weights, {"model": moments}

    def _objective(self, parameters, statistics, x, noise):
        moments, encoder = self._run("encoder", parameters, statistics, x, True)
        mean, log_variance = jnp.split(moments, 2, axis=-1)
        z = mean + jnp.exp(0.5 * log_variance) * noise
        logits, decoder = self._run("decoder", parameters, statistics, z, True)
        nats = optax.sigmoid_binary_cross_entropy(logits, x)
        reconstruction = nats.sum() / len(x)
        divergence = jnp.exp(log_variance) - 1 - log_variance + jnp.square(mean)
        kl = 0.5 * divergence.sum() / len(x)
        loss = reconstruction + kl
        terms = {"loss": loss, "reconstruction": reconstruction, "kl": kl}
        return loss, (terms, {"encoder": encoder, "decoder": decoder})

    def _run(self, name, parameters, statistics, x, training):
        return networks.apply(self.networks[name], parameters[name], statistics[name], x, training)

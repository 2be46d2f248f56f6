"""The stopwatch's face of the JAX twins."""

import functools

import jax
import numpy as np
from jax import lax

from .gan import GAN
from .iwae import IWAE
from .vae import VAE
from .vqvae import VQVAE

MODES = ("jit", "scan")
TWINS = {"vae": VAE, "iwae": IWAE, "vqvae": VQVAE, "gan": GAN}


class Native:
    """A `benchmarks.contestants.Contestant` in plain JAX and Optax.

    Args:
        case: A `benchmarks.cases.Case`.
        mode: "jit": one dispatch a step; "scan": one for all steps of a call.
        weights: `{network: [array, ...]}` in Keras' order, or `None`.
        steps_per_call: Train steps that one `call` takes.

    Raises:
        ValueError: "scan" over one step: that is "jit".
    """

    def __init__(self, case, mode, weights, steps_per_call=1):
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}; got {mode!r}")
        if mode == "scan" and steps_per_call == 1:
            raise ValueError("mode 'scan' needs steps_per_call above 1")
        self._batch_size = case.batch_size
        self._steps_per_call = steps_per_call
        self._scanned = mode == "scan"
        self._twin = TWINS[case.twin](case)
        step = functools.partial(lax.scan, self._twin.step) if self._scanned else self._twin.step
        self._step = jax.jit(step, donate_argnums=0)
        self._sample = jax.jit(self._twin.sample, static_argnums=2)
        self._state = self._twin.initial(weights)
        self._sampling_key = jax.random.key(1)
        self._terms = None

    def put(self, batches):
        if self._scanned:
            return [jax.device_put(np.stack(batches))]
        return [jax.device_put(np.asarray(batch)) for batch in batches]

    def call(self, data):
        for batch in data:
            self._state, self._terms = self._step(self._state, batch)

    def wait(self):
        jax.block_until_ready((self._state, self._terms))

    def losses(self):
        return {term: float(np.ravel(value)[-1]) for term, value in self._terms.items()}

    def sample(self, count):
        self._sampling_key, key = jax.random.split(self._sampling_key)
        return np.asarray(self._sample(self._state, key, count))

    def epoch(self, examples):
        size = self._batch_size * self._steps_per_call
        whole = len(examples) - len(examples) % self._batch_size
        order = np.random.permutation(len(examples))[:whole]
        for start in range(0, whole, size):
            # Dispatch returns at once, so the next batches are gathered while these train.
            chosen = examples[order[start : start + size]]
            self.call(self.put(chosen.reshape(-1, self._batch_size, *chosen.shape[1:])))

    def as_keras(self):
        return self._twin.shown(self._state)

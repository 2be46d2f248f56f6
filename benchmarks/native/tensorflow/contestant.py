"""The stopwatch's face of the TensorFlow twins."""

import numpy as np
import tensorflow as tf

from .gan import GAN
from .iwae import IWAE
from .vae import VAE
from .vqvae import VQVAE

MODES = ("function", "xla")
TWINS = {"vae": VAE, "iwae": IWAE, "vqvae": VQVAE, "gan": GAN}


class Native:
    """A `benchmarks.contestants.Contestant` in plain TensorFlow.

    Args:
        case: A `benchmarks.cases.Case`.
        mode: "function": a graph; "xla": the same, compiled.
        weights: `{network: [array, ...]}` in Keras' order, or `None`.
        steps_per_call: Train steps that one `call` takes: a loop inside the one function.
    """

    def __init__(self, case, mode, weights, steps_per_call=1):
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}; got {mode!r}")
        compiled = mode == "xla"
        self._batch_size = case.batch_size
        self._steps_per_call = steps_per_call
        self._twin = TWINS[case.twin](case, weights)
        step = self._twin.step if steps_per_call == 1 else self._steps
        self._step = tf.function(step, jit_compile=compiled, autograph=False)
        self._sample = tf.function(self._twin.sample, jit_compile=compiled, autograph=False)
        self._terms = None

    def put(self, batches):
        return tf.constant(batches[0] if self._steps_per_call == 1 else np.stack(batches))

    def call(self, data):
        self._terms = self._step(data)

    def wait(self):
        # A function returns when its work is queued on a GPU, and when it is done on a CPU.
        if tf.config.list_physical_devices("GPU"):
            tf.test.experimental.sync_devices()
        for term in self._terms or ():
            term.numpy()

    def losses(self):
        return {
            term: float(value) for term, value in zip(self._twin.terms, self._terms, strict=True)
        }

    def sample(self, count):
        return self._sample(count).numpy()

    def epoch(self, examples):
        for batch in self._batches(examples):
            self.call(batch)

    def as_keras(self):
        return self._twin.shown()

    def _steps(self, batches):
        def body(i, *_):
            return i + 1, *self._twin.step(batches[i])

        start = (tf.constant(0), *[tf.constant(0.0)] * len(self._twin.terms))
        _, *terms = tf.while_loop(
            lambda i, *_: i < batches.shape[0], body, start, parallel_iterations=1
        )
        return terms

    def _batches(self, examples):
        count = len(examples)
        examples = tf.constant(examples)
        batches = (
            tf.data.Dataset.range(count)
            .shuffle(count)
            .batch(self._batch_size, drop_remainder=True)
            .map(lambda indices: tf.gather(examples, indices))
        )
        if self._steps_per_call > 1:
            batches = batches.batch(self._steps_per_call)
        return batches.prefetch(tf.data.AUTOTUNE)

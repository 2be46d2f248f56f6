"""Kernels that a backend does badly, done better: mathematically the same, swapped in by context.

While a step of ours runs, Keras' own layers (`Conv2D`, `Conv2DTranspose`, ... of any model) call
these instead of Keras' functions. `KERAS_GEN_KERNELS=0` in the environment leaves Keras' own.
"""

import contextlib
import os

import keras

from keras_gen.engine.swapping import swapped

if keras.backend.backend() == "jax":
    from keras_gen.engine.kernels.jax import kernels
elif keras.backend.backend() == "torch":
    from keras_gen.engine.kernels.torch import kernels
else:
    from keras_gen.engine.kernels.tensorflow import kernels


@contextlib.contextmanager
def fast_kernels():
    """Let Keras' layers use our kernels inside the `with` block, and Keras' own after it."""
    ours = {} if os.environ.get("KERAS_GEN_KERNELS") == "0" else kernels()
    with contextlib.ExitStack() as stack:
        for module, functions in ours.items():
            stack.enter_context(swapped(module, functions))
        yield

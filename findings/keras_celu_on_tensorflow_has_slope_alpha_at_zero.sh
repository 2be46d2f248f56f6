#!/usr/bin/env bash
# keras 3.15.1 with tensorflow 2.21.0 and jax 0.10.2.
#
# CELU is max(0, x) + min(0, alpha (exp(x / alpha) - 1)): its slope is 1 on both sides of 0, for every
# alpha, which is what the C in its name stands for (continuously differentiable).
# Expected: the slope of keras.ops.celu at 0 is 1 on every backend.
# Seen, alpha 2: 1 on JAX; on TensorFlow 2 at 0, and 1 just beside it.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check keras==3.15.1 tensorflow==2.21.0 jax==0.10.2 2>/dev/null
KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 "$place/venv/bin/python" -W ignore - <<'PY'
import keras
import numpy as np
import tensorflow as tf

x = tf.constant([-1e-6, 0.0, 1e-6])
with tf.GradientTape() as tape:
    tape.watch(x)
    y = keras.ops.celu(x, alpha=2.0)
slopes = tape.gradient(y, x).numpy()
print("TensorFlow:", slopes)
np.testing.assert_allclose(slopes, [1.0, 2.0, 1.0], rtol=1e-5)
PY
KERAS_BACKEND=jax "$place/venv/bin/python" -W ignore - <<'PY'
import jax
import keras
import numpy as np

slopes = [float(jax.grad(lambda x: keras.ops.celu(x, alpha=2.0))(at)) for at in (-1e-6, 0.0, 1e-6)]
print("JAX:", slopes)
np.testing.assert_allclose(slopes, [1.0, 1.0, 1.0], rtol=1e-5)
PY

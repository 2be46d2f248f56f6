#!/usr/bin/env bash
# keras 3.15.1 with jax 0.10.2.
#
# A model with a `test_step` of its own, as an autoencoder's or a GAN's, is given examples and their
# weights, and no targets: `evaluate(x, sample_weight=w)`; `fit` reads its data the same way.
# Expected: the step is handed `(x, None, w)`, as by `test_on_batch(x, sample_weight=w)`, or an error.
# Seen: it is handed `x` alone. The weights are dropped without a word.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 2>/dev/null
KERAS_BACKEND=jax "$place/venv/bin/python" - <<'PY'
import jax
import keras
import numpy as np

came = []


class Examples(keras.Model):
    def call(self, x):
        return x

    def test_step(self, state, data):
        parts = keras.utils.unpack_x_y_sample_weight(data)
        came.append([part is not None for part in parts])
        return {"loss": jax.numpy.zeros(())}, state


model = Examples()
model.compile(run_eagerly=True)
x, weights = np.ones((4, 2), "float32"), np.arange(4.0)
model.evaluate(x, sample_weight=weights, batch_size=4, verbose=0)
model.evaluate(x, x, sample_weight=weights, batch_size=4, verbose=0)
model.test_on_batch(x, sample_weight=weights)
for way, parts in zip(("evaluate without y", "evaluate with y", "on a batch without y"), came, strict=True):
    print(f"{way}: x, y, weights came: {parts}")
assert came == [[True, False, False], [True, True, True], [True, False, True]]
PY

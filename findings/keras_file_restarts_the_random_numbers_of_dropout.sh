#!/usr/bin/env bash
# keras 3.15.0 with jax 0.10.2.
#
# A dropout layer draws its masks from a SeedGenerator, whose position is one of
# `model.non_trainable_variables`.
# Expected: a `.keras` file, which keeps weights, optimizer and compile config so that training goes
# on, goes on with the masks too.
# Seen: the file has no position. A loaded model draws its first masks again, from the layer's seed:
# a run in two parts trains twice under the masks of its first part, and is not the run in one.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check keras==3.15.0 jax==0.10.2 2>/dev/null
KERAS_BACKEND=jax "$place/venv/bin/python" - "$place/model.keras" <<'PY'
import sys

import keras
import numpy as np

model = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5, seed=1)])


def masks(model, count=3):
    drawn = [model(np.ones((1, 64), "float32"), training=True) for _ in range(count)]
    return np.stack([keras.ops.convert_to_numpy(mask) for mask in drawn])


def position(model):
    generator = [v for v in model.layers[0].variables if "seed" in v.path]
    return [keras.ops.convert_to_numpy(v.value).tolist() for v in generator]


first = masks(model)
model.save(sys.argv[1])
loaded = keras.saving.load_model(sys.argv[1])
print("position when saved", position(model), "as loaded", position(loaded))
again, goes_on = masks(loaded), masks(model)
print("the loaded model repeats the first masks:", np.array_equal(again, first))
assert not np.array_equal(first, goes_on)
assert np.array_equal(again, first) and not np.array_equal(again, goes_on)
PY

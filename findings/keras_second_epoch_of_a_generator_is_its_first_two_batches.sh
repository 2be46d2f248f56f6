#!/usr/bin/env bash
# keras 3.15.1 with jax 0.10.2.
#
# A Python generator of five batches is trained on for three epochs, without `steps_per_epoch`.
# Expected: it is over after the first epoch. The second has no batch: an error, or the end.
# Seen: each later epoch is trained on the first two batches again, which Keras had looked at to learn
# their shapes and keeps. A warning says that the data ran out, not that they began anew.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 2>/dev/null
KERAS_BACKEND=jax "$place/venv/bin/python" -W ignore - <<'PY'
import keras
import numpy as np

# Batch i is of the number i, and nothing is learned: the loss of an epoch is the mean of its numbers.
ones = keras.initializers.Ones()
model = keras.Sequential(
    [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer=ones)]
)
model.compile(keras.optimizers.SGD(0.0), loss="mean_absolute_error")
batches = ((np.full((4, 1), i, "float32"), np.zeros((4, 1), "float32")) for i in range(5))
steps = []
count = keras.callbacks.LambdaCallback(
    on_epoch_begin=lambda epoch, logs: steps.append(0),
    on_train_batch_end=lambda batch, logs: steps.append(steps.pop() + 1),
)
losses = model.fit(batches, epochs=3, verbose=0, callbacks=[count]).history["loss"]
print("steps of the epochs:", steps, "mean of the numbers seen:", losses)
assert steps == [5, 2, 2]
np.testing.assert_allclose(losses, [2.0, 0.5, 0.5])
PY

#!/usr/bin/env bash
# keras 3.15.1 with jax 0.10.2 and grain 0.2.18.
#
# A grain MapDataset is shuffled with a seed, augmented by random numbers, and given to `fit` for three
# epochs as an IterDataset, the form that grain reads with workers.
# Expected: as with tf.data or a torch DataLoader that shuffle, each epoch has another order and other
# random numbers; `repeat` of grain itself gives both.
# Seen: all epochs are the same batches with the same random numbers, bit for bit.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 grain==0.2.18 2>/dev/null
KERAS_BACKEND=jax "$place/venv/bin/python" -W ignore - <<'PY'
import grain
import jax
import keras
import numpy as np


def noisy(x, rng):
    return x + rng.uniform(0.0, 0.5, x.shape).astype("float32")


rows = np.arange(12, dtype="float32")[:, None]
records = grain.MapDataset.source(rows).seed(0).shuffle().random_map(noisy)
batches = records.map(lambda x: (x, x)).batch(4).to_iter_dataset()


class Model(keras.Model):
    batches = []

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        if not isinstance(x, jax.core.Tracer):  # which it is built with
            type(self).batches.append(np.asarray(x).ravel())
        return self.dense(x)


epochs = []
model = Model()
model.compile(keras.optimizers.SGD(0.0), loss="mse", run_eagerly=True)
notes = keras.callbacks.LambdaCallback(
    on_epoch_end=lambda epoch, logs: epochs.append(np.concatenate(Model.batches[-3:])),
)
model.fit(batches, epochs=3, verbose=0, callbacks=[notes])
for epoch in epochs:
    print(epoch.round(2).tolist())
assert len(set(epochs[0].astype(int))) == 12 and epochs[0].astype(int).tolist() != [*range(12)]
np.testing.assert_array_equal(epochs[0], epochs[1])
np.testing.assert_array_equal(epochs[0], epochs[2])
passes = np.array([float(x[0]) for x in records.repeat(2)]).reshape(2, 12)
orders = passes.astype(int)
noises = [dict(zip(order, each - order, strict=True)) for order, each in zip(orders, passes, strict=True)]
print("orders of two passes of repeat:", orders.tolist())
assert orders[0].tolist() != orders[1].tolist()
assert all(noises[0][row] != noises[1][row] for row in range(12))
PY

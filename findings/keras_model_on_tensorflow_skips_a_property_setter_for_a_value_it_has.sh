#!/usr/bin/env bash
# keras 3.15.1 with tensorflow 2.21.0 and jax 0.10.2.
#
# A keras.Model has a property whose setter notes that it was set by hand; it is set to the value that
# it has.
# Expected: as for every Python object, the setter runs.
# Seen: on JAX it runs; on TensorFlow it does not, and runs where the value is another one. There the
# model tracks its attributes, and compares with what the getter gives before it sets anything.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check keras==3.15.1 tensorflow==2.21.0 jax==0.10.2 2>/dev/null
cat >"$place/tries.py" <<'PY'
import sys

import keras


class Model(keras.Model):
    told = ()
    _rate = 0.5

    @property
    def rate(self):
        return self._rate

    @rate.setter
    def rate(self, value):
        self.told = (*self.told, value)
        self._rate = value


model = Model()
model.rate = model.rate
model.rate = 0.25
print(keras.backend.backend(), "the setter ran with", tuple(model.told))
assert tuple(model.told) == ((0.25,) if sys.argv[1] == "skips" else (0.5, 0.25))
PY
KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 "$place/venv/bin/python" -W ignore "$place/tries.py" skips
KERAS_BACKEND=jax "$place/venv/bin/python" -W ignore "$place/tries.py" runs

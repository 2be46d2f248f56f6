"""What only a GPU can show: variables and samples live there, and bfloat16 trains. Not run here."""

import keras
import numpy as np
import pytest
from families import CASES
from keras import ops

pytestmark = pytest.mark.gpu


def device_of(tensor):
    device = getattr(tensor, "device", "")
    return str(device() if callable(device) else device).lower()


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "jit"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_family_trains_on_the_gpu(case, policy, jit):
    keras.config.set_dtype_policy(policy)
    model = case.model(jit_compile=jit)
    x, labels = case.data()
    history = model.fit(x, labels, batch_size=16, epochs=4, verbose=0).history
    assert all(np.all(np.isfinite(numbers)) for numbers in history.values())
    value = model.trainable_variables[0].value
    assert any(name in device_of(value) for name in ("gpu", "cuda"))
    assert np.all(np.isfinite(ops.convert_to_numpy(model.sample(4, seed=0))))

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


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="CUDA graphs are PyTorch's")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_replayed_cuda_graph_trains_as_plain_steps_do(case, recwarn):
    x, labels = case.data()
    weights = []
    for jit in (False, True):
        model = case.model(jit_compile=jit)
        model.fit(x, labels, batch_size=20, epochs=2, shuffle=False, verbose=0)
        weights.append([ops.convert_to_numpy(v) for v in model.variables])
    for plain, replayed in zip(*weights, strict=True):
        np.testing.assert_allclose(replayed, plain, rtol=1e-3, atol=1e-4)
    assert not [w for w in recwarn if "CUDA graph" in str(w.message)]

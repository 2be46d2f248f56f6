"""The same model, weights and seed on three backends: the same terms, gradients and weights."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from families import CASES

pytestmark = [pytest.mark.parity, pytest.mark.slow]
REFERENCE, *OTHERS = ("tensorflow", "jax", "torch")
STEPS = 20


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What one worker process a backend wrote down."""
    for backend in (REFERENCE, *OTHERS):
        if importlib.util.find_spec(backend) is None:
            pytest.skip(f"{backend} is not installed")
    folder = tmp_path_factory.mktemp("parity")
    worker = Path(__file__).with_name("parity_worker.py")

    def start(backend, *options):
        environment = {**os.environ, "KERAS_BACKEND": backend}
        return subprocess.Popen([sys.executable, worker, folder, *options], env=environment)

    # The others follow the reference, a case at a time.
    reference, *others = start(REFERENCE, "--reference"), *map(start, OTHERS)
    try:
        assert reference.wait() == 0
        assert [process.wait() for process in others] == [0, 0]
    finally:
        for process in others:
            process.kill()

    def load(name):
        with np.load(folder / f"{name}.npz") as archive:
            return dict(archive)

    return load


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


@pytest.mark.parametrize("backend", OTHERS)
def test_synchronised_terms_and_gradients_agree(results, case, backend):
    expected = results(f"{case.name}_synchronised_{REFERENCE}")
    got = results(f"{case.name}_synchronised_{backend}")
    assert got.keys() == expected.keys() and len(got) > STEPS
    for key, value in expected.items():
        if key.startswith("term"):
            np.testing.assert_allclose(got[key], value, rtol=1e-4, err_msg=key)
        else:
            difference, norm = np.linalg.norm(got[key] - value), np.linalg.norm(value)
            # Absolute where the true gradient is zero: a unit that is off for a whole batch.
            assert difference <= max(1e-4 * norm, 1e-6), f"{key}: {difference} of {norm}"


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "jit"])
@pytest.mark.parametrize("backend", [REFERENCE, *OTHERS])
def test_free_runs_stay_together(results, case, backend, jit):
    expected = results(f"{case.name}_jitFalse_{REFERENCE}")
    got = results(f"{case.name}_jit{jit}_{backend}")
    rate = max(options["learning_rate"] for _, options in case.optimizers.values())
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        if key.startswith("term"):
            np.testing.assert_allclose(got[key], value, rtol=1e-4, atol=1e-6, err_msg=key)
        elif key.startswith("weight"):
            # Adam turns rounding into whole steps: no tighter bound holds for every weight.
            np.testing.assert_allclose(got[key], value, atol=0.1 * rate * STEPS, err_msg=key)
        else:
            np.testing.assert_allclose(got[key], value, atol=1e-3, err_msg=key)


@pytest.mark.parametrize("backend", OTHERS)
def test_random_numbers_are_the_same(results, backend):
    expected, got = results(f"stream_{REFERENCE}"), results(f"stream_{backend}")
    for name in ("words", "uniform", "integers"):
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
    np.testing.assert_allclose(got["normal"], expected["normal"], rtol=0, atol=1e-6)

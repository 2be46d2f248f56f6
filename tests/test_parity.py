"""The same model, weights and seed on three backends: the same terms, gradients and state.

Each backend runs as `jit_compile="auto"` chooses; that its other ways agree is for conformance.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from builders import ENDS
from conftest import environment_of
from families import CASES
from parity_worker import FREE, SYNCHRONISED

pytestmark = [pytest.mark.parity, pytest.mark.slow]
REFERENCE, *OTHERS = ("tensorflow", "jax", "torch")
# Of what a step, or a run of free ones, moves a variable by, in norm. Of a weight, Adam makes more
# of the rounding where a gradient is nearly zero: 0.051 of a beta in CycleGAN, on one processor.
STRAY, WEIGHT_STRAY, FREE_STRAY = 0.05, 0.1, 0.1


def rounding(size):
    """What two roundings in float32 can be apart by in a variable of this norm."""
    return max(1e-7, 2 * np.finfo("float32").eps * size)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What one worker process a backend wrote down."""
    for backend in (REFERENCE, *OTHERS):
        if importlib.util.find_spec(backend) is None:
            pytest.skip(f"{backend} is not installed")
    folder = tmp_path_factory.mktemp("parity")
    worker = Path(__file__).with_name("parity_worker.py")

    def start(backend, *options):
        command = [sys.executable, worker, folder, *options]
        return subprocess.Popen(command, env=environment_of(backend))

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
def test_synchronised_terms_gradients_and_states_agree(results, case, backend):
    expected = results(f"{case.name}_synchronised_{REFERENCE}")
    got = results(f"{case.name}_synchronised_{backend}")
    states = {key: got.pop(key) for key in list(got) if key.startswith(("state", "weight"))}
    assert got.keys() == expected.keys() and len(got) > SYNCHRONISED
    for key, value in expected.items():
        if key.startswith("term"):
            np.testing.assert_allclose(got[key], value, rtol=1e-4, err_msg=key)
        else:
            difference, norm = np.linalg.norm(got[key] - value), np.linalg.norm(value)
            # Absolute: a rounding of numbers near 1 that cancel, as a Wasserstein critic's do.
            assert difference <= max(1e-4 * norm, 1e-7), f"{key}: {difference} of {norm}"
    for key, (apart, moved, size) in states.items():
        # "state": averages, codebooks, statistics, moments, counters.
        stray = WEIGHT_STRAY if key.startswith("weight") else STRAY
        allowed = stray * moved + rounding(size)
        assert apart <= allowed, f"{key}: {apart} apart, moved by {moved}"


def test_a_step_outside_fit_is_the_step_inside(results, case):
    outside = results(f"{case.name}_synchronised_{REFERENCE}")
    inside = results(f"{case.name}_free_{REFERENCE}")
    terms = [key for key in outside if key.startswith("term")]
    assert len(terms) >= SYNCHRONISED
    for key in terms:
        np.testing.assert_allclose(inside[key], outside[key], rtol=1e-4, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("backend", OTHERS)
def test_free_runs_stay_together(results, case, backend):
    expected = results(f"{case.name}_free_{REFERENCE}")
    got = results(f"{case.name}_free_{backend}")
    rate = max(options["learning_rate"] for _, options in case.optimizers.values())
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        if key.startswith("term"):
            np.testing.assert_allclose(got[key], value, rtol=1e-4, atol=1e-6, err_msg=key)
        elif key.startswith("weight"):
            # Adam turns rounding into whole steps: no tighter bound holds for every weight.
            np.testing.assert_allclose(got[key], value, atol=0.1 * rate * FREE, err_msg=key)
        elif key.startswith("state"):
            moved = np.linalg.norm(value - expected[key.replace("state", "begun", 1)])
            apart = np.linalg.norm(got[key] - value)
            assert apart <= FREE_STRAY * moved + 1e-7, f"{key}: {apart} apart, moved by {moved}"
        elif key == "sample":
            np.testing.assert_allclose(got[key], value, atol=1e-3, err_msg=key)


@pytest.mark.parametrize("backend", OTHERS)
def test_what_a_family_offers_is_the_same(results, case, backend):
    """Samples, repairs, walks, traversals, translations, likelihoods, from the same weights."""
    expected = results(f"{case.name}_offered_{REFERENCE}")
    got = results(f"{case.name}_offered_{backend}")
    assert got.keys() == expected.keys()
    for found in (got, expected):
        moved = found.pop("moved").tolist()
        assert [path for path in moved if "evaluation_calls" not in path] == []
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
        if name.startswith("norm of"):
            assert np.isfinite(value) and value > 0, name


@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize("builder", ENDS)
def test_a_network_maps_alike(results, builder, backend):
    expected, got = results(f"networks_{REFERENCE}"), results(f"networks_{backend}")
    np.testing.assert_allclose(got[builder], expected[builder], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", OTHERS)
def test_random_numbers_are_the_same(results, backend):
    expected, got = results(f"stream_{REFERENCE}"), results(f"stream_{backend}")
    for name in ("words", "uniform", "integers"):
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
    np.testing.assert_allclose(got["normal"], expected["normal"], rtol=0, atol=1e-6)

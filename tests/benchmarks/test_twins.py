"""Every contestant computes the same loss and the same gradients from the same weights."""

import importlib

import keras
import numpy as np
import pytest

from benchmarks import cases, reference, registry
from benchmarks.keras_gen_model import model_of

pytestmark = pytest.mark.slow
BACKEND = keras.backend.backend()
TOLERANCE = 1e-4
# A bias before a normalization, and what a Wasserstein loss cannot see, have a true gradient of
# 0: there both sides hold rounding alone.
NOTHING = 1e-5
# The ReLUs are many in these, and one whose input rounding carries over 0 changes a gradient by
# more than the tolerance: in small images none lies so near.
SMALLER = dict.fromkeys(("r3gan_32", "sngan_32"), {"batch": 4, "side": 16, "width": 4})
MODES = [
    (contestant, mode)
    for (backend, contestant), (_, _, modes) in registry.CONTESTANTS.items()
    if backend == BACKEND and contestant in registry.RIVALS
    for mode in modes
]


def small(name):
    """A case at the size of these tests."""
    return cases.read(name, **{"batch": 8, "width": 8, **SMALLER.get(name, {})})


@pytest.fixture(scope="module", params=cases.known())
def race(request):
    """`(case, weights, batch, draws, what keras-gen met)` at a small size."""
    case = small(request.param)
    keras.utils.set_random_seed(0)
    model = model_of(case)
    rng = np.random.default_rng(0)
    weights = {
        # Biases of 0 would hide an addition that a twin forgot.
        socket: [
            array + 0.1 * (rng.random(array.shape, "float32") - 0.5)
            for array in getattr(model, socket).get_weights()
        ]
        for socket in case.sockets
    }
    batch = case.examples(case.batch_size)
    return case, weights, batch, *reference.gradients(case, weights, batch)


def difference(ours, theirs):
    """Norm of the difference, relative to the norm of the reference."""
    ours, theirs = np.asarray(ours, "float64"), np.asarray(theirs, "float64")
    assert ours.shape == theirs.shape
    return np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs), NOTHING / TOLERANCE)


# torch.compile's own code warns while it compiles a twin.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize(("contestant", "mode"), MODES)
def test_same_weights_and_batch_give_the_same_loss_and_gradients(race, contestant, mode):
    case, weights, batch, draws, expected = race
    module, name, modes = registry.CONTESTANTS[BACKEND, contestant]
    module = importlib.import_module(f"benchmarks.{module}")
    assert tuple(module.MODES) == modes
    steps = 2 if mode in registry.OF_SEVERAL_STEPS else 1
    got = getattr(module, name)(case, mode, weights, steps).gradients(batch, draws)
    assert set(got) == set(expected)
    for player, (loss, gradients) in expected.items():
        assert difference(got[player][0], loss) < TOLERANCE, player
        for i, (ours, theirs) in enumerate(zip(got[player][1], gradients, strict=True)):
            assert difference(ours, theirs) < TOLERANCE, f"{player}, variable {i}"


def test_the_reference_draws_what_the_algorithm_says_and_leaves_the_weights(race):
    case, weights, batch, draws, expected = race
    steps = case.model.get("discriminator_steps", 1)
    mixed = case.model.get("penalty") == "wgan_gp"  # R1 and R2 draw no places
    if case.twin == "vqvae":
        assert [draw.shape for draw in draws] == [(case.model["codebook_size"],)]
        assert list(expected) == ["model"]
    elif case.twin != "gan":
        samples = (case.model["samples"],) if case.twin == "iwae" else ()
        assert [draw.shape for draw in draws] == [(case.batch_size, *samples, case.latent_dim)]
        assert list(expected) == ["model"]
    else:
        noise, mix = (case.batch_size, case.latent_dim), (case.batch_size, *[1] * len(case.shape))
        one_step = [noise, mix] if mixed else [noise]
        assert [draw.shape for draw in draws] == one_step * steps + [noise]
        assert list(expected) == ["discriminator", "generator"]
    for loss, gradients in expected.values():
        assert np.isfinite(loss)
        assert any(np.abs(gradient).max() > 0 for gradient in gradients)


def codebook(contestant):
    """`(codes, counts)` of a native VQ-VAE, which no contestant needs to show."""
    if BACKEND == "jax":
        book = contestant._state["codebook"]
        return np.asarray(book["codes"]), np.asarray(book["counts"])
    twin = contestant._twin if BACKEND == "tensorflow" else contestant
    names = ("_codes", "_counts") if BACKEND == "tensorflow" else ("codes", "counts")
    return [getattr(twin, name).numpy() for name in names]


def test_a_twin_s_codebook_follows_as_ours_does():
    """After a step: how often each code was chosen, and where those that were have moved to.

    The others are revived at places that each side draws by itself.
    """
    case = cases.read("vqvae_28", batch=8, width=8)
    keras.utils.set_random_seed(0)
    model = model_of(case, overrides=["train.jit_compile=false"])
    weights = {socket: getattr(model, socket).get_weights() for socket in case.sockets}
    batch = case.examples(case.batch_size)
    module, name, modes = registry.CONTESTANTS[BACKEND, "native"]
    twin = getattr(importlib.import_module(f"benchmarks.{module}"), name)(case, modes[0], weights)
    model.train_on_batch(batch)
    twin.call(twin.put([batch]))
    twin.wait()
    codes, counts = codebook(twin)
    ours = keras.ops.convert_to_numpy(model.codebook.codes)
    our_counts = keras.ops.convert_to_numpy(model.codebook.counts)
    np.testing.assert_allclose(counts, our_counts, rtol=1e-6)
    followed = our_counts != 1.0
    assert followed.sum() > 1
    np.testing.assert_allclose(codes[followed], ours[followed], rtol=1e-4, atol=1e-7)

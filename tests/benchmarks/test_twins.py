"""Every contestant computes the same loss and the same gradients from the same weights."""

import importlib

import keras
import numpy as np
import pytest

from benchmarks import cases, reference, registry
from benchmarks.keras_gen_model import model_of

pytestmark = [pytest.mark.slow, pytest.mark.few_steps]
BACKEND = keras.backend.backend()
TOLERANCE = 1e-4
# A bias before a normalization, and what a Wasserstein loss cannot see, have a true gradient of
# 0: there both sides hold rounding alone.
NOTHING = 1e-5
FOLLOWED = 1e-5  # how far what is not trained but follows may lie
# The ReLUs are many in these, and one whose input rounding carries over 0 changes a gradient by
# more than the tolerance: in small images none lies so near.
SMALLER = dict.fromkeys(("r3gan_32", "sngan_32"), {"batch": 4, "side": 16, "width": 4})
MODES = [
    (contestant, mode)
    for (backend, contestant), (_, _, modes) in registry.CONTESTANTS.items()
    if backend == BACKEND and contestant in registry.RIVALS
    for mode in modes
]


NATIVE = registry.CONTESTANTS[BACKEND, "native"][2][0]


def small(name):
    """A case at the size of these tests."""
    return cases.read(name, **{"batch": 8, "width": 8, **SMALLER.get(name, {})})


@pytest.fixture(scope="module", params=cases.known())
def race(request):
    """`(case, weights, batch, draws, what keras-gen met)` at a small size."""
    case = small(request.param)
    weights = begin(case)
    batch = case.examples(case.batch_size)
    return case, weights, batch, *reference.gradients(case, weights, batch)


def begin(case):
    """keras-gen's weights, moved: biases of 0 would hide an addition that a twin forgot."""
    keras.utils.set_random_seed(0)
    model = model_of(case)
    rng = np.random.default_rng(0)
    return {
        socket: [
            array + 0.1 * (rng.random(array.shape, "float32") - 0.5)
            for array in getattr(model, socket).get_weights()
        ]
        for socket in case.sockets
    }


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
    steps = 2 if mode in registry.OF_SEVERAL_STEPS else 1
    got = built(contestant, mode, case, weights, steps).gradients(batch, draws)
    check(got, expected)


def built(contestant, mode, *arguments):
    """A contestant of the registry."""
    module, name, modes = registry.CONTESTANTS[BACKEND, contestant]
    module = importlib.import_module(f"benchmarks.{module}")
    assert tuple(module.MODES) == modes
    return getattr(module, name)(arguments[0], mode, *arguments[1:])


def check(got, expected):
    """Whether the loss and every gradient of each player are the reference's."""
    assert set(got) == set(expected)
    for player, (loss, gradients) in expected.items():
        assert difference(got[player][0], loss) < TOLERANCE, player
        for i, (ours, theirs) in enumerate(zip(got[player][1], gradients, strict=True)):
            assert difference(ours, theirs) < TOLERANCE, f"{player}, variable {i}"


WIDTHS = {
    # A shortcut in every block, a generator whose kernels are divided too.
    "sngan_32": {
        "generator": {"filters": [6, 4, 4], "spectral": True},
        "discriminator": {"blocks": [6, 4], "output_bias": False},
    },
    "r3gan_32": {
        "generator": {"filters": [4, 4, 6], "blocks": [0, 1, 2]},
        "discriminator": {"filters": [6, 4, 4], "blocks": [2, 0, 1], "expansion": 1},
    },
}


@pytest.mark.parametrize("name", WIDTHS)
def test_spectral_and_residual_networks_of_other_widths_give_the_same_gradients(name):
    case = small(name)
    for socket, options in WIDTHS[name].items():
        case.model[socket] |= options
    weights, batch = begin(case), case.examples(case.batch_size)
    draws, expected = reference.gradients(case, weights, batch)
    check(built("native", NATIVE, case, weights).gradients(batch, draws), expected)


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
    twin = built("native", NATIVE, case, weights)
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


def followed(contestant, socket):
    """What follows along in a network, and is not trained, in Keras' order."""
    if hasattr(contestant, "model"):
        contestant.settle()
        return untrained(getattr(contestant.model, socket))
    if BACKEND == "jax":
        layers = contestant._state[socket].statistics
        return [np.asarray(layer[name]) for layer in layers for name in sorted(layer)]
    if BACKEND == "tensorflow":
        layers = contestant._twin.networks[socket]._variables
        return [v.numpy() for layer in layers for v in layer if not v.trainable]
    weights = importlib.import_module("benchmarks.native.torch.weights")
    network = contestant.networks[socket]
    trained = [id(weight) for weight in network.parameters()]
    found = weights.keras_weights(network)
    return [w.to_keras(w.tensor) for w in found if id(w.tensor) not in trained]


def untrained(network):
    return [keras.ops.convert_to_numpy(v) for v in network.weights if not v.trainable]


@pytest.mark.parametrize(
    ("contestant", "mode"),
    [(name, registry.CONTESTANTS[BACKEND, name][2][0]) for name in registry.RIVALS],
)
def test_spectral_vectors_and_running_statistics_follow_as_ours_do(contestant, mode):
    """After a step of two discriminator steps and one of the generator: five power iterations.

    What is learnt by chance, from noise that each side draws by itself, is kept out: steps of no
    length, and a generator that does not look at its noise.
    """
    case = small("sngan_32")
    for optimizer in case.train["optimizer"].values():
        optimizer["learning_rate"] = 1e-9
    weights, batch = begin(case), case.examples(case.batch_size)
    weights["generator"][0][:] = 0
    model = model_of(case, weights, ["train.jit_compile=false"])
    twin = built(contestant, mode, case, weights)
    before = {socket: untrained(getattr(model, socket)) for socket in case.sockets}
    model.train_on_batch(batch)
    twin.call(twin.put([batch]))
    twin.wait()
    for socket in case.sockets:
        trio = before[socket], untrained(getattr(model, socket)), followed(twin, socket)
        assert len(trio[0]) > 10
        for i, (old, ours, theirs) in enumerate(zip(*trio, strict=True)):
            assert old.size == 1 or np.abs(ours - old).max() > 100 * FOLLOWED, f"{socket} {i}"
            tolerance = FOLLOWED
            if (BACKEND, contestant, socket) == ("torch", "native", "generator"):
                # PyTorch keeps the unbiased variance: of 16 places or more, three times.
                tolerance = FOLLOWED + np.abs(ours - 0.9**3 * old) / 15
            assert (np.abs(theirs - ours) <= tolerance).all(), f"{socket} {i}"

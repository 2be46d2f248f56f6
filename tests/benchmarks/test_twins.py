"""Every contestant takes keras-gen's train steps: the same losses, gradients, moves and states.

Each is called as it is raced, on the program that is raced, and once a case and mode: of a
compiled one, compiling is the cost.
"""

import importlib
import types

import keras
import numpy as np
import pytest
from conftest import ALL
from draws import served

from benchmarks import cases, keras_gen_model, registry

pytestmark = pytest.mark.slow
BACKEND = keras.backend.backend()
TOLERANCE = 1e-4  # of a loss and of a gradient, as norms
OF_A_STEP = 1e-5  # of how far a weight moves, beside its own rounding
FOLLOWED = 1e-5  # how far what is not trained but follows may lie
# A bias before a normalization, and what a Wasserstein loss cannot see, have a true gradient of
# 0: there both sides hold rounding alone.
NOTHING = 1e-5
ROUNDING = 2.0**-22  # of a weight that was subtracted from another: two roundings, and room
# Of what is repeated as few as show how: stages, blocks, steps of a discriminator. Where the ReLUs
# are many, one whose input rounding carries over 0 changes a gradient by more than the tolerance:
# in small images none lies so near.
SMALLER = {
    "dcgan_28": {"batch": 4, "width": 4},
    "dcgan_64": {"batch": 4, "side": 16, "width": 4},
    "r3gan_32": {"batch": 4, "side": 8, "width": 4},
    "sngan_32": {"batch": 4, "side": 8, "width": 4},
}
FEWER = {
    "r3gan_32": {"generator": {"filters": [4, 4]}, "discriminator": {"filters": [4, 4]}},
    "sngan_32": {
        "generator": {"filters": [4, 4]},
        "discriminator": {"filters": [4], "blocks": [4]},
    },
    "vqvae_28": {"encoder": {"blocks": 1}, "decoder": {"blocks": 1}},
    "wgan_gp_28": {"discriminator_steps": 2},
}
# So large an epsilon that the rounding of a small gradient does not turn whole steps around, and
# steps so short that the rounding of a discriminator's hardly reaches a generator's; no two players
# alike; and no beta_2 of 0.999, whose bias Keras corrects by what float32 leaves of
# `1 - 0.999**step`: 1e-5 off at step 2.
OPTIMIZERS = {
    "model": {"learning_rate": 1e-3, "epsilon": 1e-3, "beta_2": 0.99},
    "discriminator": {"learning_rate": 1e-3, "epsilon": 1e-3, "beta_2": 0.99},
    "generator": {"learning_rate": 2e-3, "epsilon": 2e-3, "beta_1": 0.6, "beta_2": 0.95},
}
CALLS = 2
# What only `ALL` runs: inductor over each twin, and the pieces that Keras'
# `jit_compile` on PyTorch cuts each train step into, the same step; minutes a case.
LONG = [("torch", "keras", "jit")]
# Stock Keras trains keras-gen's own networks: one case of each of its train steps shows them.
OF_STOCK_KERAS = (
    "gan_ring",
    "iwae_k50",
    "r3gan_32",
    "sngan_32",
    "vae_mlp",
    "vqvae_28",
    "wgan_gp_28",
)
MODES = [
    (contestant, mode)
    for (backend, contestant), (_, _, modes) in registry.CONTESTANTS.items()
    if backend == BACKEND and contestant in ("native", "keras")
    for mode in modes
    if ALL or (backend, contestant, mode) not in LONG
]


def small(name, changes):
    """A case at the size of these tests, with their optimizers and other changes of its model."""
    case = cases.read(name, **{"batch": 8, "width": 8, **SMALLER.get(name, {})})
    for player, optimizer in optimizers(case).items():
        optimizer |= OPTIMIZERS[player]
    for option, value in changes.items():
        case.model[option] = case.model[option] | value if isinstance(value, dict) else value
    return case


def optimizers(case):
    """`{player: its [train.optimizer]}`."""
    optimizer = case.train["optimizer"]
    return {"model": optimizer} if "name" in optimizer else optimizer


class Run:
    """What a contestant logged and what it had become, after each of its calls.

    Args:
        contestant: Name, of the registry.
        mode: One of its modes.
        case: A `Case`.
        weights: To begin with.
        batch: What every step trains on.
        steps: Train steps a call.
    """

    def __init__(self, contestant, mode, case, weights, batch, steps=1):
        module, name, modes = registry.CONTESTANTS[BACKEND, contestant]
        module = importlib.import_module(f"benchmarks.{module}")
        assert tuple(module.MODES) == modes
        built = getattr(module, name)(case, mode, weights, steps)
        self.weights, self.moments, self.losses, self.shapes = [weights], [], [], None
        with served() as draws:
            for _ in range(CALLS // steps):
                draws.restart()
                built.call(built.put([batch] * steps))
                built.wait()
                self.shapes = self.shapes or draws.shapes
                self.losses.append(built.losses())
                after, moments = built.as_keras()
                self.weights.append(after)
                self.moments.append(moments)

    def moved(self, socket, call=0):
        """How far each array of a network moved in a call."""
        pair = zip(self.weights[call][socket], self.weights[call + 1][socket], strict=True)
        return [after.astype("float64") - before for before, after in pair]


class Race:
    """A case, what all begin from, and keras-gen's steps of it."""

    def __init__(self, case):
        self.case = case
        self.weights, self.trained = begin(case)
        self.batch = case.examples(case.batch_size)
        self.ours = self.run("keras_gen", keras_gen_model.MODES[0])

    def run(self, contestant, mode, steps=1):
        """The same steps of a contestant."""
        return Run(contestant, mode, self.case, self.weights, self.batch, steps)


def begin(case):
    """keras-gen's weights, moved, and which of them are trained.

    Moved: biases of 0 would hide an addition that a twin forgot.
    """
    keras.utils.set_random_seed(0)
    model = keras_gen_model.model_of(case)
    rng = np.random.default_rng(0)
    weights, trained = {}, {}
    for socket in case.sockets:
        network = getattr(model, socket)
        trained[socket] = [variable.trainable for variable in network.weights]
        weights[socket] = [
            array + 0.1 * (rng.random(array.shape, "float32") - 0.5)
            for array in network.get_weights()
        ]
    return weights, trained


@pytest.fixture(scope="module", params=cases.known())
def race(request):
    """A `Race` at a small size."""
    return Race(small(request.param, FEWER.get(request.param, {})))


@pytest.fixture(autouse=True)
def compiled_without_inductor(request, monkeypatch):
    """On PyTorch graphs of twins run as they were captured; `inductor` compiles them."""
    if BACKEND != "torch":
        return
    import torch

    torch.compiler.reset()  # Dynamo gives up on a function compiled eight times a process
    if request.node.get_closest_marker("inductor"):
        return
    compile_ = torch.compile

    def captured(function, fullgraph=False, dynamic=None, **_):
        return compile_(function, fullgraph=fullgraph, dynamic=dynamic, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", captured)


def difference(ours, theirs):
    """Norm of the difference, relative to the norm of the reference."""
    ours, theirs = np.asarray(ours, "float64"), np.asarray(theirs, "float64")
    assert ours.shape == theirs.shape
    return np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs), NOTHING / TOLERANCE)


# torch.compile's own code warns while it compiles a twin.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize(("contestant", "mode"), MODES)
def test_a_step_is_keras_gens(race, contestant, mode):
    if contestant == "keras" and race.case.name not in OF_STOCK_KERAS and not ALL:
        pytest.skip("another case shows this train step of stock Keras")
    if mode not in registry.OF_SEVERAL_STEPS:
        check(race, race.run(contestant, mode), contestant)
    elif len(race.case.steps_per_execution) > 1:
        check_last(race, race.run(contestant, mode, steps=CALLS))
    else:
        pytest.skip("of this case no race has several steps a call")


def check(race, run, contestant):
    """Whether a contestant's first call is keras-gen's, and how all its calls moved the weights."""
    case, ours = race.case, race.ours
    assert case.reported in run.losses[0]
    check_losses(run.losses[0], ours.losses[0])
    check_gradients(case, run.moments[0], ours.moments[0])
    for player, settings in optimizers(case).items():
        if player == "discriminator" and case.model.get("discriminator_steps", 1) > 1:
            # Each of its gradients but the last is known to itself alone.
            check_moves(race, run, player)
        else:
            check_adam(race, run, player, settings)
    for socket in case.sockets:
        check_followed(race, run, contestant, socket)
    if case.twin == "vqvae":
        check_codebook(run.weights[1]["codebook"], ours.weights[1]["codebook"])


def check_last(race, run):
    """Whether one call of several steps ends as as many calls of keras-gen's do."""
    check_losses(run.losses[-1], race.ours.losses[-1])
    check_gradients(race.case, run.moments[-1], race.ours.moments[-1])
    for socket in race.case.sockets:
        pairs = zip(run.weights[-1][socket], race.ours.weights[-1][socket], strict=True)
        for i, (theirs, expected) in enumerate(pairs):
            assert difference(theirs, expected) < OF_A_STEP, f"{socket} {i}"


def check_losses(got, expected):
    for term in set(got) & set(expected):
        assert difference(got[term], expected[term]) < TOLERANCE, term


def check_gradients(case, got, expected):
    """Adam's first moments: after one step `(1 - beta_1)` times the gradient."""
    assert set(got) == set(expected) == set(optimizers(case))
    for player, settings in optimizers(case).items():
        rest = 1 - settings.get("beta_1", 0.9)
        pairs = zip(got[player], expected[player], strict=True)
        for i, (theirs, ours) in enumerate(pairs):
            assert difference(theirs / rest, ours / rest) < TOLERANCE, f"{player}, variable {i}"


def weights_of(race, run, player):
    """`(before, after)` of each call, two lists of the arrays that a player trains."""
    sockets = race.case.sockets if player == "model" else [player]
    calls = [
        [
            array.astype("float64")
            for socket in sockets
            for array, trained in zip(weights[socket], race.trained[socket], strict=True)
            if trained
        ]
        for weights in run.weights
    ]
    return list(zip(calls, calls[1:], strict=False))


def check_adam(race, run, player, settings):
    """Whether every weight moved as Keras' Adam moves it along this contestant's own gradients."""
    calls = weights_of(race, run, player)
    for i in range(len(calls[0][0])):
        moments = [call[player][i].astype("float64") for call in run.moments]
        for call, expected in enumerate(adam_moves(moments, settings)):
            before, after = (arrays[i] for arrays in calls[call])
            allowed = OF_A_STEP * np.abs(expected) + ROUNDING * np.maximum(abs(before), abs(after))
            off = (np.abs(after - before - expected) / allowed).max()
            assert off <= 1, f"{player}, variable {i}, step {call + 1}: {off} times as far off"


def adam_moves(moments, settings):
    """How Keras' Adam moves a weight, from its first moments after each step.

    Reference:
        Kingma and Ba 2015, algorithm 1 as its section 2 rearranges it; Keras' epsilon is the
        "epsilon hat" there.
    """
    rate, beta_1, beta_2, epsilon = (
        settings.get(name, default)
        for name, default in (
            ("learning_rate", None),
            ("beta_1", 0.9),
            ("beta_2", 0.999),
            ("epsilon", 1e-7),
        )
    )
    before, square = 0.0, 0.0
    for step, moment in enumerate(moments, start=1):
        gradient = (moment - beta_1 * before) / (1 - beta_1)
        square = beta_2 * square + (1 - beta_2) * gradient**2
        rate_now = rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        yield -rate_now * moment / (np.sqrt(square) + epsilon)
        before = moment


def check_moves(race, run, player):
    """Whether the weights of a player moved in a call as keras-gen's did."""
    theirs, ours = weights_of(race, run, player)[0], weights_of(race, race.ours, player)[0]
    for i in range(len(ours[0])):
        moved, expected = theirs[1][i] - theirs[0][i], ours[1][i] - ours[0][i]
        allowed = TOLERANCE * np.linalg.norm(expected) + ROUNDING * np.linalg.norm(ours[1][i])
        assert np.linalg.norm(moved - expected) <= allowed, f"{player}, variable {i}"


def check_followed(race, run, contestant, socket):
    """Whether running statistics and spectral vectors followed as ours did."""
    before, ours, theirs = (w[socket] for w in (race.weights, race.ours.weights[1], run.weights[1]))
    steps = race.case.model.get("discriminator_steps", 1)
    passes = {"generator": steps + 1, "discriminator": 2 * steps + 1}.get(socket, 1)
    for i, trained in enumerate(race.trained[socket]):
        if trained:
            continue
        if ours[i].size > 1:
            assert np.abs(ours[i] - before[i]).max() > 100 * FOLLOWED, f"{socket} {i} stood still"
        tolerance = FOLLOWED
        if (BACKEND, contestant) == ("torch", "native"):
            # PyTorch keeps the unbiased variance: of 16 places or more, in each pass.
            tolerance = FOLLOWED + np.abs(ours[i] - 0.9**passes * before[i]) / 15
        assert (np.abs(theirs[i] - ours[i]) <= tolerance).all(), f"{socket} {i}"


def check_codebook(got, expected):
    """Whether codes, counts, sums and idle steps moved as ours, revived ones too."""
    codes, counts, sums, idle = range(4)
    assert 1 < (expected[counts] != 1.0).sum() < len(expected[counts])
    np.testing.assert_allclose(got[counts], expected[counts], rtol=1e-6)
    np.testing.assert_array_equal(got[idle], expected[idle])
    for part in (codes, sums):
        np.testing.assert_allclose(got[part], expected[part], rtol=1e-4, atol=1e-7)


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
def test_spectral_and_residual_networks_of_other_widths_take_the_same_step(name):
    race = Race(small(name, WIDTHS[name]))
    check(race, race.run("native", registry.CONTESTANTS[BACKEND, "native"][2][0]), "native")


def test_a_step_draws_what_the_algorithm_says(race):
    case, shapes = race.case, race.ours.shapes
    if case.twin == "vqvae":
        assert shapes == []  # places of the batch alone, which are integers
    elif case.twin != "gan":
        samples = (case.model["samples"],) if case.twin == "iwae" else ()
        assert shapes == [(case.batch_size, *samples, case.latent_dim)]
    else:
        noise, mix = (case.batch_size, case.latent_dim), (case.batch_size, *[1] * len(case.shape))
        # R1 and R2 draw no places.
        one_step = [noise, mix] if case.model.get("penalty") == "wgan_gp" else [noise]
        steps = case.model.get("discriminator_steps", 1)
        assert shapes == one_step * steps + [noise]


def moves_of_a_twin(way, settings, gradients):
    """A weight that begins at 0, after each step of a twin's optimizer along given gradients.

    Args:
        way: One of `WAYS`.
        settings: In place of those of the case.
        gradients: float32 `(steps, numbers)`.

    Returns:
        Arrays, one a step.
    """
    case = cases.read("vae_mlp")
    case.train["optimizer"] |= settings
    native = importlib.import_module(f"benchmarks.native.{BACKEND}")
    seen = []
    if BACKEND == "jax":
        import jax
        import optax

        size = {"one vector": 1, "many": 10**6}[way]
        adam = native.networks.adam(case, "model", [types.SimpleNamespace(size=size)])
        weights = [jax.numpy.zeros(gradients.shape[1])]
        state, update = adam.init(weights), jax.jit(adam.update)
        for gradient in gradients:
            updates, state = update([jax.numpy.asarray(gradient)], state)
            weights = optax.apply_updates(weights, updates)
            seen.append(np.asarray(weights[0]))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        weight = tf.Variable(tf.zeros(gradients.shape[1]))
        adam = native.networks.Adam(case, "model", [weight])
        step = tf.function(adam.apply, jit_compile=way == "xla", autograph=False)
        for gradient in gradients:
            step([tf.constant(gradient)])
            seen.append(weight.numpy())
    if BACKEND == "torch":
        import torch

        weight = torch.nn.Parameter(torch.zeros(gradients.shape[1]))
        adam = getattr(native.optimizers, way)([weight], *native.training.plan.adam(case, "model"))
        for gradient in gradients:
            adam.minimize((torch.from_numpy(gradient) * weight).sum())
            seen.append(weight.detach().numpy().copy())
    return seen


WAYS = {
    "jax": ("one vector", "many"),
    "tensorflow": ("function", "xla"),
    "torch": ("FusedAdam", "TracedAdam"),
}


@pytest.mark.parametrize(
    "settings", [{}, {"beta_1": 0.0, "beta_2": 0.9}, {"beta_1": 0.5, "epsilon": 0.1}]
)
@pytest.mark.parametrize("way", WAYS[BACKEND])
def test_an_optimizer_moves_as_keras_along_given_gradients(way, settings):
    """Gradients from far below epsilon to far above it, with Keras' defaults and without.

    Keras itself is as near to the algorithm as float32 takes `1 - 0.999**step`.
    """
    rng = np.random.default_rng(0)
    sizes = 10.0 ** rng.uniform(-9, 3, (3, 60))
    gradients = (rng.choice([-1, 1], sizes.shape) * sizes).astype("float32")
    keras_adam = keras.optimizers.Adam(1e-3, **settings)
    variable = keras.Variable(np.zeros(60, "float32"))
    moments, moment = [], 0.0
    for gradient in gradients.astype("float64"):
        beta_1 = settings.get("beta_1", 0.9)
        moment = beta_1 * moment + (1 - beta_1) * gradient
        moments.append(moment)
    expected = list(adam_moves(moments, {"learning_rate": 1e-3, **settings}))
    allowed = OF_A_STEP * np.cumsum(np.abs(expected), axis=0)
    theirs = moves_of_a_twin(way, settings, gradients)
    for step, gradient in enumerate(gradients):
        keras_adam.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        ours = keras.ops.convert_to_numpy(variable)
        exact = sum(expected[: step + 1])
        assert (np.abs(ours - exact) <= 2 * allowed[step]).all(), step
        # PyTorch's fused kernel takes the powers in float64, and is nearer to the algorithm.
        off = np.minimum(np.abs(theirs[step] - ours), np.abs(theirs[step] - exact))
        assert (off <= allowed[step]).all(), step


COMPILED = [
    (name, contestant, mode)
    for name in cases.known()
    for contestant in ("native", "tuned")
    for mode in ("compiled_modules", "compiled_step")
]


@pytest.mark.inductor
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.skipif(BACKEND != "torch", reason="inductor is PyTorch's")
@pytest.mark.parametrize(
    ("name", "contestant", "mode"),
    COMPILED if ALL else [("vae_conv", "tuned", "compiled_step")],
)
def test_a_step_that_inductor_compiled_is_keras_gens(name, contestant, mode):
    race = Race(small(name, FEWER.get(name, {})))
    check(race, race.run(contestant, mode), "native")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it is imported
@pytest.mark.skipif(BACKEND != "torch", reason="inductor is PyTorch's")
def test_tuned_twins_take_the_options_that_the_engine_gives_inductor(monkeypatch):
    import torch
    from torch._inductor import compile_fx, config

    from benchmarks.native.torch import OurFlags

    engine = importlib.import_module("keras_gen.engine.torch")
    met, before = [], config.get_config_copy()

    def note(graph, inputs):
        met.append({k: v for k, v in config.get_config_copy().items() if v != before[k]})

    monkeypatch.setattr(compile_fx, "compile_fx", note)
    engine.compile_with_inductor(torch.fx.symbolic_trace(torch.nn.Identity()), [torch.zeros(1)])
    assert met == [OurFlags.of_steps] == [OurFlags.of_modules]

"""Growing: what each stage sees, moves and makes, inside one `fit` and across a saved file."""

import tomllib

import keras
import numpy as np
import pytest
from keras import ops
from toys import linear, number, numpy

import keras_gen
from keras_gen.config import ConfigError
from keras_gen.models import ProgressiveGAN
from keras_gen.networks import ProgressiveDiscriminator, ProgressiveGenerator

IMAGE, LATENT = (8, 12, 1), 3  # 4 x 6, 8 x 12; of three levels from 2 x 3 on
STABLE, FADE = 1, 2
STAGES = [(0, False), (1, True), (1, True), (1, False)]
LEVELS = [0, 1 / 3, 2 / 3, 1]
PLAYERS = ("generator", "discriminator")
REAL = np.random.default_rng(5).normal(size=(4, *IMAGE)).astype("float32")


def networks(start=4, levels_of_discriminator=None):
    sizes = {"width": 2, "widest": 2}
    return (
        ProgressiveGenerator((LATENT,), IMAGE, start=start, **sizes),
        ProgressiveDiscriminator(IMAGE, (1,), start=levels_of_discriminator or start, **sizes),
    )


def build(start=4, **options):
    keras.utils.set_random_seed(4)
    options = {"stable_steps": STABLE, "fade_steps": FADE, "penalty": None, **options}
    return ProgressiveGAN(*networks(start), latent_dim=LATENT, **options)


def compiled(jit_compile=False, **options):
    model = build(**options)
    players = {player: keras.optimizers.Adam(0.01, beta_1=0.5) for player in PLAYERS}
    model.compile(players, jit_compile=jit_compile)
    return model


def train(model, steps, **options):
    data = np.concatenate([REAL] * steps)
    options = {"batch_size": len(REAL), "shuffle": False, "verbose": 0, **options}
    return model.fit(data, **options).history


def after(steps, **options):
    """A model as it is after so many steps, its weights aside."""
    model = build(**options)
    model.steps_taken.assign(steps)
    return model


def noise(count=4):
    return np.random.default_rng(6).normal(size=(count, LATENT)).astype("float32")


def shrunk(x, times=2):
    count, height, width, channels = x.shape
    squares = (count, height // times, times, width // times, times, channels)
    return x.reshape(squares).mean(axis=(2, 4))


def enlarged(x, times=2):
    return x.repeat(times, axis=1).repeat(times, axis=2)


# -- One fit, all stages --------------------------------------------------------------------------


class Watch(keras.callbacks.Callback):
    """Before the first step and after each: all numbers of the model, and the level it logged."""

    def __init__(self):
        super().__init__()
        self.levels, self.states = [], []

    def on_train_begin(self, logs=None):
        self.states.append(state(self.model))

    def on_train_batch_end(self, batch, logs=None):
        model = self.model  # on JAX, this puts the state back from where it is kept in an epoch
        self.levels.append(number(logs["level"]))
        self.states.append(state(model))
        model.reset_metrics()


def state(model):
    """`{id of a weight: [its value, its moments, its average's value]}`."""
    numbers = {}
    for player in PLAYERS:
        network, optimizer = getattr(model, player), model.optimizer[player]
        averages = {"generator": model.generator_average}.get(player, network).variables
        for variable, average in zip(network.variables, averages, strict=True):
            index = optimizer._get_variable_index(variable)
            moments = optimizer._momentums[index], optimizer._velocities[index]
            numbers[id(variable)] = [numpy(v.value) for v in (variable, *moments, average)]
    return numbers


@pytest.mark.every_backend
@pytest.mark.slow
def test_a_stage_moves_what_it_needs_and_nothing_else_and_is_traced_once():
    """Weights, moments and averages; alpha moves on inside the program."""
    model, watch, traced = compiled(jit_compile=True, ema=0.9), Watch(), []
    objective = model.discriminator_objective
    model.discriminator_objective = lambda *given: traced.append(model.stage) or objective(*given)
    train(model, 3, epochs=2, callbacks=[watch])  # the last stage begins as the second epoch does
    np.testing.assert_allclose(watch.levels, [*LEVELS, 1, 1], rtol=1e-6)
    for before, later, stage in zip(watch.states, watch.states[1:], STAGES, strict=False):
        parts = [getattr(model, player).stage(*stage) for player in PLAYERS]
        active = {id(v) for part in parts for v in part.trainable_variables}
        for key in before:
            pairs = zip(before[key], later[key], strict=True)
            assert [not np.array_equal(*pair) for pair in pairs] == [key in active] * 4
    assert traced == [(0, False), (1, True), (1, False)]
    assert [int(number(model.optimizer[p].iterations)) for p in PLAYERS] == [6, 6]


@pytest.mark.every_backend
def test_evaluation_and_prediction_are_at_the_level_of_the_last_step():
    model, found = compiled(), []
    for _ in STAGES[:2]:
        train(model, 1)
        judged = model.evaluate(REAL, batch_size=4, verbose=0, return_dict=True)
        alone = numpy(model(noise()))
        np.testing.assert_allclose(model.predict(noise(), verbose=0), alone, rtol=1e-3, atol=1e-4)
        assert alone.shape == (4, *IMAGE)
        assert np.array_equal(alone, enlarged(shrunk(alone))) == (judged["level"] == 0)
        found.append(judged["level"])
    np.testing.assert_allclose(found, LEVELS[:2], rtol=1e-6)


@pytest.mark.every_backend
def test_the_stage_follows_from_the_weights_that_are_put_back():
    """As a callback that resumes does, when `fit` has begun already."""
    model = compiled()
    begun = model.get_weights()
    train(model, 2)
    assert model.stage == STAGES[1]

    class PutBack(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model.set_weights(begun)

    watch = Watch()
    train(model, 1, callbacks=[PutBack(), watch])
    np.testing.assert_allclose(watch.levels, LEVELS[:1], rtol=1e-6)
    assert model.stage == STAGES[0]


def test_saved_in_the_middle_of_a_fade_it_goes_on_from_there(tmp_path):
    model = compiled(ema=0.9)
    train(model, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    shown = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert model.stage == loaded.stage == shown.stage == (1, True)
    for other in (loaded, shown):
        np.testing.assert_array_equal(
            numpy(other.sample(3, seed=1)), numpy(model.sample(3, seed=1))
        )
    first, second = train(model, 3), train(loaded, 3)
    assert first == second and first["level"][0] == pytest.approx(sum([*LEVELS[2:], 1]) / 3)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# -- What a step computes, by hand ----------------------------------------------------------------


def test_data_as_a_stage_sees_it():
    whole, half, quarter = REAL, shrunk(REAL), shrunk(REAL, 4)
    expected = {
        1: quarter,
        2: enlarged(quarter) * 2 / 3 + half / 3,
        3: enlarged(quarter) / 3 + half * 2 / 3,
        4: half,
        5: enlarged(half) * 2 / 3 + whole / 3,
        7: whole,
        99: whole,
    }
    for steps, seen in expected.items():
        found = after(steps, start=2).seen(ops.convert_to_tensor(REAL))
        np.testing.assert_allclose(numpy(found), seen, rtol=1e-5, atol=1e-6)


def test_samples_are_the_average_generators_enlarged_to_the_full_size():
    for steps, stage, times in ((0, (0, False), 4), (1, (0, False), 4), (4, (1, False), 2)):
        model = after(steps, start=2)
        network = model.generator_average
        network.set_weights([2 * w + 0.1 for w in network.get_weights()])
        expected = enlarged(numpy(network.stage(*stage)(noise())), times)
        np.testing.assert_allclose(numpy(model(noise())), expected, atol=1e-6)
        np.testing.assert_array_equal(numpy(model((noise(), None))), numpy(model(noise())))
        assert model.sample(2, seed=0).shape == (2, *IMAGE)
    alone = after(7, start=2, ema=None)
    expected = numpy(alone.generator(noise()))
    np.testing.assert_allclose(numpy(alone(noise())), expected, atol=1e-6)


def test_the_objectives_of_a_fading_stage():
    """`mean(D(fake)) - mean(D(real)) + drift mean(D(real)**2)` and `-mean(D(fake))`."""
    model = after(2, drift=0.5)
    alpha, z = ops.convert_to_tensor(np.float32(1 / 3)), ops.convert_to_tensor(noise())
    seen = model.seen(ops.convert_to_tensor(REAL))
    real = ops.convert_to_tensor((2 * enlarged(shrunk(REAL)) + REAL) / 3)
    generator, discriminator = (getattr(model, player).stage(1, True) for player in PLAYERS)
    of_real = numpy(discriminator([real, alpha])).astype("float64")
    of_fake = numpy(discriminator([generator([z, alpha]), alpha])).astype("float64")
    loss, terms = model.discriminator_objective(seen, z, [], True)
    expected = of_fake.mean() - of_real.mean() + 0.5 * (of_real**2).mean()
    assert number(loss) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert number(terms["level"]) == pytest.approx(1 / 3)
    loss, _ = model.generator_objective(seen, z, True)
    assert number(loss) == pytest.approx(-of_fake.mean(), rel=1e-4, abs=1e-6)


def test_the_papers_objective_is_the_default():
    model = ProgressiveGAN(*networks(), latent_dim=LATENT, stable_steps=1, fade_steps=1)
    assert (model.adversarial_loss, model.penalty, model.penalty_weight) == (
        "wasserstein",
        "wgan_gp",
        10.0,
    )
    assert (model.drift, model.discriminator_steps, model.ema) == (0.001, 1, 0.999)


@pytest.mark.parametrize("loss", ["relativistic", "hinge"])
def test_other_losses_and_more_steps_of_the_discriminator(loss):
    model = compiled(adversarial_loss=loss, discriminator_steps=2, start=2)
    logs = model.train_step(REAL)
    assert all(np.isfinite(number(value)) for value in logs.values())
    steps = [int(number(model.optimizer[player].iterations)) for player in PLAYERS]
    assert steps == [1, 2] and number(model.steps_taken.value) == 1


# -- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"drift": -1.0}, "drift must not be negative; got -1.0"),
        ({"discriminator_steps": 0}, "discriminator_steps must be 1 or more; got 0"),
        ({"penalty_weight": -1.0}, "penalty_weight must not be negative"),
        ({"penalty": "r3"}, "penalty: expected None or some of .*, got 'r3'"),
        ({"adversarial_loss": "wgan"}, "adversarial loss: expected one of .*, got 'wgan'"),
        ({"stable_steps": 0}, "stable_steps must be an integer of at least 1; got 0"),
        ({"fade_steps": 0}, "fade_steps must be an integer of at least 1; got 0"),
    ],
)
def test_a_wrong_number(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_networks_that_do_not_grow_or_not_alike():
    options = {"latent_dim": LATENT, "stable_steps": 1, "fade_steps": 1}
    generator, discriminator = networks(4, levels_of_discriminator=2)
    with pytest.raises(ValueError, match="discriminator: expected 2 levels, .*; got 3. Give both"):
        ProgressiveGAN(generator, discriminator, **options)
    still = linear(np.zeros((LATENT, 1)), [0.0])
    with pytest.raises(ValueError, match="generator: expected a network that grows, .*Generator;"):
        ProgressiveGAN(still, discriminator, **options)
    with pytest.raises(ValueError, match="discriminator: expected a network that grows"):
        ProgressiveGAN(generator, still, **options)


CONFIG = """
[data]
source = "digits"
value_range = [-1, 1]

[model]
family = "progressive_gan"
latent_dim = 3
stable_steps = 10
fade_steps = 5

[model.generator]
network = "progressive_generator"
width = 2

[model.discriminator]
network = "progressive_discriminator"
width = 2

[train]
epochs = 2
batch_size = 250

[train.optimizer.generator]
name = "adam"
learning_rate = 1e-3

[train.optimizer.discriminator]
name = "adam"
learning_rate = 1e-3
"""


def test_a_run_that_ends_before_it_is_grown():
    """1,500 digits are 6 batches an epoch; 4 x 4 to 8 x 8 takes 15 steps."""
    recipe = tomllib.loads(CONFIG)
    message = "train: the run ends 3 train steps before .* full size: .* takes 15, this run has 12;"
    with pytest.raises(ConfigError, match=message):
        keras_gen.build(recipe)
    recipe["train"]["epochs"] = 3
    model, _ = keras_gen.build(recipe)
    assert model.sample(2, seed=0).shape == (2, 8, 8, 1)

"""GenerativeModel and OptimizerGroup, on a model of one weight whose every number is known."""

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen
from keras_gen import engine, models

pytestmark = pytest.mark.every_backend


class OneWeight(keras_gen.GenerativeModel):
    """`loss = mean((x - w)^2)` from `w = 0`, so that a step is `w += 2 rate (mean(x) - w)`."""

    terms = ("error", "loss", "scaled")

    def __init__(self, *, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.weight = self.add_weight(shape=(), initializer="zeros", name="weight")

    def objective(self, x, noise, labels, training):
        error = ops.square(x[:, 0] - self.weight)  # one number per example
        return ops.mean(error), {"error": error, "scaled": self.factor * ops.mean(error)}

    @property
    def w(self):
        return float(ops.convert_to_numpy(self.weight.value))


def one_weight(rate, eagerly=True, **options):
    model = OneWeight(**options)
    model.compile(keras.optimizers.SGD(rate), run_eagerly=eagerly)
    return model


def column(*numbers):
    return np.array(numbers, "float32")[:, None]


def fit(model, x, **options):
    options = {"batch_size": 32, "shuffle": False, "verbose": 0, **options}
    return model.fit(x, **options)


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


# -- Terms ----------------------------------------------------------------------------------------


def test_a_term_that_is_not_declared_is_named():
    model = one_weight(0.1)
    with pytest.raises(ValueError, match=r"OneWeight logs 'kl', .* terms = \('error', 'loss', 's"):
        model.log(loss=1.0, kl=2.0)


def test_the_33rd_example_counts_as_one_of_33():
    x = column(*np.linspace(-1, 5, 32), 40.0)
    model = one_weight(0.25)
    history = fit(model, x, validation_data=(x,)).history
    # From w = 0 to mean(x[:32]) / 2 in the first batch; the 33rd then has its own error.
    first, last = x[:32, 0], x[32, 0]
    expected = ((first**2).sum() + (last - first.mean() / 2) ** 2) / 33
    for term in ("loss", "error", "scaled"):
        assert history[term] == [pytest.approx(expected, rel=1e-5)]
    w = first.mean() / 2 + 0.5 * (last - first.mean() / 2)
    assert model.w == pytest.approx(w, rel=1e-5)
    assert history["val_loss"] == [pytest.approx(((x - w) ** 2).mean(), rel=1e-5)]
    result = model.evaluate(x, batch_size=32, verbose=0, return_dict=True)
    assert result["loss"] == pytest.approx(((x - w) ** 2).mean(), rel=1e-5)


class Counting(OneWeight):
    """Logs the mean of each batch as that of its sum of entries, which it says are examples."""

    def train_step(self, data):
        x, _ = self.unpack(data)
        return self.log(loss=ops.mean(x), count=ops.sum(x))


def test_a_step_may_say_how_many_examples_a_value_stands_for():
    model = Counting()
    model.compile("sgd")
    model.train_step(column(1.0, 1.0))
    logs = model.train_step(column(6.0))
    assert float(logs["loss"]) == pytest.approx((2 * 1 + 6 * 6) / 8)


@pytest.mark.parametrize(
    "factor, term, step",
    # w - 1 is multiplied by 1 - 2e6 each step, so the error is (2e6 - 1)^2k in step k + 1:
    # 6.4e37 in the fourth, 2.6e50 in the fifth, and float32 ends at 3.4e38.
    [(1.0, "error", 5), (100.0, "scaled", 4)],
)
def test_a_run_that_diverges_stops_and_says_which_term_and_when(factor, term, step):
    model, seen = one_weight(1e6, factor=factor), []
    watcher = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    x = np.ones((12, 1), "float32")
    with pytest.raises(keras_gen.Diverged, match=f"'{term}' was not finite at train step {step}"):
        fit(model, x, batch_size=4, epochs=9, callbacks=[watcher])
    assert seen == [0], "nothing is written after the fault"


def test_a_finite_run_is_finite():
    model = one_weight(0.1)
    fit(model, column(1.0, 2.0))
    model.check_finite()


# -- Construction ---------------------------------------------------------------------------------


def test_an_unknown_argument_names_the_known_ones():
    with pytest.raises(TypeError, match=r"OneWeight got unknown .* 'sed'; it takes factor, seed, "):
        OneWeight(sed=1)


def test_a_model_that_does_not_say_what_it_learns():
    class Silent(keras_gen.GenerativeModel):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.weight = self.add_weight(shape=(), name="weight")

    model = Silent()
    with pytest.raises(ValueError, match=r"call compile\(optimizer=...\) before train_step"):
        model.train_step(column(1.0))
    model.compile("sgd")
    with pytest.raises(TypeError, match="defines neither objective.* nor its own train_step"):
        model.train_step(column(1.0))


def test_batches_bare_or_in_tuples_are_split_alike():
    model = OneWeight()
    x = column(1.0, 2.0, 3.0)
    for data in (x, (x,), [x]):
        examples, labels = model.unpack(data)
        np.testing.assert_array_equal(numpy(examples), x)
        assert labels is None
    _, labels = model.unpack((x, np.array([[2.0], [0.0], [1.0]])))
    assert numpy(labels).tolist() == [2, 0, 1] and "int32" in str(labels.dtype)


# -- Averages of the weights ----------------------------------------------------------------------


class Averaged(keras_gen.GenerativeModel):
    """A network with batch statistics and its average."""

    def __init__(self, network, *, decay, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.decay = decay
        self.average = self.average_of(network, decay)

    def objective(self, x, noise, labels, training):
        return ops.mean(ops.square(self.network(x, training=training) - 1.0)), {}


def state(network):
    return [numpy(variable.value) for variable in network.variables]


def averaged(decay):
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(2, use_bias=False),
            layers.BatchNormalization(momentum=0.5),
            layers.Dropout(0.5),
        ]
    )
    model = Averaged(network, decay=decay)
    model.compile(keras.optimizers.SGD(0.5))
    return model


def test_an_average_is_the_geometric_one_of_all_that_the_network_was(tmp_path):
    decay, steps = 0.75, 4
    model = averaged(decay)
    rng = np.random.default_rng(0)
    past = [state(model.network)]
    for _ in range(steps):
        model.train_step(rng.normal(2.0, 3.0, (8, 3)).astype("float32"))
        past.append(state(model.network))
    shares = [decay**steps] + [(1 - decay) * decay ** (steps - i) for i in range(1, steps + 1)]
    assert sum(shares) == 1.0
    names = [variable.name for variable in model.average.variables]
    assert {"kernel", "gamma", "moving_mean", "moving_variance"} <= set(names)
    for name, average, *values in zip(names, state(model.average), *past, strict=True):
        if name == "seed_generator_state":
            continue  # integers: the network's own
        assert not np.allclose(values[0], values[-1]), f"{name} did not move"
        expected = sum(share * value for share, value in zip(shares, values, strict=True))
        np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-6, err_msg=name)
    assert not model.average.trainable_variables
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for mine, theirs in zip(loaded.average.weights, model.average.weights, strict=True):
        np.testing.assert_array_equal(numpy(mine.value), numpy(theirs.value))


@pytest.mark.parametrize("decay", [1.0, -0.1, 2])
def test_a_decay_out_of_range(decay):
    with pytest.raises(ValueError, match=r"decay of an average must be in \[0, 1\)"):
        averaged(decay)


# -- Keras' callbacks -----------------------------------------------------------------------------


@pytest.mark.parametrize("monitor", ["error", "val_error"])
@pytest.mark.parametrize("rate, epochs", [(0.25, 4), (1.5, 2)], ids=["falling", "rising"])
def test_early_stopping_and_the_best_checkpoint_know_that_lower_is_better(
    monitor, rate, epochs, tmp_path
):
    """`w - 1` is multiplied by `1 - 2 rate` in each epoch: 1/2, or -2."""
    model, x = one_weight(rate), column(1.0, 1.0)
    stopping = keras.callbacks.EarlyStopping(monitor, patience=1)
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.keras", monitor=monitor, save_best_only=True
    )
    history = fit(model, x, epochs=4, validation_data=(x,), callbacks=[stopping, best])
    assert len(history.history["loss"]) == epochs
    assert model.w == pytest.approx(1 - (1 - 2 * rate) ** epochs)
    kept = keras.saving.load_model(tmp_path / "best.keras")
    assert kept.w == pytest.approx(1 - (1 - 2 * rate) ** (4 if rate < 1 else 1))


def small_gan(rate=0.5, **options):
    shapes = models.GAN.sockets((2,), latent_dim=2, num_classes=options.get("num_classes"))
    networks = {
        name: keras.Sequential([keras.Input(given), keras.layers.Dense(out[0])])
        for name, (given, out) in shapes.items()
    }
    model = models.GAN(**networks, latent_dim=2, **options)
    players = {name: keras.optimizers.SGD(rate) for name in networks}
    model.compile(players, run_eagerly=True)
    return model


def rates(model):
    return [float(numpy(optimizer.learning_rate)) for optimizer in model.optimizer.optimizers]


def test_kerass_learning_rate_callbacks_move_every_player():
    model, x = small_gan(), np.ones((4, 2), "float32")
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: 0.5**epoch)
    fit(model, x, epochs=3, callbacks=[scheduler])
    assert rates(model) == [0.25, 0.25]
    # No improvement can reach min_delta: the second epoch halves what it finds.
    plateau = keras.callbacks.ReduceLROnPlateau(
        "generator_loss", factor=0.5, patience=1, min_delta=1e9
    )
    fit(model, x, epochs=2, callbacks=[plateau])
    assert rates(model) == [0.125, 0.125]


@pytest.mark.slow
def test_tensorboard_gets_every_term(tmp_path):
    pytest.importorskip("tensorflow")
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    model, x = one_weight(0.25), column(1.0, 1.0)
    fit(model, x, epochs=2, callbacks=[keras.callbacks.TensorBoard(tmp_path)])
    events = EventAccumulator(str(tmp_path / "train"))
    events.Reload()
    for term in model.terms:
        values = [make_ndarray(event.tensor_proto) for event in events.Tensors(f"epoch_{term}")]
        assert values == [1.0, 0.25]


def test_initial_epoch():
    model = one_weight(0.25)
    history = fit(model, column(1.0, 1.0), epochs=5, initial_epoch=3)
    assert history.epoch == [3, 4]
    assert model.w == pytest.approx(1 - 0.5**2)


@pytest.mark.slow
def test_a_learning_rate_schedule_goes_on_where_the_file_left_it(tmp_path):
    """`rate = (1 + cos(pi step / 8)) / 8` falls from 1/4 to 0 in eight steps, then stays there."""
    schedule = keras.optimizers.schedules.CosineDecay(0.25, decay_steps=8)
    model, x, error = one_weight(schedule), column(1.0, 1.0), 1.0
    for step in range(9):
        if step == 5:
            model.save(tmp_path / "model.keras")
            model = keras.saving.load_model(tmp_path / "model.keras")
            assert int(numpy(model.optimizer.iterations)) == 5
        fit(model, x)
        error *= 1 - 2 * (1 + np.cos(np.pi * min(step, 8) / 8)) / 8
        assert 1 - model.w == pytest.approx(error, rel=1e-5)
    assert model.run_eagerly


# -- OptimizerGroup -------------------------------------------------------------------------------


def test_a_player_that_the_model_does_not_have():
    model = small_gan()
    with pytest.raises(ValueError, match="GAN has no network 'critic'"):
        small_gan().compile({"generator": "sgd", "critic": "sgd"})
    with pytest.raises(KeyError, match="no optimizer for player 'critic'.*'discriminator'"):
        model.optimizer["critic"]


def test_a_player_that_got_no_optimizer_is_missed_at_the_first_step():
    model = small_gan()
    model.compile({"generator": "sgd"}, run_eagerly=True)
    with pytest.raises(KeyError, match="no optimizer for player 'discriminator'"):
        model.train_step(np.ones((4, 2), "float32"))


def test_players_may_not_share_an_optimizer():
    shared = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="share one optimizer object"):
        keras_gen.OptimizerGroup({"generator": shared, "discriminator": shared})


@pytest.mark.parametrize(
    "optimizers, message",
    [({}, "at least one player"), ({"a": 7}, "player 'a'"), ({"a": "adamm"}, "player 'a'.*adamm")],
)
def test_a_group_of_nothing(optimizers, message):
    with pytest.raises(ValueError, match=message):
        keras_gen.OptimizerGroup(optimizers)


def test_the_learning_rate_of_one_and_of_several():
    one = keras_gen.OptimizerGroup(keras.optimizers.SGD(0.5))
    assert float(numpy(one.learning_rate)) == 0.5
    one.learning_rate = 0.125
    assert float(numpy(one.only_optimizer.learning_rate)) == 0.125
    two = keras_gen.OptimizerGroup({"a": keras.optimizers.SGD(0.5), "b": "adam"})
    assert not hasattr(two, "learning_rate")
    with pytest.raises(ValueError, match="say which, as group\\['a', 'b'\\]"):
        two.learning_rate = 0.1
    assert list(two) == ["a", "b"] == [optimizer.name for optimizer in two.optimizers]
    assert "a" in two and "c" not in two and len(two) == 2


def scaled_pair():
    """Two players of one variable each under one loss scale, and a step of both."""
    names = ("steady", "wild")
    group = keras_gen.OptimizerGroup(
        {name: keras.optimizers.SGD(0.5, momentum=0.5) for name in names}, scale_loss=True
    )
    variables = {name: keras.Variable(np.array([1.0], "float32"), name=name) for name in names}
    group.bind(lambda name: [variables[name]])
    group.build(list(variables.values()))

    def step(slope=1.0):
        losses = []
        for name, value in (("steady", 1.0), ("wild", slope)):
            weight = variables[name]
            loss, _ = engine.minimize(lambda: (ops.sum(weight * value), {}), [weight], group[name])  # noqa: B023
            losses.append(float(numpy(loss)))
        group.finish_step()
        return losses

    return group, variables, step


def test_an_overflow_halves_the_loss_scale_and_skips_that_players_step_only():
    group, variables, step = scaled_pair()
    scale = group.loss_scale.value
    assert float(numpy(scale)) == 2.0**15
    losses = step(slope=1e35)  # times 2^15: beyond float32
    assert losses[0] == 1.0 and losses[1] == pytest.approx(1e35), "what is logged is unscaled"
    assert float(numpy(scale)) == 2.0**14
    assert numpy(variables["steady"].value).tolist() == [0.5]
    assert numpy(variables["wild"].value).tolist() == [1.0]
    counts = [int(numpy(group[name].iterations)) for name in ("steady", "wild")]
    assert counts == [1, 0] and int(numpy(group.iterations)) == 1
    step()
    assert float(numpy(scale)) == 2.0**14
    # Momentum: -0.5 * 0.5 - 0.5 for the one, -0.5 for the other, whose first step this is.
    assert numpy(variables["steady"].value).tolist() == [0.5 - 0.75]
    assert numpy(variables["wild"].value).tolist() == [0.5]


def test_good_steps_in_a_row_double_the_loss_scale():
    group, _, step = scaled_pair()
    group.loss_scale.growth_interval = 3
    exponents = []
    for slope in (1.0, 1.0, 1e35, 1.0, 1.0, 1.0, 1.0):
        step(slope)
        exponents.append(int(np.log2(float(numpy(group.loss_scale.value)))))
    assert exponents == [15, 15, 14, 14, 14, 15, 15]


def test_a_saved_group_names_optimizers_as_every_backend_knows_them(tmp_path):
    model = small_gan()
    model.compile({"generator": keras.optimizers.AdamW(0.25), "discriminator": "rmsprop"})
    model.save(tmp_path / "gan.keras")
    with zipfile.ZipFile(tmp_path / "gan.keras") as file:
        text = file.read("config.json").decode()
    saved = json.loads(text)["compile_config"]["optimizer"]["config"]["optimizers"]
    assert {player: (o["module"], o["class_name"]) for player, o in saved.items()} == {
        "generator": ("keras.optimizers", "AdamW"),
        "discriminator": ("keras.optimizers", "RMSprop"),
    }
    assert "keras.src" not in text and keras.backend.backend() not in text
    loaded = keras.saving.load_model(tmp_path / "gan.keras").optimizer
    assert isinstance(loaded["generator"], keras.optimizers.AdamW)
    assert float(numpy(loaded["generator"].learning_rate)) == 0.25


# -- A step that fails ----------------------------------------------------------------------------


def test_a_first_step_that_raises_costs_no_weights():
    """On JAX Keras empties the variables while an epoch runs."""
    model = small_gan(num_classes=3)
    model.compile(dict.fromkeys(model.optimizer, "sgd"), jit_compile=True)
    variables = [*model.trainable_variables, *model.optimizer.variables]
    before = [numpy(variable.value) for variable in variables]
    sample = numpy(model.sample(2, seed=0))
    with pytest.raises(ValueError, match="conditional and got no labels"):
        fit(model, np.ones((4, 2), "float32"))
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(numpy(variable.value), value)
    np.testing.assert_array_equal(numpy(model.sample(2, seed=0)), sample)

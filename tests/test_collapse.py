"""The collapse monitor: what it measures, what it warns about, once, and that it remembers."""

import json
import types
import warnings

import numpy as np
import pytest
from kill_and_resume import toy_batches, toy_gan

from keras_gen import runs
from keras_gen.callbacks import CollapseMonitor

RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(40, 4, 4, 1)).astype("float32")
LABELS = np.arange(40) % 2
HEALTHY = {"real_score": 0.6, "fake_score": 0.4}


def game(samples, norms=None, classes=None, **attributes):
    """What the monitor asks of a model, and nothing more."""
    asked = []

    def sample(count, seed=None, labels=None):
        asked.append((count, seed, labels))
        return samples[:count]

    model = types.SimpleNamespace(sample=sample, num_classes=classes, asked=asked, **attributes)
    if norms is not None:
        model.gradient_norms = lambda x, labels: norms
    model.stop_training = False
    return model


def watching(model, x=DATA, labels=None, **options):
    monitor = CollapseMonitor(x, labels, **options)
    monitor.set_model(model)
    monitor.on_train_begin()
    return monitor


def check(monitor, epoch=0, **logged):
    """One check: what is logged then, and what was warned about."""
    logs = {**HEALTHY, **logged}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor.on_epoch_end(epoch, logs)
    assert all(warning.category is UserWarning for warning in caught)
    return logs, [str(warning.message) for warning in caught]


def other_data(count=40):
    return np.random.default_rng(1).normal(size=(count, 4, 4, 1)).astype("float32")


# -- What is measured -----------------------------------------------------------------------------


def test_diversity_is_the_mean_distance_over_that_of_the_data():
    points = np.array([[0.0], [1.0], [3.0]])  # distances 1, 2, 3
    data = np.array([[0.0], [2.0], [2.0]])  # distances 2, 2, 0
    for labels in (None, [0, 0, 1]):  # which a model that is not conditional is not asked for
        model = game(points)
        logs, _ = check(watching(model, data, labels))
        assert logs["diversity"] == pytest.approx(2 / (4 / 3)) and logs["duplicates"] == 0
        assert model.asked == [(3, 0, None)]


def test_duplicates_are_the_share_with_another_within_a_tenth_of_the_data_s_mean_distance():
    data = np.array([[0.0], [1.0], [2.0], [1.0], [1.0]])  # mean distance 0.8
    samples = np.array([[0.0], [0.07], [5.0], [9.0], [9.09]])
    logs, _ = check(watching(game(samples), data))
    assert logs["duplicates"] == pytest.approx(2 / 5)


def test_a_conditional_model_is_measured_within_each_class():
    data = np.array([[0.0], [100.0], [2.0], [104.0]])
    samples = np.array([[0.0], [100.0], [1.0], [101.0]])  # half, and a quarter of the spread
    model = game(samples, classes=2)
    logs, _ = check(watching(model, data, [0, 1, 0, 1], seed=3))
    assert logs["diversity"] == pytest.approx(0.375)
    assert logs["least_diversity"] == pytest.approx(0.25)
    ((count, seed, labels),) = model.asked
    assert (count, seed, labels.tolist()) == (4, 3, [0, 1, 0, 1])


def test_a_class_of_one_example_is_left_out():
    data = np.array([[0.0], [7.0], [2.0]])
    logs, _ = check(watching(game(data, classes=9), data, [0, 8, 0]))
    assert logs["diversity"] == logs["least_diversity"] == 1


def test_checks_come_every_few_epochs():
    model = game(other_data())
    monitor = watching(model, every=3)
    logged = ["diversity" in check(monitor, epoch)[0] for epoch in range(7)]
    assert logged == [False, False, True, False, False, True, False] and len(model.asked) == 2


# -- What is found --------------------------------------------------------------------------------


def test_a_healthy_game_is_not_warned_about_and_logged():
    norms = {"generator": np.float32(0.5), "discriminator": 2.0}
    monitor = watching(game(other_data(), norms), stop=True)
    for epoch in range(5):
        logs, warned = check(monitor, epoch)
        assert not warned
    assert set(logs) - set(HEALTHY) == {
        "diversity",
        "duplicates",
        "generator_gradient",
        "discriminator_gradient",
    }
    assert logs["diversity"] == pytest.approx(1, abs=0.1) and logs["generator_gradient"] == 0.5
    assert not monitor.model.stop_training


def test_one_image_over_and_over_is_found_after_patience_and_told_once():
    monitor = watching(game(np.zeros_like(DATA)), patience=3)
    told = [check(monitor, epoch)[1] for epoch in range(6)]
    assert [len(warned) for warned in told] == [0, 0, 2, 0, 0, 0]
    collapse, repeats = told[2]
    assert collapse.startswith(
        "CollapseMonitor: epoch 3: the generator collapses: its samples differ 0 times as much as "
        "the data, expected 0.4 or more (3 checks in a row). Try a gradient penalty"
    )
    assert "100% of 40 samples have a near copy" in repeats
    assert not monitor.model.stop_training


def test_a_few_images_over_and_over_are_found():
    monitor = watching(game(np.repeat(other_data(4), 10, axis=0)), patience=1)
    logs, (repeats,) = check(monitor)
    assert logs["duplicates"] == 1 and logs["diversity"] > 0.6 and "repeats itself" in repeats


def test_a_class_that_collapses_is_named():
    samples = other_data()
    samples[1::2] = 0.5
    monitor = watching(game(samples, classes=2), labels=LABELS, patience=1, duplicates=1)
    _, (warned,) = check(monitor)
    assert "its samples of class 1 differ 0 times" in warned


def test_a_generator_that_grows_into_its_variety_does_not_collapse():
    model = game(other_data())
    monitor = watching(model, patience=2)
    samples = model.sample(40)
    for epoch, size in enumerate((0.1, 0.15, 0.2, 0.3)):
        model.sample = lambda count, seed, labels, size=size: size * samples
        assert not check(monitor, epoch)[1]
    assert not check(monitor, 4)[1] and check(monitor, 5)[1], "it grows no longer"


@pytest.mark.parametrize(
    "loss, real, fake, found",
    [
        ("non_saturating", 0.99, 0.02, True),
        ("non_saturating", 0.95, 0.10, False),
        (None, 0.99, 0.02, True),
        ("hinge", 0.74, 0.25, True),
        ("hinge", 0.70, 0.35, False),
        ("least_squares", 0.731, 0.5, True),
        ("least_squares", 0.68, 0.5, False),
        ("wasserstein", 1.0, 0.0, False),
        ("relativistic", 1.0, 0.0, False),
    ],
)
def test_a_discriminator_that_is_always_right_is_found(loss, real, fake, found):
    attributes = {} if loss is None else {"adversarial_loss": loss}
    monitor = watching(game(other_data(), **attributes), patience=1)
    _, warned = check(monitor, real_score=real, fake_score=fake)
    assert [f"scores data {real:.3f} and samples {fake:.3f}" in w for w in warned] == [True] * found
    given = watching(game(other_data(), **attributes), patience=1, confidence=1.0)
    assert not check(given, real_score=real, fake_score=fake)[1]


@pytest.mark.parametrize(
    "norm, word", [(1e-9, "vanishes: 1e-09"), (1e9, "explodes: 1e"), (np.nan, "explodes: nan")]
)
def test_gradients_out_of_their_bounds_are_found_for_each_player(norm, word):
    norms = {"generator": 1.0, "discriminator": norm}
    monitor = watching(game(other_data(), norms), patience=1)
    _, (warned,) = check(monitor)
    assert f"the discriminator's gradient {word}" in warned and "Try " in warned
    norms["generator"] = norm
    _, (warned,) = check(monitor, 1)
    assert f"the generator's gradient {word}" in warned


def test_what_comes_now_and_then_only_is_no_finding():
    model = game(other_data())
    monitor = watching(model, patience=2)
    for epoch in range(6):
        assert not check(monitor, epoch, real_score=0.99 if epoch % 2 else 0.6, fake_score=0.01)[1]


def test_training_is_stopped_where_asked():
    monitor = watching(game(np.zeros_like(DATA)), patience=2, stop=True)
    check(monitor, 0)
    assert not monitor.model.stop_training
    check(monitor, 1)
    assert monitor.model.stop_training


def test_its_memory_is_all_that_another_monitor_needs_to_go_on():
    """Of a generator that no longer grows, one check before the break and one after."""
    model = game(0.3 * other_data())
    before = watching(model, patience=2)
    assert not check(before)[1]
    after = watching(model, patience=2)
    after.set_state(json.loads(json.dumps(before.get_state())))
    assert len(check(after, 1)[1]) == 1 and len(check(watching(model, patience=2), 1)[1]) == 0


# -- In training ----------------------------------------------------------------------------------


def repeating_gan():
    """A generator of one image that does not learn."""
    gan = toy_gan()
    last = gan.generator.layers[-1]
    while not last.weights:
        last = next(layer for layer in reversed(gan.generator.layers) if layer.weights)
    last.set_weights([np.zeros_like(weight) for weight in last.get_weights()])
    gan.generator_average.set_weights(gan.generator.get_weights())
    gan.optimizer["generator"].learning_rate = 0.0
    return gan


def test_a_run_that_is_resumed_goes_on_counting(tmp_path):
    def train(epochs, resume=False):
        monitor = CollapseMonitor(toy_batches(40)[0], patience=3, duplicates=1)
        return runs.train(
            repeating_gan(),
            toy_batches(16),
            folder=tmp_path / "run",
            epochs=epochs,
            sample_every=0,
            callbacks=[monitor],
            resume=resume,
            verbose=0,
        )

    train(2)
    with pytest.warns(UserWarning, match="epoch 3: the generator collapses"):
        train(3, resume=True)
    history = train(5, resume=True)  # warnings are errors: it was told already
    assert np.abs(history["diversity"]).max() < 0.4 and len(history["diversity"]) == 5
    header = (tmp_path / "run" / "history.csv").read_text().splitlines()[0]
    assert "diversity" in header and "duplicates" in header


# -- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"x": DATA[:1]}, "x: expected 2 examples or more; got 1"),
        ({"every": 0}, "every: expected 1 or more"),
        ({"patience": 0}, "patience: expected 1 or more"),
        ({"gradients": (1.0, 1.0)}, "gradients: expected .lowest, largest."),
    ],
)
def test_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        CollapseMonitor(**{"x": DATA, **options})


def test_what_cannot_be_watched():
    with pytest.raises(ValueError, match="makes no samples .* leave the monitor out"):
        watching(types.SimpleNamespace())
    with pytest.raises(ValueError, match="labels: of a conditional model"):
        watching(game(DATA, classes=2))
    with pytest.raises(ValueError, match="two examples that differ of some class"):
        watching(game(DATA, classes=40), labels=np.arange(40))
    with pytest.raises(ValueError, match="two examples that differ"):
        watching(game(DATA), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"like the samples \(4, 4, 1\); got \(16,\)"):
        check(watching(game(DATA), DATA.reshape(40, 16)))

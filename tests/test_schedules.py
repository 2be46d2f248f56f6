"""Schedules of a weight against the papers' formulas, and what a VAE makes of them."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

import keras_gen
from keras_gen.losses import free_bits
from keras_gen.schedules import Constant, Cyclical, Growth, WarmUp, schedule


def values(weight, steps):
    return [float(ops.convert_to_numpy(weight(step))) for step in steps]


def test_a_warm_up_rises_and_stays():
    found = values(WarmUp(10, end=2.0, start=1.0), [0, 5, 10, 99])
    np.testing.assert_allclose(found, [1.0, 1.5, 2.0, 2.0])


def test_cycles_begin_again():
    found = values(Cyclical(100, rise=0.5), [0, 25, 50, 99, 100, 125])
    np.testing.assert_allclose(found, [0.0, 0.5, 1.0, 1.0, 0.0, 0.5])


def test_a_config_names_a_schedule():
    assert schedule(0.5).end == 0.5
    made = schedule({"schedule": "cyclical", "steps": 8, "rise": 0.25})
    assert made.get_config() == {"steps": 8, "rise": 0.25, "end": 1.0, "start": 0.0}
    kept = WarmUp(3)
    assert schedule(kept) is kept


@pytest.mark.parametrize(
    "weight, message",
    [
        (-1.0, "a weight must not be negative; got -1.0"),
        ("warm_up", "a weight must be a number, a schedule of keras_gen.schedules, or a dict"),
        ({"schedule": "warmup"}, "schedule must be one of 'warm_up', 'cyclical'; got 'warmup'"),
        ({"schedule": "warm_up"}, "schedule 'warm_up': .*steps"),
        ({"schedule": "warm_up", "steps": 0}, "steps must be an integer of at least 1; got 0"),
        ({"schedule": "cyclical", "steps": 2, "rise": 0.0}, r"rise must be in \(0, 1\]; got 0.0"),
    ],
)
def test_what_is_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        schedule(weight)


def test_a_network_grows_stage_by_stage():
    """Three levels of two steps, fades of three: 2, then 3 + 2, then 3, and the last for good."""
    growth = Growth(3, stable_steps=2, fade_steps=3)
    assert growth.steps == 10
    stages = [(0, False)] * 2 + [(1, True)] * 3 + [(1, False)] * 2 + [(2, True)] * 3
    stages += [(2, False)] * 15
    shares = [1, 1, 1 / 4, 2 / 4, 3 / 4, 1, 1, 1 / 4, 2 / 4, 3 / 4] + [1] * 15
    assert [growth.stage(step) for step in range(25)] == stages
    np.testing.assert_allclose(values(growth.alpha, range(25)), shares)
    counter = keras.Variable(3, dtype="int32", trainable=False)
    assert float(ops.convert_to_numpy(growth.alpha(counter.value))) == 2 / 4


def test_one_level_never_grows():
    growth = Growth(1, stable_steps=2, fade_steps=3)
    assert growth.steps == 0
    assert {growth.stage(step) for step in range(9)} == {(0, False)}
    assert values(growth.alpha, range(9)) == [1.0] * 9


@pytest.mark.parametrize("steps", [0, -1, 2.0, True])
def test_steps_of_growth_that_are_refused(steps):
    for name in ("stable_steps", "fade_steps"):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1; got "):
            Growth(2, **{"stable_steps": 1, "fade_steps": 1, name: steps})


def vae(**options):
    network = keras_gen.networks.mlp
    return keras_gen.models.VAE(
        network((4,), (4,), units=()), network((2,), (4,), units=()), latent_dim=2, **options
    )


def test_the_kl_of_a_vae_warms_up_over_the_train_steps():
    """loss - reconstruction is beta * KL, beta the schedule's at the step taken."""
    model = vae(beta={"schedule": "warm_up", "steps": 4, "end": 2.0})
    model.compile("sgd")
    x = np.random.default_rng(0).uniform(size=(8, 4)).astype("float32")
    for step in range(6):
        model.reset_metrics()
        logs = {k: float(ops.convert_to_numpy(v)) for k, v in model.train_step(x).items()}
        beta = (logs["loss"] - logs["reconstruction"]) / logs["kl"]
        assert beta == pytest.approx(2.0 * min(step / 4, 1.0), abs=1e-3)
    tested = model.evaluate(x, verbose=0, return_dict=True)
    assert tested["loss"] == pytest.approx(tested["reconstruction"] + 2 * tested["kl"], rel=1e-4)


def test_a_model_with_a_schedule_is_saved(tmp_path):
    for beta in ({"schedule": "warm_up", "steps": 4}, Cyclical(6), Constant(2.0)):
        model = vae(beta=beta)
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        assert again._beta.get_config() == model._beta.get_config()


def test_free_bits_are_the_papers():
    mean = np.array([[0.0, 3.0], [0.2, -3.0]], "float32")
    deviation = np.array([[1.0, 0.5], [0.9, 0.5]])
    each = 0.5 * (deviation**2 + mean**2 - 1 - 2 * np.log(deviation))
    entropy = stats.norm(0, deviation).entropy()
    assert each[1, 0] == pytest.approx(
        0.5 * (np.log(2 * np.pi) + 0.2**2 + 0.9**2) - entropy[1, 0], rel=1e-5
    )
    kl = each.mean(0)
    for nats in (0.0, 0.5):
        found = float(ops.convert_to_numpy(free_bits(mean, 2 * np.log(deviation), nats)))
        assert found == pytest.approx(np.maximum(kl, nats).sum(), rel=1e-5)
    assert kl[0] < 0.5 < kl[1]

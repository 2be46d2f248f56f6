"""ACGAN: a step by hand, what an undecided discriminator pays, and who is told the class."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special
from toys import (
    Seen,
    assert_linear,
    assert_pulls_on,
    compiled,
    constant,
    number,
    numpy,
    random_linear,
    values,
)

from keras_gen.models import ACGAN

CLASSES, LATENT = 3, 2
RNG = np.random.default_rng(5)
REAL = RNG.normal(size=(4, 2)).astype("float32")
LABELS = np.array([2, 0, 1, 2], "int32")
ONE_HOT = np.eye(CLASSES)[LABELS]
LOG_3 = np.log(CLASSES)


def small(**options):
    networks = random_linear(LATENT + CLASSES, 2, 0), random_linear(2, 1 + CLASSES, 1)
    return ACGAN(*networks, latent_dim=LATENT, num_classes=CLASSES, **options)


def undecided(**options):
    generator, discriminator = random_linear(LATENT + CLASSES, 2, 0), constant(2, [0.0] * 4)
    return ACGAN(generator, discriminator, latent_dim=LATENT, num_classes=CLASSES, **options)


def slope(logits, source, weight):
    """Of a loss in the logits of one batch: `source` is that of the source's."""
    classes = special.softmax(logits[:, 1:], axis=1) - ONE_HOT
    return np.hstack([source(logits[:, :1]), weight * classes]) / len(logits)


def as_real(logits):
    """`d softplus(-s) / ds`."""
    return special.expit(logits) - 1


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_a_whole_train_step_by_hand(weight, k):
    """Gradient descent on `softplus(-s(x)) + softplus(s(G)) + weight (CE + CE)`, then on G's."""
    model = compiled(small(class_weight=weight, discriminator_steps=k), 0.2, 0.1)
    drawn = RNG.normal(size=(k + 1, 4, LATENT)).astype("float32")
    noise = iter(drawn)
    model.draw_noise = lambda x: ops.convert_to_tensor(next(noise))
    (g_kernel, g_bias), (kernel, bias) = values(model.generator), values(model.discriminator)
    given = [np.hstack([z, ONE_HOT]) for z in drawn]
    for inputs in given[:-1]:
        fake = inputs @ g_kernel + g_bias
        of_real = slope(REAL @ kernel + bias, as_real, weight)
        of_fake = slope(fake @ kernel + bias, special.expit, weight)
        kernel = kernel - 0.2 * (REAL.T @ of_real + fake.T @ of_fake)
        bias = bias - 0.2 * (of_real + of_fake).sum(0)
    fake = given[-1] @ g_kernel + g_bias
    of_image = slope(fake @ kernel + bias, as_real, weight) @ kernel.T
    logs = model.train_step((REAL, LABELS))
    assert_linear(model.discriminator, kernel, bias)
    g_kernel, g_bias = g_kernel - 0.1 * given[-1].T @ of_image, g_bias - 0.1 * of_image.sum(0)
    assert_linear(model.generator, g_kernel, g_bias)
    assert all(np.isfinite(number(value)) for value in logs.values())


@pytest.mark.parametrize("loss, generator", [("minimax", -1), ("non_saturating", 1)])
@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_undecided_it_pays_log_4_and_the_log_of_the_classes_twice(loss, generator, weight):
    """Equations 2 and 3 with all probabilities 1/2 and 1/classes."""
    model = compiled(undecided(adversarial_loss=loss, class_weight=weight))
    logs = model.train_step((REAL, LABELS))
    expected = {
        "discriminator_loss": np.log(4) + weight * 2 * LOG_3,
        "generator_loss": generator * np.log(2) + weight * LOG_3,
        "class_loss": 2 * LOG_3,
        "real_score": 0.5,
        "fake_score": 0.5,
    }
    for term, value in expected.items():
        assert number(logs[term]) == pytest.approx(value, rel=1e-6), term


def test_the_relativistic_generator_is_judged_beside_the_data():
    logs = compiled(undecided(adversarial_loss="relativistic")).train_step((REAL, LABELS))
    assert number(logs["generator_loss"]) == pytest.approx(np.log(2) + LOG_3, rel=1e-6)


def test_the_accuracies_are_the_shares_of_right_classes():
    """A discriminator that says class 2 of positive images and class 0 of others."""
    model = small()
    model.discriminator.set_weights([np.array([[9.0, -1, 0, 1], [9, 0, 0, 0]]), np.zeros(4)])
    model.generator.set_weights([np.zeros((5, 2)), np.array([1.0, 0.0])])
    real = np.array([[1.0, 0], [-2, 0], [-3, 0], [4, 0]], "float32")
    logs = compiled(model).train_step((real, LABELS))  # called 2, 0, 0, 2, and are 2, 0, 1, 2
    assert number(logs["real_accuracy"]) == 0.75
    assert number(logs["fake_accuracy"]) == 0.5  # all are called 2, and two are meant to be


def test_the_discriminators_objective_has_no_slope_in_the_generator():
    model, noise = small(), ops.zeros((4, LATENT))
    assert_pulls_on(
        model,
        lambda: model.discriminator_objective(
            ops.convert_to_tensor(REAL), noise, [], ops.convert_to_tensor(LABELS), True
        ),
        "discriminator",
    )


def test_the_generator_is_told_the_class_and_the_discriminator_is_not():
    given = {"generator": Seen(), "discriminator": Seen()}

    def watched(player, network):
        return keras.Sequential([keras.Input(network.input_shape[1:]), given[player], network])

    plain = small()
    networks = [watched(player, getattr(plain, player)) for player in given]
    model = ACGAN(*networks, latent_dim=LATENT, num_classes=CLASSES)
    compiled(model).train_step((REAL, LABELS))
    assert [x.shape for x in given["generator"].all] == [(4, 5)] * 2
    for x in given["generator"].all:
        np.testing.assert_array_equal(x[:, LATENT:], ONE_HOT)
    assert {x.shape for x in given["discriminator"].all} == {(4, 2)}
    np.testing.assert_array_equal(given["discriminator"].all[0], REAL)


@pytest.mark.parametrize("penalty, slopes", [("r1", 1), (["r1", "r2"], 2)])
def test_the_penalty_is_that_of_the_source(penalty, slopes):
    """A linear discriminator: its source has the slope (0.3, -0.4), its classes are steep."""
    kernel = np.hstack([[[0.3], [-0.4]], 7 * RNG.normal(size=(2, 3))])
    plain, paying = small(), small(penalty=penalty, penalty_weight=2.0)
    losses = []
    for model in (plain, paying):
        model.discriminator.set_weights([kernel, np.zeros(4)])
        losses.append(compiled(model).train_step((REAL, LABELS)))
    assert number(losses[1]["penalty"]) == pytest.approx(0.25 * slopes, rel=1e-5)
    difference = number(losses[1]["discriminator_loss"]) - number(losses[0]["discriminator_loss"])
    assert difference == pytest.approx(2.0 * 0.25 * slopes, rel=1e-3)
    assert "penalty" not in losses[0]


def test_samples_are_of_the_classes_asked_for():
    model = small()
    of_class = np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    model.generator.set_weights([np.vstack([np.zeros((2, 2)), of_class]), np.zeros(2)])
    assert numpy(model.sample(4, seed=0, labels=[2, 1]))[:, 0].tolist() == [4, 2, 4, 2]
    assert numpy(model.sample(4, seed=0))[:, 0].tolist() == [1, 2, 4, 1]


def test_sockets():
    assert ACGAN.sockets((28, 28, 1), latent_dim=100, num_classes=10) == {
        "generator": ((110,), (28, 28, 1)),
        "discriminator": ((28, 28, 1), (11,)),
    }


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_classes": 1}, "num_classes must be 2 or more; got 1"),
        ({"num_classes": None}, "num_classes must be 2 or more; got None"),
        (
            {"num_classes": 4},
            r"discriminator: expected 1 source \+ 4 classes = 5 numbers an example, .* "
            r"got \('batch', 4\)\. End it with 5 units",
        ),
        ({"class_weight": -1.0}, "class_weight must not be negative; got -1.0"),
        ({"discriminator_steps": 0}, "discriminator_steps must be 1 or more; got 0"),
        ({"penalty": "wgan-gp"}, "penalty: expected None or some of wgan_gp"),
        ({"penalty_weight": -1.0}, "penalty_weight must not be negative"),
        ({"adversarial_loss": "logistic"}, "adversarial loss: expected one of"),
    ],
)
def test_what_is_refused(options, message):
    networks = random_linear(LATENT + CLASSES, 2, 0), random_linear(2, 1 + CLASSES, 1)
    with pytest.raises(ValueError, match=message):
        ACGAN(*networks, **{"latent_dim": LATENT, "num_classes": CLASSES, **options})

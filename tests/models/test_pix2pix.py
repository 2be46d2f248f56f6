"""Pix2Pix: a whole step by hand, what each player sees, and what is translated."""

import keras
import numpy as np
import pytest
from keras import ops
from toys import Seen, linear, number, numpy

from keras_gen.models import Pix2Pix


def compiled(model, discriminator=0.0, generator=0.0):
    """With plain gradient descent at these rates."""
    rates = {"discriminator": discriminator, "generator": generator}
    model.compile({player: keras.optimizers.SGD(rate) for player, rate in rates.items()})
    return model


def linear_model(a=2.0, b=1.0, p=0.5, q=-0.25, c=0.1, **options):
    """`G(x) = a x + b`, `D(x, y) = p x + q y + c`, of pairs of single numbers."""
    generator, discriminator = linear([[a]], [b]), linear([[p], [q]], [c])
    return Pix2Pix(generator, discriminator, input_channels=1, **options)


PAIRS = np.array([[1.0, 4.0], [-1.0, 0.5], [2.0, -3.0]], "float32")


def test_a_whole_train_step_by_hand():
    """Least squares: first D on images of the old G, its loss halved, then G through the new D."""
    model = compiled(linear_model(adversarial_loss="least_squares", l1_weight=3.0), 0.1, 0.01)
    logs = model.train_step(PAIRS)
    a, b, p, q, c = 2.0, 1.0, 0.5, -0.25, 0.1
    x, y = PAIRS.astype("float64").T
    fake = a * x + b
    real_logit, fake_logit = p * x + q * y + c, p * x + q * fake + c
    # Mao et al. 2017, equation 9, halved: (real - 1)^2 / 4 + fake^2 / 4.
    d_loss = np.mean((real_logit - 1) ** 2 + fake_logit**2) / 4
    p -= 0.1 * np.mean((real_logit - 1) * x + fake_logit * x) / 2
    q -= 0.1 * np.mean((real_logit - 1) * y + fake_logit * fake) / 2
    c -= 0.1 * np.mean((real_logit - 1) + fake_logit) / 2
    np.testing.assert_allclose(model.discriminator.get_weights()[0][:, 0], [p, q], rtol=1e-5)
    np.testing.assert_allclose(model.discriminator.get_weights()[1], [c], rtol=1e-5)
    assert number(logs["discriminator_loss"]) == pytest.approx(d_loss, rel=1e-5)
    fake_logit = p * x + q * fake + c
    l1 = np.mean(np.abs(y - fake))
    g_loss = np.mean((fake_logit - 1) ** 2) / 2 + 3.0 * l1
    assert number(logs["generator_loss"]) == pytest.approx(g_loss, rel=1e-5)
    assert number(logs["l1"]) == pytest.approx(l1, rel=1e-5)
    slope = (fake_logit - 1) * q + 3.0 * np.sign(fake - y)
    a, b = a - 0.01 * np.mean(slope * x), b - 0.01 * np.mean(slope)
    np.testing.assert_allclose(np.ravel(model.generator.get_weights()[0]), [a], rtol=1e-5)
    np.testing.assert_allclose(model.generator.get_weights()[1], [b], rtol=1e-5)


@pytest.mark.parametrize("loss, paid", [("non_saturating", 2), ("relativistic", 1)])
def test_an_undecided_discriminator_pays_log_2_a_judgement_and_the_generator_its_l1(loss, paid):
    """Equations 1 and 4 with D = 1/2 everywhere: half of log 4, and log 2 + 100 L1.

    A relativistic one judges pairs of real and fake, and once.
    """
    model = compiled(linear_model(p=0.0, q=0.0, c=0.0, adversarial_loss=loss))
    logs = {name: number(value) for name, value in model.train_step(PAIRS).items()}
    assert logs["discriminator_loss"] == pytest.approx(paid * np.log(2) / 2, rel=1e-6)
    l1 = np.mean(np.abs(PAIRS[:, 1] - 2 * PAIRS[:, 0] - 1))
    assert logs["generator_loss"] == pytest.approx(np.log(2) + 100 * l1, rel=1e-5)
    assert logs["real_score"] == logs["fake_score"] == 0.5


def test_without_l1_it_is_the_bare_conditional_gan():
    model = compiled(linear_model(p=0.0, q=0.0, c=0.0, l1_weight=0.0))
    logs = model.train_step(PAIRS)
    assert number(logs["generator_loss"]) == pytest.approx(np.log(2), rel=1e-6)


def test_the_discriminator_sees_the_input_beside_the_target_and_the_translation():
    seen = Seen()
    discriminator = keras.Sequential(
        [keras.Input((2, 2, 3)), seen, keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    generator = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Conv2D(2, 1)])
    generator.set_weights([np.array([2.0, 3.0]).reshape(1, 1, 1, 2), np.array([0.5, -0.5])])
    model = Pix2Pix(generator, discriminator, input_channels=1)
    pairs = np.random.default_rng(0).uniform(size=(4, 2, 2, 3)).astype("float32")
    model.discriminator_objective(ops.convert_to_tensor(pairs), False)
    real, fake = seen.all
    np.testing.assert_array_equal(real, pairs)
    np.testing.assert_array_equal(fake[..., :1], pairs[..., :1])
    np.testing.assert_allclose(fake[..., 1:], pairs[..., :1] * [2, 3] + [0.5, -0.5], rtol=1e-5)


def test_a_map_of_patches_is_averaged():
    """Section 3.2.2: all responses are averaged to the output of D."""

    def judged(logits):
        discriminator = keras.Sequential([keras.Input((2, 2, 2)), keras.layers.Conv2D(1, 1)])
        discriminator.set_weights([np.array(logits).reshape(1, 1, 2, 1), np.zeros(1)])
        generator = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Conv2D(1, 1)])
        return Pix2Pix(generator, discriminator, input_channels=1, adversarial_loss="wasserstein")

    pairs = np.random.default_rng(0).normal(size=(5, 2, 2, 2)).astype("float32")
    model = judged([0.0, 1.0])
    loss, _ = model.discriminator_objective(ops.convert_to_tensor(pairs), False)
    made = numpy(model.translate(pairs[..., :1]))
    assert number(loss) == pytest.approx((made.mean() - pairs[..., 1].mean()) / 2, rel=1e-4)


def test_dropout_acts_in_training_and_not_where_images_are_translated():
    generator = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dropout(0.5), linear(np.eye(2), [0, 0])]
    )
    model = compiled(Pix2Pix(generator, linear(np.ones((4, 1)), [0.0]), input_channels=2))
    x = np.ones((6, 2), "float32")
    np.testing.assert_array_equal(numpy(model.translate(x)), x)
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)
    pairs = np.concatenate([x, x], axis=1)
    # A unit is dropped or doubled: either way it is 1 off.
    assert number(model.train_step(pairs)["l1"]) == pytest.approx(1.0)
    model.reset_metrics()
    assert number(model.test_step(pairs)["l1"]) == 0.0


def test_the_averaged_generator_translates():
    """From `2 x + 1` one step with gradient descent; the average goes a quarter of the way."""
    model = compiled(linear_model(ema=0.75), generator=0.1)
    model.train_on_batch(PAIRS)
    a, b = (np.ravel(w)[0] for w in model.generator.get_weights())
    assert a != 2.0 and b != 1.0
    expected = (2 + (a - 2) / 4) * PAIRS[:, :1] + 1 + (b - 1) / 4
    np.testing.assert_allclose(numpy(model.translate(PAIRS[:, :1])), expected, rtol=1e-5)


def test_samples_are_translations_of_inputs_drawn_by_the_seed():
    model = linear_model()
    inputs = np.arange(10.0, dtype="float32")[:, None]
    samples = numpy(model.sample(10, seed=1, inputs=inputs))
    assert sorted(samples[:, 0]) == [2 * x + 1 for x in range(10)]
    assert samples[:, 0].tolist() != sorted(samples[:, 0])
    twice = numpy(model.sample(20, seed=1, inputs=inputs))[:, 0]
    assert sorted(twice) == sorted([2 * x + 1 for x in range(10)] * 2)
    with pytest.raises(ValueError, match="^inputs: Pix2Pix translates images and makes none of"):
        model.sample(4)
    with pytest.raises(ValueError, match="takes none"):
        model.sample(4, labels=[0], inputs=inputs)


def test_sockets():
    assert Pix2Pix.sockets((64, 48, 4), input_channels=1) == {
        "generator": ((64, 48, 1), (64, 48, 3)),
        "discriminator": ((64, 48, 4), (None, None, 1)),
    }
    with pytest.raises(ValueError, match="input_channels: expected 1 to 3 of a pair's 4 channels"):
        Pix2Pix.sockets((8, 8, 4), input_channels=4)


def test_what_is_refused():
    with pytest.raises(ValueError, match="discriminator: expected one number .*; got .*3"):
        Pix2Pix(linear([[1.0]], [0.0]), linear(np.ones((2, 3)), np.zeros(3)), input_channels=1)
    with pytest.raises(ValueError, match="l1_weight must not be negative; got -1.0"):
        linear_model(l1_weight=-1.0)
    with pytest.raises(ValueError, match="adversarial loss: expected one of"):
        linear_model(adversarial_loss="logistic")

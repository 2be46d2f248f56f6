"""Gradient penalties against closed forms: what they cost, and where they look."""

import keras
import numpy as np
import pytest
from keras import ops
from toys import constant, linear, number, numpy

from keras_gen import engine
from keras_gen.models import GAN
from keras_gen.models.adversarial.penalties import PENALTIES, penalties_named

ONE_CENTRED, ZERO_CENTRED = ("wgan_gp", "dragan"), ("r1", "r2", "zero_centred")
RNG = np.random.default_rng(3)
REAL, FAKE = RNG.normal(size=(2, 5, 4)).astype("float32")
MIX, JITTER = RNG.uniform(size=(5, 1)).astype("float32"), RNG.normal(size=(5, 4)).astype("float32")


def penalty_of(name, discriminator, real=REAL, fake=FAKE):
    penalty = PENALTIES[name]
    noise = {"mix": MIX, "jitter": JITTER, None: None}[penalty.noise]
    tensors = (None if a is None else ops.convert_to_tensor(a) for a in (real, fake, noise))
    value = penalty(discriminator, *tensors)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    return numpy(value)


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("slope", [0.0, 0.5, 2.0])
def test_of_a_linear_critic(name, slope):
    """`D(x) = w . x`: the slope is w everywhere, `|w|**2` or `(|w| - 1)**2` whatever x is."""
    w = np.array([[3.0], [0.0], [-4.0], [0.0]], "float32") * (slope / 5)
    expected = slope**2 if name in ZERO_CENTRED else (slope - 1) ** 2
    np.testing.assert_allclose(
        penalty_of(name, lambda x: x @ ops.convert_to_tensor(w)), expected, rtol=1e-5, atol=1e-9
    )


@pytest.mark.parametrize("name", PENALTIES)
def test_where_it_looks(name):
    """`D(x) = |x|**2 / 2`: the slope is x itself, so the penalty shows where it was taken."""
    places = {
        "wgan_gp": MIX * REAL + (1 - MIX) * FAKE,
        "zero_centred": MIX * REAL + (1 - MIX) * FAKE,
        "dragan": REAL + 0.5 * REAL.std() * JITTER,
        "r1": REAL,
        "r2": FAKE,
    }
    squares = (places[name].astype("float64") ** 2).sum(axis=1)
    expected = squares if name in ZERO_CENTRED else (np.sqrt(squares) - 1) ** 2
    found = penalty_of(name, lambda x: 0.5 * ops.sum(x**2, axis=1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_map_of_patches_is_summed(name):
    """Two patches that read the same: twice the slope of one."""
    w = ops.convert_to_tensor(np.ones((4, 2), "float32"))
    found = penalty_of(name, lambda x: ops.reshape(x @ w, (5, 1, 2, 1)))
    expected = 16.0 if name in ZERO_CENTRED else 9.0  # |(2, 2, 2, 2)| = 4
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ONE_CENTRED)
def test_a_flat_critic_has_a_finite_slope_of_its_penalty(name):
    """`(|w| - 1)**2` has no derivative at w = 0: NaN unless taken care of."""
    critic = linear(np.zeros((4, 1)), [0.0])
    _, gradients = engine.value_and_grad(
        lambda: (
            ops.mean(
                PENALTIES[name](
                    critic,
                    *map(
                        ops.convert_to_tensor,
                        (REAL, FAKE, MIX if name == "wgan_gp" else JITTER),
                    ),
                )
            ),
            {},
        ),
        critic.trainable_variables,
    )
    assert all(np.isfinite(numpy(gradient)).all() for gradient in gradients)


@pytest.mark.parametrize("penalty, sum_of_slopes", [("r1", 1), (["r1", "r2"], 2), (["r2"], 1)])
@pytest.mark.parametrize("loss", ["hinge", "relativistic", "wasserstein"])
def test_a_gan_adds_them_to_its_loss(loss, penalty, sum_of_slopes):
    """A linear critic of slope w: each penalty is `|w|**2`, and its weight multiplies the sum."""
    critic = linear([[0.3], [-0.4]], [0.1])
    generator = constant(3, [1.0, 2.0])
    x = np.array([[0.0, 0.0], [2.0, 1.0]], "float32")

    def logs(**options):
        model = GAN(generator, critic, latent_dim=3, adversarial_loss=loss, **options)
        sgd = {player: keras.optimizers.SGD(0.0) for player in ("generator", "discriminator")}
        model.compile(sgd)
        return {term: number(value) for term, value in model.train_step(x).items()}

    plain, paying = logs(), logs(penalty=penalty, penalty_weight=3.0)
    assert paying["penalty"] == pytest.approx(0.25 * sum_of_slopes, rel=1e-5)
    assert paying["discriminator_loss"] == pytest.approx(
        plain["discriminator_loss"] + 3.0 * paying["penalty"], rel=1e-5
    )
    assert paying["generator_loss"] == pytest.approx(plain["generator_loss"], rel=1e-6)


class Counted(keras.layers.Layer):
    """Hands its input on, and counts how often it was called on an example."""

    times = 0

    def call(self, x):
        self.times += 1
        return x


@pytest.mark.every_backend
@pytest.mark.parametrize("penalty", ["r1", ["r2"], ["r1", "r2"], ["zero_centred", "r2"]])
def test_a_slope_at_data_or_samples_shares_the_pass_that_judges_them(penalty):
    """Loss and gradients are those of passes of their own, as `Penalty` takes them; only those
    between data and samples still need one."""
    keras.utils.set_random_seed(0)
    counted = Counted()
    layers = [keras.layers.Dense(7, activation="tanh"), keras.layers.Dense(1)]
    critic = keras.Sequential([keras.Input((2,)), counted, *layers])
    options = {"latent_dim": 3, "penalty": penalty, "penalty_weight": 3.0}
    model = GAN(constant(3, [1.0, 2.0]), critic, **options)
    x = ops.convert_to_tensor(REAL[:, :2])
    noise, places = model.draw_noise(x), model.draw_places(x)
    counted.times = 0
    (loss, aux), gradients = engine.value_and_grad(
        lambda: model.discriminator_objective(x, noise, places, None, True),
        critic.trainable_variables,
    )
    assert counted.times == 2 + ("zero_centred" in penalty)

    def apart():
        fake = model.generate(noise)
        paid = sum(
            ops.mean(each(critic, x, fake, place))
            for each, place in zip(penalties_named(penalty), places, strict=True)
        )
        losses = ops.softplus(-critic(x)) + ops.softplus(critic(fake))
        return ops.mean(losses) + 3.0 * paid, {"penalty": paid}

    (expected, plain), by = engine.value_and_grad(apart, critic.trainable_variables)
    assert number(loss) == pytest.approx(number(expected), rel=1e-5)
    assert number(aux["penalty"]) == pytest.approx(number(plain["penalty"]), rel=1e-5)
    for found, wanted in zip(gradients, by, strict=True):
        np.testing.assert_allclose(numpy(found), numpy(wanted), rtol=1e-4, atol=1e-6)


@pytest.mark.every_backend
@pytest.mark.parametrize("jit", [False, True], ids=["plain", "jit"])
def test_a_lazy_penalty_is_paid_every_so_many_steps_for_all_of_them(jit):
    """A critic `w . x` under R1 alone, the data being 0: `w <- w (1 - 2 rate weight period)` in
    steps 0 and 3; what is logged is a mean over all steps."""
    critic = linear([[0.3], [-0.4]], [0.0])
    generator = constant(3, [0.0, 0.0])
    options = {"adversarial_loss": "wasserstein", "penalty": "r1", "penalty_weight": 0.5}
    model = GAN(generator, critic, latent_dim=3, penalty_every=3, **options)
    rates = {"generator": 0.0, "discriminator": 0.1}
    optimizers = {player: keras.optimizers.SGD(rate) for player, rate in rates.items()}
    model.compile(optimizers, jit_compile=jit)
    x = np.zeros((5, 2), "float32")
    history = model.fit(x, batch_size=1, verbose=0).history
    shrink = 1 - 2 * 0.1 * 0.5 * 3
    np.testing.assert_allclose(
        numpy(critic.get_weights()[0])[:, 0], [0.3 * shrink**2, -0.4 * shrink**2], rtol=1e-5
    )
    paid = 3 * (0.25 + 0.25 * shrink**2) / 5
    assert history["penalty"][0] == pytest.approx(paid, rel=1e-5)
    judged = model.evaluate(x, verbose=0, return_dict=True)["penalty"]
    assert judged == pytest.approx(0.25 * shrink**4, rel=1e-5)


def test_each_penalty_draws_its_own_noise():
    model = GAN(constant(3, [1.0, 2.0]), linear([[0.3], [-0.4]], [0.1]), latent_dim=3)
    assert model.draw_places(ops.zeros((4, 2))) == []
    options = {"penalty": ["wgan_gp", "dragan", "zero_centred", "r1"]}
    model = GAN(model.generator, model.discriminator, latent_dim=3, **options)
    mix, jitter, other, none = model.draw_places(ops.zeros((4, 2)))
    assert mix.shape == other.shape == (4, 1) and jitter.shape == (4, 2) and none is None
    assert not np.array_equal(numpy(mix), numpy(other))


def test_lookup():
    assert penalties_named(None) == ()
    assert penalties_named("r1") == (PENALTIES["r1"],)
    assert [p.name for p in penalties_named(["r2", "dragan"])] == ["r2", "dragan"]
    with pytest.raises(ValueError, match="None or some of wgan_gp, dragan, r1.*got 'r3'"):
        penalties_named(["r1", "r3"])

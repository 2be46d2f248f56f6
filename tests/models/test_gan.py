"""The adversarial game: its steps in closed form, and what toy code gets wrong about them."""

import keras
import numpy as np
import pytest
from keras import ops
from toys import Seen, compiled, constant, linear, number, numpy, values

from keras_gen import engine
from keras_gen.models import GAN

LOSSES = ("minimax", "non_saturating", "least_squares", "hinge", "wasserstein", "relativistic")
PLAYERS = ("discriminator", "generator")


def small(inputs, outputs):
    layers = [keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(outputs)]
    return keras.Sequential([keras.Input((inputs,)), *layers])


def equal(first, second):
    return [np.array_equal(a, b) for a, b in zip(first, second, strict=True)]


class Game:
    """A small GAN with fixed noise, and each player's objective, gradient and variables."""

    def __init__(self, loss, seed=0, **rates):
        rng = np.random.default_rng(seed)
        self.model = GAN(small(3, 2), small(2, 1), latent_dim=3, adversarial_loss=loss)
        self.real = rng.normal([2.0, -1.0], 0.5, (16, 2)).astype("float32")
        noise = ops.convert_to_tensor(rng.normal(size=(16, 3)).astype("float32"))
        self.noise = noise
        self.model.draw_noise = lambda x: noise
        compiled(self.model, **rates)

    def objective(self, player):
        real = ops.convert_to_tensor(self.real)
        if player == "generator":
            return self.model.generator_objective(real, self.noise, None, True)
        return self.model.discriminator_objective(real, self.noise, None, None, True)

    def loss(self, player):
        return number(self.objective(player)[0])

    def gradient(self, player, of):
        """Of a player's objective, with respect to the variables of a network."""
        variables = getattr(self.model, of).trainable_variables
        _, gradients = engine.value_and_grad(lambda: self.objective(player), variables)
        return np.concatenate([np.ravel(numpy(g)) for g in gradients])


# -- One step, by hand ----------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3])
def test_a_whole_train_step_by_hand(k):
    """Wasserstein, `D(x) = a x + c` and `G(z) = g`: `a += rate (mean(x) - g)`, then `g += rate a`.

    What a step could do wrong moves these numbers: a generator that sees real images, a
    discriminator step that moves the generator too, a step against the sign, a generator that
    learns from the discriminator of before, a step too many.
    """
    a, g = np.array([0.5, -1.0]), np.array([2.0, 3.0])
    generator, critic = constant(3, g), linear(a[:, None], [0.25])
    options = {"adversarial_loss": "wasserstein", "discriminator_steps": k}
    model = compiled(GAN(generator, critic, latent_dim=3, **options), 0.1, 0.01)
    real = np.array([[1.0, 4.0], [3.0, -1.0]], "float32")
    logs = model.train_step(real)
    mean = real.mean(0)
    a_last = a + 0.1 * (k - 1) * (mean - g)
    a_new = a + 0.1 * k * (mean - g)
    np.testing.assert_allclose(values(critic)[0][:, 0], a_new, rtol=1e-5)
    np.testing.assert_allclose(values(critic)[1], [0.25])
    np.testing.assert_allclose(values(generator)[1], g + 0.01 * a_new, rtol=1e-5)
    assert number(logs["discriminator_loss"]) == pytest.approx(a_last @ (g - mean), rel=1e-5)
    assert number(logs["generator_loss"]) == pytest.approx(-a_new @ g - 0.25, rel=1e-5)
    steps = [int(number(model.optimizer[player].iterations)) for player in PLAYERS]
    assert steps == [k, 1] and int(number(model.optimizer.iterations)) == 1


def test_every_player_and_step_draws_its_own_noise():
    model = compiled(GAN(small(3, 2), small(2, 1), latent_dim=3, discriminator_steps=2))
    draw, drawn = model.draw_noise, []

    def watched(x):
        drawn.append(numpy(draw(x)))
        return ops.convert_to_tensor(drawn[-1])

    model.draw_noise = watched
    model.train_step(np.zeros((4, 2), "float32"))
    assert len(drawn) == 3 and all(noise.shape == (4, 3) for noise in drawn)
    assert len({noise.tobytes() for noise in drawn}) == 3


# -- What toy code gets wrong ---------------------------------------------------------------------


def test_the_generator_never_sees_the_real_images():
    """Where the discriminator does not learn, other data change nothing for the generator."""
    results = []
    for offset in (0.0, 7.0):
        keras.utils.set_random_seed(1)
        game = Game("non_saturating", generator=0.1)
        before = values(game.model.generator)
        game.model.train_step(game.real + offset)
        results.append(values(game.model.generator))
        assert not any(equal(before, results[-1]))
    assert all(equal(*results))


@pytest.mark.parametrize("player, other", [PLAYERS, PLAYERS[::-1]])
def test_a_players_step_moves_no_other_player(player, other):
    game = Game("non_saturating", **{player: 0.1})
    before = {name: values(getattr(game.model, name)) for name in PLAYERS}
    game.model.train_step(game.real)
    after = {name: values(getattr(game.model, name)) for name in PLAYERS}
    assert not any(equal(before[player], after[player]))
    assert all(equal(before[other], after[other]))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_discriminators_objective_has_no_slope_in_the_generator(loss):
    game = Game(loss)
    assert np.all(game.gradient("discriminator", of="generator") == 0.0)
    assert np.any(game.gradient("discriminator", of="discriminator") != 0.0)
    assert np.any(game.gradient("generator", of="generator") != 0.0)


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_small_step_lowers_a_players_objective_by_rate_times_slope_squared(loss, player):
    rate = 3e-3
    game = Game(loss, **{player: rate})
    before, gradient = game.loss(player), game.gradient(player, of=player)
    logs = game.model.train_step(game.real)
    assert all(np.isfinite(number(value)) for value in logs.values())
    assert number(logs[f"{player}_loss"]) == pytest.approx(before, rel=1e-4)
    expected = -rate * gradient @ gradient
    assert game.loss(player) - before == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_players_pull_against_each_other(loss):
    """The discriminator's step tells real from fake better, the generator's makes it harder."""

    def margin(game):
        _, scores = game.objective("discriminator")
        return number(scores["real_score"]) - number(scores["fake_score"])

    changes = {}
    for player in PLAYERS:
        keras.utils.set_random_seed(4)
        game = Game(loss, **{player: 0.01})
        before = margin(game)
        game.model.train_step(game.real)
        changes[player] = margin(game) - before
    assert changes["discriminator"] > 1e-5 and changes["generator"] < -1e-5


# -- The value of the game ------------------------------------------------------------------------


@pytest.mark.parametrize("loss, generator", [("minimax", -1), ("non_saturating", 1)])
def test_at_the_optimum_the_discriminator_pays_log_4(loss, generator):
    """Goodfellow et al. 2014, theorem 1: D = 1/2 everywhere, and the criterion is -log 4."""
    undecided = constant(2, [0.0])
    model = GAN(small(3, 2), undecided, latent_dim=3, adversarial_loss=loss)
    x = np.ones((8, 2), "float32")
    logs = compiled(model).train_step(x)
    assert number(logs["discriminator_loss"]) == pytest.approx(np.log(4), rel=1e-6)
    assert number(logs["generator_loss"]) == pytest.approx(generator * np.log(2), rel=1e-6)
    assert number(logs["real_score"]) == number(logs["fake_score"]) == 0.5


def test_the_best_discriminator_is_the_ratio_of_the_densities():
    """Goodfellow et al. 2014, proposition 1; equation 5: it pays log 4 - 2 JSD.

    Real data are 0 three times in four and else 1, generated ones always 1: D(0) = 1 and
    D(1) = (1/4) / (1/4 + 1) = 1/5. Its logits -log 4 at 1 and (as good as) 30 at 0 have no slope.
    """
    critic = linear([[-np.log(4) - 30]], [30.0])
    model = GAN(linear([[0.0]], [1.0]), critic, latent_dim=1)
    real = ops.convert_to_tensor(np.array([[0], [0], [0], [1]], "float32"))
    noise = ops.zeros((4, 1))
    (loss, _), gradients = engine.value_and_grad(
        lambda: model.discriminator_objective(real, noise, None, None, True),
        critic.trainable_variables,
    )
    p, q = np.array([0.75, 0.25]), np.array([0.0, 1.0])
    m = (p + q) / 2
    divergence = 0.5 * (p @ np.log(p / m) + np.log(q[1] / m[1]))
    assert number(loss) == pytest.approx(np.log(4) - 2 * divergence, rel=1e-5)
    for gradient in gradients:
        np.testing.assert_allclose(numpy(gradient), 0.0, atol=1e-6)


# -- Labels ---------------------------------------------------------------------------------------


def test_both_networks_of_a_conditional_gan_are_told_the_class():
    """Mirza & Osindero 2014, equation 2: real and generated images under the same labels."""
    given = {player: Seen() for player in PLAYERS}
    generator = keras.Sequential(
        [
            keras.Input((5,)),
            given["generator"],
            linear(np.vstack([np.zeros((2, 4)), np.outer([1, 2, 4], np.ones(4))]), np.zeros(4)),
            keras.layers.Reshape((2, 2, 1)),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((2, 2, 4)),
            given["discriminator"],
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    model = GAN(generator, discriminator, latent_dim=2, num_classes=3)
    x = np.random.default_rng(0).uniform(size=(2, 2, 2, 1)).astype("float32")
    labels = ops.convert_to_tensor(np.array([2, 0], "int32"))
    noise = np.array([[0.5, -1.0], [2.0, 3.0]], "float32")
    model.discriminator_objective(
        ops.convert_to_tensor(x), ops.convert_to_tensor(noise), None, labels, False
    )
    one_hot = np.array([[0, 0, 1], [1, 0, 0]])
    (to_generator,), (real, fake) = given["generator"].all, given["discriminator"].all
    np.testing.assert_array_equal(to_generator, np.hstack([noise, one_hot]))
    np.testing.assert_array_equal(real[..., :1], x)
    np.testing.assert_array_equal(fake[:, 0, 0, 0], [4, 1])
    planes = np.broadcast_to(one_hot[:, None, None], (2, 2, 2, 3))
    np.testing.assert_array_equal(real[..., 1:], planes)
    np.testing.assert_array_equal(fake[..., 1:], planes)
    samples = numpy(model.sample(4, seed=0, labels=[2, 1]))
    assert samples[:, 0, 0, 0].tolist() == [4, 2, 4, 2]


# -- Averages and construction --------------------------------------------------------------------


def test_samples_come_from_the_averaged_generator():
    model = GAN(constant(3, [1.0, 1.0]), small(2, 1), latent_dim=3, ema=0.75)
    compiled(model)
    model.generator.set_weights([np.zeros((3, 2)), np.array([5.0, 9.0])])
    model.train_step(np.zeros((4, 2), "float32"))
    np.testing.assert_allclose(numpy(model.sample(1))[0], [2.0, 3.0], rtol=1e-6)
    generated = model.generate(ops.zeros((1, 3)))
    np.testing.assert_allclose(numpy(generated)[0], [5.0, 9.0], rtol=1e-6)


def test_sockets():
    assert GAN.sockets((64, 64, 3), latent_dim=100) == {
        "generator": ((100,), (64, 64, 3)),
        "discriminator": ((64, 64, 3), (1,)),
    }
    assert GAN.sockets((64, 64, 3), latent_dim=100, num_classes=10) == {
        "generator": ((110,), (64, 64, 3)),
        "discriminator": ((64, 64, 13), (1,)),
    }


@pytest.mark.parametrize(
    "options, message",
    [
        ({"discriminator_steps": 0}, "discriminator_steps must be 1 or more; got 0"),
        ({"adversarial_loss": "logistic"}, "adversarial loss: expected one of .* got 'logistic'"),
        ({"penalty": "wgan-gp"}, "penalty: expected None or some of wgan_gp.* got 'wgan-gp'"),
        ({"penalty_weight": -1.0}, "penalty_weight must not be negative; got -1.0"),
        ({"weight_clipping": 0.0}, "weight_clipping must be above 0; got 0.0"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\); got 1.0"),
        (
            {"label_smoothing": 0.1, "adversarial_loss": "hinge"},
            "the loss 'hinge' has no target for data",
        ),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GAN(small(1, 1), small(1, 1), latent_dim=1, **options)


def test_a_discriminator_gives_one_number_or_a_map_of_them():
    with pytest.raises(ValueError, match=r"discriminator: expected one number .* \('batch', 2\)"):
        GAN(small(1, 1), small(1, 2), latent_dim=1)
    patches = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 4, 2)])
    GAN(small(1, 1), patches, latent_dim=1)


def test_weights_are_clipped_after_each_discriminator_step():
    """Wasserstein, `D(x) = a x + c`: `a += rate (mean(x) - g)`, then into [-0.3, 0.3]."""
    critic, generator = linear([[0.25], [-0.1]], [2.0]), constant(3, [0.0, 0.0])
    options = {"adversarial_loss": "wasserstein", "weight_clipping": 0.3}
    model = compiled(GAN(generator, critic, latent_dim=3, **options), 0.1)
    model.train_step(np.array([[2.0, 1.0], [2.0, 1.0]], "float32"))
    kernel, bias = values(critic)
    np.testing.assert_allclose(kernel[:, 0], [0.3, 0.0], atol=1e-6)
    np.testing.assert_allclose(bias, [0.3], rtol=1e-6)


def test_smoothed_labels_move_the_best_discriminator():
    """Salimans et al. 2016, section 3.4: the best D is `t p(data) / (p(data) + p(model))`."""
    target = 0.9
    best = np.log(target / (2 - target))  # logit of t / 2, data and samples being alike
    critic = constant(2, [best])
    model = GAN(constant(1, [0.0, 0.0]), critic, latent_dim=1, label_smoothing=1 - target)
    _, gradients = engine.value_and_grad(
        lambda: model.discriminator_objective(ops.ones((4, 2)), ops.zeros((4, 1)), [], None, True),
        critic.trainable_variables,
    )
    np.testing.assert_allclose(numpy(gradients[1]), 0.0, atol=1e-6)


def test_the_relativistic_generator_is_judged_beside_the_data():
    """Undecided, both players pay log 2 whatever the discriminator's bias."""
    model = GAN(small(3, 2), constant(2, [5.0]), latent_dim=3, adversarial_loss="relativistic")
    logs = compiled(model).train_step(np.ones((8, 2), "float32"))
    for player in PLAYERS:
        assert number(logs[f"{player}_loss"]) == pytest.approx(np.log(2), rel=1e-6)


def test_the_norms_of_the_gradients():
    """Wasserstein, `D(x) = a x + c` and `G(z) = g`: `|mean(x) - g|`, and `|a|` of the generator's
    bias beside `|a| |mean(z)|` of its kernel."""
    a, g = np.array([0.5, -1.0]), np.array([2.0, 3.0])
    model = GAN(
        constant(3, g), linear(a[:, None], [0.25]), latent_dim=3, adversarial_loss="wasserstein"
    )
    noise = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]], "float32")
    model.draw_noise = lambda x: ops.convert_to_tensor(noise)
    x = np.array([[1.0, 4.0], [3.0, -1.0]], "float32")
    norms = compiled(model).gradient_norms(x)
    assert number(norms["discriminator"]) == pytest.approx(np.linalg.norm(x.mean(0) - g), rel=1e-5)
    expected = np.linalg.norm(a) * np.sqrt(1 + np.square(noise.mean(0)).sum())
    assert number(norms["generator"]) == pytest.approx(expected, rel=1e-5)


# -- What the discriminator is shown --------------------------------------------------------------


def looking(**options):
    """A GAN of images whose discriminator keeps what it was shown."""
    seen = Seen()
    discriminator = keras.Sequential(
        [keras.Input((4, 4, 1)), seen, keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    generator = keras.Sequential(
        [keras.Input((2,)), linear(np.zeros((2, 16)), np.ones(16)), keras.layers.Reshape((4, 4, 1))]
    )
    model = compiled(GAN(generator, discriminator, latent_dim=2, **options))
    model.run_eagerly = True
    return model, seen


def test_data_and_samples_are_shown_changed_alike_in_training_only():
    model, seen = looking(augmentation="cutout", adversarial_loss="relativistic")
    x = np.full((64, 4, 4, 1), 0.5, "float32")
    model.train_step(x)
    real, fake, fake_again, real_again = seen.all
    for shown, level in ((real, 0.5), (fake, 1.0), (fake_again, 1.0), (real_again, 0.5)):
        assert set(np.unique(shown)) == {0.0, level}
        assert np.all((shown == 0).sum(axis=(1, 2, 3)) >= 1)  # a box of 2 x 2, or what is inside
    boxes = [(shown == 0).tobytes() for shown in seen.all]
    assert len(set(boxes)) == 4  # each showing has its own
    seen.all.clear()
    model.test_step(x)
    assert {float(shown.min()) for shown in seen.all} == {0.5, 1.0}


@pytest.mark.parametrize("logit, expected", [(1.0, 0.3), (-1.0, 0.0)])
def test_adaptive_changes_follow_the_sign_of_the_datas_logits(logit, expected):
    """Karras et al. 2020, equation 1: up by `batch / images` a step where r_t = 1 > 0.6."""
    model, _ = looking(augmentation="ada_color", ada_images=80)
    model.discriminator.layers[-1].set_weights([np.zeros((16, 1)), np.array([logit])])
    history = model.fit(np.zeros((24, 4, 4, 1), "float32"), batch_size=8, verbose=0).history
    assert number(model.augmentation_p) == pytest.approx(expected, rel=1e-5)
    assert history["augmentation_p"][0] == pytest.approx(2 / 3 * expected, rel=1e-5)
    judged = model.evaluate(np.zeros((8, 4, 4, 1), "float32"), verbose=0, return_dict=True)
    assert judged["augmentation_p"] == pytest.approx(expected, rel=1e-5)


# -- Sampling -------------------------------------------------------------------------------------


def test_truncated_noise_makes_the_samples():
    model = GAN(linear(np.eye(2), np.zeros(2)), small(2, 1), latent_dim=2)
    free, cut = (numpy(model.sample(4000, seed=1, truncation=t)) for t in (None, 0.5))
    assert np.abs(free).max() > 3 and np.abs(cut).max() <= 0.5
    assert cut.std() == pytest.approx(0.2832, abs=0.005)  # scipy.stats.truncnorm(-0.5, 0.5).std()


def test_standing_statistics_are_those_of_what_is_sampled():
    norm = keras.layers.BatchNormalization(epsilon=1e-5)
    generator = keras.Sequential([keras.Input((2,)), linear(3 * np.eye(2), np.ones(2)), norm])
    model = GAN(generator, small(2, 1), latent_dim=2, ema=0.9)
    model.standing_statistics(batches=200, batch_size=100, truncation=0.5)
    np.testing.assert_allclose(numpy(model.sample(4000, truncation=0.5)).std(), 1.0, atol=0.03)
    average = model.generator_average.layers[-1]
    np.testing.assert_allclose(numpy(average.moving_variance), 9 * 0.2832**2, rtol=0.03)
    np.testing.assert_array_equal(numpy(norm.moving_variance), 1.0)  # the other is as it was

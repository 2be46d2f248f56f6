"""StyleGAN: lengths of paths in closed form and by differences, mixed styles, truncation."""

import keras
import numpy as np
import pytest
from keras import ops
from toys import number, numpy, random_linear

from keras_gen import engine
from keras_gen.models import StyleGAN
from keras_gen.models.adversarial.path_length import path_lengths
from keras_gen.networks import style_discriminator, style_generator

LATENT, FEATURES, DEPTH, SHAPE = 3, 2, 4, (2, 2, 1)


def generator(seed=0, activation=None):
    """`w = z A`, `G = (w_1, ..., w_depth) B`, both linear unless B has an activation."""
    rng = np.random.default_rng(seed)
    mapping = keras.Sequential(
        [keras.Input((LATENT,)), keras.layers.Dense(FEATURES, use_bias=False)], name="mapping"
    )
    synthesis = keras.Sequential(
        [
            keras.Input((DEPTH, FEATURES)),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation, use_bias=False),
            keras.layers.Reshape(SHAPE),
        ],
        name="synthesis",
    )
    for network in (mapping, synthesis):
        network.set_weights([rng.normal(size=w.shape) for w in network.get_weights()])
    z = keras.Input((LATENT,))
    return keras.Model(z, synthesis(keras.layers.RepeatVector(DEPTH)(mapping(z))))


def discriminator():
    return keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), random_linear(4, 1, 9)])


def model_of(activation=None, **options):
    options = {"ema": None, "penalty_every": 1, **options}
    networks = generator(activation=activation), discriminator()
    model = StyleGAN(*networks, latent_dim=LATENT, **options)
    rates = {"generator": 1e-3, "discriminator": 1e-3}
    model.compile({player: keras.optimizers.SGD(rate) for player, rate in rates.items()})
    return model


def normal(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# -- Lengths of paths -----------------------------------------------------------------------------


def lengths_by_hand(model, directions):
    """`B y` of each layer: squares summed over a style's features, averaged over the layers."""
    kernel = model.generator.get_layer("synthesis").get_weights()[0].astype("float64")
    slopes = (directions.reshape(len(directions), -1) @ kernel.T).reshape(-1, DEPTH, FEATURES)
    return np.sqrt((slopes**2).sum(axis=2).mean(axis=1))


def test_the_length_of_a_linear_path_is_that_of_its_matrix():
    model, y = model_of(), normal(5, *SHAPE)
    found = path_lengths(model.synthesize, ops.convert_to_tensor(normal(5, DEPTH, FEATURES)), y)
    np.testing.assert_allclose(numpy(found), lengths_by_hand(model, y), rtol=1e-5)


def test_the_length_of_a_path_through_a_real_synthesis_against_finite_differences():
    network = style_generator((3,), (8, 8, 2), width=4, widest=8, features=3, mapping_layers=1)
    synthesis = network.get_layer("synthesis")
    rng = np.random.default_rng(0)
    for layer in synthesis.layers:  # noise of strength 0 and styles of scale 1 would hide much
        for variable in layer.trainable_variables:
            if variable.path.endswith(("bias", "strength")):
                variable.assign(numpy(variable) + 0.3 * rng.normal(size=variable.shape))
    w, y = normal(2, 4, 3), normal(2, 8, 8, 2, seed=2) / 8

    def along(styles):
        return (numpy(synthesis(styles)).astype("float64") * y).sum(axis=(1, 2, 3))

    slopes, step = np.zeros(w.shape), 1e-3
    for place in np.ndindex(w.shape[1:]):
        there = np.zeros_like(w)
        there[(slice(None), *place)] = step
        slopes[(slice(None), *place)] = (along(w + there) - along(w - there)) / (2 * step)
    expected = np.sqrt((slopes**2).sum(axis=2).mean(axis=1))
    found = path_lengths(synthesis, ops.convert_to_tensor(w), ops.convert_to_tensor(y))
    np.testing.assert_allclose(numpy(found), expected, rtol=1e-2)


def test_paths_pay_for_their_distance_from_a_mean_that_follows_them():
    """Equation 4, its a by appendix B; one step in four pays, and that one fourfold."""
    model, y = model_of(path_length_every=4), normal(3, *SHAPE)
    styles = ops.convert_to_tensor(normal(6, DEPTH, FEATURES))
    lengths = lengths_by_hand(model, y)
    a = 0.01 * lengths.mean()
    terms = model.path_terms(model.synthesize, styles, y, training=True)
    assert number(terms["path_length"]) == pytest.approx(a, rel=1e-5)
    assert number(terms["path_penalty"]) == pytest.approx(4 * np.mean((lengths - a) ** 2), rel=1e-5)
    evaluated = model.path_terms(model.synthesize, styles, y, training=False)
    expected = np.mean((lengths - a) ** 2)
    assert number(evaluated["path_penalty"]) == pytest.approx(expected, rel=1e-5)
    assert number(model.path_length.value) == pytest.approx(a, rel=1e-5)
    for variable in model.optimizer.variables:
        if "iteration" in variable.path:
            variable.assign(1)
    unpaid = model.path_terms(model.synthesize, styles, y, training=True)
    assert number(unpaid["path_penalty"]) == 0.0
    assert number(unpaid["path_length"]) == pytest.approx(a, rel=1e-5)


def test_the_generators_gradient_is_the_slope_of_its_whole_loss():
    """By finite differences of each of its weights: fooling, and paths, which are slopes.

    Through a tanh the slope depends on the style, and so on the mapping.
    """
    model = model_of(activation="tanh", path_length_every=1)
    model.path_length.assign(1.0)
    real, y = ops.convert_to_tensor(normal(4, *SHAPE)), ops.convert_to_tensor(normal(2, *SHAPE))
    noise = [ops.convert_to_tensor(normal(4, LATENT, seed=s)) for s in (2, 3)]
    noise.append(ops.convert_to_tensor(np.array([1, 2, 4, 3], "int32")))
    variables = model.generator.trainable_variables

    def objective():
        return model.generator_objective(real, noise, y, False)

    _, gradients = engine.value_and_grad(objective, variables)
    step = 1e-2
    for variable, gradient in zip(variables, gradients, strict=True):
        start, slopes = numpy(variable), np.zeros(variable.shape)
        for place in np.ndindex(start.shape):
            losses = []
            for sign in (1, -1):
                moved = start.copy()
                moved[place] += sign * step
                variable.assign(moved)
                losses.append(number(objective()[0]))
            slopes[place] = (losses[0] - losses[1]) / (2 * step)
        variable.assign(start)
        np.testing.assert_allclose(numpy(gradient), slopes, rtol=2e-2, atol=2e-2)


def test_what_each_player_minimizes():
    """Both losses whole, of linear networks: softplus, `2 (|J^T y| - a)**2`, `5 |slope|**2`."""
    model = model_of(path_length_every=1)
    model.path_length.assign(1.0)
    real, y = normal(4, *SHAPE), normal(2, *SHAPE, seed=4)
    z, other, cut = normal(4, LATENT, seed=2), normal(4, LATENT, seed=3), [1, 2, 4, 3]
    noise = [ops.convert_to_tensor(each) for each in (z, other, cut)]
    a, b = (model.generator.get_layer(n).get_weights()[0] for n in ("mapping", "synthesis"))
    first = (np.arange(DEPTH) < np.array(cut)[:, None])[..., None]
    w = np.where(first, (z @ a)[:, None], (other @ a)[:, None])
    kernel, bias = model.discriminator.get_weights()
    fake_logits = w.reshape(4, -1) @ b @ kernel + bias
    real_logits = real.reshape(4, -1) @ kernel + bias
    real, directions = ops.convert_to_tensor(real), ops.convert_to_tensor(y)
    loss, _ = model.generator_objective(real, noise, directions, False)
    paths = np.mean((lengths_by_hand(model, y) - 1.0) ** 2)
    expected = np.mean(np.log1p(np.exp(-fake_logits))) + 2 * paths
    assert number(loss) == pytest.approx(expected, rel=1e-4)
    loss, _ = model.discriminator_objective(real, noise, [None], False)
    judged = np.mean(np.log1p(np.exp(-real_logits)) + np.log1p(np.exp(fake_logits)))
    assert number(loss) == pytest.approx(judged + 5 * np.sum(kernel**2), rel=1e-4)


def test_directions_are_of_half_of_the_batch_and_as_long_as_an_image_has_channels():
    y = numpy(model_of().draw_directions(np.zeros((4001, 3, 5, 2), "float32")))
    assert y.shape == (2001, 3, 5, 2)
    # 2,001 squares, each of mean 2 and deviation 2 * sqrt(2 / 30): five deviations of their mean.
    assert (y**2).sum(axis=(1, 2, 3)).mean() == pytest.approx(2.0, abs=0.06)


def test_paths_cost_nothing_where_their_weight_is_0():
    model = model_of(path_length_weight=0.0)
    assert model.draw_directions(normal(4, *SHAPE)) is None
    assert "path_penalty" not in model.train_step(normal(4, *SHAPE))


# -- Styles ---------------------------------------------------------------------------------------


def test_styles_before_the_cut_are_of_the_first_noise():
    model, cut = model_of(), [1, 3, DEPTH]
    first, second = normal(3, LATENT, seed=2), normal(3, LATENT, seed=3)
    kernel = model.generator.get_layer("mapping").get_weights()[0]
    styles = numpy(model.mixed_styles(first, second, ops.convert_to_tensor(cut)))
    for i, place in np.ndindex(3, DEPTH):
        noise = first if place < cut[i] else second
        np.testing.assert_allclose(styles[i, place], noise[i] @ kernel, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.9, 1.0])
def test_a_share_of_the_examples_is_mixed_from_any_layer_on(share):
    model = model_of(style_mixing=share)
    first, second, cut = map(numpy, model.draw_mixed_noise(normal(9000, *SHAPE)))
    assert first.shape == second.shape == (9000, LATENT)
    assert np.abs(first - second).mean() == pytest.approx(2 / np.sqrt(np.pi), rel=0.05)
    # Binomial shares of 9,000: five deviations are 0.026 at most.
    assert (cut < DEPTH).mean() == pytest.approx(share, abs=0.026)
    for layer in range(1, DEPTH):
        assert (cut == layer).mean() == pytest.approx(share / (DEPTH - 1), abs=0.026)


def test_truncated_styles_lie_nearer_to_the_mean_style():
    """Of a linear model: images go as far towards the mean image, which is nearly that of z = 0."""
    model = model_of()
    whole, half, none = (
        numpy(model.sample(64, seed=5, truncation=psi)) for psi in (None, 0.5, 0.0)
    )
    np.testing.assert_allclose(half, (whole + none) / 2, rtol=1e-4, atol=1e-4)
    assert np.ptp(none, axis=0).max() < 1e-5
    # The mean of 4,096 latents is within 5 / 64 of 0 in each direction.
    assert np.abs(none).max() < 5 / 64 * np.abs(whole).max() * np.sqrt(LATENT)
    np.testing.assert_allclose(numpy(model.sample(64, seed=5, truncation=1.0)), whole, atol=1e-4)


def test_truncated_samples_are_of_the_averaged_generator():
    model = model_of(ema=0.75)
    before = [numpy(model.sample(3, seed=1, truncation=psi)) for psi in (0.5, None)]
    for variable in model.generator.trainable_variables:
        variable.assign(3.0 * numpy(variable))
    after = [numpy(model.sample(3, seed=1, truncation=psi)) for psi in (0.5, None)]
    np.testing.assert_array_equal(before, after)


def test_real_networks_fit_the_sockets_and_sampling_repeats_itself():
    shape, options = (8, 8, 1), {"width": 4, "widest": 6}
    sockets = StyleGAN.sockets(shape, latent_dim=LATENT)
    assert sockets == {"generator": ((LATENT,), shape), "discriminator": (shape, (1,))}
    networks = (
        style_generator(*sockets["generator"], features=4, mapping_layers=2, **options),
        style_discriminator(*sockets["discriminator"], **options),
    )
    model = StyleGAN(*networks, latent_dim=LATENT)
    first, again = (numpy(model.sample(3, seed=1)) for _ in range(2))
    assert first.shape == (3, *shape)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"style_mixing": 1.1}, r"style_mixing must be in \[0, 1\]; got 1.1"),
        ({"path_length_weight": -1.0}, "path_length_weight must not be negative; got -1.0"),
        ({"path_length_every": 0}, "path_length_every must be 1 or more; got 0"),
        ({"penalty": "r3"}, "penalty: expected None or some of .* got 'r3'"),
        (
            {"generator": random_linear(3, 4, 0)},
            "generator: expected a network with the layers 'mapping'",
        ),
    ],
)
def test_what_is_refused(options, message):
    given = {"generator": generator(), "discriminator": discriminator(), **options}
    with pytest.raises(ValueError, match=message):
        StyleGAN(**given, latent_dim=LATENT)

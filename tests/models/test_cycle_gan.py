"""CycleGAN: its losses and a whole step by hand, and what the pool hands out."""

import keras
import numpy as np
import pytest
from keras import ops
from toys import linear, number, numpy

from keras_gen.models import CycleGAN
from keras_gen.models.adversarial.image_pool import exchange

PAIRS = np.array([[1.0, 4.0], [-1.0, 0.5], [2.0, -3.0]], "float32")
NETWORKS = {"G": (2.0, 1.0), "F": (-0.5, 0.25), "D": (0.5, -0.5), "E": (0.25, 0.75)}


def model_of(rates=(0.0, 0.0), **options):
    """`G`, `F`, `D_y` and `D_x`, each `x -> slope x + offset` of single numbers."""
    networks = [linear([[slope]], [offset]) for slope, offset in NETWORKS.values()]
    model = CycleGAN(*networks, input_channels=1, **options)
    players = zip(("generators", "discriminators"), rates, strict=True)
    model.compile({player: keras.optimizers.SGD(rate) for player, rate in players})
    return model


def by_hand(cycle_weight, identity_weight):
    """The terms and the generators' gradient, `[dG, dg, dF, df]`."""
    (a, b), (c, d), (p, q), (r, s) = NETWORKS.values()
    x, y = PAIRS.astype("float64").T
    g, f = a * x + b, c * y + d
    back, forth = c * g + d, a * f + b
    judged_y, judged_x = p * g + q - 1, r * f + s - 1
    terms = {
        "adversarial": np.mean(judged_y**2) + np.mean(judged_x**2),
        "cycle": np.mean(np.abs(back - x)) + np.mean(np.abs(forth - y)),
        "identity": np.mean(np.abs(a * y + b - y)) + np.mean(np.abs(c * x + d - x)),
    }
    if not identity_weight:
        terms["identity"] = 0.0
    s1, s2 = np.sign(back - x), np.sign(forth - y)
    i1, i2 = np.sign(a * y + b - y), np.sign(c * x + d - x)
    weights = cycle_weight, cycle_weight * identity_weight
    gradient = [
        np.mean(
            2 * judged_y * p * np.array(left)
            + weights[0] * (s1 * c * np.array(left) + s2 * np.array(right))
            + weights[1] * i1 * np.array(same)
        )
        for left, right, same in ((x, f, y), (x**0, x**0, x**0))
    ]
    gradient += [
        np.mean(
            2 * judged_x * r * np.array(left)
            + weights[0] * (s2 * a * np.array(left) + s1 * np.array(right))
            + weights[1] * i2 * np.array(same)
        )
        for left, right, same in ((y, g, x), (x**0, x**0, x**0))
    ]
    return terms, np.array(gradient), g, f


@pytest.mark.parametrize("cycle_weight, identity_weight", [(10.0, 0.5), (2.0, 0.0)])
def test_a_whole_train_step_by_hand(cycle_weight, identity_weight):
    """Zhu et al. 2017, equations 1 to 3, section 5.2; without a half in (D - 1)^2 of G and F."""
    weights = {"cycle_weight": cycle_weight, "identity_weight": identity_weight}
    model = model_of((0.001, 0.1), **weights)
    logs = {name: number(value) for name, value in model.train_step(PAIRS).items()}
    terms, gradient, fake_y, fake_x = by_hand(cycle_weight, identity_weight)
    for name, value in terms.items():
        assert logs[name] == pytest.approx(value, rel=1e-5), name
    loss = terms["adversarial"] + cycle_weight * (
        terms["cycle"] + identity_weight * terms["identity"]
    )
    assert logs["generator_loss"] == pytest.approx(loss, rel=1e-5)
    before = np.array([*NETWORKS["G"], *NETWORKS["F"]])
    after = [
        np.ravel(w) for n in (model.generator, model.inverse_generator) for w in n.get_weights()
    ]
    np.testing.assert_allclose(np.concatenate(after), before - 0.001 * gradient, rtol=1e-5)
    # Both discriminators, on what the old generators made: the empty pools hand it on.
    x, y = PAIRS.astype("float64").T
    total = 0.0
    for name, network, real, fake in (
        ("D", model.discriminator, y, fake_y),
        ("E", model.inverse_discriminator, x, fake_x),
    ):
        slope, offset = NETWORKS[name]
        on_real, on_fake = slope * real + offset - 1, slope * fake + offset
        total += np.mean(on_real**2 + on_fake**2) / 2
        expected = slope - 0.1 * np.mean(on_real * real + on_fake * fake)
        np.testing.assert_allclose(network.get_weights()[0], [[expected]], rtol=1e-5)
        expected = offset - 0.1 * np.mean(on_real + on_fake)
        np.testing.assert_allclose(network.get_weights()[1], [expected], rtol=1e-5)
    assert logs["discriminator_loss"] == pytest.approx(total, rel=1e-5)


def test_a_perfect_pair_of_translators_pays_nothing_for_the_way_there_and_back():
    model = model_of()
    model.generator.set_weights([np.array([[2.0]]), np.array([1.0])])
    model.inverse_generator.set_weights([np.array([[0.5]]), np.array([-0.5])])
    logs = model.test_step(PAIRS)
    assert number(logs["cycle"]) == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(numpy(model.translate(PAIRS[:, :1])), 2 * PAIRS[:, :1] + 1)
    np.testing.assert_allclose(numpy(model.translate_back(PAIRS[:, 1:])), (PAIRS[:, 1:] - 1) / 2)


def test_the_averaged_generators_translate_there_and_back():
    """The averages, begun at the networks' weights, stay there while these are set elsewhere."""
    model = model_of(ema=0.75)
    there, back = (numpy(f(PAIRS[:, :1])) for f in (model.translate, model.translate_back))
    for network in (model.generator, model.inverse_generator):
        network.set_weights([np.array([[7.0]]), np.array([7.0])])
    np.testing.assert_array_equal(numpy(model.translate(PAIRS[:, :1])), there)
    np.testing.assert_array_equal(numpy(model.translate_back(PAIRS[:, :1])), back)
    (slope, offset), (inverse_slope, inverse_offset) = NETWORKS["G"], NETWORKS["F"]
    np.testing.assert_allclose(there, slope * PAIRS[:, :1] + offset, rtol=1e-6)
    np.testing.assert_allclose(back, inverse_slope * PAIRS[:, :1] + inverse_offset, rtol=1e-6)


def test_which_target_stands_beside_which_input_does_not_matter():
    """The loss of the batch is the same however its targets are shuffled: nothing is paired."""
    shuffled = PAIRS.copy()
    shuffled[:, 1] = shuffled[[2, 0, 1], 1]
    first, second = (model_of().train_step(pairs) for pairs in (PAIRS, shuffled))
    for name in first:
        assert number(first[name]) == pytest.approx(number(second[name]), rel=1e-5), name


# -- The pool -----------------------------------------------------------------------------------


def exchanged(pool, filled, images, coins, ranks):
    arguments = (np.asarray(pool, "float32"), np.int32(filled), np.asarray(images, "float32"))
    arguments += (np.asarray(coins, "float32"), np.asarray(ranks, "int32"))
    return [numpy(part) for part in exchange(*map(ops.convert_to_tensor, arguments))]


def test_a_pool_fills_and_hands_on_what_it_is_given():
    pool = np.zeros((4, 1))
    given, pool, filled = exchanged(pool, 0, [[1], [2], [3]], [0.1, 0.1, 0.9], [0, 1, 2, 3])
    assert given.ravel().tolist() == [1, 2, 3] and filled == 3
    assert pool.ravel().tolist() == [1, 2, 3, 0]


def test_a_full_pool_swaps_where_the_coin_says_so():
    """Places by their ranks: 2, 0, 3, 1. The second image is not exchanged, nor is its place."""
    pool = np.array([[10], [11], [12], [13]])
    images, coins = [[1], [2], [3]], [0.49, 0.51, 0.0]
    given, pool, filled = exchanged(pool, 4, images, coins, [5, 9, 2, 7])
    assert given.ravel().tolist() == [12, 2, 13] and filled == 4
    assert pool.ravel().tolist() == [10, 11, 1, 3]


def test_a_batch_fills_what_is_left_and_swaps_the_rest():
    pool = np.array([[10], [11], [0]])
    given, pool, filled = exchanged(pool, 2, [[1], [2], [3]], [0.1, 0.1, 0.9], [1, 3, 2])
    # Places 0, 2, 1: the second image is handed the first, which has just come in at place 2.
    assert given.ravel().tolist() == [1, 1, 3] and filled == 3
    assert pool.ravel().tolist() == [10, 11, 2]


def test_what_of_a_batch_is_beyond_the_pool_passes_by():
    given, pool, filled = exchanged([[10.0], [11.0]], 2, [[1], [2], [3]], [0.1] * 3, [0, 1])
    assert given.ravel().tolist() == [10, 11, 3] and filled == 2
    assert pool.ravel().tolist() == [1, 2]


def test_half_of_the_images_come_from_the_past_and_none_is_lost():
    """Shrivastava et al. 2017, section 2.3, over 200 steps of a model of its own stream."""
    model = model_of(pool_size=50)
    rng = np.random.default_rng(0)
    handed_in, handed_out, fresh = [], [], 0
    for step in range(200):
        images = rng.normal(size=(8, 1)).astype("float32")
        fakes = [ops.convert_to_tensor(images)] * 2
        _, shown = model.pooled(*fakes, model.draw_noise(fakes[0]))
        shown = numpy(shown)
        if 8 * (step + 1) <= 50:
            np.testing.assert_array_equal(shown, images)
        if 8 * step >= 50:
            fresh += (shown == images).sum()
        handed_in += images.ravel().tolist()
        handed_out += shown.ravel().tolist()
    pool, filled = (numpy(variable) for variable in model.target_pool)
    assert filled == 50
    # 193 steps of 8: half of them, within four deviations of a fair coin.
    count = 8 * 193
    assert abs(fresh - count / 2) < 4 * np.sqrt(count) / 2
    # Full, it only swaps: what came in is either out or in the pool, but for the 50 that filled it,
    # which were also handed on.
    left = sorted([*handed_out, *pool.ravel().tolist()])
    assert left == sorted([*handed_in, *handed_in[:50]])


def test_the_discriminators_learn_from_the_pool():
    model = model_of((0.0, 0.0), pool_size=3)
    for variable, level in ((model.target_pool, 7.0), (model.input_pool, -5.0)):
        variable[0].assign(np.full((3, 1), level))
        variable[1].assign(3)
    model.draw_noise = lambda x: [(ops.zeros(3), ops.arange(3, dtype="int32"))] * 2  # all from it
    logs = model.train_step(PAIRS)
    x, y = PAIRS.astype("float64").T
    (p, q), (r, s) = NETWORKS["D"], NETWORKS["E"]
    expected = np.mean((p * y + q - 1) ** 2) + (7 * p + q) ** 2
    expected += np.mean((r * x + s - 1) ** 2) + (-5 * r + s) ** 2
    assert number(logs["discriminator_loss"]) == pytest.approx(expected / 2, rel=1e-5)
    np.testing.assert_allclose(numpy(model.target_pool[0])[:, 0], 2 * x + 1, rtol=1e-6)


def test_an_evaluation_leaves_the_pools_alone_and_no_pool_keeps_nothing():
    model = model_of()
    model.evaluate(PAIRS, verbose=0)
    assert number(model.target_pool[1]) == 0
    without = model_of(pool_size=None)
    assert not [v for v in without.variables if "pool" in v.path]
    for name, value in without.train_step(PAIRS).items():
        assert number(value) == pytest.approx(number(model.train_step(PAIRS)[name]), rel=1e-5)
        model = model_of()


# -- Construction -------------------------------------------------------------------------------


def test_sockets():
    assert CycleGAN.sockets((64, 48, 4), input_channels=1) == {
        "generator": ((64, 48, 1), (64, 48, 3)),
        "inverse_generator": ((64, 48, 3), (64, 48, 1)),
        "discriminator": ((64, 48, 3), (None, None, 1)),
        "inverse_discriminator": ((64, 48, 1), (None, None, 1)),
    }


@pytest.mark.parametrize(
    "options, message",
    [
        ({"cycle_weight": -1.0}, "cycle_weight must not be negative; got -1.0"),
        ({"identity_weight": -0.5}, "identity_weight must not be negative"),
        ({"pool_size": 0}, "pool_size must be 1 or more, or None; got 0"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        model_of(**options)


def test_images_of_other_channels_have_no_identity():
    networks = [linear(np.ones(s), np.zeros(s[1])) for s in ((1, 2), (2, 1), (2, 1), (1, 1))]
    with pytest.raises(ValueError, match="identity_weight: inputs of 1 channels are never targets"):
        CycleGAN(*networks, input_channels=1)
    CycleGAN(*networks, input_channels=1, identity_weight=0.0)


def test_a_discriminator_gives_one_channel():
    networks = [linear(np.ones(s), np.zeros(s[1])) for s in ((1, 1), (1, 1), (1, 1), (1, 2))]
    with pytest.raises(ValueError, match="inverse_discriminator: expected one number an example"):
        CycleGAN(*networks, input_channels=1)


def test_players_are_both_networks_of_each():
    model = model_of()
    names = [len(model.player_variables(player)) for player in ("generators", "discriminators")]
    assert names == [4, 4]
    with pytest.raises(ValueError, match="has no network 'critics'"):
        model.player_variables("critics")

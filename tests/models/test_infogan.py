"""InfoGAN: the bound in closed form, a step by hand, codes drawn, set, moved and read off."""

import numpy as np
import pytest
from keras import ops
from scipy import special, stats
from toys import (
    assert_linear,
    assert_pulls_on,
    compiled,
    constant,
    linear,
    number,
    numpy,
    random_linear,
    values,
)

from keras_gen.models import InfoGAN

LATENT, CATEGORIES, CONTINUOUS = 2, (3, 2), 2
WIDTH = LATENT + sum(CATEGORIES) + CONTINUOUS
HEADS = 1 + sum(CATEGORIES) + 2 * CONTINUOUS
CODES = {"latent_dim": LATENT, "categories": CATEGORIES, "continuous": CONTINUOUS}
RNG = np.random.default_rng(5)
REAL = RNG.normal(size=(4, 3)).astype("float32")


def small(**options):
    return InfoGAN(random_linear(WIDTH, 3, 0), random_linear(3, HEADS, 1), **CODES, **options)


def showing(heads, **options):
    """A generator that shows z and the code as they are, and a discriminator of these outputs."""
    return InfoGAN(linear(np.eye(WIDTH), np.zeros(WIDTH)), heads, **CODES, **options)


def codes(count, seed=0):
    """z, one-hot categories, continuous codes, side by side."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(count, LATENT))]
    parts += [np.eye(size)[rng.integers(0, size, count)] for size in CATEGORIES]
    parts.append(rng.uniform(-1, 1, (count, CONTINUOUS)))
    return np.hstack(parts).astype("float32")


def information_of(model, noise):
    """Both parts of L_I as a discriminator step logs them."""
    model.draw_noise = lambda x: ops.convert_to_tensor(noise)
    logs = compiled(model).train_step(np.zeros((len(noise), WIDTH), "float32"))
    return number(logs["categorical_information"]), number(logs["continuous_information"]), logs


# -- The bound -------------------------------------------------------------------------------------


def test_an_undecided_q_knows_nothing():
    """Even odds: `L_I = H(c) - log(values) = 0`. A normal of the prior's mean and variance 1/3:
    `log 2 - (log(2 pi / 3) + 1) / 2` a code, negative, because the prior is no normal."""
    nothing = np.zeros(HEADS)
    nothing[-CONTINUOUS:] = np.log(1 / 3)
    noise = codes(1000)
    # Squares of exactly the prior's mean, 1/3.
    noise[:, -CONTINUOUS:] = np.sqrt(1 / 3) * np.sign(noise[:, -CONTINUOUS:])
    model = showing(constant(WIDTH, nothing))
    categorical, continuous, logs = information_of(model, noise)
    assert categorical == pytest.approx(0.0, abs=1e-5)
    of_each = np.log(2) - 0.5 * (np.log(2 * np.pi / 3) + 1)
    assert continuous == pytest.approx(CONTINUOUS * of_each, rel=1e-4)
    # Equation 6: the game's own loss, log 4 undecided, less the weighted bounds.
    expected = np.log(4) - 0.1 * CONTINUOUS * of_each
    assert number(logs["discriminator_loss"]) == pytest.approx(expected, rel=1e-5)
    expected = np.log(2) - 0.1 * CONTINUOUS * of_each
    assert number(logs["generator_loss"]) == pytest.approx(expected, rel=1e-5)


def test_a_q_that_reads_the_codes_knows_all_there_is():
    """`L_I = H(c) = log(values)`; of a continuous code as much as the variance says."""
    kernel, bias = np.zeros((WIDTH, HEADS)), np.zeros(HEADS)
    n = sum(CATEGORIES)
    kernel[LATENT : LATENT + n, 1 : 1 + n] = 60 * np.eye(n)
    kernel[LATENT + n :, 1 + n : 1 + n + CONTINUOUS] = np.eye(CONTINUOUS)
    bias[-CONTINUOUS:] = np.log([0.01, 0.04])
    categorical, continuous, _ = information_of(showing(linear(kernel, bias)), codes(50))
    assert categorical == pytest.approx(np.log(3) + np.log(2), rel=1e-5)
    densities = stats.norm(0, [0.1, 0.2]).logpdf(0)
    assert continuous == pytest.approx(CONTINUOUS * np.log(2) + densities.sum(), rel=1e-4)


# -- One step, by hand -----------------------------------------------------------------------------


def slope(logits, noise, source, weights):
    """Of a loss in the discriminator's outputs for generated examples."""
    parts, start, place = [source(logits[:, :1])], 1, LATENT
    for size in CATEGORIES:
        odds = special.softmax(logits[:, start : start + size], axis=1)
        parts.append(weights[0] * (odds - noise[:, place : place + size]))
        start, place = start + size, place + size
    mean, log_variance = np.split(logits[:, start:], 2, axis=1)
    error = (mean - noise[:, place:]) * np.exp(-log_variance)
    parts.append(weights[1] * error)
    parts.append(weights[1] * 0.5 * (1 - error**2 * np.exp(log_variance)))
    return np.hstack(parts) / len(logits)


def as_real(logits):
    """`d softplus(-s) / ds`."""
    return special.expit(logits) - 1


@pytest.mark.parametrize("weights", [(1.0, 0.1), (0.5, 0.7)])
def test_a_whole_train_step_by_hand(weights):
    """Q learns from generated examples in the discriminator's step, the generator then by Q."""
    model = small(categorical_weight=weights[0], continuous_weight=weights[1])
    compiled(model, 0.2, 0.1)
    drawn = [codes(4, seed=1), codes(4, seed=2)]
    noise = iter(drawn)
    model.draw_noise = lambda x: ops.convert_to_tensor(next(noise))
    (g_kernel, g_bias), (kernel, bias) = values(model.generator), values(model.discriminator)
    fake = drawn[0] @ g_kernel + g_bias
    of_real = np.zeros((4, HEADS))
    of_real[:, :1] = as_real((REAL @ kernel + bias)[:, :1]) / 4
    of_fake = slope(fake @ kernel + bias, drawn[0], special.expit, weights)
    kernel = kernel - 0.2 * (REAL.T @ of_real + fake.T @ of_fake)
    bias = bias - 0.2 * (of_real + of_fake).sum(0)
    fake = drawn[1] @ g_kernel + g_bias
    of_image = slope(fake @ kernel + bias, drawn[1], as_real, weights) @ kernel.T
    model.train_step(REAL)
    assert_linear(model.discriminator, kernel, bias)
    g_kernel, g_bias = g_kernel - 0.1 * drawn[1].T @ of_image, g_bias - 0.1 * of_image.sum(0)
    assert_linear(model.generator, g_kernel, g_bias)


def test_the_discriminators_objective_has_no_slope_in_the_generator():
    model, noise = small(), ops.convert_to_tensor(codes(4))
    real = ops.convert_to_tensor(REAL)
    assert_pulls_on(
        model, lambda: model.discriminator_objective(real, noise, True), "discriminator"
    )


def test_the_relativistic_generator_is_judged_beside_the_data():
    options = {"adversarial_loss": "relativistic", "continuous_weight": 0.0}
    model = compiled(showing(constant(WIDTH, np.zeros(HEADS)), **options))
    logs = model.train_step(np.ones((4, WIDTH), "float32"))
    assert number(logs["generator_loss"]) == pytest.approx(np.log(2), rel=1e-5)


# -- Codes -----------------------------------------------------------------------------------------


def test_codes_are_drawn_evenly():
    noise = numpy(small().draw_noise(ops.zeros((4000, 3))))
    assert noise.shape == (4000, WIDTH)
    for column in noise[:, :LATENT].T:
        assert stats.kstest(column, stats.norm.cdf).pvalue > 0.01
    start = LATENT
    for size in CATEGORIES:
        code = noise[:, start : start + size]
        assert set(np.unique(code)) == {0.0, 1.0} and np.all(code.sum(1) == 1)
        assert stats.chisquare(code.sum(0)).pvalue > 0.01
        start += size
    for column in noise[:, start:].T:
        assert stats.kstest(column, stats.uniform(-1, 2).cdf).pvalue > 0.01
    first, second = (noise[:, -CONTINUOUS + i] for i in range(2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_codes_can_be_set_and_all_else_stays():
    model = showing(constant(WIDTH, np.zeros(HEADS)))
    plain = numpy(model.sample(5, seed=3))
    fixed = numpy(model.sample(5, seed=3, codes={0: [2, 0], 3: -0.5}))
    np.testing.assert_array_equal(fixed[:, 2:5].argmax(1), [2, 0, 2, 0, 2])
    np.testing.assert_array_equal(fixed[:, 2:5].sum(1), 1)
    np.testing.assert_array_equal(fixed[:, -1], -0.5)
    others = [0, 1, 5, 6, 7]
    np.testing.assert_array_equal(fixed[:, others], plain[:, others])


def test_a_traversal_moves_one_code():
    model = showing(constant(WIDTH, np.zeros(HEADS)))
    plain = numpy(model.sample(4, seed=3))
    rows = model.traverse(1, count=4, seed=3)
    assert rows.shape == (4, 2, WIDTH)
    np.testing.assert_array_equal(rows[..., 5:7], np.broadcast_to(np.eye(2), (4, 2, 2)))
    others = [0, 1, 2, 3, 4, 7, 8]
    for column in range(2):
        np.testing.assert_array_equal(rows[:, column, others], plain[:, others])
    moved = model.traverse(2, count=1, seed=3)[0, :, 7]
    np.testing.assert_allclose(moved, np.linspace(-2, 2, 9), atol=1e-6)
    np.testing.assert_allclose(model.traverse(3, [0.5, 7.0], 1)[0, :, 8], [0.5, 7.0])


def test_q_reads_examples():
    model = small()
    probabilities, mean, deviation = model.infer(REAL)
    kernel, bias = values(model.discriminator)
    outputs = REAL @ kernel + bias
    for found, place in zip(probabilities, (slice(1, 4), slice(4, 6)), strict=True):
        np.testing.assert_allclose(
            numpy(found), special.softmax(outputs[:, place], axis=1), rtol=1e-4
        )
    np.testing.assert_allclose(numpy(mean), outputs[:, 6:8], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(numpy(deviation), np.exp(0.5 * outputs[:, 8:]), rtol=1e-4)


@pytest.mark.parametrize(
    "options, kinds",
    [
        ({"categories": (3,)}, {"categorical_information"}),
        ({"continuous": 2}, {"continuous_information"}),
    ],
)
def test_one_kind_of_code_is_enough(options, kinds):
    sockets = InfoGAN.sockets((3,), latent_dim=1, **options)
    (inputs,), (heads,) = sockets["generator"][0], sockets["discriminator"][1]
    model = InfoGAN(
        random_linear(inputs, 3, 0), random_linear(3, heads, 1), latent_dim=1, **options
    )
    logs = compiled(model, 0.1, 0.1).train_step(REAL)
    assert {term for term in logs if "information" in term} == kinds
    assert numpy(model.sample(2, seed=0)).shape == (2, 3)


def test_sockets():
    """The paper's MNIST: 62 + 10 + 2 numbers."""
    assert InfoGAN.sockets((28, 28, 1), latent_dim=62, categories=(10,), continuous=2) == {
        "generator": ((74,), (28, 28, 1)),
        "discriminator": ((28, 28, 1), (15,)),
    }


@pytest.mark.parametrize(
    "options, message",
    [
        ({"categories": (), "continuous": 0}, "expected at least one code; got none"),
        ({"categories": (3, 1)}, r"categories: expected 2 values or more each; got \(3, 1\)"),
        ({"continuous": -1}, "continuous must not be negative; got -1"),
        ({"categorical_weight": -1.0}, "categorical_weight must not be negative; got -1.0"),
        ({"continuous_weight": -1.0}, "continuous_weight must not be negative; got -1.0"),
        ({"adversarial_loss": "logistic"}, "adversarial loss: expected one of"),
        (
            {"continuous": 3},
            r"discriminator: expected 1 logit \+ 5 logits of categories \+ 6 means and log "
            r"variances = 12 numbers an example, .* got \('batch', 10\)\. End it with 12 units",
        ),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        InfoGAN(random_linear(WIDTH, 3, 0), random_linear(3, HEADS, 1), **{**CODES, **options})


@pytest.mark.parametrize(
    "codes, message",
    [
        ({4: 0}, "code: expected 0 to 3; got 4"),
        ({-1: 0}, "code: expected 0 to 3; got -1"),
        ({0: [0, 3]}, "code 0: expected values 0 to 2; got 3"),
        ({1: 0.5}, "code 1: expected values 0 to 1; got 0.5"),
    ],
)
def test_codes_that_are_not_there(codes, message):
    with pytest.raises(ValueError, match=message):
        small().sample(2, codes=codes)
    ((code, value),) = codes.items()
    with pytest.raises(ValueError, match=message):
        small().traverse(code, np.atleast_1d(value))
    if code in (4, -1):
        with pytest.raises(ValueError, match=message):
            small().traverse(code)

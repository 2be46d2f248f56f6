"""The adversarial autoencoder: its three losses by hand, and who moves at whose step."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special, stats
from toys import linear, number, numpy

from keras_gen.models import AdversarialAutoencoder

RNG = np.random.default_rng(0)


def small(**options):
    rng = np.random.default_rng(1)

    def network(inputs, outputs):
        return linear(0.4 * rng.normal(size=(inputs, outputs)), 0.2 * rng.normal(size=outputs))

    return AdversarialAutoencoder(
        network(5, 2), network(2, 5), network(2, 1), latent_dim=2, **options
    )


def run(network, x):
    kernel, bias = network.get_weights()
    return x @ kernel + bias


def cross_entropies(prior, codes):
    """Of a discriminator that calls the prior real; of codes that are to pass for real."""
    d_loss = np.logaddexp(0, -prior).mean() + np.logaddexp(0, codes).mean()
    return d_loss, np.logaddexp(0, -codes).mean()


def least_squares(prior, codes):
    return 0.5 * ((prior - 1) ** 2 + codes**2).mean(), 0.5 * ((codes - 1) ** 2).mean()


@pytest.mark.parametrize(
    "adversarial_loss, by_hand",
    [("non_saturating", cross_entropies), ("least_squares", least_squares)],
)
def test_the_three_losses_are_the_papers(adversarial_loss, by_hand):
    model = small(adversarial_loss=adversarial_loss)
    x, prior = RNG.normal(size=(6, 5)).astype("float32"), RNG.normal(size=(6, 2)).astype("float32")
    codes = run(model.encoder, x)
    logits = run(model.discriminator, prior), run(model.discriminator, codes)
    error = ((x - run(model.decoder, codes)) ** 2).sum(1).mean()
    d_loss, encoder_loss = by_hand(*logits)

    x, prior = ops.convert_to_tensor(x), ops.convert_to_tensor(prior)
    assert number(model.autoencoder_objective(x, False)) == pytest.approx(error, rel=1e-4)
    found, scores = model.discriminator_objective(x, prior, False)
    assert number(found) == pytest.approx(d_loss, rel=1e-4)
    means = [special.expit(each).mean() for each in logits]
    assert number(scores["prior_score"]) == pytest.approx(means[0], rel=1e-4)
    assert number(scores["code_score"]) == pytest.approx(means[1], rel=1e-4)
    assert number(model.encoder_objective(x, False)) == pytest.approx(encoder_loss, rel=1e-4)


def test_bernoulli_reconstruction_is_minus_the_log_mass():
    model = small(reconstruction="bernoulli")
    x = RNG.integers(0, 2, (6, 5)).astype("float32")
    probabilities = special.expit(run(model.decoder, run(model.encoder, x)))
    expected = -stats.bernoulli.logpmf(x, probabilities).sum(1).mean()
    found = model.autoencoder_objective(ops.convert_to_tensor(x), False)
    assert number(found) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(numpy(model(x)), probabilities, rtol=1e-4)


@pytest.mark.parametrize(
    "player, moves",
    [
        ("autoencoder", {"encoder", "decoder"}),
        ("discriminator", {"discriminator"}),
        ("encoder", {"encoder"}),
    ],
)
def test_a_player_moves_its_own_networks_only(player, moves):
    model = small()
    players = ("autoencoder", "discriminator", "encoder")
    rates = {name: 0.1 if name == player else 0.0 for name in players}
    model.compile({name: keras.optimizers.SGD(rate) for name, rate in rates.items()})
    networks = ("encoder", "decoder", "discriminator")
    before = {name: getattr(model, name).get_weights()[0] for name in networks}
    model.train_step(RNG.normal(size=(4, 5)).astype("float32"))
    moved = {
        n for n in networks if not np.array_equal(before[n], getattr(model, n).get_weights()[0])
    }
    assert moved == moves


def test_the_encoder_is_pulled_to_where_the_discriminator_sees_the_prior():
    """`d softplus(-(c w + b)) / dc = -sigmoid(-(c w + b)) w`, and the code is a bias alone."""
    model = small()
    model.encoder.set_weights([np.zeros((5, 2)), np.array([0.3, -0.2])])
    rates = {"autoencoder": 0.0, "discriminator": 0.0, "encoder": 0.1}
    model.compile({name: keras.optimizers.SGD(rate) for name, rate in rates.items()})
    w, b = model.discriminator.get_weights()
    code = np.array([0.3, -0.2])
    step = 0.1 * special.expit(-(code @ w + b)) * w[:, 0]
    model.train_step(np.zeros((4, 5), "float32"))
    np.testing.assert_allclose(model.encoder.get_weights()[1], code + step, rtol=1e-5)


def test_codes_have_no_deviation_and_samples_decode_the_prior():
    model = small()
    mean, deviation = model.encode(RNG.normal(size=(3, 5)).astype("float32"))
    assert mean.shape == deviation.shape == (3, 2) and not numpy(deviation).any()
    model.decoder.set_weights([np.eye(2, 5), np.zeros(5)])
    samples = numpy(model.sample(4000, seed=1))
    for column in samples[:, :2].T:
        assert stats.kstest(column, stats.norm.cdf).pvalue > 0.01


@pytest.mark.parametrize(
    "options, message",
    [
        ({"reconstruction": "l1"}, "reconstruction must be one of 'squared_error', 'bernoulli'; g"),
        ({"adversarial_loss": "wgan"}, "adversarial loss: expected one of .*, got 'wgan'"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)

"""The ladder VAE against SciPy's normal densities and the marginal of two linear layers."""

import numpy as np
import pytest
from keras import ops
from scipy import special, stats
from toys import linear, number, numpy

from keras_gen.models import HierarchicalVAE
from keras_gen.models.autoencoders.hierarchical_vae import precision_weighted
from keras_gen.random import Stream


def small(**options):
    rng = np.random.default_rng(0)

    def network(inputs, outputs):
        return linear(0.5 * rng.normal(size=(inputs, outputs)), 0.3 * rng.normal(size=outputs))

    options = {"latent_dims": (3, 2), "features": 4, **options}
    return HierarchicalVAE(network(5, 10), network(4, 4), network(2, 6), network(3, 5), **options)


def test_two_opinions_join_by_precision():
    """The product of N(1, 1) and N(4, 1/2) is N(3, 1/3)."""
    mean, log_variance = precision_weighted(1.0, 0.0, 4.0, np.float32(np.log(0.5)))
    assert number(mean) == pytest.approx(3.0, rel=1e-5)
    assert number(log_variance) == pytest.approx(np.log(1 / 3), rel=1e-5)


def by_hand(model, x, lower_noise, upper_noise):
    """Every density of one sample, by NumPy and SciPy."""

    def run(network, inputs):
        kernel, bias = network.get_weights()
        return inputs @ kernel + bias

    def normal(mean, log_variance):
        return stats.norm(mean, np.exp(log_variance / 2))

    features, hint_mean, hint_log_variance = np.split(run(model.encoder, x), [4, 7], axis=1)
    q2 = normal(*np.split(run(model.upper_encoder, features), 2, axis=1))
    z2 = q2.mean() + q2.std() * upper_noise
    p1 = normal(*np.split(run(model.upper_decoder, z2), 2, axis=1))
    precision = np.exp(-hint_log_variance) + p1.var() ** -1
    mean = (hint_mean * np.exp(-hint_log_variance) + p1.mean() / p1.var()) / precision
    q1 = stats.norm(mean, precision**-0.5)
    z1 = q1.mean() + q1.std() * lower_noise
    nats = -stats.bernoulli.logpmf(x, special.expit(run(model.decoder, z1))).sum(1)
    return q1, p1, q2, z1, z2, nats


def kl(q, p):
    ratio = q.var() / p.var()
    return 0.5 * (ratio + (q.mean() - p.mean()) ** 2 / p.var() - 1 - np.log(ratio)).sum(1)


def test_the_loss_is_the_papers():
    model = small(beta=0.7)
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, (6, 5)).astype("float32")
    lower, upper = (rng.normal(size=(6, n)).astype("float32") for n in (3, 2))
    q1, p1, q2, _, _, nats = by_hand(model, x, lower, upper)
    noise = ops.convert_to_tensor(lower), ops.convert_to_tensor(upper), None
    loss, terms = model.objective(ops.convert_to_tensor(x), noise, None, False)
    expected = {
        "reconstruction": nats.mean(),
        "lower_kl": kl(q1, p1).mean(),
        "upper_kl": kl(q2, stats.norm(np.zeros((6, 2)), 1)).mean(),
    }
    for term, value in expected.items():
        assert number(terms[term]) == pytest.approx(value, rel=1e-4), term
    total = expected["reconstruction"] + 0.7 * (expected["lower_kl"] + expected["upper_kl"])
    assert number(loss) == pytest.approx(total, rel=1e-4)


def test_the_weights_of_samples():
    model = small()
    rng = np.random.default_rng(2)
    x = rng.integers(0, 2, (4, 5)).astype("float32")
    lower, upper = (rng.normal(size=(4, 2, n)).astype("float32") for n in (3, 2))
    found = numpy(model.log_weights(x, (lower, upper)))
    for sample in range(2):
        q1, p1, q2, z1, z2, nats = by_hand(model, x, lower[:, sample], upper[:, sample])
        expected = p1.logpdf(z1).sum(1) + stats.norm.logpdf(z2).sum(1) - nats
        expected -= q1.logpdf(z1).sum(1) + q2.logpdf(z2).sum(1)
        np.testing.assert_allclose(found[:, sample], expected, rtol=1e-4)


def test_a_code_is_drawn_through_both_layers():
    model = small()
    x = np.random.default_rng(3).integers(0, 2, (6, 5)).astype("float32")
    stream = Stream(5)
    lower, upper = (numpy(stream.normal((6, 1, n)))[:, 0] for n in (3, 2))
    _, _, _, z1, _, _ = by_hand(model, x, lower, upper)
    np.testing.assert_allclose(numpy(model.draw_codes(x, Stream(5))), z1, rtol=1e-4)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"latent_dims": (3,)}, "latent_dims must be two sizes of at least 1"),
        ({"latent_dims": (3, 0)}, "latent_dims must be two sizes of at least 1"),
        ({"beta": -1.0}, "beta must not be negative; got -1.0"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)

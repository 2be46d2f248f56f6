"""InfoVAE: its loss by plain loops, and the two models at its ends."""

import numpy as np
import pytest
from keras import ops
from scipy import special, stats
from toys import linear, number

from keras_gen.models import InfoVAE

RNG = np.random.default_rng(0)
X = RNG.integers(0, 2, (6, 5)).astype("float32")
NOISE, PRIOR = RNG.normal(size=(2, 6, 2)).astype("float32")


def small(**options):
    rng = np.random.default_rng(1)
    encoder = linear(0.5 * rng.normal(size=(5, 4)), 0.3 * rng.normal(size=4))
    decoder = linear(rng.normal(size=(2, 5)), rng.normal(size=5))
    return InfoVAE(encoder, decoder, latent_dim=2, **options)


def terms_of(model):
    noise = ops.convert_to_tensor(NOISE), ops.convert_to_tensor(PRIOR), None
    loss, terms = model.objective(ops.convert_to_tensor(X), noise, None, False)
    return {name: number(value) for name, value in {"loss": loss, **terms}.items()}


def by_hand(model):
    kernel, bias = model.encoder.get_weights()
    mean, log_variance = np.split(X @ kernel + bias, 2, axis=1)
    z = mean + np.exp(log_variance / 2) * NOISE
    kernel, bias = model.decoder.get_weights()
    nats = -stats.bernoulli.logpmf(X, special.expit(z @ kernel + bias)).sum(1).mean()
    kl = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(1).mean()
    return z, nats, kl


def rbf(a, b):
    return np.exp(-np.square(a - b).sum() / (2 * 4))  # 4: two prior codes' mean squared distance


def imq(a, b):
    scales = [4 * s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
    return sum(s / (s + np.square(a - b).sum()) for s in scales)


@pytest.mark.parametrize("name, kernel", [("rbf", rbf), ("imq", imq)])
def test_the_loss_is_the_papers(name, kernel):
    model = small(alpha=0.3, divergence_weight=5.0, kernel=name)
    z, nats, kl = by_hand(model)
    pairs = [(i, j) for i in range(6) for j in range(6)]
    mmd = np.mean(
        [
            kernel(z[i], z[j]) + kernel(PRIOR[i], PRIOR[j]) - 2 * kernel(z[i], PRIOR[j])
            for i, j in pairs
        ]
    )
    terms = terms_of(model)
    assert terms["reconstruction"] == pytest.approx(nats, rel=1e-4)
    assert terms["kl"] == pytest.approx(kl, rel=1e-4)
    assert terms["mmd"] == pytest.approx(mmd, rel=1e-4)
    assert terms["loss"] == pytest.approx(nats + 0.7 * kl + 4.3 * mmd, rel=1e-4)


def test_at_alpha_0_and_lambda_1_it_is_the_vae():
    model = small(alpha=0.0, divergence_weight=1.0)
    _, nats, kl = by_hand(model)
    assert terms_of(model)["loss"] == pytest.approx(nats + kl, rel=1e-4)


def test_gaussian_likelihood():
    model = small(likelihood="gaussian", variance=0.25, alpha=0.0, divergence_weight=1.0)
    z, _, _ = by_hand(model)
    kernel, bias = model.decoder.get_weights()
    expected = -stats.norm(z @ kernel + bias, 0.5).logpdf(X).sum(1).mean()
    assert terms_of(model)["reconstruction"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"alpha": 1.5}, "alpha must be at most 1; got 1.5"),
        ({"alpha": 0.5, "divergence_weight": 0.2}, "divergence_weight must be at least 1 - alpha"),
        ({"kernel": "laplace"}, "kernel must be one of 'rbf', 'imq'; got 'laplace'"),
        ({"likelihood": "laplace"}, "likelihood must be 'bernoulli' or 'gaussian'; got 'laplace'"),
        ({"likelihood": "gaussian", "variance": 0.0}, "variance must be a positive number or 'le"),
        ({"variance": 0.5}, "variance belongs to likelihood='gaussian'"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        InfoVAE(None, None, latent_dim=2, **options)

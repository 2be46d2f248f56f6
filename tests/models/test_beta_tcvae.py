"""The decomposition of the KL against the paper's sums in plain loops."""

import numpy as np
import pytest
from keras import ops
from scipy import special, stats
from toys import linear, number, numpy

from keras_gen.models import BetaTCVAE

RNG = np.random.default_rng(0)
MEAN, DEVIATION = RNG.normal(size=(4, 3)), RNG.uniform(0.3, 1.5, (4, 3))
Z = (MEAN + DEVIATION * RNG.normal(size=(4, 3))).astype("float32")


def small(**options):
    rng = np.random.default_rng(1)
    encoder = linear(0.5 * rng.normal(size=(5, 6)), 0.3 * rng.normal(size=6))
    decoder = linear(rng.normal(size=(3, 5)), rng.normal(size=5))
    return BetaTCVAE(encoder, decoder, latent_dim=3, examples=100, **options)


def parts():
    log_variance = 2 * np.log(DEVIATION)
    return [
        numpy(p)
        for p in small().decompose(Z, MEAN.astype("float32"), log_variance.astype("float32"))
    ]


def test_the_parts_are_minibatch_weighted_sampling():
    """Chen et al. 2018, section 4.1: sums over the batch, divided by N M."""
    information, correlation, kl = parts()
    for i in range(4):
        each = np.array([stats.norm(MEAN[k], DEVIATION[k]).pdf(Z[i]) for k in range(4)])
        log_joint = np.log(each.prod(axis=1).sum() / (100 * 4))
        log_marginals = np.log(each.sum(axis=0) / (100 * 4)).sum()
        own = np.log(each[i]).sum()
        assert information[i] == pytest.approx(own - log_joint, rel=1e-4)
        assert correlation[i] == pytest.approx(log_joint - log_marginals, rel=1e-4)
        assert kl[i] == pytest.approx(log_marginals - stats.norm.logpdf(Z[i]).sum(), rel=1e-4)


def test_the_parts_sum_to_the_sampled_divergence():
    expected = stats.norm(MEAN, DEVIATION).logpdf(Z).sum(1) - stats.norm.logpdf(Z).sum(1)
    np.testing.assert_allclose(sum(parts()), expected, atol=1e-4)


def test_each_part_has_its_weight():
    x = RNG.integers(0, 2, (6, 5)).astype("float32")
    noise = RNG.normal(size=(6, 3)).astype("float32")
    given = ops.convert_to_tensor(x), (ops.convert_to_tensor(noise), None), None, False
    model = small(alpha=0.5, beta=4.0, gamma=2.0)
    loss, terms = model.objective(*given)
    kernel, bias = model.encoder.get_weights()
    mean, log_variance = np.split(x @ kernel + bias, 2, axis=1)
    z = mean + np.exp(log_variance / 2) * noise
    kernel, bias = model.decoder.get_weights()
    nats = -stats.bernoulli.logpmf(x, special.expit(z @ kernel + bias)).sum(1).mean()
    values = {name: number(value) for name, value in terms.items()}
    assert values["reconstruction"] == pytest.approx(nats, rel=1e-4)
    expected = (
        nats
        + 0.5 * values["mutual_information"]
        + 4.0 * values["total_correlation"]
        + 2.0 * values["dimension_kl"]
    )
    assert number(loss) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["alpha", "beta", "gamma"])
def test_negative_weights_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must not be negative; got -1.0"):
        small(**{name: -1.0})

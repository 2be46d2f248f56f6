"""The VampPrior against SciPy's normal densities."""

import numpy as np
import pytest
from keras import ops
from scipy import special, stats
from toys import constant, linear, number, numpy

from keras_gen.models import VampVAE


def small(components=3):
    rng = np.random.default_rng(0)
    encoder = linear(rng.normal(size=(4, 4)), 0.3 * rng.normal(size=4))
    decoder = linear(rng.normal(size=(2, 4)), rng.normal(size=4))
    return VampVAE(encoder, decoder, latent_dim=2, pseudo_inputs=components)


def prior_by_hand(model, z):
    kernel, bias = model.encoder.get_weights()
    moments = special.expit(numpy(model.pseudo_logits.value)) @ kernel + bias
    mean, log_variance = np.split(moments, 2, axis=1)
    each = stats.norm(mean, np.exp(log_variance / 2)).logpdf(z[..., None, :]).sum(-1)
    return special.logsumexp(each, axis=-1) - np.log(len(mean))


def test_the_prior_is_the_mean_of_the_pseudo_inputs_posteriors():
    model = small()
    z = np.random.default_rng(1).normal(size=(6, 2)).astype("float32")
    np.testing.assert_allclose(numpy(model.log_prior(z)), prior_by_hand(model, z), rtol=1e-4)


def test_the_loss_is_the_papers():
    model = small()
    rng = np.random.default_rng(2)
    x = rng.integers(0, 2, (5, 4)).astype("float32")
    noise = rng.normal(size=(5, 2)).astype("float32")
    kernel, bias = model.encoder.get_weights()
    mean, log_variance = np.split(x @ kernel + bias, 2, axis=1)
    z = mean + np.exp(log_variance / 2) * noise
    kernel, bias = model.decoder.get_weights()
    nats = -stats.bernoulli.logpmf(x, special.expit(z @ kernel + bias)).sum(1).mean()
    log_posterior = stats.norm(mean, np.exp(log_variance / 2)).logpdf(z).sum(1)
    kl = (log_posterior - prior_by_hand(model, z)).mean()
    given = ops.convert_to_tensor(x), (ops.convert_to_tensor(noise), None), None, False
    loss, terms = model.objective(*given)
    assert number(terms["reconstruction"]) == pytest.approx(nats, rel=1e-4)
    assert number(terms["kl"]) == pytest.approx(kl, rel=1e-4)
    assert number(loss) == pytest.approx(nats + kl, rel=1e-4)


def test_one_component_that_is_the_posterior_costs_nothing():
    """An encoder that ignores x: the prior is the posterior, whatever the sample."""
    model = VampVAE(constant(4, [0.5, -1.0, 0.2, 0.4]), constant(2, [0.0] * 4), latent_dim=2)
    x = np.ones((3, 4), "float32")
    _, terms = model.objective(ops.convert_to_tensor(x), model.draw_noise(x), None, False)
    assert number(terms["kl"]) == pytest.approx(0.0, abs=1e-5)
    # Then every importance weight is p(x | z), here 2^-4 whatever z.
    np.testing.assert_allclose(model.log_likelihood(x, 3), 4 * np.log(0.5), rtol=1e-5)


def test_samples_come_from_every_component():
    model = VampVAE(
        linear(np.diag([0, 0]), [0, -10.0]), linear([[1.0]], [0.0]), latent_dim=1, pseudo_inputs=2
    )
    model.encoder.set_weights([np.array([[20.0, 0], [0, 0]], "float32"), np.float32([-10, -12])])
    model.pseudo_logits.assign([[9.0, 0.0], [-9.0, 0.0]])
    codes = special.logit(numpy(model.sample(400, seed=0)).astype("float64"))
    assert 0.4 < (codes > 0).mean() < 0.6
    np.testing.assert_allclose(np.abs(codes), 10.0, atol=0.1)


def test_what_is_refused():
    with pytest.raises(ValueError, match="pseudo_inputs must be at least 1; got 0"):
        small(components=0)

"""The autoencoder against PCA, SciPy and moments by hand."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats
from sklearn.decomposition import PCA
from toys import constant, linear, number, numpy

from keras_gen.models import Autoencoder


def test_the_loss_is_the_squared_error_of_the_reconstruction_summed_over_pixels():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 2)), rng.normal(size=(2, 5))
    model = Autoencoder(linear(a, [1, 2]), linear(b, np.ones(5)), latent_dim=2)
    x = rng.normal(size=(7, 5)).astype("float32")
    rebuilt = (x @ a + [1, 2]) @ b + 1
    loss, _ = model.objective(ops.convert_to_tensor(x), None, None, training=False)
    assert number(loss) == pytest.approx(((x - rebuilt) ** 2).sum(1).mean(), rel=1e-5)
    np.testing.assert_allclose(numpy(model(x)), rebuilt, rtol=1e-4, atol=1e-5)


def test_bernoulli_reconstruction_is_minus_the_log_mass_and_shows_probabilities():
    logits = np.array([-2.0, 0.0, 3.0])
    decoder = constant(1, logits)
    encoder = constant(3, [0])
    model = Autoencoder(encoder, decoder, latent_dim=1, reconstruction="bernoulli")
    x = np.array([[0, 1, 1], [1, 0, 1]], "float32")
    probabilities = 1 / (1 + np.exp(-logits))
    loss, _ = model.objective(ops.convert_to_tensor(x), None, None, training=False)
    expected = -stats.bernoulli.logpmf(x, probabilities).sum(1).mean()
    assert number(loss) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(numpy(model(x))[0], probabilities, rtol=1e-5)


@pytest.mark.slow
def test_a_linear_autoencoder_learns_the_subspace_of_pca():
    """Baldi & Hornik 1989: its only minimum is PCA's, which no linear code can beat."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(64, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(64, 6)) + 1.0
    x = x.astype("float32")
    pca = PCA(2).fit(x)
    floor = ((x - pca.inverse_transform(pca.transform(x))) ** 2).sum(1).mean()
    start = 0.3 * rng.normal(size=(6, 2)), 0.3 * rng.normal(size=(2, 6))
    model = Autoencoder(linear(start[0], [0, 0]), linear(start[1], [0] * 6), latent_dim=2)
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(np.tile(x, (200, 1)), batch_size=len(x), shuffle=False, verbose=0)
    error = model.evaluate(x, batch_size=len(x), verbose=0, return_dict=True)["loss"]
    assert floor * (1 - 1e-4) < error < 1.02 * floor


@pytest.mark.slow
def test_samples_decode_codes_of_the_running_mean_and_variance():
    rng = np.random.default_rng(2)
    x = rng.normal(3.0, 2.0, (50, 2)).astype("float32")
    model = Autoencoder(linear(np.eye(2), [0, 0]), linear(np.eye(2), [0, 0]), latent_dim=2)
    model.compile(keras.optimizers.SGD(0.0))
    for _ in range(2):
        model.train_step(x)
    left = 0.99**2  # of the moments 0 and 1 with which the model starts
    np.testing.assert_allclose(numpy(model.code_mean), (1 - left) * x.mean(0), rtol=1e-4)
    np.testing.assert_allclose(numpy(model.code_variance), left + (1 - left) * x.var(0), rtol=1e-4)
    model.code_mean.assign([3.0, -1.0])
    model.code_variance.assign([4.0, 0.25])
    samples = numpy(model.sample(5000, seed=0))
    for column, law in zip(samples.T, (stats.norm(3, 2), stats.norm(-1, 0.5)), strict=True):
        assert stats.kstest(column, law.cdf).pvalue > 0.01


def test_sockets_and_an_unknown_reconstruction():
    assert Autoencoder.sockets((28, 28, 1), latent_dim=16) == {
        "encoder": ((28, 28, 1), (16,)),
        "decoder": ((16,), (28, 28, 1)),
    }
    with pytest.raises(ValueError, match="reconstruction must be one of 'squared_error', 'bern"):
        Autoencoder(None, None, latent_dim=1, reconstruction="l2")


def test_a_likelihood_is_asked_in_vain():
    model = Autoencoder(constant(3, [0]), constant(1, np.zeros(3)), latent_dim=1)
    with pytest.raises(TypeError, match="Autoencoder has no likelihood of examples. Take a family"):
        model.log_likelihood(np.zeros((2, 3), "float32"))

"""The discrepancy against plain loops and a closed form of two normal distributions."""

import numpy as np
import pytest
from keras import ops
from toys import linear, number, numpy

from keras_gen.losses import imq_kernel, maximum_mean_discrepancy, rbf_kernel
from keras_gen.models import WAE

RNG = np.random.default_rng(0)


def rbf(a, b, scale):
    return np.exp(-np.square(a - b).sum() / (2 * scale))


def imq(a, b, scale):
    return sum(
        s * scale / (s * scale + np.square(a - b).sum()) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10)
    )


@pytest.mark.parametrize("ours, theirs", [(rbf_kernel, rbf), (imq_kernel, imq)])
def test_the_discrepancy_is_the_u_statistic(ours, theirs):
    x, y = RNG.normal(size=(2, 6, 3)).astype("float32")
    pairs = [(i, j) for i in range(6) for j in range(6)]
    apart = [(i, j) for i, j in pairs if i != j]
    expected = sum(theirs(x[i], x[j], 1.7) + theirs(y[i], y[j], 1.7) for i, j in apart) / 30
    expected -= 2 * sum(theirs(x[i], y[j], 1.7) for i, j in pairs) / 36
    assert number(maximum_mean_discrepancy(x, y, ours, 1.7)) == pytest.approx(expected, rel=1e-4)


def test_the_discrepancy_of_two_normals():
    """`E k(x, y)` of N(0, I) and N(m, I) is `(s / (s + 2))^(d/2) exp(-|m|^2 / (2 (s + 2)))`."""
    scale, shift = 2.0, np.array([0.7, -0.4])

    def mean_kernel(m):
        return scale / (scale + 2) * np.exp(-(m @ m) / (2 * (scale + 2)))

    expected = 2 * mean_kernel(np.zeros(2)) - 2 * mean_kernel(shift)
    draws = [
        number(
            maximum_mean_discrepancy(
                RNG.normal(size=(300, 2)), RNG.normal(size=(300, 2)) + shift, rbf_kernel, scale
            )
        )
        for _ in range(40)
    ]
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(np.mean(draws) - expected) < 4 * error < 0.2 * expected


def test_the_loss_is_the_papers():
    encoder = linear(0.5 * RNG.normal(size=(4, 2)), RNG.normal(size=2))
    decoder = linear(RNG.normal(size=(2, 4)), RNG.normal(size=4))
    model = WAE(encoder, decoder, latent_dim=2, penalty_weight=3.0)
    x, prior = RNG.normal(size=(5, 4)).astype("float32"), RNG.normal(size=(5, 2)).astype("float32")
    codes = numpy(encoder(x))
    error = np.square(x - numpy(decoder(codes))).sum(1).mean()
    mmd = number(maximum_mean_discrepancy(codes, prior, imq_kernel, 4.0))
    loss, terms = model.objective(
        ops.convert_to_tensor(x), ops.convert_to_tensor(prior), None, False
    )
    assert number(terms["reconstruction"]) == pytest.approx(error, rel=1e-5)
    assert number(terms["discrepancy"]) == pytest.approx(mmd, rel=1e-4)
    assert number(loss) == pytest.approx(error + 3.0 * mmd, rel=1e-4)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"penalty_weight": -1.0}, "penalty_weight must not be negative; got -1.0"),
        ({"kernel": "laplace"}, "kernel must be one of 'imq', 'rbf'; got 'laplace'"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        WAE(None, None, latent_dim=2, **options)

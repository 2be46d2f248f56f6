"""The residual-quantized autoencoder against a greedy search in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops
from toys import linear, number, numpy

from keras_gen.models import ResidualVQVAE

RNG = np.random.default_rng(0)


def identity(levels=3, size=5, dim=2, **options):
    eye = [linear(np.eye(dim), np.zeros(dim)) for _ in range(2)]
    options = {"embedding_dim": dim, "codebook_size": size, "levels": levels, **options}
    model = ResidualVQVAE(*eye, **options)
    books = RNG.normal(size=(levels, size, dim)).astype("float32")
    for level, codebook in enumerate(model.codebooks):
        books[level] *= 0.5**level
        codebook.codes.assign(books[level])
    return model, books


def greedy(z, books):
    """Indices of each level, and the sums up to each."""
    indices, sums = [], [np.zeros_like(z)]
    for book in books:
        distances = (((z - sums[-1])[:, None] - book) ** 2).sum(-1)
        indices.append(distances.argmin(1))
        sums.append(sums[-1] + book[indices[-1]])
    return np.stack(indices, 1), sums


def test_each_level_quantizes_what_the_ones_before_left():
    model, books = identity()
    x = RNG.normal(size=(20, 2)).astype("float32")
    indices, sums = greedy(x, books)
    np.testing.assert_array_equal(numpy(model.codes(x)), indices)
    mean, deviation = (numpy(part) for part in model.encode(x))
    np.testing.assert_allclose(mean, sums[-1], atol=1e-5)
    np.testing.assert_array_equal(deviation, 0 * mean)
    np.testing.assert_allclose(numpy(model.decode_codes(indices)), sums[-1], atol=1e-5)
    np.testing.assert_allclose(numpy(model(x)), sums[-1], atol=1e-5)
    loss, terms = model.objective(ops.convert_to_tensor(x), None, None, training=False)
    errors = [((x - q) ** 2).sum(1).mean() for q in sums[1:]]
    assert number(terms["reconstruction"]) == pytest.approx(errors[-1], rel=1e-4)
    assert number(terms["commitment"]) == pytest.approx(sum(errors), rel=1e-4)
    assert number(loss) == pytest.approx(errors[-1] + 0.25 * sum(errors), rel=1e-4)


def test_the_encoder_is_given_the_decoders_gradient_at_the_sum():
    model, books = identity(beta=0.5, revive_after=None)
    x = RNG.normal(size=(6, 2)).astype("float32")
    _, sums = greedy(x, books)
    of_z = 2 * (sums[-1] - x) + 0.5 * sum(2 * (x - q) for q in sums[1:])
    model.compile(keras.optimizers.SGD(0.1))
    model.train_step(x)
    found = model.encoder.get_weights()[1]
    np.testing.assert_allclose(found, -0.1 * of_z.mean(0), rtol=1e-4, atol=1e-6)


def test_the_codebooks_learn_and_the_rest_shrinks_level_by_level():
    model, _ = identity(levels=4, size=8, decay=0.7)
    x = RNG.normal(size=(200, 2)).astype("float32")
    model.compile(keras.optimizers.SGD(0.0))
    for _ in range(15):
        model.train_step(x)
    _, sums = greedy(x, [numpy(codebook.codes) for codebook in model.codebooks])
    rests = [((x - q) ** 2).sum(1).mean() for q in sums]
    assert all(after < 0.6 * before for before, after in zip(rests, rests[1:], strict=False))
    _, found = model.residual_codes(ops.convert_to_tensor(x))
    np.testing.assert_allclose(numpy(found[-1]), sums[-1], atol=1e-4)


def test_each_level_has_codes_of_its_own_and_samples_use_their_counts():
    options = {"embedding_dim": 2, "codebook_size": 4, "levels": 2}
    eye = [linear(np.eye(2), np.zeros(2)) for _ in range(2)]
    model = ResidualVQVAE(*eye, **options)
    first, second = (numpy(codebook.codes) for codebook in model.codebooks)
    assert not np.array_equal(first, second)
    assert not any("codes" in variable.path for variable in model.trainable_variables)
    model.codebooks[0].counts.assign([0, 0, 1, 0])
    model.codebooks[1].counts.assign([0, 1, 0, 0])
    np.testing.assert_allclose(numpy(model.sample(3)), [first[2] + second[1]] * 3, atol=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"levels": 0}, "levels must be an integer of at least 1; got 0"),
        ({"size": 0}, "codebook_size must be an integer of at least 1; got 0"),
        ({"embedding_dim": 3}, r"embedding_dim: expected .* outputs end in 3; got \(2,\)"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        identity(**options)

"""The classifier learns, repeats, is saved, and gives features that belong to its last layer."""

import keras
import numpy as np
import pytest
from scipy.special import softmax

from keras_gen.metrics import Classifier

SHAPE, CLASSES = (8, 8, 1), 3


def data(count=300, seed=0):
    """Bright stripes: class 0 lies, class 1 stands, class 2 has none."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=count)
    x = rng.uniform(0, 0.5, size=(count, *SHAPE)).astype("float32")
    x[labels == 0, ::2] += 0.5
    x[labels == 1, :, ::2] += 0.5
    return x, labels


@pytest.fixture(scope="module")
def trained():
    return Classifier(SHAPE, CLASSES, name="stripes").fit(*data(), epochs=3, batch_size=32)


@pytest.mark.slow
def test_it_learns(trained):
    x, labels = data(seed=1)
    assert Classifier(SHAPE, CLASSES, name="new").accuracy(x, labels) < 0.7
    assert trained.accuracy(x, labels) > 0.95


def test_accuracy_counts_the_most_probable_class(trained):
    x, _ = data(40, seed=1)
    labels = trained.predict_proba(x).argmax(axis=1)
    assert trained.accuracy(x, labels) == 1.0
    labels[:10] = (labels[:10] + 1) % CLASSES
    assert trained.accuracy(x, labels[:, None]) == 0.75


def test_features_are_what_the_last_layer_reads(trained):
    x, _ = data(40, seed=1)
    features, p = trained.features(x, batch_size=16), trained.predict_proba(x)
    assert features.shape == (40, 128) and features.dtype == np.float32
    assert features.min() >= 0
    kernel, bias = trained.network.get_layer("logits").get_weights()
    np.testing.assert_allclose(softmax(features @ kernel + bias, axis=1), p, atol=1e-5)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.slow
def test_the_seed_decides_weights_and_order(trained):
    again = Classifier(SHAPE, CLASSES, name="stripes").fit(*data(), epochs=3, batch_size=32)
    other = Classifier(SHAPE, CLASSES, name="stripes", seed=1)
    x, _ = data(5, seed=1)
    np.testing.assert_allclose(again.features(x), trained.features(x), atol=1e-5)
    assert not np.allclose(other.fit(*data(), epochs=3).features(x), trained.features(x))


@pytest.mark.slow
def test_training_leaves_the_global_seed_alone():
    keras.utils.set_random_seed(0)
    expected = np.random.random()
    keras.utils.set_random_seed(0)
    Classifier(SHAPE, CLASSES, name="stripes").fit(*data(64), epochs=1)
    assert np.random.random() == expected


def test_save_and_load_keep_the_features_and_the_name(trained, tmp_path):
    trained.save(tmp_path / "stripes.keras")
    loaded = Classifier.load(tmp_path / "stripes.keras")
    x, _ = data(20, seed=1)
    assert loaded.name == trained.name == "stripes"
    np.testing.assert_array_equal(loaded.features(x), trained.features(x))
    np.testing.assert_array_equal(loaded.predict_proba(x), trained.predict_proba(x))


def test_it_measures_in_float32_whatever_the_policy():
    x, expected = data(5)[0], Classifier(SHAPE, CLASSES, name="stripes").features(data(5)[0])
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        features = Classifier(SHAPE, CLASSES, name="stripes").features(x)
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_array_equal(features, expected)


def test_wrong_images_and_labels_are_named(trained):
    x, labels = data(4)
    for wrong in (x * 2 - 1, x * 255, x * np.nan):
        with pytest.raises(ValueError, match=r"^images: expected values in \[0, 1\], got"):
            trained.features(wrong)
    with pytest.raises(ValueError, match="^labels: expected 4, one an image, got 3"):
        trained.accuracy(x, labels[:3])

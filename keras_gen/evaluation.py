"""What the names in a config's `[evaluate]` mean: each a function of a trained model and its data.

Every result has the floor it must beat, or the ceiling it cannot pass, beside it. Numbers that
compare features carry the name of the classifier whose features they are. What each metric's
results will be called is known before anything is trained.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BATCH = 500  # images at a time
LEAST_SHOWN = 75_000  # images a classifier is shown: small sets are passed more often
MOST_NUMBERS = 2**26  # pixels of training images held at once: 256 MB
POOL = 10_000  # digits that stacks without a model are drawn from
CLASS = "#"  # in the name of a result: the number of a class, from 0
FIDELITY = ("precision", "recall", "density", "coverage")
CONTENDERS = ("", "_of_gaussian", "_of_held_out")  # the samples, and what stands beside them


class Judges:
    """The classifiers of some data, trained when first asked for; models of it may share them.

    Args:
        data: what has `.train`, a `keras_gen.data.Dataset`.
    """

    def __init__(self, data):
        self.data = data

    @functools.cached_property
    def classifier(self):
        """A small classifier trained on the training images, named after the data."""
        from keras_gen import metrics

        train = self.data.train
        images, labels = _labelled(train)
        classifier = metrics.Classifier(
            train.shape, train.num_classes, name=_named(train.name, "cnn")
        )
        epochs = max(5, LEAST_SHOWN // len(images))
        return classifier.fit(images, labels, epochs=epochs)

    @functools.cached_property
    def judge(self):
        """A classifier that rejects: trained as `classifier`, or on images the data keep for it."""
        from keras_gen import metrics

        parts = self.data.train.modes
        train = self.data.train if parts is None else parts.judging
        images, labels = _labelled(train)
        name = _named(train.name, "judge")
        judge = metrics.RejectingClassifier(train.shape, train.num_classes, name=name)
        return judge.fit(images, labels)


def _labelled(train):
    """Images to train a classifier on, in [0, 1], and their labels."""
    if train.num_classes is None:
        raise ValueError(
            f"evaluate.metrics: a classifier needs labels, {train.name} has none; take "
            "metrics that need none"
        )
    images, labels = train.arrays(limit=MOST_NUMBERS // int(np.prod(train.shape)))
    return in_unit_range(images, train.value_range), labels


class Trial:
    """A trained model, its data, and what several metrics share.

    Args:
        model: a trained `GenerativeModel`.
        data: what has `.train` and `.test`, each a `keras_gen.data.Dataset`.
        samples: most examples to generate where a metric compares samples.
        importance_samples: of each posterior, where a metric estimates `log p(x)`.
        likelihood_examples: most test examples, the first ones, of which it does.
        truncation: what samples are drawn with, as the model's `sample` takes it; None for none.
        seed: of these samples.
        judges: the `Judges` of the data; its own where None.
    """

    def __init__(
        self,
        model,
        data,
        *,
        samples=5000,
        importance_samples=500,
        likelihood_examples=1000,
        truncation=None,
        seed=0,
        judges=None,
    ):
        self.judges = Judges(data) if judges is None else judges
        self.model = model
        self.data = data
        self.samples = samples
        self.importance_samples = importance_samples
        self.likelihood_examples = min(likelihood_examples, len(data.test))
        self.sampling = {} if truncation is None else {"truncation": truncation}
        self.seed = seed

    @property
    def conditional(self):
        """Whether the model takes labels."""
        return getattr(self.model, "num_classes", None) is not None

    @functools.cached_property
    def train_images(self):
        """Training images in [0, 1], as many as `MOST_NUMBERS` allow, spread over the set."""
        most = MOST_NUMBERS // int(np.prod(self.data.train.shape))
        return self.in_unit_range(self.data.train.arrays(limit=most)[0])

    @functools.cached_property
    def test_images(self):
        """All test images in [0, 1]."""
        return self.in_unit_range(self.data.test.images())

    def binary_test_images(self, count):
        """The first test images, binarized with the grey levels as probabilities."""
        return self._binarized(self.data.test.images(np.arange(count)))

    def binary_train_images(self):
        """The training images, binarized so."""
        return self._binarized(self.train_images)

    def _binarized(self, levels):
        random = np.random.default_rng(self.seed).random(levels.shape)
        return (random < levels).astype("float32")

    @property
    def classifier(self):
        """A classifier of the data."""
        return self.judges.classifier

    @property
    def judge(self):
        """A classifier of the data that rejects."""
        return self.judges.judge

    def generate(self, count):
        """Samples of the model, images in [0, 1]: the same for the same seed."""
        return np.concatenate(list(self.parts(count)))

    def parts(self, count):
        """What `generate` makes, some samples at a time."""
        for part, start in enumerate(range(0, count, BATCH)):
            size = min(BATCH, count - start)
            samples = as_array(self.model.sample(size, seed=self.seed + part, **self.sampling))
            if self.in_reals:
                yield samples
            else:
                yield np.clip(self.in_unit_range(samples), 0.0, 1.0)

    @property
    def in_reals(self):
        """Whether the data are any real numbers: signals or vectors, and not images."""
        return self.data.train.value_range is None

    def pairs(self, split):
        """Inputs and targets of a split of pairs, in the data's range, some at a time."""
        dataset = getattr(self.data, split)
        for start in range(0, len(dataset), BATCH):
            images = dataset.images(slice(start, start + BATCH))
            yield np.split(images, [dataset.input_channels], axis=-1)

    def in_unit_range(self, images):
        """Images of the data's range, brought to [0, 1]; signals and vectors as they are."""
        return in_unit_range(images, self.data.train.value_range)


def in_unit_range(images, value_range):
    """`(images - low) / (high - low)`; as they are where there is no range."""
    if value_range is None or tuple(value_range) == (0, 1):
        return images
    low, high = value_range
    return (images - low) / (high - low)


def evaluate(model, data, names, **options):
    """Judges a trained model.

    Args:
        model: a trained `GenerativeModel`.
        data: what has `.train` and `.test`, each a `keras_gen.data.Dataset`.
        names: of `METRICS`.
        **options: of a `Trial`.

    Returns:
        `{result: number}`; one metric may give several results.
    """
    trial = Trial(model, data, **options)
    results = {}
    for name in names:
        results.update(METRICS[name].measure(trial))
    return results


def loss(trial):
    """Every term of the objective on the test images, as `test_<term>`.

    The noise is the same in each evaluation. The `test_loss` of a plain VAE is its -ELBO in nats an
    image; `elbo` is that of any family that binarizes.
    """
    batches = trial.data.test.batches(BATCH, labels=trial.conditional)
    terms = trial.model.evaluate(batches, return_dict=True, verbose=0)
    return {f"test_{term}": float(value) for term, value in terms.items()}


def reconstruction_error(trial):
    """Squared error of rebuilt test images, pixels in [0, 1], summed over an image.

    Or over a signal or a vector, as they are. Its floor is that of principal components, as many as
    the code has numbers.
    """
    from keras_gen import metrics

    test = trial.data.test
    errors = []
    for start in range(0, len(test), BATCH):
        rows = np.arange(start, min(start + BATCH, len(test)))
        images = test.images(rows)
        inputs = (images, test.labels(rows)) if trial.conditional else images
        rebuilt = trial.in_unit_range(as_array(trial.model(inputs)))
        squares = np.square(rebuilt - trial.in_unit_range(images))
        errors.append(squares.reshape(len(rows), -1).sum(axis=1))
    results = {"reconstruction_error": float(np.concatenate(errors).mean(dtype="float64"))}
    size = getattr(trial.model, "latent_dim", None)
    if size is not None:  # a code of several layers has none
        results["reconstruction_error_of_pca"] = metrics.pca_reconstruction_error(
            trial.train_images, trial.test_images, min(size, int(np.prod(test.shape)))
        )
    return results


def independent_pixels_nll(trial):
    """Nats an image of a model of independent pixels: what a VAE's `test_loss` must beat.

    Linear in the pixels, so the grey levels give the mean over all dynamic binarizations.
    """
    from keras_gen import metrics

    nll = metrics.independent_pixels_nll(trial.train_images, trial.test_images)
    return {"independent_pixels_nll": nll}


def mixtures_nll(trial):
    """Nats an image of mixtures of 100 Bernoulli products, and of 100 Gaussians.

    Floors of `log_likelihood`, on the same binarized test images.
    """
    from keras_gen import metrics

    train = trial.binary_train_images()
    test = trial.binary_test_images(trial.likelihood_examples)
    measures = (metrics.bernoulli_mixture_nll, metrics.gaussian_mixture_nll)
    return {measure.__name__: measure(train, test, seed=trial.seed) for measure in measures}


def elbo(trial):
    """`-ELBO` in nats of all test images: one sample of each posterior.

    It holds for a family whatever it was trained by: a weight on one of the parts of its loss,
    or more samples of a tighter bound, do not enter. Pixels as in `log_likelihood`.
    """
    return {"negative_elbo": _nats(trial, len(trial.data.test), samples=1)}


def log_likelihood(trial):
    """`-log p(x)` in nats of the first test images, by importance samples of each.

    Pixels are binarized with the grey levels as probabilities, from a fixed seed: only there do
    nats mean something.
    """
    nats = _nats(trial, trial.likelihood_examples, trial.importance_samples)
    return {"negative_log_likelihood": nats}


def _nats(trial, count, samples):
    """`-log p(x)` by so many samples, averaged over the first binarized test images."""
    model = trial.model
    if not getattr(model, "binarize", False):
        raise ValueError(
            "evaluate.metrics: nats need a family with a likelihood of binary pixels "
            f"(binarize = true), got {type(model).__name__} with "
            f"binarize = {getattr(model, 'binarize', None)!r}"
        )
    pixels = trial.binary_test_images(count)
    labels = trial.data.test.labels(np.arange(count)) if trial.conditional else None
    nats = model.log_likelihood(pixels, samples, labels=labels, seed=trial.seed)
    return -float(nats.mean(dtype="float64"))


def precision_recall(trial):
    """Precision and recall of samples against test images, in the features of a classifier.

    Of vectors as they are. Beside the samples stand those of a Gaussian fitted to the pixels (the
    floor), and as many other test images (what data itself reaches).
    """
    real, contenders = _contenders(trial)
    if trial.in_reals:
        return _scores("", lambda vectors: vectors, real, contenders)
    return _scores(f"{trial.classifier.name}_", trial.classifier.features, real, contenders)


def accepted(trial):
    """The share of samples that a classifier takes for images of the data, which may reject them.

    It rejects what it is less than 0.9 sure of; `_share_of_i` are those it takes for class i, which
    sum to those accepted. Precision and recall are those in its features, of half as many samples
    as there are test images, and beside them stand the rows of `precision_recall`; `_accuracy` is
    the share of all test images whose most probable class is theirs.
    """
    judge = trial.judge
    samples = trial.generate(trial.samples)
    real, contenders = _contenders(trial, samples)
    results = {
        f"{judge.name}_accuracy": judge.accuracy(trial.test_images, trial.data.test.labels())
    }
    for suffix, images in {**contenders, "": samples}.items():
        classes = judge.classify(images)
        results[f"{judge.name}_accepted{suffix}"] = float((classes >= 0).mean())
        for i in range(trial.data.train.num_classes):
            results[f"{judge.name}_share_of_{i}{suffix}"] = float((classes == i).mean())
    return {**results, **_scores(f"{judge.name}_", judge.features, real, contenders)}


def _contenders(trial, samples=None):
    """Half of the test examples, and who is held against them: `{suffix: examples}`."""
    from keras_gen import metrics

    count = min(trial.samples, len(trial.data.test) // 2)
    real, held_out = (trial.test_images[first::2][:count] for first in (0, 1))
    limits = None if trial.in_reals else (0.0, 1.0)
    gaussian = metrics.fitted_gaussian_samples(trial.train_images, count, trial.seed, limits)
    return real, {
        "": trial.generate(count) if samples is None else samples[:count],
        "_of_gaussian": gaussian,
        "_of_held_out": held_out,
    }


def _scores(prefix, features, real, contenders):
    """`{prefix + score + suffix: number}`: precision, recall, density and coverage of each."""
    from keras_gen import metrics

    reference = features(real)
    return {
        f"{prefix}{score}{suffix}": float(value)
        for suffix, examples in contenders.items()
        for score, value in metrics.precision_recall(reference, features(examples)).items()
    }


def mode_coverage(trial):
    """How many of the known modes the samples reach, how evenly, and how many of them lie near one.

    Beside the samples stand the test points, and a Gaussian fitted to the training points.
    """
    from keras_gen import metrics

    modes, count = trial.data.train.modes, trial.samples
    contenders = {
        "": trial.generate(count),
        "_of_gaussian": metrics.fitted_gaussian_samples(trial.train_images, count, trial.seed),
        "_of_held_out": trial.test_images,
    }
    return {
        f"{score}{suffix}": value
        for suffix, points in contenders.items()
        for score, value in metrics.gaussian_mode_coverage(points, *modes).items()
    }


def stacked_mode_coverage(trial):
    """How many of the thousand modes of three stacked digits the samples cover, and how well.

    Each channel is classified by a classifier that rejects, trained on digits that are in no stack;
    modes and their divergence are those of the stacks it accepts. These judge the combination.
    Precision, recall, and the mean distance to the nearest training digit judge single digits, one
    channel of a sample each: a mode is a combination of independent digits, and neighbours among
    digits mean more than among stacks, of which no two are alike. `_covers` is 1 where
    `metrics.covers` says so.

    The other rows are stacks of three drawn from a pool of digits: of a Gaussian fitted to the
    training digits, of independent pixels, of ten training digits, the first of each class that is
    accepted, and of digits held out, which nothing was trained on.
    """
    from keras_gen import metrics

    modes, judge, count = trial.data.train.modes, trial.judge, trial.samples
    seen, held_out = (trial.in_unit_range(part.images()) for part in (modes.seen, modes.held_out))
    real, others = held_out[::2], held_out[1::2]
    reference = judge.features(real)
    taken_for = judge.classify(seen)
    _, firsts = np.unique(taken_for[taken_for >= 0], return_index=True)
    pools = {
        "_of_gaussian": metrics.fitted_gaussian_samples(seen, POOL, trial.seed, (0.0, 1.0)),
        "_of_independent_pixels": metrics.independent_pixels_samples(seen, POOL, trial.seed),
        "_of_ten_images": seen[taken_for >= 0][firsts],
        "_of_held_out": others,
    }
    results = {"accuracy": judge.accuracy(held_out, modes.held_out.labels())}

    def measure(suffix, classes, digits):
        scores = metrics.stacked_mode_coverage(classes, judge.classes)
        fidelity = metrics.precision_recall(reference, judge.features(digits))
        scores |= {name: fidelity[name] for name in ("precision", "recall")}
        scores["distance"] = float(metrics.nearest_neighbour_distance(digits, seen).mean())
        scores["covers"] = float(
            metrics.covers(
                scores["modes"],
                judge.classes ** classes.shape[1],
                *(scores[name] for name in ("reverse_kl", "precision", "recall")),
            )
        )
        results.update({f"{score}{suffix}": value for score, value in scores.items()})

    classes, digits = [], []
    for stacks in trial.parts(count):
        singles = np.moveaxis(stacks, -1, 1)[..., None]
        found = judge.classify(singles.reshape(-1, *real.shape[1:]))
        classes.append(found.reshape(singles.shape[:2]))
        digits.append(singles[np.arange(len(stacks)), np.arange(len(stacks)) % stacks.shape[-1]])
    measure("", np.concatenate(classes), np.concatenate(digits)[: len(real)])
    rng = np.random.default_rng([trial.seed, 1])
    for suffix, pool in pools.items():
        drawn = rng.integers(len(pool), size=(count, trial.data.train.shape[-1]))
        some = pool if len(pool) >= len(real) else pool[drawn.ravel()]
        measure(suffix, judge.classify(pool)[drawn], some[: len(real)])
    return {f"{judge.name}_{score}": value for score, value in results.items()}


def stylized_facts(trial):
    """What returns of any market have, of samples, of training windows and of test windows.

    Beside them stands the Gaussian fitted to the training windows, which has none of it.
    """
    from keras_gen import metrics

    count = trial.samples
    contenders = {
        "": trial.generate(count),
        "_of_train": trial.train_images,
        "_of_test": trial.test_images,
        "_of_gaussian": metrics.fitted_gaussian_samples(trial.train_images, count, trial.seed),
    }
    return {
        f"{fact}{suffix}": value
        for suffix, windows in contenders.items()
        for fact, value in metrics.stylized_facts(windows).items()
    }


def translation_error(trial):
    """Mean absolute error per pixel of translated test inputs, in units of [0, 1].

    Its floors know no network: the input itself, the input and what targets are brighter on
    average, the target of the training pair whose input is nearest. Training pairs are taken as
    they are loaded: under `unpaired`, the last two know as little as the model.
    """
    from keras_gen import metrics

    made = []
    for inputs, _ in trial.pairs("test"):
        made.append(trial.in_unit_range(as_array(trial.model.translate(inputs))))
    inputs, targets = (
        trial.in_unit_range(np.concatenate(parts))
        for parts in zip(*trial.pairs("test"), strict=True)
    )
    blocks = (map(trial.in_unit_range, pair) for pair in trial.pairs("train"))
    baselines = metrics.translation_baselines(blocks, inputs)
    contenders = {
        "": np.clip(np.concatenate(made), 0.0, 1.0),
        **{f"_of_{name}": translated for name, translated in baselines.items()},
    }
    return {
        f"translation_error{suffix}": float(np.abs(translated - targets).mean(dtype="float64"))
        for suffix, translated in contenders.items()
    }


def class_shares(trial):
    """The share of samples that the classifier takes for each class, and its own accuracy."""
    classifier = trial.classifier
    classes = classifier.predict_proba(trial.generate(trial.samples)).argmax(axis=1)
    shares = np.bincount(classes, minlength=trial.data.train.num_classes) / len(classes)
    accuracy = classifier.accuracy(trial.test_images, trial.data.test.labels())
    return {
        f"{classifier.name}_accuracy": float(accuracy),
        **{f"{classifier.name}_share_of_{i}": float(share) for i, share in enumerate(shares)},
    }


@dataclass(frozen=True)
class Outline:
    """What a config says of a model and its data, while neither is there.

    Args:
        source: name of the data, as of a `keras_gen.data.Dataset`.
        kind: of its examples: "images", "pairs", "signals" or "vectors".
        terms: of the model's loss.
        one_code: whether a code has one size, so that as many principal components stand beside it.
    """

    source: str
    kind: str
    terms: tuple
    one_code: bool


@dataclass(frozen=True)
class Metric:
    """What one name in `[evaluate]` stands for.

    Args:
        measure: `Trial` -> `{result: number}`.
        names: `Outline` -> the results' names, `CLASS` standing for the number of a class.
        needs: the network that a family must have, or None.
        of: of "images", "pairs" of them, "signals" and "vectors" those it is for; none for all.
        sources: the sources it is for; none for all.
        of_binary_pixels: whether it is in nats that only binarized pixels have.
    """

    measure: Callable
    names: Callable
    needs: str | None = None
    of: tuple = ()
    sources: tuple = ()
    of_binary_pixels: bool = False


def names(metrics, outline):
    """What the results of some metrics will be called.

    Args:
        metrics: names of `METRICS`.
        outline: the `Outline` of what will be judged.

    Returns:
        A list of names; `CLASS` in one stands for the number of a class.
    """
    return [name for metric in metrics for name in METRICS[metric].names(outline)]


def is_named(result, names):
    """Whether a result is among `names`, as the function of that name gives them."""
    return re.sub(r"(_share_of_)\d+", rf"\1{CLASS}", result) in names


def _each(scores, suffixes=CONTENDERS, prefix=""):
    return [f"{prefix}{score}{suffix}" for suffix in suffixes for score in scores]


def _names_of_rebuilding(outline):
    return _each(["reconstruction_error"], ["", "_of_pca"] if outline.one_code else [""])


def _names_of_fidelity(outline):
    prefix = "" if outline.kind == "vectors" else f"{_named(outline.source, 'cnn')}_"
    return _each(FIDELITY, prefix=prefix)


def _names_of_judging(outline):
    scores = _each(["accepted", f"share_of_{CLASS}", *FIDELITY])
    return [f"{_named(outline.source, 'judge')}_{name}" for name in ("accuracy", *scores)]


def _names_of_shares(outline):
    return _each(["accuracy", f"share_of_{CLASS}"], [""], f"{_named(outline.source, 'cnn')}_")


def _names_of_stacks(outline):
    scores = ("accepted", "modes", "reverse_kl", "precision", "recall", "distance", "covers")
    floors = ("_of_gaussian", "_of_independent_pixels", "_of_ten_images", "_of_held_out")
    each = _each(scores, ["", *floors])
    return [f"{_named(outline.source, 'judge')}_{name}" for name in ("accuracy", *each)]


METRICS = {
    "loss": Metric(loss, lambda outline: [f"test_{term}" for term in outline.terms]),
    "reconstruction_error": Metric(reconstruction_error, _names_of_rebuilding, needs="encoder"),
    "independent_pixels_nll": Metric(
        independent_pixels_nll, lambda _: ["independent_pixels_nll"], of=("images",)
    ),
    "mixtures_nll": Metric(
        mixtures_nll, lambda _: ["bernoulli_mixture_nll", "gaussian_mixture_nll"], of=("images",)
    ),
    "elbo": Metric(elbo, lambda _: ["negative_elbo"], of=("images",), of_binary_pixels=True),
    "log_likelihood": Metric(
        log_likelihood,
        lambda _: ["negative_log_likelihood"],
        of=("images",),
        of_binary_pixels=True,
    ),
    "precision_recall": Metric(precision_recall, _names_of_fidelity, of=("images", "vectors")),
    "accepted": Metric(accepted, _names_of_judging, of=("images",)),
    "class_shares": Metric(class_shares, _names_of_shares, of=("images",)),
    "mode_coverage": Metric(
        mode_coverage,
        lambda _: _each(["modes", "high_quality", "reverse_kl"]),
        sources=("ring", "grid"),
    ),
    "stacked_mode_coverage": Metric(
        stacked_mode_coverage, _names_of_stacks, sources=("stacked_digits",)
    ),
    "stylized_facts": Metric(
        stylized_facts,
        lambda _: _each(
            ["excess_kurtosis", "autocorrelation", "volatility_clustering"],
            ["", "_of_train", "_of_test", "_of_gaussian"],
        ),
        of=("signals",),
    ),
    "translation_error": Metric(
        translation_error,
        lambda _: _each(
            ["translation_error"], ["", "_of_identity", "_of_mean_shift", "_of_nearest"]
        ),
        of=("pairs",),
    ),
}


def _named(source, what):
    """`"fashion_mnist_cnn"`: what a classifier is called that was trained on the data of a name."""
    return re.sub(r"\W+", "_", f"{source}_{what}")


def as_array(tensor):
    """A tensor of any backend as a NumPy array."""
    from keras import ops

    return ops.convert_to_numpy(tensor)

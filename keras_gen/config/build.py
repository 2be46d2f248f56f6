"""From a checked config to data and a compiled model."""

import contextlib
import itertools
import math
from dataclasses import dataclass

import keras

from keras_gen import data, runs
from keras_gen.config import files, schema
from keras_gen.config.errors import ConfigError
from keras_gen.models import FAMILIES
from keras_gen.networks import BUILDERS
from keras_gen.random import seeded_weights

OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "lion": keras.optimizers.Lion,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}


@dataclass(frozen=True)
class Splits:
    """The data of a config.

    Args:
        train: the `keras_gen.data.Dataset` to train on.
        test: the one held out.
        validation: the one cut from the training data, or None.
    """

    train: data.Dataset
    test: data.Dataset
    validation: data.Dataset | None = None


def build(config, overrides=()):
    """Builds what a config describes.

    Args:
        config: a path, the name of a preset, nested dicts, or a `Recipe`.
        overrides: texts such as `"model.latent_dim=8"`.

    Returns:
        `(model, data)`: a compiled `GenerativeModel` with the weights that `train.seed` gives or
        `train.start_from` holds, and `Splits`: `model.fit(data.train.batches(64))` trains it.

    Raises:
        ConfigError: the config is wrong, or does not fit the data or the run it starts from.
        DataError: the data is not what it should be.
    """
    recipe = files.read(config, overrides)
    splits = load_data(recipe)
    return build_model(recipe, splits.train), splits


def load_data(recipe):
    """Loads the splits of a recipe's data.

    Args:
        recipe: a `Recipe`.

    Returns:
        `Splits`.

    Raises:
        DataError: the data is not what it should be.
    """
    section = recipe.config.data
    options = section.model_dump(exclude={"source", "augment"})
    splits = ["train", "test"] + ["validation"] * bool(section.validation_fraction)
    return Splits(**{split: data.load(section.source, split, **options) for split in splits})


def build_model(recipe, dataset, *, resumed=False):
    """Builds and compiles the model of a recipe for images of one shape.

    Args:
        recipe: a `Recipe`.
        dataset: the `keras_gen.data.Dataset` it will be trained on.
        resumed: whether its weights come from a checkpoint, so that the run it once started from
            is not needed.

    Returns:
        A compiled `GenerativeModel`.

    Raises:
        ConfigError: an option is out of its range, or does not fit the data or the run that it
            starts from.
    """
    config = recipe.config
    family = FAMILIES[config.model.family]
    options = schema.options_of(config)
    if options.get("num_classes") is not None:
        options["num_classes"] = _classes(options["num_classes"], dataset, recipe.name)
    if "input_channels" in options:
        wanted = options["input_channels"]
        options["input_channels"] = _input_channels(wanted, dataset, recipe.name)
    with seeded_weights(config.train.seed), _policy(config.train.precision):
        shapes = family.sockets(dataset.shape, **options)
        networks = {}
        for socket, (network, settings) in schema.sockets_of(config).items():
            if settings.get("num_classes") is not None:  # a network that tells labels apart itself
                settings["num_classes"] = _classes(settings["num_classes"], dataset, recipe.name)
            with _blaming(f"{recipe.name}: model.{socket}"):
                networks[socket] = BUILDERS[network](*shapes[socket], **settings, name=socket)
        for socket, count in config.train.freeze.items():
            with _blaming(f"{recipe.name}: train.freeze.{socket}"):
                _freeze(networks[socket], count)
        with _blaming(f"{recipe.name}: model"):
            model = family(**networks, **options, seed=config.train.seed, name=config.model.family)
        steps = steps_per_epoch(recipe, dataset)
        with _blaming(f"{recipe.name}: train"):
            model.check_run(steps * config.train.epochs)
            model.compile(
                _optimizers(config.train, steps),
                jit_compile=config.train.jit_compile,
                steps_per_execution=config.train.steps_per_execution,
            )
        if config.train.start is not None:
            with _blaming(f"{recipe.name}: train.start"):
                if not hasattr(model, "start_at"):
                    raise ValueError(f"{config.model.family} has no decoder that begins at a mean")
                examples, _ = dataset.arrays(limit=10_000)  # spread evenly over the split
                examples = examples.astype("float64")
                model.start_at(examples.mean(axis=0), examples.std(axis=0))
    if config.train.start_from is not None and not resumed:
        with _blaming(f"{recipe.name}: train.start_from"):
            _take_weights(model, networks, config.train.start_from)
    return model


def _freeze(network, count):
    """Lets the first layers with weights not learn; batch statistics in them stand still too.

    Reference:
        Mo et al. 2020, "Freeze the Discriminator: a Simple Baseline for Fine-Tuning GANs".
    """
    layers = [layer for layer in network.layers if layer.weights]
    for layer in layers[:count]:
        layer.trainable = False
    if not network.trainable_variables:
        raise ValueError(
            f"expected fewer than its {len(layers)} layers with weights, so that some of it "
            f"learns, got {count}"
        )


def _take_weights(model, sockets, run):
    """Begins with the weights of a run's networks; all of them fit, or none is changed."""
    folder = files.find_run(run)
    source = runs.load_model(folder)
    taken = []
    for socket in sockets:
        ours, theirs = getattr(model, socket), getattr(source, socket, None)
        if theirs is None:
            raise ValueError(f"{folder}: its {type(source).__name__} has no network {socket!r}")
        for here, there in itertools.zip_longest(ours.weights, theirs.weights):
            here, there = (w is not None and f"{w.name} {tuple(w.shape)}" for w in (here, there))
            if here != there:
                raise ValueError(
                    f"{folder}: its {socket} does not fit: where it has {there or 'no weight'}, "
                    f"[model.{socket}] has {here or 'none'}; give both the same network and shape "
                    "of images"
                )
        taken.append((ours, theirs.get_weights()))
    for network, weights in taken:
        network.set_weights(weights)
    model.restart_averages()


def batches(recipe, dataset):
    """The training batches of a recipe: shuffled from its seed, with labels where it needs them.

    Args:
        recipe: a `Recipe`.
        dataset: the `keras_gen.data.Dataset` to read.

    Returns:
        A `keras_gen.data.Batches`.
    """
    section = recipe.config.data.augment
    train = recipe.config.train
    return dataset.batches(
        train.batch_size,
        shuffle_seed=train.seed,
        labels=is_conditional(recipe),
        augment=None if section is None else data.augmentation(**section.model_dump()),
        drop_last=train.drop_last,
    )


def steps_per_epoch(recipe, dataset):
    """How many batches of `dataset` an epoch of a recipe has."""
    train = recipe.config.train
    batches = len(dataset) / train.batch_size
    return math.floor(batches) if train.drop_last else math.ceil(batches)


def is_conditional(recipe):
    """Whether the model of a recipe takes labels."""
    return schema.options_of(recipe.config).get("num_classes") is not None


def _classes(wanted, dataset, name):
    there = dataset.num_classes
    if there is None or not dataset.has_labels:
        raise ConfigError(
            f"{name}: model.num_classes: a conditional model needs labels, {dataset.name} has "
            "none; take another source, or leave num_classes out"
        )
    if wanted not in ("data", there):
        raise ConfigError(
            f"{name}: model.num_classes: {dataset.name} has {there} classes, got {wanted}; "
            'set num_classes = "data"'
        )
    return there


def _input_channels(wanted, dataset, name):
    there = dataset.input_channels
    if wanted not in ("data", there):
        raise ConfigError(
            f"{name}: model.input_channels: the inputs of {dataset.name} have {there}, got "
            f"{wanted}; leave it out"
        )
    return there


def _optimizers(train, steps):
    section = train.optimizer
    if isinstance(section, schema.Optimizer):
        return _optimizer(section, train, steps)
    return {
        player: _optimizer(getattr(section, player), train, steps)
        for player in type(section).model_fields
    }


def _optimizer(section, train, steps):
    options = section.model_dump(exclude={"name", "learning_rate"}, exclude_none=True)
    rate = section.learning_rate
    if isinstance(rate, schema.Section):
        rate = _schedule(rate, train.epochs, steps)
    return OPTIMIZERS[section.name](rate, **options)


def _schedule(section, epochs, steps):
    """A Keras schedule, from one that counts in epochs of so many steps."""
    schedules = keras.optimizers.schedules
    if section.schedule == "exponential":
        every = round(section.every_epochs * steps)
        return schedules.ExponentialDecay(section.start, every, section.decay)
    if section.schedule == "piecewise":
        boundaries = [round(epoch * steps) for epoch in section.until_epochs]
        return schedules.PiecewiseConstantDecay(boundaries, section.rates)
    warmup = round(section.warmup_epochs * steps)
    falling = max(1, epochs * steps - warmup)
    floor = section.floor / section.peak
    if not warmup:
        return schedules.CosineDecay(section.peak, falling, alpha=floor)
    return schedules.CosineDecay(
        0.0, falling, alpha=floor, warmup_target=section.peak, warmup_steps=warmup
    )


@contextlib.contextmanager
def _policy(precision):
    """The precision of what is built inside, and of nothing else."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextlib.contextmanager
def _blaming(field):
    """Names the table whose options a constructor refuses."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{field}: {error}") from error

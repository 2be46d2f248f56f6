"""What is done with a config or with a run's folder: train, load, evaluate, sample, export."""

import importlib.util
import inspect
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_gen import callbacks as pictures
from keras_gen import evaluation, runs
from keras_gen.config import build, files, schema
from keras_gen.config.errors import ConfigError, look_up
from keras_gen.data import is_sound, kind_of, write_sounds, write_table
from keras_gen.models import FAMILIES

# What each format needs on each backend, besides the backend.
EXPORT_NEEDS = {
    "onnx": {"jax": ("jax2onnx",), "tensorflow": ("tf2onnx",), "torch": ("onnxscript",)},
    "tf_saved_model": {"jax": ("tensorflow",), "torch": ("tensorflow", "torch_xla")},
}
PAIRS_SHOWN = 16  # in the grids of a model that translates


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    Args:
        folder: where it lies.
        model: the trained model.
        history: `{term: [number an epoch]}`.
        picture: the last grid of samples, or None.
    """

    folder: Path
    model: keras.Model
    history: dict
    picture: Path | None


@dataclass(frozen=True)
class Verdict:
    """One bound of `[expect]`, held against what was measured.

    Args:
        result: the name of what was measured.
        number: what came.
        expected: the bound, in words.
        met: whether it holds.
    """

    result: str
    number: float
    expected: str
    met: bool


def train(
    config, *, out=None, overrides=(), resume=False, overwrite=False, callbacks=(), verbose="auto"
):
    """Trains what a config describes, in a run's folder.

    Args:
        config: a path, the name of a preset, nested dicts, or a `Recipe`.
        out: the run's folder; `runs/<name of the config>` where None.
        overrides: texts such as `"train.epochs=3"`.
        resume: go on with the run in `out`.
        overwrite: replace the run in `out`.
        callbacks: Keras callbacks.
        verbose: as in `fit`.

    Returns:
        A `Run`.

    Raises:
        ConfigError: the config is wrong, or there is a run in `out` already.
        DataError: the data is not what it should be.
        RunError: the folder or a file in it is not what it should be.
        Diverged: the loss stopped being finite; the last good checkpoint stays.
    """
    recipe = files.read(config, overrides)
    folder = files.run_folder(recipe, out)
    files.check_run_folder(folder, resume=resume, overwrite=overwrite)
    splits = build.load_data(recipe)
    resumed = resume and (folder / "checkpoint" / "position.json").exists()
    model = build.build_model(recipe, splits.train, resumed=resumed)
    section = recipe.config.train
    batches = build.batches(recipe, splits.train)
    validation = splits.validation and splits.validation.batches(
        section.batch_size, labels=build.is_conditional(recipe)
    )
    if overwrite and folder.exists():
        shutil.rmtree(folder)
    history = runs.train(
        model,
        batches,
        folder=folder,
        epochs=section.epochs,
        config_text=recipe.text,
        validation=validation,
        sample_every=section.sample_every,
        value_range=recipe.config.data.pixel_range,
        pairs=_shown_pairs(recipe, splits.test),
        checkpoint_every=section.checkpoint_every,
        resume=resume,
        callbacks=[*_watchers(recipe, splits.train), *callbacks],
        verbose=verbose,
    )
    picture = _last_picture(recipe, model, splits, folder)
    if section.gif:
        grids = sorted(folder.glob("samples/epoch_*.png"), key=lambda path: (len(path.name), path))
        pictures.save_gif(grids, folder / "samples" / "training.gif")
    return Run(folder, model, history, picture)


def load(run):
    """Loads the trained model of a run.

    Args:
        run: the run's folder, or the name of a preset that was trained in `runs/<name>`.

    Returns:
        A compiled `GenerativeModel`, on any backend.

    Raises:
        ConfigError: there is no such run.
        RunError: the run is not finished, or its model is damaged.
    """
    folder = files.find_run(run)
    return _load(folder, files.read(folder / "config.toml"))


def evaluate(run, *, truncation=None):
    """Measures what `[evaluate]` of a run's config names, and writes it to `metrics.json`.

    Args:
        run: the run's folder, or the name of a preset that was trained in `runs/<name>`.
        truncation: of the samples, as `sample` takes it; that of `[evaluate]` where None.

    Returns:
        `{result: number}`.

    Raises:
        ConfigError: there is no such run, a metric does not fit the data, or its model has no noise
            to truncate.
        DataError: the data is not what it should be.
        RunError: the run is not finished, or its model is damaged.
    """
    ((_, results),) = evaluate_each([run], truncation=truncation)
    return results


def evaluate_each(runs, *, truncation=None):
    """Evaluates several runs; one on the data of the run before is judged by the same classifiers.

    Args:
        runs: of each the folder, or the name of a preset, as `evaluate` takes it.
        truncation: of the samples of each; that of its `[evaluate]` where None.

    Yields:
        `(recipe, {result: number})` of each in turn, once its `metrics.json` is written.

    Raises:
        ConfigError, DataError, RunError: as `evaluate`; of a folder or a config before the first.
    """
    folders = [files.find_run(run) for run in runs]
    overrides = [] if truncation is None else [f"evaluate.truncation={truncation}"]
    recipes = [files.read(folder / "config.toml", overrides) for folder in folders]
    judges, of = None, None
    for folder, recipe in zip(folders, recipes, strict=True):
        model = _load(folder, recipe)
        if judges is None or recipe.config.data != of:
            judges, of = evaluation.Judges(build.load_data(recipe)), recipe.config.data
        yield recipe, _measure(recipe, folder, model, judges)


def compare(recipe, run):
    """Evaluates a run that has ended, and holds `[expect]` of its recipe against the results.

    Args:
        recipe: a `Recipe` whose `[expect]` has bounds.
        run: the `Run` it ended in.

    Returns:
        A list of `Verdict`, one a bound.

    Raises:
        ConfigError: a result that is expected is not measured: a class that the data have not.
    """
    judges = evaluation.Judges(build.load_data(recipe))
    results = _measure(recipe, run.folder, run.model, judges)
    return [
        verdict
        for name, bound in recipe.config.expect.bounds.items()
        for verdict in _verdicts(recipe, name, bound, results)
    ]


def sample(run, *, count=64, seed=0, labels=None, truncation=None, out=None):
    """Writes samples of a trained run: a picture of them all, sounds in turn, or rows of a table.

    Of a run that translates images: test inputs drawn at random, what becomes of each, and the
    truth below it.

    Args:
        run: the run's folder, or the name of a preset that was trained in `runs/<name>`.
        count: number of samples; of test inputs at most as many as there are.
        seed: the same samples each time.
        labels: classes of a conditional model, repeated in turn; all where None.
        truncation: of a model that makes examples from noise z: the largest absolute value of z,
            above 0; of a StyleGAN the share of its distance from the mean that a style keeps; less
            of it trades variety for fidelity. None for any.
        out: the `.png` file to write, or of a run on `sound:<path>` a `.wav` file, of one on
            vectors a `.csv` file; `samples.png` in the run's folder where None.

    Returns:
        The `Path` that was written.

    Raises:
        ConfigError: there is no such run, a label is not one of its classes, its model has no noise
            to truncate, or `out` is not such a file.
        DataError: the data, whose units are those of sounds and of rows, or the images to translate
            are gone.
        RunError: the run is not finished, or its model is damaged.
    """
    folder = files.find_run(run)
    recipe = files.read(folder / "config.toml")
    out = folder / "samples.png" if out is None else Path(out)
    source, suffix = recipe.config.data.source, out.suffix.lower()
    heard = suffix == ".wav" and is_sound(source)
    listed = suffix == ".csv" and kind_of(source) == "vectors"
    if not heard and not listed and suffix != ".png":
        raise ConfigError(
            "--out: expected a .png file, or of a run on sound:<path> a .wav file, of one on "
            f"vectors a .csv file, got {out}"
        )
    data = None
    if heard or listed or schema.translates(recipe.config):
        data = build.load_data(recipe)
    model = _load(folder, recipe)
    classes = getattr(model, "num_classes", None)
    _check_labels(labels, classes, folder)
    _check_truncation(truncation, model, folder)
    columns = None if classes is None else len(labels or range(classes))
    pairs = data and _shown_pairs(recipe, data.test, count, seed)
    if pairs is not None:
        _write_grid(pictures.TranslationGrid(out, *pairs, **_range_of(recipe)), model)
        return out
    options = {} if truncation is None else {"truncation": truncation}
    examples = model.sample(count, seed=seed, labels=labels, **options)
    if not heard and not listed:
        pictures.save_grid(examples, out, columns, recipe.config.data.pixel_range)
        return out
    mean, deviation = data.train.standard or (0.0, 1.0)
    examples = keras.ops.convert_to_numpy(examples) * deviation + mean
    out.parent.mkdir(parents=True, exist_ok=True)
    with pictures.replacing(out) as file:
        if heard:
            write_sounds(file, examples, data.train.rate)
        else:
            _write_rows(
                file, examples.tolist(), data.train, model.sampling_labels(count, labels), recipe
            )
    return out


def export(run, format, out):
    """Writes a trained model in a format that other programs read.

    Args:
        run: the run's folder, or the name of a preset that was trained in `runs/<name>`.
        format: one of `config.files.EXPORT_FORMATS`.
        out: the file or folder to write.

    Returns:
        The `Path` that was written.

    Raises:
        ConfigError: there is no such run or format, or a package is missing.
        RunError: the run is not finished, or its model is damaged.
    """
    look_up("--format", format, files.EXPORT_FORMATS)
    backend = keras.backend.backend()
    _check_packages(format, EXPORT_NEEDS.get(format, {}).get(backend, ()), backend)
    model, out = load(run), Path(out)
    if out.exists():
        raise ConfigError(f"--out: {out} exists already; name another")
    out.parent.mkdir(parents=True, exist_ok=True)
    if format == "keras":
        out = out if out.suffix == ".keras" else out.with_name(f"{out.name}.keras")
        model.save(out)
        return out
    try:
        model.export(out, format=format, verbose=False, input_signature=input_signature(model))
    except (ImportError, ValueError) as error:
        raise ConfigError(f"--format {format}: not possible on {backend}: {error}") from error
    return out


def input_signature(model):
    """What `model.call` takes, any number of examples: images or noise, and labels if any.

    Args:
        model: a `GenerativeModel` with an encoder (takes images) or a generator (noise).

    Returns:
        A list of `keras.InputSpec`, as `keras.Model.export` takes it.
    """
    network = getattr(model, "encoder", None) or model.generator
    classes = getattr(model, "num_classes", None)
    shape = list(network.input_shape)
    shape[-1] -= classes or 0  # the labels come beside, and are joined inside
    inputs = keras.InputSpec(shape=shape, dtype="float32", name="inputs")
    if classes is None:
        return [inputs]
    return [[inputs, keras.InputSpec(shape=(None,), dtype="int32", name="labels")]]


def _load(folder, recipe):
    model = runs.load_model(folder)
    family = FAMILIES[recipe.config.model.family]
    if type(model) is not family:
        raise ConfigError(
            f"{folder}: model.keras holds {type(model).__name__}, config.toml says "
            f"{recipe.config.model.family}; the folder mixes two runs: train again with another "
            "--out"
        )
    return model


def _watchers(recipe, dataset):
    """The callbacks that a recipe asks for."""
    section = recipe.config.train.collapse_monitor
    if section is None:
        return []
    examples, labels = dataset.arrays(section.samples)
    options = section.model_dump(exclude={"samples"})
    return [pictures.CollapseMonitor(examples, labels, **options)]


def _measure(recipe, folder, model, judges):
    section = recipe.config.evaluate
    try:
        results = evaluation.evaluate(
            model,
            judges.data,
            section.metrics,
            judges=judges,
            **section.model_dump(exclude={"metrics"}),
        )
    except ValueError as error:
        raise ConfigError(f"{recipe.name}: {error}") from error
    drawn = {} if section.truncation is None else {"truncation": section.truncation}
    document = {**results, **drawn, "backend": keras.backend.backend()}
    text = json.dumps(document, indent=1) + "\n"
    with pictures.replacing(folder / "metrics.json") as file:
        file.write(text.encode("utf-8"))
    return results


def _verdicts(recipe, name, bound, results):
    for words, limit in (("at most", bound.at_most), ("at least", bound.at_least)):
        if limit is None:
            continue
        for result in (name, limit):
            if isinstance(result, str) and result not in results:
                raise ConfigError(
                    f"{recipe.name}: expect.{name}: nothing measured is called {result!r}; there "
                    f"is {', '.join(results)}"
                )
        value, number = results[name], results.get(limit, limit)
        met = value <= number if words == "at most" else value >= number
        told = f"{words} {number:.6g}" + (f" ({limit})" if isinstance(limit, str) else "")
        yield Verdict(name, value, told, met)


def _write_rows(file, rows, like, labels, recipe):
    """Rows in the data's own units, their class behind them where the model was given one."""
    columns = [*like.columns]
    if labels is not None:
        names = like.class_names or range(like.num_classes)
        labels = keras.ops.convert_to_numpy(labels)
        rows = [[*row, names[label]] for row, label in zip(rows, labels, strict=True)]
        columns.append(recipe.config.data.label_key or "label")
    write_table(file, rows, columns)


def _check_labels(labels, classes, folder):
    if labels is None:
        return
    if classes is None:
        raise ConfigError(f"--labels: the model of {folder} takes none; leave them out")
    wrong = [label for label in labels if not 0 <= label < classes]
    if wrong:
        raise ConfigError(
            f"--labels: the model of {folder} knows classes 0 to {classes - 1}, got {wrong[0]}"
        )


def _check_truncation(truncation, model, folder):
    if truncation is None:
        return
    if "truncation" not in inspect.signature(model.sample).parameters:
        raise ConfigError(
            f"--truncation: the model of {folder} has no noise to truncate; leave it out"
        )
    if not truncation > 0:
        raise ConfigError(f"--truncation: expected more than 0, got {truncation:g}")


def _check_packages(format, packages, backend):
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"--format {format}: on {backend} it needs {package}, which is not installed: pip "
                f"install {package}, or export on another backend, which loads the same run"
            )


def _last_picture(recipe, model, splits, folder):
    """The grid of the last epoch, made now where `sample_every` left it out; None without any."""
    train = recipe.config.train
    if not train.sample_every:
        return None
    path = folder / "samples" / f"epoch_{train.epochs:04d}.png"
    if not path.exists():
        pairs = _shown_pairs(recipe, splits.test)
        if pairs is not None:
            grid = pictures.TranslationGrid(path, *pairs, **_range_of(recipe))
        else:
            grid = pictures.SampleGrid(path, **_range_of(recipe))
        _write_grid(grid, model)
    return path


def _shown_pairs(recipe, dataset, count=PAIRS_SHOWN, seed=0):
    """Inputs and targets of a data set, drawn at random; None where the model translates none."""
    if not schema.translates(recipe.config):
        return None
    drawn = np.random.default_rng(seed).permutation(len(dataset))[:count]
    return np.split(dataset.images(drawn), [dataset.input_channels], axis=-1)


def _range_of(recipe):
    return {"value_range": recipe.config.data.pixel_range}


def _write_grid(grid, model):
    grid.set_model(model)
    grid.write(grid.path)

"""The command line: arguments in, calls out. Keras is imported once the arguments are good.

Exit codes: 0 done; 1 it ran and fell short; 2 wrong input; 130 interrupted.
"""

import contextlib
import errno
import functools
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from keras_gen import backend as backends
from keras_gen import config as configs
from keras_gen.cli import show
from keras_gen.config import files
from keras_gen.config.errors import ConfigError, look_up
from keras_gen.data import DataError, prepare

FELL_SHORT, WRONG_INPUT, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="keras-gen",
    help="Generative models in Keras 3, on JAX, TensorFlow and PyTorch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Data sets: which there are, and how they are prepared.")
app.add_typer(data_app, name="data", no_args_is_help=True)

Config = Annotated[str, typer.Argument(help="A preset (keras-gen list) or a .toml file.")]
Run = Annotated[str, typer.Argument(help="A run's folder, or a preset trained in runs/.")]
Runs = Annotated[list[str], typer.Argument(help="Runs' folders, or presets trained in runs/.")]
Backend = Annotated[str | None, typer.Option(help="jax, tensorflow or torch.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override a key: --set train.epochs=3.")
]
Out = Annotated[Path | None, typer.Option(help="The run's folder. [default: runs/<config>]")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")]
Truncation = Annotated[
    float | None,
    typer.Option(
        help="Less is plainer: the largest noise of a GAN (2 to 0.04); of a StyleGAN, what "
        "share it keeps of a style's distance from the mean (1 to 0)."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]


def main():
    """The console script `keras-gen`."""
    app()


def command(function):
    """A command whose errors are one line and an exit code."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            function(*args, **kwargs)
        except KeyboardInterrupt as error:
            _refuse(str(error) or "interrupted", INTERRUPTED, kwargs)
        except Exception as error:
            code = _exit_code(error)
            if code is None:
                raise
            _refuse(_one_line(error), code, kwargs)

    return app.command()(wrapped)


@command
def train(
    config: Config,
    backend: Backend = None,
    overrides: Overrides = None,
    out: Out = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Train a model; its run lies in a folder and can be resumed."""
    started = time.monotonic()
    recipe = configs.read(config, overrides or ())
    run = _train(recipe, backend, out, resume, overwrite, quiet or as_json)
    seconds = time.monotonic() - started
    last = {term: values[-1] for term, values in run.history.items() if term != "epoch"}
    picture = None if run.picture is None else str(run.picture)
    if as_json:
        _print_json(
            run=str(run.folder),
            picture=picture,
            last=last,
            backend=os.environ.get("KERAS_BACKEND"),
            seconds=round(seconds, 1),
        )
    elif not quiet:
        print(f"trained {recipe.name} in {show.duration(seconds)}: {show.terms(last)}")
        if picture:
            print(f"samples  {picture}")
        print(f"run      {run.folder}")


@command
def evaluate(
    run: Runs,
    truncation: Truncation = None,
    backend: Backend = None,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Measure what [evaluate] of each run's config names; writes metrics.json beside it.

    Of runs that differ by their seed alone it tells mean and deviation, too.
    """
    folders = [files.find_run(name) for name in run]
    measured = []
    each = _actions(backend).evaluate_each(folders, truncation=truncation)
    for folder, (recipe, results) in zip(folders, each, strict=True):
        measured.append((recipe, results))
        if not (quiet or as_json):
            show.results(results, title=f"{folder}: the test split")
            print(f"written to {folder / 'metrics.json'}")
    if as_json:
        documents = [
            {"run": str(folder), "results": results}
            for folder, (_, results) in zip(folders, measured, strict=True)
        ]
        _print_json(**(documents[0] if len(documents) == 1 else {"runs": documents}))
    elif not quiet:
        show.spreads(measured)


@command
def verify(
    config: Config,
    backend: Backend = None,
    overrides: Overrides = None,
    out: Out = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Train, evaluate, and hold [expect] against the results: exit 1 when they fall short."""
    recipe = configs.read(config, overrides or ())
    files.check_expectations(recipe)
    run = _train(recipe, backend, out, resume, overwrite, quiet or as_json)
    verdicts = _actions(backend).compare(recipe, run)
    met = all(verdict.met for verdict in verdicts)
    if as_json:
        _print_json(run=str(run.folder), met=met, verdicts=[vars(v) for v in verdicts])
    elif not quiet:
        show.verdicts(verdicts, title=f"{recipe.name}: what its config expects")
    if not met:
        raise typer.Exit(FELL_SHORT)


@command
def sample(
    run: Run,
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")] = 0,
    labels: Annotated[
        str | None, typer.Option(help="Classes of a conditional model: 0,1,2.")
    ] = None,
    truncation: Truncation = None,
    out: Annotated[
        Path | None,
        typer.Option(help="A .png; of sounds a .wav, of vectors a .csv. [default: samples.png]"),
    ] = None,
    backend: Backend = None,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Write a grid of samples of a trained model."""
    folder = files.find_run(run)
    classes = _labels(labels)
    written = _actions(backend).sample(
        folder, count=count, seed=seed, labels=classes, truncation=truncation, out=out
    )
    if as_json:
        _print_json(run=str(folder), samples=str(written), count=count, seed=seed)
    elif not quiet:
        print(f"samples  {written}")


@command
def export(
    run: Run,
    out: Annotated[Path, typer.Option(help="The file or folder to write.")],
    format: Annotated[
        str, typer.Option(help="keras, onnx, tf_saved_model, litert, openvino or torch.")
    ] = "onnx",
    backend: Backend = None,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Write a trained model for other programs to read."""
    folder = files.find_run(run)
    look_up("--format", format, files.EXPORT_FORMATS)
    written = _actions(backend).export(folder, format, out)
    if as_json:
        _print_json(run=str(folder), format=format, out=str(written))
    elif not quiet:
        print(f"exported {written}")


# What follows the word is the harness' own to read, --help too.
@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def benchmark(context: typer.Context):
    """Race keras-gen against stock Keras and code written by hand for each backend."""
    root, package = files.benchmarks()
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", package, *context.args]
    raise typer.Exit(subprocess.run(command, env=environment).returncode)


@app.command(name="list")
def list_(as_json: Json = False):
    """The zoo: name, family, data, and what it reached."""
    recipes = [configs.read(path) for path in configs.presets().values()]
    if as_json:
        _print_json(presets=[show.entry(recipe) for recipe in recipes])
    else:
        show.zoo(recipes)


@data_app.command(name="prepare")
def prepare_(
    name: Annotated[str, typer.Argument(help="fashion_mnist or tfds:<name>.")],
    data_dir: Annotated[Path | None, typer.Option(help="TFDS' folder.")] = None,
):
    """Bring a data set to the disk."""
    with _refusing():
        print(f"prepared {prepare(name, data_dir)}")


@data_app.command(name="list")
def list_data():
    """The sources of data."""
    from keras_gen.data import known

    for name, description in known():
        print(f"{name:16} {description}")


def _train(recipe, backend, out, resume, overwrite, silent):
    folder = files.run_folder(recipe, out)
    files.check_run_folder(folder, resume=resume, overwrite=overwrite)
    actions = _actions(backend)
    from keras_gen.cli.progress import Progress

    progress = Progress(silent)
    try:
        return actions.train(
            recipe,
            out=folder,
            resume=resume,
            overwrite=overwrite,
            callbacks=[progress],
            verbose=0,
        )
    except KeyboardInterrupt:
        message = "interrupted before the first checkpoint: nothing to go on with"
        if files.is_run(folder):
            again = f"keras-gen train {folder / 'config.toml'} --out {folder} --resume"
            message = f"interrupted; go on with: {again}"
        raise KeyboardInterrupt(message) from None
    finally:
        progress.stop()


def _actions(backend):
    """Settles Keras' backend, imports Keras, and gives what is built on it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    running = sys.modules.get("keras")
    if backend is not None:
        look_up("--backend", backend, backends.BACKENDS)
        if running is not None and running.backend.backend() != backend:
            raise ConfigError(
                f"--backend: Keras runs on {running.backend.backend()} in this process already, "
                f"got {backend}"
            )
        os.environ["KERAS_BACKEND"] = backend
    try:
        backends.choose()
        importlib.import_module("keras")
    except ImportError as error:
        raise ConfigError(f"--backend: {error}") from error
    return importlib.import_module("keras_gen.config.actions")


def _labels(text):
    if text is None:
        return None
    try:
        return [int(label) for label in text.split(",")]
    except ValueError:
        raise ConfigError(f"--labels: expected class numbers such as 0,1,2, got {text!r}") from None


def _exit_code(error):
    """The exit code of an error that is the user's to read, or None."""
    if isinstance(error, ConfigError | DataError | OSError):
        return WRONG_INPUT
    for module, name, code in (
        ("keras_gen.runs", "RunError", WRONG_INPUT),
        ("keras_gen.models.trainer", "Diverged", FELL_SHORT),
        ("keras_gen.engine.versions", "MovedError", WRONG_INPUT),
    ):
        if module in sys.modules and isinstance(error, getattr(sys.modules[module], name)):
            return code
    return None


def _one_line(error):
    if isinstance(error, OSError) and error.errno is not None:
        room = "; make room and try again" if error.errno in (errno.ENOSPC, errno.EFBIG) else ""
        return f"{error.filename or 'file'}: {error.strerror}{room}"
    return " ".join(str(error).split())


def _refuse(message, code, options):
    if options.get("as_json"):
        _print_json(error=message)
    typer.echo(f"keras-gen: {message}", err=True)
    raise typer.Exit(code)


@contextlib.contextmanager
def _refusing():
    try:
        yield
    except (ConfigError, DataError, OSError) as error:
        _refuse(_one_line(error), WRONG_INPUT, {})


def _print_json(**document):
    print(json.dumps(document, indent=1))

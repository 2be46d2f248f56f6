"""Where configs are found, how they are read, overridden and written."""

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from keras_gen.config import schema
from keras_gen.config.errors import ConfigError, did_you_mean

PACKAGE = Path(__file__).parent.parent
# In the wheel the zoo lies inside the package; in a checkout, beside it.
ZOOS = (PACKAGE / "zoo_configs", PACKAGE.parent / "zoo_configs")

RUNS = Path("runs")  # where runs are written and looked for
# Overrides of these change what is measured, or what its results are called: dcgan_fashion_mnist on
# pictures of one's own is not what its [expect] is of.
OF_RESULTS = ("data.", "model.", "evaluate.")
EXPORT_FORMATS = ("keras", "onnx", "tf_saved_model", "litert", "openvino", "torch")


@dataclass(frozen=True)
class Recipe:
    """A checked config, with its name and its text.

    Args:
        name: of the file, without its ending; of the run folder too.
        text: TOML as it is run, overrides in.
        tables: the same as nested dicts.
        config: the same, checked: `config.data.source`, `config.train.epochs`, ...
    """

    name: str
    text: str
    tables: dict
    config: schema.Config


def presets():
    """The zoo: `{name: path}` of every config that comes with keras-gen."""
    found = {}
    for zoo in ZOOS:
        for path in sorted(zoo.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def benchmarks():
    """Where the benchmark lies: `(folder to import from, name of the package)`."""
    shipped = (PACKAGE / "benchmarks").is_dir()
    return PACKAGE.parent, f"{PACKAGE.name}.benchmarks" if shipped else "benchmarks"


def read(config, overrides=()):
    """Reads and checks a config.

    Args:
        config: a path, the name of a preset, nested dicts, or a `Recipe` read before.
        overrides: texts such as `"train.epochs=3"`.

    Returns:
        A `Recipe`. What its `[expect]` names is held against what its `[evaluate]` measures, unless
        an override changed that, or the config is a run's copy, which may hold such overrides.

    Raises:
        ConfigError: there is no such file, it is no TOML, or a field is not what it should be.
    """
    its_own = True  # whether [expect] is of what the rest says, as it was written
    if isinstance(config, Recipe):
        config, name, text, its_own = config.tables, config.name, config.text, False
    elif isinstance(config, dict):
        name, text = str(config.get("model", {}).get("family", "config")), to_toml(config)
    else:
        path = find(config)
        name, text = path.stem, _read_text(path)
        config = _parse(path, text)
        if name == "config":  # of a run folder
            name, its_own = path.resolve().parent.name, False
    place = f"{name}: "
    if overrides:
        config = _overridden(config, overrides, place)
        text = to_toml(config)
    try:
        checked = schema.checked(config)
        if its_own and not any(override.startswith(OF_RESULTS) for override in overrides):
            schema.check_names(checked)
    except ConfigError as error:
        raise ConfigError(f"{place}{_blamed(str(error), overrides)}") from None
    return Recipe(name, text, config, checked)


def find(config):
    """Finds the file of a config.

    Args:
        config: a path, or the name of a preset.

    Returns:
        A `pathlib.Path` of a file that exists.

    Raises:
        ConfigError: there is none.
    """
    path = Path(os.fspath(config))
    if path.is_file():
        return path
    known = presets()
    if str(config) in known:
        return known[str(config)]
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise ConfigError(f"{path}: no such config file")
    raise ConfigError(
        f"{config}: no config file and no preset of that name{did_you_mean(config, known)}"
    )


def run_folder(recipe, out=None):
    """The folder of a recipe's run: `out`, or `runs/<name>` here."""
    return RUNS / recipe.name if out is None else Path(out)


def check_run_folder(folder, *, resume, overwrite):
    """Checks that a run can be written to a folder.

    Args:
        folder: a `Path`.
        resume: whether the run in it is to go on.
        overwrite: whether the run in it may be replaced.

    Raises:
        ConfigError: it holds a run and neither was asked for, or holds something else.
    """
    if resume and overwrite:
        raise ConfigError("--resume goes on with a run, --overwrite replaces it: give one of them")
    if resume or not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not is_run(folder):
        raise ConfigError(f"--out: {folder} exists and is no run's folder; name another")
    if not overwrite:
        raise ConfigError(
            f"--out: {folder} holds a run already; --resume goes on with it, --overwrite replaces "
            "it, --out DIR puts this one elsewhere"
        )


def is_run(folder):
    """Whether a folder is a run's: it has a config and a checkpoint or a model."""
    return (folder / "config.toml").is_file() and (
        (folder / "checkpoint").is_dir() or (folder / "model.keras").is_file()
    )


def find_run(run):
    """Finds the folder of a run.

    Args:
        run: the folder, or the name of a preset, trained in `runs/<name>`.

    Returns:
        A `pathlib.Path`.

    Raises:
        ConfigError: there is no run, or the preset was not trained.
    """
    for folder in (Path(os.fspath(run)), RUNS / str(run)):
        if is_run(folder):
            return folder
    if str(run) in presets():
        raise ConfigError(
            f"{run}: not trained here (no run in {RUNS / str(run)}); first: keras-gen train {run}"
        )
    if Path(run).exists():
        raise ConfigError(f"{run}: is no run's folder (no config.toml with a model beside it)")
    raise ConfigError(
        f"{run}: no run's folder and no preset of that name{did_you_mean(run, presets())}"
    )


def check_expectations(recipe):
    """Checks that a recipe says what to expect, of results that it measures.

    Args:
        recipe: a `Recipe`.

    Raises:
        ConfigError: it has no bound in `[expect]`, or one of a result that is not measured.
    """
    expect = recipe.config.expect
    if expect.unmeasured is not None:
        raise ConfigError(
            f"{recipe.name}: nothing to verify, nothing was measured: {expect.unmeasured}"
        )
    if not expect.bounds:
        raise ConfigError(
            f"{recipe.name}: has no [expect], so there is nothing to verify; train and evaluate "
            "it, then write what was reached, for example test_loss = { at_most = 20.0 }"
        )
    try:
        schema.check_names(recipe.config)
    except ConfigError as error:
        raise ConfigError(f"{recipe.name}: {error}") from None


def to_toml(tables):
    """Writes nested dicts as TOML.

    Args:
        tables: dicts of texts, numbers, truth values, lists and dicts.

    Returns:
        A text that `tomllib` reads back as the same tables.
    """
    lines = []
    _write_table(tables, (), lines)
    return "\n".join(lines).strip() + "\n"


def _write_table(table, place, lines):
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if place and (plain or not table):
        lines += ["", f"[{'.'.join(map(_key, place))}]"]
    lines += [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            _write_table(value, (*place, key), lines)


def _key(key):
    bare = key and all(c.isascii() and (c.isalnum() or c in "_-") for c in key)
    return key if bare else json.dumps(key)


def _value(value):
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(k)} = {_value(v)}' for k, v in value.items())} }}"
    return json.dumps(value)


def _read_text(path):
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a text: {error}") from None


def _parse(path, text):
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from None


def _overridden(tables, overrides, place):
    tables = _copied(tables)
    for override in overrides:
        field, equals, written = override.partition("=")
        keys = field.strip().split(".")
        if not equals or not all(keys) or len(keys) < 2:
            raise ConfigError(
                f"{place}--set: expected section.key=value, for example train.epochs=3, got "
                f"{override!r}"
            )
        table = tables
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{place}--set {override}: {key!r} is not a table")
        table[keys[-1]] = _typed(written.strip())
    return tables


def _typed(written):
    """The value of an override: TOML where it is, else the bare word itself."""
    try:
        return tomllib.loads(f"value = {written}")["value"]
    except tomllib.TOMLDecodeError:
        return written


def _blamed(message, overrides):
    """Says that a field was wrong because of `--set`."""
    field = message.partition(":")[0]
    for override in overrides:
        place = override.partition("=")[0].strip()
        if field == place or field.startswith(f"{place}.") or place.startswith(f"{field}."):
            return f"--set {message}"
    return message


def _copied(tables):
    return {k: _copied(v) if isinstance(v, dict) else v for k, v in tables.items()}

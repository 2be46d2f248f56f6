"""Wrong input that is refused before Keras is there: one line that says what and why; exit 2."""

import json
import os
import subprocess
import sys

import pytest
from commands import refused, run, tells
from tiny_config import TINY

from keras_gen.config import files


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with a config and what looks like a run of it from outside."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "vae"
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "model.keras").write_bytes(b"never opened")
    for config in (tmp_path / "vae.toml", folder / "config.toml"):
        config.write_text(TINY)
    return tmp_path


# -- The config ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.latent_dm=3", ("model.latent_dm", "unknown key", "did you mean 'latent_dim'")),
        ("trian.epochs=3", ("trian", "unknown key", "did you mean 'train'")),
        ("model.encoder.unit=[3]", ("model.encoder.unit", "did you mean 'units'")),
        ("train.optimizer.beta1=0.5", ("train.optimizer.beta1", "did you mean 'beta_1'")),
        ("data.augment.flp=true", ("data.augment.flp", "did you mean 'flip'")),
        ("model.family=vea", ("model.family", "'vea'", "did you mean 'vae'", "gan")),
        ("model.encoder.network=mpl", ("model.encoder.network", "'mpl'", "did you mean 'mlp'")),
        ("train.optimizer.name=adm", ("train.optimizer.name", "'adm'", "did you mean 'adam'")),
        ("data.source=digit", ("data.source", "'digit'", "did you mean 'digits'")),
        ("data.source=tfds:", ("data.source", "tfds:<name>", "'tfds:'")),
        ("evaluate.metrics=['los']", ("evaluate.metrics", "'loss'", "'los'")),
        ("model.latent_dim=two", ("model.latent_dim", "a whole number", "'two'")),
        ("model.latent_dim=2.5", ("model.latent_dim", "a whole number", "2.5")),
        ("model.binarize=1", ("model.binarize", "true or false", "1")),
        ("train.epochs=true", ("train.epochs", "a whole number", "True")),
        ("model.encoder.units=8", ("model.encoder.units", "a list", "8")),
        ("train.optimizer.learning_rate=fast", ("learning_rate", "a number", "'fast'")),
        ("train.precision=float64", ("train.precision", "'mixed_bfloat16'", "'float64'")),
        ("model.latent_dim=0", ("model.latent_dim", "more than 0", "got 0")),
        ("model.latent_dim=-4", ("model.latent_dim", "more than 0", "got -4")),
        ("train.batch_size=-1", ("train.batch_size", "more than 0", "got -1")),
        ("model.encoder.units=[8, -8]", ("model.encoder.units", "more than 0", "got -8")),
        ("data.size=-28", ("data.size", "more than 0", "-28")),
        ("train.optimizer.learning_rate=-1e-3", ("learning_rate", "more than 0", "-0.001")),
        ("train.optimizer.learning_rate=nan", ("learning_rate", "nan")),
        ("data.value_range=[-1, 1]", ("data.value_range", "[0, 1]", "Bernoulli")),
        ("data.value_range=[0, 255]", ("data.value_range", "[0, 1] or [-1, 1]", "255")),
        ("model.decoder.output_activation=tanh", ("output_activation", "logits", "'tanh'")),
        ("train.gif=1", ("train.gif", "true or false", "1")),
        ("train.collapse_monitor=true", ("collapse_monitor", "a generator of noise", "'vae'")),
        ("evaluate.truncation=1", ("evaluate.truncation", "the noise of a generator", "'vae'")),
        ("evaluate.truncation=0", ("evaluate.truncation", "more than 0", "0")),
        ("train.collapse_monitor=3", ("train.collapse_monitor", "a table", "3")),
        ("train.collapse_monitor.evry=2", ("collapse_monitor.evry", "did you mean 'every'")),
        ("train.collapse_monitor.patience=0", ("collapse_monitor.patience", "more than 0", "0")),
        ("train.epochs", ("--set", "section.key=value", "'train.epochs'")),
        ("=3", ("--set", "section.key=value", "'=3'")),
        ("train.epochs.deep=3", ("train.epochs.deep", "not a table")),
    ],
)
def test_a_key_that_is_wrong_is_named_with_what_was_expected(place, override, words):
    line = refused("train", "vae.toml", "--out", "new", "--set", override, leaves=place)
    tells(line, "vae", *words)


def test_a_gif_needs_grids_of_samples(place):
    overrides = ("--set", "train.gif=true", "--set", "train.sample_every=0")
    line = refused("train", "vae.toml", "--out", "new", *overrides, leaves=place)
    tells(line, "train.gif", "train.sample_every")


def test_the_range_of_a_generators_tanh_must_be_the_datas(place):
    line = refused("train", "gan_digits", "--set", "data.value_range=[0, 1]", leaves=place)
    tells(line, "data.value_range", "tanh", "[-1.0, 1.0]", "[0.0, 1.0]")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.value_range=[0,1]", ("data.value_range", "series")),
        ("data.channels=1", ("data.channels", "series")),
        ("data.augment.flip=true", ("data.augment", "series")),
        ("model.likelihood='bernoulli'", ("model.likelihood", "series", "gaussian")),
        ("model.decoder.output_activation='tanh'", ("model.decoder.output_activation", "series")),
        ("evaluate.metrics=['precision_recall']", ("evaluate.metrics", "images", "sp500")),
        ("data.source='digits'", ("evaluate.metrics", "stylized_facts", "signals", "digits")),
    ],
)
def test_what_does_not_go_with_a_series(place, override, words):
    tells(refused("train", "vae_sp500", "--set", override), *words)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.source='digits'", ("data.source", "pix2pix", "has no pairs", "pairs:<path>")),
        ("data.input='gray'", ("data.input", "'grey' or 'small'", "'gray'")),
        ("evaluate.metrics=['precision_recall']", ("evaluate.metrics", "a metric of images")),
        ("data.value_range=[0,1]", ("data.value_range", "tanh", "[-1.0, 1.0]")),
    ],
)
def test_what_does_not_go_with_a_family_that_translates(place, override, words):
    options = ("--set", "data.source='pairs:maps'", "--set", "model.generator.filters=[4,4]")
    options += ("--set", override, "--out", "new")
    tells(refused("train", "pix2pix_emoji", *options, leaves=place), *words)


def test_only_a_family_that_translates_takes_its_pairs_apart_or_is_judged_by_them(place):
    line = refused("train", "vae.toml", "--set", "data.unpaired=true", leaves=place)
    tells(line, "data.unpaired", "vae does not translate images")
    line = refused("train", "vae.toml", "--set", "evaluate.metrics=['translation_error']")
    tells(line, "translation_error", "pairs", "digits")
    line = refused("train", "vae_sp500", "--set", "data.input='grey'")
    tells(line, "data.input", "only images have one", "sp500 is a series")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.value_range=[0,1]", ("data.value_range", "only images", "ring holds vectors")),
        ("data.augment.flip=true", ("data.augment", "ring holds vectors")),
        ("data.size=8", ("data.size", "vectors have none")),
        ("model.generator.output_activation='tanh'", ("model.generator", "vectors of real")),
        ("evaluate.metrics=['class_shares']", ("class_shares", "images", "ring")),
        ("evaluate.metrics=['stylized_facts']", ("stylized_facts", "signals", "ring")),
        (
            "evaluate.metrics=['stacked_mode_coverage']",
            ("evaluate.metrics", "'stacked_mode_coverage'", "'stacked_digits'", "got 'ring'"),
        ),
        ("data.source='table:a.csv'", ("'mode_coverage'", "'ring' or 'grid'", "'table:a.csv'")),
        ("data.source='grids'", ("data.source", "did you mean 'grid'")),
        ("data.source='ring:3'", ("data.source", "expected 'ring', got 'ring:3'")),
        ("model.discriminator.network='conv_encoder'", ("unknown key", "units")),
    ],
)
def test_what_does_not_go_with_vectors(place, override, words):
    tells(refused("train", "gan_ring", "--set", override), *words)


def test_a_family_that_is_bernoulli_needs_pixels_in_the_unit_range(place):
    line = refused("train", "iwae_digits", "--set", "data.value_range=[-1,1]")
    tells(line, "data.value_range", "Bernoulli", "[-1.0, 1.0]")
    tells(refused("train", "iwae_digits", "--set", "data.source='sp500'"), "Bernoulli", "sp500")


def test_a_metric_must_fit_the_family(place):
    line = refused("train", "gan_digits", "--set", "evaluate.metrics=['reconstruction_error']")
    tells(line, "evaluate.metrics", "reconstruction_error", "encoder", "'gan'")
    for family in ("gan", "wae"):
        line = refused("train", f"{family}_digits", "--set", "evaluate.metrics=['log_likelihood']")
        tells(line, "evaluate.metrics", "a family with a likelihood", family)
    line = refused("train", "vae_digits", "--set", "evaluate.metrics=['elbo']")
    tells(line, "evaluate.metrics", "'elbo'", "binarize = true")


@pytest.mark.parametrize("section", ["[data]", "[model]", "[train]", "[train.optimizer]"])
def test_a_section_that_is_missing_is_named(place, section):
    text = TINY.replace(section, "[other]")
    (place / "lacks.toml").write_text(text)
    tells(refused("train", "lacks.toml", leaves=place), "lacks", section.strip("[]"))


def test_a_syntax_error_is_placed(place):
    (place / "broken.toml").write_text(TINY.replace("epochs = 1", "epochs = "))
    line = refused("train", "broken.toml", leaves=place)
    tells(line, "broken.toml", "not a TOML file", "line 18")


def test_a_binary_file_is_no_config(place):
    (place / "noise.toml").write_bytes(bytes(range(256)))
    tells(refused("train", "noise.toml", leaves=place), "noise.toml", "cannot be read as a text")


def test_a_missing_file_and_an_unknown_preset(place):
    tells(refused("train", "none.toml", leaves=place), "none.toml", "no such config file")
    line = refused("train", "vae_digit", leaves=place)
    tells(line, "vae_digit", "no preset", "did you mean 'vae_digits'")


def test_verify_without_expectations_says_so_before_it_trains(place):
    tells(refused("verify", "vae.toml", leaves=place), "vae", "no [expect]")


def test_machines_get_the_error_as_json(place):
    result = run("train", "vae_digit", "--json")
    assert result.exit_code == 2
    assert "vae_digits" in json.loads(result.stdout)["error"]


# -- The run folder, the data ----------------------------------------------------------------------


def test_a_run_is_not_written_over(place):
    line = refused("train", "vae.toml", leaves=place)
    tells(line, "runs/vae", "--resume", "--overwrite", "--out")


def test_a_folder_that_is_no_run_is_never_deleted(place):
    (place / "photos").mkdir()
    (place / "photos" / "dear.txt").write_text("mine")
    for option in ("--overwrite", "--quiet"):
        line = refused("train", "vae.toml", "--out", "photos", option, leaves=place)
        tells(line, "photos", "no run's folder")


def test_resume_and_overwrite_exclude_each_other(place):
    tells(refused("train", "vae.toml", "--resume", "--overwrite"), "--resume", "--overwrite")


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_a_run_that_is_not_there(place, command):
    tells(refused(command, "vae_digits"), "vae_digits", "keras-gen train vae_digits")
    tells(refused(command, "vae_digts"), "vae_digts", "did you mean 'vae_digits'")
    (place / "photos").mkdir()
    tells(refused(command, "photos"), "photos", "no run's folder")


def test_a_source_that_cannot_be_prepared(place):
    tells(refused("data", "prepare", "fashion_mnst"), "'fashion_mnst'", "fashion_mnist")


# -- Other arguments -------------------------------------------------------------------------------


def test_labels_that_are_no_numbers(place):
    tells(refused("sample", "vae", "--labels", "a,b"), "--labels", "0,1,2", "'a,b'")


def test_a_backend_that_is_unknown(place):
    line = refused("train", "vae.toml", "--out", "new", "--backend", "jaxx", leaves=place)
    tells(line, "--backend", "'jaxx'", "did you mean 'jax'")


def test_an_export_format_that_is_unknown(place):
    line = refused("export", "vae", "--format", "onx", "--out", "m", leaves=place)
    tells(line, "--format", "'onx'", "did you mean 'onnx'")


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_backend_that_is_not_installed(place, how):
    script = "import sys; sys.modules['torch'] = None; from keras_gen.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(files.PACKAGE.parent)}
    environment.pop("KERAS_BACKEND", None)
    arguments = ["train", "vae.toml", "--out", "new"]
    if how == "option":
        arguments += ["--backend", "torch"]
    else:
        environment["KERAS_BACKEND"] = "torch"
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    tells(lines[0], "keras-gen: ", "torch", "not installed", "pip install 'keras-gen[torch]'")
    assert not (place / "new").exists()

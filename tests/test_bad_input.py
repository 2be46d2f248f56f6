"""Wrong input: one line that names the field or file, what was expected, what came; exit 2."""

import json
import os
import resource
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import keras_gen
from keras_gen import cli
from keras_gen.config import actions, files

BACKEND = keras.backend.backend()

VAE = """
[data]
source = "digits"

[model]
family = "vae"
latent_dim = 2

[model.encoder]
network = "mlp"
units = [8]

[model.decoder]
network = "mlp"
units = [8]

[train]
epochs = 1
batch_size = 750
jit_compile = false

[train.optimizer]
name = "adam"
learning_rate = 1e-3
"""
AUTOENCODER = VAE.replace('"vae"', '"autoencoder"')


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad_input")
    (folder / "vae.toml").write_text(VAE)
    (folder / "autoencoder.toml").write_text(AUTOENCODER)
    arguments = ["train", folder / "vae.toml", "--out", folder / "runs" / "vae", "--quiet"]
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def place(trained_once, tmp_path, monkeypatch):
    """A working directory with two configs, and a run of the first."""
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything_in(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def refused(*arguments, code=2, leaves=None):
    """Runs a command that must be refused in one line, and gives the line."""
    before = everything_in(leaves) if leaves else None
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)  # no traceback
    lines = result.stderr.strip().splitlines()
    assert len([line for line in lines if line.startswith("keras-gen: ")]) == 1, result.stderr
    assert lines[-1].startswith("keras-gen: ")
    assert result.stdout == ""
    if leaves:
        assert everything_in(leaves) == before
    return lines[-1]


def tells(line, *words):
    missing = [word for word in words if word not in line]
    assert not missing, f"{missing} not in: {line}"


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
        ("model.beta=-1.0", ("model", "beta", "-1.0")),
        ("model.likelihood=poisson", ("model", "'bernoulli' or 'gaussian'", "'poisson'")),
        ("model.encoder.activation=rleu", ("model.encoder", "activation", "'rleu'")),
        ("model.encoder.dropout=1.5", ("model.encoder", "dropout", "[0, 1)", "1.5")),
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
        ("data.input='grey'", ("input", "has inputs of its own", "'grey'")),
        ("data.input='gray'", ("data.input", "'grey' or 'small'", "'gray'")),
        ("data.input_factor=2", ("input_factor", "only input = 'small' has one", "2")),
        ("model.input_channels=1", ("model.input_channels", "have 3, got 1", "leave it out")),
        ("evaluate.metrics=['precision_recall']", ("evaluate.metrics", "a metric of images")),
        ("model.discriminator={network='mlp', units=[4]}", ("model.discriminator", "output_shape")),
        ("data.value_range=[0,1]", ("data.value_range", "tanh", "[-1.0, 1.0]")),
    ],
)
def test_what_does_not_go_with_a_family_that_translates(place, override, words):
    rng = np.random.default_rng(0)
    for name in [f"{side}/{i}.png" for side in ("input", "target") for i in range(20)]:
        (place / "maps" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / "maps" / name)
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


def test_convolutions_of_vectors_are_refused(place):
    line = refused(
        "train",
        "gan_ring",
        "--set",
        "model.discriminator={network='conv_encoder',width=4}",
    )
    tells(line, "model.discriminator", "(2,)")


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
    text = VAE.replace(section, "[other]")
    (place / "lacks.toml").write_text(text)
    tells(refused("train", "lacks.toml", leaves=place), "lacks", section.strip("[]"))


def test_a_syntax_error_is_placed(place):
    (place / "broken.toml").write_text(VAE.replace("epochs = 1", "epochs = "))
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


def test_verify_names_an_expected_result_that_is_not_measured(place):
    (place / "bound.toml").write_text(f"{VAE}\n[expect]\ntest_los = {{ at_most = 3 }}\n")
    tells(refused("verify", "bound.toml"), "expect.test_los", "test_loss")


def test_machines_get_the_error_as_json(place):
    result = CliRunner().invoke(cli.app, ["train", "vae_digit", "--json"])
    assert result.exit_code == 2
    assert "vae_digits" in json.loads(result.stdout)["error"]


# -- The data --------------------------------------------------------------------------------------


def folder_config(place, images, conditional=False):
    text = VAE.replace('"digits"', json.dumps(f"folder:{images}"))
    if conditional:
        text = text.replace("latent_dim = 2", 'latent_dim = 2\nnum_classes = "data"')
    (place / "mine.toml").write_text(text)
    return place / "mine.toml"


def write_images(folder, count=12, sides=(8, 8)):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = rng.integers(0, 255, sides, dtype="uint8")
        Image.fromarray(pixels).save(folder / f"{sides[0]}_{i}.png")
    return folder


def test_an_empty_image_folder(place):
    (place / "empty").mkdir()
    line = refused("train", folder_config(place, "empty"), "--out", "new", leaves=place)
    tells(line, "empty", "image")


def test_a_folder_that_is_missing(place):
    line = refused("train", folder_config(place, "nowhere"), "--out", "new", leaves=place)
    tells(line, "nowhere")


def test_an_image_folder_with_one_broken_file(place):
    write_images(place / "photos")
    (place / "photos" / "broken.png").write_bytes(b"no picture")
    line = refused("train", folder_config(place, "photos"), "--out", "new", leaves=place)
    tells(line, "broken.png", "1 unreadable", "on_bad")


def test_an_image_folder_of_mixed_sizes(place):
    write_images(place / "photos")
    write_images(place / "photos", sides=(9, 8))
    line = refused("train", folder_config(place, "photos"), "--out", "new", leaves=place)
    tells(line, "photos", "size")


def test_a_conditional_model_without_labels(place):
    write_images(place / "photos")
    config = folder_config(place, "photos", conditional=True)
    line = refused("train", config, "--out", "new", leaves=place)
    tells(line, "model.num_classes", "labels", "photos")


def test_nan_in_the_data(place):
    images = np.random.default_rng(0).random((20, 8, 8, 1)).astype("float32")
    images[3, 2, 2] = np.nan
    np.savez(place / "holes.npz", images=images)
    (place / "mine.toml").write_text(VAE.replace('"digits"', '"npz:holes.npz"'))
    line = refused("train", "mine.toml", "--out", "new", leaves=place)
    tells(line, "holes.npz")
    assert "nan" in line.lower() or "finite" in line.lower()


def test_a_source_that_cannot_be_prepared(place):
    tells(refused("data", "prepare", "fashion_mnst"), "'fashion_mnst'", "fashion_mnist")


# -- The run folder --------------------------------------------------------------------------------


def test_a_run_is_not_written_over(place):
    line = refused("train", "vae.toml", leaves=place)
    tells(line, "runs/vae", "--resume", "--overwrite", "--out")


def test_a_folder_that_is_no_run_is_never_deleted(place):
    (place / "photos").mkdir()
    (place / "photos" / "dear.txt").write_text("mine")
    for option in ("--overwrite", "--quiet"):
        line = refused("train", "vae.toml", "--out", "photos", option, leaves=place)
        tells(line, "photos", "no run's folder")


def test_overwriting_waits_until_the_model_is_built(place):
    line = refused(
        *("train", "vae.toml", "--overwrite", "--set", "model.encoder.dropout=2.0"), leaves=place
    )
    tells(line, "dropout")


def test_resume_and_overwrite_exclude_each_other(place):
    tells(refused("train", "vae.toml", "--resume", "--overwrite"), "--resume", "--overwrite")


def test_nothing_to_resume(place):
    line = refused("train", "vae.toml", "--out", "nowhere", "--resume", leaves=place)
    tells(line, "nowhere", "no run to resume")


def test_resuming_the_run_of_another_model(place):
    line = refused("train", "autoencoder.toml", "--out", "runs/vae", "--resume", leaves=place)
    tells(line, "runs/vae/config.toml", "model.family", "'vae'", "'autoencoder'")


def test_a_folder_that_mixes_two_runs(place):
    (place / "runs" / "vae" / "config.toml").write_text(AUTOENCODER)
    line = refused("sample", "runs/vae", leaves=place)
    tells(line, "runs/vae", "VAE", "autoencoder")


def test_a_truncated_checkpoint(place):
    state = next((place / "runs" / "vae" / "checkpoint").glob("state-*.npz"))
    state.write_bytes(state.read_bytes()[:-100])
    options = ("--resume", "--set", "train.epochs=2")
    line = refused("train", "vae.toml", *options, leaves=place)
    tells(line, str(state.relative_to(place)))


def test_a_truncated_model(place):
    model = place / "runs" / "vae" / "model.keras"
    model.write_bytes(model.read_bytes()[:-100])
    for command in ("sample", "evaluate"):
        tells(refused(command, "vae", leaves=place), "runs/vae/model.keras", "damaged")


def test_a_model_file_runs_no_code(place):
    """A Lambda layer, whose code would run, is refused."""
    model = place / "runs" / "vae" / "model.keras"
    inputs = keras.Input((1,))
    trap = keras.layers.Lambda(
        lambda x: __import__("os").environ.update(TRAPPED="yes") or x, output_shape=(1,)
    )
    keras.Model(inputs, trap(inputs)).save(model)
    trap(np.ones((1, 1)))
    assert os.environ.pop("TRAPPED") == "yes"  # it does run where it is called
    line = refused("sample", "vae", leaves=place)
    tells(line, "model.keras", "cannot be loaded")
    assert "TRAPPED" not in os.environ


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_a_run_that_is_not_there(place, command):
    tells(refused(command, "vae_digits"), "vae_digits", "keras-gen train vae_digits")
    tells(refused(command, "vae_digts"), "vae_digts", "did you mean 'vae_digits'")
    (place / "photos").mkdir()
    tells(refused(command, "photos"), "photos", "no run's folder")


# -- Other arguments -------------------------------------------------------------------------------


def test_labels_that_are_wrong(place):
    tells(refused("sample", "vae", "--labels", "3", leaves=place), "--labels", "takes none")
    tells(refused("sample", "vae", "--labels", "a,b"), "--labels", "0,1,2", "'a,b'")


def test_a_label_that_is_no_class(place):
    options = ("--set", "model.num_classes=data", "--out", "by_class", "--quiet")
    assert CliRunner().invoke(cli.app, ["train", "vae.toml", *options]).exit_code == 0
    line = refused("sample", "by_class", "--labels", "0,99", leaves=place)
    tells(line, "--labels", "0 to 9", "99")


def test_a_picture_must_be_a_png(place):
    tells(refused("sample", "vae", "--out", "grid.jpg", leaves=place), "--out", ".png", "grid.jpg")


def test_an_export_format_that_is_unknown(place):
    line = refused("export", "vae", "--format", "onx", "--out", "m", leaves=place)
    tells(line, "--format", "'onx'", "did you mean 'onnx'")


def test_a_package_that_an_export_needs_is_named(place, monkeypatch):
    monkeypatch.setitem(actions.EXPORT_NEEDS, "onnx", {BACKEND: ("no_such_package",)})
    line = refused("export", "vae", "--format", "onnx", "--out", "m", leaves=place)
    tells(line, "onnx", BACKEND, "pip install no_such_package")


def test_an_export_never_replaces_a_file(place):
    line = refused("export", "vae", "--format", "keras", "--out", "vae.toml", leaves=place)
    tells(line, "vae.toml", "exists")


def test_a_backend_that_is_unknown_or_not_this_processs(place):
    tells(refused("train", "vae.toml", "--out", "new", "--backend", "jaxx"), "--backend", "'jax'")
    other = "torch" if BACKEND != "torch" else "jax"
    line = refused("train", "vae.toml", "--out", "new", "--backend", other, leaves=place)
    tells(line, "--backend", BACKEND, other)


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


# -- While it runs ---------------------------------------------------------------------------------


def test_no_space_left(place):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # smaller than any checkpoint
    try:
        line = refused("train", "vae.toml", "--out", "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    tells(line, "full/", "File too large")
    assert not list((place / "full").rglob("*.partial*"))
    assert not (place / "full" / "model.keras").exists()


def test_a_diverging_run_stops_and_keeps_its_last_good_checkpoint(place):
    rates = "{schedule = 'piecewise', rates = [1e-3, 1e6], until_epochs = [2]}"
    options = ("--set", f"train.optimizer.learning_rate={rates}", "--set", "train.epochs=9")
    line = refused("train", "vae.toml", "--out", "wild", *options, code=1)
    tells(line, "VAE diverged", "not finite", "train step", "Lower the learning rate")
    position = json.loads((place / "wild" / "checkpoint" / "position.json").read_text())
    assert position["position"]["epoch"] >= 2
    (state,) = (place / "wild" / "checkpoint").glob("state-*.npz")
    with np.load(state) as arrays:
        floats = [array for array in arrays.values() if array.dtype.kind == "f"]
        assert floats and all(np.isfinite(array).all() for array in floats)
    assert not (place / "wild" / "model.keras").exists()


def test_weights_that_the_last_step_broke_are_noticed_before_a_checkpoint(place):
    model, _ = keras_gen.build("vae.toml")
    model.check_finite()
    kernel = model.decoder.trainable_variables[0]
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(keras_gen.Diverged, match=f"weight '{kernel.path}' was not finite"):
        model.check_finite()


def test_a_run_that_diverges_at_once_leaves_no_model(place):
    options = ("--set", "train.optimizer.learning_rate=1e6", "--set", "train.epochs=9")
    line = refused("train", "vae.toml", "--out", "wild", *options, code=1)
    tells(line, "diverged")
    assert not (place / "wild" / "model.keras").exists()
    assert (place / "wild" / "checkpoint" / "position.json").exists()
    tells(refused("sample", "wild"), "wild", "not finished")

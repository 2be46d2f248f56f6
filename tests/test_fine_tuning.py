"""Fine-tuning from the command line: what a run begins with, and what of it does not learn."""

import shutil

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import keras_gen
from keras_gen import cli, config

GAN = """
[data]
source = "digits"
value_range = [-1, 1]

[model]
family = "gan"
latent_dim = 3
ema = 0.5

[model.generator]
network = "mlp"
units = [6]
normalization = "batch"
output_activation = "tanh"

[model.discriminator]
network = "mlp"
units = [7, 6, 5]
normalization = "batch"

[train]
epochs = 1
batch_size = 750
sample_every = 0

[train.optimizer.generator]
name = "adam"
learning_rate = 1e-2

[train.optimizer.discriminator]
name = "adam"
learning_rate = 1e-2
"""
NETWORKS = ("generator", "discriminator")


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def trained(folder, *overrides, resume=False):
    """A run in a folder, and the model it ends with."""
    options = [part for override in overrides for part in ("--set", override)]
    arguments = ["train", "gan.toml", "--out", folder, "--quiet", *options]
    result = run(*arguments, *["--resume"] * resume)
    assert result.exit_code == 0, result.output
    return keras_gen.load(folder)


def refused(*overrides):
    options = [part for override in overrides for part in ("--set", override)]
    result = run("train", "gan.toml", "--out", "new", *options)
    assert result.exit_code == 2 and result.stdout == "", result.output
    return result.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fine_tuning")
    (folder / "gan.toml").write_text(GAN)
    arguments = ["train", folder / "gan.toml", "--out", folder / "source", "--quiet"]
    assert run(*arguments).exit_code == 0
    return folder


@pytest.fixture
def place(trained_once, tmp_path, monkeypatch):
    """A working directory with a config, and a run of it to start from."""
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def weights(model, socket):
    """`[(name, value)]` of a network's layers with weights, a list a layer."""
    layers = [layer for layer in getattr(model, socket).layers if layer.weights]
    return [[keras.ops.convert_to_numpy(w).copy() for w in layer.weights] for layer in layers]


def all_equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# -- What a run starts from -----------------------------------------------------------------------


def test_a_model_begins_with_the_weights_of_a_run_its_average_too(place):
    source = keras_gen.load("source")
    begun, _ = keras_gen.build("gan.toml", ["train.start_from='source'", "train.seed=5"])
    fresh, _ = keras_gen.build("gan.toml", ["train.seed=5"])
    for socket in NETWORKS:
        for mine, theirs, others in zip(
            *(weights(model, socket) for model in (begun, source, fresh)), strict=True
        ):
            assert all_equal(mine, theirs) and not all_equal(mine, others)
    for mine, theirs in zip(
        weights(begun, "generator_average"), weights(source, "generator"), strict=True
    ):
        assert all_equal(mine, theirs)
    steps = [int(begun.optimizer[player].iterations) for player in NETWORKS]
    assert steps == [0, 0], "the optimizers begin anew"


def test_the_run_may_be_a_preset_that_was_trained_here(place):
    shutil.move("source", "runs/gan_digits")
    begun, _ = keras_gen.build("gan.toml", ["train.start_from=gan_digits"])
    expected = weights(keras_gen.load("runs/gan_digits"), "discriminator")
    assert all(map(all_equal, weights(begun, "discriminator"), expected))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["train.start_from=nowhere"], ("train.start_from", "nowhere", "no run's folder")),
        (
            ["model.discriminator.units=[7, 6, 4]"],
            ("source: its discriminator", "has kernel (6, 5)", "has kernel (6, 4)"),
        ),
        (
            ["model.discriminator.units=[7, 6]"],
            ("source: its discriminator", "has kernel (6, 5)", "has kernel (6, 1)"),
        ),
        (["model.latent_dim=4"], ("source: its generator", "kernel (3, 6)", "kernel (4, 6)")),
        (["model.generator.normalization=layer"], ("its generator", "gamma (6,)", "bias (6,)")),
        (["train.start=mean"], ("train.start_from", "train.start", "one of them")),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(place, overrides, words):
    line = refused("train.start_from=source", *overrides)
    assert [word for word in words if word not in line] == [], line
    assert not (place / "new").exists()


def test_a_run_of_a_family_with_other_networks_does_not_fit(place):
    shutil.rmtree("source")
    small = ["model.encoder.units=[4]", "model.decoder.units=[4]", "train.epochs=1"]
    options = [part for override in small for part in ("--set", override)]
    assert run("train", "vae_digits", "--out", "source", "--quiet", *options).exit_code == 0
    line = refused("train.start_from=source")
    assert "source: its VAE has no network 'generator'" in line


def test_a_run_that_is_not_finished_cannot_be_started_from(place):
    (place / "source" / "model.keras").unlink()
    assert "train.start_from: source: its run is not finished" in refused("train.start_from=source")


# -- What does not learn --------------------------------------------------------------------------


@pytest.mark.slow
def test_frozen_layers_keep_their_weights_and_statistics_and_the_others_move(place):
    """Dense, batch normalization, dense are the first three layers with weights."""
    before = keras_gen.load("source")
    options = ("train.start_from=source", "train.freeze={discriminator=3}")
    after = trained("tuned", *options)
    layers = list(zip(*(weights(m, "discriminator") for m in (before, after)), strict=True))
    assert [all_equal(*layer) for layer in layers] == [True] * 3 + [False] * (len(layers) - 3)
    moved = zip(*(weights(m, "generator") for m in (before, after)), strict=True)
    assert not any(all_equal(*layer) for layer in moved)
    # What is loaded goes on as it was: frozen, and with an optimizer of the rest.
    names = [v.name for v in after.discriminator.trainable_variables]
    assert names == ["gamma", "beta", "kernel", "gamma", "beta", "kernel", "bias"]
    again = weights(after, "discriminator")
    after.fit(np.zeros((4, 8, 8, 1), "float32"), verbose=0)
    still = [all_equal(*pair) for pair in zip(again, weights(after, "discriminator"), strict=True)]
    assert still == [True] * 3 + [False] * (len(layers) - 3)


@pytest.mark.slow
def test_a_tuned_run_is_resumed_where_the_run_it_started_from_is_gone(place):
    options = ("train.start_from=source", "train.freeze={discriminator=2}")
    whole = trained("whole", *options, "train.epochs=2")
    trained("parted", *options)
    shutil.rmtree("source")
    parted = trained("parted", *options, "train.epochs=2", resume=True)
    for socket in (*NETWORKS, "generator_average"):
        pairs = zip(weights(whole, socket), weights(parted, socket), strict=True)
        assert all(all_equal(*pair) for pair in pairs)


def test_layers_are_frozen_without_a_run_to_start_from_too():
    tables = {**config.read("gan_digits").tables}
    tables["train"] = {**tables["train"], "freeze": {"generator": 1}}
    model, _ = keras_gen.build(tables)
    first = next(layer for layer in model.generator.layers if layer.weights)
    assert not first.trainable_variables and model.generator.trainable_variables


@pytest.mark.parametrize(
    ("freeze", "words"),
    [
        ("{discriminator=7}", ("train.freeze.discriminator", "fewer than its 7 layers", "got 7")),
        ("{discriminatr=1}", ("train.freeze", "'discriminatr'", "did you mean 'discriminator'")),
        ("{generator=0}", ("train.freeze.generator", "more than 0", "got 0")),
        ("3", ("train.freeze", "a table", "3")),
    ],
)
def test_what_cannot_be_frozen(place, freeze, words):
    line = refused(f"train.freeze={freeze}")
    assert [word for word in words if word not in line] == [], line

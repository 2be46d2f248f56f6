"""Wrong input: one line that names the field or file, what was expected, what came; exit 2.

What is refused before Keras is there is in `tests/neutral/test_refusals.py`.
"""

import json
import os
import shutil

import keras
import numpy as np
import pytest
from commands import ran, refused, tells
from PIL import Image
from small_disk import small_disk
from tiny_config import TINY

import keras_gen
from keras_gen.config import actions

BACKEND = keras.backend.backend()

AUTOENCODER = TINY.replace('"vae"', '"autoencoder"')


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad_input")
    (folder / "vae.toml").write_text(TINY)
    (folder / "autoencoder.toml").write_text(AUTOENCODER)
    ran("train", folder / "vae.toml", "--out", folder / "runs" / "vae", "--quiet")
    return folder


@pytest.fixture
def place(trained_once, tmp_path, monkeypatch):
    """A working directory with two configs, and a run of the first."""
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- The config ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.beta=-1.0", ("model", "beta", "-1.0")),
        ("model.likelihood=poisson", ("model", "'bernoulli' or 'gaussian'", "'poisson'")),
        ("model.encoder.activation=rleu", ("model.encoder", "activation", "'rleu'")),
        ("model.encoder.dropout=1.5", ("model.encoder", "dropout", "[0, 1)", "1.5")),
    ],
)
def test_a_value_that_a_constructor_refuses_is_named(place, override, words):
    line = refused("train", "vae.toml", "--out", "new", "--set", override, leaves=place)
    tells(line, "vae", *words)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.input='grey'", ("input", "has inputs of its own", "'grey'")),
        ("data.input_factor=2", ("input_factor", "only input = 'small' has one", "2")),
        ("model.input_channels=1", ("model.input_channels", "have 3, got 1", "leave it out")),
        ("model.discriminator={network='mlp', units=[4]}", ("model.discriminator", "output_shape")),
    ],
)
def test_what_does_not_go_with_pairs_is_seen_when_they_are_read(place, override, words):
    rng = np.random.default_rng(0)
    for name in [f"{side}/{i}.png" for side in ("input", "target") for i in range(20)]:
        (place / "maps" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / "maps" / name)
    options = ("--set", "data.source='pairs:maps'", "--set", "model.generator.filters=[4,4]")
    options += ("--set", override, "--out", "new")
    tells(refused("train", "pix2pix_emoji", *options, leaves=place), *words)


def test_convolutions_of_vectors_are_refused(place):
    line = refused(
        "train",
        "gan_ring",
        "--set",
        "model.discriminator={network='conv_encoder',width=4}",
    )
    tells(line, "model.discriminator", "(2,)")


def test_verify_names_an_expected_result_that_is_not_measured(place):
    (place / "bound.toml").write_text(f"{TINY}\n[expect]\ntest_los = {{ at_most = 3 }}\n")
    tells(refused("verify", "bound.toml"), "expect.test_los", "test_loss")


# -- The data --------------------------------------------------------------------------------------


def folder_config(place, images, conditional=False):
    text = TINY.replace('"digits"', json.dumps(f"folder:{images}"))
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
    (place / "mine.toml").write_text(TINY.replace('"digits"', '"npz:holes.npz"'))
    line = refused("train", "mine.toml", "--out", "new", leaves=place)
    tells(line, "holes.npz")
    assert "nan" in line.lower() or "finite" in line.lower()


# -- The run folder --------------------------------------------------------------------------------


def test_overwriting_waits_until_the_model_is_built(place):
    line = refused(
        *("train", "vae.toml", "--overwrite", "--set", "model.encoder.dropout=2.0"), leaves=place
    )
    tells(line, "dropout")


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


# -- Other arguments -------------------------------------------------------------------------------


def test_labels_of_a_model_that_takes_none(place):
    tells(refused("sample", "vae", "--labels", "3", leaves=place), "--labels", "takes none")


def test_a_label_that_is_no_class(place):
    options = ("--set", "model.num_classes=data", "--out", "by_class", "--quiet")
    ran("train", "vae.toml", *options)
    line = refused("sample", "by_class", "--labels", "0,99", leaves=place)
    tells(line, "--labels", "0 to 9", "99")


def test_a_picture_must_be_a_png(place):
    tells(refused("sample", "vae", "--out", "grid.jpg", leaves=place), "--out", ".png", "grid.jpg")


def test_a_package_that_an_export_needs_is_named(place, monkeypatch):
    monkeypatch.setitem(actions.EXPORT_NEEDS, "onnx", {BACKEND: ("no_such_package",)})
    line = refused("export", "vae", "--format", "onnx", "--out", "m", leaves=place)
    tells(line, "onnx", BACKEND, "pip install no_such_package")


def test_an_export_never_replaces_a_file(place):
    line = refused("export", "vae", "--format", "keras", "--out", "vae.toml", leaves=place)
    tells(line, "vae.toml", "exists")


def test_a_backend_that_is_not_this_processs(place):
    other = "torch" if BACKEND != "torch" else "jax"
    line = refused("train", "vae.toml", "--out", "new", "--backend", other, leaves=place)
    tells(line, "--backend", BACKEND, other)


# -- While it runs ---------------------------------------------------------------------------------


def test_no_space_left(place):
    with small_disk(place / "full") as disk:
        disk.leave(4096)  # less than any checkpoint
        line = refused("train", "vae.toml", "--out", "full")
        tells(line, "full/checkpoint/state-a.npz", disk.told, "make room")
        assert not [path for path in disk.path.rglob("*") if path.is_file()]


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

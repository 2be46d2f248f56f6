"""The command line: what each command prints, writes and returns."""

import importlib.util
import json
import shutil

import keras
import numpy as np
import pytest
from commands import ran
from PIL import Image
from scipy.io import wavfile

import keras_gen
from keras_gen import callbacks, config, evaluation
from keras_gen.cli.progress import Progress

BACKEND = keras.backend.backend()

TINY = """
[data]
source = "digits"

[model]
family = "vae"
latent_dim = 2
num_classes = "data"

[model.encoder]
network = "mlp"
units = [8]

[model.decoder]
network = "mlp"
units = [8]

[train]
epochs = 2
batch_size = 750
jit_compile = false

[train.optimizer]
name = "adam"
learning_rate = 1e-2

[evaluate]
metrics = ["loss", "independent_pixels_nll"]
"""


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.toml").write_text(TINY)
    result = ran("train", folder / "tiny.toml", "--out", folder / "runs" / "tiny")
    return folder, result


@pytest.fixture
def place(trained_once, tmp_path, monkeypatch):
    """A working directory that holds tiny.toml and the run that was trained of it."""
    shutil.copytree(trained_once[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- train -----------------------------------------------------------------------------------------


def test_train_writes_a_run_and_names_the_run_and_a_picture_at_the_end(trained_once):
    folder, result = trained_once
    run_folder = folder / "runs" / "tiny"
    lines = result.stdout.strip().splitlines()
    assert lines[-1].split() == ["run", str(run_folder)]
    picture = lines[-2].removeprefix("samples").strip()
    assert pixels(picture).any()
    assert "epoch 2/2" in result.stderr
    assert "loss" in result.stderr
    for name in ("config.toml", "versions.json", "history.csv", "model.keras", "checkpoint"):
        assert (run_folder / name).exists(), name
    assert (run_folder / "config.toml").read_text() == TINY


def test_train_writes_to_runs_and_keeps_overrides_in_its_config(place):
    ran("train", "tiny.toml", "--set", "train.epochs=1", "--out", "other", "--quiet")
    assert config.read("other/config.toml").config.train.epochs == 1
    (place / "new.toml").write_text(TINY)
    ran("train", "new.toml", "--set", "train.epochs=1", "--quiet")
    assert (place / "runs" / "new" / "model.keras").exists()


def test_the_last_epoch_has_a_picture_even_where_others_have_none(place):
    options = ("--set", "train.sample_every=5", "--out", "seldom")
    assert "seldom/samples/epoch_0002.png" in ran("train", "tiny.toml", *options).stdout
    assert [path.name for path in (place / "seldom" / "samples").iterdir()] == ["epoch_0002.png"]
    options = ("--set", "train.sample_every=0", "--out", "never")
    assert "samples" not in ran("train", "tiny.toml", *options).stdout
    assert not (place / "never" / "samples").exists()


def test_quiet_prints_nothing_and_json_one_document(place):
    result = ran("train", "tiny.toml", "--out", "a", "--quiet", "--set", "train.epochs=1")
    assert result.output == ""
    result = ran("train", "tiny.toml", "--out", "b", "--json", "--set", "train.epochs=1")
    document = json.loads(result.stdout)
    assert result.stderr == ""
    assert document["run"] == "b"
    assert document["last"]["loss"] > 0
    assert document["backend"] == BACKEND
    assert (place / document["picture"]).exists()


def test_resume_goes_on_and_ends_where_an_uninterrupted_run_does(place):
    ran("train", "tiny.toml", "--out", "run", "--quiet", "--set", "train.epochs=1")
    ran("train", "tiny.toml", "--out", "run", "--quiet", "--resume")
    resumed, whole = keras_gen.load("run"), keras_gen.load("runs/tiny")
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_that_was_resumed_ends_with_a_gif_of_all_its_epochs(place):
    once = ("train", "tiny.toml", "--out", "run", "--quiet", "--set")
    ran(*once, "train.epochs=1")
    gif = place / "run" / "samples" / "training.gif"
    assert not gif.exists()
    ran(*once, "train.epochs=3", "--set", "train.gif=true", "--resume")
    with Image.open(gif) as moving:
        assert moving.n_frames == 3
        for epoch in range(3):
            moving.seek(epoch)
            picture = pixels(gif.with_name(f"epoch_{epoch + 1:04d}.png")).astype(int)
            # 256 colours a frame: the grey levels of a grid, exactly.
            np.testing.assert_array_equal(np.asarray(moving.convert("RGB")), picture)
    gif.unlink()
    ran(*once, "train.epochs=3", "--set", "train.gif=true", "--resume")  # it is finished
    assert gif.exists()


@pytest.mark.one_backend
@pytest.mark.parametrize("wanted, columns", [("true", True), ("false", False)])
def test_a_collapse_monitor_writes_its_numbers_to_the_history(place, wanted, columns):
    options = [
        *("train.epochs=2", "model.generator.units=[8]", "model.discriminator.units=[8]"),
        *("train.batch_size=750", "train.jit_compile=false", "train.sample_every=0"),
        f"train.collapse_monitor={wanted}",
    ]
    options = [part for option in options for part in ("--set", option)]
    ran("train", "gan_digits", *options, "--out", "watched", "--quiet")
    header, *rows = (place / "watched" / "history.csv").read_text().splitlines()
    assert ("diversity" in header.split(",")) == columns
    assert ("duplicates" in header.split(",")) == columns and len(rows) == 2


def test_overwrite_replaces_a_run(place):
    (place / "runs" / "tiny" / "stray.txt").write_text("old")
    options = ("--overwrite", "--quiet", "--set", "train.epochs=1")
    ran("train", "tiny.toml", *options)
    assert config.read("runs/tiny/config.toml").config.train.epochs == 1
    assert not (place / "runs" / "tiny" / "stray.txt").exists()


def test_an_interrupted_run_says_how_to_go_on_and_does(place, monkeypatch):
    def interrupt(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_epoch_end", interrupt)
        result = ran("train", "tiny.toml", "--out", "run", code=130)
    assert "Traceback" not in result.output
    command = result.stderr.strip().splitlines()[-1].partition("go on with: keras-gen ")[2]
    ran(*command.split(), "--quiet")
    whole = keras_gen.load("runs/tiny")
    for a, b in zip(keras_gen.load("run").get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# -- sample, evaluate, verify ----------------------------------------------------------------------


def test_sample_writes_the_same_picture_for_the_same_seed(place):
    result = ran("sample", "runs/tiny")
    assert result.stdout.split() == ["samples", "runs/tiny/samples.png"]
    for seed, name in ((0, "a.png"), (0, "b.png"), (1, "c.png")):
        ran("sample", "tiny", "--count", 8, "--seed", seed, "--out", name, "--quiet")
    a, b, c = (pixels(place / f"{name}.png") for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_sample_shows_a_column_for_each_label_asked_for(place):
    ran("sample", "tiny", "--labels", "3,5", "--count", 4, "--out", "two.png")
    height, width, _ = pixels(place / "two.png").shape
    assert width == height  # two columns, two rows


def test_truncated_noise_is_for_models_that_have_noise(place, monkeypatch):
    """They are what `sample(truncation=...)` makes; a VAE has no noise to truncate."""
    gan = TINY.replace('"vae"', '"gan"').replace("num_classes", "ema = 0.5\nnum_classes")
    gan = gan.replace("encoder", "discriminator").replace("decoder", "generator")
    gan = gan.replace('metrics = ["loss", "independent_pixels_nll"]', 'metrics = ["loss"]')
    one = '[train.optimizer]\nname = "adam"\nlearning_rate = 1e-2\n'
    both = [one.replace("optimizer", f"optimizer.{p}") for p in ("generator", "discriminator")]
    (place / "gan.toml").write_text(gan.replace(one, "".join(both)))
    ran("train", "gan.toml", "--out", "gan")
    pictures = []
    for options in ([], ["--truncation", 0.1]):
        ran("sample", "gan", "--labels", "3", "--count", 4, "--out", "some.png", *options)
        pictures.append(pixels(place / "some.png"))
    examples = keras_gen.load("gan").sample(4, seed=0, labels=[3], truncation=0.1)
    callbacks.save_grid(examples, place / "expected.png", 1, (0, 1))
    np.testing.assert_array_equal(pictures[1], pixels(place / "expected.png"))
    assert not np.array_equal(*pictures)
    assert "has no noise to truncate" in ran("sample", "tiny", "--truncation", 1, code=2).stderr
    assert "more than 0, got -1" in ran("sample", "gan", "--truncation", -1, code=2).stderr
    brightness = evaluation.Metric(
        lambda trial: {"brightness": float(trial.generate(20).mean())}, lambda _: ("brightness",)
    )
    monkeypatch.setitem(evaluation.METRICS, "loss", brightness)
    ran("evaluate", "gan", "--truncation", 0.1)
    written = json.loads((place / "gan" / "metrics.json").read_text())
    examples = keras_gen.load("gan").sample(20, seed=0, truncation=0.1)
    expected = np.clip(keras.ops.convert_to_numpy(examples), 0, 1).mean()
    assert written["truncation"] == 0.1
    assert written["brightness"] == pytest.approx(expected, rel=1e-5)
    for run, value, words in (("tiny", 1, "noise of a generator"), ("gan", -1, "more than 0")):
        told = ran("evaluate", run, "--truncation", value, code=2).stderr
        assert "evaluate.truncation" in told and words in told


def test_evaluate_writes_what_it_prints(place):
    document = json.loads(ran("evaluate", "tiny", "--json").stdout)
    written = json.loads((place / "runs" / "tiny" / "metrics.json").read_text())
    assert written == {**document["results"], "backend": BACKEND}
    assert document["results"]["test_loss"] > 0
    alone = ran("evaluate", "tiny").stdout
    assert "independent_pixels_nll" in alone and "mean" not in alone


def test_runs_of_several_seeds_are_told_as_mean_and_deviation(place, monkeypatch):
    """The deviation is that of a sample, of n - 1; another config is not of their number. All are
    judged by the classifiers of the first, which are those of the same data."""
    judges = []

    class Counted(evaluation.Judges):
        def __init__(self, data):
            super().__init__(data)
            judges.append(self)

    monkeypatch.setattr(evaluation, "Judges", Counted)
    small = ["--set", "evaluate.metrics=['loss']", "--set", "train.epochs=1"]
    for seed in (1, 2, 5):
        options = [*small, "--set", f"train.seed={seed}"]
        ran("train", "tiny.toml", "--out", f"runs/seed_{seed}", *options)
    names = ["runs/seed_1", "tiny", "runs/seed_2", "runs/seed_5"]
    told = ran("evaluate", *names).stdout
    assert len(judges) == 1
    losses = [
        json.loads((place / "runs" / f"seed_{seed}" / "metrics.json").read_text())["test_loss"]
        for seed in (1, 2, 5)
    ]
    assert len(set(losses)) == 3
    assert told.count("seeds ") == 1 and "seeds 1, 2, 5" in told
    spread = told[told.index("seeds 1, 2, 5") :]
    line = next(row.split() for row in spread.splitlines() if row.startswith("test_loss"))
    assert float(line[1]) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(line[2]) == pytest.approx(np.std(losses, ddof=1), rel=0.06)  # two digits of it
    document = json.loads(ran("evaluate", *names, "--json").stdout)
    assert [one["run"] for one in document["runs"]] == ["runs/seed_1", "runs/tiny", *names[2:]]
    assert document["runs"][0]["results"]["test_loss"] == pytest.approx(losses[0], rel=1e-5)


def test_a_run_that_is_not_there_is_refused_before_any_is_evaluated(place):
    (place / "runs" / "tiny" / "metrics.json").unlink(missing_ok=True)
    assert "nowhere" in ran("evaluate", "tiny", "nowhere", code=2).stderr
    assert not (place / "runs" / "tiny" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("expected", "code"),
    [
        ("test_loss = { at_most = 1000.0 }", 0),
        ("test_loss = { at_most = 1.0 }", 1),
        ("test_kl = { at_least = 0.0, at_most = 'test_loss' }", 0),
        ("test_loss = { at_most = 'test_kl' }", 1),
    ],
)
def test_verify_exits_1_when_a_bound_is_not_met(place, expected, code):
    (place / "bound.toml").write_text(f"{TINY}\n[expect]\n{expected}\n")
    result = ran("verify", "bound.toml", "--json", code=code)
    document = json.loads(result.stdout)
    assert document["met"] is (code == 0)
    assert all(verdict["result"] in expected for verdict in document["verdicts"])
    assert (place / "runs" / "bound" / "metrics.json").exists()


def test_verify_prints_what_fell_short(place):
    (place / "bound.toml").write_text(f"{TINY}\n[expect]\ntest_loss = {{ at_most = 1.0 }}\n")
    result = ran("verify", "bound.toml", code=1)
    assert "FELL SHORT" in result.stdout
    assert "at most 1" in result.stdout


# -- export ----------------------------------------------------------------------------------------


def test_export_keras_is_a_file_that_keras_loads(place):
    ran("export", "tiny", "--format", "keras", "--out", "model.keras")
    model = keras.saving.load_model(place / "model.keras", safe_mode=True)
    theirs, ours = (
        keras.ops.convert_to_numpy(m.sample(4, seed=0)) for m in (model, keras_gen.load("tiny"))
    )
    np.testing.assert_array_equal(theirs, ours)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="Keras needs torch_xla to export a SavedModel")
@pytest.mark.filterwarnings("ignore")
def test_export_of_a_saved_model_computes_the_same_images(place):
    tf = pytest.importorskip("tensorflow")
    ran("export", "tiny", "--format", "tf_saved_model", "--out", "saved")
    images = np.random.default_rng(0).random((3, 8, 8, 1)).astype("float32")
    labels = np.array([1, 2, 3], "int32")
    artifact = tf.saved_model.load(str(place / "saved"))
    served = artifact.serve([images, labels])
    expected = keras.ops.convert_to_numpy(keras_gen.load("tiny")((images, labels)))
    np.testing.assert_allclose(np.asarray(served), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(
    BACKEND == "jax" and importlib.util.find_spec("jax2onnx") is None, reason="needs jax2onnx"
)
@pytest.mark.filterwarnings("ignore")
def test_export_to_onnx_computes_the_same_images(place):
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    # Without labels: ONNX' reference evaluator cannot run the OneHot that tf2onnx writes.
    (place / "plain.toml").write_text(TINY.replace('num_classes = "data"', ""))
    ran("train", "plain.toml", "--quiet")
    ran("export", "plain", "--format", "onnx", "--out", "model.onnx")
    evaluator = ReferenceEvaluator(onnx.load(place / "model.onnx"))
    images = np.random.default_rng(0).random((3, 8, 8, 1)).astype("float32")
    (served,) = evaluator.run(None, {evaluator.input_names[0]: images})
    expected = keras.ops.convert_to_numpy(keras_gen.load("plain")(images))
    np.testing.assert_allclose(served, expected, rtol=1e-4, atol=1e-5)


# -- list, data, help ------------------------------------------------------------------------------


# -- the CelebA configs, on TFDS' mock data ----------------------------------------------------


@pytest.mark.one_backend
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["vae_celeb_a", "dcgan_celeb_a"])
def test_the_celeb_a_configs_train_through_tfds(name, tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    small = ["train.epochs=1", "train.batch_size=4", "train.jit_compile=false"]
    sockets = config.read(name).config.model.model_dump()
    for socket, section in sockets.items():
        if isinstance(section, dict):
            small.append(f"model.{socket}.width=4")
    with tfds.testing.mock_data(num_examples=8):
        run_ = keras_gen.train(name, out=tmp_path / "run", overrides=small, verbose=0)
    assert run_.model.sample(2, seed=0).shape == (2, 64, 64, 3)
    assert run_.picture.exists()


@pytest.mark.one_backend
@pytest.mark.slow
def test_a_series_is_trained_on_sampled_and_judged(tmp_path):
    """The whole way of somebody's own CSV file: curves in a picture, and the facts of returns."""
    rng = np.random.default_rng(0)
    returns = rng.normal(size=400) * np.where(np.arange(400) // 40 % 2, 3.0, 0.5)
    (tmp_path / "own.csv").write_text("\n".join(["return", *map(str, returns)]))
    small = [f"data.source='series:{tmp_path / 'own.csv'}'", "data.size=16", "model.latent_dim=2"]
    small += ["train.epochs=1", "train.jit_compile=false", "evaluate.samples=50"]
    small += ["model.encoder.width=4", "model.decoder.width=4"]
    run_ = keras_gen.train("vae_sp500", out=tmp_path / "run", overrides=small, verbose=0)
    assert run_.model.sample(3, seed=0).shape == (3, 16, 1)
    assert pixels(run_.picture).shape[:2] == (8 * 66 - 2, 8 * 130 - 2)  # 64 curves, 64 x 128
    shown = ran("sample", tmp_path / "run", "--count", "4", "--out", tmp_path / "four.png")
    assert shown.exit_code == 0 and pixels(tmp_path / "four.png").shape[:2] == (130, 258)
    ran("evaluate", tmp_path / "run")
    results = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert abs(results["excess_kurtosis_of_gaussian"]) < 1
    assert results["volatility_clustering_of_train"] > 0.2
    assert np.isfinite(results["excess_kurtosis"])


@pytest.mark.one_backend
@pytest.mark.slow
def test_a_table_is_trained_on_and_samples_are_written_in_its_own_units(tmp_path):
    """From somebody's own CSV file to one like it, class by class."""
    rng = np.random.default_rng(0)
    lines = [f"{a:.3f},{b:.3f},{'cat' if a < 500 else 'dog'}" for a, b in own_rows(rng)]
    (tmp_path / "own.csv").write_text("\n".join(["weight,height,kind", *lines]))
    small = [f"data.source='table:{tmp_path / 'own.csv'}'", "data.label_key='kind'"]
    small += ["model.num_classes='data'", "model.generator.units=[8]", "train.epochs=1"]
    small += ["model.discriminator.units=[8]", "train.batch_size=50", "train.jit_compile=false"]
    small += ["train.steps_per_execution=1", "evaluate.samples=40"]
    small += ["evaluate.metrics=['precision_recall']"]
    run_ = keras_gen.train("gan_ring", out=tmp_path / "run", overrides=small, verbose=0)
    assert pixels(run_.picture).shape[:2] == (256, 256)
    out = tmp_path / "out" / "rows.csv"
    shown = ran("sample", tmp_path / "run", "--count", "5", "--labels", "1,0", "--out", out)
    assert shown.exit_code == 0 and str(out) in shown.stdout
    header, *rows = [line.split(",") for line in out.read_text().splitlines()]
    assert header == ["weight", "height", "kind"]
    assert [row[2] for row in rows] == ["dog", "cat", "dog", "cat", "dog"]
    samples = keras.ops.convert_to_numpy(run_.model.sample(5, seed=0, labels=[1, 0]))
    mean, deviation = keras_gen.build(tmp_path / "run" / "config.toml")[1].train.standard
    expected = samples * deviation + mean
    np.testing.assert_allclose([[float(x) for x in row[:2]] for row in rows], expected, rtol=1e-4)
    ran("evaluate", tmp_path / "run")
    results = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 <= results["precision"] <= 1 and results["recall_of_held_out"] > 0.3


def own_rows(rng):
    return rng.normal([500.0, 0.01], [100.0, 0.001], (300, 2))


@pytest.mark.one_backend
@pytest.mark.slow
def test_sounds_are_trained_on_and_samples_can_be_heard(tmp_path):
    """From somebody's own recordings to a WAV file as loud and as fast as they are."""
    pytest.importorskip("soundfile")
    rng = np.random.default_rng(0)
    for number in range(8):
        hiss = rng.normal(scale=2000, size=2000).astype("int16")
        wavfile.write(tmp_path / f"{number}.wav", 8000, hiss)
    small = [f"data.source='sound:{tmp_path}'", "data.size=64", "model.latent_dim=2"]
    small += ["train.epochs=20", "train.jit_compile=false", "evaluate.metrics=['loss']"]
    small += ["model.encoder.width=4", "model.decoder.width=4"]
    keras_gen.train("vae_sp500", out=tmp_path / "run", overrides=small, verbose=0)
    heard = tmp_path / "out" / "heard.wav"
    shown = ran("sample", tmp_path / "run", "--count", "50", "--out", heard)
    assert shown.exit_code == 0 and str(heard) in shown.stdout
    rate, samples = wavfile.read(heard)
    assert rate == 8000 and len(samples) == 50 * 64 + 49 * 2000
    loud = samples[samples != 0].astype("float64").std()
    assert loud == pytest.approx(2000, rel=0.25)


def test_only_sounds_can_be_written_as_sound(place):
    refused = ran("sample", "runs/tiny", "--out", "heard.wav", code=2)
    assert "--out: expected a .png file" in refused.stderr
    assert not (place / "heard.wav").exists()


# -- A family that translates ----------------------------------------------------------------------

TRANSLATOR = """
[data]
source = "digits"
input = "small"
input_factor = 2
value_range = [-1, 1]

[model]
family = "pix2pix"

[model.generator]
network = "unet"
filters = [4, 4]
output_activation = "tanh"

[model.discriminator]
network = "patch_gan"
width = 4
stages = 1

[train]
epochs = 2
batch_size = 500
sample_every = 2
jit_compile = false

[train.optimizer.generator]
name = "adam"
learning_rate = 1e-3

[train.optimizer.discriminator]
name = "adam"
learning_rate = 1e-3

[evaluate]
metrics = ["translation_error"]
"""


@pytest.mark.one_backend
def test_a_translator_is_trained_shown_and_judged_beside_the_truth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(TRANSLATOR)
    ran("train", "small.toml", "--quiet")
    folder = tmp_path / "runs" / "small"
    assert [path.name for path in (folder / "samples").iterdir()] == ["epoch_0002.png"]
    # 16 pairs of the test split, eight a row: twice input, output and truth.
    last = pixels(folder / "samples" / "epoch_0002.png")
    assert last.shape == (6 * 66 - 2, 8 * 66 - 2, 3)
    results = json.loads(ran("evaluate", folder, "--json").stdout)["results"]
    assert len(results) == 4 and results["translation_error_of_identity"] > 0
    ran("sample", folder, "--count", 3, "--seed", 5, "--quiet")
    shown = pixels(folder / "samples.png")
    assert shown.shape == (3 * 66 - 2, 3 * 66 - 2, 3)
    test = keras_gen.data.load("digits", "test", input="small", input_factor=2, value_range=(-1, 1))
    model = keras_gen.load(folder)
    for column, place in enumerate(np.random.default_rng(5).permutation(len(test))[:3]):
        pair = test.images([place])
        made = keras.ops.convert_to_numpy(model.translate(pair[..., :1]))
        for row, image in enumerate((pair[..., :1], made, pair[..., 1:])):
            # Each pixel is enlarged to 8 x 8.
            cell = shown[66 * row : 66 * row + 64 : 8, 66 * column : 66 * column + 64 : 8, 0]
            np.testing.assert_allclose(cell, 127.5 * (image[0, ..., 0] + 1), atol=1)
    ran("sample", folder, "--count", 3, "--seed", 6, "--out", "other.png", "--quiet")
    assert not np.array_equal(pixels("other.png"), shown)

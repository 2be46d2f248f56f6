"""Runs: the folder, and that interrupted and resumed is the same as never interrupted."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import kill_and_resume
import numpy as np
import pytest
from conftest import environment_of
from kill_and_resume import arrays_of, first_difference, toy_batches, toy_callbacks, toy_gan
from PIL import Image
from small_disk import small_disk

from keras_gen import Diverged, backend, checkpoints, models, networks, runs

EXAMPLES = 30  # 4 batches an epoch, the last one of 6
CONFIG = "[train]\nepochs = 3\n[train.optimizer]\nlearning_rate = 0.001\n"


class Interrupted(Exception):
    pass


class Interrupt(keras.callbacks.Callback):
    """Ends the process' work in the middle of a step's books: after so many steps."""

    def __init__(self, after=None):
        super().__init__()
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        if self.left is not None:
            self.left -= 1
            if not self.left:
                raise Interrupted


def run(folder, *, after=None, model=None, epochs=3, examples=EXAMPLES, callbacks=None, **options):
    options = {"sample_every": 2, "sample_count": 4, "value_range": (-1, 1), **options}
    callbacks = toy_callbacks() if callbacks is None else callbacks
    return runs.train(
        model or toy_gan(),
        toy_batches(examples),
        folder=folder,
        epochs=epochs,
        callbacks=[*callbacks, Interrupt(after)],
        verbose=0,
        **options,
    )


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def checkpoint(folder):
    """Epoch and batch of a folder's checkpoint."""
    position = json.loads((folder / "checkpoint" / "position.json").read_text())["position"]
    return position["epoch"], position["batch"]


def validated():
    return {"validation": toy_batches(10)}


@pytest.fixture(scope="module")
def once():
    """What the tests of this file share: each made by the first that asks for it.

    Not by a fixture of the module's scope: those come before `fresh_state`, which settles how
    programs are compiled, and other programs have other bits.
    """
    return {}


@pytest.fixture
def whole(once, tmp_path_factory):
    """Folder, model and history of a run that nothing interrupted: to be copied, not changed."""
    if "whole" not in once:
        folder, model = tmp_path_factory.mktemp("whole") / "run", toy_gan()
        history = run(folder, model=model, config_text=CONFIG, checkpoint_every=1, **validated())
        once["whole"] = SimpleNamespace(folder=folder, model=model, history=history)
    return once["whole"]


@pytest.fixture
def cut(once, tmp_path_factory, tmp_path):
    """A copy of that run as interrupted in its second epoch, without a checkpoint in it."""
    if "cut" not in once:
        once["cut"] = tmp_path_factory.mktemp("cut") / "run"
        with pytest.raises(Interrupted):
            run(once["cut"], after=6, config_text=CONFIG, checkpoint_seconds=None, **validated())
    return Path(shutil.copytree(once["cut"], tmp_path / "cut"))


# -- A whole run ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_is_one_fit_and_its_folder_holds_it(whole):
    folder, model, same = whole.folder, whole.model, toy_gan()
    validation = toy_batches(10)
    again = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: setattr(validation, "epoch", 0)
    )
    logs = same.fit(
        toy_batches(EXAMPLES),
        validation_data=validation,
        epochs=3,
        shuffle=False,
        verbose=0,
        callbacks=[*toy_callbacks(), again],
    ).history
    assert whole.history == {"epoch": [1, 2, 3], **logs}
    for mine, theirs in zip(model.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)

    with open(folder / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [float(row["fake_score"]) for row in rows] == logs["fake_score"]
    assert (folder / "config.toml").read_text() == CONFIG
    versions = json.loads((folder / "versions.json").read_text())
    assert versions["backend"] == keras.backend.backend()
    assert versions["keras"] == keras.__version__ and versions[versions["backend"]]
    assert [path.name for path in (folder / "samples").iterdir()] == ["epoch_0002.png"]
    with Image.open(folder / "samples" / "epoch_0002.png") as picture:
        assert picture.size == (130, 130)
    loaded = runs.load_model(folder)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(loaded.sample(4, seed=1)),
        keras.ops.convert_to_numpy(model.sample(4, seed=1)),
    )


@pytest.mark.slow
def test_averages_of_keras_replace_the_weights_once_at_the_end(tmp_path):
    """Keras' `use_ema` writes over the weights at the end of each fit: here, of the run."""

    def autoencoder():
        keras.utils.set_random_seed(1)
        sockets = models.Autoencoder.sockets((8, 8, 1), latent_dim=2)
        model = models.Autoencoder(
            networks.mlp(*sockets["encoder"], units=()),
            networks.mlp(*sockets["decoder"], units=()),
            latent_dim=2,
        )
        model.compile(keras.optimizers.SGD(1e-3, use_ema=True, ema_momentum=0.9))
        return model

    same = autoencoder()
    same.fit(toy_batches(EXAMPLES), epochs=3, shuffle=False, verbose=0)
    run(tmp_path / "longer", model=autoencoder(), callbacks=[])
    for mine, theirs in zip(
        runs.load_model(tmp_path / "longer").get_weights(), same.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    # The checkpoint holds the weights, not their average: three epochs and two more are five.
    run(tmp_path / "longer", model=autoencoder(), callbacks=[], epochs=5, resume=True)
    run(tmp_path / "five", model=autoencoder(), callbacks=[], epochs=5)
    assert first_difference(tmp_path / "five", tmp_path / "longer") is None


# -- Interrupted and resumed ------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_interrupted_anywhere_it_ends_the_same_bit_for_bit(whole, tmp_path, steps_per_execution):
    """In the first step, inside an epoch, at its last step; each resumption is cut off as well."""
    options = {"checkpoint_every": 1, "config_text": CONFIG, **validated()}

    def gan():
        return toy_gan(steps_per_execution=steps_per_execution)

    goal, cuts = whole.folder, (1, 3, 3, 2, None)
    if steps_per_execution == 2:
        goal, cuts = tmp_path / "whole", (2, 2, None)
        run(goal, model=gan(), **options)
    seen = []
    for part, after in enumerate(cuts):
        try:
            run(tmp_path / "cut", model=gan(), after=after, resume=part > 0, **options)
        except Interrupted:
            seen.append(checkpoint(tmp_path / "cut"))
    # The interrupt comes before the checkpoint of its own step.
    expected = [(0, 0), (0, 2), (1, 0), (1, 1)] if steps_per_execution == 1 else [(0, 2), (1, 0)]
    assert seen == expected
    assert first_difference(goal, tmp_path / "cut") is None


@pytest.mark.one_backend
@pytest.mark.slow
def test_without_checkpoints_inside_epochs_the_epoch_is_done_again(whole, cut, monkeypatch):
    """The same bits; and where the resumption was elsewhere, that is noted."""
    assert checkpoint(cut) == (1, 0)
    monkeypatch.setattr(keras, "__version__", "9.9.9")
    run(cut, resume=True, config_text=CONFIG, **validated())
    assert first_difference(whole.folder, cut) is None
    versions = json.loads((cut / "versions.json").read_text())
    assert versions["keras"] != "9.9.9"
    assert [other["keras"] for other in versions["resumed_with"]] == ["9.9.9"]


@pytest.mark.slow
def test_killed_at_three_random_moments_it_ends_the_same_bit_for_bit(tmp_path):
    """By SIGKILL. New moments each time: what is printed on failure names their seed."""
    command = [sys.executable, kill_and_resume.__file__, "--fork", "--kills", "3", "--epochs", "2"]
    done = subprocess.run(
        [*command, "--backend", keras.backend.backend()],
        env={
            **os.environ,
            # What one life of the run has compiled, the others read: XLA's own time is not ours.
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^3 kills, \d+ run\(s\) compared: the same, bit for bit$", done.stdout, re.M)


def test_checkpoints_by_the_clock(tmp_path):
    with pytest.raises(Interrupted):
        run(tmp_path / "run", after=3, checkpoint_seconds=0.0)
    assert checkpoint(tmp_path / "run") == (0, 2)


@pytest.mark.one_backend
@pytest.mark.slow
def test_stopped_early_it_stays_stopped(tmp_path):
    """Killed after its last checkpoint and before the model is written."""

    def callbacks():
        return [
            keras.callbacks.EarlyStopping(
                "discriminator_loss",
                mode="min",
                patience=1,
                min_delta=100.0,
                restore_best_weights=True,
            )
        ]

    history = run(tmp_path / "whole", epochs=9, callbacks=callbacks())
    assert history["epoch"] == [1, 2], "no epoch is better than the first by 100"
    document = tmp_path / "whole" / "checkpoint" / "position.json"
    text = document.read_text()
    assert '"finished": true' in text
    document.write_text(text.replace('"finished": true', '"finished": false'))
    weights = runs.load_model(tmp_path / "whole").get_weights()
    (tmp_path / "whole" / "model.keras").unlink()
    model = toy_gan()
    assert (
        run(tmp_path / "whole", model=model, epochs=9, callbacks=callbacks(), resume=True)
        == history
    )
    for mine, theirs, now in zip(
        runs.load_model(tmp_path / "whole").get_weights(), weights, model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(now, theirs)


def test_a_finished_run_says_so_and_nothing_changes(whole, capsys):
    before = files_of(whole.folder)
    again = toy_gan()
    again.generator.set_weights([np.zeros_like(w) for w in again.generator.get_weights()])
    arguments = {"folder": whole.folder, "epochs": 3, "config_text": CONFIG, "resume": True}
    arguments |= {"callbacks": [*toy_callbacks(), Interrupt()], "sample_every": 2}
    assert runs.train(again, toy_batches(EXAMPLES), **arguments) == whole.history
    assert "is finished (3 epochs): nothing to do" in capsys.readouterr().out
    assert files_of(whole.folder) == before
    for mine, theirs in zip(again.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


# -- Divergence, full disks, damage -----------------------------------------------------------


@pytest.mark.slow
def test_a_diverging_run_keeps_the_last_good_checkpoint(tmp_path):
    keras.utils.set_random_seed(1)
    sockets = models.Autoencoder.sockets((8, 8, 1), latent_dim=2)
    model = models.Autoencoder(
        networks.mlp(*sockets["encoder"], units=()),
        networks.mlp(*sockets["decoder"], units=()),
        latent_dim=2,
    )
    model.compile(keras.optimizers.SGD(1e6))
    with pytest.raises(Diverged, match="term 'loss' was not finite at train step [2345678]\\."):
        run(tmp_path, model=model, callbacks=[], epochs=9, checkpoint_every=1, sample_every=1)
    epoch, batch = checkpoint(tmp_path)
    steps = 4 * epoch + batch
    assert steps >= 1, "the first step is finite: its loss comes before its update"
    fault = next(a for name, a in arrays(tmp_path).items() if name.endswith("fault"))
    assert fault.tolist() == [-1, -1]
    assert not (tmp_path / "model.keras").exists()
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name]
    assert len(list(tmp_path.glob("samples/*"))) == epoch


def arrays(folder):
    document = json.loads((folder / "checkpoint" / "position.json").read_text())
    with np.load(folder / "checkpoint" / document["state"]["file"]) as file:
        return dict(file)


class FillDisk(keras.callbacks.Callback):
    """Leaves so many bytes on a disk when its moment comes: `on_epoch_begin` or `on_train_end`."""

    def __init__(self, disk, room, epoch=None):
        super().__init__()
        self.disk, self.room, self.epoch = disk, room, epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.disk.leave(self.room)

    def on_train_end(self, logs=None):
        if self.epoch is None:
            self.disk.leave(self.room)


def test_a_full_disk_is_one_line_and_the_old_checkpoint_is_intact(tmp_path):
    with small_disk(tmp_path / "run") as disk:
        path = disk.path / "checkpoint"
        with pytest.raises(runs.RunError) as error:
            # Room for the history, and not for a checkpoint of 33 kB.
            run(disk.path, callbacks=[FillDisk(disk, 8192, epoch=1)], sample_every=0)
        told = f"{path / 'state-a.npz'}: could not be written ({disk.told}); what was there before"
        assert str(error.value).startswith(told)
        assert "\n" not in str(error.value)
        assert {file.name for file in path.iterdir()} == {"position.json", "state-b.npz"}
        position = checkpoints.load_state(toy_gan(), path)
        assert (position["epoch"], position["batch"]) == (1, 0)
        assert [row["epoch"] for row in position["history"]] == [1]


def test_a_disk_too_full_for_the_model_is_one_line_and_the_run_can_be_finished(tmp_path):
    with small_disk(tmp_path / "run") as disk:
        options = {"epochs": 1, "sample_every": 0}
        with pytest.raises(runs.RunError) as error:
            # The model's file has 105 kB.
            run(disk.path, callbacks=[FillDisk(disk, 65536)], **options)
        told = f"{disk.path / 'model.keras'}: could not be written ({disk.told}"
        assert str(error.value).startswith(told)
        assert "\n" not in str(error.value)
        assert not list(disk.path.glob("*.keras"))
        disk.leave(2**20)
        run(disk.path, callbacks=[], resume=True, **options)
        assert runs.load_model(disk.path).sample(2, seed=0).shape == (2, 8, 8, 1)


def test_killed_between_any_two_writes_a_whole_checkpoint_is_there(tmp_path, monkeypatch):
    """Whatever call of the file system is the last one, the old or the new state is read."""
    model = toy_gan()
    path = tmp_path / "checkpoint"

    class Killed(BaseException):
        pass

    def save(number, killed_at):
        calls = iter(range(10**6))

        def deadly(function):
            def call(*args, **kwargs):
                if next(calls) == killed_at:
                    raise Killed
                return function(*args, **kwargs)

            return call

        model.optimizer["generator"].learning_rate = float(number)
        with monkeypatch.context() as patch:
            for name in ("replace", "fsync", "unlink"):
                patch.setattr(os, name, deadly(getattr(os, name)))
            try:
                checkpoints.save_state(model, path, {"number": number})
            except Killed:
                return next(calls)
        return None

    save(0, None)
    read = []
    for number in range(1, 100):
        done = save(number, number - 1) is None
        loaded = toy_gan()
        position = checkpoints.load_state(loaded, path)
        rate = float(keras.ops.convert_to_numpy(loaded.optimizer["generator"].learning_rate))
        assert position["number"] == rate
        read.append(number - position["number"])
        if done:
            break
    assert done and read[0] == 1 and read[-1] == 0
    assert len(list(path.iterdir())) == 2


def test_damage_is_found_and_the_model_is_left_as_it_was(tmp_path):
    model = toy_gan()
    checkpoints.save_state(model, tmp_path, {})
    (file,) = tmp_path.glob("*.npz")
    whole = file.read_bytes()
    other = toy_gan()
    other.generator.set_weights([w + 1 for w in other.generator.get_weights()])
    before = other.get_weights()
    flipped = whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:]
    for content, message in (
        (whole[:-10], f"truncated checkpoint: {len(whole) - 10} bytes, {len(whole)} were written"),
        (whole + b"x", "changed checkpoint"),
        (flipped, "damaged .its SHA-256"),
    ):
        file.write_bytes(content)
        with pytest.raises(runs.RunError, match=f"^{file}: .*{message}") as error:
            checkpoints.load_state(other, tmp_path)
        assert "\n" not in str(error.value)
    file.unlink()
    with pytest.raises(runs.RunError, match="is missing"):
        checkpoints.load_state(other, tmp_path)
    for text, message in (
        ("{", "position.json: is damaged"),
        ("[]", "is no position"),
        (json.dumps({"format": 2, "state": {"file": ""}, "position": {}}), "has format 2"),
        (json.dumps({"format": 1, "state": {"file": "/etc/x"}, "position": {}}), "no run wrote"),
    ):
        (tmp_path / "position.json").write_text(text)
        with pytest.raises(runs.RunError, match=message):
            checkpoints.load_state(other, tmp_path)
    for mine, theirs in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_checkpoint_of_another_model_names_the_first_difference(tmp_path):
    checkpoints.save_state(toy_gan(units=12), tmp_path, {})
    wider = toy_gan(units=13)
    before = wider.get_weights()
    message = r"model/0003/mlp/hidden/kernel has shape \(4, 12\) there, \(4, 13\) here"
    with pytest.raises(runs.RunError, match=message):
        checkpoints.load_state(wider, tmp_path)
    for mine, theirs in zip(wider.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    sgd = toy_gan()
    sgd.compile({"generator": "adam", "discriminator": "sgd"})
    with pytest.raises(
        runs.RunError, match="where it has optimizer/[0-9]*/discriminator/hidden_kernel_velocity"
    ):
        checkpoints.load_state(sgd, tmp_path)
    sockets = models.VAE.sockets((8, 8, 1), latent_dim=2)
    vae = models.VAE(*(networks.mlp(*shapes) for shapes in sockets.values()), latent_dim=2)
    vae.compile("adam")
    with pytest.raises(runs.RunError, match="of another model: model GAN there, VAE here"):
        checkpoints.load_state(vae, tmp_path)


def test_bfloat16_variables_are_kept_exactly(tmp_path):
    def vae():
        keras.config.set_dtype_policy("bfloat16")
        sockets = models.VAE.sockets((8, 8, 1), latent_dim=2)
        vae = models.VAE(*(networks.mlp(*shapes) for shapes in sockets.values()), latent_dim=2)
        vae.compile("sgd")
        return vae

    one, other = vae(), vae()
    checkpoints.save_state(one, tmp_path, {})
    checkpoints.load_state(other, tmp_path)
    for mine, theirs in zip(one.variables, other.variables, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(
            *(keras.ops.convert_to_numpy(keras.ops.cast(v, "float32")) for v in (mine, theirs))
        )


# -- The folder -------------------------------------------------------------------------------


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    before = files_of(tmp_path)
    with pytest.raises(runs.RunError, match="is not empty; go on with its run by --resume, or ch"):
        run(tmp_path)
    with pytest.raises(runs.RunError, match="is no run's folder"):
        run(tmp_path, resume=True)
    with pytest.raises(runs.RunError, match="expected a folder, found a file"):
        run(tmp_path / "thesis.txt")
    with pytest.raises(runs.RunError, match="no run to resume; leave out --resume"):
        run(tmp_path / "nowhere", resume=True)
    assert files_of(tmp_path) == before


@pytest.mark.one_backend
@pytest.mark.slow
def test_what_a_resumed_run_may_not_change(cut):
    before = files_of(cut)
    for options, message in (
        (
            {"config_text": CONFIG.replace("0.001", "0.1")},
            "optimizer.learning_rate was 0.001, now 0.1",
        ),
        ({"config_text": CONFIG + "clipnorm = 1\n"}, "clipnorm was None, now 1"),
        ({"config_text": CONFIG, "examples": 40}, "was run with batches an epoch = 4, now 5"),
        ({"config_text": CONFIG, "callbacks": []}, "was run with callbacks that remember"),
        ({"config_text": CONFIG, "model": toy_gan(13)}, "of another model"),
    ):
        with pytest.raises(runs.RunError, match=message):
            run(cut, resume=True, **options)
        assert files_of(cut) == before
    history = run(cut, resume=True, epochs=2, config_text=CONFIG.replace("3", "2"), **validated())
    assert history["epoch"] == [1, 2]
    assert "epochs = 2" in (cut / "config.toml").read_text()


@pytest.mark.one_backend
def test_callbacks_without_a_memory_may_come_and_go(tmp_path):
    def remembering():
        return keras.callbacks.EarlyStopping("generator_loss", mode="min", patience=100)

    class Onlooker(keras.callbacks.Callback):
        pass

    folder = tmp_path / "run"
    run(folder, epochs=1, callbacks=[Onlooker(), remembering()])
    document = folder / "checkpoint" / "position.json"
    text = document.read_text()
    assert [name for name, _ in json.loads(text)["position"]["callbacks"]] == ["EarlyStopping"]
    # Checkpoints were written that list the others too, with no memory.
    older = json.loads(text)
    older["position"]["callbacks"].insert(0, ["Onlooker", None])
    document.write_text(json.dumps(older))
    with pytest.raises(runs.RunError, match=r"remember = \['EarlyStopping'\], now \[\]"):
        run(folder, epochs=2, callbacks=[Onlooker()], resume=True)
    stopping = remembering()
    history = run(folder, epochs=2, callbacks=[stopping], sample_every=0, resume=True)
    assert history["epoch"] == [1, 2]
    assert stopping.best == min(history["generator_loss"])


def test_keras_backup_is_refused(tmp_path):
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(runs.RunError, match="a run keeps its own checkpoint") as error:
        run(tmp_path / "run", callbacks=[backup])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_batches_must_be_resumable(tmp_path):
    with pytest.raises(runs.RunError, match="expected a keras_gen.data.Batches, got ndarray"):
        runs.train(toy_gan(), np.zeros((8, 8, 8, 1)), folder=tmp_path, epochs=1)
    with pytest.raises(runs.RunError, match="epochs: expected an integer, 1 or more; got 0"):
        runs.train(toy_gan(), toy_batches(), folder=tmp_path, epochs=0)


def test_load_model_says_what_is_missing(whole, cut, tmp_path):
    with pytest.raises(runs.RunError, match="there is no such run"):
        runs.load_model(tmp_path / "nowhere")
    with pytest.raises(runs.RunError, match="is no run's folder"):
        runs.load_model(tmp_path)
    with pytest.raises(runs.RunError, match="is not finished; finish it with train --resume"):
        runs.load_model(cut)
    content = (whole.folder / "model.keras").read_bytes()
    (cut / "model.keras").write_bytes(content[:-100])
    with pytest.raises(runs.RunError, match="model.keras: is damaged"):
        runs.load_model(cut)


# -- Keras' own -------------------------------------------------------------------------------


@pytest.mark.slow
def test_keras_backup_and_restore(tmp_path):
    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)

    def fit(model, epochs, *callbacks):
        return model.fit(
            toy_batches(EXAMPLES), epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks
        )

    whole, first, second = toy_gan(), toy_gan(), toy_gan()
    fit(whole, 3)
    fit(first, 2, backup())
    batches = toy_batches(EXAMPLES)
    batches.epoch = 2
    second.fit(batches, epochs=3, verbose=0, shuffle=False, callbacks=[backup()])
    for mine, theirs in zip(second.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_keras_model_checkpoint(tmp_path):
    model = toy_gan()
    path = tmp_path / "best.keras"
    keeper = keras.callbacks.ModelCheckpoint(
        path, monitor="discriminator_loss", mode="min", save_best_only=True
    )
    model.fit(toy_batches(EXAMPLES), epochs=1, verbose=0, shuffle=False, callbacks=[keeper])
    loaded = keras.saving.load_model(path)
    pairs = zip(loaded.optimizer.variables, model.optimizer.variables, strict=True)
    for mine, theirs in [*pairs, *zip(loaded.variables, model.variables, strict=True)]:
        if mine.name != "seed_generator_state":  # which Keras does not save, and no step draws from
            np.testing.assert_array_equal(
                keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(theirs)
            )


# -- Three backends ---------------------------------------------------------------------------

WORKER = """
import functools
import sys
from pathlib import Path
import kill_and_resume
from keras_gen import checkpoints
from test_runs import Interrupted, checkpoint, run

place, here = Path(sys.argv[1]), sys.argv[2]
# Four runs of a few steps: what is saved, not how a step is compiled.
toy = functools.partial(getattr(kill_and_resume, sys.argv[3]), run_eagerly=here != "jax")
for line in sys.stdin:
    action, folder, *_ = line.split()
    folder = place / folder
    if action == "begin":
        try:
            run(folder, model=toy(), after=6, checkpoint_every=1)
        except Interrupted:
            pass
    elif action == "copy":
        model = toy()
        position = checkpoints.load_state(model, folder / "checkpoint")
        checkpoints.save_state(model, folder / f"copied_by_{here}", position)
    else:
        run(folder, model=toy(), resume=True, checkpoint_every=1)
    print("done", *checkpoint(folder), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("toy", ["toy_gan", "toy_progressive_gan"])
def test_a_run_saved_on_one_backend_resumes_on_another(tmp_path, toy):
    """Three by three: two optimizers, averages, counters, a partial epoch and its metrics; and in
    the middle of a fade of a GAN that grows."""
    if missing := set(backend.BACKENDS) - set(backend.installed()):
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")
    here = Path(__file__).parent
    workers = {
        name: subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), name, toy],
            env={
                **environment_of(name),
                "OMP_NUM_THREADS": "1",
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "PYTHONPATH": os.pathsep.join([str(here.parent), str(here)]),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in backend.BACKENDS
    }

    def ask(name, *words):
        workers[name].stdin.write(" ".join(words) + "\n")
        workers[name].stdin.flush()
        answer = workers[name].stdout.readline().split()
        assert answer[:1] == ["done"], f"the worker on {name} failed at {words}"
        return tuple(int(word) for word in answer[1:])

    try:
        for source in backend.BACKENDS:
            for goal in backend.BACKENDS:
                folder = tmp_path / f"{source}_{goal}"
                if goal == backend.BACKENDS[0]:
                    assert ask(source, "begin", folder.name) == (1, 1)
                    for other in backend.BACKENDS[1:]:
                        copy_tree(folder, tmp_path / f"{source}_{other}")
        for source in backend.BACKENDS:
            ends = {}
            for goal in backend.BACKENDS:
                folder = tmp_path / f"{source}_{goal}"
                ask(goal, "copy", folder.name)
                saved, copied = arrays(folder), arrays_in(folder / f"copied_by_{goal}")
                assert list(saved) == list(copied)
                for name in saved:
                    np.testing.assert_array_equal(saved[name], copied[name], name)
                assert ask(goal, "resume", folder.name) == (3, 0)
                ends[goal] = arrays_of(folder)
            for goal in backend.BACKENDS:
                assert list(ends[goal]) == list(ends[source])
                for name, value in ends[source].items():
                    # Seven steps of Adam at 1e-3: rounding may turn whole steps.
                    np.testing.assert_allclose(
                        ends[goal][name], value, rtol=2e-2, atol=2e-3, err_msg=f"{goal}: {name}"
                    )
    finally:
        for worker in workers.values():
            worker.kill()
            worker.communicate()


def arrays_in(path):
    document = json.loads((path / "position.json").read_text())
    with np.load(path / document["state"]["file"]) as file:
        return dict(file)


def copy_tree(source, goal):
    for path, content in files_of(source).items():
        place = goal / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

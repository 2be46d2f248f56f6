"""A run's folder: what it holds, how it is written and resumed.

```
config.toml      the config as run, overrides in
versions.json    what it was run with
history.csv      one row an epoch
samples/         one grid of samples every few epochs; training.gif of them all on request
checkpoint/      position.json, and the file of arrays that it names
model.keras      the trained model, once the run is finished
```

Every file is written beside its place and renamed, so that a run can be killed at any moment.
"""

import contextlib
import csv
import io
import json
import platform
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_gen.callbacks import SampleGrid, TranslationGrid, replacing
from keras_gen.checkpoints import (
    RunError,
    amend,
    load_state,
    read_json,
    save_state,
    to_numpy,
    write_text,
)

# What a config may change when its run is resumed.
FREE_TO_CHANGE = (("train", "epochs"), ("train", "gif"), ("train", "backend"), ("backend",))
# Keras' own callbacks with a memory, and the attributes that are that memory.
MEMORY = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    "ReduceLROnPlateau": ("wait", "cooldown_counter", "best"),
    "ModelCheckpoint": ("best", "_batches_seen_since_last_saving"),
}


# -- Training ---------------------------------------------------------------------------------


def train(
    model,
    batches,
    *,
    folder,
    epochs,
    config_text="",
    validation=None,
    sample_every=1,
    sample_count=None,
    value_range=(0.0, 1.0),
    labels=None,
    pairs=None,
    checkpoint_every=None,
    checkpoint_seconds=60.0,
    resume=False,
    callbacks=(),
    verbose="auto",
):
    """Train a compiled model in a folder of its own, from which the run can be resumed.

    A run killed at any moment and resumed ends with the same weights as one never killed: bit
    for bit on the same backend, machine and number of threads. It may be resumed on another
    backend. A checkpoint is written before the first step, at each epoch's end, and inside
    epochs as `checkpoint_every` and `checkpoint_seconds` say.

    Args:
        model: A built and compiled `GenerativeModel`.
        batches: A `keras_gen.data.Batches`, or another `PyDataset` whose batches are a pure
            function of its settable `epoch` and of `start_batch` plus the index.
        folder: The run's folder: new or empty, or with `resume` that of a run.
        epochs: Passes over the data in all, those before a resumption included.
        config_text: The TOML kept as `config.toml`; with `resume`, only its epochs and its gif
            may differ.
        validation: What `fit` takes as `validation_data`.
        sample_every: Epochs between two grids of samples; 0 for none. Models of anything but
            images, signals and vectors write none.
        sample_count: Samples a grid; `None` for `SampleGrid`'s own.
        value_range: `(low, high)` of the samples; `None` of signals, drawn as curves, and of
            vectors, drawn as points.
        labels: The classes that the grids of a conditional model show; all where `None`.
        pairs: `(inputs, targets)` that the grids of a model that translates show, in place of
            samples.
        checkpoint_every: Train steps between two checkpoints inside an epoch; `None` for none.
        checkpoint_seconds: Seconds between two checkpoints inside an epoch; `None` for none.
        resume: Go on from the folder's checkpoint.
        callbacks: Keras callbacks. Those with `get_state()` and `set_state(state)` are resumed;
            so are Keras' EarlyStopping, ReduceLROnPlateau and ModelCheckpoint. With `resume`,
            these must be the same; others may differ. BackupAndRestore is refused.
        verbose: As in `fit`.

    Returns:
        `{"epoch": [1, 2, ...], term: [number, ...], ...}`; the model is trained in place.

    Raises:
        RunError: The folder holds a run already, or none to resume, or one of another model,
            config or data; a file in it is damaged or could not be written.
        Diverged: A term was not finite. The last good checkpoint stays, nothing is written after.
    """
    folder = Path(folder)
    callbacks = list(callbacks)
    _check_arguments(model, batches, epochs, callbacks)
    started = _check_folder(folder, config_text, resume)
    options = {"every": sample_every, "value_range": value_range}
    if sample_every and pairs is not None:
        callbacks.append(TranslationGrid(folder / "samples", *pairs, **options))
    elif sample_every and _can_be_shown(batches, value_range):
        callbacks.append(SampleGrid(folder / "samples", sample_count, labels=labels, **options))
    run = _Run(model, batches, folder, callbacks, epochs, verbose)
    run.checkpoint_every, run.checkpoint_seconds = checkpoint_every, checkpoint_seconds
    with _naming_what_failed(folder), _as_one_fit(model, batches, epochs):
        if started:
            run.load()
        else:
            folder.mkdir(parents=True, exist_ok=True)
            run.begin()
            run.save(epoch=0, batch=0)
        if not run.finished:
            write_text(folder / "config.toml", config_text)
            _write_versions(folder / "versions.json")
            run.write_history()
        while run.epoch < epochs and not run.stopped:
            run.fit_epoch(validation)
    with _naming_what_failed(folder):
        run.finish()
    return run.history


class _Run(keras.callbacks.CallbackList):
    """The callbacks of a run of several fits: begun and ended once, and saved with the model.

    A fit an epoch, since the length of a resumed epoch is not that of the others. Checkpoints
    are written here and not by a callback of the list: Keras calls those from other threads.
    """

    def __init__(self, model, batches, folder, callbacks, epochs, verbose):
        self.batches, self.folder, self.epochs = batches, folder, epochs
        self.data = _facts_of(batches)
        self.with_memory = [callback for callback in callbacks if _has_memory(callback)]
        self.logged = _Logged()
        self.rows = self.logged.rows
        self.epoch, self.start_batch = 0, 0
        self.stopped = self.finished = False
        self.partial_metrics = None
        self.verbose = verbose
        super().__init__(
            [*callbacks, self.logged],
            add_history=True,
            add_progbar=verbose != 0,
            model=model,
            epochs=epochs,
            verbose=verbose,
            steps=None,
        )

    # -- What surrounds the epochs

    def begin(self):
        super().on_train_begin()

    def load(self):
        """Take up the run where its checkpoint left it."""
        path = self.folder / "checkpoint"
        position = load_state(self.model, path, check=self.check)
        self.begin()
        saved = self.saved_memories(position)
        for callback, (_, state) in zip(self.with_memory, saved, strict=True):
            _set_memory(callback, state)
        self.rows.extend(position["history"])
        self.epoch, self.start_batch = position["epoch"], position["batch"]
        self.stopped = position["stopped"]
        done = self.stopped or self.epoch >= self.epochs
        self.finished = done and position["finished"]
        if self.start_batch:
            self.partial_metrics = [to_numpy(v) for v in self.model.metrics_variables]
        if self.verbose != 0:
            batch = f", batch {self.start_batch + 1}" if self.start_batch else ""
            state = f"goes on at epoch {self.epoch + 1}{batch}"
            if self.finished:
                state = f"is finished ({self.epoch} epochs): nothing to do"
            print(f"{self.folder} {state}")

    def fit_epoch(self, validation):
        self.batches.epoch = self.epoch
        self.batches.start_batch = self.start_batch
        if hasattr(validation, "epoch"):
            validation.epoch = 0  # it counts on by itself: each evaluation sees the same batches
        self.steps = len(self.batches)
        self.set_params({**self.params, "steps": self.steps})
        self.saved_step, self.saved_time = 0, time.monotonic()
        self.model.fit(
            self.batches,
            validation_data=validation,
            initial_epoch=self.epoch,
            epochs=self.epoch + 1,
            shuffle=False,
            callbacks=self,
        )
        self.epoch, self.start_batch = self.epoch + 1, 0

    def finish(self):
        """What Keras does when training ends; then the model is written, if it was not."""
        super().on_train_end(self.rows[-1] if self.rows else None)
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        if not self.finished:
            save_model(self.model, self.folder)
            amend(self.folder / "checkpoint", finished=True)

    # -- What each fit calls

    def on_train_begin(self, logs=None):
        pass

    def on_train_end(self, logs=None):
        pass

    def on_epoch_begin(self, epoch, logs=None):
        # Just before, fit has reset the metrics: put back those of the epoch's first part.
        if self.partial_metrics is not None:
            for variable, value in zip(
                self.model.metrics_variables, self.partial_metrics, strict=True
            ):
                variable.assign(value)
            self.partial_metrics = None
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        step = batch + 1
        every, seconds = self.checkpoint_every, self.checkpoint_seconds
        due = every is not None and step - self.saved_step >= every
        if not due and seconds is not None:
            due = time.monotonic() - self.saved_time >= seconds
        if due and step < self.steps:
            self.save(self.epoch, self.start_batch + step)
            self.saved_step, self.saved_time = step, time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        self.model.check_finite()
        super().on_epoch_end(epoch, logs)
        self.write_history()
        self.stopped = bool(self.model.stop_training)
        self.save(epoch + 1, 0)

    def saved_memories(self, position):
        """`[name, memory]` of a position's callbacks; those without a memory may come and go."""
        names = {type(callback).__name__ for callback in self.with_memory}
        return [pair for pair in position["callbacks"] if pair[1] is not None or pair[0] in names]

    def check(self, position):
        """Raise where a checkpoint's position does not fit this run."""
        names = [type(callback).__name__ for callback in self.with_memory]
        pairs = [(name, value, self.data.get(name)) for name, value in position["data"].items()]
        saved = [name for name, _ in self.saved_memories(position)]
        pairs.append(("callbacks that remember", saved, names))
        for name, there, here in pairs:
            if there != here:
                raise RunError(
                    f"{self.folder}: was run with {name} = {there}, now {here}; give it the same, "
                    "or start another run with --out"
                )

    # -- What is written

    def save(self, epoch, batch):
        """Write a checkpoint, if everything was finite so far."""
        model = self.model  # on JAX, Keras holds the state apart in an epoch: this puts it back
        model.check_finite()
        position = {
            "epoch": epoch,
            "batch": batch,
            "stopped": self.stopped,
            "finished": False,
            "data": self.data,
            "callbacks": [[type(c).__name__, _memory(c)] for c in self.with_memory],
            "history": list(self.rows),
        }
        save_state(model, self.folder / "checkpoint", position)

    def write_history(self):
        if not self.rows:
            return
        table = io.StringIO()
        names = dict.fromkeys(name for row in self.rows for name in row)
        writer = csv.DictWriter(table, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.folder / "history.csv", table.getvalue())

    @property
    def history(self):
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {name: [row.get(name) for row in self.rows] for name in names}


class _Logged(keras.callbacks.Callback):
    """One row an epoch; last in its list, it sees what the other callbacks log."""

    async_safe = True

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        numbers = {k: v.item() if isinstance(v, np.generic) else v for k, v in (logs or {}).items()}
        self.rows.append({"epoch": epoch + 1, **numbers})


def _check_arguments(model, batches, epochs, callbacks):
    if not isinstance(epochs, int) or epochs < 1:
        raise RunError(f"epochs: expected an integer, 1 or more; got {epochs!r}")
    if getattr(model, "optimizer", None) is None or not model.optimizer.built:
        raise RunError(
            "model: expected one that is built and compiled; call compile(optimizer=...)"
        )
    if not hasattr(batches, "epoch") or not hasattr(batches, "start_batch"):
        raise RunError(
            f"batches: expected a keras_gen.data.Batches, got {type(batches).__name__}, which "
            "cannot be resumed; train it with model.fit"
        )
    if any(isinstance(callback, keras.callbacks.BackupAndRestore) for callback in callbacks):
        raise RunError(
            "callbacks: leave out BackupAndRestore; a run keeps its own checkpoint, which "
            "resume=True goes on from"
        )


def _facts_of(batches):
    """What of the data must not change between the parts of a run."""
    batches.epoch, batches.start_batch = 0, 0
    facts = {"batches an epoch": len(batches)}
    for name in ("batch_size", "shuffle_seed"):
        facts[name] = getattr(batches, name, None)
    return facts


def _can_be_shown(batches, value_range):
    first = batches[0]
    shape = np.shape(first[0] if isinstance(first, tuple | list) else first)
    if value_range is None:
        return len(shape) in (2, 3)
    return len(shape) == 4 and shape[-1] in (1, 3)


@contextlib.contextmanager
def _as_one_fit(model, batches, epochs):
    """Do once a run what Keras would do in each of its fits.

    Whether to compile is settled for the steps of the whole run: a resumed run that chose
    otherwise would not compute the same bits. The optimizer's own averages replace the weights
    only when training ends.
    """
    batches.epoch, batches.start_batch = 0, 0
    automatic = model._auto_jit
    if automatic:
        model._settle_jit(batches, epochs, {})
    model._auto_jit = False
    vars(model.optimizer)["finalize_variable_values"] = lambda variables: None
    try:
        yield
    finally:
        model._auto_jit = automatic
        del vars(model.optimizer)["finalize_variable_values"]


def _has_memory(callback):
    return hasattr(callback, "get_state") or bool(_remembered(callback))


def _memory(callback):
    """What a callback has to remember, or `None`."""
    if hasattr(callback, "get_state"):
        return callback.get_state()
    return {name: getattr(callback, name, None) for name in _remembered(callback)}


def _set_memory(callback, memory):
    if memory is None:
        return
    if hasattr(callback, "set_state"):
        callback.set_state(memory)
        return
    for name in _remembered(callback):
        setattr(callback, name, memory[name])


def _remembered(callback):
    for cls in type(callback).__mro__:
        if cls is getattr(keras.callbacks, cls.__name__, None) and cls.__name__ in MEMORY:
            return MEMORY[cls.__name__]
    return ()


# -- The folder -------------------------------------------------------------------------------


def _check_folder(folder, config_text, resume):
    """Whether the folder's checkpoint is to be resumed."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: expected a folder, found a file; choose another --out")
    if not resume:
        if folder.exists() and any(folder.iterdir()):
            raise RunError(
                f"{folder}: is not empty; go on with its run by --resume, or choose another --out"
            )
        return False
    if not folder.exists():
        raise RunError(f"{folder}: there is no run to resume; leave out --resume to start one")
    config = folder / "config.toml"
    if config.exists():
        _check_config(config, config_text)
    elif any(folder.iterdir()) and not (folder / "checkpoint").exists():
        raise RunError(f"{folder}: is no run's folder (no config.toml); choose another --out")
    return (folder / "checkpoint" / "position.json").exists()


def _check_config(path, text):
    """A run goes on with the config that it was started with."""
    try:
        old, new = (_entries(tomllib.loads(t)) for t in (path.read_text("utf-8"), text))
    except tomllib.TOMLDecodeError as error:
        raise RunError(f"{path}: is not TOML ({error}); restore it from its source") from error
    for key in [*old, *(key for key in new if key not in old)]:
        if old.get(key) != new.get(key) and key not in FREE_TO_CHANGE:
            raise RunError(
                f"{path}: {'.'.join(key)} was {old.get(key)!r}, now {new.get(key)!r}; a resumed "
                "run may change train.epochs and train.gif only: start another run with --out"
            )


def _entries(table, path=()):
    """A nest of tables as `{(key, key, ...): value}`."""
    entries = {}
    for key, value in table.items():
        inner = _entries(value, (*path, key)) if isinstance(value, dict) else {(*path, key): value}
        entries.update(inner)
    return entries


def _write_versions(path):
    """What the run was started with; what it went on with, where that is not the same."""
    from keras_gen import __version__

    backend = keras.backend.backend()
    here = {
        "keras_gen": __version__,
        "keras": keras.__version__,
        "backend": backend,
        backend: sys.modules[backend].__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    versions = dict(here)
    if path.exists():
        versions = read_json(path)
        started = {name: value for name, value in versions.items() if name != "resumed_with"}
        last = versions.get("resumed_with", [started])[-1]
        if last != here:
            versions["resumed_with"] = [*versions.get("resumed_with", []), here]
    write_text(path, json.dumps(versions, indent=1) + "\n")


@contextlib.contextmanager
def _naming_what_failed(folder):
    """Turn an error of the file system inside the run's folder into a line that names the file."""
    try:
        yield
    except OSError as error:
        name = error.filename
        if name is None or not Path(name).absolute().is_relative_to(folder.absolute()):
            raise
        reason = error.strerror or " ".join(str(error).split())
        raise RunError(
            f"{name}: could not be written ({reason}); what was there before is intact: make "
            "room, then go on with --resume"
        ) from error


def save_model(model, folder):
    """Write a model to `model.keras` in a run's folder.

    Args:
        model: A Keras model.
        folder: The run's folder.

    Raises:
        OSError: The file cannot be written; an old one is intact.
    """
    with replacing(Path(folder) / "model.keras") as file:
        model.save(file.name)


def load_model(folder):
    """Read the trained model of a finished run.

    Args:
        folder: The run's folder.

    Returns:
        The compiled Keras model, on any backend.

    Raises:
        RunError: There is no such folder, its run is not finished, or `model.keras` is damaged.
    """
    folder = Path(folder)
    path = folder / "model.keras"
    if not folder.is_dir():
        raise RunError(f"{folder}: there is no such run; train one there, or check the path")
    if not path.exists():
        if (folder / "checkpoint").exists():
            raise RunError(f"{folder}: its run is not finished; finish it with train --resume")
        raise RunError(f"{folder}: is no run's folder (no model.keras); check the path")
    if not zipfile.is_zipfile(path):
        raise RunError(f"{path}: is damaged (no whole .keras file); train the model again")
    try:
        return keras.saving.load_model(path, safe_mode=True)
    except (zipfile.BadZipFile, KeyError, OSError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"{path}: cannot be loaded ({reason})") from error

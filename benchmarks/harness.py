"""Runs the races: fresh processes, interleaved, one line of JSON each, written at once."""

import contextlib
import datetime
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from . import cases, machine, prepare, registry, worker

TIME_LIMIT = 1800  # seconds a process may take before it counts as failed
SCALES = {
    "batch": (32, 64, 128, 256, 512, 1024),
    "side": (16, 28, 32, 64, 128),
    "width": (8, 16, 32, 64),
}
SCALING_CASES = ("vae_conv", "dcgan_28")
SCALING_BATCH = 32  # of images of growing sides: 128 of 128 x 128 pixels take minutes a block


@dataclass(frozen=True)
class Race:
    """Contestants that take turns on one case at one size.

    Args:
        case: name of the case.
        entries: tuple of `registry.Entry`.
        scaling: "batch", "side" or "width" where the race is one point of a curve.
        batch: examples a step, in place of the case's.
        side: of the images, in place of the case's.
        width: channels of convolutional networks, in place of the case's.
    """

    case: str
    entries: tuple
    scaling: str | None = None
    batch: int | None = None
    side: int | None = None
    width: int | None = None

    @property
    def overrides(self):
        """What `Case.scaled` takes."""
        return {"batch": self.batch, "side": self.side, "width": self.width}


@dataclass(frozen=True)
class Settings:
    """What is the same for every process of a run.

    Args:
        device: "cpu" or "gpu".
        threads: how many a step may use.
        seconds: of timed train steps a process.
        loss_steps: train steps until the loss is read.
        repeats: rounds: processes a contestant.
        fit: whether epochs of `fit` are timed too.
        sampling: whether samples are timed too.
        profile: calls that are profiled, operation by operation; none at 0.
    """

    device: str = "cpu"
    threads: int = 1
    seconds: float = 3.0
    loss_steps: int = worker.LOSS_STEPS
    repeats: int = 5
    fit: bool = False
    sampling: bool = True
    profile: int = 0


def races(names, backends=registry.BACKENDS, rivals=registry.RIVALS):
    """The races of some cases: one for each number of steps a call.

    Args:
        names: of cases.
        backends: names of backends.
        rivals: "native", "keras".

    Returns:
        A list of `Race`.
    """
    return [
        Race(name, tuple(registry.entries(backends, rivals, steps)))
        for name in names
        for steps in cases.read(name).steps_per_execution
    ]


def scaling_races(kind, names, backends=registry.BACKENDS, rivals=registry.RIVALS):
    """The races of one curve: step time against batch, side or width.

    Args:
        kind: "batch", "side" or "width".
        names: of cases of images.
        backends: names of backends.
        rivals: "native", "keras".

    Returns:
        A list of `Race`.
    """
    entries = tuple(registry.entries(backends, rivals))
    fixed = {"batch": SCALING_BATCH} if kind == "side" else {}
    return [
        Race(name, entries, kind, **fixed, **{kind: size})
        for name in names
        for size in SCALES[kind]
    ]


def new_file(folder):
    """A file for a run's rows: `<folder>/<date>-<machine>.jsonl`, numbered where there is one."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{datetime.date.today().isoformat()}-{machine.name()}"
    path, number = folder / f"{stem}.jsonl", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.jsonl"
    return path


def run(races_, settings, path):
    """Runs races and appends a row to a file as soon as each process ends.

    In every round each contestant runs once, in an order of that round. Compiled code is kept
    from round to round in a folder of the contestant, empty in round 0: the first call is cold
    then, and warm later, as in a user's second run.

    Args:
        races_: list of `Race`.
        settings: `Settings`.
        path: of the JSON lines.

    Returns:
        How many processes failed.
    """
    console = Console(stderr=True, highlight=False)
    failed, done, total = 0, 0, settings.repeats * sum(len(race.entries) for race in races_)
    with tempfile.TemporaryDirectory(prefix="keras_gen_benchmark_") as scratch:
        for race in races_:
            folder = Path(tempfile.mkdtemp(dir=scratch))
            for round_, entry in _turns(race, settings.repeats):
                done += 1
                row = _raced(race, entry, round_, settings, folder)
                failed += "error" in row
                with open(path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                told = f"[dim]{done}/{total}[/] {_told(race, entry, round_, row)}"
                console.print(told, soft_wrap=True)
    return failed


def profiled(race, settings):
    """The row of one contestant's process, with its "operations".

    Args:
        race: a `Race` of one entry.
        settings: `Settings` with `profile`.

    Returns:
        A dict; with an "error" where the process failed.
    """
    with tempfile.TemporaryDirectory(prefix="keras_gen_benchmark_") as folder:
        return _raced(race, race.entries[0], 0, settings, Path(folder))


def _turns(race, repeats):
    """`(round, entry)` in the order of the race: the contestants shuffled anew in each round."""
    rng = random.Random(0)
    for round_ in range(repeats):
        for entry in rng.sample(race.entries, len(race.entries)):
            yield round_, entry


def _raced(race, entry, round_, settings, folder):
    """The row of one process; one with an `"error"` where it failed."""
    row = {
        "case": race.case,
        "scaling": race.scaling,
        **{key: value for key, value in vars(entry).items()},
        **race.overrides,
        "round": round_,
        "cold": round_ == 0,
        "device": settings.device,
        "threads": settings.threads,
    }
    begin = folder / "begin.npz"
    try:
        if not begin.exists():
            count = worker.BATCHES * cases.read(race.case, **race.overrides).batch_size
            prepare.prepare(begin, race.case, count, entry.backend, **race.overrides)
        measured = _measure(race, entry, settings, begin, folder / str(entry).replace(" ", "_"))
    except RuntimeError as error:
        return {**row, **machine.describe(), "error": str(error)}
    return {**row, **measured}


def _measure(race, entry, settings, begin, cache):
    arguments = {
        "case": race.case,
        "backend": entry.backend,
        "contestant": entry.contestant,
        "mode": entry.mode,
        "steps-per-call": entry.steps_per_call,
        "device": settings.device,
        "threads": settings.threads,
        "seconds": settings.seconds,
        "loss-steps": settings.loss_steps,
        "profile": settings.profile,
        "begin": begin,
        **race.overrides,
    }
    command = [sys.executable, "-m", f"{__package__}.worker"]
    for name, value in arguments.items():
        command += [] if value is None else [f"--{name}", str(value)]
    command += ["--fit"] * settings.fit + ["--no-sampling"] * (not settings.sampling)
    process = subprocess.Popen(
        command,
        env={**prepare.environment(), **_caches(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        output, errors = process.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"stopped after {TIME_LIMIT} s") from None
    finally:
        # Compilers leave helpers behind, which would slow the next contestant down.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode:
        raise RuntimeError(prepare.last_line(errors))
    return json.loads(prepare.last_line(output))


def _caches(folder):
    """Where the backends that can keep compiled code keep it."""
    return {
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
        "TRITON_CACHE_DIR": str(folder / "triton"),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def _told(race, entry, round_, row):
    size = "".join(f" {key} {value}" for key, value in race.overrides.items() if value is not None)
    steps = f" x{entry.steps_per_call}" if entry.steps_per_call > 1 else ""
    about = f"{race.case}{size} {entry}{steps}, round {round_ + 1}:"
    if "error" in row:
        return f"{about} [red]failed:[/] {escape(row['error'])}"
    return f"{about} {row['step_ms']:.3g} ms a step, started in {row['start_seconds']:.1f} s"


def scaled_down(settings):
    """Settings for curves: shorter and fewer, without samples and with a short loss run."""
    return replace(
        settings,
        seconds=min(settings.seconds, 1.5),
        loss_steps=min(settings.loss_steps, 4),
        repeats=min(settings.repeats, 3),
        sampling=False,
        fit=False,
    )

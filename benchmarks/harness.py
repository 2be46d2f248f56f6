"""Runs the races: fresh processes, interleaved, one line of JSON each, written at once.

A race has two stages: a round of all contestants, and rounds of keras-gen and of whoever that one
round cannot tell from the fastest of its kind.
"""

import contextlib
import datetime
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from . import cases, estimate, machine, prepare, registry, results, targets, worker

CLOSE = 1.10  # times the fastest of its kind: what one round of a shared machine cannot tell apart
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
        loss_steps: train steps until the loss is read, in the first round; None for the case's.
        repeats: rounds: processes a contestant, of those that race in both stages.
        stages: 2; or 1, where all contestants race in all rounds.
        fit: whether epochs of `fit` are timed too.
        sampling: whether samples are timed too.
        profile: calls that are profiled, operation by operation; none at 0.
    """

    device: str = "cpu"
    threads: int = 1
    seconds: float = 2.0
    loss_steps: int | None = None
    repeats: int = 5
    stages: int = 2
    fit: bool = False
    sampling: bool = True
    profile: int = 0

    def loss_steps_of(self, case, round_):
        """Train steps until the loss of a case is read; 0 where a round does not read it."""
        if round_ > 0:
            return 0
        return cases.read(case).loss_steps if self.loss_steps is None else self.loss_steps


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

    In every round each contestant of its stage runs once, in an order of that round. Compiled
    code is kept from round to round in a folder of the contestant, empty in round 0: the first
    call is cold then, and warm later, as in a user's second run. The loss is read in round 0.

    Args:
        races_: list of `Race`.
        settings: `Settings`.
        path: of the JSON lines.

    Returns:
        How many processes failed.
    """
    console = Console(stderr=True, highlight=False)
    failed, number = 0, 0
    with tempfile.TemporaryDirectory(prefix="keras_gen_benchmark_") as scratch:
        for place, race in enumerate(races_, start=1):
            folder, rows = Path(tempfile.mkdtemp(dir=scratch)), []
            for round_, entry in _turns(race, settings, rows):
                number += 1
                row = _raced(race, entry, round_, settings, folder)
                rows.append(row)
                failed += "error" in row
                with open(path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                about = f"[dim]process {number}, race {place}/{len(races_)}[/]"
                console.print(f"{about} {_told(race, entry, round_, row)}", soft_wrap=True)
    return failed


def schedule(race, settings, rows):
    """Who races in each round, as far as can be told.

    Args:
        race: a `Race`.
        settings: `Settings`.
        rows: of the race, or of earlier runs of it: those of the first round tell.

    Returns:
        A list of lists of `Entry`, one a round.
    """
    later = race.entries if settings.stages == 1 else _second_stage(race, rows)
    return [list(race.entries), *[list(later)] * (settings.repeats - 1)]


def expected_seconds(races_, settings, rows):
    """How long races will take, by what earlier ones measured.

    Args:
        races_: list of `Race`.
        settings: `Settings`.
        rows: of `results.read`.

    Returns:
        Seconds; None where there are no rows to tell it by.
    """
    clock, total = estimate.Clock(rows), 0.0
    if not clock.rows:
        return None
    for race in races_:
        known = clock.of_case(race.case, race.entries[0].steps_per_call)
        total += clock.race(race, settings, schedule(race, settings, known))
    return total


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


def _turns(race, settings, rows):
    """`(round, entry)` in the order of the race: a round's contestants shuffled anew in each.

    Args:
        race: a `Race`.
        settings: `Settings`.
        rows: of the race, to which the caller adds that of each turn.
    """
    rng = random.Random(0)
    for round_ in range(settings.repeats):
        entries = schedule(race, settings, rows)[min(round_, 1)]
        for entry in rng.sample(entries, len(entries)):
            yield round_, entry


def _second_stage(race, rows):
    """keras-gen, whom a target names, and of each kind whoever is near its fastest.

    A kind is a contestant of a backend. Who failed does not race on, unless it is keras-gen. Of a
    kind of which nothing is known one does: a plan is made before anybody raced.
    """
    named = targets.named(race.case, race.entries[0].steps_per_call)
    rows = [row for row in rows if row["round"] == 0]
    met = {results.entry_of(row): row["step_ms"] for row in rows if "error" not in row}
    failed = {results.entry_of(row) for row in rows} - set(met)
    kinds = {}
    for entry in race.entries:
        kinds.setdefault((entry.backend, entry.contestant), []).append(entry)
    chosen = []
    for (backend, contestant), kind in kinds.items():
        known = [entry for entry in kind if entry in met]
        if contestant == "keras_gen":
            chosen += kind
        elif known:
            limit = CLOSE * min(met[entry] for entry in known)
            by_name = [e for e in known if contestant == "native" and (backend, e.mode) in named]
            chosen += [entry for entry in known if met[entry] <= limit or entry in by_name]
        else:
            chosen += [entry for entry in kind if entry not in failed][:1]
    return chosen


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
        started = time.perf_counter()
        cache = folder / str(entry).replace(" ", "_")
        measured = _measure(race, entry, round_, settings, begin, cache)
        row["process_seconds"] = time.perf_counter() - started
    except RuntimeError as error:
        return {**row, **machine.describe(), "error": str(error)}
    return {**row, **measured}


def _measure(race, entry, round_, settings, begin, cache):
    arguments = {
        "case": race.case,
        "backend": entry.backend,
        "contestant": entry.contestant,
        "mode": entry.mode,
        "steps-per-call": entry.steps_per_call,
        "device": settings.device,
        "threads": settings.threads,
        "seconds": settings.seconds,
        "loss-steps": settings.loss_steps_of(race.case, round_),
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
        env={
            **prepare.environment(),
            **_caches(cache),
            **registry.ENVIRONMENT.get((entry.backend, entry.contestant), {}),
        },
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
        loss_steps=4 if settings.loss_steps is None else min(settings.loss_steps, 4),
        repeats=min(settings.repeats, 3),
        sampling=False,
        fit=False,
    )

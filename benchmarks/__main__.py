"""The command line: `python -m benchmarks [CASE...]`, `python -m benchmarks report FILE...`."""

import contextlib
import importlib.util
import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import cases, device, estimate, harness, registry, results

FAILED, WRONG_INPUT, INTERRUPTED, TERMINATED = 1, 2, 130, 143
# An installed package is no place for results.
IN_CHECKOUT = __package__ == "benchmarks"
RESULTS = Path(__file__).parent / "results" if IN_CHECKOUT else Path("benchmark_results")
# What a contestant imports besides its backend.
ALSO_NEEDED = {("jax", "native"): "optax"}

Device = StrEnum("Device", device.DEVICES)
Scaling = StrEnum("Scaling", list(harness.SCALES))

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def run(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[CASE]...", help="Cases. [default: all]")
    ] = None,
    backends: Annotated[str, typer.Option(help="jax, tensorflow, torch.")] = ",".join(
        registry.BACKENDS
    ),
    against: Annotated[
        str, typer.Option(help="native, tuned, keras; empty for keras-gen alone.")
    ] = ",".join(registry.RIVALS),
    repeats: Annotated[int, typer.Option(min=1, help="Rounds: fresh processes.")] = 5,
    stages: Annotated[
        int, typer.Option(min=1, max=2, help="1: all race in all rounds. 2: the fastest do.")
    ] = 2,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how long it would take, and stop.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the rows. [default: results]")] = None,
    device_: Annotated[Device, typer.Option("--device")] = Device.cpu,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads a step. [default: all cores]")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.05, help="Timed train steps a process, in seconds.")
    ] = 2.0,
    loss_steps: Annotated[
        int | None,
        typer.Option(min=2, help="Train steps until the loss is read. [default: 50 or 10]"),
    ] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Time epochs of fit as well.")] = False,
    scaling: Annotated[
        Scaling | None, typer.Option(help="A curve in place of the cases as they are.")
    ] = None,
):
    """Race keras-gen against stock Keras and code written by hand for each backend.

    One round of all contestants, then rounds of keras-gen and of whoever is about as fast as the
    fastest of its kind. Writes JSON lines as it goes; `report FILE... --table out.md --chart
    out.png` makes tables and a chart of them.
    """
    wanted = _chosen("--backends", backends, registry.BACKENDS)
    rivals = _chosen("--against", against, registry.RIVALS)
    names = _chosen("CASE", ",".join(names or ()), cases.known())
    _check_packages(wanted, rivals)
    threads = threads or os.cpu_count()
    settings = harness.Settings(device_.value, threads, seconds, loss_steps, repeats, stages, fit)
    if scaling is None:
        races = harness.races(names or cases.known(), wanted, rivals)
    else:
        names = names or harness.SCALING_CASES
        _check_scalable(names, scaling.value)
        races = harness.scaling_races(scaling.value, names, wanted, rivals)
        settings = harness.scaled_down(settings)
    typer.echo(f"{threads} threads, {device_.value}, {device.PRECISION}", err=True)
    typer.echo(_expected(races, settings, RESULTS if out is None else out), err=True)
    if dry_run:
        return
    path = harness.new_file(RESULTS if out is None else out)
    try:
        failed = harness.run(races, settings, path)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; what was measured is in {path}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(str(path))
    if failed:
        typer.echo(f'{failed} processes failed: see "error" in {path}', err=True)
        raise typer.Exit(FAILED)


@app.command()
def report(
    files: Annotated[list[Path], typer.Argument(help="JSON lines of one or more runs.")],
    table: Annotated[Path | None, typer.Option(help="The Markdown file. [default: stdout]")] = None,
    chart: Annotated[Path | None, typer.Option(help="A bar chart, .png.")] = None,
):
    """Make tables and a chart of what runs measured."""
    from . import chart as charts
    from . import report as reports

    for file in files:
        if not file.is_file():
            _refuse(f"{file}: no such file")
    try:
        rows = results.read(files)
    except ValueError as error:
        _refuse(str(error))
    text = reports.markdown(rows)
    if table is None:
        typer.echo(text)
    else:
        table.write_text(text, encoding="utf-8")
        typer.echo(f"table  {table}")
    if chart is not None:
        if importlib.util.find_spec("matplotlib") is None:
            _refuse("--chart needs matplotlib: pip install 'keras-gen[benchmark]'")
        try:
            charts.draw(rows, chart)
        except ValueError as error:
            _refuse(f"--chart: {error}")
        typer.echo(f"chart  {chart}")


@app.command()
def profile(
    case: Annotated[str, typer.Argument(help="A case.")],
    contestant: Annotated[
        str, typer.Option(help="As the tables name it, of PyTorch.")
    ] = "torch keras_gen jit",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads a step. [default: all cores]")
    ] = None,
    calls: Annotated[int, typer.Option(min=1, help="Calls that are profiled.")] = 10,
):
    """Show where a contestant's step spends its time, operation by operation."""
    from . import profile as profiles

    known = {str(entry): entry for entry in registry.entries(profiles.BACKENDS)}
    _chosen("CASE", case, cases.known())
    _chosen("--contestant", contestant, known)
    _check_packages(profiles.BACKENDS, ())
    settings = harness.Settings(
        threads=threads or os.cpu_count(), seconds=1.0, sampling=False, profile=calls
    )
    row = harness.profiled(harness.Race(case, (known[contestant],)), settings)
    if "error" in row:
        typer.echo(f"benchmark: {row['error']}", err=True)
        raise typer.Exit(FAILED)
    typer.echo(profiles.table(row))


def main():
    """Runs the races, or what else the first word names."""
    arguments = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # no process is left behind
    named = arguments[:1] in (["run"], ["report"], ["profile"])
    app(arguments if named else ["run", *arguments], prog_name=f"python -m {__package__}")


def _expected(races, settings, folder):
    """How long races will take, in words; the rows of every run in the results' folders tell."""
    rows = []
    for file in sorted({*RESULTS.glob("*.jsonl"), *folder.glob("*.jsonl")}):
        with contextlib.suppress(ValueError):  # the run that wrote it was stopped within a line
            rows += results.read([file])
    seconds = harness.expected_seconds(races, settings, rows)
    about = f"{len(races)} races of {settings.repeats} rounds in {settings.stages} stages: "
    if seconds is None:
        return f"{about}no earlier run tells how long they take"
    return f"{about}about {estimate.told(seconds)}, by the rows of earlier runs"


def _chosen(option, text, known):
    """The words of a list with commas, checked."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in known:
            _refuse(f"{option}: nothing is called {word!r}; known: {', '.join(known)}")
    return words


def _check_packages(backends, rivals):
    if not backends:
        _refuse(f"--backends: give one or more of {', '.join(registry.BACKENDS)}")
    needed = list(backends)
    needed += [
        package
        for (backend, rival), package in ALSO_NEEDED.items()
        if backend in backends and rival in rivals
    ]
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    if missing:
        _refuse(
            f"{', '.join(missing)} not installed here: pip install 'keras-gen[benchmark]', or "
            "leave out with --backends or --against"
        )


def _check_scalable(names, kind):
    for name in names:
        case = cases.read(name)
        networks = [case.model[socket] for socket in case.sockets]
        if kind == "side" and len(case.shape) != 3:
            _refuse(f"--scaling side: the data of {name} are no images")
        if kind == "width" and not all("width" in network for network in networks):
            _refuse(f"--scaling width: the networks of {name} have no width")


def _refuse(message):
    typer.echo(f"benchmark: {message}", err=True)
    raise typer.Exit(WRONG_INPUT)


if __name__ == "__main__":
    main()

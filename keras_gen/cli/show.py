"""Tables for people: the zoo, results, verdicts."""

import json
import statistics

from rich.console import Console
from rich.table import Table

from keras_gen.config import schema

WIDE = 10_000  # no table is as wide
NUMBERS = ("number", "mean", "deviation")


def entry(recipe):
    """What the zoo says of a recipe, as plain values."""
    config = recipe.config
    return {
        "name": recipe.name,
        "family": config.model.family,
        "data": config.data.source,
        "conditional": schema.options_of(config).get("num_classes") is not None,
        "reached": config.expect.reached,
        "seeds": config.expect.seeds or [],
        "command": config.expect.command,
        "unmeasured": config.expect.unmeasured,
        "cost": None if config.cost is None else config.cost.model_dump(exclude_none=True),
    }


def zoo(recipes):
    """Prints the zoo."""
    table = _table("name", "family", "data", "minutes", "seeds", "reached")
    for recipe in recipes:
        about = entry(recipe)
        family = f"{about['family']}, by class" if about["conditional"] else about["family"]
        told = f"not measured: {about['unmeasured']}" if about["unmeasured"] else "-"
        table.add_row(
            about["name"],
            family,
            about["data"],
            _minutes(about["cost"] or {}),
            str(len(about["seeds"]) or "-"),
            terms(about["reached"]) or told,
        )
    _print(table)


def _minutes(cost):
    """`"0.3 jax, 0.6 torch; 1 thread"`."""
    each = ", ".join(f"{minutes:g} {name}" for name, minutes in cost.get("minutes", {}).items())
    if not each:
        return "not measured"
    threads = cost.get("threads")
    return each if threads is None else f"{each}; {threads} thread{'s' * (threads > 1)}"


def results(numbers, title):
    """Prints what was measured."""
    table = _table("result", "number", title=title)
    for name, value in numbers.items():
        table.add_row(name, f"{value:.6g}")
    _print(table)


def spreads(measured):
    """Prints mean and deviation of runs that differ by `train.seed` alone, two or more.

    Args:
        measured: of each run its `(recipe, {result: number})`.
    """
    alike = {}
    for recipe, numbers in measured:
        tables = {**recipe.tables, "train": {**recipe.tables["train"], "seed": None}}
        alike.setdefault(json.dumps(tables, sort_keys=True, default=str), []).append(
            (recipe, numbers)
        )
    for runs in alike.values():
        if len(runs) == 1:
            continue
        recipes, numbers = zip(*runs, strict=True)
        seeds = ", ".join(str(recipe.config.train.seed) for recipe in recipes)
        table = _table("result", "mean", "deviation", title=f"{recipes[0].name}: seeds {seeds}")
        for name in numbers[0]:
            values = [of_run[name] for of_run in numbers]
            mean, deviation = statistics.fmean(values), statistics.stdev(values)
            table.add_row(name, f"{mean:.6g}", f"{deviation:.2g}")
        _print(table)


def verdicts(verdicts_, title):
    """Prints what was expected beside what came."""
    table = _table("result", "number", "expected", "", title=title)
    for verdict in verdicts_:
        told = "met" if verdict.met else "FELL SHORT"
        table.add_row(verdict.result, f"{verdict.number:.6g}", verdict.expected, told)
    _print(table)


def terms(numbers):
    """`"loss 25.1  kl 9.2"`: the loss first."""
    names = sorted(numbers, key=lambda name: name != "loss")
    return "  ".join(f"{name} {numbers[name]:.4g}" for name in names)


def duration(seconds):
    """`"12 s"` or `"3 min 20 s"`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _table(*columns, title=None):
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True, justify="right" if column in NUMBERS else "left")
    return table


def _print(table):
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE  # for a file or a pipe nothing is cut off
    first = table.columns[0]  # what is typed again is never cut off
    first.min_width = max(len(str(cell)) for cell in [first.header, *first.cells])
    console.print(table)

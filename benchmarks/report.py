"""From rows to Markdown: the targets, where we lose, and every race."""

import itertools

from . import results, targets
from .registry import BACKENDS, RIVALS

# A loss after the same steps may differ by the noise drawn: this much of itself, and this much,
# but never by more of itself than the last: a GAN's may be as small as what is added.
LOSS_RELATIVE, LOSS_ABSOLUTE, LOSS_MOST = 0.10, 0.10, 0.30
# Where a larger number is a loss: key of a row or of `results.STARTS`, what it is called.
COMPARED = {
    "step_ms": "step time",
    "sample_ms": "time to sample 1,000",
    "peak_mb": "peak memory",
    "cold_start": "start, nothing compiled before, s",
    "warm_start": "start again, s",
}
RIVAL_NAMES = {
    "native": "the fastest native",
    "tuned": "the fastest native with our allocator and inductor options",
    "keras": "the fastest stock Keras",
}
RIVAL_COLUMNS = {"native": "/ native", "tuned": "/ tuned native", "keras": "/ Keras"}


def markdown(rows):
    """Writes the report of some runs.

    Args:
        rows: of `results.read`.

    Returns:
        A text in Markdown.
    """
    races = results.races(rows)
    plain = [race for race in races if race.key["scaling"] is None]
    parts = [
        _conditions(rows),
        _targets(targets.judge(races)),
        _lost(plain),
        *map(_race, plain),
        _fits(plain),
        *_curves(races),
        _failures(rows),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def off(loss, reference):
    """Whether a loss is further from keras-gen's than noise explains: twice as much always is."""
    size = abs(reference)
    allowed = min(LOSS_RELATIVE * size + LOSS_ABSOLUTE, LOSS_MOST * size)
    return not abs(loss - reference) <= allowed  # what is no number is off


def _conditions(rows):
    good = [row for row in rows if "error" not in row]
    if not good:
        return "Nothing was measured."
    versions = {}
    for row in good:
        versions |= row["versions"]
    told = {
        "machine": "{processor}, {cores} cores, {memory_gb} GB, {platform}",
        "device": "{device} ({device_name}), {threads} threads, {precision}",
        "keras-gen": "commit {commit}",
    }
    lines = [f"- {name}: {_distinct(good, pattern)}" for name, pattern in told.items()]
    lines.append(f"- versions: {', '.join(f'{name} {v}' for name, v in sorted(versions.items()))}")
    dates = sorted(row["date"][:16] for row in good)
    lines.append(f"- measured: {dates[0]} to {dates[-1]} UTC, {len(good)} processes")
    allocators = sorted({row.get("allocator", "") for row in good} - {""})
    if allocators:
        lines.append(f"- memory allocator of some or all: {'; '.join(allocators)}")
    rounds = sorted({row["round"] for row in good if row.get("scaling") is None})
    if rounds:
        lines.append(
            f"- rounds: {len(rounds)}. An interval is all that was met in them (of nine and more, "
            'less); "held" is the probability that it holds the median of all rounds there could '
            "be, whatever their distribution."
        )
    return "\n".join(lines)


def _distinct(rows, pattern):
    return "; ".join(dict.fromkeys(pattern.format(**row) for row in rows))


def _targets(verdicts):
    measured = [verdict for verdict in verdicts if verdict.ratio is not None]
    missing = [verdict for verdict in verdicts if verdict.ratio is None]
    lines = [
        [
            *(v.case, v.what, v.ours, v.theirs, *_ratio(v.ratio), f"{v.bound:.2f}"),
            {True: "met", False: "**not met**", None: "too few rounds"}[v.met],
        ]
        for v in measured
    ]
    parts = [
        "## Targets",
        f"{sum(v.met is True for v in measured)} of {len(measured)} measured targets are met. A "
        "target is met when the whole interval, of three rounds or more, is at or below its bound: "
        'no surer than "held" says.',
    ]
    if lines:
        heading = ["case", "what", "ours", "against", "ratio", "interval", "held", "at most", ""]
        parts.append(_table(heading, lines, right=(4, 5, 6, 7)))
    if missing:
        told = "; ".join(f"{v.case}, {v.what}: {v.ours}" for v in missing)
        parts.append(f"Not measured ({len(missing)}): {told}.")
    return "\n\n".join(parts)


def _lost(races):
    lines = []
    for race, rival, (metric, what) in itertools.product(races, RIVALS, COMPARED.items()):
        for ours in race.entries:
            if ours.contestant != "keras_gen":
                continue
            theirs = race.fastest(ours.backend, rival)
            ratio = race.ratio(ours, theirs, metric) if theirs else None
            if ratio is None or ratio.median <= 1:
                continue
            numbers = [f"{race.median(entry, metric):.3g}" for entry in (ours, theirs)]
            line = [_name(race), what, str(ours), *numbers, str(theirs), *_ratio(ratio)]
            lines.append((list(COMPARED).index(metric), -ratio.median, line))
    if not lines:
        return "## Where we lose\n\nNowhere, in what was measured."
    lines = [line for *_, line in sorted(lines)]
    against = [RIVAL_NAMES[rival] for rival in _rivals(races)]
    told = (
        f"Every mode of keras-gen whose median is above that of {' or of '.join(against)} on the "
        "same backend, the fastest in time a step; ms or MB, starts in s."
    )
    heading = ["case", "what", "ours", "", "theirs", "against", "ratio", "interval", "held"]
    return f"## Where we lose\n\n{told}\n\n{_table(heading, lines, right=(3, 4, 6, 7, 8))}"


def _rivals(races):
    """Who raced against keras-gen anywhere, in the order of `RIVALS`."""
    there = {entry.contestant for race in races for entry in race.entries}
    return [rival for rival in RIVALS if rival in there]


def _race(race):
    reference = _reference_loss(race)
    rivals = _rivals([race])
    lines, strange = [], False
    for entry in sorted(race.entries, key=race.median):
        step = results.spread(list(race.values(entry, "step_ms").values()))
        ratios = []
        for rival in rivals:
            theirs = race.fastest(entry.backend, rival)
            ratio = race.ratio(entry, theirs) if theirs else None
            ratios.append("-" if ratio is None else f"{ratio.median:.2f}")
        loss = race.median(entry, "loss")  # None where its first round failed
        flag = None not in (reference, loss) and off(loss, reference)
        strange |= flag
        peak, built = race.median(entry, "peak_mb"), race.median(entry, "built_mb")
        lines.append(
            [
                _who(race, entry),
                f"{step.median:.3g}",
                f"{step.low:.3g} .. {step.high:.3g}",
                _number(step.confidence, ".2f"),
                *ratios,
                *(_number(race.median(entry, start), ".1f") for start in results.STARTS),
                _number(race.median(entry, "sample_ms"), ".3g"),
                _number(peak, ".0f"),
                _number(peak - built if built else None, ".0f"),
                f"{_number(loss, '.4g')}{' (!)' if flag else ''}",
            ]
        )
    about = next((row for row in race.rows if "loss" in row), race.rows[0])
    heading = [
        "",
        "ms a step",
        "interval",
        "held",
        *(RIVAL_COLUMNS[rival] for rival in rivals),
        "start, s",
        "again, s",
        f"ms for {about.get('samples', 1000):,} samples",
        "peak MB",
        "of it over import and build",
        f"{about.get('loss_term', 'loss')} after {about.get('loss_steps', 'no')} steps",
    ]
    told = f"Batch {about['batch']}, examples {' x '.join(map(str, about['shape']))}."
    if strange:
        told += " (!): further from keras-gen's loss than noise explains."
    table = _table(heading, lines, right=range(1, len(heading)))
    return f"## {_name(race)}\n\n{told}\n\n{table}"


def _reference_loss(race):
    ours = [r["loss"] for r in race.rows if r["contestant"] == "keras_gen" and "loss" in r]
    found = results.spread(ours)
    return None if found is None else found.median


def _fits(races):
    lines = []
    for race in races:
        for entry in race.entries:
            step = race.median(entry, "fit_step_ms")
            if step is None:
                continue
            spread = results.spread(list(race.values(entry, "fit_overhead_ms").values()))
            metrics = ("fit_progress_overhead_ms", "numpy_batch_ms", "keras_gen_batch_ms")
            lines.append(
                [
                    _name(race),
                    _who(race, entry),
                    _number(race.median(entry, "fit_bare_ms"), ".3g"),
                    f"{step:.3g}",
                    f"{spread.median:.3g}",
                    f"{spread.low:.3g} .. {spread.high:.3g}",
                    _number(spread.confidence, ".2f"),
                    *(_number(race.median(entry, metric), ".3g") for metric in metrics),
                ]
            )
    if not lines:
        return None
    told = (
        "Milliseconds a step. For natives `fit` is the loop that their users write, shuffling "
        "NumPy arrays. The last two columns are shuffling and cutting one batch by itself: by "
        "hand, and by `keras_gen.data`."
    )
    heading = [
        "case",
        "",
        "bare step",
        "in fit",
        "fit adds",
        "interval",
        "held",
        "with progress bar it adds",
        "NumPy batch",
        "keras_gen.data batch",
    ]
    table = _table(heading, lines, right=range(2, len(heading)))
    return f"## What fit adds to the step\n\n{told}\n\n{table}"


def _curves(races):
    """One table a case and kind of curve: a line a contestant, a column a size."""
    curves = {}
    for race in races:
        if race.key["scaling"] is not None:
            curves.setdefault((race.key["case"], race.key["scaling"]), []).append(race)
    for (case, kind), points in curves.items():
        points = sorted(points, key=lambda race: race.key[kind])
        entries = dict.fromkeys(entry for race in points for entry in race.entries)
        lines = [
            [_who(points[0], entry), *(_number(race.median(entry), ".3g") for race in points)]
            for entry in sorted(entries, key=lambda e: (BACKENDS.index(e.backend), e.contestant))
        ]
        heading = [f"ms a step at {kind}", *(str(race.key[kind]) for race in points)]
        table = _table(heading, lines, right=range(1, len(heading)))
        yield f"## {case} against {kind}\n\n{table}"


def _failures(rows):
    failed = [row for row in rows if "error" in row]
    if not failed:
        return None
    lines = {
        (row["case"], str(results.entry_of(row)), str(row["round"] + 1), row["error"])
        for row in failed
    }
    heading = ["case", "", "round", "its last words"]
    return f"## Processes that failed\n\n{_table(heading, sorted(lines))}"


def _name(race):
    steps = race.key["steps_per_call"]
    return race.key["case"] + (f", {steps} steps a call" if steps > 1 else "")


def _who(race, entry):
    """A contestant's name, ours in bold letters and with its default marked."""
    if entry.contestant != "keras_gen":
        return str(entry)
    return f"**{entry}**{' (default)' if race.is_default(entry) else ''}"


def _ratio(spread):
    if spread is None:
        return "-", "-", "-"
    interval = f"{spread.low:.2f} .. {spread.high:.2f}"
    return f"{spread.median:.2f}", interval, f"{spread.confidence:.2f}"


def _number(value, form):
    return "-" if value is None else format(value, form)


def _table(heading, lines, right=()):
    rule = ["---:" if column in right else "---" for column in range(len(heading))]
    cells = [heading, rule, *([cell.replace("|", "\\|") for cell in line] for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)

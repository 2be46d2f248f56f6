"""Reads the rows of runs, and holds two contestants against each other, round by round."""

import json
import math
import statistics
from dataclasses import dataclass

from .registry import Entry

# What one size of a case is.
SIZES = ("case", "steps_per_call", "scaling", "batch", "side", "width")
# An interval holds the median with at least this probability, where there are rounds enough: five.
CONFIDENCE = 0.93


# Seconds to build and take the first call: with nothing compiled before, and in later rounds.
STARTS = {"cold_start": lambda round_: round_ == 0, "warm_start": lambda round_: round_ > 0}


@dataclass(frozen=True)
class Spread:
    """A median of several rounds, and the interval in which it lies.

    Args:
        median: of all rounds.
        low: lower end of the interval.
        high: upper end of it.
        rounds: how many there were.
        confidence: probability that the interval holds the median of all rounds there could be.
    """

    median: float
    low: float
    high: float
    rounds: int
    confidence: float


class Race:
    """The rows of one case at one size.

    Args:
        key: values of `SIZES`.
        rows: list of dicts, failures left out.
    """

    def __init__(self, key, rows):
        self.key = dict(zip(SIZES, key, strict=True))
        self.rows = rows
        self.entries = list(dict.fromkeys(map(entry_of, rows)))

    def values(self, entry, metric):
        """What a contestant reached in each round: `{round: number}`, missing numbers left out.

        Args:
            entry: an `Entry`.
            metric: key of a row, or one of `STARTS`.
        """
        kept = STARTS.get(metric)
        key = metric if kept is None else "start_seconds"
        return {
            row["round"]: row[key]
            for row in self.rows
            if entry_of(row) == entry
            and row.get(key) is not None
            and (kept is None or kept(row["round"]))
        }

    def median(self, entry, metric="step_ms"):
        """The median over rounds; None where nothing was measured."""
        values = self.values(entry, metric)
        return statistics.median(values.values()) if values else None

    def ratio(self, ours, theirs, metric="step_ms"):
        """How many times theirs ours takes: the spread of the ratios within each round.

        Args:
            ours: an `Entry`.
            theirs: another.
            metric: key of a row.

        Returns:
            A `Spread`; None where no round has both.
        """
        above, below = self.values(ours, metric), self.values(theirs, metric)
        return spread([above[r] / below[r] for r in above if below.get(r)])

    def fastest(self, backend=None, contestant=None, modes=None):
        """The contestant of the smallest median step time among those that fit; None where none.

        Whoever raced in the first stage alone is out: its one round was another hour's.

        Args:
            backend: name, or None for any.
            contestant: name, or None for any.
            modes: names, or None for any.
        """
        fitting = [
            entry
            for entry in self.entries
            if backend in (None, entry.backend)
            and contestant in (None, entry.contestant)
            and (modes is None or entry.mode in modes)
        ]
        rounds = {entry: len(self.values(entry, "step_ms")) for entry in fitting}
        most = max(rounds.values(), default=0)
        raced_on = [entry for entry in fitting if most == 1 or rounds[entry] > 1]
        return min(raced_on, key=self.median, default=None)

    def is_default(self, entry):
        """Whether keras-gen would choose this mode by itself for a short run."""
        return any(row.get("default") for row in self.rows if entry_of(row) == entry)


def read(files):
    """Reads the rows of runs; runs of different rounds may lie in several files.

    Args:
        files: paths of JSON lines.

    Returns:
        A list of dicts.

    Raises:
        ValueError: a line is no JSON, or two files hold the same round of the same contestant.
    """
    rows, seen = [], {}
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            place = f"{file}, line {number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{place}: no JSON: {error}") from None
            identity = (*(row.get(size) for size in SIZES), entry_of(row), row["round"])
            if "error" not in row:
                if identity in seen:
                    raise ValueError(f"{place}: the same round as {seen[identity]}")
                seen[identity] = place
            rows.append(row)
    return rows


def races(rows):
    """Groups rows into races, in the order in which they were run; failures are left out."""
    groups = {}
    for row in rows:
        if "error" not in row:
            key = [row.get(size) for size in SIZES]
            if row.get("scaling") is None:
                key[3:] = [None] * 3
            groups.setdefault(tuple(key), []).append(row)
    return [Race(key, group) for key, group in groups.items()]


def entry_of(row):
    """The `Entry` that a row is of."""
    return Entry(row["backend"], row["contestant"], row["mode"], row["steps_per_call"])


def spread(values):
    """The median of some numbers and the interval in which the median of all such lies.

    The interval runs from the k-th smallest to the k-th largest of n numbers, k as large as
    `CONFIDENCE` allows whatever the distribution: of 9 all but two, of fewer than 9 all. It holds
    the median with a probability of `1 - 2 (C(n, 0) + ... + C(n, k - 1)) / 2^n`: 0.75 for three
    numbers, 0.9375 for five, and nothing for one.

    Args:
        values: list of numbers.

    Returns:
        A `Spread`; None where there are no numbers.
    """
    if not values:
        return None
    values, count, cut = sorted(values), len(values), 0
    while _outside(cut + 1, count) <= 1 - CONFIDENCE:
        cut += 1
    held = 1 - _outside(cut, count)
    return Spread(statistics.median(values), values[cut], values[-1 - cut], count, held)


def _outside(cut, count):
    """Probability that the true median lies outside, `cut` numbers left out at either end."""
    return 2 * sum(math.comb(count, i) for i in range(cut + 1)) / 2**count

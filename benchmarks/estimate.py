"""How long a race will take, from what earlier races measured."""

import statistics

from . import results, worker

PREPARING = 10.0  # seconds to write what a case's contestants begin from
STARTING = 2.0  # seconds of a process before it imports its backend, and after its last step


class Clock:
    """Tells how long processes take, by the rows of processes like them.

    Args:
        rows: of `results.read`, of any machine; failures and points of curves are left out.
    """

    def __init__(self, rows):
        self.rows = [r for r in rows if "error" not in r and r.get("scaling") is None]

    def race(self, race, settings, stages):
        """Seconds of a race.

        Args:
            race: a `harness.Race`.
            settings: a `harness.Settings`.
            stages: list of lists of `Entry`, one a round.

        Returns:
            Seconds; None where no process was ever measured.
        """
        if not self.rows:
            return None
        return PREPARING + sum(
            self.process(race.case, entry, settings, round_)
            for round_, entries in enumerate(stages)
            for entry in entries
        )

    def process(self, case, entry, settings, round_):
        """Seconds of one process: the median over the rows that are most like it."""
        untimed = settings.loss_steps_of(case, round_) + worker.BATCHES * entry.steps_per_call
        rows = self._like(case, entry, cold=round_ == 0)
        return statistics.median(
            _seconds(row, settings, untimed, entry.steps_per_call) for row in rows
        )

    def of_case(self, case, steps_per_call):
        """The rows of a case."""
        key = (case, steps_per_call)
        return [row for row in self.rows if (row["case"], row["steps_per_call"]) == key]

    def _like(self, case, entry, cold):
        """The rows of this contestant in this case, else of ever less that is like it."""
        there = self.of_case(case, entry.steps_per_call)
        likenesses = [
            (there, lambda row: results.entry_of(row) == entry),
            (there, lambda row: (row["backend"], row["mode"]) == (entry.backend, entry.mode)),
            (self.rows, lambda row: (row["backend"], row["mode"]) == (entry.backend, entry.mode)),
            (self.rows, lambda row: row["backend"] == entry.backend),
            (self.rows, lambda row: True),
        ]
        for rows, fits in likenesses:
            found = [row for row in rows if fits(row)]
            if found:
                return [row for row in found if row["cold"] == cold] or found
        raise AssertionError("the last of them fits all")


def told(seconds):
    """`"3 h 05 min"`."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"


def _seconds(row, settings, untimed, steps_per_call):
    """What a process that measured a row takes under other settings and untimed steps."""
    step = row["step_ms"] / 1e3
    # A block is never shorter than one call.
    timed = max(settings.seconds, worker.FEWEST_BLOCKS * step * steps_per_call)
    warmed = max(min(worker.WARM_UP_SECONDS, settings.seconds), step * steps_per_call)
    sampled = worker.SAMPLINGS * row.get("sample_ms", 0.0) / 1e3 * settings.sampling
    # A bare one and one in `fit`; of Keras, one and three with and without a progress bar.
    epochs = 9 if row["contestant"] in ("keras_gen", "keras") else 2
    fitted = settings.fit * (worker.EPOCHS + 1) * epochs * worker.EPOCH_SECONDS
    started = STARTING + row["import_seconds"] + row["start_seconds"]
    return started + untimed * step + timed + warmed + sampled + fitted

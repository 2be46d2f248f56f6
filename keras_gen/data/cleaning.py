"""Which files cannot be used: unreadable, duplicate, of a wrong mode or tiny."""

from dataclasses import dataclass, field

from keras_gen.data.errors import DataError

KINDS = ("unreadable", "duplicate", "wrong_mode", "tiny")
NAMED = 3


@dataclass(frozen=True)
class CleaningReport:
    """What the cleaning of a source found, and what was done with it.

    Args:
        seen: how many files were looked at.
        kept: how many of them are left in.
        unreadable: names of files that cannot be decoded, or that hold NaN or infinity.
        duplicate: names of files whose bytes are those of one before them.
        wrong_mode: names of images whose mode is not that of the others, or cannot be converted.
        tiny: names of images smaller than `min_side` or than the crop.
        action: "none", "skipped", or "kept duplicates" where duplicates alone stayed in.
        reasons: name -> why, in a few words.
    """

    seen: int
    kept: int
    unreadable: tuple = ()
    duplicate: tuple = ()
    wrong_mode: tuple = ()
    tiny: tuple = ()
    action: str = "none"
    reasons: dict = field(default_factory=dict, repr=False)

    @property
    def counts(self):
        """How many files of each kind were found: a dict in the order of `KINDS`."""
        return {kind: len(getattr(self, kind)) for kind in KINDS}

    @property
    def bad(self):
        """How many files have something wrong with them."""
        return sum(self.counts.values())

    def __str__(self):
        found = ", ".join(
            f"{count} {kind.replace('_', ' ')} ({examples(getattr(self, kind), self.reasons)})"
            for kind, count in self.counts.items()
            if count
        )
        if not found:
            return f"{self.seen} files, all clean"
        return f"{self.bad} of {self.seen} files: {found}"


def examples(names, reasons):
    """Names the first few of many."""
    told = [f"{name}: {reasons[name]}" if name in reasons else name for name in names[:NAMED]]
    more = len(names) - NAMED
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def judge(source, names, findings, *, on_bad, keep_duplicates):
    """Refuses a source with bad images, or reports which of them are skipped.

    Args:
        source: its name, for the error.
        names: the name of every file, in order.
        findings: name -> (kind of `KINDS`, reason) for the bad ones.
        on_bad: "refuse" or "skip".
        keep_duplicates: whether duplicates are counted and named, but stay in.

    Returns:
        A `CleaningReport` and the list of positions that stay in.

    Raises:
        DataError: there are bad files and `on_bad` is "refuse", or none is left.
    """
    kinds = {kind: tuple(n for n in names if findings.get(n, "?")[0] == kind) for kind in KINDS}
    dropped = {n for n, (kind, _) in findings.items() if kind != "duplicate" or not keep_duplicates}
    action = "skipped" if dropped else "kept duplicates" if findings else "none"
    reasons = {name: reason for name, (_, reason) in findings.items()}
    kept = [position for position, name in enumerate(names) if name not in dropped]
    report = CleaningReport(len(names), len(kept), **kinds, action=action, reasons=reasons)
    if dropped and on_bad == "refuse":
        remedy = "repair or remove them, or load with on_bad='skip'"
        if kinds["duplicate"] and not keep_duplicates:
            remedy += " or keep_duplicates=True"
        raise DataError(f"{source}: cannot use {report}; {remedy}")
    if not kept:
        raise DataError(f"{source}: no file is left: {report}")
    return report, kept

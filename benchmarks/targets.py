"""What keras-gen is to reach, as data, and whether a run reached it."""

from dataclasses import dataclass

from . import results
from .registry import BACKENDS
from .results import Spread

CONVOLUTIONAL = (
    "vae_conv",
    "dcgan_28",
    "dcgan_64",
    "wgan_gp_28",
    "vqvae_28",
    "r3gan_32",
    "sngan_32",
)
OTHERS = ("vae_mlp", "iwae_k50", "gan_ring")
CASES = CONVOLUTIONAL + OTHERS
# keras-gen as a user who wants speed runs it; on TensorFlow that is what it chooses by itself.
FAST = {"jax": ("jit",), "tensorflow": None, "torch": ("jit",)}
FEWEST_ROUNDS = 3  # with fewer an interval says nothing
FIT_STEP_MS, FIT_SHARE = 20.0, 0.03
# On a cheap step the overhead is not lost in the step's own noise.
FIT_CASE = "vae_mlp"


@dataclass(frozen=True)
class Target:
    """A bound of a ratio.

    Args:
        case: name.
        backend: name; None compares backends with each other.
        ours: keras-gen's mode; None for its fast one.
        theirs: the native's modes; None for the fastest.
        bound: the ratio that is allowed.
        metric: key of a row.
        steps_per_call: train steps a call takes.
    """

    case: str
    backend: str | None
    bound: float
    ours: str | None = None
    theirs: tuple | None = None
    metric: str = "step_ms"
    steps_per_call: int = 1


@dataclass(frozen=True)
class Verdict:
    """What a run says to a target.

    Args:
        case: name, with the steps a call where they are several.
        what: which number is compared.
        ours: who was measured.
        theirs: whom it was held against.
        ratio: a `Spread`; None where a run did not measure it.
        bound: what is allowed.
    """

    case: str
    what: str
    ours: str
    theirs: str
    ratio: Spread | None
    bound: float

    @property
    def met(self):
        """Whether the whole interval lies at or below the bound; None where nothing shows it."""
        if self.ratio is None:
            return None
        below = self.ratio.high <= self.bound
        return None if below and self.ratio.rounds < FEWEST_ROUNDS else below


TARGETS = (
    *(Target(case, "torch", 0.85) for case in CONVOLUTIONAL),
    *(Target(case, "torch", 1.0) for case in OTHERS),
    *(Target(case, "torch", 1.5, ours="eager", theirs=("eager",)) for case in CONVOLUTIONAL),
    Target("vae_conv", "jax", 0.30, theirs=("jit",)),
    Target("dcgan_28", "jax", 0.55, theirs=("jit",)),
    *(
        Target(case, "jax", 1.05, theirs=("jit",))
        for case in CASES
        if case not in ("vae_conv", "dcgan_28")
    ),
    *(Target(case, "tensorflow", 1.05) for case in CASES),
    *(Target("gan_ring", backend, 1.1, steps_per_call=32) for backend in BACKENDS),
    *(Target(case, None, 1.5) for case in ("vae_conv", "dcgan_28")),
    *(Target(case, backend, 1.15, metric="peak_mb") for backend in BACKENDS for case in CASES),
)


def judge(races):
    """Holds all targets against a run.

    Args:
        races: list of `results.Race`.

    Returns:
        A list of `Verdict`.
    """
    there = {
        (race.key["case"], race.key["steps_per_call"]): race
        for race in races
        if race.key["scaling"] is None
    }
    empty = results.Race([None] * len(results.SIZES), [])
    verdicts = [
        _judged(target, there.get((target.case, target.steps_per_call), empty))
        for target in TARGETS
    ]
    race = there.get((FIT_CASE, 1), empty)
    return verdicts + [_fit(race, backend) for backend in BACKENDS]


def named(case, steps_per_call=1):
    """Native contestants that a target names by their mode, whoever is the fastest.

    Args:
        case: name.
        steps_per_call: train steps a call takes.

    Returns:
        A set of `(backend, mode)`.
    """
    return {
        (target.backend, mode)
        for target in TARGETS
        if (target.case, target.steps_per_call) == (case, steps_per_call)
        for mode in target.theirs or ()
    }


def fast(race, backend):
    """keras-gen's contestant on a backend as a user who wants speed runs it; None where none."""
    if FAST[backend] is not None:
        return race.fastest(backend, "keras_gen", FAST[backend])
    ours = [e for e in race.entries if (e.backend, e.contestant) == (backend, "keras_gen")]
    return next((entry for entry in ours if race.is_default(entry)), None)


def _judged(target, race):
    if target.backend is None:
        ours = [fast(race, backend) for backend in BACKENDS]
        ours = sorted(filter(None, ours), key=race.median)
        slowest, fastest = (ours[-1], ours[0]) if len(ours) > 1 else (None, None)
        return _verdict(target, race, slowest, fastest, "slowest backend", "fastest backend")
    if target.ours is None:
        ours = fast(race, target.backend)
        name = f"{target.backend} keras_gen {'/'.join(FAST[target.backend] or ('default',))}"
    else:
        ours = race.fastest(target.backend, "keras_gen", (target.ours,))
        name = f"{target.backend} keras_gen {target.ours}"
    theirs = race.fastest(target.backend, "native", target.theirs)
    wanted = "/".join(target.theirs) if target.theirs else "fastest"
    return _verdict(target, race, ours, theirs, name, f"{target.backend} native {wanted}")


def _verdict(target, race, ours, theirs, our_name, their_name):
    ratio = race.ratio(ours, theirs, target.metric) if ours and theirs else None
    steps = f" x{target.steps_per_call}" if target.steps_per_call > 1 else ""
    return Verdict(
        target.case + steps,
        {"step_ms": "step time", "peak_mb": "peak memory"}[target.metric],
        str(ours or our_name),
        str(theirs or their_name),
        ratio,
        target.bound,
    )


def _fit(race, backend):
    ours = fast(race, backend)
    overheads = race.values(ours, "fit_overhead_ms").values() if ours else ()
    return Verdict(
        FIT_CASE,
        f"what fit adds to a step, of {FIT_STEP_MS:.0f} ms",
        str(ours or f"{backend} keras_gen"),
        "its bare step",
        results.spread([overhead / FIT_STEP_MS for overhead in overheads]),
        FIT_SHARE,
    )

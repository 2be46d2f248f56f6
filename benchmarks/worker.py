"""One fresh process, one contestant, one line of JSON: `python -m benchmarks.worker --help`."""

import argparse
import contextlib
import importlib
import inspect
import io
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from . import cases, device, machine, prepare, profile, registry

BATCHES = 8  # different ones, over and over: the same for every contestant
LOSS_WINDOW = 10  # last steps of those whose mean is the loss: a single one is noise
WARM_UP_SECONDS = 0.5
BLOCK_SECONDS = 0.1  # a clock is read once a block
FEWEST_BLOCKS = 3
SAMPLES, SAMPLINGS = 1000, 5
EPOCHS, EPOCH_SECONDS = 3, 1.0
FEWEST_EPOCH_STEPS, MOST_EPOCH_STEPS = 32, 480  # 60,000 examples in batches of 128 are 469


def main(arguments=None):
    """Measures one contestant and prints what was measured, the last line of stdout."""
    options = _parser().parse_args(arguments)
    os.environ.update(device.environment(options.backend, options.device, options.threads))
    device.hide_other_backends(options.backend)
    overrides = {"batch": options.batch, "side": options.side, "width": options.width}
    case = cases.read(options.case, **overrides)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        begin = options.begin
        if begin is None:
            begin = Path(folder) / "begin.npz"
            count = BATCHES * case.batch_size
            prepare.prepare(begin, case.name, count, options.backend, **overrides)
        weights, examples = prepare.load(begin, case.sockets)
        row = race(options, case, weights, examples)
    print(json.dumps(row))


def race(options, case, weights, examples):
    """Measures one contestant in this process.

    Args:
        options: what `_parser` parsed.
        case: a `Case`.
        weights: `{network: [array, ...]}` to begin from.
        examples: float32 `(count, ...)`.

    Returns:
        A dict of plain values; times in seconds where the name says so and else in ms, memory
        in MB (10^6 bytes).
    """
    row = {
        "case": case.name,
        "backend": options.backend,
        "contestant": options.contestant,
        "mode": options.mode,
        "steps_per_call": options.steps_per_call,
        "batch": case.batch_size,
        "shape": list(case.shape),
        "width": options.width,
        "device": options.device,
        "threads": options.threads,
        "precision": device.PRECISION,
        "load_before": machine.load(),
    }
    started = time.perf_counter()
    module, name, _ = registry.CONTESTANTS[options.backend, options.contestant]
    module = importlib.import_module(f".{module}", __package__)
    row["device_name"] = device.settle(options.backend, options.device, options.threads)
    row["import_seconds"] = time.perf_counter() - started
    if options.profile:
        profile.prepare()

    started = time.perf_counter()
    contestant = getattr(module, name)(case, options.mode, weights, options.steps_per_call)
    row["build_seconds"] = time.perf_counter() - started
    row["default"] = getattr(contestant, "default", None)
    row["versions"] = _versions(options.backend)
    row["built_mb"], _ = machine.memory_mb()

    groups = [contestant.put(group) for group in _groups(case, examples, options.steps_per_call)]
    calls = _endless(groups)
    started = time.perf_counter()
    contestant.call(next(calls))
    contestant.wait()
    row["first_call_seconds"] = time.perf_counter() - started
    # Some compile when they are built, some when they are called.
    row["start_seconds"] = row["build_seconds"] + row["first_call_seconds"]
    if options.loss_steps:
        row |= _loss(contestant, calls, case, options)
    row |= _time_steps(contestant, calls, options)
    _, row["peak_mb"] = machine.memory_mb()
    if options.profile:
        row["operations"] = profile.operations(contestant, calls, options.profile)
    if options.device == "gpu":
        row["gpu_peak_mb"] = device.peak_mb(options.backend)
    row["steady_mb"] = _steady_memory(contestant, calls)
    if options.sampling:
        row |= _time_sampling(contestant)
    if options.fit:
        row |= _time_epochs(contestant, calls, case, examples, row["step_ms"], options)
    return row | machine.describe()


def _groups(case, examples, steps_per_call):
    """`BATCHES` batches in order, cut into the groups that a call takes."""
    size = case.batch_size
    batches = [examples[i * size : (i + 1) * size] for i in range(BATCHES)]
    count = max(1, BATCHES // math.gcd(BATCHES, steps_per_call))
    return [
        [batches[(group * steps_per_call + i) % BATCHES] for i in range(steps_per_call)]
        for group in range(count)
    ]


def _endless(groups):
    while True:
        yield from groups


def _loss(contestant, calls, case, options):
    """Trains on until `loss_steps` steps are done, and reads the loss of the last ones."""
    per_call = options.steps_per_call
    total = max(2, math.ceil(options.loss_steps / per_call))
    watched = min(total - 1, math.ceil(LOSS_WINDOW / per_call))
    for _ in range(total - 1 - watched):
        contestant.call(next(calls))
    contestant.losses()
    losses = []
    for _ in range(watched):
        contestant.call(next(calls))
        losses.append(float(contestant.losses()[case.reported]))
    return {
        "loss": statistics.fmean(losses),
        "loss_term": case.reported,
        "loss_steps": total * per_call,
    }


def _time_steps(contestant, calls, options):
    """Milliseconds a train step: the median over blocks of calls, each waited for once."""

    def block(count):
        started = time.perf_counter()
        for _ in range(count):
            contestant.call(next(calls))
        contestant.wait()
        return time.perf_counter() - started

    spent, slowest = 0.0, 0.0
    while spent < min(WARM_UP_SECONDS, options.seconds):
        slowest = block(1)
        spent += slowest
    count = max(1, math.ceil(BLOCK_SECONDS / slowest))
    blocks, spent = [], 0.0
    while spent < options.seconds or len(blocks) < FEWEST_BLOCKS:
        blocks.append(block(count))
        spent += blocks[-1]
    steps = count * options.steps_per_call
    return {
        "step_ms": 1e3 * statistics.median(blocks) / steps,
        "step_ms_min": 1e3 * min(blocks) / steps,
        "step_ms_max": 1e3 * max(blocks) / steps,
        "blocks": len(blocks),
        "steps_a_block": steps,
    }


def _time_sampling(contestant):
    seconds = []
    for _ in range(SAMPLINGS):
        started = time.perf_counter()
        contestant.sample(SAMPLES)
        seconds.append(time.perf_counter() - started)
    return {
        "samples": SAMPLES,
        "first_sample_ms": 1e3 * seconds[0],
        "sample_ms": 1e3 * statistics.median(seconds[1:]),
    }


def _steady_memory(contestant, calls):
    """Peak memory of train steps once all is compiled; None where the system cannot tell."""
    if not machine.forget_peak():
        return None
    for _ in range(BATCHES):
        contestant.call(next(calls))
    contestant.wait()
    return machine.memory_mb()[1]


def _time_epochs(contestant, calls, case, examples, step_ms, options):
    """What `fit` costs a step over the bare step, and what its data cost by themselves.

    Epochs and as many bare steps take turns: a difference of a few percent drowns in what a
    machine changes in a minute. Where `epoch` takes `epochs`, an epoch is half of what three of
    them cost over one: what `fit` does once, as copying the examples, is `fit_once_ms`.
    """
    per_call = options.steps_per_call
    seconds = min(EPOCH_SECONDS, options.seconds)
    steps = min(max(FEWEST_EPOCH_STEPS, 1e3 * seconds / step_ms), MOST_EPOCH_STEPS)
    steps = per_call * math.ceil(steps / per_call)
    whole = examples[[i % len(examples) for i in range(steps * case.batch_size)]]

    def bare():
        for _ in range(steps // per_call):
            contestant.call(next(calls))

    def taken(way):
        started = time.perf_counter()
        way()
        contestant.wait()
        return 1e3 * (time.perf_counter() - started)

    def one_epoch(**how):
        if "epochs" not in inspect.signature(contestant.epoch).parameters:
            return taken(lambda: contestant.epoch(whole)), 0.0
        one = taken(lambda: contestant.epoch(whole, epochs=1, **how))
        three = taken(lambda: contestant.epoch(whole, epochs=3, **how))
        return (three - one) / 2, one - (three - one) / 2

    ways = {"fit": one_epoch}
    if "verbose" in inspect.signature(contestant.epoch).parameters:
        ways["fit_progress"] = lambda: one_epoch(verbose=1)
    bares, epochs, onces = [], {name: [] for name in ways}, {name: [] for name in ways}
    with contextlib.redirect_stdout(io.StringIO()):
        for turn in range(EPOCHS + 1):
            readings = taken(bare), {name: way() for name, way in ways.items()}
            if turn:  # the first one compiles and fills caches
                bares.append(readings[0] / steps)
                for name, (epoch, once) in readings[1].items():
                    epochs[name].append(epoch / steps)
                    onces[name].append(once)
    row = {"fit_steps": steps, "fit_bare_ms": statistics.median(bares)}
    for name in ways:
        added = [fit - step for fit, step in zip(epochs[name], bares, strict=True)]
        row[f"{name}_step_ms"] = statistics.median(epochs[name])
        row[f"{name}_overhead_ms"] = statistics.median(added)
        row[f"{name}_once_ms"] = statistics.median(onces[name])
    return row | _time_data(case, whole, steps)


def _time_data(case, examples, steps):
    """Milliseconds to shuffle and cut one batch, without training on it."""
    import numpy as np

    def by_hand():
        order = np.random.default_rng(0).permutation(len(examples))
        for i in range(steps):
            examples[order[i * case.batch_size : (i + 1) * case.batch_size]]

    row = {"numpy_batch_ms": _median_ms(by_hand) / steps}
    if "keras_gen" in sys.modules:
        from .keras_gen_model import dataset_of

        batches = dataset_of(case, examples).batches(case.batch_size, shuffle_seed=0)

        def ours():
            for i in range(len(batches)):
                batches[i]

        row["keras_gen_batch_ms"] = _median_ms(ours) / steps
    return row


def _median_ms(function):
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return 1e3 * statistics.median(seconds)


def _versions(backend):
    names = ["numpy", backend, "keras", "keras-gen", "optax"]
    versions = {"python": platform.python_version()}
    for name in names:
        module = sys.modules.get(name.replace("-", "_"))
        if module is not None:  # a checkout that is not installed has no metadata
            versions[name] = module.__version__
    return versions


def _parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", required=True, choices=cases.known())
    parser.add_argument("--backend", required=True, choices=registry.BACKENDS)
    parser.add_argument("--contestant", default="keras_gen")
    parser.add_argument("--mode", required=True)
    parser.add_argument("--steps-per-call", type=int, default=1)
    parser.add_argument("--device", choices=device.DEVICES, default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, help="examples a step, in place of the case's")
    parser.add_argument("--side", type=int, help="side of the images, in place of the case's")
    parser.add_argument("--width", type=int, help="channels of convolutional networks")
    parser.add_argument("--seconds", type=float, default=3.0, help="timed train steps")
    parser.add_argument("--loss-steps", type=int, default=0, help="0 reads no loss")
    parser.add_argument("--no-sampling", dest="sampling", action="store_false")
    parser.add_argument("--fit", action="store_true", help="time epochs of fit as well")
    parser.add_argument("--profile", type=int, default=0, help="calls to profile; PyTorch only")
    parser.add_argument("--begin", type=Path, help="initial weights and examples, of prepare.py")
    return parser


if __name__ == "__main__":
    main()

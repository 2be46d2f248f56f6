"""One command on a machine with a GPU: its tests, one race, one JSON document on stdout.

    make gpu-check                              there: python3 tests/gpu_check.py; no TensorFlow
    python3 tests/gpu_check.py wheels .whl      here, where that machine can fetch nothing

Standard library only, because it has to say what else is missing. pytest loads this file too, as a
plugin that writes each test's outcome down as it comes: what was stopped is not lost.
"""

import argparse
import concurrent.futures
import contextlib
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
FELL_SHORT, WRONG_INPUT = 1, 2

# What an image with PyTorch, JAX, SciPy and pytest does not have; versions as constraints.txt has.
CARRIED = (
    "annotated-types",
    "keras",
    "namex",
    "optree",
    "pydantic",
    "pydantic_core",
    "typing-inspection",
)
# {what is imported: the package it comes in}
IMPORTED = {
    "PIL": "pillow",
    "annotated_types": "annotated-types",
    "h5py": "h5py",
    "keras": "keras",
    "ml_dtypes": "ml_dtypes",
    "namex": "namex",
    "numpy": "numpy",
    "optax": "optax",
    "optree": "optree",
    "packaging": "packaging",
    "pydantic": "pydantic",
    "pydantic_core": "pydantic_core",
    "pytest": "pytest",
    "rich": "rich",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "typer": "typer",
    "typing_inspection": "typing-inspection",
    "xdist": "pytest-xdist",
}
BACKENDS = ("torch", "jax")
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")
# Seconds: of the probes, which run at the same time, of the tests on a backend, of the race, and
# until what was told to stop is killed. In all at most six minutes.
PROBE_LIMIT, TESTS_LIMIT, RACE_LIMIT, GRACE = 40, 105, 90, 5
# Each family in both ways to run and in both kinds of precision once, and its CUDA graph.
SELECTED = "float32-plain or mixed_bfloat16-jit or mixed_float16-plain or cuda_graph"
PROBE = {
    "torch": "import torch; there = torch.cuda.is_available(); print(torch.__version__, "
    "'gpu' if there else 'cpu', torch.cuda.get_device_name() if there else 'cpu', sep='\\n')",
    "jax": "import jax; device = jax.devices()[0]; print(jax.__version__, "
    "'cpu' if device.platform == 'cpu' else 'gpu', device.device_kind, sep='\\n')",
}
SHOWN = {
    "gpu": "what this GPU does",
    "cpu": "that this script and the tests run: the CPU stood in, and nothing of it is a GPU's",
}
OUTCOMES = "KERAS_GEN_GPU_CHECK_OUTCOMES"


def main(arguments=None):
    """Reads the arguments, runs what they name and gives its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--backends", default=",".join(BACKENDS), help="torch, jax")
    parser.add_argument("--select", default=SELECTED, help="pytest's -k; empty for all")
    parser.add_argument("--race", default="vae_mlp", help="a case of benchmarks/")
    workers = max(1, min(8, (os.cpu_count() or 1) // 2))
    parser.add_argument("--workers", type=int, default=workers, help="processes of tests")
    parser.add_argument("--patience", type=float, default=1.0, help="times every limit")
    parser.add_argument("--out", type=Path, help="a file for the document, beside stdout")
    commands = parser.add_subparsers(dest="command", metavar="[wheels]")
    wheels_ = commands.add_parser("wheels", help="fetch the wheels that the machine there lacks")
    wheels_.add_argument("folder", type=Path)
    wheels_.add_argument("--python", default="3.12", help="of the machine there")
    options = parser.parse_args(arguments)
    return wheels(options) if options.command == "wheels" else check(options)


# -- What has to be carried -----------------------------------------------------------------------


def pinned():
    """The packages to carry as `name==version`, of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    versions = dict(line.split("==") for line in lines if "==" in line and line[0] != "#")
    return [f"{name}=={versions[name]}" for name in CARRIED]


def wheels(options):
    """Fetches them for the Python over there, tells their sizes and what to say there."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", options.python, "--dest", str(options.folder)]
    for name in PLATFORMS:
        command += ["--platform", f"{name}_x86_64"]
    done = subprocess.run([*command, *pinned()])
    if done.returncode:
        return done.returncode
    total = 0
    for path in sorted(options.folder.glob("*.whl")):
        total += path.stat().st_size
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path.name}")
    print(f"{total / 1e6:8.2f} MB  in all, for Python {options.python}. There:")
    print(
        "python3 -m pip install -q --no-index --no-deps --no-compile --upgrade "
        f"--target /tmp/site {options.folder}/*.whl && "
        "PYTHONPATH=/tmp/site python3 tests/gpu_check.py"
    )
    return 0


def missing(backends):
    """Packages that cannot be found here."""
    needed = {**IMPORTED, **{backend: backend for backend in backends}}
    return sorted(p for module, p in needed.items() if importlib.util.find_spec(module) is None)


# -- The check ------------------------------------------------------------------------------------


def check(options):
    """Runs the tests on each backend and the race, and prints the document."""
    backends = [name for name in options.backends.split(",") if name]
    unknown = sorted(set(backends) - set(BACKENDS))
    if unknown or not backends:
        return refuse(f"--backends: expected {' or '.join(BACKENDS)}, got {options.backends!r}")
    if not (ROOT / "benchmarks" / "cases" / f"{options.race}.toml").is_file():
        return refuse(f"--race: benchmarks/cases has no case {options.race!r}")
    absent = missing(backends)
    if absent:
        carry = f"python3 {Path(__file__).relative_to(ROOT)} wheels .whl"
        return refuse(f"not installed here: {', '.join(absent)}; bring wheels: {carry}")
    started = time.monotonic()
    document = {
        "check": "keras-gen gpu-check",
        "device": options.device,
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
        "commit": commit(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "backends": probed(backends, options),
    }
    ready = [name for name, part in document["backends"].items() if part["ok"]]
    document["what_it_shows"] = SHOWN[options.device] if ready else "nothing"
    with tempfile.TemporaryDirectory(prefix="keras_gen_gpu_check_") as scratch:
        for name in ready:
            tests = tested(name, options, Path(scratch) / f"{name}.jsonl")
            document["backends"][name]["tests"] = tests
            document["backends"][name]["ok"] = tests["ok"]
        document["race"] = raced(ready, options, Path(scratch) / "race")
    parts = [*document["backends"].values(), document["race"]]
    document["seconds"] = seconds_since(started)
    document["ok"] = all(part["ok"] for part in parts)
    text = json.dumps(document, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    return 0 if document["ok"] else FELL_SHORT


def probed(backends, options):
    """`{backend: its version and device}`, as processes of their own see them."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        parts = pool.map(lambda name: _probed(name, options), backends)
        return dict(zip(backends, parts, strict=True))


def _probed(backend, options):
    device = options.device
    command = [sys.executable, "-c", PROBE[backend]]
    part, output = limited(command, environment(backend, device), PROBE_LIMIT * options.patience)
    if part.pop("code") or len(output) < 3:
        return part | {"ok": False, "error": output[-1] if output else "no message"}
    version, found, name = output[-3:]
    part |= {"ok": found == device, "version": version, "device_name": name}
    if found != device:
        part["error"] = f"{backend} sees no {device} here: its device is {name}"
    tell(f"{backend} {version} on {name}")
    return part


def tested(backend, options, outcomes):
    """Counts, the slowest and what failed, of the tests that are marked `gpu`."""
    command = [sys.executable, "-m", "pytest", "tests/test_gpu.py", "-m", "gpu", "-q"]
    command += ["-p", "gpu_check", "-p", "no:cacheprovider", "--tb=short"]
    command += ["-k", options.select] if options.select else []
    command += ["-n", str(options.workers), "--dist", "worksteal"] if options.workers > 1 else []
    settings = environment(backend, options.device) | {OUTCOMES: str(outcomes)}
    part, _ = limited(command, settings, TESTS_LIMIT * options.patience)
    rows = read_lines(outcomes)
    for outcome in ("passed", "failed", "skipped"):
        part[outcome] = sum(row["outcome"] == outcome for row in rows)
    part["failures"] = [row for row in rows if row["outcome"] == "failed"]
    part["slowest"] = sorted(rows, key=lambda row: -row["seconds"])[:3]
    part["ok"] = part.pop("code") == 0 and part["passed"] > 0
    tell(f"{backend}: {part['passed']} passed, {part['failed']} failed in {part['seconds']} s")
    return part


def raced(backends, options, folder):
    """One round of a race against twins: a row a contestant."""
    part = {"case": options.race, "ok": False, "rows": []}
    if not backends:
        return part | {"error": "no backend was ready"}
    command = [sys.executable, "-m", "benchmarks", options.race, "--device", options.device]
    command += ["--backends", ",".join(backends), "--against", "native", "--repeats", "1"]
    command += ["--seconds", "0.5", "--loss-steps", "10", "--out", str(folder)]
    limit = RACE_LIMIT * options.patience
    told, _ = limited(command, environment(None, options.device), limit)
    part |= told
    kept = ("backend", "contestant", "mode", "step_ms", "start_seconds", "loss", "sample_ms")
    kept += ("gpu_peak_mb", "device_name", "versions", "error")
    for file in sorted(folder.glob("*.jsonl")):
        part["rows"] += [{k: row[k] for k in kept if k in row} for row in read_lines(file)]
    failed = sum("error" in row for row in part["rows"])
    part["ok"] = part.pop("code") == 0 and bool(part["rows"]) and not failed
    tell(f"race: {len(part['rows'])} rows, {failed} failed in {part['seconds']} s")
    return part


def limited(command, settings, limit):
    """Runs a command for as long as it may take.

    Args:
        command: A list of words.
        settings: Its environment.
        limit: Seconds, after which it is interrupted, and killed `GRACE` seconds later.

    Returns:
        `(part, lines)`: a dict of its exit code and seconds, with its last words where it failed
        or was stopped; and the lines that it printed.
    """
    started, stopped = time.monotonic(), False
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=settings,
            stdout=output,
            stderr=output,
            process_group=0,
            # A shell lets what it starts in the background ignore it, and so do its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            stopped = True
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        lines = output.read().splitlines()
    part = {"code": process.returncode, "seconds": seconds_since(started), "limit": limit}
    if process.returncode or stopped:
        part |= {"stopped": stopped, "last_words": lines[-15:]}
    return part, lines


def environment(backend, device):
    """Of a process of the check: its backend, its device, and a share of the GPU's memory."""
    # A check that a worker of pytest-xdist tests is no such worker itself.
    here = {name: value for name, value in os.environ.items() if "PYTEST_XDIST" not in name}
    paths = [str(ROOT), str(ROOT / "tests"), *filter(None, [here.get("PYTHONPATH")])]
    settings = {
        **here,
        "KERAS_GEN_TEST_DEVICE": device,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # several processes share it
    }
    if device == "cpu":
        settings |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1"}
    return settings | ({} if backend is None else {"KERAS_BACKEND": backend})


def commit():
    """The commit that is checked out; None where there is no repository."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        told = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return told.stdout.strip()
    return None


def read_lines(path):
    """The JSON documents of a file of lines; the last may have been cut off."""
    rows = []
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
        for line in path.read_text(encoding="utf-8").splitlines():
            rows.append(json.loads(line))
    return rows


def last_line(text):
    """The last line of a text that is not empty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def seconds_since(started):
    """Rounded, of the monotonic clock."""
    return round(time.monotonic() - started, 1)


def tell(message):
    """Progress, beside the document."""
    print(message, file=sys.stderr, flush=True)


def refuse(message):
    """Tells what is wrong with the input in one line."""
    tell(f"gpu-check: {message}")
    return WRONG_INPUT


# -- The plugin of pytest -------------------------------------------------------------------------


def pytest_runtest_logreport(report):
    """Writes a test's outcome down, in the process that gathers them."""
    path = os.environ.get(OUTCOMES)
    if path is None or os.environ.get("PYTEST_XDIST_WORKER"):
        return
    # A test that is skipped, or whose fixtures fail, has no call.
    if report.when == "call" or report.outcome != "passed":
        row = {
            "test": re.sub(r".*::", "", report.nodeid),
            "outcome": report.outcome,
            "seconds": round(report.duration, 2),
        }
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            row["error"] = last_line(str(getattr(crash, "message", report.longrepr)))
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    sys.exit(main())

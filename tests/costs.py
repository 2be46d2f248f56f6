"""Where the suite's time goes: seconds by file, and by what they are spent on.

```
python -m pytest tests -p costs --costs costs.jsonl     # once a backend, into one file
python tests/costs.py costs.jsonl
```

Each test notes its wall and processor time, and how much of the first was tracing, compiling and
waiting for other processes. What is nested counts once, as the innermost.
"""

import argparse
import collections
import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

KINDS = ("imports", "tracing", "compiling", "processes", "the rest")
# The events of `jax.monitoring` that JAX sends when it has traced, lowered, compiled.
JAX_EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "tracing",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "tracing",
    "/jax/core/compile/backend_compile_duration": "compiling",
}


class Clock:
    """Collects intervals by kind; of two that overlap, the one that began later counts."""

    def __init__(self):
        self.intervals = []

    def note(self, kind, began, ended):
        self.intervals.append((began, ended, kind))

    def timed(self, kind, function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.note(kind, began, time.perf_counter())

        return wrapped

    def take(self):
        """Seconds by kind since the last call."""
        edges = sorted({edge for began, ended, _ in self.intervals for edge in (began, ended)})
        position = {edge: i for i, edge in enumerate(edges)}
        owner = [None] * len(edges)
        for began, ended, kind in sorted(self.intervals):
            for i in range(position[began], position[ended]):
                owner[i] = kind
        seconds = collections.Counter()
        for i, kind in enumerate(owner[:-1]):
            if kind is not None:
                seconds[kind] += edges[i + 1] - edges[i]
        self.intervals.clear()
        return dict(seconds)


CLOCK = Clock()


def _watch(backend):
    subprocess.Popen.wait = CLOCK.timed("processes", subprocess.Popen.wait)
    subprocess.Popen.communicate = CLOCK.timed("processes", subprocess.Popen.communicate)
    if backend == "jax":
        import jax

        def noted(event, seconds, **_):
            if event in JAX_EVENTS:
                now = time.perf_counter()
                CLOCK.note(JAX_EVENTS[event], now - seconds, now)

        jax.monitoring.register_event_duration_secs_listener(noted)
    elif backend == "tensorflow":
        from tensorflow.python.eager.polymorphic_function import concrete_function
        from tensorflow.python.framework import func_graph

        func_graph.func_graph_from_py_func = CLOCK.timed(
            "tracing", func_graph.func_graph_from_py_func
        )
        whole = concrete_function.ConcreteFunction._call_flat

        def first_is_compiling(function, *args, **kwargs):
            # Grappler and XLA do their work when a function is first called.
            if getattr(function, "_was_called", False):
                return whole(function, *args, **kwargs)
            function._was_called = True
            return CLOCK.timed("compiling", whole)(function, *args, **kwargs)

        concrete_function.ConcreteFunction._call_flat = first_is_compiling
    elif backend == "torch":
        import importlib

        engine = importlib.import_module("keras_gen.engine.torch")
        engine.CapturedStep._capture = CLOCK.timed("tracing", engine.CapturedStep._capture)
        engine.compile_graph = CLOCK.timed("compiling", engine.compile_graph)


class Costs:
    """The plugin: a line of JSON a test."""

    def __init__(self, path):
        self.path, self.began = path, time.perf_counter()

    def write(self, **row):
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")

    def pytest_collection_finish(self, session):
        if session.items:
            import keras

            self.backend = keras.backend.backend()
            _watch(self.backend)
            seconds = time.perf_counter() - self.began
            self.write(
                backend=self.backend,
                test="imports and collection",
                wall=seconds,
                cpu=time.process_time(),
                imports=seconds,
            )
        CLOCK.take()

    def pytest_runtest_protocol(self, item):
        self.start = time.perf_counter(), sum(os.times()[:4])

    def pytest_runtest_logfinish(self, nodeid):
        if hasattr(self, "start"):  # xdist's controller runs none
            wall, cpu = time.perf_counter() - self.start[0], sum(os.times()[:4]) - self.start[1]
            self.write(backend=self.backend, test=nodeid, wall=wall, cpu=cpu, **CLOCK.take())


def pytest_addoption(parser):
    parser.addoption("--costs", help="file to add a line of JSON a test to")


def pytest_configure(config):
    if config.getoption("--costs"):
        config.pluginmanager.register(Costs(Path(config.getoption("--costs")).absolute()))


def table(rows, key):
    """Lines of `key(row)`'s sums, the largest first."""
    sums = collections.defaultdict(collections.Counter)
    for row in rows:
        total = sums[key(row)]
        spent = {kind: row.get(kind, 0.0) for kind in KINDS[:-1]}
        total.update(spent, wall=row["wall"], cpu=row["cpu"], tests=1)
        total["the rest"] += row["wall"] - sum(spent.values())
    columns = ("wall", "cpu", *KINDS, "tests")
    yield " ".join([*(f"{column:>10}" for column in columns), " of"])
    for name, total in sorted(sums.items(), key=lambda item: -item[1]["wall"]):
        yield " ".join([*(f"{total[column]:10.1f}" for column in columns), f" {name}"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--most", type=int, default=30, help="rows a table")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.file.read_text().splitlines()]
    tables = {
        "backend": lambda row: row["backend"],
        "file": lambda row: f"{row['backend']} {row['test'].split('::')[0]}",
        "test": lambda row: f"{row['backend']} {row['test'].split('[')[0]}",
    }
    for name, key in tables.items():
        print(f"\nSeconds by {name}:")
        print("\n".join(list(table(rows, key))[: options.most + 1]))


if __name__ == "__main__":
    sys.exit(main())

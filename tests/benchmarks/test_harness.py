"""Races of fresh processes, as they are started."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from conftest import ALL
from typer.testing import CliRunner

from benchmarks import harness, prepare, registry, report, results
from keras_gen import cli
from keras_gen.engine import memory

BACKEND = keras.backend.backend()


def benchmark(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        env=prepare.environment(),
        capture_output=True,
        text=True,
    )


# Whether keras-gen chooses it by itself for 10,000 steps of a tiny model of dense layers.
CHOSEN = {"jit": True, "eager": False, "function": False, "xla": True}


@pytest.mark.skipif(
    BACKEND != "jax" and not ALL,
    reason="the harness is one for all: the gate races on JAX, soonest; make test-all on each",
)
@pytest.mark.slow
def test_processes_measure_what_a_report_reads(tmp_path):
    """One in the first mode, a step a call, and one in the last mode, 32 of them."""
    modes = registry.CONTESTANTS[BACKEND, "keras_gen"][2]
    raced = {(modes[0], 1), (modes[-1], 32)}
    entries = tuple(registry.Entry(BACKEND, "keras_gen", *of_one) for of_one in sorted(raced))
    settings = harness.Settings(threads=1, seconds=0.05, loss_steps=4, repeats=1, fit=True)
    file = tmp_path / "rows.jsonl"
    assert harness.run([harness.Race("gan_ring", entries)], settings, file) == 0
    rows = results.read([file])
    assert {(row["mode"], row["steps_per_call"]) for row in rows} == raced
    for row in rows:
        assert "error" not in row
        for key in ("step_ms", "start_seconds", "sample_ms", "peak_mb", "fit_step_ms"):
            assert row[key] > 0, key
        assert 0.5 < row["loss"] < 2.5  # 2 ln 2 where the discriminator knows nothing
        assert (row["device"], row["threads"], row["cold"]) == ("cpu", 1, True)
        assert row["default"] is CHOSEN[row["mode"]]
        assert {"python", "numpy", "keras", BACKEND} <= set(row["versions"])
        assert not set(row["versions"]) & (set(registry.BACKENDS) - {BACKEND})
        assert row["process_seconds"] > row["import_seconds"] + row["start_seconds"]
    text = report.markdown(rows)
    assert "## gan_ring, 32 steps a call" in text and "loss after 64 steps" in text


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "torch", reason="the profiler is PyTorch's")
def test_a_profile_counts_the_operations_of_a_step():
    options = ("--threads", 1, "--calls", 3)
    told = benchmark("profile", "gan_ring", "--contestant", "torch native eager", *options)
    assert told.returncode == 0, told.stderr
    rows = [line.split("|")[1:-1] for line in told.stdout.splitlines() if line.startswith("| `")]
    calls = {name.strip(" `"): float(count) for name, *_, count in rows}
    assert calls["aten::_fused_adam_"] == 2.0  # one a player
    assert 95.0 < sum(float(share.strip(" %")) for _, _, share, _ in rows) <= 101.0


def test_a_process_tells_its_last_words(tmp_path, monkeypatch):
    race = harness.Race("gan_ring", (registry.Entry(BACKEND, "nobody", "eager"),))
    monkeypatch.setattr(prepare, "prepare", lambda path, *_, **__: path.touch())
    path = tmp_path / "rows.jsonl"
    assert harness.run([race], harness.Settings(repeats=1), path) == 1
    (row,) = map(json.loads, path.read_text().splitlines())
    assert row["error"] and "\n" not in row["error"]


def test_tuned_twins_begin_with_keras_gens_allocator(monkeypatch):
    asked, code = {}, {-3: "MALLOC_MMAP_THRESHOLD_", -1: "MALLOC_TRIM_THRESHOLD_"}

    class Library:
        gnu_get_libc_version = None

        def mallopt(self, parameter, value):
            asked[code[parameter]] = str(value)

    for name in code.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: Library())
    memory.keep_freed_memory.__wrapped__()
    assert asked == registry.ENVIRONMENT["torch", "tuned"]

    began = []

    def popen(command, env, **_):
        began.append({name: value for name, value in env.items() if name in asked})
        raise RuntimeError("enough")

    monkeypatch.setattr(harness.subprocess, "Popen", popen)
    race = harness.Race("vae_mlp", tuple(registry.entries(["torch"], ["native", "tuned"])))
    for entry in race.entries:
        with pytest.raises(RuntimeError, match="enough"):
            harness._measure(race, entry, 0, harness.Settings(), "begin.npz", Path("cache"))
    tuned = [entry.contestant == "tuned" for entry in race.entries]
    assert sum(tuned) == 3
    assert [bool(env) for env in began] == tuned
    assert all(env == asked for env in began if env)


def test_keras_gen_benchmark_is_the_same_command(capfd):
    assert CliRunner().invoke(cli.app, ["benchmark", "dcgan_82"]).exit_code == 2
    assert "CASE: nothing is called 'dcgan_82'" in capfd.readouterr().err
    assert CliRunner().invoke(cli.app, ["benchmark", "--help"]).exit_code == 0
    assert "--repeats" in capfd.readouterr().out

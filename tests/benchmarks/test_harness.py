"""Races of fresh processes: rows, failures, refusals."""

import json
import subprocess
import sys

import keras
import pytest
from typer.testing import CliRunner

from benchmarks import harness, prepare, registry, results
from keras_gen import cli

BACKEND = keras.backend.backend()
TINY = harness.Settings(threads=1, seconds=0.05, loss_steps=4, repeats=1, fit=True)


def benchmark(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        env=prepare.environment(),
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_race_from_the_command_line_ends_in_a_report(tmp_path):
    ran = benchmark(
        *("gan_ring", "--backends", BACKEND, "--against", "", "--repeats", 1, "--fit"),
        *("--threads", 1, "--seconds", 0.05, "--loss-steps", 4, "--out", tmp_path),
    )
    assert ran.returncode == 0, ran.stderr
    (file,) = tmp_path.glob("*.jsonl")
    assert ran.stdout.split() == [str(file)]
    rows = results.read([file])
    modes = registry.CONTESTANTS[BACKEND, "keras_gen"][2]
    raced = {(row["mode"], row["steps_per_call"]) for row in rows}
    assert raced == {(mode, steps) for mode in modes for steps in (1, 32)}
    for row in rows:
        assert "error" not in row
        for key in ("step_ms", "start_seconds", "sample_ms", "peak_mb", "fit_step_ms"):
            assert row[key] > 0, key
        assert 0.5 < row["loss"] < 2.5  # 2 ln 2 where the discriminator knows nothing
        assert (row["device"], row["threads"], row["cold"]) == ("cpu", 1, True)
        assert {"python", "numpy", "keras", BACKEND} <= set(row["versions"])
        assert not set(row["versions"]) & (set(registry.BACKENDS) - {BACKEND})
    assert sum(row["default"] for row in rows) == 2  # one mode, of two races
    told = benchmark("report", file, "--table", tmp_path / "table.md")
    assert told.returncode == 0, told.stderr
    assert "## gan_ring, 32 steps a call" in (tmp_path / "table.md").read_text()


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


def test_a_process_that_fails_is_a_row_and_the_race_goes_on(tmp_path, monkeypatch):
    entries = (
        registry.Entry(BACKEND, "keras_gen", "no such mode"),
        registry.Entry(BACKEND, "nobody", "eager"),
    )
    monkeypatch.setattr(prepare, "prepare", lambda path, *_, **__: path.touch())
    path = tmp_path / "rows.jsonl"
    assert harness.run([harness.Race("gan_ring", entries)], TINY, path) == 2
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {row["mode"] for row in rows} == {"no such mode", "eager"}
    for row in rows:
        assert row["error"] and "\n" not in row["error"]
        assert row["commit"] is not None and row["round"] == 0


def test_each_round_has_everybody_in_an_order_of_its_own():
    race = harness.Race("vae_conv", tuple(registry.entries()))
    turns = list(harness._turns(race, 5))
    orders = [[entry for round_, entry in turns if round_ == r] for r in range(5)]
    assert all(sorted(order, key=str) == sorted(race.entries, key=str) for order in orders)
    assert len({tuple(order) for order in orders}) == 5
    assert turns == list(harness._turns(race, 5))


def test_scan_races_where_a_call_takes_several_steps_alone():
    modes = [entry.mode for entry in registry.entries(["jax"], ["native"])]
    assert modes == ["jit", "jit"]
    modes = [entry.mode for entry in registry.entries(["jax"], ["native"], 32)]
    assert modes == ["jit", "jit", "scan"]


def test_a_second_run_of_a_day_has_a_file_of_its_own(tmp_path):
    first = harness.new_file(tmp_path)
    first.touch()
    assert harness.new_file(tmp_path).stem == f"{first.stem}-2"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dcgan_82"], "CASE: nothing is called 'dcgan_82'; known: dcgan_28"),
        (["--backends", "jaxx"], "--backends: nothing is called 'jaxx'; known: jax, tensorflow"),
        (["--backends", ""], "--backends: give one or more"),
        (["--against", "pytorch"], "--against: nothing is called 'pytorch'; known: native, keras"),
        (["gan_ring", "--scaling", "side"], "the data of gan_ring are no images"),
        (["vae_mlp", "--scaling", "width"], "the networks of vae_mlp have no width"),
        (
            ["profile", "gan_ring", "--contestant", "jax native jit"],
            "--contestant: nothing is called 'jax native jit'; known: torch keras_gen eager",
        ),
        (["report", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(arguments, told):
    ran = benchmark(*arguments)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert told in line and line.startswith("benchmark: ")


def test_a_missing_package_is_named_with_what_to_install():
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'optax' else find(name, *a)\n"
        "import sys; sys.argv[1:] = ['gan_ring', '--backends', 'jax']\n"
        "from benchmarks.__main__ import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=prepare.environment(), capture_output=True, text=True
    )
    assert ran.returncode == 2
    assert "optax not installed here: pip install 'keras-gen[benchmark]'" in ran.stderr


def test_keras_gen_benchmark_is_the_same_command(capfd):
    assert CliRunner().invoke(cli.app, ["benchmark", "dcgan_82"]).exit_code == 2
    assert "CASE: nothing is called 'dcgan_82'" in capfd.readouterr().err
    assert CliRunner().invoke(cli.app, ["benchmark", "--help"]).exit_code == 0
    assert "--repeats" in capfd.readouterr().out

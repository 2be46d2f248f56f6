"""Who races in which round, how long it takes, what the command line refuses: no backend needed."""

import importlib.util
import json

import pytest
from rows import rounds, row
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import estimate, harness, prepare, registry, targets
from benchmarks.registry import Entry

SETTINGS = harness.Settings(threads=1, repeats=3)


@pytest.fixture
def told(monkeypatch):
    """What a stub says in place of a process: `{entry: ms a step}`; who is not in it fails."""
    steps = {}

    def measure(race, entry, round_, settings, begin, cache):
        if entry not in steps:
            raise RuntimeError("no such mode")
        return {"step_ms": steps[entry] + round_, "start_seconds": 1.0}

    monkeypatch.setattr(harness, "_measure", measure)
    monkeypatch.setattr(prepare, "prepare", lambda path, *_, **__: path.touch())
    return steps


def raced(path, entries, settings=SETTINGS, case="dcgan_28"):
    """The names of those that raced, a list a round."""
    harness.run([harness.Race(case, tuple(entries))], settings, path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        sorted(f"{r['backend']} {r['contestant']} {r['mode']}" for r in rows if r["round"] == i)
        for i in range(settings.repeats)
    ]


def test_the_second_stage_has_ours_and_the_fastest_of_each_kind(tmp_path, told):
    torch = {mode: Entry("torch", "native", mode) for mode in ("eager", "compiled_modules")}
    entries = {
        Entry("torch", "keras_gen", "eager"): 90.0,
        Entry("torch", "keras_gen", "jit"): 20.0,
        torch["eager"]: 80.0,  # slow, but a target holds our eager mode against it
        torch["compiled_modules"]: 41.0,
        Entry("torch", "native", "compiled_step"): 40.0,
        Entry("torch", "tuned", "eager"): 60.0,
        Entry("torch", "tuned", "compiled_step"): 30.0,
        Entry("torch", "keras", "eager"): 70.0,
        Entry("tensorflow", "keras_gen", "function"): 30.0,
        Entry("tensorflow", "native", "function"): 10.0,
        Entry("tensorflow", "native", "xla"): 11.5,  # more than a tenth slower
    }
    told |= entries
    failing = [Entry("torch", "keras", "jit"), Entry("tensorflow", "keras_gen", "xla")]
    first, *later = raced(tmp_path / "rows.jsonl", [*entries, *failing])
    assert first == sorted(map(str, [*entries, *failing]))
    out = {"torch tuned eager", "tensorflow native xla", "torch keras jit"}
    assert later == [sorted(set(first) - out)] * 2
    assert ("torch", "eager") in targets.named("dcgan_28")
    assert targets.named("vae_mlp") <= {("jax", "jit")}


def test_in_one_stage_all_race_in_all_rounds(tmp_path, told):
    told |= {entry: 10.0 * place for place, entry in enumerate(registry.entries(["torch"]))}
    settings = harness.Settings(threads=1, repeats=3, stages=1)
    first, *later = raced(tmp_path / "rows.jsonl", told, settings)
    assert len(first) == 10 and later == [first, first]


def test_a_process_that_fails_is_a_row_and_the_race_goes_on(tmp_path, told):
    told[Entry("jax", "native", "jit")] = 1.0
    path = tmp_path / "rows.jsonl"
    race = harness.Race("gan_ring", (Entry("jax", "native", "jit"), Entry("jax", "keras", "jit")))
    assert harness.run([race], harness.Settings(repeats=2), path) == 1
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((r["contestant"], r["round"], r.get("error")) for r in rows) == [
        ("keras", 0, "no such mode"),
        ("native", 0, None),
        ("native", 1, None),
    ]
    assert all(r["commit"] is not None for r in rows if "error" in r)
    assert all(r["process_seconds"] >= 0 for r in rows if "error" not in r)


def test_each_round_has_its_stage_in_an_order_of_its_own():
    race, settings = harness.Race("vae_conv", tuple(registry.entries())), harness.Settings(stages=1)
    turns = list(harness._turns(race, settings, []))
    orders = [[entry for round_, entry in turns if round_ == r] for r in range(5)]
    assert all(sorted(order, key=str) == sorted(race.entries, key=str) for order in orders)
    assert len({tuple(order) for order in orders}) == 5
    assert turns == list(harness._turns(race, settings, []))


def test_the_loss_is_read_in_the_first_round_after_the_steps_of_the_case():
    assert SETTINGS.loss_steps_of("dcgan_28", 0) == 50
    assert SETTINGS.loss_steps_of("r3gan_32", 0) == 10
    assert harness.Settings(loss_steps=7).loss_steps_of("r3gan_32", 0) == 7
    assert SETTINGS.loss_steps_of("dcgan_28", 1) == 0


def test_a_race_is_expected_to_take_what_its_processes_took():
    """By hand: of a step of 0.5 s, 8 batches, 6 s of blocks, a warm-up of 0.5 s; 10 s to prepare.

    Cold: 2 + 3 + 40 to start, 50 steps to the loss. Again: 2 + 3 + 4 to start, none.
    """
    ours = ("jax", "keras_gen", "jit", [500.0] * 2)
    measured = rounds(*ours, case="dcgan_28", import_seconds=3.0, sample_ms=200.0)
    for about in measured:
        about |= {"cold": about["round"] == 0, "start_seconds": 4.0 + 36.0 * (about["round"] == 0)}
    race = harness.Race("dcgan_28", (Entry("jax", "keras_gen", "jit"),))
    settings = harness.Settings(seconds=6.0, repeats=3)
    cold, again = 45 + (50 + 8) * 0.5 + 6 + 0.5 + 1, 9 + 8 * 0.5 + 6 + 0.5 + 1
    expected = 10 + cold + 2 * again
    assert harness.expected_seconds([race], settings, measured) == pytest.approx(expected)
    assert harness.expected_seconds([race, race], settings, measured) == pytest.approx(2 * expected)
    # Who never raced takes what its backend took; of a kind nobody knows, one is in each round.
    more = harness.Race("vae_conv", tuple(registry.entries(["jax"], ["keras"])))
    assert harness.expected_seconds([more], settings, measured) == pytest.approx(
        10 + 2 * (cold + 2 * again)
    )
    assert harness.expected_seconds([race], settings, []) is None
    assert estimate.told(3 * 3600 + 5 * 60) == "3 h 05 min"


def test_a_race_from_the_command_line_ends_in_a_report(tmp_path, monkeypatch):
    asked = []

    def measure(race, entry, round_, settings, begin, cache):
        asked.append(settings)
        return row(entry.backend, entry.contestant, entry.mode, 5.0, case=race.case) | {
            "steps_per_call": entry.steps_per_call,
            "round": round_,
        }

    monkeypatch.setattr(harness, "_measure", measure)
    monkeypatch.setattr(prepare, "prepare", lambda path, *_, **__: path.touch())
    options = ["--backends", "jax", "--against", "native", "--repeats", "2", "--fit", "--threads"]
    options += ["1", "--seconds", "0.05", "--loss-steps", "4", "--out", str(tmp_path)]
    ran = CliRunner().invoke(command.app, ["run", "gan_ring", *options])
    assert ran.exit_code == 0, ran.output
    (file,) = tmp_path.glob("*.jsonl")
    assert ran.stdout.split() == [str(file)]
    assert set(asked) == {
        harness.Settings(threads=1, seconds=0.05, loss_steps=4, repeats=2, fit=True)
    }
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == 2 * (2 + 3)  # one step a call, and 32, where scan races too
    told = CliRunner().invoke(
        command.app, ["report", str(file), "--table", str(tmp_path / "table.md")]
    )
    assert told.exit_code == 0, told.output
    assert "## gan_ring, 32 steps a call" in (tmp_path / "table.md").read_text()


def test_a_dry_run_says_how_long_it_would_take_and_measures_nothing(tmp_path):
    ran = CliRunner().invoke(command.app, ["run", "--dry-run", "--out", str(tmp_path)])
    assert ran.exit_code == 0, ran.output
    assert "11 races of 5 rounds in 2 stages: about " in ran.stderr
    assert list(tmp_path.iterdir()) == []
    hours = int(ran.stderr.partition("about ")[2].partition(" h")[0])
    assert hours < 4  # the rows in `benchmarks/results` tell


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
        (["run", "dcgan_82"], "CASE: nothing is called 'dcgan_82'; known: dcgan_28"),
        (["run", "--backends", "jaxx"], "--backends: nothing is called 'jaxx'; known: jax, tensor"),
        (["run", "--backends", ""], "--backends: give one or more"),
        (
            ["run", "--against", "pytorch"],
            "nothing is called 'pytorch'; known: native, tuned, kera",
        ),
        (["run", "gan_ring", "--scaling", "side"], "the data of gan_ring are no images"),
        (["run", "vae_mlp", "--scaling", "width"], "the networks of vae_mlp have no width"),
        (
            ["profile", "gan_ring", "--contestant", "jax native jit"],
            "--contestant: nothing is called 'jax native jit'; known: torch keras_gen eager",
        ),
        (["report", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(arguments, told):
    ran = CliRunner().invoke(command.app, arguments)
    assert ran.exit_code == 2
    (line,) = ran.stderr.splitlines()
    assert told in line and line.startswith("benchmark: ")


def test_a_missing_package_is_named_with_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "optax" else find(name, *a)
    )
    ran = CliRunner().invoke(command.app, ["run", "gan_ring", "--backends", "jax"])
    assert ran.exit_code == 2
    assert "optax not installed here: pip install 'keras-gen[benchmark]'" in ran.stderr


def test_a_row_that_another_run_was_stopped_in_spoils_no_estimate(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"case": ')
    races = harness.races(["gan_ring"], ["jax"], ["native"])
    assert "about" in command._expected(races, SETTINGS, tmp_path)

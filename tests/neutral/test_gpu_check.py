"""`gpu_check.py` tells what failed, what was stopped and what is missing. It needs no backend."""

import argparse
import copy
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import gpu_check
import pytest

THREE_TESTS = """
import pytest

def test_good(): pass

def test_bad(): assert 1 == 2, "one is two"

@pytest.mark.skip(reason="not today")
def test_idle(): pass

@pytest.fixture
def broken(): raise OSError("no device")

def test_without_its_fixture(broken): pass
"""


def test_each_outcome_is_written_down(tmp_path):
    (tmp_path / "test_three.py").write_text(THREE_TESTS)
    outcomes = tmp_path / "outcomes.jsonl"
    settings = gpu_check.environment("jax", "cpu") | {gpu_check.OUTCOMES: str(outcomes)}
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "gpu_check", tmp_path]
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True)
    assert done.returncode == 1
    rows = {row["test"]: row for row in gpu_check.read_lines(outcomes)}
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_idle": "skipped",
        "test_without_its_fixture": "failed",
    }
    assert rows["test_without_its_fixture"]["error"] == "OSError: no device"
    assert "one is two" in rows["test_bad"]["error"] or "assert 1 == 2" in rows["test_bad"]["error"]


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["front", "background"])
def interrupts(request):
    """What this process does with an interrupt: those that a shell starts by `&` ignore it."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


def test_what_takes_too_long_is_stopped_and_its_last_words_are_kept(monkeypatch, interrupts):
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    # A busy machine may need its time to begin, and to end where it listens.
    for preamble, grace, words in (("", 10, "KeyboardInterrupt"), (deaf, 0.2, "begun")):
        monkeypatch.setattr(gpu_check, "GRACE", grace)
        code = f"{preamble}import time; print('begun', flush=True); time.sleep(60)"
        part, lines = gpu_check.limited([sys.executable, "-c", code], dict(os.environ), 1.5)
        assert part["stopped"] and part["code"] != 0 and part["seconds"] < 12
        assert lines[0] == part["last_words"][0] == "begun"
        assert words in lines[-1]


def test_a_line_that_was_cut_off_ends_what_is_read(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"b": 2}\n{"c"')
    assert gpu_check.read_lines(path) == [{"a": 1}, {"b": 2}]
    assert gpu_check.read_lines(tmp_path / "none.jsonl") == []


def test_nothing_that_did_not_run_is_called_good(tmp_path, monkeypatch, capsys):
    """No test selected, a device that is not there, a race without a row: each falls short."""
    monkeypatch.setattr(gpu_check, "missing", lambda backends: [])
    seen = {"jax": {"ok": True, "version": "1", "device_name": "cpu"}}
    monkeypatch.setattr(gpu_check, "probed", lambda *_: copy.deepcopy(seen))

    def done(code, rows, path):
        def limited(command, settings, limit):
            if gpu_check.OUTCOMES in settings:
                Path(settings[gpu_check.OUTCOMES]).write_text(rows)
            elif path:
                folder = Path(command[command.index("--out") + 1])
                folder.mkdir()
                (folder / "race.jsonl").write_text(path)
            return {"code": code, "seconds": 0.1, "limit": limit}, []

        monkeypatch.setattr(gpu_check, "limited", limited)
        verdict = gpu_check.main(["--device", "cpu", "--backends", "jax"])
        document = json.loads(capsys.readouterr().out)
        assert document["ok"] == (verdict == 0)
        assert ("nothing of it is a GPU's" in document["what_it_shows"]) == seen["jax"]["ok"]
        return document

    passed = '{"test": "t", "outcome": "passed", "seconds": 1}\n'
    row = '{"backend": "jax", "contestant": "keras_gen", "mode": "jit", "step_ms": 1.0}\n'
    assert done(0, passed, row)["ok"]
    assert not done(0, passed.replace("passed", "skipped"), row)["ok"]
    assert not done(1, passed, row)["ok"]
    assert not done(0, passed, "")["ok"]
    assert not done(0, passed, row.replace('"step_ms": 1.0', '"error": "x"'))["ok"]
    seen["jax"]["ok"] = False
    assert not done(0, passed, row)["ok"]


def test_what_is_missing_is_named_with_the_way_to_bring_it(monkeypatch, capsys):
    found = gpu_check.importlib.util.find_spec
    absent = {"optree", "sklearn"}
    monkeypatch.setattr(
        gpu_check.importlib.util, "find_spec", lambda name: None if name in absent else found(name)
    )
    assert gpu_check.main(["--backends", "jax"]) == gpu_check.WRONG_INPUT
    line = capsys.readouterr().err
    assert "not installed here: optree, scikit-learn; bring wheels" in line


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["--backends", "tensorflow"], "--backends: expected torch or jax, got 'tensorflow'"),
        (["--race", "gan_rink"], "--race: benchmarks/cases has no case 'gan_rink'"),
    ],
)
def test_a_wrong_word_is_refused(arguments, line, capsys):
    assert gpu_check.main(arguments) == gpu_check.WRONG_INPUT
    assert line in capsys.readouterr().err


def test_what_is_carried_is_pinned():
    assert [pin.split("==")[0] for pin in gpu_check.pinned()] == list(gpu_check.CARRIED)
    assert set(gpu_check.CARRIED) <= set(gpu_check.IMPORTED.values())


def test_all_of_it_takes_six_minutes_at_most():
    of_a_backend = gpu_check.TESTS_LIMIT + gpu_check.GRACE
    parts = [gpu_check.PROBE_LIMIT + gpu_check.GRACE, gpu_check.RACE_LIMIT + gpu_check.GRACE]
    assert sum(parts) + len(gpu_check.BACKENDS) * of_a_backend <= 6 * 60


def test_a_device_that_is_not_there_is_told(monkeypatch):
    options = argparse.Namespace(device="gpu", patience=1.0)
    monkeypatch.setitem(gpu_check.PROBE, "jax", "print('0.1', 'cpu', 'a CPU', sep='\\n')")
    (part,) = gpu_check.probed(["jax"], options).values()
    assert not part["ok"] and part["error"] == "jax sees no gpu here: its device is a CPU"
    options.device = "cpu"
    (part,) = gpu_check.probed(["jax"], options).values()
    assert part["ok"] and (part["version"], part["device_name"]) == ("0.1", "a CPU")
    monkeypatch.setitem(gpu_check.PROBE, "jax", "raise OSError('no driver')")
    (part,) = gpu_check.probed(["jax"], options).values()
    assert not part["ok"] and part["error"] == "OSError: no driver"

"""Medians, ratios, intervals, targets and tables, from rows written by hand."""

import json

import pytest
from rows import rounds, row
from scipy import stats

from benchmarks import chart, report, results, targets
from benchmarks.registry import Entry

OURS, THEIRS = Entry("torch", "keras_gen", "jit"), Entry("torch", "native", "eager")


def test_the_interval_of_five_is_all_and_of_nine_all_but_two():
    assert results.spread([5.0, 1.0, 3.0, 2.0, 4.0]) == results.Spread(3.0, 1.0, 5.0, 5, 0.9375)
    # 2 (1 + 9) / 2^9 = 0.039 of the medians lie outside the second and the eighth.
    assert results.spread(list(range(9))) == results.Spread(4, 1, 7, 9, 1 - 20 / 512)
    assert results.spread([7.0]) == results.Spread(7.0, 7.0, 7.0, 1, 0.0)
    assert results.spread([]) is None


@pytest.mark.parametrize("count", range(1, 40))
def test_an_interval_holds_the_median_as_often_as_it_says(count):
    """Of n rounds a binomial number is below the median, with a probability of a half each."""
    found = results.spread(list(range(count)))
    below = stats.binom(count, 0.5)
    # The k-th smallest is below it and the k-th largest above: k to n - k of them are below.
    held = below.cdf(found.high) - below.cdf(found.low)
    assert found.confidence == pytest.approx(held, abs=1e-12)
    assert found.confidence == pytest.approx({1: 0, 3: 0.75, 5: 0.9375}.get(count, held))
    assert found.confidence >= results.CONFIDENCE or (found.low, found.high) == (0, count - 1)


def test_ratios_are_taken_within_rounds():
    slow_machine_in_round_1 = rounds("torch", "keras_gen", "jit", [10.0, 30.0, 12.0])
    beside_it = rounds("torch", "native", "eager", [20.0, 40.0, 20.0])
    (race,) = results.races(slow_machine_in_round_1 + beside_it)
    assert race.median(OURS) == 12.0
    assert race.ratio(OURS, THEIRS) == results.Spread(0.6, 0.5, 0.75, 3, 0.75)
    assert race.fastest("torch", "native") == THEIRS
    assert race.fastest("jax") is None


def test_rounds_that_one_of_the_two_failed_are_left_out():
    rows = rounds("torch", "keras_gen", "jit", [10.0, 10.0])
    rows += [row("torch", "native", "eager", 20.0, round_=1)]
    (race,) = results.races(rows)
    assert race.ratio(OURS, THEIRS).rounds == 1


def test_a_target_is_met_when_the_whole_interval_is_below():
    rows = rounds("torch", "native", "eager", [100.0] * 5)
    rows += rounds("torch", "native", "compiled_step", [110.0] * 5)
    ours = [70.0, 80.0, 84.0, 75.0, 85.0]
    for times, met in ((ours, True), ([*ours[:4], 86.0], False)):
        races = results.races(rows + rounds("torch", "keras_gen", "jit", times))
        verdict = next(v for v in targets.judge(races) if v.case == "vae_conv" and v.bound == 0.85)
        assert verdict.theirs == "torch native eager"  # the fastest
        assert verdict.met is met
        assert verdict.ratio.median == pytest.approx(sorted(times)[2] / 100)


def test_one_round_can_miss_a_target_but_not_meet_it():
    theirs = rounds("torch", "native", "eager", [100.0])
    for time, met, told in ((70.0, None, "too few rounds"), (90.0, False, "**not met**")):
        rows = theirs + rounds("torch", "keras_gen", "jit", [time])
        races = results.races(rows)
        verdict = next(v for v in targets.judge(races) if v.case == "vae_conv" and v.bound == 0.85)
        assert verdict.met is met
        assert f"| 0.00 | 0.85 | {told} |" in report.markdown(rows)  # held by chance alone


def test_the_slowest_backend_is_held_against_the_fastest():
    rows = rounds("torch", "keras_gen", "jit", [30.0, 33.0])
    rows += rounds("torch", "keras_gen", "eager", [90.0, 90.0])  # not what a user in a hurry runs
    rows += rounds("jax", "keras_gen", "jit", [45.0, 44.0])
    rows += rounds("tensorflow", "keras_gen", "function", [40.0, 40.0])
    verdict = next(v for v in targets.judge(results.races(rows)) if v.bound == 1.5 and v.ratio)
    assert (verdict.ours, verdict.theirs) == ("jax keras_gen jit", "torch keras_gen jit")
    assert (verdict.ratio.low, verdict.ratio.high) == pytest.approx((44 / 33, 45 / 30))


def test_what_fit_adds_is_held_against_a_step_of_20_ms():
    rows = rounds("jax", "keras_gen", "jit", [5.0] * 3, case="vae_mlp", fit_overhead_ms=0.5)
    verdict = next(v for v in targets.judge(results.races(rows)) if "fit" in v.what and v.ratio)
    assert verdict.ratio.median == pytest.approx(0.025)
    assert verdict.met


def test_peak_memory_is_held_against_the_twin_that_is_fastest_in_time():
    rows = rounds("jax", "keras_gen", "jit", [5.0] * 3, peak_mb=660.0)
    rows += rounds("jax", "native", "jit", [6.0] * 3, peak_mb=600.0)
    rows += rounds("jax", "native", "scan", [9.0] * 3, peak_mb=100.0)
    verdict = next(
        v for v in targets.judge(results.races(rows)) if v.what == "peak memory" and v.ratio
    )
    assert (verdict.theirs, verdict.met) == ("jax native jit", True)
    assert verdict.ratio.median == pytest.approx(1.1)


def test_where_we_lose_is_printed_and_where_we_win_is_not():
    rows = rounds("torch", "keras_gen", "jit", [30.0] * 3)
    rows += rounds("torch", "keras_gen", "eager", [50.0] * 3, default=False)
    rows += rounds("torch", "native", "eager", [40.0] * 3)
    rows += rounds("torch", "keras", "eager", [60.0] * 3)
    text = report.markdown(rows)
    lost = text.partition("## Where we lose")[2].partition("##")[0]
    (line,) = [line for line in lost.splitlines() if "keras_gen" in line]
    told = "torch keras_gen eager | 50 | 40 | torch native eager | 1.25 | 1.25 .. 1.25 | 0.75 |"
    assert told in line
    assert "**torch keras_gen jit** (default)" in text
    assert "| 9.0 | 1.0 |" in text  # to start, cold and warm


@pytest.mark.parametrize("scale", [1e-4, 0.046, 0.112, 1.0, 418.0])
def test_twice_the_loss_is_another_answer(scale):
    for loss in (scale, -scale):
        assert not report.off(loss, loss)
        assert not report.off(1.09 * loss, loss)
        assert report.off(2 * loss, loss)
        assert report.off(loss / 2, loss)
        assert report.off(0.0, loss)
        assert report.off(float("nan"), loss)


def test_a_loss_that_noise_does_not_explain_is_marked():
    assert not report.off(209.0, 200.0)
    assert report.off(221.0, 200.0)
    assert not report.off(0.0747, 0.059)  # DCGANs of one library, with XLA and without
    assert report.off(0.05, -0.04)
    rows = rounds("torch", "keras_gen", "jit", [30.0] * 2)
    rows += rounds("torch", "native", "eager", [10.0] * 2, loss=300.0)
    text = report.markdown(rows)
    assert text.count("(!)") == 2  # the number, and what the mark says
    assert "| 300 (!) |" in text


def test_twins_with_our_settings_are_a_column_of_their_own():
    rows = rounds("torch", "keras_gen", "jit", [30.0] * 3)
    rows += rounds("torch", "native", "eager", [40.0] * 3)
    alone = report.markdown(rows)
    assert "/ native | start, s" in alone
    rows += rounds("torch", "tuned", "compiled_step", [25.0] * 3)
    text = report.markdown(rows)
    assert "/ native | / tuned native | start, s" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| **torch keras_gen jit**")]
    assert [cell.strip() for cell in line.split("|")][5:7] == ["0.75", "1.20"]
    lost = text.partition("## Where we lose")[2].partition("##")[0]
    assert "torch keras_gen jit | 30 | 25 | torch tuned compiled_step | 1.20" in lost
    verdict = next(v for v in targets.judge(results.races(rows)) if v.bound == 0.85 and v.ratio)
    assert verdict.theirs == "torch native eager"


def test_who_raced_in_the_first_stage_alone_is_not_the_fastest():
    rows = rounds("torch", "native", "eager", [9.0])  # a quiet hour
    rows += rounds("torch", "native", "compiled_step", [9.5, 12.0, 12.0])
    (race,) = results.races(rows)
    assert race.fastest("torch", "native").mode == "compiled_step"
    (race,) = results.races(rows[:2])
    assert race.fastest("torch", "native").mode == "eager"


def test_starts_are_compared_cold_and_warm():
    rows = rounds("torch", "keras_gen", "jit", [10.0] * 3)
    rows += rounds("torch", "native", "eager", [40.0] * 3)
    for about in rows:
        ours = about["contestant"] == "keras_gen"
        about["start_seconds"] = {(True, 0): 90.0, (True, 1): 6.0, (True, 2): 8.0}.get(
            (ours, about["round"]), 5.0
        )
    lost = report.markdown(rows).partition("## Where we lose")[2].partition("##")[0]
    start = "torch keras_gen jit | 90 | 5 | torch native eager | 18.00 | 18.00 .. 18.00 | 0.00 |"
    again = "torch keras_gen jit | 7 | 5 | torch native eager | 1.40 | 1.20 .. 1.60 | 0.50 |"
    assert f"| vae_conv | start, nothing compiled before, s | {start}" in lost
    assert f"| vae_conv | start again, s | {again}" in lost


def test_a_contestant_on_tensorflow_is_held_against_the_fastest_twin_xla_included():
    rows = rounds("tensorflow", "keras_gen", "xla", [13.0] * 5, case="gan_ring")
    rows += rounds("tensorflow", "native", "function", [14.0] * 5, case="gan_ring")
    rows += rounds("tensorflow", "native", "xla", [10.0] * 5, case="gan_ring")
    verdict = next(v for v in targets.judge(results.races(rows)) if v.ratio)
    assert (verdict.theirs, verdict.ratio.median) == ("tensorflow native xla", 1.3)
    assert verdict.met is False


def test_a_race_whose_first_round_failed_has_no_loss():
    rows = rounds("torch", "keras_gen", "jit", [30.0] * 2)
    rows += rounds("torch", "native", "eager", [40.0] * 2)
    for about in rows:
        if about["round"] or about["contestant"] == "native":
            for name in ("loss", "loss_term", "loss_steps"):
                del about[name]
    text = report.markdown(rows)
    assert "loss after 50 steps" in text and "| 200 |" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| torch native eager |")]
    assert line.endswith("| - |")


def test_curves_have_a_column_a_size_and_are_no_targets():
    rows = []
    for batch, ms in ((32, 3.0), (1024, 90.0)):
        rows.append(row("jax", "keras_gen", "jit", ms, scaling="batch", batch=batch))
    text = report.markdown(rows)
    assert "| ms a step at batch | 32 | 1024 |" in text
    assert "| **jax keras_gen jit** (default) | 3 | 90 |" in text
    assert "0 of 0 measured targets" in text


def test_a_process_that_failed_is_told_and_counts_nowhere():
    good = row("torch", "keras_gen", "jit", 30.0)
    failed = {key: good[key] for key in ("case", "backend", "contestant", "steps_per_call")}
    failed |= {"mode": "eager", "round": 2, "error": "RuntimeError: no | room"}
    text = report.markdown([good, failed])
    assert "| vae_conv | torch keras_gen eager | 3 | RuntimeError: no \\| room |" in text
    assert len(results.races([good, failed])[0].entries) == 1
    assert "Nothing was measured." in report.markdown([failed])


def test_a_broken_file_is_named(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row("jax", "keras_gen", "jit", 1.0)) + "\n")
    assert len(results.read([file])) == 1
    with pytest.raises(ValueError, match="line 1: the same round as"):
        results.read([file, file])
    file.write_text('{"case": \n')
    with pytest.raises(ValueError, match="rows.jsonl, line 1: no JSON"):
        results.read([file])


def test_the_chart_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="charts need it")
    rows = rounds("torch", "keras_gen", "jit", [30.0, 31.0])
    rows += rounds("jax", "native", "jit", [40.0, 44.0], case="gan_ring")
    chart.draw(rows, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")

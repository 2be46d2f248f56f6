"""Series: windows of a CSV file or of the S&P 500, split by time, standardized."""

import gzip

import numpy as np
import pytest

from keras_gen import data
from keras_gen.data import DataError

ROWS = np.random.default_rng(0).normal(3.0, 5.0, (200, 2)).round(6)


@pytest.fixture
def path(tmp_path):
    lines = [f"2020-01-{i},{a},{b}" for i, (a, b) in enumerate(ROWS)]
    (tmp_path / "two.csv").write_text("\n".join(["day,a,b", *lines]))
    return tmp_path / "two.csv"


def load(path, split="train", **options):
    return data.load(f"series:{path}", split, size=16, **options)


def test_windows_lead_back_to_the_rows_of_their_split(path):
    """140 rows to train on, 20 to validate, 40 to test: a window at each of them that has room."""
    ends = {"train": (0, 140), "validation": (140, 160), "test": (160, 200)}
    mean, deviation = ROWS[:140].mean(axis=0), ROWS[:140].std(axis=0)
    for split, (start, end) in ends.items():
        part = load(path, split, test_fraction=0.2, validation_fraction=0.125)
        assert part.shape == (16, 2) and part.value_range is None
        np.testing.assert_allclose(part.standard, (mean, deviation))
        windows = part.images()
        assert windows.dtype == np.float32 and len(windows) == end - start - 15
        for i, window in enumerate(windows):
            rows = window * deviation + mean
            np.testing.assert_allclose(rows, ROWS[start + i : start + i + 16], atol=1e-5)


def test_a_file_without_names_and_a_compressed_one_are_the_same(path, tmp_path):
    np.savetxt(tmp_path / "plain.csv", ROWS, delimiter=",", fmt="%.6f")
    with gzip.open(tmp_path / "packed.csv.gz", "wt") as file:
        file.write(path.read_text())
    expected = load(path).images()
    for name in ("plain.csv", "packed.csv.gz"):
        np.testing.assert_array_equal(load(tmp_path / name).images(), expected)


def test_windows_are_read_in_any_order(path):
    part = load(path)
    rows = np.random.default_rng(1).permutation(len(part))[:32]
    np.testing.assert_array_equal(part.images(rows), part.images()[rows])
    assert part.images(rows).shape == (32, 16, 2)


def test_sp500_is_the_daily_log_return():
    """Against pandas' reading of arch's file, and two numbers that everybody knows."""
    pytest.importorskip("arch")
    import pandas
    from arch.data import sp500

    close = sp500.load()["Close"]
    returns = np.log(close).diff().dropna()
    part = data.load("sp500", "train", size=20, test_fraction=0.5)
    mean, deviation = part.standard
    known = part.images()[:, 0, 0] * deviation + mean
    np.testing.assert_allclose(known, returns.to_numpy()[: len(known)], atol=1e-7)
    crash = returns[pandas.Timestamp("2008-10-15")]  # the index fell by 9.03 %
    assert np.expm1(crash) == pytest.approx(-0.0903, abs=1e-4)
    position = returns.index.get_loc(pandas.Timestamp("2008-10-15"))
    assert known[position] == pytest.approx(crash, abs=1e-7)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": [16, 8]}, ("size", "steps of a window", "(16, 8)")),
        ({"size": 300}, ("size", "300 steps", "train", "180 of 200")),
        ({"channels": 1}, ("channels", "series", "leave it out")),
        ({"crop": 4}, ("crop", "series", "leave it out")),
        ({"value_range": (0, 1)}, ("value_range", "series", "leave it out")),
        ({"label_key": "a"}, ("label_key", "does not take it")),
    ],
)
def test_what_only_pictures_have_is_refused(path, options, words):
    with pytest.raises(DataError) as error:
        data.load(f"series:{path}", **options)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ("rows of numbers", "found none")),
        ("a,b\n", ("rows of numbers", "found none")),
        ("a,b\n1,2\n3,\n", ("line 3, column 2", "''")),
        ("1,2\n3\n", ("line 2, column 2", "''")),
        ("1,2\n3,nan\n", ("line 2, column 2", "'nan'")),
        ("1,7\n" * 50, ("column 1", "the same")),
    ],
)
def test_a_file_that_is_no_series_is_refused(tmp_path, content, words):
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(DataError) as error:
        data.load(f"series:{tmp_path / 'bad.csv'}", size=4)
    assert all(word in str(error.value) for word in (*words, "bad.csv")), str(error.value)


def test_a_missing_file_is_named():
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file"):
        data.load("series:nowhere.csv")

"""Vectors: points around known centres, and the rows of a CSV file."""

import io

import numpy as np
import pytest

from keras_gen import data
from keras_gen.data import DataError

SPLITS = ("train", "validation", "test")


# -- Points around known centres ---------------------------------------------------------------


@pytest.mark.parametrize(("name", "modes"), [("ring", 8), ("grid", 25)])
def test_points_lie_around_the_centre_of_their_mode(name, modes):
    """Of a normal point of the plane, `P(distance > r deviations) = exp(-r**2 / 2)`."""
    parts = [data.load(name, split, validation_fraction=0.1) for split in SPLITS]
    assert [len(part) for part in parts] == [18_000, 2_000, 5_000]
    points = np.concatenate([part.images() for part in parts])
    labels = np.concatenate([part.labels() for part in parts])
    assert points.shape == (25_000, 2) and points.dtype == np.float32
    centres, deviation = parts[0].modes
    assert parts[0].shape == (2,) and parts[0].value_range is None
    assert len(centres) == modes == parts[0].num_classes
    distances = np.linalg.norm(points - centres[labels], axis=1) / deviation
    for r in (1.0, 2.0, 3.0):
        assert (distances > r).mean() == pytest.approx(np.exp(-(r**2) / 2), abs=0.01)
    # Each as likely: four deviations of a binomial.
    spread = 4 * np.sqrt(25_000 / modes)
    np.testing.assert_allclose(np.bincount(labels), 25_000 / modes, atol=spread)
    assert len(np.unique(points, axis=0)) == 25_000, "no point is in two splits"


def test_the_centres_are_those_of_the_papers():
    ring, grid = (data.load(name).modes for name in ("ring", "grid"))
    np.testing.assert_allclose(np.linalg.norm(ring.centres, axis=1), 2.0)
    np.testing.assert_allclose(ring.centres[[0, 2]], [[2, 0], [0, 2]], atol=1e-12)
    assert ring.deviation == 0.02
    assert {tuple(centre) for centre in grid.centres} == {
        (x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)
    }
    assert grid.deviation == 0.05


def test_the_seed_moves_the_validation_points_and_nothing_else():
    options = {"validation_fraction": 0.1}
    first, second = (
        [data.load("ring", split, seed=seed, **options).images() for split in SPLITS]
        for seed in (0, 1)
    )
    np.testing.assert_array_equal(first[2], second[2])
    assert not np.array_equal(first[1], second[1])
    everything = [np.sort(np.concatenate(parts[:2]), axis=0) for parts in (first, second)]
    np.testing.assert_array_equal(*everything)


# -- The rows of a table -----------------------------------------------------------------------

ROWS = np.random.default_rng(0).normal(3.0, [1.0, 50.0], (200, 2)).round(6)
SPECIES = np.array(["setosa", "virginica", "10", "9"])[np.arange(200) % 4]


@pytest.fixture
def path(tmp_path):
    lines = [f"{a},{name},{b}" for (a, b), name in zip(ROWS, SPECIES, strict=True)]
    (tmp_path / "iris.csv").write_text("\n".join(["width,species,length", *lines]))
    return tmp_path / "iris.csv"


def load(path, split="train", label_key="species", **options):
    return data.load(f"table:{path}", split, label_key=label_key, **options)


def test_rows_are_standardized_by_those_trained_on_and_lead_back(path):
    options = {"test_fraction": 0.2, "validation_fraction": 0.25}
    parts = [load(path, split, **options) for split in SPLITS]
    assert [len(part) for part in parts] == [120, 40, 40]
    train = parts[0]
    assert (
        train.shape == (2,) and train.value_range is None and train.columns == ("width", "length")
    )
    np.testing.assert_allclose(train.images().mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train.images().std(axis=0), 1, atol=1e-6)
    back = []
    for part in parts:
        np.testing.assert_array_equal(part.standard, train.standard)
        mean, deviation = part.standard
        rows = (part.images() * deviation + mean).round(3)
        back += [tuple(row) for row in rows]
        for row, label in zip(rows, part.labels(), strict=True):
            (place,) = np.flatnonzero((np.abs(ROWS - row) < 2e-3).all(axis=1))
            assert part.class_names[label] == SPECIES[place]
    assert len(set(back)) == 200, "each row is in one split"
    assert train.class_names == ["9", "10", "setosa", "virginica"]  # numbers by size, then texts


def test_the_seed_and_nothing_else_moves_the_splits(path):
    first, again, other = (load(path, "test", seed=seed).images() for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first.shape == other.shape and not np.allclose(first, other)


def test_copies_of_a_row_are_in_one_split(tmp_path):
    rows = np.repeat(ROWS[:20], 10, axis=0)
    np.savetxt(tmp_path / "copies.csv", rows, delimiter=",", fmt="%.6f")
    parts = [load(tmp_path / "copies.csv", split, label_key=None) for split in ("train", "test")]
    assert sum(map(len, parts)) == 200 and parts[0].columns == ("column_1", "column_2")
    kinds = [{tuple(row) for row in part.images()} for part in parts]
    assert not kinds[0] & kinds[1] and len(kinds[0] | kinds[1]) == 20
    assert parts[0].labels() is None


def test_what_is_written_is_what_is_read(tmp_path):
    file = io.BytesIO()
    data.write_table(file, [[1.5, -2.0, "a, b"], [1e-20, 1 / 3, 'c"']], ["x", "y", "label"])
    (tmp_path / "own.csv").write_bytes(file.getvalue())
    from keras_gen.data.sources import table

    names, numbers, labels = table.read(tmp_path / "own.csv", "label")
    assert names == ["x", "y"] and labels == ["a, b", 'c"']
    np.testing.assert_allclose(numbers, [[1.5, -2.0], [1e-20, 1 / 3]], rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("a,b\n1,2\n3,\n", {}, ("line 3, column 2", "''")),
        ("a,b\n1,2\n3\n", {}, ("line 3", "expected 2 cells, got 1")),
        ("a,b\n1,x\n", {}, ("line 2, column 2", "'x'")),
        (
            "".join(f"{i},0.1\n" for i in range(30)),
            {},
            ("'column_2'", "the same in every training row"),
        ),
        ("a,b\n1,2\n", {"label_key": "c"}, ("label_key", "'a', 'b'", "'c'")),
        ("a\n1\n2\n", {"label_key": "a"}, ("columns of numbers besides 'a'",)),
        ("a,b\n", {}, ("rows of numbers", "found none")),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, content, options, words):
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(DataError) as error:
        data.load(f"table:{tmp_path / 'bad.csv'}", **options)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("source", ["ring", "table"])
@pytest.mark.parametrize(
    "options", [{"size": 8}, {"channels": 1}, {"crop": 4}, {"value_range": (0, 1)}]
)
def test_what_only_pictures_have_is_refused(path, source, options):
    name = f"table:{path}" if source == "table" else source
    with pytest.raises(DataError, match=f"{next(iter(options))}: .* leave it out"):
        data.load(name, **options)


def test_the_kind_of_a_source_is_known_by_its_name():
    kinds = {"digits": "images", "tfds:mnist": "images", "stacked_digits": "images"}
    kinds |= {"sp500": "signals", "series:a.csv": "signals", "sound:birds": "signals"}
    kinds |= {"ring": "vectors", "grid": "vectors", "table:ring.csv": "vectors"}
    assert {name: data.kind_of(name) for name in kinds} == kinds

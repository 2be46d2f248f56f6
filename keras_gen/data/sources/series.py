"""A table of numbers in the order of time, cut into windows: `series:<path>` reads a CSV file."""

import csv
import gzip
import math

import numpy as np

from keras_gen.data.dataset import ArrayPixels, Dataset
from keras_gen.data.errors import DataError

STEPS = 64  # of a window, where nobody says otherwise
TEST_FRACTION = 0.1


def load(request):
    """Loads `series:<path>`: a CSV file, `.csv` or `.csv.gz`, a row a step, in the order of time.

    The first row may name the columns. A column without a number in the first row of numbers
    (a date) is left out; every other one is a channel.

    Args:
        request: a `Request`; `size` is the steps of a window, 64 where it is None.

    Returns:
        A `Dataset` as `windows` gives it.

    Raises:
        DataError: the file is not of this kind, or too short.
    """
    path = request.path()
    return windows(request, read(path), path)


def windows(request, table, where, licence=None):
    """Cuts a table into overlapping windows, split by time and standardized.

    `window i = (rows i to i + steps - 1 - mean) / deviation`, a window at each row of its split;
    mean and deviation of each channel over the training rows

    The last rows are the test split, those before them the validation split: no row is in two.

    Args:
        request: a `Request`; its `seed` changes nothing.
        table: float64 `(rows, channels)`.
        where: what the table is called in errors.
        licence: of the data.

    Returns:
        A `Dataset` of `(steps, channels)` without a range, its `standard` the mean and deviation.

    Raises:
        DataError: an option that only pictures have, a split shorter than a window, or a channel
            that never changes.
    """
    steps = steps_of(request, STEPS)
    held_out = TEST_FRACTION if request.test_fraction is None else request.test_fraction
    test = round(len(table) * held_out)
    validation = round((len(table) - test) * request.validation_fraction)
    ends = np.cumsum([0, len(table) - test - validation, validation, test])
    parts = dict(
        zip(("train", "validation", "test"), zip(ends, ends[1:], strict=False), strict=True)
    )
    start, end = parts[request.known_split()]
    if end - start < steps:
        raise DataError(
            f"size: a window of {steps} steps needs as many rows, the {request.split} split of "
            f"{where} has {end - start} of {len(table)}; take shorter windows or a larger share"
        )
    train = table[slice(*parts["train"])]
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    if not deviation.all():
        raise DataError(
            f"{where}: column {int(np.argmin(deviation)) + 1} of its numbers is the same in every "
            "training row; leave it out"
        )
    rows = ((table[start:end] - mean) / deviation).astype("float32")
    overlapping = np.lib.stride_tricks.sliding_window_view(rows, steps, axis=0)
    return Dataset(
        request.name,
        request.split,
        ArrayPixels(np.moveaxis(overlapping, 1, 2), limits=None),
        value_range=None,
        licence=licence,
        standard=(mean, deviation),
    )


def steps_of(request, default):
    """The steps of a window that were asked for, and nothing asked that only pictures have.

    Args:
        request: a `Request`.
        default: the steps where its `size` is None.

    Returns:
        Steps, an integer.

    Raises:
        DataError: an option that only pictures have, or two sides.
    """
    request.numbers_only("a series of real numbers")
    size = request.geometry.size
    if size is None:
        return default
    steps, same = size
    if steps != same:
        raise DataError(f"size: expected the steps of a window, got {size!r}")
    return steps


def read(path):
    """Reads the numbers of a CSV file.

    Args:
        path: `.csv`, or `.csv.gz`.

    Returns:
        float64 `(rows, channels)`.

    Raises:
        DataError: there is no such file, it has no numbers, or a cell is empty or not a number.
    """
    _, rows = rows_of(path)
    kept = [i for i, cell in enumerate(rows[0][1]) if math.isfinite(number(cell))]
    table = np.empty((len(rows), len(kept)))
    for row, (line, cells) in zip(table, rows, strict=True):
        for channel, column in enumerate(kept):
            row[channel] = finite(path, line, column, cells)
    return table


def rows_of(path):
    """Reads the cells of a CSV file.

    Args:
        path: `.csv`, or `.csv.gz`.

    Returns:
        The columns' names, or None where the first row has a number; and `(line, cells)` of each
        row but that of the names, texts.

    Raises:
        DataError: there is no such file, or no number in it.
    """
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            rows = [(line, cells) for line, cells in enumerate(csv.reader(file), 1) if cells]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected a CSV file, a row a step") from None
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from error
    names = None
    if rows and not any(math.isfinite(number(cell)) for cell in rows[0][1]):
        names, rows = rows[0][1], rows[1:]
    if not rows or not any(math.isfinite(number(cell)) for cell in rows[0][1]):
        raise DataError(f"{path}: expected rows of numbers separated by commas, found none")
    return names, rows


def finite(path, line, column, cells):
    """Reads the number in one cell of a row.

    Args:
        path: the file, for the error.
        line: the row's line in it, for the error.
        column: which cell, from 0.
        cells: of the row, texts.

    Returns:
        A float.

    Raises:
        DataError: the cell is missing, empty or holds no finite number.
    """
    cell = cells[column] if column < len(cells) else ""
    if not math.isfinite(number(cell)):
        raise DataError(
            f"{path}: line {line}, column {column + 1}: expected a finite number, got {cell!r}; "
            "fill it in or leave the row out"
        )
    return number(cell)


def number(text):
    """Reads a number; NaN where the text is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan

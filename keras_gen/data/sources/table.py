"""A table of numbers whose rows have no order: `table:<path>` reads a CSV file."""

import csv
import io
import math

import numpy as np

from keras_gen.data.dataset import ArrayPixels, Dataset
from keras_gen.data.errors import DataError, require
from keras_gen.data.sources import series


def load(request):
    """Loads `table:<path>`: a CSV file, `.csv` or `.csv.gz`, a row an example.

    `x = (row - mean) / deviation`, mean and deviation of each column over the training rows

    The first row may name the columns. Every column is a number, but for that which `label_key`
    names: its different entries are the classes. Rows are told apart by what they hold, so that
    copies of a row are in one split.

    Args:
        request: a `Request`.

    Returns:
        A `Dataset` of `(columns,)` without a range, with `standard` and `columns`.

    Raises:
        DataError: the file is not of this kind, an option that only pictures have, or a column
            that never changes.
    """
    split = request.known_split()
    request.numbers_only("a table of numbers", size=request.geometry.size)
    path = request.path()
    names, numbers, entries = read(path, request.label_key)
    classes = sorted(set(entries), key=_order)
    positions = {entry: position for position, entry in enumerate(classes)}
    labels = np.array([positions[entry] for entry in entries], np.int32)
    digests = [row.tobytes() + e.encode() for row, e in zip(numbers, entries, strict=True)]
    parts = ["train"] * len(numbers)
    chosen, trained_on = (request.members(parts, digests, part) for part in (split, "train"))
    train = numbers[trained_on]
    for name, lowest, highest in zip(names, train.min(axis=0), train.max(axis=0), strict=True):
        if lowest == highest:
            raise DataError(
                f"{path}: column {name!r} is the same in every training row; leave it out"
            )
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    labelled = request.label_key is not None
    return Dataset(
        request.name,
        split,
        ArrayPixels(((numbers[chosen] - mean) / deviation).astype("float32"), limits=None),
        value_range=None,
        labels=labels[chosen] if labelled else None,
        class_names=classes if labelled else None,
        num_classes=len(classes) if labelled else None,
        standard=(mean, deviation),
        columns=tuple(names),
    )


def read(path, label_key=None):
    """Reads a table.

    Args:
        path: `.csv`, or `.csv.gz`.
        label_key: the name of the column of labels, or None.

    Returns:
        The columns' names, "column_1" and so on where the file has none; float64
        `(rows, columns)`; and the text of each row's label, empty without a `label_key`.

    Raises:
        DataError: there is no such file or column, or a cell is empty or not a number.
    """
    names, rows = series.rows_of(path)
    if names is None:
        names = [f"column_{i}" for i, _ in enumerate(rows[0][1], 1)]
    label = None
    if label_key is not None:
        label = names.index(require("label_key", label_key, names))
    kept = [column for column in range(len(names)) if column != label]
    if not kept:
        raise DataError(f"{path}: expected columns of numbers besides {label_key!r}, found none")
    numbers, entries = np.empty((len(rows), len(kept))), []
    for row, (line, cells) in zip(numbers, rows, strict=True):
        if len(cells) != len(names):
            raise DataError(f"{path}: line {line}: expected {len(names)} cells, got {len(cells)}")
        row[:] = [series.finite(path, line, column, cells) for column in kept]
        entries.append("" if label is None else cells[label])
    return [names[column] for column in kept], numbers, entries


def write(file, rows, names):
    """Writes a CSV file that `read` reads.

    Args:
        file: open for writing bytes.
        rows: lists of floats and texts, one a column.
        names: of the columns.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:  # seven digits: all that float32 has
        writer.writerow(f"{cell:.7g}" if isinstance(cell, float) else cell for cell in row)
    file.write(text.getvalue().encode("utf-8"))


def _order(entry):
    """Numbers by size, before texts by letters."""
    value = series.number(entry)
    return (0, value, "") if math.isfinite(value) else (1, 0.0, entry)

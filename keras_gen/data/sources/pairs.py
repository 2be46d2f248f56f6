"""A folder of pairs of image files: `pairs:<path>`, the first in `input/`, the other in `target/`.

A pair has one name, whatever stands behind its dot: `input/a/1.jpg` and `target/a/1.png`.
"""

import os

import numpy as np

from keras_gen.data.cleaning import judge
from keras_gen.data.dataset import ArrayPixels
from keras_gen.data.errors import DataError
from keras_gen.data.geometry import BYTE
from keras_gen.data.pairs import Joined
from keras_gen.data.sources import folder
from keras_gen.data.splits import joined

SIDES = ("input", "target")


def load(request):
    """Loads pairs of image files, in the order of their names.

    Classes and splits come from sub-folders of both, as of `folder:<path>`. Without such splits,
    pairs are split by what both pictures hold: pairs that share one stay together. The same input
    with another target is no copy.

    Args:
        request: a `Request`; see `folder.load`.

    Returns:
        A `Dataset` that decodes batch by batch, unless `in_memory` is True.

    Raises:
        DataError: a folder is missing or empty, a picture is without its partner, cannot be used,
            or is of another size.
    """
    request.known_split()
    root = request.path()
    names, files = partners(root)
    inspected = [
        folder.inspect(root / side, *folder.fingerprint(root / side, files[side])) for side in SIDES
    ]
    report, kept = judge(
        root,
        names,
        findings(names, files, inspected, request),
        on_bad=request.on_bad,
        keep_duplicates=request.keep_duplicates,
    )
    names = [names[position] for position in kept]
    files = {side: [files[side][position] for position in kept] for side in SIDES}
    inspected = [[each[position] for position in kept] for each in inspected]
    shapes = common_shapes(root, files, inspected, request.geometry)

    parts, classes = folder.parts_and_classes(names)
    digests = [[one.digest for one in each] for each in inspected]
    chosen = request.members(parts, joined(*digests))
    sides = []
    for side, shape in zip(SIDES, shapes, strict=True):
        chosen_files = [files[side][position] for position in chosen]
        sides.append(folder.FilePixels(root / side, chosen_files, request.geometry, shape))
    pixels = Joined(*sides)
    if request.in_memory:
        pixels = ArrayPixels(pixels.read(np.arange(len(pixels))), BYTE)
    return request.opened(
        pixels,
        input_channels=shapes[0][-1],
        **folder.labels_of(classes, chosen),
        report=report,
    )


def partners(root):
    """Matches the files of the two folders by their names.

    Args:
        root: the folder of both.

    Returns:
        The names without their suffixes, sorted; and for each side its files in that order.

    Raises:
        DataError: a folder is missing, two files of one have the same name, or one is without its
            partner.
    """
    if root.is_dir() and not all((root / side).is_dir() for side in SIDES):
        there = ", ".join(sorted(path.name for path in root.iterdir())[:5]) or "nothing"
        raise DataError(f"{root}: expected two folders, input and target, got {there}")
    found = {}
    for side in SIDES:
        found[side] = {}
        for file in folder.files_of(root / side, folder.SUFFIXES, "image files"):
            name = os.path.splitext(file)[0]
            other = found[side].setdefault(name, file)
            if other != file:
                raise DataError(
                    f"{root / side}: {other} and {file} have one name; expected one picture of it"
                )
    for side, other in (SIDES, SIDES[::-1]):
        missing = sorted(set(found[other]) - set(found[side]))
        if missing:
            raise DataError(
                f"{root}: {other}/{found[other][missing[0]]} has no partner: looked for "
                f"{missing[0]}.* in {root / side} ({len(missing)} missing there); add it, or "
                "remove its partner"
            )
    names = sorted(found["input"])
    return names, {side: [found[side][name] for name in names] for side in SIDES}


def findings(names, files, inspected, request):
    """Finds the pairs that cannot be used.

    Args:
        names: of the pairs.
        files: `{side: paths}`.
        inspected: for each side an `Inspected` of each picture.
        request: a `Request`.

    Returns:
        name -> (kind, reason), as `judge` takes it.
    """
    found = {}
    for side, each in zip(SIDES, inspected, strict=True):
        bad = folder.findings(files[side], each, request.geometry, request.min_side)
        for name, file in zip(names, files[side], strict=True):
            kind, reason = bad.get(file, ("duplicate", ""))
            if kind != "duplicate":
                found.setdefault(name, (kind, f"{side}/{file}: {reason}"))
    first = {}
    for name, *pair in zip(names, *inspected, strict=True):
        original = first.setdefault(tuple(one.digest for one in pair), name)
        if original != name:
            found.setdefault(name, ("duplicate", f"same bytes as {original}"))
    return found


def common_shapes(root, files, inspected, geometry):
    """Checks that all inputs come out of one shape, all targets of one, and both of one size.

    Args:
        root: the folder of both, for the error.
        files: `{side: paths}`.
        inspected: for each side an `Inspected` of each picture.
        geometry: a `Geometry`.

    Returns:
        `(height, width, channels)` of the inputs, and of the targets.

    Raises:
        DataError: they do not.
    """
    shapes = [
        folder.common_shape(root / side, files[side], each, geometry)
        for side, each in zip(SIDES, inspected, strict=True)
    ]
    (height, width, _), target = shapes
    if target[:2] != (height, width):
        raise DataError(
            f"{root}: inputs are {height}x{width}, targets {target[0]}x{target[1]}; give size (and "
            "crop='square' to keep proportions)"
        )
    return shapes

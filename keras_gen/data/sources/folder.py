"""A folder of image files, decoded batch by batch: only the list of files is in memory."""

import concurrent.futures
import functools
import hashlib
import io
import os
from typing import NamedTuple

import numpy as np
from PIL import Image

from keras_gen.data.cleaning import judge
from keras_gen.data.dataset import ArrayPixels
from keras_gen.data.errors import DataError
from keras_gen.data.geometry import BYTE, natural_channels

SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
# A folder with one of these at its top and nothing else beside them has splits of its own.
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
# Pillow lets go of the interpreter while it decodes; more threads than this only wait for disk.
THREADS = min(4, os.cpu_count() or 1)
# A queue of all the files would take more memory than what is learnt of them.
QUEUED = 1024


class Inspected(NamedTuple):
    """What was learnt of one file: why it is unreadable, or else the rest."""

    error: str | None
    digest: bytes = b""
    mode: str = ""
    height: int = 0
    width: int = 0


class FilePixels:
    """Pixels that are decoded when they are asked for.

    Args:
        root: the folder.
        files: paths within it.
        geometry: a `Geometry`.
        shape: `(height, width, channels)` that it brings every picture to.
    """

    limits = BYTE

    def __init__(self, root, files, geometry, shape):
        self.root = root
        self.files = files
        self.geometry = geometry
        self.shape = shape
        self._threads = None

    def __len__(self):
        return len(self.files)

    def read(self, indices):
        """Decodes some images.

        Args:
            indices: integers `(count,)`.

        Returns:
            uint8 `(count, height, width, channels)`.

        Raises:
            DataError: a file was removed or changed since it was inspected.
        """
        pixels = np.empty((len(indices), *self.shape), np.uint8)
        if self._threads is None:
            self._threads = concurrent.futures.ThreadPoolExecutor(THREADS, "decode")
        for place, picture in enumerate(self._threads.map(self._decode, indices)):
            pixels[place] = picture
        return pixels

    def _decode(self, index):
        path = self.root / self.files[index]
        try:
            with Image.open(path) as image:
                picture = self.geometry.picture(image)
        except Exception as error:  # Pillow's decoders raise whatever they like
            raise DataError(f"{path}: can no longer be read ({said(error)})") from error
        if picture.shape != self.shape:
            raise DataError(f"{path}: was {self.shape} when inspected, is now {picture.shape}")
        return picture


def load(request):
    """Loads `folder:<path>`: every image file in it, at any depth, in the order of their names.

    The first level of sub-folders names the classes, if there are two or more and no image lies
    beside them. If the top holds `train` and perhaps `validation` and `test`, these are the splits
    and the classes are one level below. Without them, images are split by their content. Every
    file is decoded once before (and its bytes hashed), to find those that cannot be used.

    Args:
        request: a `Request`; without `channels`, pictures of the rarer kind (grey or colour) are
            of a wrong mode; without `size`, all must be of one size.

    Returns:
        A `Dataset` that decodes batch by batch, unless `in_memory` is True.

    Raises:
        DataError: the folder is missing or empty, holds images that cannot be used, or mixes
            sizes.
    """
    request.known_split()
    root = request.path()
    files = files_of(root, SUFFIXES, "image files")
    inspected = inspect(root, *fingerprint(root, files))
    report, kept = judge(
        root,
        files,
        findings(files, inspected, request.geometry, request.min_side),
        on_bad=request.on_bad,
        keep_duplicates=request.keep_duplicates,
    )
    files = [files[position] for position in kept]
    inspected = [inspected[position] for position in kept]
    shape = common_shape(root, files, inspected, request.geometry)

    parts, classes = parts_and_classes(files)
    chosen = request.members(parts, [one.digest for one in inspected])
    pixels = FilePixels(root, [files[i] for i in chosen], request.geometry, shape)
    if request.in_memory:
        pixels = ArrayPixels(pixels.read(np.arange(len(pixels))), BYTE)
    return request.opened(pixels, **labels_of(classes, chosen), report=report)


def files_of(root, suffixes, kind):
    """Lists the files of a kind in a folder, by their suffix; hidden ones are passed over.

    Args:
        root: the folder.
        suffixes: ".png", ...: lower case.
        kind: "image files", for errors.

    Returns:
        Paths within it, sorted, with "/" between their parts.

    Raises:
        DataError: it is missing, not a folder, or has none.
    """
    if not root.is_dir():
        came = "a file" if root.exists() else "nothing there"
        raise DataError(f"{root}: expected a folder of {kind}, got {came}")
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        within = os.path.relpath(folder, root)
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes:
                path = name if within == "." else os.path.join(within, name)
                found.append(path.replace(os.sep, "/"))
    if not found:
        raise DataError(f"{root}: no {kind} in it; expected {', '.join(s[1:] for s in suffixes)}")
    return sorted(found)


def fingerprint(root, files):
    """Tells a folder that was inspected before from one that changed since.

    Args:
        root: the folder.
        files: paths within it.

    Returns:
        `(files, facts)`: tuples, the second of each file's size and time of change.
    """
    facts = []
    for name in files:
        try:
            status = os.stat(root / name)
            facts.append((status.st_size, status.st_mtime_ns))
        except OSError:
            facts.append(None)
    return tuple(files), tuple(facts)


@functools.lru_cache(maxsize=2)
def inspect(root, files, facts):
    """Decodes every file once; the splits of one folder share the result.

    Args:
        root: the folder.
        files: paths within it.
        facts: see `fingerprint`; only tells this call from another.

    Returns:
        A tuple of `Inspected`.
    """
    del facts
    inspected = []
    with concurrent.futures.ThreadPoolExecutor(THREADS, "inspect") as threads:
        for start in range(0, len(files), QUEUED):
            part = files[start : start + QUEUED]
            inspected += threads.map(lambda name: inspect_file(root / name), part)
    return tuple(inspected)


def inspect_file(path):
    """Reads, hashes and decodes one file.

    Args:
        path: the file.

    Returns:
        An `Inspected`.
    """
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            turned = image.getexif().get(ORIENTATION, 1) in SIDEWAYS
            mode = image.mode
            width, height = image.size[::-1] if turned else image.size
    except Exception as error:  # Pillow's decoders raise whatever they like
        return Inspected(said(error))
    return Inspected(None, hashlib.blake2b(content, digest_size=16).digest(), mode, height, width)


# EXIF's tag, and its values that swap height and width.
ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)


def said(error):
    """Puts an exception of Pillow's into a few words, without the object's address."""
    text = str(error) or type(error).__name__
    return "not an image" if text.startswith("cannot identify image file") else text


def findings(files, inspected, geometry, min_side):
    """Finds the files that cannot be used.

    Args:
        files: paths.
        inspected: an `Inspected` each.
        geometry: a `Geometry`.
        min_side: the least height and width.

    Returns:
        path -> (kind, reason), as `judge` takes it.
    """
    counts = {1: 0, 3: 0}
    for one in inspected:
        if one.error is None and natural_channels(one.mode):
            counts[natural_channels(one.mode)] += 1
    usual = 1 if counts[1] > counts[3] else 3
    kinds = {1: "grey", 3: "colour", None: "neither grey nor colour of 8 bits"}
    found, first = {}, {}
    for name, one in zip(files, inspected, strict=True):
        if one.error is not None:
            found[name] = ("unreadable", one.error)
            continue
        channels = natural_channels(one.mode)
        original = first.setdefault(one.digest, name)
        if original != name:
            found[name] = ("duplicate", f"same bytes as {original}")
        elif channels is None or (geometry.channels is None and channels != usual):
            remedy = "" if channels is None else f" among {kinds[usual]}; channels={usual} converts"
            found[name] = ("wrong_mode", f"{one.mode} is {kinds[channels]}{remedy}")
        elif min(one.height, one.width) < min_side:
            found[name] = ("tiny", f"{one.height}x{one.width}, min_side is {min_side}")
        elif not geometry.fits(one.height, one.width):
            found[name] = ("tiny", f"{one.height}x{one.width}, the crop is {geometry.crop}")
    return found


def common_shape(root, files, inspected, geometry):
    """Checks that all pictures come out of one shape.

    Args:
        root: the folder, for the error.
        files: paths within it.
        inspected: an `Inspected` each.
        geometry: a `Geometry`.

    Returns:
        `(height, width, channels)`.

    Raises:
        DataError: they do not.
    """
    shapes = {}
    for name, one in zip(files, inspected, strict=True):
        shape = geometry.output(one.height, one.width, natural_channels(one.mode))
        shapes.setdefault(shape, name)
    if len(shapes) > 1:
        (shape, name), (other, other_name) = list(shapes.items())[:2]
        raise DataError(
            f"{root}: mixes sizes: {name} is {shape[0]}x{shape[1]}, {other_name} is "
            f"{other[0]}x{other[1]}; give size (and crop='square' to keep proportions)"
        )
    return next(iter(shapes))


def labels_of(classes, chosen):
    """Numbers the classes, in the order of their names.

    Args:
        classes: the class of each file, or None where there are none.
        chosen: positions of the files of a split.

    Returns:
        `labels`, `class_names` and `num_classes` of a `Dataset`: a dict, empty without classes.
    """
    if not classes:
        return {}
    names = sorted(set(classes))
    numbers = {name: number for number, name in enumerate(names)}
    labels = np.array([numbers[classes[position]] for position in chosen], np.int32)
    return {"labels": labels, "class_names": names, "num_classes": len(names)}


def parts_and_classes(files):
    """Reads splits and classes from sub-folders.

    Args:
        files: paths with "/" between their parts.

    Returns:
        A split's name for each file, and a class name for each, or None without classes.
    """
    steps = [name.split("/")[:-1] for name in files]
    tops = {step[0] if step else "" for step in steps}
    parts = ["train"] * len(files)
    if tops <= set(SPLIT_FOLDERS) and "train" in {SPLIT_FOLDERS[top] for top in tops}:
        parts = [SPLIT_FOLDERS[step[0]] for step in steps]
        steps = [step[1:] for step in steps]
    if not all(steps) or len({step[0] for step in steps}) < 2:
        return parts, None
    return parts, [step[0] for step in steps]

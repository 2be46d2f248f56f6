"""A NumPy `.npz` file of images, and of labels if it has them."""

import hashlib
import zipfile

import numpy as np

from keras_gen.data.cleaning import judge
from keras_gen.data.errors import DataError, nearest
from keras_gen.data.geometry import BYTE

# Keras' own `mnist.npz` names its arrays x_train, y_train, x_test, y_test.
OWN_SPLITS = {
    "train": ("x_train", "y_train"),
    "validation": ("x_validation", "y_validation"),
    "test": ("x_test", "y_test"),
}
ONE_ARRAY = (("images", "labels"), ("x", "y"), ("arr_0", "arr_1"))


def load(request):
    """Loads `npz:<path>`.

    The file holds `images` (or `x`, `arr_0`) and perhaps `labels` (`y`, `arr_1`), to be split by
    content; or `x_train`, `x_test` and perhaps `x_validation`, with `y_...`, split as they are.
    Images are `(count, height, width)` or `(count, height, width, channels)`: integers 0 to 255,
    booleans, or floats in `source_range`, 0 to 1 unless said otherwise. Pickled objects are never
    read.

    Args:
        request: a `Request`.

    Returns:
        A `Dataset`.

    Raises:
        DataError: the file or an array in it is not of this kind.
    """
    request.known_split()
    path = request.path()
    arrays = read(path)
    pairs = {part: keys for part, keys in OWN_SPLITS.items() if keys[0] in arrays}
    if not pairs:
        pairs = {"train": next((keys for keys in ONE_ARRAY if keys[0] in arrays), None)}
    if not pairs.get("train"):
        keys = ["images", "x", "x_train"]
        found = ", ".join(arrays) or "nothing"
        guess = next((n for key in arrays if (n := nearest(key, keys))), "")
        raise DataError(f"{path}: expected an array {', '.join(keys)}; it holds {found}{guess}")

    images, limits, names, parts, labels = [], None, [], [], []
    for part, (image_key, label_key) in pairs.items():
        pixels, limits = checked_images(f"{path}: {image_key}", arrays[image_key], request)
        images.append(pixels)
        names += [f"{image_key}[{position}]" for position in range(len(pixels))]
        parts += [part] * len(pixels)
        if label_key in arrays:
            labels.append(checked_labels(f"{path}: {label_key}", arrays[label_key], len(pixels)))
    if len({(a.shape[1:], a.dtype) for a in images}) > 1:
        shapes = ", ".join(f"{keys[0]} {arrays[keys[0]].shape}" for keys in pairs.values())
        raise DataError(f"{path}: expected images of one shape and type, got {shapes}")
    if labels and len(labels) < len(pairs):
        expected = ", ".join(keys[1] for keys in pairs.values())
        raise DataError(f"{path}: expected labels for each split or for none: {expected}")
    images = np.concatenate(images) if len(images) > 1 else images[0]
    labels = np.concatenate(labels) if labels else None

    if min(images.shape[1:3]) < request.min_side:
        raise DataError(
            f"{path}: images are {images.shape[1]}x{images.shape[2]}, smaller than "
            f"min_side {request.min_side}; lower min_side"
        )
    digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
    report, kept = judge(
        path,
        names,
        findings(images, names, digests),
        on_bad=request.on_bad,
        keep_duplicates=request.keep_duplicates,
    )
    chosen = np.array(kept)[
        request.members(
            [parts[position] for position in kept], [digests[position] for position in kept]
        )
    ]
    return request.dataset(
        images[chosen],
        limits,
        labels=None if labels is None else labels[chosen],
        num_classes=None if labels is None else int(labels.max()) + 1,
        report=report,
    )


def read(path):
    """Reads every array of an npz file, none of them pickled.

    Args:
        path: the file.

    Returns:
        A dict: name -> array.

    Raises:
        DataError: there is no such file, it is no npz, or it holds pickled objects.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a .npz of images")
    try:
        # NumPy leaves a file that it opened itself open where it turns out to be damaged.
        with open(path, "rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise DataError(f"{path}: expected a .npz of named arrays, got a single .npy")
            return {key: file[key] for key in file.files}
    except DataError:
        raise
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        if "pickle" in str(error):
            raise DataError(
                f"{path}: holds pickled objects or is no npz; pickles are never read, save plain "
                f"number arrays with numpy.savez"
            ) from error
        raise DataError(f"{path}: cannot be read as npz ({error})") from error


def checked_images(where, pixels, request):
    """Reads an array as images: bytes stay bytes, all else becomes float32.

    Args:
        where: file and key, for errors.
        pixels: the array as stored.
        request: a `Request`, for its `source_range`.

    Returns:
        `(count, height, width, channels)` uint8 or float32, and their `(lowest, highest)`.

    Raises:
        DataError: its shape, type or range is not that of images.
    """
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or 0 in pixels.shape:
        raise DataError(
            f"{where}: expected (count, height, width) or (count, height, width, channels), "
            f"got {pixels.shape}"
        )
    if pixels.shape[3] not in (1, 3, 4):
        raise DataError(
            f"{where}: expected 1, 3 or 4 channels last, got {pixels.shape}; move the channel axis"
        )
    if pixels.dtype == bool:
        return pixels.astype(np.uint8), request.source_range or (0, 1)
    if pixels.dtype.kind not in "iuf":
        raise DataError(f"{where}: expected integers or floats, got {pixels.dtype}")
    default = (0.0, 1.0) if pixels.dtype.kind == "f" else BYTE
    limits = request.source_range or default
    finite = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    if finite.size and (finite.min() < limits[0] or finite.max() > limits[1]):
        raise DataError(
            f"{where}: {pixels.dtype} expected from {limits[0]:g} to {limits[1]:g}, got "
            f"{finite.min():g} to {finite.max():g}; name its range with source_range"
        )
    bytes_enough = pixels.dtype.kind in "iu" and limits[0] >= 0 and limits[1] <= 255
    return pixels.astype(np.uint8 if bytes_enough else np.float32, copy=False), limits


def checked_labels(where, labels, count):
    """Reads an array as labels.

    Args:
        where: file and key, for errors.
        labels: the array as stored.
        count: how many images there are.

    Returns:
        int32 `(count,)`.

    Raises:
        DataError: they are not one class number an image.
    """
    flat = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.shape != (count,):
        raise DataError(f"{where}: expected one label for each of {count} images, {labels.shape}")
    if flat.dtype.kind not in "iub" or flat.min() < 0:
        raise DataError(f"{where}: expected class numbers from 0, got {labels.dtype}")
    return flat.astype(np.int32)


def findings(images, names, digests):
    """Finds images with NaN or infinity, and copies of an image before them.

    Args:
        images: `(count, height, width, channels)`.
        names: the name of each.
        digests: the digest of each.

    Returns:
        name -> (kind, reason), as `judge` takes it.
    """
    found = {}
    if images.dtype.kind == "f":
        for position in np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3))):
            wrong = "NaN" if np.isnan(images[position]).any() else "infinity"
            found[names[position]] = ("unreadable", f"holds {wrong}")
    first = {}
    for name, digest in zip(names, digests, strict=True):
        original = first.setdefault(digest, name)
        if original != name and name not in found:
            found[name] = ("duplicate", f"same pixels as {original}")
    return found

"""Fashion-MNIST: from Debian's files where they are installed, else what TFDS has prepared.

Xiao, Rasul and Vollgraf 2017. Debian's package is `dataset-fashion-mnist`.
"""

import gzip
import hashlib
import pathlib
import struct
import zlib

import numpy as np

from keras_gen.data.errors import DataError
from keras_gen.data.sources import tfds
from keras_gen.data.splits import held_out

DEBIAN = pathlib.Path("/usr/share/datasets/fashion-mnist")
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
CLASS_NAMES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]

# The published files: when gzip wrote them, and what TFDS registers as their SHA-256.
PUBLISHED = {
    "train-images-idx3-ubyte.gz": (
        1504176606,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    "train-labels-idx1-ubyte.gz": (
        1504176606,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    "t10k-images-idx3-ubyte.gz": (
        1504176627,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        1504176627,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
}


def load(request):
    """Loads Fashion-MNIST: 60,000 to train on, 10,000 to test, as published.

    Args:
        request: a `Request`; "validation" is cut from the 60,000, class by class; `data_dir` may
            hold the four idx files, or what `prepare` wrote.

    Returns:
        A `Dataset` of `(28, 28, 1)`.

    Raises:
        DataError: it is neither installed nor prepared, or a file is damaged.
    """
    split = request.known_split()
    folder = next((f for f in (request.data_dir, DEBIAN) if f is not None and complete(f)), None)
    if folder is None:
        return tfds.load(request, "fashion_mnist", "keras-gen data prepare fashion_mnist")
    images, labels = (idx(folder / name) for name in FILES["test" if split == "test" else "train"])
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DataError(f"{folder}: {images.shape} images with {labels.shape} labels")
    images = images[..., None]
    if split != "test":
        chosen = held_out(request.name, labels, split, request.validation_fraction, request.seed)
        if len(chosen) < len(labels):
            images, labels = images[chosen], labels[chosen]
    return request.dataset(
        images,
        (0, 255),
        labels=labels.astype(np.int32),
        num_classes=10,
        class_names=CLASS_NAMES,
        licence="MIT",
    )


def prepare(data_dir=None, file_format="array_record"):
    """Prepares Fashion-MNIST for `tfds.load` and `tfds.data_source`, without a network if it can.

    Debian's files are the published ones but for the name and time in their gzip header. Both are
    written back, so TFDS finds the bytes that it knows, by SHA-256, and downloads nothing.

    Args:
        data_dir: the TFDS folder; None for TFDS' own default.
        file_format: as in `tfds.prepare`.

    Returns:
        The `pathlib.Path` of the prepared data set.

    Raises:
        DataError: an installed file is not the published one, or TFDS cannot prepare.
    """
    if complete(DEBIAN):
        manual = tfds.folder(data_dir) / "downloads" / "manual"
        manual.mkdir(parents=True, exist_ok=True)
        for name in PUBLISHED:
            (manual / name).write_bytes(published(DEBIAN / name))
    return tfds.prepare("fashion_mnist", data_dir, file_format)


def published(path):
    """Restores the published file from Debian's.

    Args:
        path: one of the four, as Debian installs it.

    Returns:
        The bytes of the published file.

    Raises:
        DataError: the SHA-256 of what comes out is not the published one.
    """
    written, expected = PUBLISHED[path.name]
    unix = 3
    name_follows = 8
    header = struct.pack("<2sBBIBB", b"\x1f\x8b", zlib.DEFLATED, name_follows, written, 0, unix)
    bare_header = 10
    content = header + path.stem.encode() + b"\0" + path.read_bytes()[bare_header:]
    came = hashlib.sha256(content).hexdigest()
    if came != expected:
        raise DataError(
            f"{path}: expected the published file, SHA-256 {expected}, got {came}; "
            f"reinstall dataset-fashion-mnist"
        )
    return content


def complete(folder):
    """Whether a folder holds the four idx files."""
    return all((folder / name).is_file() for name in PUBLISHED)


def idx(path):
    """Reads a gzipped idx file of bytes.

    Args:
        path: the file.

    Returns:
        uint8 array of the shape that its header gives.

    Raises:
        DataError: the file is damaged or not idx.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); install it again") from error
    unsigned_byte = b"\0\0\x08"
    if content[:3] != unsigned_byte or len(content) < 4 + 4 * content[3]:
        raise DataError(f"{path}: expected an idx file of bytes, got {content[:4]!r}")
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    pixels = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
    if pixels.size != np.prod(shape):
        raise DataError(f"{path}: its header says {shape}, it holds {pixels.size} bytes")
    return pixels.reshape(shape)

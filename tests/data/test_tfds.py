"""TFDS: the genuine Fashion-MNIST from Debian's files, and the shapes of others by its mocks."""

import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from keras_gen import data
from keras_gen.data import DataError
from keras_gen.data.sources import fashion_mnist

tfds = pytest.importorskip("tensorflow_datasets")

# TFDS and what it imports warn of their own affairs. Once for all backends: it has TensorFlow
# prepare what NumPy reads, whichever backend Keras is on.
pytestmark = [pytest.mark.slow, pytest.mark.parity, pytest.mark.filterwarnings("default")]

debian = pytest.mark.skipif(
    not fashion_mnist.complete(fashion_mnist.DEBIAN), reason="needs dataset-fashion-mnist"
)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    pytest.importorskip("tensorflow")
    data_dir = tmp_path_factory.mktemp("tfds")
    path = data.prepare("fashion_mnist", data_dir)
    assert path == data_dir / "fashion_mnist" / path.name
    assert list(path.glob("*.array_record*"))
    assert data.prepare("fashion_mnist", data_dir) == path
    return data_dir


def pairs(dataset):
    """Images with their labels, whatever their order: TFDS shuffles the published one."""
    images, labels = dataset.arrays()
    return sorted(zip(map(bytes, images), labels.tolist(), strict=True))


@debian
def test_genuine_data_source(prepared):
    source = tfds.data_source("fashion_mnist", split="test", data_dir=prepared, download=False)
    ours = data.load("tfds:fashion_mnist", "test", data_dir=prepared)
    np.testing.assert_allclose(ours.images([7])[0], source[7]["image"] / 255.0, atol=1e-7)
    assert ours.labels([7])[0] == source[7]["label"]
    assert ours.class_names == fashion_mnist.CLASS_NAMES
    assert pairs(ours) == pairs(data.load("fashion_mnist", "test"))


@debian
def test_genuine_load(prepared, tmp_path):
    pytest.importorskip("tensorflow")
    # A third of the work is unpacking, which is done.
    shutil.copytree(prepared / "downloads", tmp_path / "downloads")
    data.prepare("fashion_mnist", tmp_path, file_format="tfrecord")
    examples = tfds.load("fashion_mnist", split="test", data_dir=tmp_path, download=False)
    first = next(iter(tfds.as_numpy(examples.take(1))))
    ours = data.load("tfds:fashion_mnist", "test", data_dir=tmp_path)
    np.testing.assert_allclose(ours.images([0])[0], first["image"] / 255.0, atol=1e-7)
    assert ours.labels([0])[0] == first["label"]
    assert pairs(ours) == pairs(data.load("fashion_mnist", "test"))
    with pytest.raises(DataError, match="is prepared as TFRecord.*in_memory=True"):
        data.load("tfds:fashion_mnist", "test", data_dir=tmp_path, in_memory=False)


@debian
def test_fashion_mnist_falls_back_on_what_was_prepared(prepared, monkeypatch, tmp_path):
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path)
    assert len(data.load("fashion_mnist", "test", data_dir=prepared)) == 10000
    with pytest.raises(DataError, match="run: keras-gen data prepare fashion_mnist"):
        data.load("fashion_mnist", "test", data_dir=tmp_path)


@debian
def test_records_are_read_in_memory_or_not_alike(prepared):
    options = {"data_dir": prepared, "validation_fraction": 0.01, "size": 14}
    lazy = data.load("tfds:fashion_mnist", "validation", in_memory=False, **options)
    held = data.load("tfds:fashion_mnist", "validation", in_memory=True, **options)
    assert len(lazy) == 600 and lazy.shape == (14, 14, 1)
    chosen = np.array([5, 3, 599])
    np.testing.assert_array_equal(lazy.images(chosen), held.images(chosen))
    np.testing.assert_array_equal(lazy.labels(), held.labels())
    train = data.load("tfds:fashion_mnist", "train", in_memory=False, **options)
    assert len(train) == 59400


@debian
def test_any_split_of_tfds(prepared):
    assert len(data.load("tfds:fashion_mnist", "test[:1%]", data_dir=prepared)) == 100
    with pytest.raises(DataError, match="split: tfds:fashion_mnist: Unknown split 'val'"):
        data.load("tfds:fashion_mnist", "val", data_dir=prepared)


@debian
def test_prepared_records_are_read_without_tensorflow(prepared):
    script = f"""
        import importlib.machinery, sys

        class Absent:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name.partition(".")[0] != "tensorflow":
                    return importlib.machinery.PathFinder.find_spec(name, path, target)

        sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Absent
        import keras_gen.data
        loaded = keras_gen.data.load("tfds:fashion_mnist", "test[:1%]", data_dir={str(prepared)!r})
        assert loaded.images().shape == (100, 28, 28, 1)
        assert "tensorflow" not in sys.modules
    """
    environment = {"KERAS_BACKEND": "jax", "PATH": "/usr/bin:/bin"}
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_mocked_cifar10():
    pytest.importorskip("tensorflow")
    with tfds.testing.mock_data(num_examples=7):
        loaded = data.load("tfds:cifar10", "test", value_range=(-1, 1))
        assert (len(loaded), loaded.shape, loaded.num_classes) == (7, (32, 32, 3), 10)
        images, labels = loaded.arrays()
    assert images.min() >= -1 and images.max() <= 1 and images.std() > 0.1
    assert labels.shape == (7,) and labels.max() < 10


def test_mocked_celeb_a_has_attributes_and_no_label():
    pytest.importorskip("tensorflow")
    with tfds.testing.mock_data(num_examples=3):
        raw = tfds.data_source("celeb_a", split="train")[0]
        faces = data.load("tfds:celeb_a", size=64, crop=178, in_memory=False)
        assert faces.shape == (64, 64, 3) and faces.labels() is None
        expected = data.geometry.Geometry((64, 64), None, (178, 178)).pixels(raw["image"], (0, 255))
        np.testing.assert_allclose(faces.images([0])[0], expected / 255.0, atol=1e-7)
        smiles = data.load("tfds:celeb_a", label_key="attributes/Smiling", in_memory=False)
        assert smiles.num_classes == 2
        assert smiles.labels([0])[0] == raw["attributes"]["Smiling"]
        with pytest.raises(DataError, match="did you mean 'Smiling'"):
            data.load("tfds:celeb_a", label_key="attributes/Smilling")
        with pytest.raises(DataError, match="crop: tfds:celeb_a has images of 218x178"):
            data.load("tfds:celeb_a", crop=200)
        with pytest.raises(DataError, match="expected a class number"):
            data.load("tfds:celeb_a", label_key="attributes")


@pytest.mark.parametrize(
    "name, told",
    [
        ("tfds:cifar1O", "TFDS has no such data set; did you mean 'cifar10'"),
        ("tfds:imdb_reviews", "expected one image a record"),
        ("tfds:oxford_flowers102", "has images of many sizes.*give size"),
        ("tfds:cifar10", "is not prepared in .*; run: keras-gen data prepare tfds:cifar10"),
    ],
)
def test_bad_names(tmp_path, name, told):
    with pytest.raises(DataError, match=told):
        data.load(name, data_dir=tmp_path)

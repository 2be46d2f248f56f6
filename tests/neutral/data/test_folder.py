"""Folders of images: labels, cleaning, splits, and memory that does not grow with the folder."""

import numpy as np
import pytest
from PIL import Image

from keras_gen import data
from keras_gen.data import DataError


def pixels(seed, height=8, width=8, channels=3):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def draw(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


@pytest.fixture
def zoo(tmp_path):
    for number in range(12):
        kind = ("ape", "bee", "cat")[number % 3]
        draw(tmp_path / kind / f"{number:02}.png", pixels(number))
    (tmp_path / "readme.txt").write_text("not an image, and not called one")
    return tmp_path


def test_pixels_and_labels_from_sub_folders(zoo):
    loaded = data.load(f"folder:{zoo}", test_fraction=0.0, channels=3)
    assert (len(loaded), loaded.shape, loaded.num_classes) == (12, (8, 8, 3), 3)
    assert loaded.class_names == ["ape", "bee", "cat"]
    assert loaded.labels().tolist() == [0] * 4 + [1] * 4 + [2] * 4
    expected = np.stack([pixels(number) for number in (0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11)])
    np.testing.assert_allclose(loaded.images(), expected / 255.0, atol=1e-7)
    assert str(loaded.report) == "12 files, all clean"


def test_a_picture_is_resized_by_pillow(tmp_path):
    draw(tmp_path / "a.png", pixels(0, 30, 20))
    loaded = data.load(f"folder:{tmp_path}", size=16, crop="square", channels=1)
    expected = Image.open(tmp_path / "a.png").convert("L").crop((0, 5, 20, 25))
    expected = expected.resize((16, 16), Image.Resampling.LANCZOS)
    np.testing.assert_allclose(loaded.images()[0, ..., 0], np.asarray(expected) / 255.0, atol=1e-7)


def test_the_cameras_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 270 degrees
    draw(tmp_path / "a.png", pixels(0, 8, 12), exif=exif)
    loaded = data.load(f"folder:{tmp_path}")
    assert loaded.shape == (12, 8, 3)
    expected = np.rot90(pixels(0, 8, 12), -1)
    np.testing.assert_allclose(loaded.images()[0], expected / 255.0, atol=1e-7)


def test_splits_are_disjoint_and_survive_renaming(zoo):
    options = {"test_fraction": 0.25, "validation_fraction": 1 / 3}

    def parts():
        return [
            {image.tobytes() for image in data.load(f"folder:{zoo}", split, **options).images()}
            for split in ("train", "validation", "test")
        ]

    before = parts()
    assert [len(part) for part in before] == [6, 3, 3]
    assert len(set.union(*before)) == 12
    for number, path in enumerate(sorted(zoo.rglob("*.png"))):
        path.rename(path.with_name(f"renamed-{50 - number}.png"))
    assert parts() == before


def test_folders_named_after_splits_are_kept(tmp_path):
    for number in range(8):
        top = "test" if number < 3 else "train"
        draw(tmp_path / top / "ab"[number % 2] / f"{number}.png", pixels(number))
    test = data.load(f"folder:{tmp_path}", "test")
    np.testing.assert_allclose(test.images([0])[0], pixels(0) / 255.0, atol=1e-7)
    assert test.labels().tolist() == [0, 0, 1] and test.class_names == ["a", "b"]
    assert len(data.load(f"folder:{tmp_path}", "train")) == 5
    with pytest.raises(DataError, match="has a test split of its own, got 0.2"):
        data.load(f"folder:{tmp_path}", test_fraction=0.2)


def test_images_beside_each_other_have_no_labels(tmp_path):
    for number in range(3):
        draw(tmp_path / f"{number}.png", pixels(number))
    loaded = data.load(f"folder:{tmp_path}")
    assert loaded.labels() is None and not loaded.has_labels
    assert loaded.name == f"folder:{tmp_path}"  # which batches with labels are refused by


@pytest.fixture
def dirty(tmp_path):
    for number in range(10):
        draw(tmp_path / f"{number}.png", pixels(number))
    (tmp_path / "broken.png").write_bytes((tmp_path / "0.png").read_bytes()[:-60])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.gif").write_text("hello")
    (tmp_path / "copy.png").write_bytes((tmp_path / "3.png").read_bytes())
    draw(tmp_path / "grey.png", pixels(50, channels=1))
    draw(tmp_path / "deep.png", pixels(51, channels=1).astype(np.uint16) * 257)
    draw(tmp_path / "dot.png", pixels(52, 1, 1))
    return tmp_path


def test_bad_images_are_refused_by_name(dirty):
    with pytest.raises(DataError) as error:
        data.load(f"folder:{dirty}")
    told = str(error.value)
    assert "7 of 17 files: 3 unreadable (broken.png: " in told
    assert "empty.jpg: not an image; text.gif: not an image" in told
    assert "1 duplicate (copy.png: same bytes as 3.png)" in told
    assert "2 wrong mode (deep.png: I;16 is neither grey nor colour" in told
    assert "grey.png: L is grey among colour; channels=3 converts" in told
    assert "1 tiny (dot.png: 1x1, min_side is 4)" in told
    assert told.endswith("load with on_bad='skip' or keep_duplicates=True") and "\n" not in told


def test_bad_images_are_skipped_and_counted(dirty):
    loaded = data.load(f"folder:{dirty}", on_bad="skip", test_fraction=0.0)
    assert len(loaded) == 10
    report = loaded.report
    assert report.counts == {"unreadable": 3, "duplicate": 1, "wrong_mode": 2, "tiny": 1}
    assert (report.seen, report.kept, report.action) == (17, 10, "skipped")
    assert report.unreadable == ("broken.png", "empty.jpg", "text.gif")
    expected = np.stack([pixels(number) for number in range(10)])
    np.testing.assert_allclose(loaded.images(), expected / 255.0, atol=1e-7)
    converted = data.load(f"folder:{dirty}", on_bad="skip", channels=3, keep_duplicates=True)
    assert converted.report.wrong_mode == ("deep.png",) and converted.report.kept == 12


def test_one_broken_file_alone(tmp_path):
    draw(tmp_path / "good.png", pixels(0))
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 2 files: 1 unreadable \(bad.png"):
        data.load(f"folder:{tmp_path}")
    (tmp_path / "good.png").unlink()
    with pytest.raises(DataError, match="no file is left"):
        data.load(f"folder:{tmp_path}", on_bad="skip")


def test_missing_empty_and_file(tmp_path):
    with pytest.raises(
        DataError, match="absent: expected a folder of image files, got nothing there"
    ):
        data.load("folder:absent", data_dir=tmp_path)
    with pytest.raises(DataError, match="no image files in it; expected avif, bmp"):
        data.load(f"folder:{tmp_path}")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="expected a folder of image files, got a file"):
        data.load(f"folder:{tmp_path}/file")


def test_mixed_sizes_need_a_size(tmp_path):
    draw(tmp_path / "a.png", pixels(0, 8, 8))
    draw(tmp_path / "b.png", pixels(1, 8, 9))
    with pytest.raises(DataError, match="a.png is 8x8, b.png is 8x9; give size"):
        data.load(f"folder:{tmp_path}")
    assert data.load(f"folder:{tmp_path}", size=4).shape == (4, 4, 3)
    assert data.load(f"folder:{tmp_path}", crop=8).shape == (8, 8, 3)


def test_a_picture_smaller_than_the_crop_is_tiny(tmp_path):
    draw(tmp_path / "a.png", pixels(0, 12, 12))
    draw(tmp_path / "b.png", pixels(1, 8, 12))
    loaded = data.load(f"folder:{tmp_path}", crop=10, on_bad="skip")
    assert loaded.report.tiny == ("b.png",)


def test_a_file_that_vanishes_is_named(zoo):
    loaded = data.load(f"folder:{zoo}", test_fraction=0.0)
    (zoo / "bee" / "04.png").unlink()
    with pytest.raises(DataError, match="04.png: can no longer be read"):
        loaded.images()


def test_a_changed_folder_is_inspected_again(zoo):
    assert len(data.load(f"folder:{zoo}", test_fraction=0.0)) == 12
    draw(zoo / "ape" / "new.png", pixels(99))
    assert len(data.load(f"folder:{zoo}", test_fraction=0.0)) == 13


def test_in_memory_gives_the_same(zoo):
    lazy = data.load(f"folder:{zoo}", value_range=(-1, 1))
    held = data.load(f"folder:{zoo}", value_range=(-1, 1), in_memory=True)
    np.testing.assert_array_equal(lazy.images(), held.images())

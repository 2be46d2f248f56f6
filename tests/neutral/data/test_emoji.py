"""Emoji of an npm package, made here as npm makes one: variants and copies stay together."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from keras_gen import data
from keras_gen.data import DataError

BASES, VARIANTS = 40, 2


def png(number, skin):
    """A disc of one colour, different for each, on nothing."""
    rows, columns = np.mgrid[:64, :64]
    inside = (rows - 32) ** 2 + (columns - 32) ** 2 < 400
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[inside] = (5 * number, 60 * skin, 30, 255)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def contents():
    """40 emoji with two variants each; number 7 is drawn as the second variant of number 3."""
    files, entries = {}, []
    for number in range(BASES):
        names = [f"{number:02d}{'-x' * skin}.png" for skin in range(1 + VARIANTS)]
        for skin, name in enumerate(names):
            files[f"img/twitter/64/{name}"] = (
                png(3, 2) if (number, skin) == (7, 0) else png(number, skin)
            )
        entries.append(
            {
                "unified": f"{number:02d}",
                "image": names[0],
                "category": "even" if number % 2 == 0 else "odd",
                "skin_variations": {str(i): {"image": name} for i, name in enumerate(names[1:])},
            }
        )
    entries.append({"unified": "99", "image": "not-drawn.png", "category": "odd"})
    files["emoji.json"] = json.dumps(entries).encode()
    return files


def pack(path, files):
    with tarfile.open(path, "w:gz") as package:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))
    return path


def number_and_skin(image):
    red, green, _ = np.rint(255 * image[32, 32]).astype(int)
    return red // 5, green // 60


def test_pictures_lie_on_white_and_have_their_category(tmp_path):
    part = data.load(f"emoji:{pack(tmp_path / 'e.tgz', contents())}")
    assert part.shape == (64, 64, 3) and part.licence == "CC BY 4.0"
    assert part.class_names == ["even", "odd"]
    images, labels = part.arrays()
    assert (images[:, 0, 0] == 1.0).all()
    for image, label in zip(images, labels, strict=True):
        assert label == number_and_skin(image)[0] % 2


def test_variants_and_copies_stand_in_one_split(tmp_path):
    path = pack(tmp_path / "e.tgz", contents())
    places = {}
    for split in ("train", "validation", "test"):
        part = data.load(f"emoji:{path}", split, test_fraction=0.3, validation_fraction=0.3)
        for image in part.images():
            known = number_and_skin(image)
            assert known not in places, "a picture stands there twice"
            places[known] = split
    assert len(places) == BASES * (1 + VARIANTS) - 1, "all, but the copy of (3, 2)"
    assert set(places.values()) == {"train", "validation", "test"}
    for number in range(BASES):
        assert len({places[n, skin] for n, skin in places if n == number}) == 1
    assert places[3, 0] == places[7, 1], "joined by the copy"


def test_pictures_are_cropped_once(tmp_path):
    path = pack(tmp_path / "e.tgz", contents())
    cropped = data.load(f"emoji:{path}", crop=48, size=24).images()
    images = data.load(f"emoji:{path}").images()[:, 8:56, 8:56]
    assert cropped.shape == (len(images), 24, 24, 3)
    np.testing.assert_allclose(cropped.mean(axis=(1, 2)), images.mean(axis=(1, 2)), atol=0.02)
    with pytest.raises(DataError, match=r"^crop: \(65, 65\) is more than a picture of 64x64"):
        data.load(f"emoji:{path}", crop=65)


def test_an_unpacked_package_is_the_same(tmp_path):
    files = contents()
    packed = data.load(f"emoji:{pack(tmp_path / 'e.tgz', files)}", size=16, channels=1)
    for name, content in files.items():
        file = tmp_path / "unpacked" / "package" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    for root in ("unpacked", "unpacked/package"):
        folder = data.load(f"emoji:{tmp_path / root}", size=16, channels=1)
        assert folder.shape == (16, 16, 1)
        np.testing.assert_array_equal(folder.images(), packed.images())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda files: files.pop("emoji.json"), ("no list emoji.json",)),
        (lambda files: files.update({"emoji.json": b"{"}), ("no list emoji.json",)),
        (lambda files: files.update({"emoji.json": b'{"a": 1}'}), ("expected emoji with image",)),
        (lambda files: files.update({"emoji.json": b"[]"}), ("names none of the 120 pictures",)),
        (
            lambda files: files.update({"img/twitter/64/05.png": b"no picture"}),
            ("05.png", "cannot be decoded"),
        ),
        (
            lambda files: [files.pop(n) for n in list(files) if n.endswith(".png")],
            ("no pictures img/.../64/*.png",),
        ),
    ],
)
def test_a_package_of_another_form_is_refused(tmp_path, change, words):
    files = contents()
    change(files)
    path = pack(tmp_path / "e.tgz", files)
    with pytest.raises(DataError) as error:
        for split in ("train", "test"):
            data.load(f"emoji:{path}", split)
    assert all(word in str(error.value) for word in (*words, "e.tgz")), str(error.value)


def test_what_is_no_package_is_refused(tmp_path):
    (tmp_path / "e.tgz").write_text("plain")
    with pytest.raises(DataError, match="cannot be read"):
        data.load(f"emoji:{tmp_path / 'e.tgz'}")
    with pytest.raises(DataError, match="no such file; npm pack emoji-datasource-twitter"):
        data.load("emoji:nowhere.tgz")

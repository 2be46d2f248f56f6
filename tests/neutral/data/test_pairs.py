"""Pairs of images: two folders, two packages, one picture; and pairs that were parted."""

import numpy as np
import pytest
from PIL import Image
from test_emoji import BASES, VARIANTS, contents, number_and_skin, pack, png
from test_folder import draw, pixels

from keras_gen import data
from keras_gen.data import DataError


@pytest.fixture
def maps(tmp_path):
    """Twelve pairs: inputs in colour, in two classes, and grey targets of another suffix."""
    for number in range(12):
        name = f"{'ab'[number % 2]}/{number:02}"
        draw(tmp_path / "input" / f"{name}.png", pixels(number))
        draw(tmp_path / "target" / f"{name}.bmp", pixels(100 + number, channels=1))
    return tmp_path


def numbers(images):
    """Which of `maps` an input is."""
    known = {pixels(number).tobytes(): number for number in range(12)}
    return [known[np.rint(255 * image[..., :3]).astype(np.uint8).tobytes()] for image in images]


# -- Two folders --------------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [None, True])
def test_a_pair_is_one_image_of_both_pictures(maps, in_memory):
    loaded = data.load(f"pairs:{maps}", test_fraction=0.0, in_memory=in_memory)
    assert (len(loaded), loaded.shape, loaded.input_channels) == (12, (8, 8, 4), 3)
    assert loaded.lazy is not bool(in_memory)
    assert loaded.class_names == ["a", "b"] and loaded.labels().tolist() == [0] * 6 + [1] * 6
    order = [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]
    images = loaded.images()
    for image, number in zip(images, order, strict=True):
        np.testing.assert_allclose(image[..., :3], pixels(number) / 255, atol=1e-6)
        np.testing.assert_allclose(image[..., 3], pixels(100 + number, channels=1) / 255, atol=1e-6)
    np.testing.assert_array_equal(loaded.images([3, 1]), images[[3, 1]])
    assert str(loaded.report) == "12 files, all clean"


def test_both_pictures_are_brought_to_one_shape(maps):
    loaded = data.load(f"pairs:{maps}", size=4, channels=1, value_range=(-1, 1), test_fraction=0.0)
    assert (loaded.shape, loaded.input_channels) == ((4, 4, 2), 1)
    grey = Image.fromarray(pixels(0)).convert("L").resize((4, 4), Image.Resampling.LANCZOS)
    np.testing.assert_allclose(loaded.images([0])[0, ..., 0], np.asarray(grey) / 127.5 - 1, 1e-5)


def test_splits_are_disjoint_and_pairs_that_share_a_picture_stand_in_one(maps):
    for target, like in ((3, 5), (5, 7)):
        draw(maps / "target" / f"b/{target:02}.bmp", pixels(100 + like, channels=1))
    places = {}
    for seed in range(4):
        for split in ("train", "validation", "test"):
            options = {"test_fraction": 0.3, "validation_fraction": 0.3, "seed": seed}
            for number in numbers(data.load(f"pairs:{maps}", split, **options).images()):
                places[seed, number] = split
        # 3 has the target that 5 had, and 5 that of 7: only 5 and 7 are alike.
        assert places[seed, 5] == places[seed, 7]
    assert len(places) == 4 * 12
    assert {places[seed, 3] == places[seed, 5] for seed in range(4)} == {True, False}


def test_splits_of_their_own_are_kept(tmp_path):
    for side in ("input", "target"):
        for number in range(6):
            top = "test" if number < 2 else "train"
            draw(tmp_path / side / top / f"{number}.png", pixels(number + 50 * (side == "target")))
    assert [len(data.load(f"pairs:{tmp_path}", s)) for s in ("train", "test")] == [4, 2]


def test_a_picture_without_its_partner_is_named_with_where_it_was_looked_for(maps):
    (maps / "target/b/05.bmp").unlink()
    (maps / "target/b/07.bmp").unlink()
    with pytest.raises(DataError) as error:
        data.load(f"pairs:{maps}")
    for words in ("input/b/05.png has no partner", f"b/05.* in {maps / 'target'}", "2 missing"):
        assert words in str(error.value)
    draw(maps / "target/b/05.bmp", pixels(0))
    draw(maps / "target/b/07.bmp", pixels(0))
    (maps / "input/a/00.png").unlink()
    with pytest.raises(DataError, match=r"target/a/00.bmp has no partner: looked for a/00.\* in"):
        data.load(f"pairs:{maps}")


def test_what_is_no_folder_of_pairs_is_refused(maps):
    with pytest.raises(DataError, match="nowhere/input: expected a folder of image files"):
        data.load("pairs:nowhere")
    with pytest.raises(DataError, match="expected two folders, input and target, got a, b"):
        data.load(f"pairs:{maps / 'input'}")
    with pytest.raises(DataError, match="input: pairs:.* has inputs of its own, got 'grey'"):
        data.load(f"pairs:{maps}", input="grey")
    draw(maps / "input/a/00.jpg", pixels(0))
    with pytest.raises(DataError, match="a/00.jpg and a/00.png have one name"):
        data.load(f"pairs:{maps}")


def test_sizes_must_agree(maps):
    for number in range(12):
        path = maps / "target" / f"{'ab'[number % 2]}/{number:02}.bmp"
        draw(path, pixels(100 + number, 10, 8, channels=1))
    with pytest.raises(DataError, match="inputs are 8x8, targets 10x8; give size"):
        data.load(f"pairs:{maps}")
    assert data.load(f"pairs:{maps}", size=8).shape == (8, 8, 4)


def test_pairs_that_cannot_be_used_are_skipped_as_pairs(maps):
    (maps / "target/a/02.bmp").write_text("no picture")
    for side, suffix in (("input", "png"), ("target", "bmp")):
        (maps / side / f"a/04.{suffix}").write_bytes((maps / side / f"a/00.{suffix}").read_bytes())
    with pytest.raises(DataError, match="1 unreadable .a/02: target/a/02.bmp: not an image.*1 dup"):
        data.load(f"pairs:{maps}")
    loaded = data.load(f"pairs:{maps}", on_bad="skip", test_fraction=0.0)
    assert numbers(loaded.images()) == [0, 6, 8, 10, 1, 3, 5, 7, 9, 11]
    assert loaded.report.unreadable == ("a/02",) and loaded.report.duplicate == ("a/04",)


# -- Two packages -------------------------------------------------------------------------------


def both_packages(folder):
    """Emoji in two styles: in the second, red and blue change places. 41 is only in one."""
    files = contents()
    swapped = {}
    for name, content in files.items():
        if not name.endswith(".png"):
            swapped[name] = content
            continue
        draw(folder / "picture.png", np.zeros((2, 2, 3), np.uint8))
        (folder / "picture.png").write_bytes(content)
        with Image.open(folder / "picture.png") as image:
            other = np.asarray(image)[..., [2, 1, 0, 3]]
        draw(folder / "picture.png", other)
        swapped[name.replace("twitter", "google")] = (folder / "picture.png").read_bytes()
    del swapped["img/google/64/20.png"]
    # 11 is drawn as 12 in the second style alone: they are not to be parted.
    swapped["img/google/64/11.png"] = swapped["img/google/64/12.png"]
    pack(folder / "twitter.tgz", files)
    pack(folder / "google.tgz", swapped)
    return "emoji_pairs:twitter.tgz, google.tgz"


def test_the_same_emoji_in_two_styles(tmp_path):
    source = both_packages(tmp_path)
    places = {}
    for split in ("train", "validation", "test"):
        part = data.load(
            source, split, data_dir=tmp_path, test_fraction=0.3, validation_fraction=0.3
        )
        assert part.shape == (64, 64, 6) and part.input_channels == 3
        assert part.licence == "CC BY 4.0 and Apache-2.0"
        images, labels = part.arrays()
        for image, label in zip(images, labels, strict=True):
            number, skin = number_and_skin(image[..., :3])
            assert (number, skin) not in places
            places[number, skin] = split
            assert part.class_names[label] == ("even", "odd")[number % 2]
            if (number, skin) != (11, 0):
                np.testing.assert_array_equal(image[..., 3:], image[..., 2::-1])
    assert len(places) == BASES * (1 + VARIANTS) - 2, "all, but the copy and the one undrawn"
    assert (20, 0) not in places and (20, 1) in places
    for number in range(BASES):
        assert len({places[n, skin] for n, skin in places if n == number}) == 1
    assert places[3, 0] == places[7, 1] and places[11, 1] == places[12, 1]


def test_a_grey_picture_of_a_package_comes_in_colour(tmp_path):
    files = contents()
    draw(tmp_path / "grey.png", np.full((64, 64), 7, np.uint8))
    files["img/twitter/64/02.png"] = (tmp_path / "grey.png").read_bytes()
    path = pack(tmp_path / "e.tgz", files)
    assert data.load(f"emoji:{path}").shape == (64, 64, 3)


@pytest.mark.parametrize("argument", ["one.tgz", "one.tgz,", "a,b,c"])
def test_two_packages_are_asked_for(argument):
    with pytest.raises(DataError, match="expected 'emoji_pairs:<input>,<target>', two packages"):
        data.load(f"emoji_pairs:{argument}")


def test_packages_without_an_emoji_in_common_are_refused(tmp_path):
    files = contents()
    pack(tmp_path / "a.tgz", files)
    import json

    entry = {"unified": "x", "image": "x.png", "category": "odd"}
    other = {"emoji.json": json.dumps([entry]).encode(), "img/google/64/x.png": png(1, 1)}
    pack(tmp_path / "b.tgz", other)
    with pytest.raises(DataError, match="have no emoji in common"):
        data.load("emoji_pairs:a.tgz,b.tgz", data_dir=tmp_path)


# -- One picture --------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    for number in range(6):
        draw(tmp_path / f"{number}.png", pixels(number))
    return f"folder:{tmp_path}"


@pytest.mark.parametrize("in_memory", [None, True])
def test_a_grey_input_is_the_luma_of_its_target(photos, in_memory):
    loaded = data.load(photos, input="grey", test_fraction=0.0, in_memory=in_memory)
    assert (loaded.shape, loaded.input_channels) == ((8, 8, 4), 1)
    assert loaded.lazy is not bool(in_memory)
    for number, image in enumerate(loaded.images()):
        np.testing.assert_allclose(image[..., 1:], pixels(number) / 255, atol=1e-6)
        luma = image[..., 1:] @ [0.299, 0.587, 0.114]  # ITU-R 601, rounded to bytes
        np.testing.assert_allclose(image[..., 0], luma, atol=0.51 / 255)


@pytest.mark.parametrize("factor", [None, 2])
def test_a_small_input_is_its_target_shrunk_and_enlarged_again(photos, factor):
    loaded = data.load(photos, input="small", input_factor=factor, test_fraction=0.0)
    assert (loaded.shape, loaded.input_channels) == ((8, 8, 6), 3)
    image = Image.fromarray(pixels(2))
    side = 8 // (factor or 4)
    for size in (side, 8):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(loaded.images([2])[0, ..., :3], np.asarray(image) / 255, atol=1e-6)


def test_pictures_of_any_source_become_pairs():
    loaded = data.load("digits", "test", input="small", input_factor=2, value_range=(-1, 1))
    assert loaded.shape == (8, 8, 2) and not loaded.lazy
    plain = data.load("digits", "test", value_range=(-1, 1))
    np.testing.assert_array_equal(loaded.images()[..., 1:], plain.images())
    np.testing.assert_array_equal(loaded.labels(), plain.labels())
    inputs = loaded.images()[..., 0]
    assert -1 <= inputs.min() < inputs.max() <= 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"input": "gray"}, "input: expected one of 'grey', 'small', got 'gray'; did you mean"),
        ({"input": "grey"}, "input: 'grey' needs pictures in colour, digits gives 1 channel"),
        (
            {"input": "small", "input_factor": 9},
            "input_factor: expected a whole number from 2 to 8",
        ),
        (
            {"input": "small", "input_factor": 1},
            "input_factor: expected a whole number from 2 to 8",
        ),
        ({"input_factor": 2}, "input_factor: only input = 'small' has one, got 2"),
        ({"unpaired": True}, "unpaired: digits has no pairs to part"),
    ],
)
def test_what_goes_with_no_picture_is_refused(options, told):
    with pytest.raises(DataError, match=told):
        data.load("digits", **options)


@pytest.mark.parametrize("options", [{"input": "grey"}, {"unpaired": True}])
def test_a_series_has_no_pairs(options):
    with pytest.raises(DataError, match="sp500 is a series of real numbers"):
        data.load("sp500", **options)


# -- Parted pairs -------------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [None, True])
def test_unpaired_training_inputs_stand_beside_others_targets(maps, in_memory):
    options = {"test_fraction": 0.25, "in_memory": in_memory}
    paired, parted = (
        data.load(f"pairs:{maps}", unpaired=unpaired, **options) for unpaired in (False, True)
    )
    before, after = paired.images(), parted.images()
    np.testing.assert_array_equal(after[..., 3:], before[..., 3:])
    np.testing.assert_array_equal(parted.labels(), paired.labels())
    assert sorted(numbers(after)) == sorted(numbers(before))
    assert not any(a == b for a, b in zip(numbers(after), numbers(before), strict=True))
    again = data.load(f"pairs:{maps}", unpaired=True, **options)
    np.testing.assert_array_equal(again.images([4, 2]), after[[4, 2]])
    tests = [data.load(f"pairs:{maps}", "test", unpaired=each, **options) for each in (False, True)]
    np.testing.assert_array_equal(*(test.images() for test in tests))


def test_the_order_of_parted_pairs_is_drawn_from_the_seed():
    orders = {
        seed: data.load("digits", input="small", unpaired=True, seed=seed)
        .images()[..., 0]
        .tobytes()
        for seed in (0, 1, 2)
    }
    assert len(set(orders.values())) == 3

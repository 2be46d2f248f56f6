"""Splits: disjoint, complete, of the promised size, and moved by nothing but the seed."""

import numpy as np
import pytest

from keras_gen.data import DataError
from keras_gen.data.splits import assign, by_content, held_out, stratified


def digests(count):
    return [f"image {number}".encode() for number in range(count)]


@pytest.mark.parametrize("fraction", [0.0, 0.1, 1 / 3, 0.5])
def test_stratified_takes_the_share_of_each_class(fraction):
    labels = np.repeat([0, 1, 2], [10, 35, 55])
    mask = stratified(labels, fraction, seed=3)
    assert mask.sum() == round(100 * fraction)
    shares = np.bincount(labels[mask], minlength=3)
    assert (np.abs(shares - fraction * np.array([10, 35, 55])) < 1).all()
    np.testing.assert_array_equal(mask, stratified(labels, fraction, seed=3))
    if fraction:
        assert (mask != stratified(labels, fraction, seed=4)).any()


def test_by_content_ignores_order_and_barely_notices_more_images():
    known = np.array(digests(1000), dtype=object)
    mask = by_content(known, 0.2, seed=0)
    assert mask.sum() == 200
    order = np.random.default_rng(0).permutation(1000)
    np.testing.assert_array_equal(by_content(known[order], 0.2, seed=0), mask[order])
    grown = by_content(digests(1010), 0.2, seed=0)[:1000]
    assert (grown != mask).sum() <= 10


def test_by_content_never_tears_copies_apart():
    copies = digests(3) * 4
    mask = by_content(copies, 0.5, seed=0)
    assert all(len(set(mask[number::3])) == 1 for number in range(3))


def test_assign_covers_all_without_overlap():
    chosen = [
        assign(
            "x",
            ["train"] * 100,
            digests(100),
            split,
            test_fraction=0.2,
            validation_fraction=0.25,
            seed=0,
        )
        for split in ("train", "validation", "test")
    ]
    assert [len(part) for part in chosen] == [60, 20, 20]
    np.testing.assert_array_equal(np.sort(np.concatenate(chosen)), np.arange(100))


def test_assign_keeps_the_sources_own_test():
    parts = ["train"] * 8 + ["test"] * 2
    options = {"test_fraction": None, "validation_fraction": 0.25, "seed": 0}
    np.testing.assert_array_equal(assign("x", parts, digests(10), "test", **options), [8, 9])
    assert len(assign("x", parts, digests(10), "train", **options)) == 6
    with pytest.raises(DataError, match="test_fraction: x has a test split of its own, got 0.1"):
        assign("x", parts, digests(10), "test", **options | {"test_fraction": 0.1})


def test_an_empty_split_names_its_fraction():
    options = {"test_fraction": 0.0, "validation_fraction": 0.0, "seed": 0}
    with pytest.raises(DataError, match="no 'test' images.*raise test_fraction"):
        assign("x", ["train"] * 3, digests(3), "test", **options)
    with pytest.raises(DataError, match="validation_fraction is 0.0; set it"):
        held_out("x", np.zeros(5), "validation", 0.0, seed=0)

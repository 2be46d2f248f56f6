"""Who is trained on and who is held out: a pure function of the seed and of what the images are."""

import hashlib

import numpy as np

from keras_gen.data.errors import DataError

SPLITS = ("train", "validation", "test")


def random_stream(seed, *place):
    """Opens the stream of random numbers that belongs to one place.

    Args:
        seed: a non-negative integer.
        place: non-negative integers that name the place: a purpose, an epoch, a batch.

    Returns:
        A `numpy.random.Generator`; the same seed and place always give the same numbers.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=place)))


def stratified(labels, fraction, seed):
    """Chooses a share of the examples, the same share of each class.

    Args:
        labels: integers `(count,)`; all the same where there are no classes.
        fraction: the share to choose, 0 to 1.
        seed: a non-negative integer.

    Returns:
        bool `(count,)`: True for `round(count * fraction)` examples.
    """
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    chosen = round(len(labels) * fraction)
    quotas = counts * (chosen / max(len(labels), 1))
    shares = np.floor(quotas).astype(int)
    # The places that rounding down left over go to the classes that lost most by it.
    for place in np.argsort(shares - quotas, kind="stable")[: chosen - shares.sum()]:
        shares[place] += 1
    mask = np.zeros(len(labels), bool)
    rng = random_stream(seed)
    for label, share in zip(classes, shares, strict=True):
        mask[rng.permutation(np.flatnonzero(labels == label))[:share]] = True
    return mask


def by_content(digests, fraction, seed):
    """Chooses a share of the examples by what they hold, whatever they are called.

    An image keeps its side when it is renamed or when others come, but for the few at the border;
    copies of one image are never torn apart.

    Args:
        digests: a bytes digest of each example.
        fraction: the share to choose, 0 to 1.
        seed: a non-negative integer.

    Returns:
        bool `(count,)`: True for `round(count * fraction)` examples, a few more where copies of
        one image would otherwise stand on both sides.
    """
    key = str(seed).encode()
    ranks = np.array([hashlib.blake2b(d, digest_size=8, key=key).hexdigest() for d in digests])
    chosen = round(len(ranks) * fraction)
    if chosen == 0:
        return np.zeros(len(ranks), bool)
    return ranks <= np.sort(ranks)[chosen - 1]


def joined(groups, digests):
    """Joins the groups that copies of one picture connect.

    Args:
        groups: the group of each example.
        digests: of each example's picture.

    Returns:
        The group of each, one name for all that hang together.
    """
    first, roots = {}, {}

    def root(group):
        while group in roots:
            group = roots[group]
        return group

    for group, digest in zip(groups, digests, strict=True):
        ours, theirs = root(group), root(first.setdefault(digest, group))
        if ours != theirs:
            roots[ours] = theirs
    return [root(group) for group in groups]


def assign(name, parts, digests, split, *, test_fraction, validation_fraction, seed):
    """Lists the examples of one split of a source that has no splits of its own, or only some.

    Args:
        name: the source, for errors.
        parts: for each example "train", "validation" or "test" as the source has it.
        digests: a bytes digest of each example.
        split: "train", "validation" or "test".
        test_fraction: share of all examples held out as "test"; None for 0.1, or for 0 where the
            source has a test split of its own.
        validation_fraction: share of the training examples held out as "validation".
        seed: of both choices.

    Returns:
        int `(count,)`: positions, rising.

    Raises:
        DataError: a fraction is asked of a source with that split of its own, or the split is
            empty.
    """
    parts = np.asarray(parts, dtype="<U10")
    digests = np.asarray(digests, dtype=object)
    own = set(parts)
    for part, fraction in (("test", test_fraction), ("validation", validation_fraction)):
        if part in own and fraction:
            raise DataError(
                f"{part}_fraction: {name} has a {part} split of its own, got {fraction}; "
                f"leave {part}_fraction out"
            )
    if "test" not in own:
        fraction = 0.1 if test_fraction is None else test_fraction
        pool = np.flatnonzero(parts == "train")
        parts[pool[by_content(digests[pool], fraction, seed)]] = "test"
    if "validation" not in own:
        pool = np.flatnonzero(parts == "train")
        # Another seed than the test's, or the validation set would be the test's neighbours.
        parts[pool[by_content(digests[pool], validation_fraction, seed + 1)]] = "validation"
    chosen = np.flatnonzero(parts == split)
    if not len(chosen):
        remedy = "" if split == "train" else f"; raise {split}_fraction"
        raise DataError(
            f"split: {name} has no {split!r} images ({len(parts)} images in all, "
            f"test_fraction {test_fraction}, validation_fraction {validation_fraction}){remedy}"
        )
    return chosen


def held_out(name, labels, split, validation_fraction, seed):
    """Lists the examples of "train" or "validation" cut, class by class, from a training set.

    Args:
        name: the source, for errors.
        labels: integers `(count,)` of the training set.
        split: "train" or "validation".
        validation_fraction: share held out.
        seed: of the choice.

    Returns:
        int `(count,)`: positions, rising.

    Raises:
        DataError: nothing is held out, and "validation" is asked for.
    """
    mask = stratified(labels, validation_fraction, seed)
    if split == "validation" and not mask.any():
        raise DataError(
            f"split: {name} has no 'validation' images while validation_fraction is "
            f"{validation_fraction}; set it, for example to 0.1"
        )
    return np.flatnonzero(mask if split == "validation" else ~mask)

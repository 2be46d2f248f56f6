"""Batches: a permutation an epoch, the same wherever one resumes, and so inside Keras' fit."""

import tracemalloc

import keras
import numpy as np
import pytest
from PIL import Image

from keras_gen import data
from keras_gen.data import Batches, DataError
from keras_gen.data.dataset import ArrayPixels, Dataset


def numbered(count=10, labels=True):
    """Image `i` is 1x1 and holds `i`; so does its label."""
    array = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)
    return Dataset(
        "numbers",
        "train",
        ArrayPixels(array, (0, 1000)),
        (0, 1000),
        labels=np.arange(count, dtype=np.int32) if labels else None,
    )


def epoch(batches):
    return [batch.ravel().round().astype(int).tolist() for batch in batches]


def test_an_epoch_is_a_permutation_and_the_next_another():
    batches = numbered(10).batches(4, shuffle_seed=7)
    assert len(batches) == 3
    first = epoch(batches)
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert sorted(sum(first, [])) == list(range(10))
    batches.on_epoch_end()
    assert batches.epoch == 1
    second = epoch(batches)
    assert sorted(sum(second, [])) == list(range(10)) and second != first
    batches.epoch = 0
    assert epoch(batches) == first


def test_without_a_seed_the_order_stays():
    batches = numbered(5).batches(2)
    assert epoch(batches) == [[0, 1], [2, 3], [4]]
    batches.on_epoch_end()
    assert epoch(batches) == [[0, 1], [2, 3], [4]]


def test_labels_belong_to_their_images():
    for images, labels in numbered(9).batches(4, shuffle_seed=1, labels=True):
        np.testing.assert_array_equal(images.ravel(), labels)
        assert images.dtype == np.float32 and labels.dtype == np.int32


def test_drop_last():
    assert [len(batch) for batch in epoch(numbered(10).batches(4, drop_last=True))] == [4, 4]


def test_resumed_anywhere_it_goes_on_the_same():
    augment = data.augmentation(flip="both", crop=1, rotate=15)
    digits = data.load("digits", "test")
    whole = digits.batches(50, shuffle_seed=3, augment=augment)
    whole.epoch = 2
    expected = [whole[i] for i in range(len(whole))]
    for start in range(len(whole)):
        resumed = digits.batches(50, shuffle_seed=3, augment=augment)
        resumed.epoch = 2
        resumed.start_batch = start
        assert len(resumed) == len(whole) - start
        for ours, theirs in zip(resumed, expected[start:], strict=True):
            np.testing.assert_array_equal(ours, theirs)
        resumed.on_epoch_end()
        assert (resumed.epoch, resumed.start_batch, len(resumed)) == (3, 0, len(whole))


def test_prefetched_batches_are_the_same_in_any_order():
    digits = data.load("digits", "test")
    options = {"shuffle_seed": 3, "augment": data.augmentation(crop=1)}
    plain = digits.batches(50, prefetch=False, **options)
    ahead = digits.batches(50, **options)
    assert ahead.prefetch and not digits.batches(50).prefetch
    for index in (0, 1, 2, 5, 3, 4, 0):
        np.testing.assert_array_equal(ahead[index], plain[index])
    ahead.epoch = plain.epoch = 1
    np.testing.assert_array_equal(ahead[1], plain[1])


def test_augmentation_differs_by_epoch_and_by_batch():
    still = np.zeros((6, 1, 1, 1), np.float32)
    dataset = Dataset("zeros", "train", ArrayPixels(still, (0, 1)), (0, 1))

    def noise(images, rng):
        return images + rng.random(images.shape)

    batches = dataset.batches(2, shuffle_seed=0, augment=noise)
    drawn = [batches[0], batches[1], batches[2]]
    batches.epoch = 1
    drawn.append(batches[0])
    assert len(np.unique(np.concatenate(drawn))) == 8


@pytest.mark.parametrize(
    "options, told",
    [
        ({"batch_size": 0}, "batch_size: expected 1 or more, got 0"),
        ({"batch_size": 2.5}, "batch_size: expected 1 or more"),
        ({"batch_size": 11, "drop_last": True}, "batch_size: 11 is more than the 10 images"),
        ({"batch_size": 2, "shuffle_seed": -1}, "shuffle_seed: expected 0 or more"),
        ({"batch_size": 2, "labels": True}, "labels: numbers has none"),
    ],
)
def test_bad_arguments(options, told):
    with pytest.raises(DataError, match=told):
        numbered(labels=False).batches(**options)


def test_bad_positions():
    batches = numbered(10).batches(4)
    with pytest.raises(DataError, match="start_batch: expected 0 to 2, got 3"):
        batches.start_batch = 3
    with pytest.raises(DataError, match="epoch: expected 0 or more"):
        batches.epoch = -1
    with pytest.raises(IndexError):
        batches[3]


def test_both_pictures_of_a_pair_are_augmented_alike():
    loaded = data.load("digits", input="small", input_factor=2)
    flipped = loaded.batches(50, shuffle_seed=0, augment=data.augmentation(flip=True))[0]
    plain = loaded.batches(50, shuffle_seed=0)[0]
    turned = (flipped[..., 1] != plain[..., 1]).any(axis=(1, 2))
    assert 10 < turned.sum() < 40
    np.testing.assert_array_equal(flipped[turned], plain[turned][:, :, ::-1])


def test_only_the_list_of_files_is_in_memory(tmp_path):
    count, side = 64, 128  # 3 MiB of bytes once decoded, and 12 as float32
    for number in range(count):
        picture = Image.fromarray(np.full((side, side, 3), number, np.uint8))
        picture.save(tmp_path / f"{number}.png")
    tracemalloc.start()
    try:
        loaded = data.load(f"folder:{tmp_path}", test_fraction=0.0)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        batches = loaded.batches(4)
        values = [float(batch.mean()) for batch in (batches[i] for i in range(len(batches)))]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2**19
    assert peak - held < 4 * side * side * 3 * 4 * 4
    files = sorted(f"{number}.png" for number in range(count))
    means = np.array([int(name[:-4]) for name in files]).reshape(-1, 4).mean(axis=1)
    np.testing.assert_allclose(values, means / 255, atol=1e-6)


class Seen(keras.callbacks.Callback):
    """Recovers the mean image of every batch from the running mean that Keras logs."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append([])
        self.total, self.count = 0.0, 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1
        total = float(logs["loss"]) * self.count
        self.epochs[-1].append(total - self.total)
        self.total = total


def watched_fit(batches, **options):
    """Fits a model whose loss is the mean of the images it is shown and that never learns."""
    model = keras.Sequential(
        [keras.layers.Flatten(), keras.layers.Dense(1, kernel_initializer="ones")]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(0.0),
        loss=lambda labels, outputs: keras.ops.mean(outputs),
        jit_compile=False,
    )
    seen = Seen()
    model.fit(batches, verbose=0, callbacks=[seen], **options)
    return seen.epochs


def means(batches, number, start=0):
    order = batches.order(number)
    size = batches.batch_size
    return [order[at : at + size].mean() for at in range(start * size, len(order), size)]


@pytest.mark.slow
@pytest.mark.parametrize("count, prefetch", [(12, False), (12, True), (4, False), (8, False)])
def test_fit_sees_the_orders_of_its_epochs(count, prefetch):
    # One and two batches an epoch are hardest: Keras reads as many before it begins.
    batches = Batches(numbered(count), 4, shuffle_seed=5, labels=True, prefetch=prefetch)
    epochs = watched_fit(batches, epochs=3)
    for number, seen in enumerate(epochs):
        np.testing.assert_allclose(seen, means(batches, number), atol=1e-4)
    assert batches.epoch == 3


@pytest.mark.slow
@pytest.mark.parametrize("prefetch", [False, True])
def test_fit_finishes_a_resumed_epoch_and_goes_on(prefetch):
    batches = numbered(20).batches(4, shuffle_seed=5, labels=True, prefetch=prefetch)
    batches.epoch = 1
    batches.start_batch = 3
    first, second = watched_fit(batches, initial_epoch=1, epochs=3)
    np.testing.assert_allclose(first, means(batches, 1, start=3), atol=1e-4)
    np.testing.assert_allclose(second, means(batches, 2), atol=1e-4)
    (third,) = watched_fit(batches, initial_epoch=3, epochs=4)
    np.testing.assert_allclose(third, means(batches, 3), atol=1e-4)

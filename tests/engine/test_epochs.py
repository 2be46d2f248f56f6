"""How TensorFlow goes through an epoch: what it waits for, and which steps become one program.

No epoch of arrays waits for tf.data's tuner; a user's `Dataset` keeps its own.
"""

import keras
import pytest
from families import named

if keras.backend.backend() != "tensorflow":
    pytest.skip("only TensorFlow reads batches by tf.data", allow_module_level=True)

import tensorflow as tf  # noqa: E402
from tensorflow.python.data.ops.dataset_ops import DatasetV2  # noqa: E402

VAE, CONVOLUTIONS = named("vae", "vae_signal")


@pytest.fixture
def tuned(monkeypatch):
    """What each dataset that is iterated over says of tuning: False, or None where it is silent."""
    seen = []
    plain = DatasetV2.__iter__

    def watched(dataset):
        seen.append(dataset.options().autotune.enabled)
        return plain(dataset)

    monkeypatch.setattr(DatasetV2, "__iter__", watched)
    return seen


def test_nothing_tunes_the_batches_of_arrays(tuned):
    model = VAE.model()
    x, _ = VAE.data()
    model.fit(x, validation_data=(x,), epochs=2, verbose=0)
    model.evaluate(x, verbose=0)
    model.predict(x, verbose=0)
    assert len(tuned) >= 6 and set(tuned) == {False}


@pytest.mark.parametrize("choice", [None, True])
def test_a_dataset_of_the_users_is_tuned_as_it_says(tuned, choice):
    x, _ = VAE.data()
    options = tf.data.Options()
    if choice is not None:
        options.autotune.enabled = choice
    source = tf.data.Dataset.from_tensor_slices(x).batch(8).with_options(options)
    VAE.model().fit(source, verbose=0, shuffle=False)
    assert set(tuned) == {choice}


@pytest.mark.parametrize(
    "case, jit, looped",
    [(VAE, True, True), (CONVOLUTIONS, False, True), (CONVOLUTIONS, True, False)],
    ids=["dense", "plain", "convolutions"],
)
def test_xla_repeats_no_convolution_in_a_loop(case, jit, looped, monkeypatch):
    """On a CPU a small VAE's steps took 9 times as long there."""
    loops, while_loop = [], tf.while_loop
    monkeypatch.setattr(tf, "while_loop", lambda *a, **k: loops.append(a) or while_loop(*a, **k))
    model = case.model(jit_compile=jit, steps_per_execution=2)
    x, _ = case.data(16)
    model.fit(x, batch_size=4, verbose=0)
    assert int(model.optimizer.iterations) == 4
    assert bool(loops) == looped

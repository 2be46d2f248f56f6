"""PyTorch's captured step: what traces equals eager; what does not says so and runs eagerly."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen
from keras_gen import engine

if keras.backend.backend() != "torch":
    pytest.skip("whole-step capture is PyTorch's way to compile", allow_module_level=True)

import torch  # noqa: E402

dense = keras.layers.Dense


class Regression(keras_gen.GenerativeModel):
    """Rebuilds its input through one network: the smallest model with a step."""

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.network = network

    def objective(self, x, noise, labels, training):
        return ops.mean(ops.square(x - self.network(x, training=training))), {}


class Penalized(keras_gen.GenerativeModel):
    """A loss with a second-order term and a learning rate of its own for BatchNorm's buffers."""

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.network = network

    def objective(self, x, noise, labels, training):
        slope = engine.input_gradient(lambda x: self.network(x, training=training), x)
        return ops.mean(ops.square(slope - 1.0)) + ops.mean(ops.square(self.network(x))), {}


def run(make_layers, optimizer, family=Regression, **options):
    """Three epochs of two full batches and a short one: terms and weights."""
    keras.utils.set_random_seed(0)
    model = family(keras.Sequential([keras.Input((6,)), *make_layers(), dense(6)]))
    make = optimizer if callable(optimizer) else getattr(keras.optimizers, optimizer)
    model.compile(make(), **options)
    x = np.random.default_rng(0).normal(size=(20, 6)).astype("float32")
    history = model.fit(x, batch_size=8, epochs=3, shuffle=False, verbose=0).history
    return model, history["loss"], [ops.convert_to_numpy(v.value) for v in model.variables]


def assert_captured_equals_eager(make_layers, optimizer="Adam", family=Regression):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "jit_compile")
        _, loss, weights = run(make_layers, optimizer, family, jit_compile=True)
    _, expected_loss, expected = run(make_layers, optimizer, family, run_eagerly=True)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


LAYERS = {
    "batch_norm": lambda: [dense(8), keras.layers.BatchNormalization(momentum=0.9)],
    "layer_norm": lambda: [dense(8), keras.layers.LayerNormalization()],
    "dropout": lambda: [dense(32), keras.layers.Dropout(0.5)],
    "seeded_dropout": lambda: [dense(32), keras.layers.Dropout(0.5, seed=3)],
    "gaussian_noise": lambda: [keras.layers.GaussianNoise(0.3, seed=1), dense(8)],
    "regularized": lambda: [dense(8, kernel_regularizer="l2")],
}
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.01),
    "sgd_momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "adadelta": lambda: keras.optimizers.Adadelta(0.1),
    "adagrad": lambda: keras.optimizers.Adagrad(0.01),
    "adamax": lambda: keras.optimizers.Adamax(0.01),
    "nadam": lambda: keras.optimizers.Nadam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01),
    "lion": lambda: keras.optimizers.Lion(0.01),
    "muon": lambda: keras.optimizers.Muon(0.01),
    "clipnorm": lambda: keras.optimizers.Adam(0.01, clipnorm=0.1),
    "global_clipnorm": lambda: keras.optimizers.Adam(0.01, global_clipnorm=0.1),
    "ema": lambda: keras.optimizers.Adam(0.01, use_ema=True),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 9)),
    "accumulation": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
}


@pytest.mark.parametrize("layers", LAYERS)
def test_these_layers_trace_and_equal_eager(layers):
    assert_captured_equals_eager(LAYERS[layers])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_these_optimizers_trace_and_equal_eager(optimizer):
    assert_captured_equals_eager(lambda: [dense(8, "tanh")], OPTIMIZERS[optimizer])


def test_a_second_order_term_traces_and_equals_eager():
    # SGD: Adam would turn the last bits of a second-order gradient into whole steps.
    assert_captured_equals_eager(
        lambda: [dense(8, "tanh"), keras.layers.BatchNormalization()], "SGD", Penalized
    )


def image_layers():
    """Convolutions of many channels and of three, both ways, whose layouts inductor may choose."""
    options = {"kernel_size": 4, "strides": 2, "padding": "same"}
    return [
        dense(4 * 4 * 3, "tanh"),
        keras.layers.Reshape((4, 4, 3)),
        keras.layers.Conv2DTranspose(8, **options),
        keras.layers.BatchNormalization(),
        keras.layers.Conv2DTranspose(3, **options, activation="tanh"),
        keras.layers.Conv2D(8, **options, activation="tanh"),
        keras.layers.Conv2D(8, **options),
        keras.layers.Flatten(),
    ]


@pytest.mark.inductor
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own imports
@pytest.mark.parametrize(
    "make_layers, family",
    [
        (lambda: [dense(8, "tanh"), keras.layers.BatchNormalization()], Penalized),
        (image_layers, Regression),
    ],
    ids=["twice_differentiated", "images"],
)
def test_inductor_computes_what_was_captured(make_layers, family):
    assert_captured_equals_eager(make_layers, "SGD", family)


@pytest.mark.inductor
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_inductor_takes_no_height_for_channels(monkeypatch):
    """It would lay `(batch, height, width, channels)` with its heights side by side, and did."""
    from torch._inductor import config
    from torch._inductor.graph import GraphLowering

    images, lower = [], GraphLowering.run

    def watched(lowering, *inputs):
        values = [node.meta["val"] for node in lowering.nodes_prefer_channels_last]
        images.extend(value for value in values if value.ndim == 4 and value.shape[1] > 1)
        return lower(lowering, *inputs)

    monkeypatch.setattr(GraphLowering, "run", watched)
    with config.patch(fx_graph_cache=False):
        run(image_layers, "SGD", jit_compile=True)
    assert images and all(image.stride(1) == 1 for image in images)


class Hard(keras.layers.Layer):
    """Branches in Python on the values of its input: nothing can trace it."""

    def call(self, x):
        return x * 2.0 if float(ops.max(x)) > 0 else x


def test_what_cannot_be_traced_names_the_layer_and_runs_eagerly():
    with pytest.warns(UserWarning, match="cannot be captured because of Hard 'hard'.*eagerly"):
        _, loss, _ = run(lambda: [Hard(name="hard")], "Adam", jit_compile=True)
    _, expected, _ = run(lambda: [Hard(name="hard")], "Adam", run_eagerly=True)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_an_optimizer_that_does_not_trace_is_named():
    """Overwriting weights by their average branches on the iteration, in Python."""

    def overwriting():
        return keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=2)

    with pytest.warns(UserWarning, match="because of Adam 'model'"):
        run(lambda: [dense(8)], overwriting, jit_compile=True)


def test_a_tensor_held_in_a_closure_stays_live():
    held = torch.full((6,), 2.0)

    class Shifted(keras_gen.GenerativeModel):
        def __init__(self, network, **kwargs):
            super().__init__(**kwargs)
            self.network = network

        def objective(self, x, noise, labels, training):
            return ops.mean(ops.square(self.network(x) - held)), {}

    model = Shifted(keras.Sequential([keras.Input((6,)), dense(6, kernel_initializer="zeros")]))
    model.compile(keras.optimizers.SGD(0.0), jit_compile=True)
    x = np.ones((8, 6), "float32")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "jit_compile")
        assert model.fit(x, verbose=0).history["loss"] == pytest.approx([4.0])
        held.fill_(3.0)
        assert model.fit(x, verbose=0).history["loss"] == pytest.approx([9.0])


def test_one_graph_a_batch_shape():
    model, *_ = run(lambda: [dense(4)], "SGD", jit_compile=True)
    graphs = [cell.cell_contents for cell in model.train_function.__closure__][0].graphs
    assert sorted(shapes[0][0][0] for shapes, _ in graphs) == [4, 8]


def test_auto_captures_only_long_runs(monkeypatch):
    module = __import__("keras_gen.engine.torch", fromlist=["torch"])
    monkeypatch.setattr(module, "STEPS_THAT_REPAY_CAPTURE", 9)
    long, *_ = run(lambda: [dense(4)], "SGD")
    assert long.jit_compile
    monkeypatch.setattr(module, "STEPS_THAT_REPAY_CAPTURE", 10)
    short, *_ = run(lambda: [dense(4)], "SGD")
    assert not short.jit_compile

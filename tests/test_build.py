"""A config is built into what it says."""

import tomllib

import keras
import numpy as np
import pytest
from tiny_config import TINY

import keras_gen
from keras_gen import config
from keras_gen.config import build, schema


@pytest.fixture
def tiny():
    return tomllib.loads(TINY)


@pytest.mark.one_backend
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", [n for n in config.presets() if n.startswith(("vae_mn", "iwae_mn"))]
)
def test_the_mnist_configs_train_through_tfds(name, tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    small = ["train.epochs=1", "train.batch_size=8", "train.sample_every=1"]
    small += ["evaluate.importance_samples=10"]
    if isinstance(config.read(name).config.train.optimizer.learning_rate, config.schema.Piecewise):
        small.append(
            "train.optimizer.learning_rate={schedule='piecewise',rates=[1e-3,1e-4],until_epochs=[0.5]}"
        )
    with tfds.testing.mock_data(num_examples=16):
        run_ = keras_gen.train(name, out=tmp_path / "run", overrides=small, verbose=0)
        results = config.actions.evaluate(tmp_path / "run")
    assert run_.model.sample(2, seed=0).shape == (2, 28, 28, 1)
    # Random pixels, a model that has hardly begun: hundreds of nats, and no infinity.
    assert 400 < results["negative_log_likelihood"] < 800


@pytest.mark.one_backend
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in config.presets() if name.endswith("_digits")])
def test_every_digits_preset_builds_a_model_whose_samples_are_images_of_the_data(name):
    model, data = keras_gen.build(name)
    assert isinstance(model, keras_gen.GenerativeModel)
    samples = keras.ops.convert_to_numpy(model.sample(3, seed=0))
    assert samples.shape == (3, *data.train.shape)
    assert np.isfinite(samples).all()


def test_derived_sizes_follow_the_family_and_the_data(tiny):
    model, data = keras_gen.build(tiny)
    assert data.train.shape == (8, 8, 1)
    assert model.encoder.output_shape == (None, 4)  # a mean and a log variance of each code
    assert model.decoder.input_shape == (None, 2)
    assert model.latent_dim == 2


def test_the_number_of_classes_comes_from_the_data(tiny):
    model, _ = keras_gen.build(tiny, ["model.num_classes=data"])
    assert model.num_classes == 10
    assert model.encoder.input_shape == (None, 8, 8, 11)
    with pytest.raises(config.ConfigError, match="digits has 10 classes, got 7"):
        keras_gen.build(tiny, ["model.num_classes=7"])


def test_a_seed_gives_the_same_weights_and_leaves_pythons_own_numbers_alone(tiny):
    import random

    random.seed(5)
    expected = random.random()
    random.seed(5)
    first, second = (keras_gen.build(tiny, ["train.seed=3"])[0] for _ in range(2))
    assert random.random() == expected
    other, _ = keras_gen.build(tiny, ["train.seed=4"])
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.seed == 3
    different = [
        not np.array_equal(a, b)
        for a, b in zip(first.encoder.get_weights(), other.encoder.get_weights(), strict=True)
    ]
    assert any(different)


def test_the_precision_holds_for_the_model_and_for_nothing_else(tiny):
    model, _ = keras_gen.build(tiny, ["train.precision=mixed_bfloat16"])
    assert model.compute_dtype == "bfloat16"
    assert model.encoder.layers[-2].compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def test_the_decoder_begins_at_the_mean_image():
    model, data = keras_gen.build("iwae_digits", ["train.start=mean"])
    mean = np.clip(data.train.images().mean(0).reshape(-1), 0.001, 0.999)
    *_, bias = [w for w in model.decoder.get_weights() if w.ndim == 1]
    np.testing.assert_allclose(bias, np.log(mean) - np.log1p(-mean), rtol=1e-4, atol=1e-5)
    with pytest.raises(config.ConfigError, match="train.start: gan has no decoder"):
        keras_gen.build("gan_digits", ["train.start=mean"])


def test_compile_options_reach_the_model(tiny):
    model, _ = keras_gen.build(
        tiny,
        ["train.jit_compile=false", "train.optimizer.beta_1=0.25", "train.optimizer.name=adamw"],
    )
    assert model.jit_compile is False
    assert isinstance(model.optimizer.only_optimizer, keras.optimizers.AdamW)
    assert model.optimizer.only_optimizer.beta_1 == 0.25


def test_batches_are_those_of_train(tiny):
    recipe = config.read(tiny, ["train.batch_size=400", "train.drop_last=true"])
    data = build.load_data(recipe)
    assert len(data.train) == 1500
    assert len(build.batches(recipe, data.train)) == 3 == build.steps_per_epoch(recipe, data.train)
    whole = config.read(tiny, ["train.batch_size=400"])
    assert len(build.batches(whole, data.train)) == 4 == build.steps_per_epoch(whole, data.train)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # Loshchilov & Hutter 2017, equation 5: half way down at half time.
        ({"schedule": "cosine", "peak": 1.0}, {0: 1.0, 20: 0.5, 40: 0.0}),
        ({"schedule": "cosine", "peak": 1.0, "floor": 0.5}, {0: 1.0, 20: 0.75, 40: 0.5}),
        ({"schedule": "cosine", "peak": 1.0, "warmup_epochs": 2}, {0: 0.0, 10: 0.5, 20: 1.0}),
        ({"schedule": "exponential", "start": 1.0, "decay": 0.5}, {0: 1.0, 10: 0.5, 20: 0.25}),
        (
            {"schedule": "piecewise", "rates": [1.0, 0.1], "until_epochs": [2]},
            {0: 1.0, 19: 1.0, 21: 0.1},
        ),
    ],
)
def test_schedules_count_in_epochs(tiny, schedule, expected):
    tiny["train"]["optimizer"]["learning_rate"] = schedule
    tiny["train"]["epochs"] = 4
    section = schema.checked(tiny).train.optimizer.learning_rate
    rate = build._schedule(section, epochs=4, steps=10)
    for step, value in expected.items():
        assert float(rate(step)) == pytest.approx(value, abs=1e-6)

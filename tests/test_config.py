"""Configs are found, read, checked, overridden, written, and built into what they say."""

import inspect
import subprocess
import sys
import tomllib

import keras
import numpy as np
import pytest

import keras_gen
from keras_gen import config, models, networks
from keras_gen.callbacks import CollapseMonitor
from keras_gen.config import build, files, schema, signatures

TINY = """
[data]
source = "digits"

[model]
family = "vae"
latent_dim = 3

[model.encoder]
network = "mlp"
units = [8]

[model.decoder]
network = "mlp"
units = [8]

[train]
epochs = 1
batch_size = 500

[train.optimizer]
name = "adam"
learning_rate = 1e-3
"""


@pytest.fixture
def tiny():
    return tomllib.loads(TINY)


# -- What the constructors declare is what a config may say ----------------------------------------


@pytest.mark.parametrize("name", models.FAMILIES)
def test_the_signature_read_as_text_is_the_one_python_sees(name):
    signature = signatures.families()[name]
    parameters = inspect.signature(models.FAMILIES[name].__init__).parameters.values()
    sockets = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert ["self", *signature.sockets] == sockets
    assert set(signature.options) == set(options)
    for option, (_, default) in signature.options.items():
        required = default is signatures.REQUIRED
        assert (
            options[option] is inspect.Parameter.empty if required else options[option] == default
        )


@pytest.mark.parametrize("name", networks.BUILDERS)
def test_every_option_of_a_builder_has_a_type(name):
    signature = signatures.networks()[name]
    parameters = inspect.signature(networks.BUILDERS[name]).parameters.values()
    options = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"name"}
    assert set(signature.options) == options
    assert all(str(type_) != "typing.Any" for type_, _ in signature.options.values())


def test_every_option_of_a_family_has_a_type():
    for signature in signatures.families().values():
        assert all(str(type_) != "typing.Any" for type_, _ in signature.options.values())


def test_players_are_those_that_the_train_step_looks_up():
    assert signatures.families()["vae"].players == ()
    assert signatures.families()["gan"].players == ("discriminator", "generator")
    assert signatures.families()["cycle_gan"].players == ("generators", "discriminators")


# -- The zoo ---------------------------------------------------------------------------------------


def test_the_zoo_holds_what_the_foundation_promises():
    assert set(config.presets()) >= {
        "autoencoder_digits",
        "vae_digits",
        "cvae_digits",
        "gan_digits",
        "vae_fashion_mnist",
        "cvae_fashion_mnist",
        "autoencoder_fashion_mnist",
        "dcgan_fashion_mnist",
        "cgan_fashion_mnist",
        "vae_celeb_a",
        "dcgan_celeb_a",
    }


@pytest.mark.parametrize("name", config.presets())
def test_every_preset_is_good_and_opens_with_its_command_and_its_paper(name):
    recipe = config.read(name)
    comment = recipe.text.partition("\n\n")[0]
    assert f"keras-gen train {name}" in comment
    assert "Paper:" in comment
    assert recipe.name == name
    assert recipe.text == config.presets()[name].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "k"), [("vae_mnist", 1), ("iwae_mnist_k5", 5), ("iwae_mnist_k50", 50)]
)
def test_the_iwae_papers_configs_follow_its_section_5(name, k):
    """Burda et al. 2016: 3^i epochs at 1e-3 * 10^(-i / 7), i = 0 ... 7, in batches of 20."""
    settings = config.read(name).config
    lengths = [3**i for i in range(8)]
    rates = [1e-3 * 10 ** (-i / 7) for i in range(8)]
    train, model = settings.train, settings.model
    assert train.epochs == sum(lengths) == 3280 and train.batch_size == 20
    assert train.optimizer.learning_rate.until_epochs == np.cumsum(lengths[:-1]).tolist()
    np.testing.assert_allclose(train.optimizer.learning_rate.rates, rates, rtol=1e-3)
    assert (train.optimizer.name, train.optimizer.epsilon) == ("adam", 1e-4)
    assert (train.optimizer.beta_1, train.optimizer.beta_2) == (0.9, 0.999)
    assert (model.family, model.samples, model.latent_dim, model.binarize) == ("iwae", k, 50, True)
    for network in (model.encoder, model.decoder):
        assert (network.network, network.units) == ("mlp", [200, 200])
        assert (network.activation, network.kernel_initializer) == ("tanh", "glorot_uniform")
    assert train.start == "mean" and settings.evaluate.importance_samples == 5000
    assert settings.evaluate.likelihood_examples == 10_000  # MNIST's whole test set: table 1
    assert settings.data.source == "tfds:mnist"


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


def test_the_wheels_zoo_is_looked_in_before_the_checkouts():
    assert files.ZOOS[0] == files.PACKAGE / "zoo_configs"
    assert files.ZOOS[1] == files.PACKAGE.parent / "zoo_configs"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in config.presets() if name.endswith("_digits")])
def test_every_digits_preset_builds_a_model_whose_samples_are_images_of_the_data(name):
    model, data = keras_gen.build(name)
    assert isinstance(model, keras_gen.GenerativeModel)
    samples = keras.ops.convert_to_numpy(model.sample(3, seed=0))
    assert samples.shape == (3, *data.train.shape)
    assert np.isfinite(samples).all()


# -- Reading and overriding ------------------------------------------------------------------------


def test_a_path_a_preset_nested_dicts_and_a_recipe_are_all_configs(tmp_path, tiny):
    path = tmp_path / "mine.toml"
    path.write_text(TINY)
    assert config.read(path).name == "mine"
    assert config.read(path).text == TINY
    assert config.read(tiny).config.model_dump() == config.read(path).config.model_dump()
    assert config.read(config.read(path)).name == "mine"
    assert config.read("vae_digits").config.model.family == "vae"


def test_a_run_folders_config_is_named_after_the_folder(tmp_path):
    (tmp_path / "first_try").mkdir()
    path = tmp_path / "first_try" / "config.toml"
    path.write_text(TINY)
    assert config.read(path).name == "first_try"


def test_overrides_are_typed_checked_and_kept_in_the_text(tiny):
    recipe = config.read(
        tiny,
        [
            "train.epochs=7",
            "model.encoder.activation=tanh",
            "model.encoder.units=[4, 5]",
            "train.optimizer.clipnorm = 1.5",
            "model.binarize=true",
        ],
    )
    assert recipe.config.train.epochs == 7
    assert recipe.config.model.encoder.activation == "tanh"
    assert recipe.config.model.encoder.units == [4, 5]
    assert recipe.config.train.optimizer.clipnorm == 1.5
    assert recipe.config.model.binarize is True
    assert tomllib.loads(recipe.text) == recipe.tables
    assert tiny == tomllib.loads(TINY)  # the dicts that were given are left as they were


def test_toml_is_written_as_it_is_read():
    tables = {
        "data": {"source": 'folder:/a "b"\\c', "value_range": [-1, 1.5], "empty": {}},
        "model": {"deep": {"er": {"x": True, "rate": 1e-7, "words": ["a", "é"]}}},
        "expect": {"loss of 5": {"at_most": 3.0}},
    }
    assert tomllib.loads(config.to_toml(tables)) == tables


def test_an_optimizer_of_each_player_is_asked_for_by_name(tiny):
    with pytest.raises(config.ConfigError, match=r"train\.optimizer: .*\[train\.optimizer\.gen"):
        config.read("gan_digits", ["train.optimizer.name=adam"])
    with pytest.raises(config.ConfigError, match=r"train\.optimizer\.generator: unknown key"):
        config.read(tiny, ["train.optimizer.generator.name=adam"])


# -- What is built ---------------------------------------------------------------------------------


def test_derived_sizes_follow_the_family_and_the_data(tiny):
    model, data = keras_gen.build(tiny)
    assert data.train.shape == (8, 8, 1)
    assert model.encoder.output_shape == (None, 6)  # a mean and a log variance of each code
    assert model.decoder.input_shape == (None, 3)
    assert model.latent_dim == 3


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


def test_a_collapse_monitor_is_by_default_what_the_callback_is_by_default():
    section = config.read(
        "gan_digits", ["train.collapse_monitor=true"]
    ).config.train.collapse_monitor
    parameters = inspect.signature(CollapseMonitor.__init__).parameters
    options = section.model_dump(exclude={"samples"})
    assert options == {name: parameters[name].default for name in options}
    assert config.read("gan_digits").config.train.collapse_monitor is None


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


def test_piecewise_needs_one_rate_more_than_boundaries(tiny):
    with pytest.raises(config.ConfigError, match="one rate more than until_epochs"):
        config.read(
            tiny,
            [
                "train.optimizer.learning_rate="
                "{schedule = 'piecewise', rates = [1.0, 0.1], until_epochs = [1, 2]}"
            ],
        )


# -- A light import --------------------------------------------------------------------------------


def test_a_config_is_checked_without_keras():
    script = (
        "import sys, keras_gen\n"
        "from keras_gen import config\n"
        "config.read('vae_digits', ['train.epochs=3'])\n"
        "heavy = {'keras', 'jax', 'tensorflow', 'torch', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


@pytest.mark.slow  # a process that imports Keras
def test_where_keras_is_loaded_already_the_families_are_registered():
    script = (
        "import keras, keras_gen\n"
        "assert keras.saving.get_registered_object('keras_gen>VAE') is keras_gen.models.VAE\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

"""Configs are found, read, checked, overridden and written, before Keras is there."""

import tomllib

import numpy as np
import pytest
from tiny_config import TINY

from keras_gen import config
from keras_gen.config import files, signatures


@pytest.fixture
def tiny():
    return tomllib.loads(TINY)


# -- What the constructors declare is what a config may say ----------------------------------------


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


def test_the_wheels_zoo_is_looked_in_before_the_checkouts():
    assert files.ZOOS[0] == files.PACKAGE / "zoo_configs"
    assert files.ZOOS[1] == files.PACKAGE.parent / "zoo_configs"


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


def test_piecewise_needs_one_rate_more_than_boundaries(tiny):
    with pytest.raises(config.ConfigError, match="one rate more than until_epochs"):
        config.read(
            tiny,
            [
                "train.optimizer.learning_rate="
                "{schedule = 'piecewise', rates = [1.0, 0.1], until_epochs = [1, 2]}"
            ],
        )


def test_a_run_made_before_configs_had_commands_and_costs_is_read(tmp_path):
    """Its bounds say where each number was reached, as `[expect]` did then."""
    bound = 'test_loss = { at_most = -16.0, reached = -16.88, backend = "jax", minutes = 0.3 }'
    other = 'reconstruction_error_of_pca = { at_least = "reconstruction_error", reached = 1.5 }'
    evaluate = '[evaluate]\nmetrics = ["loss", "reconstruction_error"]'
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.toml").write_text(
        "\n".join([TINY, evaluate, "[expect]", bound, other])
    )
    expect = config.read(str(tmp_path / "old" / "config.toml")).config.expect
    assert expect.bounds["test_loss"].at_most == -16.0
    assert expect.reached["test_loss"] == -16.88

"""What a family is called, where its file lies and what its signature says: one answer to each."""

import inspect
from pathlib import Path

import pytest

import keras_gen
from keras_gen import config, models, networks
from keras_gen.callbacks import CollapseMonitor
from keras_gen.config import signatures

HOUSE = Path(keras_gen.__file__).parent


def test_a_family_is_one_registered_file_of_250_lines_that_inherits_from_no_other():
    # What the families of a wing share; none of it is a family.
    parts = {"__init__", "penalties", "gaussian_codes", "latents", "likelihood", "point_codes"}
    parts |= {"grid_codes", "quantizers", "from_noise", "logits", "augmented", "codes"}
    parts |= {"image_pool", "translation", "path_length"}
    papers = [path for path in (HOUSE / "models").glob("*/*.py") if path.stem not in parts]
    assert sorted(models.FAMILIES) == sorted(path.stem for path in papers)
    for name, family in models.FAMILIES.items():
        assert family.__module__.endswith(f".{name}")
        assert family.__bases__[-1] is keras_gen.GenerativeModel
        assert not set(family.__mro__[1:]) & set(models.FAMILIES.values())
        assert getattr(models, family.__name__) is family
        assert family.__name__ in models.__all__
    assert [str(path) for path in papers if len(path.read_text().splitlines()) > 250] == []


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


def test_a_collapse_monitor_is_by_default_what_the_callback_is_by_default():
    section = config.read(
        "gan_digits", ["train.collapse_monitor=true"]
    ).config.train.collapse_monitor
    parameters = inspect.signature(CollapseMonitor.__init__).parameters
    options = section.model_dump(exclude={"samples"})
    assert options == {name: parameters[name].default for name in options}
    assert config.read("gan_digits").config.train.collapse_monitor is None

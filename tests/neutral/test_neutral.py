"""This folder is run alone and once: with Keras and the backends out of reach."""

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest
from conftest import Blocked

HERE = Path(__file__).parent


@pytest.fixture
def alone(request):
    """Whether only this folder was asked for, as the gate does, found without conftest's help."""
    asked = [Path(arg.partition("::")[0]).resolve() for arg in request.config.args]
    if any(HERE not in (place, *place.parents) for place in asked):
        pytest.skip("holds where tests/neutral is run alone")


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", ["jax", "keras", "tensorflow", "torch"])
def test_neither_keras_nor_a_backend_can_be_imported_here(name):
    assert name not in sys.modules
    with pytest.raises(ImportError, match=f"tests/neutral: {name} was imported; a test that needs"):
        importlib.import_module(name)
    with pytest.raises(ImportError):
        importlib.import_module(f"{name}.numpy")
    assert Blocked.refused == [name, name]  # and each other test here fails by these
    Blocked.refused.clear()
    assert importlib.util.find_spec(name) is not None  # it is installed, all the same

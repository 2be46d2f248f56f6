"""What inductor compiles of a family's step is what the eager step computes, state included.

Elsewhere in the suite the captured graph stands in for it, which costs no compile. Here one
family of each kind goes all the way, with the layouts and the products that we teach inductor.
"""

import dataclasses
import importlib

import keras
import numpy as np
import pytest
from families import MLP_GAN, PLAYERS, Case, fill, named

from keras_gen import models

if keras.backend.backend() != "torch":
    pytest.skip("inductor is PyTorch's compiler", allow_module_level=True)

import torch  # noqa: E402
from conformance import (  # noqa: E402
    STEPS,
    STRAY,
    WHOLE,
    assert_moved_alike,
    assert_same_run,
    everything,
    fit,
)

engine = importlib.import_module("keras_gen.engine.torch")
products = importlib.import_module("keras_gen.engine.kernels.torch.products")

pytestmark = [
    pytest.mark.inductor,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # inductor's own imports
]
# An averaged generator behind batch statistics, a derivative of a derivative, the two branches of
# a lazy penalty, a codebook that follows by moving averages.
LAZY = Case(
    "lazy_penalty",
    lambda: fill(models.GAN, MLP_GAN, latent_dim=4, penalty="r1", penalty_every=2),
    PLAYERS,
    value_range=(-1.0, 1.0),
    from_noise=True,
)
KINDS = (*named("dcgan_averaged", "wgan_gp", "vqvae_ema"), LAZY)


# Of what a variable moved by: float16 rounds 8 times as finely as bfloat16. By plain descent: Adam
# makes a whole step of a gradient's sign, and near zero that is half precision's rounding.
STRAYS = {"mixed_float16": STRAY, "mixed_bfloat16": 8 * STRAY}


@pytest.fixture
def graphs(monkeypatch):
    """The captured graphs that inductor was given."""
    given, compiling = [], engine.compile_graph

    def compile_graph(graph, inputs):
        given.append(graph)
        return compiling(graph, inputs)

    monkeypatch.setattr(engine, "compile_graph", compile_graph)
    return given


def outcomes(case):
    """State before a short run, and `(history, state)` after it, compiled and eager."""
    ends = []
    for options in ({"jit_compile": True}, {"run_eagerly": True}):
        keras.utils.set_random_seed(3)
        model = case.model(**options)
        first = everything(model)
        ends.append((fit(model, case, epochs=2, examples=WHOLE), everything(model)))
    return first, *ends


@pytest.mark.parametrize("case", KINDS, ids=lambda case: case.name)
def test_a_family_compiled_by_inductor_trains_as_eagerly(case, graphs, monkeypatch):
    for name, small in {"LARGE": 1, "WIDE": 1}.items():  # else oneDNN does not repay its call
        monkeypatch.setattr(products, name, small)
    monkeypatch.setattr(products, "onednn_is_faster", lambda: products.SOUND)
    _, compiled, eager = outcomes(case)
    assert_same_run(case, STEPS, eager, compiled)
    assert len(graphs) == (2 if case is LAZY else 1)
    by_onednn = torch.ops.keras_gen.product.default
    used = [any(node.target is by_onednn for node in g.graph.nodes) for g in graphs]
    assert used == [products.SOUND] * len(graphs)


@pytest.mark.parametrize("policy", STRAYS)
def test_half_precision_compiled_by_inductor_trains_as_eagerly(policy, graphs):
    keras.config.set_dtype_policy(policy)
    (case,) = named("vae")
    case = dataclasses.replace(case, optimizers={"model": ("SGD", {"learning_rate": 1e-2})})
    first, compiled, eager = outcomes(case)
    assert len(graphs) == 1
    assert_moved_alike(first, eager[1], compiled[1], STRAYS[policy])
    for term, numbers in eager[0].items():
        np.testing.assert_allclose(compiled[0][term], numbers, rtol=STRAYS[policy], err_msg=term)

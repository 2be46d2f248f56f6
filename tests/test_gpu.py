"""What a GPU must show: variables and samples live there, half precision and CUDA graphs train.

Where there is none the CPU stands in for it (`conftest.py` says when), so that this code is run:
a CUDA graph is then the list of the operations that PyTorch was asked for, done once more.
"""

import importlib
import itertools
from unittest import mock

import keras
import numpy as np
import pytest
from families import CASES, named
from keras import ops

pytestmark = pytest.mark.gpu
ON_TORCH = keras.backend.backend() == "torch"
NAMES = {"cpu": ("cpu",), "gpu": ("gpu", "cuda")}  # what backends call the two
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
VAE, PIX2PIX, CGAN, LAZY = named(
    "vae", "pix2pix", "cgan_hinge_two_steps", "dragan_clipped_smoothed_augmented"
)
# What the CPU stands in for, each in a precision of its own, and in the way that costs least.
TRAINED_ON_CPU = {
    "jax": [
        (VAE, "mixed_bfloat16", "jit"),
        (PIX2PIX, "float32", "jit"),
        (CGAN, "mixed_float16", "jit"),
    ],
    "torch": [
        (VAE, "mixed_bfloat16", "jit"),
        (PIX2PIX, "float32", "plain"),
        (CGAN, "mixed_float16", "plain"),
    ],
}.get(keras.backend.backend(), [])
REPLAYED_ON_CPU = (LAZY,)  # two branches, a graph each


def parameters(combinations, on_cpu):
    return [
        pytest.param(
            *each,
            id="-".join(str(getattr(part, "name", part)) for part in each),
            marks=pytest.mark.gpu(on_cpu=each in on_cpu),
        )
        for each in combinations
    ]


WAYS = parameters(list(itertools.product(CASES, POLICIES, ("plain", "jit"))), TRAINED_ON_CPU)
GRAPHS = parameters([(case,) for case in CASES], [(case,) for case in REPLAYED_ON_CPU])


def assert_lies_on(device, tensor):
    where = getattr(tensor, "device", "")
    where = str(where() if callable(where) else where).lower()
    assert any(name in where for name in NAMES[device]), where


@pytest.mark.parametrize("case, policy, way", WAYS)
def test_a_family_trains_and_samples_on_the_device(case, policy, way, device):
    keras.config.set_dtype_policy(policy)
    model = case.model(jit_compile=way == "jit")
    x, labels = case.data()
    history = model.fit(x, labels, batch_size=20, epochs=4, verbose=0).history
    assert set(history) == set(model.terms)
    assert all(np.all(np.isfinite(numbers)) for numbers in history.values())
    for variable in (*model.variables, *model.optimizer.variables):
        if "float" in variable.dtype:  # TensorFlow keeps whole numbers where it likes
            assert_lies_on(device, variable.value)
    samples = case.sample(model, 4, seed=0)
    assert_lies_on(device, samples)
    assert samples.shape == (4, *x[..., case.input_channels :].shape[1:])
    assert np.all(np.isfinite(ops.convert_to_numpy(samples)))


# -- PyTorch's captured step as one CUDA graph ----------------------------------------------------


@pytest.fixture
def replays_counted(device, monkeypatch):
    """Counts the steps that are replayed, and lets the CPU stand in for CUDA's graphs."""
    engine = importlib.import_module("keras_gen.engine.torch")
    if device == "cpu":
        stand_in_for_cuda(monkeypatch, engine)
    replay, calls = engine.ReplayedOnGPU.__call__, []

    def counted(step, batch):
        calls.append(step)
        return replay(step, batch)

    monkeypatch.setattr(engine.ReplayedOnGPU, "__call__", counted)
    return calls


def stand_in_for_cuda(monkeypatch, engine):
    """Recording and replaying as CUDA does them: the same tensors, at the same places.

    What it cannot show: that CUDA can record all of a step, and that nothing of it waits for or
    allocates on the host meanwhile.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    def tensors(nest):
        return [leaf for leaf in tree_leaves(nest) if isinstance(leaf, torch.Tensor)]

    class Graph:
        def __init__(self):
            self.operations = []

        def replay(self):
            for operation, inputs, options, outputs in self.operations:
                places = {tensor.untyped_storage().data_ptr() for tensor in tensors(inputs)}
                again = tensors(operation(*inputs, **options))
                for old, new in zip(tensors(outputs), again, strict=True):
                    # Neither what was changed in place nor a view has a place of its own.
                    if old.untyped_storage().data_ptr() not in places:
                        old.copy_(new)

    class Recording(TorchDispatchMode):
        def __init__(self, graph):
            super().__init__()
            self.graph = graph

        def __torch_dispatch__(self, operation, types, inputs=(), options=None):
            outputs = operation(*inputs, **(options or {}))
            self.graph.operations.append((operation, inputs, options or {}, outputs))
            return outputs

    monkeypatch.setattr(engine, "_on_gpu", lambda tensors: True)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", Recording)
    for name in ("Stream", "current_stream", "stream"):
        monkeypatch.setattr(torch.cuda, name, mock.MagicMock())


@pytest.mark.skipif(not ON_TORCH, reason="CUDA graphs are PyTorch's")
@pytest.mark.parametrize("case", GRAPHS)
def test_a_replayed_cuda_graph_trains_as_plain_steps_do(case, replays_counted):
    x, labels = case.data()
    runs = []
    for jit in (False, True):
        keras.utils.set_random_seed(3)
        model = case.model(jit_compile=jit)
        # Four batches, so that each of two branches replays one that it was not recorded with.
        history = model.fit(x, labels, batch_size=10, shuffle=False, verbose=0).history
        runs.append((history, [ops.convert_to_numpy(v) for v in model.variables]))
    assert len(replays_counted) == 4  # every step of the second run
    (plain_history, plain), (replayed_history, replayed) = runs
    for term, numbers in plain_history.items():
        np.testing.assert_allclose(replayed_history[term], numbers, rtol=1e-3, err_msg=term)
    for variable, ours, theirs in zip(model.variables, replayed, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4, err_msg=variable.path)

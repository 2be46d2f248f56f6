"""The cases: read, scaled, built; and their data."""

import math

import keras
import numpy as np
import pytest

from benchmarks import cases, keras_gen_model, prepare, registry
from benchmarks.native import plan

BACKEND = keras.backend.backend()


@pytest.fixture(scope="module", params=cases.known())
def built(request):
    """`(case, keras-gen's model of it)`; compiling what it begins with is the cost."""
    case = cases.read(request.param, batch=4)
    return case, keras_gen_model.model_of(case)


@pytest.mark.one_backend
def test_a_case_is_a_config_that_builds_a_model_of_its_data(built):
    case, model = built
    assert case.train["batch_size"] == case.batch_size == 4
    assert case.reported in model.terms
    sample = keras.ops.convert_to_numpy(model.sample(3, seed=0))
    assert sample.shape == (3, *case.shape)
    if case.value_range is not None:
        assert case.value_range[0] <= sample.min() and sample.max() <= case.value_range[1]


@pytest.mark.parametrize("name", cases.known())
def test_examples_fill_the_range_of_the_case_and_repeat_under_a_seed(name):
    case = cases.read(name)
    examples = case.examples(300, seed=1)
    assert examples.shape == (300, *case.shape) and examples.dtype == np.float32
    if case.value_range is not None:
        np.testing.assert_allclose((examples.min(), examples.max()), case.value_range, atol=1e-6)
    np.testing.assert_array_equal(examples, case.examples(300, seed=1))
    assert np.abs(examples - case.examples(300, seed=2)).max() > 0


def test_an_enlarged_digit_keeps_its_corners_and_lies_on_straight_lines_between():
    image = np.arange(64, dtype="float32").reshape(8, 8)  # linear, so enlarging is exact
    large = cases._enlargement(15) @ image @ cases._enlargement(15).T
    np.testing.assert_allclose(large, 8 * np.arange(15)[:, None] / 2 + np.arange(15) / 2, atol=1e-4)


def test_the_ring_has_eight_modes_of_radius_two():
    points = cases.read("gan_ring").examples(4000)
    radius, angle = np.hypot(*points.T), np.arctan2(points[:, 1], points[:, 0])
    assert radius.mean() == pytest.approx(2.0, abs=0.01)
    assert radius.std() == pytest.approx(0.05, abs=0.005)
    nearest = np.round(angle / (2 * np.pi / 8)).astype(int) % 8
    assert np.bincount(nearest, minlength=8).min() > 400


def test_a_scaled_case_is_another_size_and_leaves_the_first_alone():
    case = cases.read("dcgan_28")
    scaled = case.scaled(batch=16, side=64, width=8)
    assert (scaled.batch_size, scaled.shape) == (16, (64, 64, 1))
    assert [scaled.model[socket]["width"] for socket in scaled.sockets] == [8, 8]
    assert case == cases.read("dcgan_28")
    with pytest.raises(ValueError, match="no side"):
        cases.read("gan_ring").scaled(side=32)


def test_a_network_of_several_widths_is_scaled_as_a_whole():
    case = cases.read("r3gan_32")
    case.model["discriminator"]["blocks"] = [0, 1, 1]  # counts
    model = case.scaled(width=8).model
    assert model["generator"]["filters"] == [16, 12, 8]
    assert model["discriminator"]["filters"] == [8, 12, 16]
    assert model["discriminator"]["blocks"] == [0, 1, 1]
    case = cases.read("sngan_32")
    case.model["discriminator"]["blocks"] = [16, 64]  # channels
    model = case.scaled(width=4).model
    assert model["generator"]["filters"] == [4, 4, 4, 4]
    assert model["discriminator"]["filters"] == [8, 8]
    assert model["discriminator"]["blocks"] == [4, 16]


def test_a_native_twin_s_own_weights_begin_as_keras_gens_do(built):
    case, model = built
    for socket, network in plan.networks(case).items():
        variables = getattr(model, socket).weights
        arrays = [array for layer in network.weights() for array in layer]
        for variable, array in zip(variables, arrays, strict=True):
            ours = keras.ops.convert_to_numpy(variable)
            assert array.shape == ours.shape and array.dtype == np.float32, variable.path
            if variable.name == "singular_vector":
                assert np.linalg.norm(array) == pytest.approx(1, rel=1e-5)
                continue
            # Six deviations of a ratio of two deviations.
            near = 6 / math.sqrt(ours.size)
            assert np.std(array) == pytest.approx(np.std(ours), rel=near), variable.path
            if np.std(ours) == 0:
                np.testing.assert_array_equal(array, ours, variable.path)


def test_a_spectral_kernel_begins_with_its_norm_known():
    case = cases.read("sngan_32")
    network = plan.networks(case)["discriminator"]
    pairs = [arrays for arrays in network.weights() if len(arrays) > 1]
    assert len(pairs) == 11
    for kernel, *_, vector in pairs:
        matrix = kernel.reshape(-1, kernel.shape[-1])
        (largest, *_) = np.linalg.svd(matrix, compute_uv=False)
        assert np.linalg.norm(matrix @ vector) == pytest.approx(largest, rel=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adversarial_loss": "minimax"}, "no native loss 'minimax'"),
        ({"penalty": ["r1", "dragan"]}, "no native penalty 'dragan'"),
    ],
)
def test_the_native_twins_refuse_what_they_do_not_have(changes, message):
    case = cases.read("r3gan_32")
    case.model.update(changes)
    with pytest.raises(ValueError, match=message):
        plan.gan_options(case)


@pytest.mark.parametrize("name", ["r3gan_32", "sngan_32"])
def test_the_native_twins_refuse_sides_that_do_not_halve(name):
    with pytest.raises(ValueError, match="even sides only"):
        plan.networks(cases.read(name, side=30))


def test_what_all_begin_from_is_keras_gens_model(tmp_path):
    case = cases.read("gan_ring", batch=8)
    prepare.prepare(tmp_path / "begin.npz", "gan_ring", 16, BACKEND, batch=8)
    weights, examples = prepare.load(tmp_path / "begin.npz", case.sockets)
    np.testing.assert_array_equal(examples, case.examples(16))
    model = keras_gen_model.model_of(case, weights)
    for socket in case.sockets:
        for ours, theirs in zip(getattr(model, socket).get_weights(), weights[socket], strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("mode", keras_gen_model.MODES)
def test_a_call_trains_as_fit_does(mode, monkeypatch):
    case = cases.read("gan_ring", batch=8)
    examples = case.examples(16)
    contestant = keras_gen_model.KerasGen(case, mode, None, steps_per_call=2)
    contestant.call(contestant.put([examples[:8], examples[8:]]))
    contestant.wait()
    losses = contestant.losses()
    model = keras_gen_model.model_of(case, None, ["train.jit_compile=false"])
    fitted = model.fit(examples, batch_size=8, shuffle=False, verbose=0).history
    assert set(losses) == set(fitted)
    for term, (value,) in fitted.items():
        assert losses[term] == pytest.approx(value, rel=1e-4), term
    for ours, theirs in zip(
        contestant.model.trainable_variables, model.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (ours, theirs)), atol=1e-5)
    contestant.epoch(examples)
    assert int(contestant.model.optimizer.iterations) == 4
    assert contestant.sample(5).shape == (5, 2)
    assert all(math.isfinite(loss) for loss in contestant.losses().values())


def test_the_modes_of_the_registry_are_those_of_the_file():
    assert registry.CONTESTANTS[BACKEND, "keras_gen"][2] == keras_gen_model.MODES

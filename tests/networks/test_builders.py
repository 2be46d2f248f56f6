"""What holds for every builder: shapes, saving, training, options, dtypes."""

import functools
import inspect
import json

import keras
import numpy as np
import pytest
from builders import ENDS, LAYERED, NARROW

from keras_gen.networks import BUILDERS, conv_decoder, conv_encoder, mlp, residual_decoder


def built(names):
    def builder(name):
        options = NARROW.get(name)
        return functools.partial(BUILDERS[name], **options) if options else BUILDERS[name]

    return pytest.mark.parametrize(
        "build, ends", [(builder(name), ENDS[name]) for name in names], ids=list(names)
    )


BUILT, EVERY = built(LAYERED), built(ENDS)


def data(shape, count=8, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype("float32")


def run(model, x, **options):
    return keras.ops.convert_to_numpy(model(x, **options))


def accepts(build, *options):
    return set(options) <= set(inspect.signature(build).parameters)


def test_every_builder_is_tested():
    assert set(BUILDERS) == set(ENDS)


@EVERY
def test_it_maps_one_shape_to_the_other(build, ends):
    network = build(*ends)
    assert network.input_shape == (None, *ends[0])
    assert network.output_shape == (None, *ends[1])
    assert run(network, data(ends[0])).shape == (8, *ends[1])


@EVERY
def test_lists_and_json_do_as_well_as_tuples(build, ends):
    network = build(*json.loads(json.dumps(ends)))
    assert network.output_shape == (None, *ends[1])


@BUILT
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_config_and_weights_round_trip(build, ends, normalization):
    network = build(*ends, normalization=normalization, dropout=0.5, kernel_initializer="dcgan")
    copy = keras.Model.from_config(json.loads(json.dumps(network.get_config())))
    copy.set_weights(network.get_weights())
    np.testing.assert_array_equal(run(copy, data(ends[0])), run(network, data(ends[0])))


@EVERY
def test_a_saved_file_round_trips(build, ends, tmp_path):
    network = build(*ends, **({"activation": "leaky_relu"} if accepts(build, "activation") else {}))
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(run(loaded, data(ends[0])), run(network, data(ends[0])))


@BUILT
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_every_trainable_variable_moves(build, ends, normalization):
    options = {"normalize_first": True} if build is conv_encoder else {}
    keras.utils.set_random_seed(0)
    network = build(*ends, normalization=normalization, activation="leaky_relu", **options)
    before = [keras.ops.convert_to_numpy(v).copy() for v in network.trainable_variables]
    network.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    network.train_on_batch(data(ends[0]), data(ends[1], seed=1))
    for variable, old in zip(network.trainable_variables, before, strict=True):
        # 1e-5: rounding alone moves a bias that batch normalisation hides by about 1e-9.
        assert abs(keras.ops.convert_to_numpy(variable) - old).max() > 1e-5, variable.path


@BUILT
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_answers_in_compute_dtype(build, ends, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        output = build(*ends, normalization="batch")(data(ends[0]))
    finally:
        keras.config.set_dtype_policy(before)
    dtype = keras.backend.standardize_dtype(output.dtype)
    assert dtype == policy.removeprefix("mixed_")


@BUILT
@pytest.mark.parametrize("activation, low, high", [("sigmoid", 0, 1), ("tanh", -1, 1)])
def test_output_activation_bounds_the_output(build, ends, activation, low, high):
    x = 100 * data(ends[0])
    bounded, free = run(build(*ends, output_activation=activation), x), run(build(*ends), x)
    assert low <= bounded.min() < bounded.max() <= high
    assert free.min() < -1 and free.max() > 1


@BUILT
def test_dropout_acts_in_training_only(build, ends):
    network, x = build(*ends, dropout=0.5), data(ends[0])
    np.testing.assert_array_equal(run(network, x), run(network, x, training=False))
    assert not np.allclose(run(network, x, training=True), run(network, x, training=True))


@BUILT
@pytest.mark.parametrize("initializer", ["dcgan", keras.initializers.HeNormal()])
def test_layers_do_not_start_alike(build, ends, initializer):
    """An initializer shared between layers would give equal shapes equal weights."""
    hidden = {"units": (5, 5, 5)} if build is mlp else {"filters": (5, 5, 5)}
    hidden = hidden if accepts(build, *hidden) else {}
    network = build(*ends, kernel_initializer=initializer, **hidden)
    kernels = [w.value for w in network.trainable_variables if w.name == "kernel"]
    kernels = [keras.ops.convert_to_numpy(k) for k in kernels]
    pairs = [(a, b) for i, a in enumerate(kernels) for b in kernels[:i] if a.shape == b.shape]
    assert pairs
    assert all(abs(a - b).max() > 0 for a, b in pairs)


@BUILT
def test_dcgan_initializer_is_a_normal_of_deviation_2_percent(build, ends):
    network = build(*ends, kernel_initializer="dcgan")
    kernels = [v for v in network.trainable_variables if v.name == "kernel"]
    values = np.concatenate([keras.ops.convert_to_numpy(k).ravel() for k in kernels])
    assert len(values) > 5000
    assert values.std() == pytest.approx(0.02, rel=0.05)
    assert values.mean() == pytest.approx(0, abs=0.001)


@BUILT
def test_the_output_bias_can_be_left_out(build, ends):
    with_bias, without = build(*ends), build(*ends, output_bias=False)
    assert with_bias.count_params() - without.count_params() == ends[1][-1]


@EVERY
def test_the_name_is_an_option_and_layers_are_named_alike_each_time(build, ends):
    first, second = build(*ends, name="critic"), build(*ends, name="critic")
    assert first.name == "critic"
    # But for the generators of layers that drop out, which Keras numbers on.
    paths = [[v.path for v in n.variables if "seed" not in v.path] for n in (first, second)]
    assert paths[0] == paths[1]


WRONG = {
    "activation": ["swash", 3],
    "normalization": ["group", True],
    "batch_norm_momentum": [1.0, -0.1, "0.9"],
    "dropout": [1.0, -0.1, True],
    "kernel_initializer": ["glorot", 0.02],
    "output_activation": ["relu"],
    "units": [256, (0,), (2.5,), "256"],
    "filters": [32, (), (0,), (True,), (2,) * 20],
    "width": [0, 2.0],
    "kernel_size": [0, (4, 4)],
}


@EVERY
def test_a_wrong_option_is_named_in_one_line(build, ends):
    for option in set(inspect.signature(build).parameters) & set(WRONG):
        for value in WRONG[option]:
            with pytest.raises(ValueError, match=f"^{option}: expected .*, got ") as error:
                build(*ends, **{option: value})
            assert "\n" not in str(error.value)


@EVERY
@pytest.mark.parametrize("shape", [(0,), (), 3, (None, 3), ("28",), (-1, 2, 3)])
def test_a_wrong_shape_is_named(build, ends, shape):
    with pytest.raises(ValueError, match="^input_shape: expected "):
        build(shape, ends[1])
    if build in (conv_decoder, residual_decoder):
        with pytest.raises(
            ValueError, match="^output_shape: expected .(height, width|steps), channels"
        ):
            build(ends[0], shape)

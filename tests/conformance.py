"""What every model must do, whatever its maths: one parametrized suite over `families.CASES`.

Compiling a step costs far more than taking it, so the tests of one case come one after another
and share what was compiled: `rehearsed` is one model and its short run, `looped` another that takes
two compiled steps a call, `fitted` the latter trained for long, `trained` the outcome of a short
run in another way.
"""

import functools
import importlib.util

import keras
import numpy as np
import pytest
from conftest import ALL
from families import CASES, EXAMPLES, named
from keras import ops

BATCH = 16  # 40 examples: two full batches and a short one of 8
WHOLE = 2 * BATCH  # without the short one, whose shape is a program of its own
STEPS = 2 * WHOLE // BATCH  # of a short run, of two epochs
# Epochs of `fitted`, and how often each shows the examples where a loss is to fall: 48 steps.
LONG, ROUNDS = 8, 3
# How few steps are taken soonest. JAX would compile each of their operations; the others take
# longer to trace a step than to take four.
FEW_STEPS = {"run_eagerly": keras.backend.backend() != "jax"}
# One player, several of them with labels, a derivative of a derivative: more combinations on these.
CROSSED = named("autoencoder", "cgan_hinge_two_steps", "rae_gradient_penalty")
UNLABELLED, LABELLED = named("vae", "cgan_hinge_two_steps")
# One case of each kind of network: what a precision can meet that is not float16's.
NETWORKS = named("vae_signal", "vqvae_ema", "flow_vae", "dcgan_averaged", "style_gan", "pix2pix")
# What a step may remember outside of weights: an average, a pool of images, a stage, a controller.
REMEMBERING = (*CROSSED, *named("dcgan_averaged", "cycle_gan", "progressive_gan", "began"))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


crossed = pytest.mark.parametrize("case", CROSSED, ids=lambda case: case.name)


def examples_of(case, examples):
    """The first examples of the data, and their labels or None."""
    return tuple(part if part is None else part[:examples] for part in case.data())


def fit(model, case, epochs=1, examples=EXAMPLES, rounds=1, **options):
    parts = [
        part if part is None else np.tile(part, (rounds, *[1] * (part.ndim - 1)))
        for part in examples_of(case, examples)
    ]
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0, **options}
    return model.fit(*parts, epochs=epochs, **options).history


def values(variables):
    # By place: Keras numbers the names of models and layers on, from one model to the next.
    return {
        f"{i} {v.path.split('/', 1)[-1]}": np.array(ops.convert_to_numpy(v.value))
        for i, v in enumerate(variables)
    }


def state_of(model):
    return [*model.variables, *model.optimizer.variables]


def everything(model):
    return values(state_of(model))


def rewind(model, state):
    """Give a model the values that `everything` told of it: it need not be compiled anew."""
    for variable, value in zip(state_of(model), state.values(), strict=True):
        variable.assign(value)


def assert_same(first, second, **tolerance):
    for (path, value), other in zip(first.items(), second.values(), strict=True):
        np.testing.assert_allclose(value, other, err_msg=path, **tolerance)


def assert_in_range(case, examples):
    low, high = (-np.inf, np.inf) if case.unbounded else case.value_range
    assert np.all(np.isfinite(examples)) and low <= examples.min() and examples.max() <= high


def assert_terms(model, history):
    assert set(history) == set(model.terms)
    for term, numbers in history.items():
        assert np.all(np.isfinite(numbers)), term


@functools.lru_cache(maxsize=1)
def rehearsed(case):
    """A model, its first values, and the outcome of its short run, a step at a time."""
    return begun_and_trained(case, **FEW_STEPS)


@functools.lru_cache(maxsize=1)
def looped(case):
    """As `rehearsed`, two steps a call, compiled as those of a user's long run are."""
    chosen = rehearsed(case)[0]._resolve_jit_for(steps=10**6)  # None: it is for Keras to say yes
    return begun_and_trained(case, jit_compile=chosen is not False, steps_per_execution=2)


def begun_and_trained(case, examples=WHOLE, **compile_options):
    keras.utils.set_random_seed(3)
    model = case.model(**compile_options)
    first = everything(model)
    history = fit(model, case, epochs=2, examples=examples)
    return model, first, (history, everything(model))


@functools.lru_cache(maxsize=1)
def fitted(case):
    """The model of `looped` trained for long, and that history. No test counts on its weights."""
    model, _, _ = looped(case)
    validation = {"validation_data": case.data(), "validation_freq": LONG}
    validation["validation_batch_size"] = EXAMPLES
    rounds = ROUNDS if case.falling else 1
    return model, fit(model, case, epochs=LONG, examples=WHOLE, rounds=rounds, **validation)


@functools.lru_cache(maxsize=8)
def trained(case, examples=WHOLE, **compile_options):
    """History and final values of two epochs: the start and the batches of `rehearsed`."""
    return begun_and_trained(case, examples, **compile_options)[2]


# -- Sources of batches -------------------------------------------------------------------------


def batches_of(x, labels, bare):
    for start in range(0, len(x), BATCH):
        part = slice(start, start + BATCH)
        if labels is not None:
            yield x[part], labels[part]
        else:
            yield x[part] if bare else (x[part],)


def as_generator(x, labels, bare):
    def endless():
        while True:
            yield from batches_of(x, labels, bare)

    return endless()


def as_py_dataset(x, labels, bare):
    batches = list(batches_of(x, labels, bare))

    class Source(keras.utils.PyDataset):
        def __len__(self):
            return len(batches)

        def __getitem__(self, index):
            return batches[index]

    return Source()


def as_tf_data(x, labels, bare):
    import tensorflow as tf

    tensors = (x, labels) if labels is not None else x if bare else (x,)
    return tf.data.Dataset.from_tensor_slices(tensors).batch(BATCH)


def as_data_loader(x, labels, bare):
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    if bare and labels is None:
        return DataLoader(torch.from_numpy(x), batch_size=BATCH)
    tensors = [torch.from_numpy(part) for part in (x, labels) if part is not None]
    return DataLoader(TensorDataset(*tensors), batch_size=BATCH)


def as_grain(x, labels, bare):
    import grain

    def example(i):
        return (x[i], labels[i]) if labels is not None else x[i] if bare else (x[i],)

    return grain.MapDataset.range(len(x)).map(example).batch(BATCH)


SOURCES = {
    "generator": (None, as_generator),
    "py_dataset": (None, as_py_dataset),
    "tf_data": ("tensorflow", as_tf_data),
    "data_loader": ("torch", as_data_loader),
    "grain": ("grain", as_grain),
}


@functools.cache
def evaluated_after_arrays(case):
    """A model, its first values, and what it reaches on arrays."""
    keras.utils.set_random_seed(1)
    model = case.model()
    first = everything(model)
    fit(model, case, epochs=2)
    x, labels = case.data()
    return model, first, model.evaluate(x, labels, batch_size=BATCH, verbose=0, return_dict=True)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "case, bare",
    [(UNLABELLED, True), (UNLABELLED, False), (LABELLED, False)],
    ids=["bare", "tuples", "labels"],
)
def test_fits_every_source_as_it_fits_arrays(case, source, bare):
    package, make = SOURCES[source]
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    model, first, expected = evaluated_after_arrays(case)
    rewind(model, first)
    x, labels = case.data()
    options = {"steps_per_epoch": 3} if source == "generator" else {}
    history = model.fit(make(x, labels, bare), verbose=0, shuffle=False, epochs=2, **options)
    assert_terms(model, history.history)
    assert int(model.optimizer.iterations) == 6
    steps = {"steps": 3} if source == "generator" else {}
    result = model.evaluate(make(x, labels, bare), verbose=0, return_dict=True, **steps)
    for term, number in expected.items():
        assert result[term] == pytest.approx(number, rel=1e-4), term


# -- Training -----------------------------------------------------------------------------------


def test_every_term_is_logged_and_every_variable_moves(case):
    first = rehearsed(case)[1]
    model, history = fitted(case)
    assert set(history) == {*model.terms, *(f"val_{term}" for term in model.terms)}
    assert all(np.all(np.isfinite(numbers)) for numbers in history.values())
    assert {len(history[term]) for term in model.terms} == {LONG}
    trainable = {id(variable) for variable in model.trainable_variables}
    still = [
        path
        for (path, value), variable in zip(everything(model).items(), state_of(model), strict=True)
        if id(variable) in trainable
        and np.array_equal(value, first[path])
        and not any(part in path for part in case.still)
    ]
    assert not still, f"these variables never move: {still}"


def test_the_loss_falls(case):
    if case.falling is None:
        pytest.skip("an adversarial loss need not fall; its pictures are judged instead")
    _, _, (short, _) = rehearsed(case)
    _, history = fitted(case)
    assert history[case.falling][-1] < 0.8 * short[case.falling][0]


def test_evaluation_moves_nothing_and_repeats(case):
    model, _ = fitted(case)
    x, labels = case.data()
    before = everything(model)
    first = model.evaluate(x, labels, batch_size=EXAMPLES, verbose=0, return_dict=True)
    second = model.evaluate(x, labels, batch_size=EXAMPLES, verbose=0, return_dict=True)
    assert first == second
    after = everything(model)
    moved = [path for path in before if not np.array_equal(before[path], after[path])]
    assert [path for path in moved if "evaluation_calls" not in path] == []


def test_samples_have_the_shape_and_range_of_the_data_and_repeat(case):
    model, _ = fitted(case)
    before = everything(model)
    x, _ = case.data()
    sample = ops.convert_to_numpy(case.sample(model, 7, seed=3))
    assert (
        sample.shape == (7, *x[..., case.input_channels :].shape[1:]) and sample.dtype == "float32"
    )
    assert_in_range(case, sample)
    np.testing.assert_array_equal(sample, ops.convert_to_numpy(case.sample(model, 7, seed=3)))
    assert not np.array_equal(sample, ops.convert_to_numpy(case.sample(model, 7, seed=4)))
    fresh = [ops.convert_to_numpy(case.sample(model, 7)) for _ in range(2)]
    assert not np.array_equal(*fresh)
    assert_same(before, everything(model), rtol=0)


def test_an_autoencoder_repairs_walks_and_traverses(case):
    """Whatever its codes are: shapes, the range of the data, and ends that are reconstructions."""
    if case.from_noise or case.input_channels:
        pytest.skip("a generator has no codes of examples")
    model, _ = fitted(case)
    x, labels = case.data(4)
    mask = np.ones(x.shape[1:], "float32")
    mask[:3] = 0
    # Arrays without ado: nothing of a result asks for gradients.
    rebuilt, repaired = (
        np.asarray(model.reconstruct(x, labels, mask=each)) for each in (None, mask)
    )
    np.testing.assert_array_equal(repaired[:, 3:], x[:, 3:])
    assert not np.array_equal(repaired[:, :3], x[:, :3])
    walk = model.interpolate(x[:2], x[2:], 3, labels=None if labels is None else labels[:2])
    assert walk.shape == (2, 3, *x.shape[1:])
    np.testing.assert_allclose(walk[:, 0], rebuilt[:2], atol=1e-5)
    moved = model.traverse(x[:2], [0], [-1.0, 1.0], labels=None if labels is None else labels[:2])
    assert moved.shape == (2, 1, 2, *x.shape[1:])
    for part in (rebuilt, repaired, walk, moved):
        assert_in_range(case, part)


def test_labels_are_asked_for_and_checked(case):
    model, _, _ = rehearsed(case)
    x, _ = case.data()
    if not case.labels:
        with pytest.raises(ValueError, match="takes none"):
            model.sample(2, labels=[0])
        return
    with pytest.raises(ValueError, match="is conditional and got no labels"):
        model.fit(x, verbose=0)
    with pytest.raises(ValueError, match="takes 0 to 2; got 7"):
        model.fit(x, np.full(len(x), 7), verbose=0)
    with pytest.raises(ValueError, match="takes 0 to 2; got 9"):
        model.sample(2, labels=[9])
    assert ops.convert_to_numpy(model.sample(4, labels=[0, 2])).shape[0] == 4


@crossed
def test_a_step_outside_fit_is_the_step_inside(case):
    """Parity holds the same of every case."""
    outside, first, _ = rehearsed(case)
    inside = looped(case)[2]
    rewind(outside, first)
    x, labels = examples_of(case, WHOLE)
    history = {term: [] for term in outside.terms}
    for _ in range(2):
        outside.reset_metrics()
        for batch in batches_of(x, labels, bare=False):
            logs = outside.train_step(batch)
        assert set(logs) == set(outside.terms)
        for term, numbers in history.items():
            numbers.append(float(logs[term]))
    assert_same_run(case, STEPS, inside, (history, everything(outside)))


@pytest.mark.parametrize("case", [UNLABELLED, LABELLED], ids=["no_labels", "labels"])
def test_batch_by_batch_is_fit(case):
    """`train_on_batch` and `test_on_batch`, as of any Keras model."""
    keras.utils.set_random_seed(2)
    whole = case.model()
    fit(whole, case)
    keras.utils.set_random_seed(2)
    single = case.model()
    x, labels = case.data()
    for batch in batches_of(x, labels, bare=False):
        logs = single.train_on_batch(*batch, return_dict=True)
    assert set(logs) == set(single.terms)
    assert_same(everything(whole), everything(single), rtol=1e-4, atol=1e-5)
    first = [part[:BATCH] for part in (x, labels) if part is not None]
    judged = whole.evaluate(*first, batch_size=BATCH, verbose=0, return_dict=True)
    alone = single.test_on_batch(*first, return_dict=True)
    for term, value in judged.items():
        np.testing.assert_allclose(alone[term], value, rtol=1e-4, err_msg=term)


# -- Ways to run: all the same numbers ------------------------------------------------------------

# Of what a run moved, in norm: the rounding of another order of sums is far below, a variable that
# a way forgets to move (an average, a codebook, a moment, a statistic) is at 1.
STRAY = 0.02


def rates_of(model):
    """`{id of a trainable variable: the learning rate of its player}`."""
    return {
        id(variable): float(ops.convert_to_numpy(model.optimizer[player].learning_rate))
        for player in model.optimizer
        for variable in model.player_variables(player)
    }


def assert_moved_alike(begun, first, second, stray=STRAY):
    """Two ends of one start: each variable apart by a small share of what it was moved by."""
    for (path, value), start, other in zip(
        first.items(), begun.values(), second.values(), strict=True
    ):
        value, start, other = (np.asarray(v, "float64") for v in (value, start, other))
        moved, apart = np.linalg.norm(value - start), np.linalg.norm(value - other)
        assert apart <= stray * moved + 1e-7, f"{path}: {apart} apart, moved by {moved}"


def assert_same_run(case, steps, first, second):
    """Two outcomes of one run: `(history, final values)`."""
    model, begun, _ = rehearsed(case)
    assert first[0].keys() == second[0].keys()
    for term in first[0]:
        np.testing.assert_allclose(first[0][term], second[0][term], rtol=1e-4, err_msg=term)
    assert_moved_alike(begun, first[1], second[1])
    rates = rates_of(model)
    for variable, (path, value), other in zip(
        state_of(model), first[1].items(), second[1].values(), strict=True
    ):
        if id(variable) in rates:
            # Adam turns rounding into whole steps where a gradient is nearly zero.
            bound = 0.1 * rates[id(variable)] * steps
            np.testing.assert_allclose(other, value, rtol=0, atol=bound, err_msg=path)


WAYS = {
    "jit": {"jit_compile": True},
    "eager": {"run_eagerly": True},
    "two_steps_a_call": {"jit_compile": False, "steps_per_execution": 2},
    "two_steps_a_call_jit": {"jit_compile": True, "steps_per_execution": 2},
}


def test_two_compiled_steps_a_call_give_the_same_numbers(case):
    assert_same_run(case, STEPS, rehearsed(case)[2], looped(case)[2])


@pytest.mark.parametrize("way", WAYS)
@crossed
def test_every_way_takes_a_short_batch(case, way):
    expected = trained(case, EXAMPLES, jit_compile=False)
    assert_same_run(case, 6, expected, trained(case, EXAMPLES, **WAYS[way]))


BOTH = "mixed_bfloat16", "mixed_float16"
# Compiled where networks or ways to run differ; all in float16, whose range is the harder.
COMPILED = [(case, "mixed_bfloat16", "auto") for case in NETWORKS]
COMPILED += [(case, policy, jit) for case in CROSSED for policy in BOTH for jit in (False, True)]


def assert_trains(case, policy, epochs, scale=None, **compile_options):
    keras.config.set_dtype_policy(policy)
    model = case.model(**compile_options)
    assert (model.optimizer.loss_scale is not None) == (policy == "mixed_float16")
    if scale is not None:
        model.optimizer.loss_scale.value.assign(scale)
    before = values(model.trainable_variables)
    history = fit(model, case, epochs=epochs, examples=WHOLE)
    assert_terms(model, history)
    after = values(model.trainable_variables)
    moved = [path for path in before if not np.array_equal(before[path], after[path])]
    assert len(moved) > 0.8 * len(before)
    assert all(value.dtype == "float32" for value in after.values())
    assert ops.convert_to_numpy(case.sample(model, 3, seed=0)).dtype == "float32"


@pytest.mark.parametrize(
    "case, policy, jit",
    COMPILED,
    ids=[f"{case.name}-{policy}-{jit}" for case, policy, jit in COMPILED],
)
def test_compiled_mixed_precision_trains(case, policy, jit):
    # The loss scale starts at 2^15 and halves until nothing overflows: ten steps or so.
    epochs = 8 if policy == "mixed_float16" else 1
    assert_trains(case, policy, epochs, jit_compile=jit)


# JAX casts by itself what the others refuse: one case of each kind of network, and all by hand.
FLOAT16 = CASES if ALL or keras.backend.backend() != "jax" else NETWORKS
FLOAT16 = [case for case in FLOAT16 if case not in CROSSED]


@pytest.mark.parametrize("case", FLOAT16, ids=lambda case: case.name)
def test_mixed_precision_trains(case):
    # From a scale at which nothing overflows, or in a step or two.
    assert_trains(case, "mixed_float16", 2, scale=2.0**4, **FEW_STEPS)


# -- Saving ---------------------------------------------------------------------------------------


def saved_and_loaded(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def test_a_saved_model_is_the_same_model(case, tmp_path):
    """Type, arguments, optimizers and state: all that its next step could depend on."""
    model, _ = fitted(case)
    loaded = saved_and_loaded(model, tmp_path)
    assert type(loaded) is type(model) and loaded.compiled
    assert list(loaded.optimizer) == list(model.optimizer)
    assert loaded.get_compile_config() == model.get_compile_config()
    for (path, value), kept in zip(
        everything(model).items(), everything(loaded).values(), strict=True
    ):
        # Keras does not save the generators of its layers; our steps never draw from them.
        if "seed_generator" not in path:
            np.testing.assert_array_equal(value, kept, err_msg=path)
    samples = [ops.convert_to_numpy(case.sample(m, 5, seed=1)) for m in (model, loaded)]
    np.testing.assert_array_equal(*samples)


@pytest.mark.parametrize("case", REMEMBERING, ids=lambda case: case.name)
def test_a_saved_model_trains_on_alike(case, tmp_path):
    model, _, _ = rehearsed(case)
    loaded = saved_and_loaded(model, tmp_path)
    first, second = fit(model, case, examples=WHOLE), fit(loaded, case, examples=WHOLE)
    for term in first:
        np.testing.assert_allclose(first[term], second[term], rtol=1e-5, err_msg=term)


def test_a_config_builds_the_same_model(case):
    model, _, _ = rehearsed(case)
    again = type(model).from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert [v.shape for v in again.variables] == [v.shape for v in model.variables]


def test_call_is_what_is_predicted(case):
    model, _, (_, short) = looped(case)
    rewind(model, short)  # of few steps: what is far from its range rounds by more
    x, labels = case.data(8)
    shape = x[..., case.input_channels :].shape
    if case.input_channels:
        x = x[..., : case.input_channels]
    if case.from_noise:
        x = ops.convert_to_numpy(model.draw_noise(ops.convert_to_tensor(x)))
    inputs = x if labels is None else (x, labels)
    predicted = model.predict(inputs, verbose=0, batch_size=4)
    assert predicted.shape == shape
    alone = ops.convert_to_numpy(model(inputs))
    difference = np.abs(predicted - alone)
    assert np.linalg.norm(difference) <= 5e-6 * np.linalg.norm(alone)
    # Rounding is of the size of the largest numbers, also in those near 0.
    allowed = np.full_like(alone, 1e-5 * max(1.0, np.abs(alone).max()))
    if np.any(difference > allowed):
        # Where a normalization divides by nearly nothing (a pixel of the progressive GAN by 0.005),
        # rounding grows: by as much as a change of the input by a few roundings moves that number.
        rng = np.random.default_rng(0)
        for _ in range(4):
            nearly = x * (1 + 1e-6 * rng.normal(size=x.shape)).astype("float32")
            moved = model(nearly if labels is None else (nearly, labels))
            allowed = np.maximum(allowed, np.abs(ops.convert_to_numpy(moved) - alone))
    assert np.all(difference <= allowed), f"{difference.max()} apart"


def test_the_toy_is_what_the_suite_says():
    assert EXAMPLES % BATCH == 8 and WHOLE < EXAMPLES

"""The engine's names, against closed forms, and the plain path beside each fast one."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen
from keras_gen import engine


def variable(value, **kwargs):
    return keras.Variable(np.asarray(value, "float32"), **kwargs)


def test_value_and_grad_of_a_quadratic():
    w, unused = variable([1.0, -2.0, 3.0]), variable([5.0])

    def objective():
        return ops.sum(ops.square(w) * ops.array([1.0, 2.0, 3.0])), {"twice": 2 * w.value}

    (loss, aux), gradients = engine.value_and_grad(objective, [w, unused])
    assert float(loss) == pytest.approx(1 + 8 + 27)
    np.testing.assert_allclose(ops.convert_to_numpy(aux["twice"]), [2, -4, 6])
    np.testing.assert_allclose(ops.convert_to_numpy(gradients[0]), [2, -8, 18])
    np.testing.assert_allclose(ops.convert_to_numpy(gradients[1]), [0])


def test_writes_inside_an_objective_are_kept():
    w, seen = variable([2.0]), variable(0.0, trainable=False)

    def objective():
        seen.assign(seen + ops.sum(w))
        seen.assign(seen * 10.0)
        return ops.sum(w * w), {}

    engine.value_and_grad(objective, [w])
    engine.value_and_grad(objective, [w])
    assert float(seen.value) == pytest.approx((0 + 2) * 10 * 10 + 2 * 10)


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "jit"])
def test_no_gradient_flows_through_an_assignment(jit):
    """A running statistic that is written and read in one objective is a constant to it."""

    class Statistic(keras_gen.GenerativeModel):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.weight = self.add_weight(shape=(), initializer="ones", name="weight")
            self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")

        def objective(self, x, noise, labels, training):
            self.seen.assign(5.0 * self.weight)
            return 2.0 * ops.convert_to_tensor(self.weight) + 3.0 * self.seen, {}

    model = Statistic()
    model.compile(keras.optimizers.SGD(0.1), jit_compile=jit)
    model.fit(np.zeros((4, 1), "float32"), batch_size=4, verbose=0)
    assert ops.convert_to_numpy(model.seen.value) == pytest.approx(5.0)
    assert ops.convert_to_numpy(model.weight.value) == pytest.approx(1.0 - 0.1 * 2.0)


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "jit"])
def test_a_copy_of_a_weight_stays_what_it_was(jit):
    """A target network: it keeps the weight from before the step, which then moves in place."""

    class Target(keras_gen.GenerativeModel):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.weight = self.add_weight(shape=(3,), initializer="ones", name="weight")
            self.before = self.add_weight(shape=(3,), trainable=False, name="before")

        def train_step(self, data):
            self.unpack(data)
            self.before.assign(self.weight.value)
            loss, _ = engine.minimize(
                lambda: (ops.sum(2.0 * ops.convert_to_tensor(self.weight)), {}),
                [self.weight],
                self.optimizer,
            )
            return self.log(loss=loss)

    model = Target()
    model.compile(keras.optimizers.Adam(0.5), jit_compile=jit)
    model.fit(np.zeros((4, 1), "float32"), batch_size=4, verbose=0)
    np.testing.assert_array_equal(ops.convert_to_numpy(model.before.value), np.ones(3))
    np.testing.assert_allclose(
        ops.convert_to_numpy(model.weight.value), 0.5 * np.ones(3), rtol=1e-5
    )


def test_input_gradient_of_a_cube_and_of_its_gradient():
    x = ops.array([[1.0, -2.0], [0.5, 3.0]])
    first = engine.input_gradient(lambda x: ops.sum(x**3, axis=1), x)
    second = engine.input_gradient(lambda x: engine.input_gradient(lambda y: y**3, x), x)
    np.testing.assert_allclose(ops.convert_to_numpy(first), 3 * ops.convert_to_numpy(x) ** 2)
    np.testing.assert_allclose(ops.convert_to_numpy(second), 6 * ops.convert_to_numpy(x))


def test_a_value_beside_its_input_gradient_is_that_of_the_same_pass():
    """`w x**2`: value, what else it says, and `2 w x`; then by w, through value and slope."""
    w, x = variable(3.0), ops.array([[1.0], [-2.0]])

    def objective():
        (value, aux), slope = engine.value_and_input_gradient(lambda x: (w * x**2, x + 1.0), x)
        return ops.sum(value) + ops.sum(slope**2), (value, aux, slope)

    (total, seen), (by_w,) = engine.value_and_grad(objective, [w])
    for found, expected in zip(seen, ([3.0, 12.0], [2.0, -1.0], [6.0, -12.0]), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(ops.stop_gradient(found))[:, 0], expected)
    assert float(total) == pytest.approx(15.0 + 180.0)
    assert float(by_w) == pytest.approx(5.0 + 8.0 * 3.0 * 5.0)  # 1 + 4, and 2 w 4 (1 + 4)


def test_input_gradient_keeps_what_the_function_writes():
    calls = variable(0.0, trainable=False)

    def critic(x):
        calls.assign(calls + 1.0)
        return ops.sum(x, axis=1)

    engine.input_gradient(critic, ops.ones((2, 3)))
    assert float(calls.value) == 1.0


def test_minimize_through_a_gradient_penalty_of_a_linear_critic():
    # (|w| - 1)^2 has the gradient 2 (|w| - 1) w / |w|: here |w| = 5.
    w = variable([3.0, 4.0])
    sgd = keras.optimizers.SGD(0.1)
    x = ops.ones((4, 2))

    def objective():
        gradient = engine.input_gradient(lambda x: ops.sum(x * w, axis=-1), x)
        norm = ops.sqrt(ops.sum(ops.square(gradient), axis=-1))
        return ops.mean(ops.square(norm - 1.0)), {"norm": ops.mean(norm)}

    loss, aux = engine.minimize(objective, [w], sgd)
    assert float(loss) == pytest.approx(16.0)
    assert float(aux["norm"]) == pytest.approx(5.0)
    expected = np.array([3.0, 4.0]) - 0.1 * 8 * np.array([0.6, 0.8])
    np.testing.assert_allclose(ops.convert_to_numpy(w.value), expected, rtol=1e-6)


def test_minimize_adds_the_regularizers_of_the_variables_to_the_gradient_only():
    w = variable([2.0, -1.0])
    w.regularizer = keras.regularizers.L2(0.5)
    loss, _ = engine.minimize(lambda: (ops.sum(w), {}), [w], keras.optimizers.SGD(0.1))
    assert float(loss) == pytest.approx(1.0)
    # d/dw (sum w + 0.5 sum w^2) = 1 + w
    np.testing.assert_allclose(
        ops.convert_to_numpy(w.value), [2 - 0.1 * 3, -1 - 0.1 * 0], atol=1e-6
    )


def test_an_objective_that_returns_no_pair_is_named():
    w = variable([1.0])
    with pytest.raises(TypeError, match="pair \\(loss, aux\\)"):
        engine.minimize(lambda: ops.sum(w), [w], keras.optimizers.SGD(0.1))


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Lion"])
def test_gradient_accumulation_equals_one_step_on_the_mean_gradient(name):
    make = getattr(keras.optimizers, name)
    slow, plain = variable([1.0, -2.0]), variable([1.0, -2.0])
    accumulating = make(0.1, gradient_accumulation_steps=3)
    direct = make(0.1)
    slopes = np.array([[1.0, 2.0], [-4.0, 0.5], [6.0, 0.5]], "float32")
    for _ in range(2):
        for i, slope in enumerate(slopes):
            before = ops.convert_to_numpy(slow.value)
            engine.minimize(lambda slope=slope: (ops.sum(slow * slope), {}), [slow], accumulating)
            if i < 2:
                np.testing.assert_array_equal(ops.convert_to_numpy(slow.value), before)
        engine.minimize(lambda: (ops.sum(plain * slopes.mean(0)), {}), [plain], direct)
        np.testing.assert_allclose(
            ops.convert_to_numpy(slow.value), ops.convert_to_numpy(plain.value), rtol=2e-6
        )
    assert int(accumulating.iterations) == 2


def adams(**options):
    """Three steps of Adam by hand, in float64, beside what the engine makes of them."""
    rng = np.random.default_rng(5)
    w = variable(rng.normal(size=(3, 4)))
    gradients = rng.normal(size=(3, 3, 4))
    optimizer = keras.optimizers.Adam(learning_rate=0.01, beta_1=0.5, beta_2=0.9, **options)
    optimizer.build([w])
    expected, m, v = ops.convert_to_numpy(w.value).astype("float64"), 0.0, 0.0
    for t, gradient in enumerate(gradients, start=1):
        engine.apply_gradients(optimizer, [ops.cast(gradient, "float32")], [w])
        m, v = 0.5 * m + 0.5 * gradient, 0.9 * v + 0.1 * gradient**2
        expected -= 0.01 * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-12)
    return ops.convert_to_numpy(w.value), expected, optimizer, (m, v)


def test_adam_takes_kingma_and_bas_steps():
    """Kingma & Ba 2015, algorithm 1, whichever kernel the backend takes them by."""
    got, expected, optimizer, moments = adams(epsilon=1e-12)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    kept = (optimizer._momentums[0], optimizer._velocities[0])
    for variable_, moment in zip(kept, moments, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(variable_.value), moment, rtol=1e-5)
    assert int(optimizer.iterations) == 3


def small_autoencoder(convolves):
    layers = [keras.layers.Conv2D(2, 3)] if convolves else []
    encoder = keras.Sequential([keras.Input((4, 4, 1)), *layers, keras.layers.Flatten()])
    code = encoder.output_shape[1]
    decoder = keras.Sequential([keras.Input((code,)), keras.layers.Dense(16)])
    decoder.add(keras.layers.Reshape((4, 4, 1)))
    return keras_gen.models.Autoencoder(encoder, decoder, latent_dim=code)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="XLA or not is TensorFlow's")
@pytest.mark.parametrize("epochs, convolves, xla", [(9, 0, False), (10, 0, True), (10, 1, False)])
def test_xla_where_a_long_run_repays_it_and_nothing_convolves(epochs, convolves, xla, monkeypatch):
    import keras_gen.engine.tensorflow as engine_room

    monkeypatch.setattr(engine_room, "STEPS_THAT_REPAY_XLA", 40)
    model = small_autoencoder(convolves)
    model.compile("sgd")
    model.fit(np.ones((8, 4, 4, 1), "float32"), batch_size=2, epochs=epochs, verbose=0)
    assert model.jit_compile is xla


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="lax.scan is JAX's")
@pytest.mark.parametrize("convolves", [False, True], ids=["dense", "convolutions"])
def test_several_steps_are_one_loop_only_where_xla_keeps_its_convolutions(convolves, monkeypatch):
    import jax

    loops = []
    scan = jax.lax.scan
    monkeypatch.setattr(jax.lax, "scan", lambda *args: loops.append(1) or scan(*args))
    model = small_autoencoder(convolves)
    model.compile("sgd", steps_per_execution=2)
    model.fit(np.ones((8, 4, 4, 1), "float32"), batch_size=2, verbose=0)
    assert bool(loops) == (not convolves or jax.default_backend() != "cpu")

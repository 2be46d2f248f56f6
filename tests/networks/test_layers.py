"""The layers that Keras lacks, against NumPy's linear algebra."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import engine
from keras_gen.models import GAN
from keras_gen.networks.layers import (
    BilinearDoubling,
    Columns,
    GridKernel,
    LearnedGrid,
    SelfAttention,
    SpectralConv2D,
    SpectralDense,
)

pytestmark = pytest.mark.every_backend

RNG = np.random.default_rng(5)


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def built(make, shape):
    layer = make()
    layer.build((None, *shape))
    return layer


SPECTRAL = {
    "dense": (lambda **options: SpectralDense(7, **options), (5,)),
    "convolution": (lambda **options: SpectralConv2D(6, 3, padding="same", **options), (8, 8, 4)),
}


@pytest.mark.parametrize("kind", SPECTRAL)
def test_the_kernel_is_divided_by_its_largest_singular_value(kind):
    make, shape = SPECTRAL[kind]
    layer = built(lambda: make(iterations=200), shape)
    kernel = RNG.normal(size=layer.kernel.shape).astype("float32")
    layer.kernel.assign(kernel)
    divided = numpy(layer.divided_kernel(training=True))
    largest = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
    np.testing.assert_allclose(divided, kernel / largest, rtol=1e-3, atol=1e-6)
    norm = np.linalg.svd(divided.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
    assert norm == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_array_equal(numpy(layer.kernel), kernel)  # never written to


def test_a_new_layer_has_an_estimate_already():
    """Within some percent: twenty iterations on a kernel of close singular values."""
    layer = built(lambda: SpectralDense(32), (64,))
    norm = np.linalg.norm(numpy(layer.divided_kernel()), 2)
    assert 1.0 <= norm < 1.05


def test_the_estimate_moves_in_training_only_and_converges_over_the_calls():
    layer = built(lambda: SpectralDense(4), (6,))
    layer.singular_vector.assign(np.ones(4))
    x = ops.convert_to_tensor(RNG.normal(size=(3, 6)).astype("float32"))
    largest = np.linalg.svd(numpy(layer.kernel), compute_uv=False)[0]
    first = numpy(layer.singular_vector)
    layer(x, training=False)
    np.testing.assert_array_equal(numpy(layer.singular_vector), first)
    for _ in range(60):
        y = layer(x, training=True)
    expected = numpy(x) @ numpy(layer.kernel) / largest
    np.testing.assert_allclose(numpy(y), expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(numpy(layer(x)), expected, rtol=1e-3, atol=1e-5)


def test_the_gradient_is_that_of_the_normalized_kernel():
    """Miyato et al. 2018, equation 12: `d sum(G * W / s) = (G - sum(G * W / s) u v^T) / s`."""
    layer = built(lambda: SpectralDense(4, use_bias=False, iterations=200), (6,))
    kernel, g = numpy(layer.kernel), RNG.normal(size=(6, 4)).astype("float32")
    left, values, right = np.linalg.svd(kernel)
    (_, _), (gradient,) = engine.value_and_grad(
        lambda: (ops.sum(layer.divided_kernel(True) * ops.convert_to_tensor(g)), {}),
        [layer.kernel],
    )
    along = (g * kernel / values[0]).sum()
    expected = (g - along * np.outer(left[:, 0], right[0])) / values[0]
    np.testing.assert_allclose(numpy(gradient), expected, rtol=1e-3, atol=1e-4)


def spectral_gan(**options):
    discriminator = keras.Sequential(
        [
            keras.Input((4,)),
            SpectralDense(8, activation="tanh"),
            SpectralDense(1, use_bias=False),
        ]
    )
    generator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    model = GAN(generator, discriminator, latent_dim=3, **options)
    sgd = {player: keras.optimizers.SGD(0.05) for player in ("generator", "discriminator")}
    model.compile(sgd)
    return model


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "jit"])
def test_two_calls_a_step_and_second_derivatives(jit):
    """Real, fake and three slopes of one network in a step, each a training call."""
    model = spectral_gan(adversarial_loss="relativistic", penalty=["r1", "r2", "wgan_gp"])
    model.jit_compile = jit
    # The last layer's singular vector has one entry, 1 or -1.
    before = [numpy(v) for v in model.discriminator.variables if v.shape != (1,)]
    x = RNG.normal(size=(32, 4)).astype("float32")
    history = model.fit(x, batch_size=16, epochs=2, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    after = [numpy(v) for v in model.discriminator.variables if v.shape != (1,)]
    assert all((new != old).any() for new, old in zip(after, before, strict=True))


def test_the_estimate_is_saved_and_goes_on(tmp_path):
    model = spectral_gan()
    x = RNG.normal(size=(32, 4)).astype("float32")
    model.fit(x, batch_size=16, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for m in (model, loaded):
        m.fit(x, batch_size=16, verbose=0, shuffle=False)
    pairs = zip(model.discriminator.variables, loaded.discriminator.variables, strict=True)
    for mine, other in pairs:
        np.testing.assert_allclose(numpy(mine), numpy(other), rtol=1e-6, err_msg=mine.path)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("spectral", [False, True])
def test_self_attention_by_hand(spectral):
    x = RNG.normal(size=(2, 3, 2, 16)).astype("float32")
    layer = SelfAttention(spectral)
    np.testing.assert_array_equal(numpy(layer(x)), x)  # gamma begins at 0
    layer.gamma.assign(0.7)
    for _ in range(100 if spectral else 1):
        out = layer(x, training=True)
    flat = x.reshape(2, 6, 16)

    def weights(part):
        kernel = numpy(part.kernel)
        return kernel / (np.linalg.norm(kernel, 2) if spectral else 1.0)

    f, g, h, v = (weights(part) for part in (layer.f, layer.g, layer.h, layer.v))
    attention = softmax((flat @ f) @ (flat @ g).transpose(0, 2, 1))
    expected = flat + 0.7 * attention @ (flat @ h) @ v
    np.testing.assert_allclose(numpy(out), expected.reshape(x.shape), rtol=1e-3, atol=1e-4)


def test_a_kernel_of_the_grid_is_a_depthwise_convolution_of_its_size():
    x = RNG.normal(size=(5, 3, 4, 6)).astype("float32")
    layer, peer = GridKernel(), keras.layers.DepthwiseConv2D((3, 4), use_bias=False)
    out = numpy(layer(x))
    peer.build(x.shape)
    peer.set_weights([layer.get_weights()[0][..., None]])
    np.testing.assert_allclose(out, numpy(peer(x))[:, 0, 0], rtol=1e-4, atol=1e-6)


def test_a_learned_grid_and_columns():
    grid = LearnedGrid((2, 3))
    x = RNG.normal(size=(5, 4)).astype("float32")
    out = numpy(grid(x))
    np.testing.assert_allclose(out, x[:, None, None] * numpy(grid.grid), rtol=1e-6)
    assert out.shape == (5, 2, 3, 4)
    np.testing.assert_array_equal(numpy(Columns(1, 3)(out)), out[..., 1:3])


@pytest.mark.parametrize(
    "layer, shape",
    [
        (SpectralDense(3, iterations=2), (4,)),
        (SpectralConv2D(3, 3, iterations=2), (4, 4, 2)),
        (SelfAttention(False), (4, 4, 8)),
        (LearnedGrid((2, 2)), (4,)),
        (GridKernel(), (2, 3, 4)),
        (Columns(0, 2), (4,)),
    ],
    ids=lambda part: type(part).__name__,
)
def test_a_layer_is_its_config(layer, shape):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    outputs = [each(np.ones((1, *shape), "float32")).shape for each in (layer, again)]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("sides", [(5, 4), (1, 3)])
def test_doubling_is_keras_bilinear_resize(sides):
    x = RNG.normal(size=(2, *sides, 3)).astype("float32")
    expected = keras.layers.UpSampling2D(2, interpolation="bilinear")(x)
    np.testing.assert_allclose(numpy(BilinearDoubling()(x)), numpy(expected), rtol=1e-5, atol=1e-6)


def test_a_slope_through_a_doubling_can_be_differentiated_again():
    """`|d (k y . U x) / dx|**2 = k**2 |U^T y|**2`, U the doubling as a matrix."""
    layer, k = BilinearDoubling(), keras.Variable(1.5)
    matrix = numpy(layer(np.eye(6, dtype="float32").reshape(6, 2, 3, 1))).reshape(6, 24)
    y = RNG.normal(size=(1, 4, 6, 1)).astype("float32")
    x = ops.convert_to_tensor(RNG.normal(size=(1, 2, 3, 1)).astype("float32"))

    def objective():
        slope = engine.input_gradient(lambda x: layer(x) * k * ops.convert_to_tensor(y), x)
        return ops.sum(ops.square(slope)), {}

    (loss, _), (gradient,) = engine.value_and_grad(objective, [k])
    squares = np.sum((matrix @ y.ravel()) ** 2)
    assert float(numpy(ops.stop_gradient(loss))) == pytest.approx(1.5**2 * squares, rel=1e-5)
    assert float(numpy(gradient)) == pytest.approx(2 * 1.5 * squares, rel=1e-5)

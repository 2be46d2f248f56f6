"""The flow VAE: flows against their Jacobians, the bound against the plain VAE's."""

import numpy as np
import pytest
from keras import ops
from scipy import optimize, special
from toys import constant, linear, numpy

from keras_gen import engine, networks
from keras_gen.models import VAE, FlowVAE
from keras_gen.random import Stream

RNG = np.random.default_rng(0)
BUILDERS = {
    "iaf": (networks.inverse_autoregressive_flow, {"steps": 3, "units": (16,)}),
    "planar": (networks.planar_flow, {"steps": 3}),
}


def random_flow(name, size=3, context=2):
    build, options = BUILDERS[name]
    flow = build((size + context,), (size + 1,), **options)
    rng = np.random.default_rng(1)
    flow.set_weights([0.5 * rng.normal(size=w.shape) for w in flow.get_weights()])
    return flow


@pytest.mark.parametrize("name", BUILDERS)
def test_a_flow_says_the_determinant_of_its_jacobian(name):
    flow = random_flow(name)
    z, context = RNG.normal(size=(5, 3)).astype("float32"), RNG.normal(size=(5, 2))
    context = ops.convert_to_tensor(context.astype("float32"))

    def moved(z, d):
        return flow(ops.concatenate([z, context], axis=-1))[:, d]

    rows = [
        engine.input_gradient(lambda z, d=d: moved(z, d), ops.convert_to_tensor(z))
        for d in range(3)
    ]
    sign, expected = np.linalg.slogdet(np.stack([numpy(row) for row in rows], axis=1))
    np.testing.assert_allclose(numpy(moved(ops.convert_to_tensor(z), 3)), expected, atol=1e-4)
    if name == "planar":  # u . w > -1: no fold
        assert np.all(sign > 0)


def undo_autoregressive(flow, z, context):
    """Number by number, each from those before it: Kingma et al. 2016, section 3."""
    for i in (3, 2, 1):
        given, z = np.flip(z, -1), np.zeros_like(z)
        for d in range(z.shape[1]):
            told = numpy(flow.get_layer(f"step_{i}")(np.concatenate([z, context], -1)))
            m, s = np.split(told, 2, axis=1)
            gate = special.expit(s + 1.5)
            z[:, d] = (given[:, d] - (1 - gate[:, d]) * m[:, d]) / gate[:, d]
    return z


def beyond(a, slope, offset, goal):
    return a + slope * np.tanh(a + offset) - goal


def undo_planar(flow, z, context):
    """Along w by a search for the root, then back along u: Rezende & Mohamed 2015, A.1."""
    for i in (3, 2, 1):
        u, w, b = np.split(numpy(flow.get_layer(f"step_{i}")(context)), [3, 6], axis=1)
        along = np.sum(u * w, 1, keepdims=True)
        u = u + (np.logaddexp(0, along) - 1 - along) * w / np.sum(w * w, 1, keepdims=True)
        for row in range(len(z)):
            slope, goal = u[row] @ w[row], w[row] @ z[row]
            ends = goal - abs(slope) - 1e-6, goal + abs(slope) + 1e-6
            root = optimize.brentq(beyond, *ends, args=(slope, b[row, 0], goal), xtol=1e-12)
            z[row] -= u[row] * np.tanh(root + b[row, 0])
    return z


@pytest.mark.parametrize("name", BUILDERS)
def test_a_flow_can_be_undone(name):
    flow = random_flow(name)
    z, context = (RNG.normal(size=(6, size)).astype("float32") for size in (3, 2))
    moved = numpy(flow(np.concatenate([z, context], -1)))[:, :3]
    assert np.abs(moved - z).max() > 0.1
    undo = {"iaf": undo_autoregressive, "planar": undo_planar}[name]
    np.testing.assert_allclose(undo(flow, moved.astype("float64"), context), z, atol=1e-4)


def test_codes_are_drawn_from_the_posterior_that_the_flow_made():
    """One step with open gates turns `(z_1, z_2)` around: so do its mean and its deviation."""
    encoder = constant(4, np.array([1.0, -2.0, np.log(0.25), np.log(9.0)]))
    flow = networks.inverse_autoregressive_flow((2,), (3,), steps=1, units=(4,))
    *others, bias = flow.get_weights()
    flow.set_weights([*others, np.array([0.0, 0.0, 60.0, 60.0])])
    model = FlowVAE(encoder, constant(2, np.zeros(4)), flow, latent_dim=2, context=0)
    x = np.zeros((5000, 4), "float32")
    codes = numpy(model.draw_codes(x, Stream(1)))
    np.testing.assert_allclose(codes.mean(0), [-2.0, 1.0], atol=0.15)  # 3.5 standard errors
    np.testing.assert_allclose(codes.std(0), [3.0, 0.5], rtol=0.04)
    mean, deviation = (numpy(part) for part in model.encode(x[:2]))
    np.testing.assert_allclose(mean, [[-2.0, 1.0]] * 2, rtol=1e-5)
    np.testing.assert_allclose(deviation, [[3.0, 0.5]] * 2, rtol=0.25)


def test_a_variance_can_be_learned():
    sockets = FlowVAE.sockets((8, 8, 2), latent_dim=3, context=4, variance="learned")
    assert sockets["decoder"] == ((3,), (8, 8, 4))
    assert sockets["encoder"] == ((8, 8, 2), (10,)) and sockets["flow"] == ((7,), (4,))


def test_a_flow_that_stays_where_it_is_gives_the_vaes_bound():
    """Gates that are open, `s` large: `z = z0`, up to the order of the code."""
    encoder = linear(RNG.normal(size=(4, 4)), RNG.normal(size=4))
    decoder = linear(RNG.normal(size=(2, 4)), RNG.normal(size=4))
    flow = networks.inverse_autoregressive_flow((2,), (3,), steps=2, units=(4,))
    weights = flow.get_weights()
    for i, weight in enumerate(weights):
        if weight.shape == (4,) and i % 4 == 3:  # the biases of a step's outputs: m, m, s, s
            weights[i] = np.array([0.0, 0.0, 60.0, 60.0])
    flow.set_weights(weights)
    model = FlowVAE(encoder, decoder, flow, latent_dim=2, context=0)
    plain = VAE(encoder, decoder, latent_dim=2)
    x = ops.convert_to_tensor(RNG.uniform(size=(6, 4)).astype("float32"))
    noise = ops.convert_to_tensor(RNG.normal(size=(6, 3, 2)).astype("float32"))
    np.testing.assert_allclose(
        numpy(model.log_weights(x, noise)), numpy(plain.log_weights(x, noise)), rtol=1e-4
    )
    loss, terms = model.objective(x, (noise[:, 0], None), None, False)
    expected = -numpy(plain.log_weights(x, noise[:, :1])).mean()
    np.testing.assert_allclose(numpy(loss), expected, rtol=1e-4)
    np.testing.assert_allclose(numpy(terms["reconstruction"] + terms["kl"]), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "build, told",
    [
        (lambda: networks.planar_flow((3,), (4,)), "there is none: set context above 0"),
        (lambda: networks.planar_flow((3,), (6,)), "expected size \\+ context inputs"),
        (lambda: networks.inverse_autoregressive_flow((3,), (4,), steps=0), "steps must be"),
        (lambda: FlowVAE(None, None, None, latent_dim=2, context=-1), "context must be"),
    ],
)
def test_wrong_input_is_named(build, told):
    with pytest.raises(ValueError, match=told):
        build()

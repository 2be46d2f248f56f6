"""The flow VAE: flows against their Jacobians, the bound against the plain VAE's."""

import numpy as np
import pytest
from keras import ops
from toys import linear, numpy

from keras_gen import engine, networks
from keras_gen.models import VAE, FlowVAE

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

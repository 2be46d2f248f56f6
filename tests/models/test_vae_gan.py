"""VAE/GAN: its three losses by hand on linear networks, and who moves at whose step."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats
from toys import linear, number, numpy

from keras_gen.models import VAEGAN


def small(**options):
    rng = np.random.default_rng(0)

    def network(inputs, outputs):
        return linear(0.4 * rng.normal(size=(inputs, outputs)), 0.2 * rng.normal(size=outputs))

    return VAEGAN(
        network(5, 4), network(2, 5), network(5, 3), network(3, 1),
        latent_dim=2, features_dim=3, **options,
    )  # fmt: skip


def run(network, x):
    kernel, bias = network.get_weights()
    return x @ kernel + bias


def test_the_three_losses_are_the_papers():
    model = small(gamma=0.3)
    rng = np.random.default_rng(1)
    x, noise, prior = (rng.normal(size=(6, n)).astype("float32") for n in (5, 2, 2))
    mean, log_variance = np.split(run(model.encoder, x), 2, axis=1)
    rebuilt = run(model.decoder, mean + np.exp(log_variance / 2) * noise)
    sampled = run(model.decoder, prior)

    def judge(images):
        return run(model.discriminator, run(model.features, images))

    seen, seen_again = run(model.features, x), run(model.features, rebuilt)
    distance = -stats.norm(seen_again, 1).logpdf(seen).sum(1).mean()
    kl = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(1).mean()
    real = np.logaddexp(0, -judge(x)).mean()
    fake = 0.5 * sum(np.logaddexp(0, judge(images)).mean() for images in (rebuilt, sampled))
    fooling = 0.5 * sum(np.logaddexp(0, -judge(images)).mean() for images in (rebuilt, sampled))

    x, noise = ops.convert_to_tensor(x), tuple(map(ops.convert_to_tensor, (noise, prior)))
    found = number(model.discriminator_objective(x, noise, False))
    assert found == pytest.approx(real + fake, rel=1e-4)
    found = number(model.decoder_objective(x, noise, False))
    assert found == pytest.approx(0.3 * distance + fooling, rel=1e-4)
    loss, terms = model.encoder_objective(x, noise, False)
    assert number(loss) == pytest.approx(kl + distance, rel=1e-4)
    assert number(terms["kl"]) == pytest.approx(kl, rel=1e-4)
    assert number(terms["distance"]) == pytest.approx(distance, rel=1e-4)


@pytest.mark.parametrize("player", ["encoder", "decoder", "discriminator"])
def test_a_player_moves_its_own_networks_only(player):
    rates = {name: 0.1 if name == player else 0.0 for name in ("encoder", "decoder")}
    rates["discriminator"] = 0.1 if player == "discriminator" else 0.0
    model = small()
    model.compile({name: keras.optimizers.SGD(rate) for name, rate in rates.items()})
    networks = ("encoder", "decoder", "features", "discriminator")
    before = {name: numpy(getattr(model, name).weights[0].value) for name in networks}
    model.train_step(np.random.default_rng(2).normal(size=(4, 5)).astype("float32"))
    moved = {
        name
        for name in networks
        if not np.array_equal(before[name], numpy(getattr(model, name).weights[0].value))
    }
    assert moved == ({"features", player} if player == "discriminator" else {player})


def test_what_is_refused():
    with pytest.raises(ValueError, match="gamma must not be negative; got -1.0"):
        small(gamma=-1.0)

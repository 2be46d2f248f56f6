"""A peer: Pythae's models with the same weights and noise have the same loss and gradients."""

from unittest import mock

import numpy as np
import pytest
import pythae.models as peers
import torch
from keras import ops
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from toys import linear, number, numpy

from keras_gen import engine, models

BATCH, PIXELS, LATENT, SAMPLES = 7, 6, 3, 4
RNG = np.random.default_rng(0)
X = RNG.uniform(size=(BATCH, PIXELS)).astype("float32")
SIZES = {
    "encoder": (PIXELS, LATENT),
    "gaussian encoder": (PIXELS, 2 * LATENT),
    "decoder": (LATENT, PIXELS),
}
WEIGHTS = {
    name: (0.4 * RNG.normal(size=sizes), 0.2 * RNG.normal(size=sizes[1]))
    for name, sizes in SIZES.items()
}


def dense(name):
    kernel, bias = WEIGHTS[name]
    layer = torch.nn.Linear(*kernel.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(kernel.T))
        layer.bias.copy_(torch.tensor(bias))
    return layer


class Encoder(BaseEncoder):
    def __init__(self, name="gaussian encoder", grid=()):
        super().__init__()
        self.layer = dense(name)
        self.grid = grid

    def forward(self, x):
        mean, *more = self.layer(x.reshape(len(x), -1)).split(LATENT, dim=1)
        output = ModelOutput(embedding=mean.reshape(*mean.shape, *self.grid))
        if more:
            output["log_covariance"] = more[0]
        return output


class Decoder(BaseDecoder):
    def __init__(self, activation=torch.sigmoid):
        super().__init__()
        self.layer = dense("decoder")
        self.activation = activation

    def forward(self, z):
        return ModelOutput(reconstruction=self.activation(self.layer(z.reshape(len(z), -1))))


def theirs(name, noise, encoder, decoder, **options):
    """Loss and the gradients of both networks of one of Pythae's models."""
    config = getattr(
        peers, f"{name}Config" if hasattr(peers, f"{name}Config") else f"{name}_Config"
    )
    config = config(input_dim=(PIXELS,), latent_dim=LATENT, **options)
    model = getattr(peers, name)(config, encoder, decoder)
    drawn = mock.patch.object(torch, "randn_like", lambda *_, **__: torch.tensor(noise))
    with drawn:
        output = model({"data": torch.tensor(X)}, **({"dataset_size": 50} if "TC" in name else {}))
    output.loss.backward()
    layers = encoder.layer, decoder.layer
    return output.loss.item(), [
        gradient.numpy() for layer in layers for gradient in (layer.weight.grad.T, layer.bias.grad)
    ]


def ours(model, *noise):
    x = ops.convert_to_tensor(X)
    noise = tuple(None if each is None else ops.convert_to_tensor(each) for each in noise)
    noise = noise if len(noise) > 1 else noise[0]
    (loss, _), gradients = engine.value_and_grad(
        lambda: model.objective(x, noise, None, training=False),
        model.encoder.trainable_variables + model.decoder.trainable_variables,
    )
    return number(loss), [numpy(gradient) for gradient in gradients]


def assert_the_same(ours, theirs, value=True):
    if value:
        assert ours[0] == pytest.approx(theirs[0], rel=1e-4)
    for mine, peer in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(mine, peer, rtol=1e-4, atol=1e-4 * np.abs(peer).max())


def gaussian(family, **options):
    networks = linear(*WEIGHTS["gaussian encoder"]), linear(*WEIGHTS["decoder"])
    return family(*networks, latent_dim=LATENT, **options)


def noise(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def test_the_vae():
    eps = noise(BATCH, LATENT)
    peer = theirs("VAE", eps, Encoder(), Decoder(), reconstruction_loss="bce")
    assert_the_same(ours(gaussian(models.VAE), eps, None), peer)


def test_beta_tcvae():
    eps = noise(BATCH, LATENT)
    weights = {"alpha": 0.7, "beta": 3.0, "gamma": 1.4}
    options = {"reconstruction_loss": "bce", "use_mss": False, **weights}
    peer = theirs("BetaTCVAE", eps, Encoder(), Decoder(), **options)
    model = gaussian(models.BetaTCVAE, examples=50, **weights)
    assert_the_same(ours(model, eps, None), peer)


@pytest.mark.parametrize("name, share", [("IWAE", 0.0), ("CIWAE", 0.3)])
def test_the_iwae(name, share):
    """Pythae's loss is another number than the bound, whose gradient it has."""
    eps = noise(BATCH, SAMPLES, LATENT)
    options = {"reconstruction_loss": "bce", "number_samples": SAMPLES}
    options |= {"beta": share} if share else {}
    peer = theirs(name, eps, Encoder(), Decoder(), **options)
    model = gaussian(models.IWAE, samples=SAMPLES, elbo_share=share)
    assert_the_same(ours(model, eps, None), peer, value=False)


def test_the_wae():
    prior = noise(BATCH, LATENT)
    encoder, decoder = Encoder("encoder"), Decoder(lambda x: x)
    peer = theirs("WAE_MMD", prior, encoder, decoder, reg_weight=2.5)
    networks = linear(*WEIGHTS["encoder"]), linear(*WEIGHTS["decoder"])
    model = models.WAE(*networks, latent_dim=LATENT, penalty_weight=2.5)
    assert_the_same(ours(model, prior), peer)


def test_the_vqvae_whose_codebook_learns_by_the_loss():
    """Pythae's squares are means over a code's numbers, ours are sums."""
    codes = noise(5, LATENT)
    config = peers.VQVAEConfig(
        input_dim=(PIXELS,),
        latent_dim=LATENT,
        num_embeddings=5,
        commitment_loss_factor=0.25 * LATENT,
        quantization_loss_factor=1.0 * LATENT,
    )
    peer = peers.VQVAE(config, Encoder("encoder", grid=(1, 1)), Decoder(lambda x: x))
    with torch.no_grad():
        peer.quantizer.embeddings.weight.copy_(torch.tensor(codes))
    output = peer({"data": torch.tensor(X)})
    output.loss.backward()
    layers = peer.encoder.layer, peer.decoder.layer
    expected = [g.numpy() for each in layers for g in (each.weight.grad.T, each.bias.grad)]

    networks = linear(*WEIGHTS["encoder"]), linear(*WEIGHTS["decoder"])
    model = models.VQVAE(*networks, embedding_dim=LATENT, codebook_size=5, update="loss")
    model.codebook.codes.assign(codes)
    assert_the_same(ours(model, None), (output.loss.item(), expected))
    (_, _), (of_codes,) = engine.value_and_grad(
        lambda: model.objective(ops.convert_to_tensor(X), None, None, training=False),
        [model.codebook.codes],
    )
    peers_own = peer.quantizer.embeddings.weight.grad.numpy()
    np.testing.assert_allclose(numpy(of_codes), peers_own, rtol=1e-4, atol=1e-6)

"""Models trained to a result, as a user trains them: by `keras-gen verify`."""

import json

import keras
import pytest
from conftest import ALL
from typer.testing import CliRunner

from keras_gen import cli

pytestmark = pytest.mark.many_steps
BACKEND = keras.backend.backend()
# XLA does not optimize in TensorFlow's suite: the plain graph takes a third of the time there.
QUICK = ["train.sample_every=0"] + ["train.jit_compile=false"] * (BACKEND == "tensorflow")


def verified(name, out, *overrides):
    """`{result: number}` of a config that reaches what it expects, or of its overrides."""
    options = [part for override in (*QUICK, *overrides) for part in ("--set", override)]
    arguments = ["verify", name, "--out", str(out), "--json", *options]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.stdout, result.output
    document = json.loads(result.stdout)
    short = [verdict for verdict in document["verdicts"] if not verdict["met"]]
    assert not short, short
    assert (result.exit_code, document["met"]) == (0, True)
    return {verdict["result"]: verdict["number"] for verdict in document["verdicts"]}


# `{config: (the backend that verifies it in the gate, what it expects)}`: parity holds the others
# to the same steps.
OF_DIGITS = {
    "autoencoder_digits": ("torch", {"reconstruction_error", "reconstruction_error_of_pca"}),
    "vae_digits": ("tensorflow", {"test_loss", "test_kl", "reconstruction_error_of_pca"}),
    "vqvae_digits": ("jax", {"reconstruction_error", "reconstruction_error_of_pca"}),
    "gan_digits": (
        "jax",
        {
            f"digits_cnn_{measured}{of}"
            for measured in ("precision", "recall")
            for of in ("", "_of_gaussian")
        },
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "results"),
    [
        pytest.param(name, results, id=name)
        for name, (backend, results) in OF_DIGITS.items()
        if ALL or backend == BACKEND
    ],
)
def test_a_config_on_digits_reaches_what_it_expects(name, results, tmp_path):
    assert set(verified(name, tmp_path / "run")) == results


# The config's 200 epochs, cut to 14 by a faster rate; an average over fewer steps follows it. Seeds
# 0, 1 and 2 reached 8 modes each on JAX, shares of 0.68, 0.69 and 0.61 near one and divergences
# of 0.004, 0.007 and 0.026: the bounds leave 6 deviations. A fitted Gaussian reaches 7 modes, too,
# by 0.003 of its samples: modes alone say nothing.
SHORT = (
    *("train.epochs=14", "model.ema=0.98"),
    *(
        f"train.optimizer.{player}.{option}"
        for player in ("generator", "discriminator")
        for option in ("learning_rate.peak=4e-3", "beta_1=0.0")
    ),
    *(
        "expect.modes.at_least=7",
        "expect.high_quality.at_least=0.4",
        "expect.reverse_kl.at_most=0.1",
    ),
)


@pytest.mark.slow
def test_a_gan_finds_the_modes_of_a_ring_of_gaussians(tmp_path):
    results = verified("gan_ring", tmp_path / "run", *SHORT)
    assert results["modes"] >= 7

"""The models that the conformance and parity suites train: about ten lines a family.

A case says how to build and compile a small model, what data it takes, and which variables do
not move, with the reason.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from keras_gen import models, networks

SIDE, CLASSES, EXAMPLES = 8, 3, 40


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One model to put through the suites."""

    name: str
    build: Callable  # () -> model, not compiled
    optimizers: dict  # {player: (Keras optimizer class name, options)}
    falling: str = "loss"  # the term that falls when the toy is learned; None: no such term
    value_range: tuple = (0.0, 1.0)
    unbounded: bool = False  # nothing keeps what is decoded in the range
    labels: bool = False
    signals: bool = False  # (steps, channels) instead of images
    from_noise: bool = False  # it predicts from what `draw_noise` gives, not from examples
    input_channels: int = 0  # of pairs: what the model predicts from, and what it makes the others
    still: dict = dataclasses.field(default_factory=dict)  # {part of a path: why it stays}

    def model(self, **compile_options):
        model = self.build()
        optimizers = {
            player: getattr(keras.optimizers, name)(**options)
            for player, (name, options) in self.optimizers.items()
        }
        if list(optimizers) == ["model"]:
            optimizers = optimizers["model"]
        model.compile(optimizers, **compile_options)
        return model

    def data(self, examples=EXAMPLES):
        """Blobs of light whose place depends on the class: images or their profiles, and labels."""
        rng = np.random.default_rng(7)
        labels = rng.integers(0, CLASSES, examples).astype("int32")
        rows, columns = np.mgrid[:SIDE, :SIDE]
        centre = 1.5 + 2.0 * labels + rng.normal(0, 0.3, examples)
        distance = (rows[None] - centre[:, None, None]) ** 2 + (columns[None] - 3.5) ** 2
        low, high = self.value_range
        images = (low + (high - low) * np.exp(-distance / 4.0))[..., None].astype("float32")
        if self.signals:
            images = images.sum(axis=2)  # (examples, steps, 1)
        if self.input_channels:
            images = np.concatenate([images, low + high - images], axis=-1)  # and its negative
        return images, (labels if self.labels else None)

    def sample(self, model, count, **options):
        """What the model generates: of nothing, or of the inputs of pairs."""
        if self.input_channels:
            options["inputs"] = self.data()[0][..., : self.input_channels]
        return model.sample(count, **options)


def fill(family, builders, data_shape=(SIDE, SIDE, 1), **options):
    """Build a family with a network in each socket: `{socket: (builder, options)}`."""
    sockets = family.sockets(data_shape, **options)
    plugged = {
        socket: builders[socket][0](*sockets[socket], **builders[socket][1]) for socket in sockets
    }
    return family(**plugged, **options)


def small_mlp(**options):
    return networks.mlp, {"units": (16,), **options}


def small_conv(builder, **options):
    return builder, {"filters": (8,), **options}


ADAM = {"model": ("Adam", {"learning_rate": 1e-2})}
PLAYERS = {
    "generator": ("Adam", {"learning_rate": 1e-3, "beta_1": 0.5}),
    "discriminator": ("Adam", {"learning_rate": 1e-3, "beta_1": 0.5}),
}
VECTORS = {"encoder": small_mlp(), "decoder": small_mlp()}
CONVS = {
    "encoder": small_conv(networks.conv_encoder),
    "decoder": small_conv(networks.conv_decoder),
}
RESIDUALS = {
    "encoder": (networks.residual_encoder, {"width": 8, "blocks": 1}),
    "decoder": (networks.residual_decoder, {"width": 8, "blocks": 1}),
}
CODES = {"embedding_dim": 4, "codebook_size": 8, "downsampling": 4}
MLP_GAN = {
    "generator": small_mlp(output_activation="tanh"),
    "discriminator": small_mlp(activation="leaky_relu"),
}
CONV_GAN = {
    "generator": small_conv(networks.conv_decoder, normalization="batch", output_activation="tanh"),
    "discriminator": small_conv(
        networks.conv_encoder, filters=(8, 8), normalization="batch", dropout=0.2
    ),
}
SMALL_PATCHES = (networks.patch_gan, {"width": 8, "stages": 1, "normalization": "instance"})
SMALL_TRANSLATOR = (
    networks.residual_translator,
    {"width": 4, "downsampling": 1, "blocks": 1, "output_activation": "tanh"},
)

CASES = (
    Case(
        "autoencoder", lambda: fill(models.Autoencoder, VECTORS, latent_dim=4), ADAM, unbounded=True
    ),
    Case("vae", lambda: fill(models.VAE, VECTORS, latent_dim=4, binarize=True), ADAM),
    Case(
        "iwae",
        lambda: fill(models.IWAE, VECTORS, latent_dim=4, samples=3, groups=2, binarize=True),
        ADAM,
    ),
    Case("vamp_vae", lambda: fill(models.VampVAE, VECTORS, latent_dim=4, pseudo_inputs=5), ADAM),
    Case(
        "hierarchical_vae",
        lambda: fill(
            models.HierarchicalVAE,
            {**VECTORS, "upper_encoder": small_mlp(), "upper_decoder": small_mlp()},
            latent_dims=(4, 2),
            features=8,
            binarize=True,
        ),
        ADAM,
    ),
    Case(
        "denoising_autoencoder",
        lambda: fill(
            models.DenoisingAutoencoder, VECTORS, latent_dim=4, noise=0.1, missing=0.1, hole=2
        ),
        ADAM,
        unbounded=True,
    ),
    Case(
        "vae_gan",
        lambda: fill(
            models.VAEGAN,
            {**VECTORS, "features": small_mlp(), "discriminator": small_mlp(units=())},
            latent_dim=4,
            features_dim=8,
        ),
        {
            player: ("Adam", {"learning_rate": 1e-3})
            for player in ("encoder", "decoder", "discriminator")
        },
        falling=None,
        unbounded=True,
    ),
    Case(
        "beta_tcvae",
        lambda: fill(models.BetaTCVAE, VECTORS, latent_dim=4, examples=EXAMPLES, beta=2.0),
        ADAM,
    ),
    Case(
        "vae_signal",
        lambda: fill(
            models.VAE,
            CONVS,
            (SIDE, 1),
            latent_dim=4,
            likelihood="gaussian",
            variance="learned",
            sample_noise=True,
        ),
        ADAM,
        signals=True,
        unbounded=True,
    ),
    Case(
        "vqvae_signal",
        lambda: fill(models.VQVAE, RESIDUALS, (SIDE, 1), **CODES, revive_after=5),
        ADAM,
        signals=True,
        unbounded=True,
    ),
    Case("wae", lambda: fill(models.WAE, VECTORS, latent_dim=4), ADAM, unbounded=True),
    Case(
        "vqvae_ema",
        lambda: fill(models.VQVAE, VECTORS, **CODES, revive_after=5),
        ADAM,
        unbounded=True,
    ),
    Case(
        "vqvae_loss",
        lambda: fill(models.VQVAE, VECTORS, **CODES, update="loss"),
        ADAM,
        unbounded=True,
    ),
    Case(
        "fsq",
        lambda: fill(models.FSQ, VECTORS, levels=(5, 4, 3), downsampling=4),
        ADAM,
        unbounded=True,
    ),
    Case(
        "residual",
        lambda: fill(
            models.ResidualVQVAE,
            RESIDUALS,
            **CODES,
            levels=2,
        ),
        ADAM,
        unbounded=True,
    ),
    Case(
        "factor_vae",
        lambda: fill(models.FactorVAE, {**VECTORS, "discriminator": small_mlp()}, latent_dim=4),
        {
            "autoencoder": ("Adam", {"learning_rate": 1e-2}),
            "discriminator": ("Adam", {"learning_rate": 1e-3}),
        },
        falling="reconstruction",
    ),
    Case(
        "flow_vae",
        lambda: fill(
            models.FlowVAE,
            {
                **VECTORS,
                "flow": (networks.inverse_autoregressive_flow, {"steps": 2, "units": (8,)}),
            },
            latent_dim=4,
            context=3,
        ),
        ADAM,
    ),
    Case(
        "planar_flow_vae",
        lambda: fill(
            models.FlowVAE,
            {**VECTORS, "flow": (networks.planar_flow, {"steps": 2})},
            latent_dim=4,
            context=3,
        ),
        ADAM,
    ),
    Case(
        "info_vae",
        lambda: fill(models.InfoVAE, VECTORS, latent_dim=4, alpha=0.5, divergence_weight=10.0),
        ADAM,
    ),
    Case(
        "adversarial_autoencoder",
        lambda: fill(
            models.AdversarialAutoencoder, {**VECTORS, "discriminator": small_mlp()}, latent_dim=4
        ),
        {
            "autoencoder": ("Adam", {"learning_rate": 1e-2}),
            "discriminator": ("Adam", {"learning_rate": 1e-3}),
            "encoder": ("Adam", {"learning_rate": 1e-3}),
        },
        falling="reconstruction",
        unbounded=True,
    ),
    Case(
        "rae_l2",
        lambda: fill(models.RegularizedAutoencoder, VECTORS, latent_dim=4, regularizer_weight=0.01),
        ADAM,
        unbounded=True,
    ),
    Case(
        "rae_gradient_penalty",
        lambda: fill(
            models.RegularizedAutoencoder,
            VECTORS,
            latent_dim=4,
            regularizer="gradient_penalty",
            regularizer_weight=0.01,
        ),
        ADAM,
        unbounded=True,
    ),
    Case(
        "rae_spectral",
        lambda: fill(
            models.RegularizedAutoencoder,
            VECTORS,
            latent_dim=4,
            regularizer="spectral",
            regularizer_weight=0.01,
        ),
        ADAM,
        unbounded=True,
    ),
    Case(
        "vae_learned_variance_conv",
        lambda: fill(
            models.VAE,
            {
                "encoder": small_conv(networks.conv_encoder, normalization="batch"),
                "decoder": small_conv(networks.conv_decoder, normalization="batch"),
            },
            latent_dim=4,
            likelihood="gaussian",
            variance="learned",
        ),
        ADAM,
        unbounded=True,
    ),
    Case(
        "cvae",
        lambda: fill(models.VAE, VECTORS, latent_dim=4, num_classes=CLASSES),
        {"model": ("AdamW", {"learning_rate": 1e-2, "clipnorm": 10.0})},
        labels=True,
    ),
    Case(
        "pix2pix",
        lambda: fill(
            models.Pix2Pix,
            {
                "generator": (networks.unet, {"filters": (8, 8), "output_activation": "tanh"}),
                "discriminator": SMALL_PATCHES,
            },
            (SIDE, SIDE, 2),
            input_channels=1,
        ),
        PLAYERS,
        falling="l1",
        value_range=(-1.0, 1.0),
        input_channels=1,
    ),
    Case(
        "cycle_gan",
        lambda: fill(
            models.CycleGAN,
            {
                "generator": SMALL_TRANSLATOR,
                "inverse_generator": SMALL_TRANSLATOR,
                "discriminator": SMALL_PATCHES,
                "inverse_discriminator": SMALL_PATCHES,
            },
            (SIDE, SIDE, 2),
            input_channels=1,
            pool_size=20,
            ema=0.9,
        ),
        {f"{player}s": options for player, options in PLAYERS.items()},
        falling="cycle",
        value_range=(-1.0, 1.0),
        input_channels=1,
    ),
    Case(
        "dcgan_averaged",
        lambda: fill(models.GAN, CONV_GAN, latent_dim=4, ema=0.9),
        PLAYERS,
        falling=None,
        value_range=(-1.0, 1.0),
        from_noise=True,
    ),
    Case(
        "cgan_hinge_two_steps",
        lambda: fill(
            models.GAN,
            MLP_GAN,
            latent_dim=4,
            num_classes=CLASSES,
            adversarial_loss="hinge",
            discriminator_steps=2,
        ),
        PLAYERS,
        falling=None,
        value_range=(-1.0, 1.0),
        from_noise=True,
        labels=True,
    ),
    Case(
        "wgan_gp",
        lambda: fill(
            models.GAN,
            {**CONV_GAN, "discriminator": small_conv(networks.conv_encoder, output_bias=False)},
            latent_dim=4,
            adversarial_loss="wasserstein",
            penalty="wgan_gp",
            discriminator_steps=2,
        ),
        PLAYERS,
        falling=None,
        value_range=(-1.0, 1.0),
        from_noise=True,
    ),
    Case(
        "sngan_projection",
        lambda: fill(
            models.GAN,
            {
                "generator": (
                    networks.sngan_generator,
                    {"filters": (6, 4), "num_classes": CLASSES, "attention_after": 1},
                ),
                "discriminator": (
                    networks.sngan_discriminator,
                    {"filters": (8,), "blocks": (), "num_classes": CLASSES, "attention_after": 1},
                ),
            },
            latent_dim=4,
            num_classes=CLASSES,
            adversarial_loss="hinge",
        ),
        PLAYERS,
        falling=None,
        value_range=(-1.0, 1.0),
        from_noise=True,
        labels=True,
    ),
    Case(
        "style_gan",
        lambda: fill(
            models.StyleGAN,
            {
                "generator": (
                    networks.style_generator,
                    {
                        "width": 4,
                        "widest": 6,
                        "features": 4,
                        "mapping_layers": 1,
                        "output_activation": "tanh",
                    },
                ),
                "discriminator": (networks.style_discriminator, {"width": 4, "widest": 6}),
            },
            latent_dim=4,
            penalty_every=1,
            path_length_every=2,
        ),
        PLAYERS,
        falling=None,
        value_range=(-1.0, 1.0),
        from_noise=True,
        still={"standing": "noise that is always the same"},
    ),
    Case(
        "r3gan",
        lambda: fill(
            models.GAN,
            {
                "generator": (networks.r3gan_generator, {"filters": (6, 4)}),
                "discriminator": (networks.r3gan_discriminator, {"filters": (4, 6)}),
            },
            latent_dim=4,
            adversarial_loss="relativistic",
            penalty=["r1", "r2"],
            penalty_weight=1.0,
        ),
        PLAYERS,
        falling=None,
        unbounded=True,
        value_range=(-1.0, 1.0),
        from_noise=True,
    ),
    Case(
        "dragan_clipped_smoothed_augmented",
        lambda: fill(
            models.GAN,
            MLP_GAN,
            latent_dim=4,
            adversarial_loss="least_squares",
            penalty="dragan",
            penalty_every=2,
            weight_clipping=0.5,
            label_smoothing=0.1,
            # Not what reads between pixels: rounding would decide which.
            augmentation=["color", "translation", "ada_pixels"],
            ada_images=200,
        ),
        PLAYERS,
        falling=None,
        value_range=(-1.0, 1.0),
        from_noise=True,
    ),
    Case(
        "acgan",
        lambda: fill(
            models.ACGAN,
            {**MLP_GAN, "discriminator": small_conv(networks.conv_encoder)},
            latent_dim=4,
            num_classes=CLASSES,
            penalty="r1",
            penalty_weight=0.1,
            ema=0.9,
        ),
        PLAYERS,
        falling="class_loss",
        value_range=(-1.0, 1.0),
        from_noise=True,
        labels=True,
    ),
    Case(
        "infogan",
        lambda: fill(models.InfoGAN, CONV_GAN, latent_dim=4, categories=(3, 2), continuous=2),
        PLAYERS,
        falling=None,
        value_range=(-1.0, 1.0),
        from_noise=True,
    ),
    Case(
        "began",
        lambda: fill(models.BEGAN, MLP_GAN, latent_dim=4, gamma=0.7, lambda_k=0.01),
        PLAYERS,
        falling="convergence",
        value_range=(-1.0, 1.0),
        from_noise=True,
    ),
    Case(
        "progressive_gan",
        lambda: fill(
            models.ProgressiveGAN,
            {
                "generator": (networks.ProgressiveGenerator, {"width": 2}),
                "discriminator": (networks.ProgressiveDiscriminator, {"width": 2}),
            },
            latent_dim=4,
            stable_steps=1,  # four steps see every stage, each of which is a program
            fade_steps=1,
            # Wasserstein's generator loss begins so near 0 that rounding is large beside it.
            adversarial_loss="non_saturating",
            ema=0.9,
        ),
        PLAYERS,
        falling=None,
        value_range=(-1.0, 1.0),
        unbounded=True,
        from_noise=True,
    ),
)


def named(*names):
    """The cases of these names, in this order."""
    cases = {case.name: case for case in CASES}
    return tuple(cases[name] for name in names)

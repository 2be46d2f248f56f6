"""The families. One paper is one file; this list of exports is the registry."""

from keras_gen.models.adversarial.acgan import ACGAN
from keras_gen.models.adversarial.began import BEGAN
from keras_gen.models.adversarial.cycle_gan import CycleGAN
from keras_gen.models.adversarial.gan import GAN
from keras_gen.models.adversarial.infogan import InfoGAN
from keras_gen.models.adversarial.pix2pix import Pix2Pix
from keras_gen.models.adversarial.progressive_gan import ProgressiveGAN
from keras_gen.models.adversarial.style_gan import StyleGAN
from keras_gen.models.autoencoders.adversarial_autoencoder import AdversarialAutoencoder
from keras_gen.models.autoencoders.autoencoder import Autoencoder
from keras_gen.models.autoencoders.beta_tcvae import BetaTCVAE
from keras_gen.models.autoencoders.denoising_autoencoder import DenoisingAutoencoder
from keras_gen.models.autoencoders.factor_vae import FactorVAE
from keras_gen.models.autoencoders.flow_vae import FlowVAE
from keras_gen.models.autoencoders.fsq import FSQ
from keras_gen.models.autoencoders.hierarchical_vae import HierarchicalVAE
from keras_gen.models.autoencoders.info_vae import InfoVAE
from keras_gen.models.autoencoders.iwae import IWAE
from keras_gen.models.autoencoders.regularized_autoencoder import RegularizedAutoencoder
from keras_gen.models.autoencoders.residual_vqvae import ResidualVQVAE
from keras_gen.models.autoencoders.vae import VAE
from keras_gen.models.autoencoders.vae_gan import VAEGAN
from keras_gen.models.autoencoders.vamp_vae import VampVAE
from keras_gen.models.autoencoders.vqvae import VQVAE
from keras_gen.models.autoencoders.wae import WAE

FAMILIES = {
    "autoencoder": Autoencoder,
    "vae": VAE,
    "gan": GAN,
    "iwae": IWAE,
    "vamp_vae": VampVAE,
    "hierarchical_vae": HierarchicalVAE,
    "denoising_autoencoder": DenoisingAutoencoder,
    "vae_gan": VAEGAN,
    "beta_tcvae": BetaTCVAE,
    "wae": WAE,
    "vqvae": VQVAE,
    "residual_vqvae": ResidualVQVAE,
    "fsq": FSQ,
    "flow_vae": FlowVAE,
    "factor_vae": FactorVAE,
    "info_vae": InfoVAE,
    "adversarial_autoencoder": AdversarialAutoencoder,
    "regularized_autoencoder": RegularizedAutoencoder,
    "acgan": ACGAN,
    "infogan": InfoGAN,
    "began": BEGAN,
    "pix2pix": Pix2Pix,
    "cycle_gan": CycleGAN,
    "progressive_gan": ProgressiveGAN,
    "style_gan": StyleGAN,
}

__all__ = [
    "ACGAN",
    "BEGAN",
    "FSQ",
    "GAN",
    "IWAE",
    "VAE",
    "VAEGAN",
    "VQVAE",
    "WAE",
    "AdversarialAutoencoder",
    "Autoencoder",
    "BetaTCVAE",
    "CycleGAN",
    "DenoisingAutoencoder",
    "FAMILIES",
    "FactorVAE",
    "FlowVAE",
    "HierarchicalVAE",
    "InfoGAN",
    "InfoVAE",
    "Pix2Pix",
    "ProgressiveGAN",
    "RegularizedAutoencoder",
    "ResidualVQVAE",
    "StyleGAN",
    "VampVAE",
]

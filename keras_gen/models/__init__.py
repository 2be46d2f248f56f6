"""The families. One paper is one file; this list of exports is the registry."""

from keras_gen.models.adversarial.gan import GAN
from keras_gen.models.autoencoders.autoencoder import Autoencoder
from keras_gen.models.autoencoders.vae import VAE

FAMILIES = {"autoencoder": Autoencoder, "vae": VAE, "gan": GAN}

__all__ = ["GAN", "VAE", "Autoencoder", "FAMILIES"]

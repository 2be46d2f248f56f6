"""Autoencoders: an encoder to codes, a decoder back.

`Latents` is for autoencoders of your own: with `latent_dim`, `encode` and `decode` it
gives the rest.
"""

from keras_gen.models.autoencoders.latents import Latents

__all__ = ["Latents"]

"""Networks: builders `(input_shape, output_shape, **options) -> keras.Model`, by name."""

from keras_gen.networks.autoencoder import conv_autoencoder
from keras_gen.networks.conv import conv_decoder, conv_encoder
from keras_gen.networks.flows import inverse_autoregressive_flow, planar_flow
from keras_gen.networks.made import made
from keras_gen.networks.mlp import mlp
from keras_gen.networks.patch_gan import patch_gan
from keras_gen.networks.pixel_cnn import pixel_cnn
from keras_gen.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from keras_gen.networks.r3gan import r3gan_discriminator, r3gan_generator
from keras_gen.networks.residual import residual_decoder, residual_encoder
from keras_gen.networks.residual_translator import residual_translator
from keras_gen.networks.sngan import sngan_discriminator, sngan_generator
from keras_gen.networks.style import style_discriminator, style_generator
from keras_gen.networks.unet import unet

BUILDERS = {
    "mlp": mlp,
    "made": made,
    "inverse_autoregressive_flow": inverse_autoregressive_flow,
    "planar_flow": planar_flow,
    "conv_encoder": conv_encoder,
    "conv_decoder": conv_decoder,
    "conv_autoencoder": conv_autoencoder,
    "pixel_cnn": pixel_cnn,
    "residual_encoder": residual_encoder,
    "residual_decoder": residual_decoder,
    "sngan_generator": sngan_generator,
    "sngan_discriminator": sngan_discriminator,
    "r3gan_generator": r3gan_generator,
    "r3gan_discriminator": r3gan_discriminator,
    "unet": unet,
    "patch_gan": patch_gan,
    "residual_translator": residual_translator,
    "progressive_generator": ProgressiveGenerator,
    "progressive_discriminator": ProgressiveDiscriminator,
    "style_generator": style_generator,
    "style_discriminator": style_discriminator,
}

__all__ = [
    "BUILDERS",
    "conv_autoencoder",
    "ProgressiveDiscriminator",
    "ProgressiveGenerator",
    "conv_decoder",
    "conv_encoder",
    "inverse_autoregressive_flow",
    "made",
    "mlp",
    "patch_gan",
    "pixel_cnn",
    "planar_flow",
    "r3gan_discriminator",
    "r3gan_generator",
    "residual_decoder",
    "residual_encoder",
    "sngan_discriminator",
    "sngan_generator",
    "residual_translator",
    "style_discriminator",
    "style_generator",
    "unet",
]

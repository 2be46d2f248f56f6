"""Networks: builders `(input_shape, output_shape, **options) -> keras.Model`, by name."""

from keras_gen.networks.conv import conv_decoder, conv_encoder
from keras_gen.networks.flows import inverse_autoregressive_flow, planar_flow
from keras_gen.networks.made import made
from keras_gen.networks.mlp import mlp
from keras_gen.networks.patch_gan import patch_gan
from keras_gen.networks.pixel_cnn import pixel_cnn
from keras_gen.networks.residual import residual_decoder, residual_encoder
from keras_gen.networks.residual_translator import residual_translator
from keras_gen.networks.unet import unet

BUILDERS = {
    "mlp": mlp,
    "made": made,
    "inverse_autoregressive_flow": inverse_autoregressive_flow,
    "planar_flow": planar_flow,
    "conv_encoder": conv_encoder,
    "conv_decoder": conv_decoder,
    "pixel_cnn": pixel_cnn,
    "residual_encoder": residual_encoder,
    "residual_decoder": residual_decoder,
    "unet": unet,
    "patch_gan": patch_gan,
    "residual_translator": residual_translator,
}

__all__ = [
    "BUILDERS",
    "conv_decoder",
    "conv_encoder",
    "inverse_autoregressive_flow",
    "made",
    "mlp",
    "patch_gan",
    "pixel_cnn",
    "planar_flow",
    "residual_decoder",
    "residual_encoder",
    "residual_translator",
    "unet",
]

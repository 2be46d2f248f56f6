"""Networks: builders `(input_shape, output_shape, **options) -> keras.Model`, by name."""

from keras_gen.networks.conv import conv_decoder, conv_encoder
from keras_gen.networks.flows import inverse_autoregressive_flow, planar_flow
from keras_gen.networks.made import made
from keras_gen.networks.mlp import mlp
from keras_gen.networks.pixel_cnn import pixel_cnn
from keras_gen.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from keras_gen.networks.residual import residual_decoder, residual_encoder

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
    "progressive_generator": ProgressiveGenerator,
    "progressive_discriminator": ProgressiveDiscriminator,
}

__all__ = [
    "BUILDERS",
    "ProgressiveDiscriminator",
    "ProgressiveGenerator",
    "conv_decoder",
    "conv_encoder",
    "inverse_autoregressive_flow",
    "made",
    "mlp",
    "pixel_cnn",
    "planar_flow",
    "residual_decoder",
    "residual_encoder",
]

"""Networks: builders `(input_shape, output_shape, **options) -> keras.Model`, by name."""

from keras_gen.networks.conv import conv_decoder, conv_encoder
from keras_gen.networks.mlp import mlp

BUILDERS = {"mlp": mlp, "conv_encoder": conv_encoder, "conv_decoder": conv_decoder}

__all__ = ["BUILDERS", "conv_decoder", "conv_encoder", "mlp"]

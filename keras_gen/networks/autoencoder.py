"""An encoder and a decoder in one network: from an image, or a signal, to one, through a code."""

from collections.abc import Sequence

import keras

from keras_gen.networks import parts
from keras_gen.networks.conv import conv_decoder, conv_encoder


def conv_autoencoder(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    code: int = 64,
    filters: Sequence[int] | None = None,
    width: int = 32,
    kernel_size: int = 4,
    activation: str = "elu",
    normalization: str | None = None,
    batch_norm_momentum: float = 0.9,
    dropout: float = 0.0,
    kernel_initializer: str = "glorot_uniform",
    output_activation: str | None = None,
    output_bias: bool = True,
    name: str = "conv_autoencoder",
) -> keras.Model:
    """Strided convolutions to a vector, and transposed ones back: what BEGAN's discriminator is.

    `conv_decoder(conv_encoder(x))`, the code between them not activated.

    Args:
        input_shape: `(height, width, channels)` or `(steps, channels)`.
        output_shape: the same, or another.
        code: size of the vector between the two.
        filters: channels of each stage of the encoder, and of the decoder the other way round; see
            `networks.conv` for this and the options not named here.
        output_activation: None, "sigmoid" for pixels in [0, 1] or "tanh" for [-1, 1].

    Returns:
        A functional model `(batch, *input_shape) -> (batch, *output_shape)`, in compute dtype.

    Raises:
        ValueError: an option is not of its kind or out of its range.

    Reference: Berthelot et al., "BEGAN: Boundary Equilibrium Generative Adversarial Networks",
    2017, section 3.5, whose convolutions are not transposed and whose images grow by repetition.
    """
    parts.check_width("code", code)
    if filters is not None:
        filters = parts.check_widths("filters", filters)
    options = {
        "width": width,
        "kernel_size": kernel_size,
        "activation": activation,
        "normalization": normalization,
        "batch_norm_momentum": batch_norm_momentum,
        "dropout": dropout,
        "kernel_initializer": kernel_initializer,
    }
    encoder = conv_encoder(input_shape, (code,), filters=filters, name="encoder", **options)
    decoder = conv_decoder(
        (code,),
        output_shape,
        filters=filters and filters[::-1],
        output_activation=output_activation,
        output_bias=output_bias,
        name="decoder",
        **options,
    )
    inputs = keras.Input(encoder.input_shape[1:], name="inputs")
    return keras.Model(inputs, decoder(encoder(inputs)), name=name)

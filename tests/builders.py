"""Every builder of a network at a small size: what the suites of networks and parity build."""

IMAGE, GRID, VECTOR = (12, 10, 3), (6, 5, 6), (6,)
# Networks of hidden layers, whose options are the same.
LAYERED = {
    "mlp": (IMAGE, VECTOR),
    "conv_encoder": (IMAGE, VECTOR),
    "conv_decoder": (VECTOR, IMAGE),
    "conv_autoencoder": (IMAGE, IMAGE),
    "residual_encoder": (IMAGE, GRID),
    "residual_decoder": (GRID, IMAGE),
}
ENDS = LAYERED | {
    "unet": ((6, 5, 3), (6, 5, 2)),
    "patch_gan": (IMAGE, (2, 2, 1)),
    "residual_translator": ((6, 5, 3), (6, 5, 2)),
    "made": ((7,), (8,)),
    "inverse_autoregressive_flow": ((7,), (5,)),
    "planar_flow": ((7,), (5,)),
    "pixel_cnn": ((5, 4, 3), (5, 4, 6)),
    "sngan_generator": (VECTOR, IMAGE),
    "sngan_discriminator": (IMAGE, (1,)),
    "r3gan_generator": (VECTOR, IMAGE),
    "r3gan_discriminator": (IMAGE, (1,)),
    "progressive_generator": (VECTOR, IMAGE),
    "progressive_discriminator": (IMAGE, VECTOR),
    "style_generator": (VECTOR, IMAGE),
    "style_discriminator": (IMAGE, VECTOR),
}
# Whose defaults are too large for a test.
NARROW = {
    # Of six blocks of one kind, whose rounding adds up.
    "residual_translator": {"width": 8, "blocks": 2},
    "sngan_generator": {"filters": (3, 4)},
    "sngan_discriminator": {"filters": (3,), "blocks": (4,)},
    "style_generator": {"width": 3, "features": 4, "mapping_layers": 2},
    "style_discriminator": {"width": 3},
}

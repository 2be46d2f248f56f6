"""A config whose model is trained in a second: two dense layers on 8 x 8 digits."""

TINY = """
[data]
source = "digits"

[model]
family = "vae"
latent_dim = 2

[model.encoder]
network = "mlp"
units = [8]

[model.decoder]
network = "mlp"
units = [8]

[train]
epochs = 1
batch_size = 750
jit_compile = false

[train.optimizer]
name = "adam"
learning_rate = 1e-3
"""

"""The VAE with a VampPrior: a mixture of posteriors of inputs that are learned."""

import math

import keras
from keras import ops

from keras_gen.losses import gaussian_log_density, reparameterized_log_density
from keras_gen.models.autoencoders.gaussian_codes import GaussianCodes, reparameterize
from keras_gen.models.base import GenerativeModel


class VampVAE(GaussianCodes, GenerativeModel):
    """Variational autoencoder of data in [0, 1] whose prior is its own aggregate posterior.

    `loss = mean(-log p(x | z) + log q(z | x) - log p(z))`,
    `p(z) = mean over k of q(z | u_k)`, `u_k` learned pseudo-inputs

    Args:
        encoder: `(batch, height, width, channels) -> (batch, 2 * latent_dim)`: mean and log
            variance of q(z | x).
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)`: logits.
        latent_dim: Size of z.
        pseudo_inputs: K, the components of the prior.
        binarize: Draw binary pixels with the grey levels as probabilities, anew in each step.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Tomczak & Welling 2018, "VAE with a VampPrior", equations 3 and 9. The paper clips the
        pseudo-inputs to [0, 1]; here they are sigmoids, whose gradient never ends.
    """

    terms = ("loss", "reconstruction", "kl")

    def __init__(
        self,
        encoder,
        decoder,
        *,
        latent_dim: int,
        pseudo_inputs: int = 500,
        binarize: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if pseudo_inputs < 1:
            raise ValueError(f"pseudo_inputs must be at least 1; got {pseudo_inputs!r}.")
        self.encoder = encoder
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.pseudo_inputs = pseudo_inputs
        self.observe(binarize=binarize)
        self.pseudo_logits = self.add_weight(
            shape=(pseudo_inputs, *encoder.input_shape[1:]),
            # Grey, each its own: components that begin alike stay alike.
            initializer=keras.initializers.RandomNormal(0.0, 1.0, seed=self.seed),
            name="pseudo_logits",
        )

    def objective(self, x, noise, labels, training):
        latent_noise, pixel_noise = noise
        x = self.observed(x, pixel_noise)
        mean, log_variance = self.posterior(x, labels, training)
        z = reparameterize(mean, log_variance, latent_noise)
        output = self.decoded(z, labels, training)
        reconstruction = ops.mean(self.negative_log_likelihood(x, output))
        log_posterior = reparameterized_log_density(latent_noise, log_variance)
        kl = ops.mean(log_posterior - self.log_prior(z, training))
        return reconstruction + kl, {"reconstruction": reconstruction, "kl": kl}

    def log_prior(self, z, training=False):
        """`log(mean over k of q(z | u_k))` of codes `(..., latent_dim)`, nats `(...)`."""
        mean, log_variance = self.components(training)
        each = gaussian_log_density(ops.expand_dims(z, -2), mean, log_variance)
        return ops.logsumexp(each, axis=-1) - math.log(self.pseudo_inputs)

    def numbers_a_sample(self, data_shape):
        """A code beside every component of the prior may be wider than any layer."""
        return max(super().numbers_a_sample(data_shape), self.pseudo_inputs * self.latent_dim)

    def components(self, training=False):
        """Mean and log variance of the prior's components, each `(pseudo_inputs, latent_dim)`."""
        pseudo_inputs = ops.sigmoid(ops.cast(self.pseudo_logits, self.compute_dtype))
        return self.posterior(pseudo_inputs, training=training)

    def prior_codes(self, stream, count):
        """Codes of the prior: of a component drawn evenly, then of its normal."""
        mean, log_variance = self.components()
        chosen = stream.integers((count,), self.pseudo_inputs)
        mean, log_variance = (ops.take(part, chosen, axis=0) for part in (mean, log_variance))
        noise = stream.normal((count, self.latent_dim), self.compute_dtype)
        return reparameterize(mean, log_variance, noise)

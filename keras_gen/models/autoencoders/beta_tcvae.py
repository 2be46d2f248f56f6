"""The beta-TCVAE: the KL term taken apart, its total correlation weighted by itself."""

from keras import ops

from keras_gen.losses import gaussian_log_density
from keras_gen.models.autoencoders.gaussian_codes import GaussianCodes, reparameterize
from keras_gen.models.base import GenerativeModel


class BetaTCVAE(GaussianCodes, GenerativeModel):
    """Variational autoencoder of data in [0, 1] that pays for latents that depend on each other.

    `loss = mean(-log p(x | z)) + alpha * mutual_information + beta * total_correlation
    + gamma * dimension_kl`, where

    `mutual_information = mean(log q(z | x) - log q(z))`,
    `total_correlation = mean(log q(z) - sum_j log q(z_j))`,
    `dimension_kl = mean(sum_j log q(z_j) - log p(z))`

    With all weights 1 it is the VAE, its KL estimated from a sample. The aggregate posterior is
    estimated from the batch: `log q(z_i) = log(sum_k q(z_i | x_k)) - log(examples * batch)`.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, 2 * latent_dim)`: mean and log
            variance of q(z | x).
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)`: logits.
        latent_dim: Size of z.
        examples: Number of training examples, N in the paper's estimate.
        alpha: Weight of the mutual information of data and code.
        beta: Weight of the total correlation.
        gamma: Weight of the divergence of each latent by itself.
        binarize: Draw binary pixels with the grey levels as probabilities, anew in each step.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Chen et al. 2018, "Isolating Sources of Disentanglement in VAEs", equations 2 and 3, and
        section 4.1 for minibatch-weighted sampling.
    """

    terms = ("loss", "reconstruction", "mutual_information", "total_correlation", "dimension_kl")

    def __init__(
        self,
        encoder,
        decoder,
        *,
        latent_dim: int,
        examples: int,
        alpha: float = 1.0,
        beta: float = 6.0,
        gamma: float = 1.0,
        binarize: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, weight in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
            if weight < 0:
                raise ValueError(f"{name} must not be negative; got {weight!r}.")
        if examples < 1:
            raise ValueError(f"examples must be at least 1; got {examples!r}.")
        self.encoder = encoder
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.examples = examples
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.observe(binarize=binarize)

    def objective(self, x, noise, labels, training):
        latent_noise, pixel_noise = noise
        x = self.observed(x, pixel_noise)
        mean, log_variance = self.posterior(x, labels, training)
        z = reparameterize(mean, log_variance, latent_noise)
        output = self.decoded(z, labels, training)
        reconstruction = ops.mean(self.negative_log_likelihood(x, output))
        parts = [ops.mean(part) for part in self.decompose(z, mean, log_variance)]
        weights = self.alpha, self.beta, self.gamma
        loss = reconstruction + sum(w * part for w, part in zip(weights, parts, strict=True))
        names = ("mutual_information", "total_correlation", "dimension_kl")
        return loss, {"reconstruction": reconstruction, **dict(zip(names, parts, strict=True))}

    def decompose(self, z, mean, log_variance):
        """The three parts of `log q(z | x) - log p(z)` at samples, each `(batch,)` in nats.

        Args:
            z: `(batch, latent_dim)`, one sample of each posterior.
            mean: `(batch, latent_dim)` of the posteriors.
            log_variance: `(batch, latent_dim)` of the posteriors.
        """
        # One latent at a time, every sample under every posterior: (batch, batch, latent_dim).
        pairs = gaussian_log_density(
            z[:, None, :, None], mean[None, :, :, None], log_variance[None, :, :, None]
        )
        pool = ops.log(ops.cast(self.examples * ops.shape(z)[0], "float32"))
        log_aggregate = ops.logsumexp(ops.sum(pairs, axis=2), axis=1) - pool
        log_marginals = ops.sum(ops.logsumexp(pairs, axis=1) - pool, axis=1)
        log_posterior = gaussian_log_density(z, mean, log_variance)
        log_prior = gaussian_log_density(z, 0.0, 0.0)
        return (
            log_posterior - log_aggregate,
            log_aggregate - log_marginals,
            log_marginals - log_prior,
        )

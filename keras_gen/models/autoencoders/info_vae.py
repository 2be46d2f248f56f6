"""InfoVAE: a VAE whose codes are held to the prior together rather than one by one."""

from keras import ops

from keras_gen.losses import gaussian_kl, imq_kernel, maximum_mean_discrepancy, rbf_kernel
from keras_gen.models.autoencoders.gaussian_codes import GaussianCodes, reparameterize
from keras_gen.models.base import GenerativeModel

KERNELS = {"rbf": rbf_kernel, "imq": imq_kernel}


class InfoVAE(GaussianCodes, GenerativeModel):
    """Variational autoencoder that weighs what codes tell of examples, by MMD.

    `loss = mean(-log p(x | z) + (1 - alpha) * KL(q(z | x) || N(0, I)))
    + (alpha + lambda - 1) * MMD(codes z, samples of N(0, I))`

    `alpha=0, divergence_weight=1` is the VAE; `alpha=1` is the MMD-VAE, which lets a code tell as
    much of its example as it can.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, 2 * latent_dim)`: mean and log
            variance of q(z | x).
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)`: logits (Bernoulli) or
            means (Gaussian); with `variance="learned"` twice the channels, log variances last.
        latent_dim: Size of z.
        alpha: Weight of the mutual information of codes and examples, at most 1.
        divergence_weight: lambda: weight of the divergence of q(z) from the prior, at least
            `1 - alpha`.
        kernel: "rbf" or "imq" (sums of inverse multiquadratics, heavy tails).
        likelihood: "bernoulli" (data in [0, 1]) or "gaussian".
        variance: Of the Gaussian: a fixed positive number, or "learned" for each pixel.
        binarize: Draw binary pixels with the grey levels as probabilities, anew in each step.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Zhao et al. 2017, "InfoVAE: Information Maximizing Variational Autoencoders", with MMD for
        the divergence of q(z) from the prior.
    """

    terms = ("loss", "reconstruction", "kl", "mmd")

    def __init__(
        self,
        encoder,
        decoder,
        *,
        latent_dim: int,
        alpha: float = 1.0,
        divergence_weight: float = 1000.0,
        kernel: str = "rbf",
        likelihood: str = "bernoulli",
        variance: float | str = 1.0,
        binarize: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if alpha > 1:
            raise ValueError(f"alpha must be at most 1; got {alpha!r}.")
        if divergence_weight < 1 - alpha:
            raise ValueError(
                f"divergence_weight must be at least 1 - alpha = {1 - alpha}; got "
                f"{divergence_weight!r}."
            )
        if kernel not in KERNELS:
            known = ", ".join(map(repr, KERNELS))
            raise ValueError(f"kernel must be one of {known}; got {kernel!r}.")
        self.observe(likelihood, variance, binarize)
        self.encoder = encoder
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.alpha = alpha
        self.divergence_weight = divergence_weight
        self.kernel = kernel

    def draw_noise(self, x):
        """Noise of the posterior, samples of the prior, and what binary pixels take."""
        shape = (ops.shape(x)[0], self.latent_dim)
        return self.normal(shape), self.normal(shape), self.pixel_noise(x)

    def objective(self, x, noise, labels, training):
        posterior_noise, prior, pixel_noise = noise
        x = self.observed(x, pixel_noise)
        mean, log_variance = self.posterior(x, labels, training)
        z = reparameterize(mean, log_variance, posterior_noise)
        output = self.decoded(z, labels, training)
        reconstruction = ops.mean(self.negative_log_likelihood(x, output))
        kl = ops.mean(gaussian_kl(mean, log_variance))
        kernel, scale = KERNELS[self.kernel], 2.0 * self.latent_dim
        # Means over all pairs, as the authors' own code takes them.
        mmd = maximum_mean_discrepancy(z, prior, kernel, scale, unbiased=False)
        apart, together = 1 - self.alpha, self.alpha + self.divergence_weight - 1
        loss = reconstruction + apart * kl + together * mmd
        return loss, {"reconstruction": reconstruction, "kl": kl, "mmd": mmd}

"""The variational autoencoder: a lower bound of the likelihood, by reparameterization."""

from keras import ops

from keras_gen.losses import free_bits, gaussian_kl
from keras_gen.models.autoencoders.gaussian_codes import GaussianCodes, reparameterize
from keras_gen.models.base import GenerativeModel
from keras_gen.schedules import schedule


class VAE(GaussianCodes, GenerativeModel):
    """Variational autoencoder, conditional on labels if wanted.

    `loss = mean(-log p(x | z) + beta * KL(q(z | x) || N(0, I)))`, `z = mean + deviation * noise`

    With `beta=1` the loss is the negative evidence lower bound (-ELBO), in nats an example.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, 2 * latent_dim)`: mean and log
            variance of q(z | x).
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)`: logits (Bernoulli) or
            means (Gaussian); with `variance="learned"` twice the channels, log variances last.
        latent_dim: Size of z.
        beta: Weight of the KL term; 1 is the paper. A schedule of `keras_gen.schedules`, or its
            dict, moves it with the train steps; tests take its end.
        free_nats: Nats that each latent may tell for nothing: below, the KL does not pull.
        likelihood: "bernoulli" (data in [0, 1]) or "gaussian".
        variance: Of the Gaussian: a fixed positive number, or "learned" for each pixel.
        binarize: Draw binary pixels with the grey levels as probabilities, anew in each step
            (dynamic binarization), so that the Bernoulli bound is one on binary images.
        sample_noise: Whether `sample` draws from p(x | z) of a Gaussian instead of giving its mean:
            where the noise is part of the data, as in returns, and not in pictures.
        num_classes: Number of classes of a conditional VAE; `None` takes no labels.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Kingma & Welling 2014, "Auto-Encoding Variational Bayes", equation 10, appendices B and
        C; Higgins et al. 2017 for beta; Kingma et al. 2016, equation 15, for the free nats; Burda
        et al. 2015, section 5, for the binarization.
    """

    terms = ("loss", "reconstruction", "kl")

    def __init__(
        self,
        encoder,
        decoder,
        *,
        latent_dim: int,
        beta: float | dict = 1.0,
        free_nats: float = 0.0,
        likelihood: str = "bernoulli",
        variance: float | str = 1.0,
        binarize: bool = False,
        sample_noise: bool = False,
        num_classes: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.observe(likelihood, variance, binarize)
        if isinstance(beta, int | float) and beta < 0:
            raise ValueError(f"beta must not be negative; got {beta!r}.")
        if free_nats < 0:
            raise ValueError(f"free_nats must not be negative; got {free_nats!r}.")
        if sample_noise and likelihood != "gaussian":
            raise ValueError("sample_noise=True needs likelihood='gaussian'.")
        self.encoder = encoder
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.beta = beta
        self._beta = schedule(beta)
        self.free_nats = free_nats
        self.sample_noise = sample_noise
        self.num_classes = num_classes

    def objective(self, x, noise, labels, training):
        latent_noise, pixel_noise = noise
        x = self.observed(x, pixel_noise)
        mean, log_variance = self.posterior(x, labels, training)
        z = reparameterize(mean, log_variance, latent_noise)
        output = self.decoded(z, labels, training)
        reconstruction = ops.mean(self.negative_log_likelihood(x, output))
        kl = ops.mean(gaussian_kl(mean, log_variance))
        paid = free_bits(mean, log_variance, self.free_nats) if self.free_nats else kl
        beta = self._beta(self.optimizer.iterations) if training else self._beta.end
        return reconstruction + beta * paid, {"reconstruction": reconstruction, "kl": kl}

"""The variational autoencoder: a lower bound of the likelihood, by reparameterization."""

import math

from keras import ops

from keras_gen.losses import bernoulli_nll, gaussian_kl, gaussian_nll
from keras_gen.models.base import GenerativeModel

# A learned variance stays above exp(-7), a deviation of 0.03: below it a density over pixels
# that repeat exactly grows without bound.
LOG_VARIANCE_FLOOR = -7.0


class VAE(GenerativeModel):
    """Variational autoencoder, conditional on labels if wanted.

    `loss = mean(-log p(x | z) + beta * KL(q(z | x) || N(0, I)))`, `z = mean + deviation * noise`

    With `beta=1` the loss is the negative evidence lower bound (-ELBO), in nats an example.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, 2 * latent_dim)`: mean and log
            variance of q(z | x).
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)`: logits (Bernoulli) or
            means (Gaussian); with `variance="learned"` twice the channels, log variances last.
        latent_dim: Size of z.
        beta: Weight of the KL term; 1 is the paper.
        likelihood: "bernoulli" (data in [0, 1]) or "gaussian".
        variance: Of the Gaussian: a fixed positive number, or "learned" for each pixel.
        binarize: Draw binary pixels with the grey levels as probabilities, anew in each step
            (dynamic binarization), so that the Bernoulli bound is one on binary images.
        num_classes: Number of classes of a conditional VAE; `None` takes no labels.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Kingma & Welling 2014, "Auto-Encoding Variational Bayes", equation 10, appendices B and
        C; Higgins et al. 2017 for beta; Burda et al. 2015, section 5, for the binarization.
    """

    terms = ("loss", "reconstruction", "kl")

    def __init__(
        self,
        encoder,
        decoder,
        *,
        latent_dim: int,
        beta: float = 1.0,
        likelihood: str = "bernoulli",
        variance: float | str = 1.0,
        binarize: bool = False,
        num_classes: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if likelihood not in ("bernoulli", "gaussian"):
            raise ValueError(f"likelihood must be 'bernoulli' or 'gaussian'; got {likelihood!r}.")
        if variance != "learned" and not (isinstance(variance, int | float) and variance > 0):
            raise ValueError(f"variance must be a positive number or 'learned'; got {variance!r}.")
        if likelihood == "bernoulli" and variance != 1.0:
            raise ValueError("variance belongs to likelihood='gaussian'; a Bernoulli has none.")
        if beta < 0:
            raise ValueError(f"beta must not be negative; got {beta!r}.")
        if binarize and likelihood != "bernoulli":
            raise ValueError("binarize=True needs likelihood='bernoulli'.")
        self.encoder = encoder
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.beta = beta
        self.likelihood = likelihood
        self.variance = variance
        self.binarize = binarize
        self.num_classes = num_classes

    @staticmethod
    def sockets(data_shape, latent_dim, num_classes=None, variance=1.0, **_):
        *sides, channels = data_shape
        labels = num_classes or 0
        outputs = 2 * channels if variance == "learned" else channels
        return {
            "encoder": ((*sides, channels + labels), (2 * latent_dim,)),
            "decoder": ((latent_dim + labels,), (*sides, outputs)),
        }

    def draw_noise(self, x):
        latent = self.normal((ops.shape(x)[0], self.latent_dim))
        return latent, self.uniform(ops.shape(x)) if self.binarize else None

    def objective(self, x, noise, labels, training):
        latent_noise, pixel_noise = noise
        if pixel_noise is not None:
            x = ops.cast(pixel_noise < x, x.dtype)
        mean, log_variance = self.posterior(x, labels, training)
        z = mean + ops.exp(0.5 * log_variance) * latent_noise
        output = self.decoder(self.condition(z, labels), training=training)
        reconstruction = ops.mean(self.negative_log_likelihood(x, output))
        kl = ops.mean(gaussian_kl(mean, log_variance))
        return reconstruction + self.beta * kl, {"reconstruction": reconstruction, "kl": kl}

    def posterior(self, x, labels=None, training=False):
        """Mean and log variance of q(z | x), each `(batch, latent_dim)`."""
        moments = self.encoder(self.condition(x, labels), training=training)
        return ops.split(moments, 2, axis=-1)

    def negative_log_likelihood(self, x, output):
        """`-log p(x | z)` in nats per example `(batch,)`, from what the decoder gave."""
        if self.likelihood == "bernoulli":
            return bernoulli_nll(x, output)
        if self.variance != "learned":
            return gaussian_nll(x, output, math.log(self.variance))
        mean, log_variance = ops.split(output, 2, axis=-1)
        return gaussian_nll(x, mean, LOG_VARIANCE_FLOOR + ops.softplus(log_variance))

    def encode(self, x, labels=None):
        """Mean and deviation of q(z | x) for examples, each `(batch, latent_dim)`."""
        mean, log_variance = self.posterior(ops.convert_to_tensor(x), labels)
        return mean, ops.exp(0.5 * log_variance)

    def decode(self, z, labels=None):
        """Mean of p(x | z) in the data's range, from codes `(batch, latent_dim)`."""
        output = self.decoder(self.condition(ops.convert_to_tensor(z), labels), training=False)
        output = ops.cast(output, "float32")
        if self.variance == "learned":
            output, _ = ops.split(output, 2, axis=-1)
        return ops.sigmoid(output) if self.likelihood == "bernoulli" else output

    def call(self, inputs, training=False):
        """Reconstruct from the posterior's mean; `inputs` is `x`, or `(x, labels)`."""
        x, labels = inputs if isinstance(inputs, list | tuple) else (inputs, None)
        mean, _ = self.encode(x, labels)
        return self.decode(mean, labels)

    def sample(self, count, seed=None, labels=None):
        """Decode codes from the prior N(0, I): means of p(x | z).

        Args:
            count: Number of examples.
            seed: Integer: the same examples each time; fresh ones where `None`.
            labels: Of a conditional model: class numbers, repeated in turn; all where `None`.

        Returns:
            `(count, height, width, channels)` float32: in [0, 1] for a Bernoulli, in the range
            of the data for a Gaussian.
        """
        labels = self.sampling_labels(count, labels)
        noise = self.sampling_stream(seed).normal((count, self.latent_dim), self.compute_dtype)
        return self.decode(noise, labels)

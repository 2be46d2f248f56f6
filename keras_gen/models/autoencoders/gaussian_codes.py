"""What autoencoders share whose codes are normal: draw them, decode them, weigh them."""

import math

import numpy as np
from keras import ops

from keras_gen.losses import (
    bernoulli_nll,
    gaussian_log_density,
    gaussian_nll,
    reparameterized_log_density,
)
from keras_gen.models.autoencoders.latents import Latents
from keras_gen.models.autoencoders.likelihood import ImportanceWeighted

# A learned variance stays above exp(-7), a deviation of 0.03: below it a density over pixels
# that repeat exactly grows without bound.
LOG_VARIANCE_FLOOR = -7.0


class GaussianCodes(Latents, ImportanceWeighted):
    """Placed before `GenerativeModel`: a Gaussian encoder, a decoder with a density, a prior.

    `q(z | x) = N(mean, exp(log_variance))` by `encoder`, `p(x | z)` by `decoder`,
    `p(z) = N(0, I)` unless the family has a `log_prior` and a `prior_codes` of its own

    The family sets `encoder`, `decoder`, `latent_dim`, and calls `observe` for what p(x | z) is.
    """

    num_classes = None
    sample_noise = False

    def observe(self, likelihood="bernoulli", variance=1.0, binarize=False):
        """Set what p(x | z) is, after a check.

        Args:
            likelihood: "bernoulli" (data in [0, 1]) or "gaussian".
            variance: Of the Gaussian: a fixed positive number, or "learned" for each pixel.
            binarize: Draw binary pixels with the grey levels as probabilities, anew in each step.
        """
        if likelihood not in ("bernoulli", "gaussian"):
            raise ValueError(f"likelihood must be 'bernoulli' or 'gaussian'; got {likelihood!r}.")
        if variance != "learned" and not (isinstance(variance, int | float) and variance > 0):
            raise ValueError(f"variance must be a positive number or 'learned'; got {variance!r}.")
        if likelihood == "bernoulli" and variance != 1.0:
            raise ValueError("variance belongs to likelihood='gaussian'; a Bernoulli has none.")
        if binarize and likelihood != "bernoulli":
            raise ValueError("binarize=True needs likelihood='bernoulli'.")
        self.likelihood = likelihood
        self.variance = variance
        self.binarize = binarize

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
        """What one sample of each posterior takes, and what binary pixels take."""
        return self.normal((ops.shape(x)[0], self.latent_dim)), self.pixel_noise(x)

    def pixel_noise(self, x):
        """Uniform numbers of the shape of `x` where pixels are drawn, else `None`."""
        return self.uniform(ops.shape(x)) if self.binarize else None

    def observed(self, x, pixel_noise):
        """The examples, or binary ones of which they are the probabilities."""
        return x if pixel_noise is None else ops.cast(pixel_noise < x, x.dtype)

    def posterior(self, x, labels=None, training=False):
        """Mean and log variance of q(z | x), each `(batch, latent_dim)`."""
        moments = self.encoder(self.condition(x, labels), training=training)
        return ops.split(moments, 2, axis=-1)

    def decoded(self, z, labels=None, training=False):
        """What the decoder says of codes `(batch, latent_dim)`: logits, means, log variances."""
        return self.decoder(self.condition(z, labels), training=training)

    def negative_log_likelihood(self, x, output):
        """`-log p(x | z)` in nats per example `(batch,)`, from what the decoder gave."""
        if self.likelihood == "bernoulli":
            return bernoulli_nll(x, output)
        return gaussian_nll(x, *self.gaussian(output))

    def gaussian(self, output):
        """Mean and log variance of a Gaussian p(x | z), from what the decoder gave."""
        if self.variance != "learned":
            return output, math.log(self.variance)
        mean, log_variance = ops.split(output, 2, axis=-1)
        return mean, LOG_VARIANCE_FLOOR + ops.softplus(log_variance)

    def log_prior(self, z, training=False):
        """`log p(z)` of codes `(..., latent_dim)`, nats `(...)`."""
        return gaussian_log_density(z, 0.0, 0.0)

    def log_weights(self, x, noise, labels=None, training=False):
        """`log p(x | z) + log p(z) - log q(z | x)` in nats `(batch, samples)`.

        Args:
            x: `(batch, ...)` in the data's range; binary for a Bernoulli.
            noise: standard normal `(batch, samples, latent_dim)`.
            labels: int `(batch,)` of a conditional model.
            training: Whether the networks train.
        """
        samples = noise.shape[1]
        z, log_posterior = self.posterior_samples(x, noise, labels, training)
        labels = None if labels is None else ops.repeat(labels, samples)
        output = self.decoded(ops.reshape(z, (-1, self.latent_dim)), labels, training)
        nats = self.negative_log_likelihood(ops.repeat(x, samples, axis=0), output)
        return self.log_prior(z, training) - log_posterior - ops.reshape(nats, (-1, samples))

    def posterior_samples(self, x, noise, labels=None, training=False):
        """Samples z of q(z | x) `(batch, samples, latent_dim)`, and `log q(z | x)` of them.

        Args:
            x: `(batch, ...)` in the data's range.
            noise: standard normal `(batch, samples, latent_dim)`.
            labels: int `(batch,)` of a conditional model.
            training: Whether the encoder trains.
        """
        mean, log_variance = (part[:, None] for part in self.posterior(x, labels, training))
        z = reparameterize(mean, log_variance, noise)
        return z, reparameterized_log_density(noise, log_variance)

    def start_at(self, mean, deviation=None):
        """Set the decoder's output bias so that before training all examples are near the mean one.

        `bias = logit(mean)` for a Bernoulli, the mean clipped to [0.001, 0.999]; else
        `bias = mean`, and where the variance is learned it begins at `deviation**2`

        Args:
            mean: `(height, width, channels)`: the mean of the training examples. A convolution has
                one bias a channel: that channel's mean.
            deviation: Of the shape of `mean`: that of the training examples; needed where the
                variance is learned.

        Raises:
            ValueError: The mean has another shape, or the output layer has no such bias.

        Reference:
            Burda et al. 2016, "Importance Weighted Autoencoders": the authors' code.
        """
        mean = np.asarray(mean, "float64")
        learned = self.variance == "learned"
        *sides, outputs = self.decoder.output_shape[1:]
        shape = (*sides, outputs // 2 if learned else outputs)
        if mean.shape != shape:
            raise ValueError(f"the mean example has shape {mean.shape}, what is decoded {shape}.")
        *_, bias = [v for v in self.decoder.trainable_variables if v.name == "bias"] or [None]
        if bias is None or bias.shape[0] not in (math.prod((*sides, outputs)), outputs):
            raise ValueError("the decoder's last layer has no bias that could begin at a mean.")
        of_each = bias.shape[0] != outputs
        axes = () if of_each else tuple(range(len(sides)))
        if self.likelihood == "bernoulli":
            mean = np.clip(mean, 0.001, 0.999)
            mean = np.log(mean / (1.0 - mean))
        start = mean.mean(axes)
        if learned:
            # A variance at the floor is that of an output of minus infinity: begin just above it.
            variance = np.square(np.asarray(deviation, "float64")).mean(axes)
            above = np.maximum(np.log(variance + 1e-12) - LOG_VARIANCE_FLOOR, 1e-2)
            start = np.concatenate([start, np.log(np.expm1(above))], axis=-1)  # softplus inverted
        bias.assign(start.reshape(-1))

    def latent_noise(self, stream, batch, samples):
        """Standard normal numbers of a stream for `samples` samples of each example."""
        return stream.normal((batch, samples, self.latent_dim), self.compute_dtype)

    def encode(self, x, labels=None):
        """Mean and deviation of q(z | x) for examples, each `(batch, latent_dim)`."""
        mean, log_variance = self.posterior(ops.convert_to_tensor(x), labels)
        return mean, ops.exp(0.5 * log_variance)

    def decode(self, z, labels=None):
        """Mean of p(x | z) in the data's range, from codes `(batch, latent_dim)`."""
        output = ops.cast(self.decoded(ops.convert_to_tensor(z), labels), "float32")
        return ops.sigmoid(output) if self.likelihood == "bernoulli" else self.gaussian(output)[0]

    def emit(self, z, stream, labels=None):
        """Examples of codes: means of p(x | z), or with `sample_noise` draws by a random stream."""
        if not self.sample_noise:
            return self.decode(z, labels)
        output = self.decoded(ops.convert_to_tensor(z), labels)
        mean, log_variance = self.gaussian(ops.cast(output, "float32"))
        return reparameterize(mean, log_variance, stream.normal(tuple(mean.shape)))


def reparameterize(mean, log_variance, noise):
    """`mean + exp(log_variance / 2) * noise`: Kingma & Welling 2014, section 2.4."""
    return mean + ops.exp(0.5 * log_variance) * ops.convert_to_tensor(noise)

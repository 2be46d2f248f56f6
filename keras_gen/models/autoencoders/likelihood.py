"""How much probability an autoencoder with a density gives to examples: importance sampling."""

import math

import numpy as np
from keras import ops

from keras_gen import engine

NUMBERS_AT_ONCE = 2**23  # float32 numbers of the widest tensor of one chunk: 34 MB


class ImportanceWeighted:
    """Placed before `GenerativeModel`: a model with `latent_noise` and `log_weights`.

    `latent_noise(stream, batch, samples)` draws what the samples of the posterior take, an array
    `(batch, samples, ...)` or a nest of them; `log_weights(x, noise, labels=None)` is
    `log p(x | z) + log p(z) - log q(z | x)` at those samples, `(batch, samples)` in nats.
    `networks_of_samples` names the networks that take every sample.
    """

    networks_of_samples = ("decoder",)

    def log_likelihood(self, x, samples=500, *, labels=None, seed=0, batch_size=100):
        """Importance-weighted estimate of `log p(x)`: a lower bound that tightens with samples.

        `log(mean over k of p(x | z_k) p(z_k) / q(z_k | x))`, `z_k ~ q(z | x)`

        The sum is kept as a running logarithm, a few samples of a batch at a time, as many as the
        widest layer that they pass allows: memory does not grow with `samples`.

        Args:
            x: `(examples, ...)` in the data's range; binary pixels for a Bernoulli decoder.
            samples: Number of importance samples, at least 1.
            labels: int `(examples,)` of a conditional model.
            seed: Of the posterior's samples.
            batch_size: Examples at a time.

        Returns:
            NumPy float32 `(examples,)`, nats.

        Raises:
            ValueError: Fewer than 1 sample.

        Reference:
            Burda et al. 2016, "Importance Weighted Autoencoders", section 3, equation 8.
        """
        if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
            raise ValueError(f"samples must be an integer of at least 1; got {samples!r}.")
        x = np.asarray(x, "float32")
        at_once = max(1, NUMBERS_AT_ONCE // (batch_size * self.numbers_a_sample(x.shape[1:])))
        stream = self.sampling_stream(seed)
        totals = []
        with engine.sampling():
            for start in range(0, len(x), batch_size):
                part = slice(start, start + batch_size)
                batch = ops.convert_to_tensor(x[part], self.compute_dtype)
                own = None if labels is None else ops.convert_to_tensor(labels[part], "int32")
                total = np.full(len(x[part]), -np.inf)
                for first in range(0, samples, at_once):
                    noise = self.latent_noise(stream, len(x[part]), min(at_once, samples - first))
                    weights = ops.cast(self.log_weights(batch, noise, own), "float32")
                    sums = ops.convert_to_numpy(ops.logsumexp(weights, axis=1))
                    total = np.logaddexp(total, sums)
                totals.append(total - math.log(samples))
        return np.concatenate(totals).astype("float32")

    def numbers_a_sample(self, data_shape):
        """The most numbers that one sample of a posterior takes at once: the widest layer's."""
        networks = [getattr(self, name) for name in self.networks_of_samples]
        return max(math.prod(data_shape), *map(widest_layer, networks))

    def bits_per_dimension(self, x, samples=500, **options):
        """`-log p(x) / (dimensions * log 2)`, averaged: takes what `log_likelihood` takes."""
        nats = -self.log_likelihood(x, samples, **options)
        return float(np.mean(nats)) / (math.prod(np.shape(x)[1:]) * math.log(2.0))


def widest_layer(network):
    """Numbers an example of a network's widest layer; 1 where no layer tells its own."""
    widest = 1
    for layer in network._flatten_layers():
        try:
            widest = max(widest, math.prod(layer.output.shape[1:]))
        except (AttributeError, TypeError):  # called by a subclass, or of several outputs
            continue
    return widest

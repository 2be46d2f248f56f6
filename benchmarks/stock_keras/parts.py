"""What the stock Keras models of all backends share; of the adversarial ones more in `gan.py`."""

import math

import keras
import numpy as np
from keras import ops

from keras_gen.losses import bernoulli_nll, gaussian_kl, squared_error
from keras_gen.networks import BUILDERS

from ..native.plan import Codebook


def networks(case, weights):
    """Builds the Keras networks of a case: `{name: keras.Model}`.

    Args:
        case: a `benchmarks.cases.Case`.
        weights: `{network: [array, ...]}` in the order of `get_weights()`, or None.
    """
    built = {}
    for name, shapes in _sockets(case).items():
        options = dict(case.model[name])
        built[name] = BUILDERS[options.pop("network")](*shapes, **options, name=name)
        if weights:
            built[name].set_weights(weights[name])
    return built


def _sockets(case):
    """`{network: (input shape, output shape)}`."""
    if case.twin == "vqvae":
        sides = (side // case.model["downsampling"] for side in case.shape[:2])
        grid = (*sides, case.model["embedding_dim"])
        return {"encoder": (case.shape, grid), "decoder": (grid, case.shape)}
    code = (case.latent_dim,)
    if case.twin == "gan":
        return {"discriminator": (case.shape, (1,)), "generator": (code, case.shape)}
    return {"encoder": (case.shape, (2 * case.latent_dim,)), "decoder": (code, case.shape)}


def adam(settings, variables):
    """Keras' Adam with the settings of a config, built for `variables`."""
    settings = {name: value for name, value in settings.items() if name != "name"}
    optimizer = keras.optimizers.Adam(**settings)
    optimizer.build(variables)
    return optimizer


class VAE(keras.Model):
    """The variational autoencoder but for its train step, which is the backend's.

    Args:
        case: a `benchmarks.cases.Case`.
        weights: as `networks` takes them.
        **compiling: arguments of `compile` beside the optimizer.
    """

    terms = ("loss", "reconstruction", "kl")

    def __init__(self, case, weights, **compiling):
        super().__init__()
        built = networks(case, weights)
        self.encoder, self.decoder = built["encoder"], built["decoder"]
        self.case = case
        self.prepare()
        self.seed_generator = keras.random.SeedGenerator(0)
        self.trackers = [keras.metrics.Mean(name=term) for term in self.terms]
        self.built = True
        optimizer = adam(case.train["optimizer"], self.trainable_variables)
        self.compile(optimizer=optimizer, **compiling)

    @property
    def metrics(self):
        return self.trackers

    def prepare(self):
        """Makes what a family has beside its networks."""
        self.latent_dim = self.case.latent_dim

    def call(self, x, training=False):
        mean, log_variance = ops.split(self.encoder(x, training=training), 2, axis=-1)
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        z = mean + ops.exp(0.5 * log_variance) * noise
        return self.decoder(z, training=training), mean, log_variance

    def losses_of(self, x, outputs):
        """The numbers of `terms`, from what `call` returned for `x`."""
        logits, mean, log_variance = outputs
        reconstruction = ops.mean(bernoulli_nll(x, logits))
        kl = ops.mean(gaussian_kl(mean, log_variance))
        return reconstruction + kl, reconstruction, kl

    def sample(self, count):
        """Means of p(x | z) for `count` codes from the prior, NumPy `(count, ...)`."""
        noise = keras.random.normal((count, self.latent_dim))
        logits = self.decoder.predict(noise, batch_size=count, verbose=0)
        return ops.convert_to_numpy(ops.sigmoid(logits))


class IWAE(VAE):
    """The importance weighted autoencoder but for its train step; arguments as `VAE`'s."""

    terms = ("loss", "negative_elbo")

    def prepare(self):
        super().prepare()
        self.samples = self.case.model["samples"]

    def call(self, x, training=False):
        moments = ops.expand_dims(self.encoder(x, training=training), 1)
        mean, log_variance = ops.split(moments, 2, axis=-1)
        shape = (ops.shape(x)[0], self.samples, self.latent_dim)
        noise = keras.random.normal(shape, seed=self.seed_generator)
        z = mean + ops.exp(0.5 * log_variance) * noise
        logits = self.decoder(ops.reshape(z, (-1, self.latent_dim)), training=training)
        # log p(z) - log q(z | x); what both are divided by cancels.
        log_ratio = 0.5 * ops.sum(ops.square(noise) + log_variance - ops.square(z), axis=-1)
        return logits, log_ratio

    def losses_of(self, x, outputs):
        logits, log_ratio = outputs
        nats = bernoulli_nll(ops.repeat(x, self.samples, axis=0), logits)
        log_weights = log_ratio - ops.reshape(nats, (-1, self.samples))
        bound = ops.mean(ops.logsumexp(log_weights, axis=1)) - math.log(self.samples)
        return -bound, -ops.mean(log_weights)


class VQVAE(VAE):
    """The VQ-VAE but for its train step; arguments as `VAE`'s.

    Its codebook follows by moving averages in `call`, as a batch normalization's statistics do.
    """

    terms = ("loss", "reconstruction", "commitment", "perplexity", "usage")

    def prepare(self):
        self.book = Codebook(self.case)
        self.codes, self.counts, self.sums, self.idle = (
            self.add_weight(shape=value.shape, dtype=value.dtype.name, trainable=False, name=name)
            for name in Codebook.names
            for value in [getattr(self.book, name)]
        )
        for name in Codebook.names:
            getattr(self, name).assign(getattr(self.book, name))

    def call(self, x, training=False):
        z = self.encoder(x, training=training)
        book = ops.stop_gradient(ops.convert_to_tensor(self.codes))
        flat = ops.stop_gradient(ops.reshape(z, (-1, self.book.dim)))
        # |z|^2 is the same for all codes.
        halves = 0.5 * ops.sum(ops.square(book), axis=1)
        codes = ops.argmin(halves - ops.matmul(flat, ops.transpose(book)), axis=1)
        q = ops.reshape(ops.take(book, codes, axis=0), ops.shape(z))
        rebuilt = self.decoder(z + ops.stop_gradient(q - z), training=training)
        chosen = self.per_code(ops.ones_like(codes, "float32"), codes)
        if training:
            self.follow(flat, codes, chosen)
        return rebuilt, z, q, chosen

    def per_code(self, values, codes):
        """Sums of `values` `(places, ...)` that have the same code, `(size, ...)`."""
        return ops.segment_sum(values, codes, num_segments=self.book.size)

    def follow(self, z, codes, chosen):
        """The moving averages after a step; a code long unused moves to a vector of the batch."""
        decay, epsilon = self.book.decay, self.book.epsilon
        counts = decay * self.counts + (1 - decay) * chosen
        sums = decay * self.sums + (1 - decay) * self.per_code(z, codes)
        total = ops.sum(counts)
        smoothed = (counts + epsilon) / (total + self.book.size * epsilon) * total
        idle = ops.where(chosen > 0, 0, self.idle + 1)
        dead = idle >= self.book.revive_after
        count, seed = ops.shape(z)[0], self.seed_generator
        places = keras.random.randint((self.book.size,), 0, count, seed=seed)
        new = ops.take(z, places, axis=0)
        self.codes.assign(ops.where(dead[:, None], new, sums / smoothed[:, None]))
        self.sums.assign(ops.where(dead[:, None], new, sums))
        self.counts.assign(ops.where(dead, 1.0, counts))
        self.idle.assign(ops.where(dead, 0, idle))

    def losses_of(self, x, outputs):
        rebuilt, z, q, chosen = outputs
        reconstruction = ops.mean(squared_error(x, rebuilt))
        commitment = ops.mean(ops.sum(ops.square(z - q), axis=-1))
        shares = chosen / ops.sum(chosen)
        perplexity = ops.exp(-ops.sum(shares * ops.log(ops.maximum(shares, 1e-30))))
        usage = ops.mean(ops.cast(chosen > 0, "float32"))
        loss = reconstruction + self.book.beta * commitment
        return loss, reconstruction, commitment, perplexity, usage

    def sample(self, count):
        """Codes one by one, as often as each is used, decoded; NumPy `(count, ...)`."""
        grid = self.decoder.input_shape[1:-1]
        logits = ops.log(ops.convert_to_tensor(self.counts))[None]
        codes = keras.random.categorical(logits, count * grid[0] * grid[1])
        q = ops.reshape(ops.take(self.codes, codes[0], axis=0), (count, *grid, self.book.dim))
        return np.asarray(self.decoder.predict(q, batch_size=count, verbose=0))


class Stock:
    """Mixin before a contestant of `keras_gen_model`: stock Keras' model in place of keras-gen's.

    The arguments are those of `benchmarks.contestants.Contestant`.

    Attributes:
        models: `{twin: class of the model}`, of the backend.
        modes: `{mode: whether it is compiled by XLA}`, of the backend.
    """

    def __init__(self, case, mode, weights, steps_per_call=1):
        if mode not in self.modes:
            raise ValueError(f"mode: expected one of {tuple(self.modes)}, got {mode!r}")
        self.case = case
        self.steps_per_call = steps_per_call
        self.model = self.models[case.twin](
            case,
            weights,
            jit_compile=self.modes[mode],
            steps_per_execution=steps_per_call,
        )
        self.model.make_train_function()

    def epoch(self, examples, verbose=0, epochs=1):
        whole = len(examples) - len(examples) % self.case.batch_size
        super().epoch(examples[:whole], verbose, epochs)

    def codebook(self):
        return self.model

    def optimizers(self):
        if self.case.twin != "gan":
            return {"model": self.model.optimizer}
        return {"discriminator": self.model.d_optimizer, "generator": self.model.g_optimizer}

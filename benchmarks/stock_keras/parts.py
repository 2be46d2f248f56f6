"""What the stock Keras models of all backends share: networks, optimizers, losses, samples."""

import math

import keras
import numpy as np
from keras import ops

from keras_gen.losses import adversarial_loss, bernoulli_nll, gaussian_kl
from keras_gen.networks import BUILDERS


def networks(case, weights):
    """Builds the Keras networks of a case: `{name: keras.Model}`.

    Args:
        case: a `benchmarks.cases.Case`.
        weights: `{network: [array, ...]}` in the order of `get_weights()`, or None.
    """
    latent = (case.latent_dim,)
    shapes = {
        "encoder": (case.shape, (2 * case.latent_dim,)),
        "decoder": (latent, case.shape),
        "generator": (latent, case.shape),
        "discriminator": (case.shape, (1,)),
    }
    built = {}
    for name in ("discriminator", "generator") if case.twin == "gan" else ("encoder", "decoder"):
        options = dict(case.model[name])
        built[name] = BUILDERS[options.pop("network")](*shapes[name], **options, name=name)
        if weights:
            built[name].set_weights(weights[name])
    return built


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
        self.latent_dim = case.latent_dim
        self.seed_generator = keras.random.SeedGenerator(0)
        self.trackers = [keras.metrics.Mean(name=term) for term in self.terms]
        self.built = True
        optimizer = adam(case.train["optimizer"], self.trainable_variables)
        self.compile(optimizer=optimizer, **compiling)

    @property
    def metrics(self):
        return self.trackers

    def call(self, x, training=False, noise=None):
        mean, log_variance = ops.split(self.encoder(x, training=training), 2, axis=-1)
        if noise is None:
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

    def __init__(self, case, weights, **compiling):
        super().__init__(case, weights, **compiling)
        self.samples = case.model["samples"]

    def call(self, x, training=False, noise=None):
        moments = ops.expand_dims(self.encoder(x, training=training), 1)
        mean, log_variance = ops.split(moments, 2, axis=-1)
        if noise is None:
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


class GAN(keras.Model):
    """The adversarial network but for its train step, which is the backend's.

    Args:
        case: a `benchmarks.cases.Case`.
        weights: as `networks` takes them.
        **compiling: arguments of `compile` beside the optimizers.
    """

    terms = ("discriminator_loss", "generator_loss")
    players = ("discriminator", "generator")

    def __init__(self, case, weights, **compiling):
        super().__init__()
        built = networks(case, weights)
        self.discriminator, self.generator = built["discriminator"], built["generator"]
        self.latent_dim = case.latent_dim
        self.discriminator_steps = case.model.get("discriminator_steps", 1)
        self.penalty_weight = case.model.get("penalty_weight", 10.0)
        self.penalized = case.model.get("penalty") is not None
        self.loss_pair = adversarial_loss(case.model.get("adversarial_loss", "non_saturating"))
        self.seed_generator = keras.random.SeedGenerator(0)
        self.trackers = [keras.metrics.Mean(name=term) for term in self.terms]
        self.built = True
        self.d_optimizer, self.g_optimizer = (
            adam(case.train["optimizer"][player], built[player].trainable_variables)
            for player in self.players
        )
        self.compile(**compiling)

    @property
    def metrics(self):
        return self.trackers

    def draw(self, real, mixing):
        """Noise `(batch, latent)` and, where `mixing`, uniform numbers `(batch, 1, ...)`."""
        batch = ops.shape(real)[0]
        noise = keras.random.normal((batch, self.latent_dim), seed=self.seed_generator)
        if not mixing:
            return noise, None
        shape = (batch, *[1] * (len(real.shape) - 1))
        return noise, keras.random.uniform(shape, seed=self.seed_generator)

    def last_draws(self, draws):
        """Of a whole step's draws those of the last step of each: `(noise, mix), noise`."""
        *earlier, generator_noise = draws
        return earlier[-2:] if self.penalized else (earlier[-1], None), generator_noise

    def penalty(self, slope):
        """`weight * mean((|slope| - 1)^2)` of slopes `(batch, ...)`."""
        squares = ops.sum(ops.square(slope), axis=tuple(range(1, len(slope.shape))))
        return self.penalty_weight * ops.mean(ops.square(ops.sqrt(squares + 1e-12) - 1))

    def sample(self, count):
        """`count` examples, NumPy `(count, ...)`."""
        noise = keras.random.normal((count, self.latent_dim))
        return np.asarray(self.generator.predict(noise, batch_size=count, verbose=0))


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

    def gradients(self, batch, draws):
        """Loss and gradients of each player on one batch, nothing updated.

        Args:
            batch: NumPy `(batch, ...)`.
            draws: the step's random arrays, in the order in which it draws them.

        Returns:
            `{player: (loss, [array, ...])}`, in the order of the player's variables.
        """
        before = self.model.get_weights()
        batch, *draws = map(ops.convert_to_tensor, (batch, *draws))
        found = self.model.gradients(batch, draws)
        self.model.set_weights(before)
        return {
            player: (float(loss), list(map(ops.convert_to_numpy, gradients)))
            for player, (loss, gradients) in found.items()
        }

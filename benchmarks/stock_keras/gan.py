"""What the stock adversarial networks of all backends share."""

import keras
import numpy as np
from keras import ops

from keras_gen.losses import adversarial_loss

from ..native.plan import gan_options
from . import parts


class GAN(keras.Model):
    """The adversarial network but for its train step, which is the backend's.

    Args:
        case: a `benchmarks.cases.Case`.
        weights: as `parts.networks` takes them.
        **compiling: arguments of `compile` beside the optimizers.
    """

    terms = ("discriminator_loss", "generator_loss")
    players = ("discriminator", "generator")

    def __init__(self, case, weights, **compiling):
        super().__init__()
        built = parts.networks(case, weights)
        self.discriminator, self.generator = built["discriminator"], built["generator"]
        self.latent_dim = case.latent_dim
        options = gan_options(case)
        self.discriminator_steps = options["discriminator_steps"]
        self.penalties, self.penalty_weight = options["penalty"], options["penalty_weight"]
        self.mixing = "wgan_gp" in self.penalties
        self.loss_pair = adversarial_loss(options["adversarial_loss"])
        self.seed_generator = keras.random.SeedGenerator(0)
        self.trackers = [keras.metrics.Mean(name=term) for term in self.terms]
        self.built = True
        self.d_optimizer, self.g_optimizer = (
            parts.adam(case.train["optimizer"][player], built[player].trainable_variables)
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

    def discriminator_loss(self, judge, judge_and_slope, real, fake, mix):
        """The discriminator's loss and its penalties; a slope shares the pass that judges.

        Args:
            judge: `x -> logits`.
            judge_and_slope: `x -> (logits, gradient of their sum by x)`.
            real: `(batch, ...)`.
            fake: `(batch, ...)`.
            mix: `(batch, 1, ...)` of the penalty between the two, or None.
        """
        logits, costs = [], []
        for x, penalty in ((real, "r1"), (fake, "r2")):
            if penalty in self.penalties:
                judged, slope = judge_and_slope(x)
                costs.append(ops.mean(squared_norm(slope)))
            else:
                judged = judge(x)
            logits.append(judged)
        loss = ops.mean(self.loss_pair.discriminator(*logits))
        if mix is not None:
            _, slope = judge_and_slope(mix * real + (1 - mix) * fake)
            costs.append(ops.mean(ops.square(ops.sqrt(squared_norm(slope) + 1e-12) - 1)))
        return loss + self.penalty_weight * sum(costs)

    def generator_loss(self, judge, real, fake):
        """The generator's loss, `judge` as above; beside the data where it is relative."""
        logits = [judge(x) for x in [fake, real][: 1 + self.loss_pair.relative]]
        return ops.mean(self.loss_pair.generator(*logits))

    def sample(self, count):
        """`count` examples, NumPy `(count, ...)`."""
        noise = keras.random.normal((count, self.latent_dim))
        return np.asarray(self.generator.predict(noise, batch_size=count, verbose=0))


def squared_norm(slope):
    """`|slope|^2` of each example, `(batch,)`."""
    return ops.sum(ops.square(slope), axis=tuple(range(1, len(slope.shape))))

"""The generative adversarial network: a generator learns to pass a discriminator."""

from keras import ops

from keras_gen import engine
from keras_gen.losses import adversarial_loss as loss_named
from keras_gen.models.adversarial.penalties import PENALTIES
from keras_gen.models.base import GenerativeModel


class GAN(GenerativeModel):
    """Generative adversarial network; the loss is an argument, labels are optional.

    `discriminator: minimize mean(loss.discriminator(D(x), D(G(z)))) + penalty_weight * penalty`
    `generator:     minimize mean(loss.generator(D(G(z))))`, `z ~ N(0, I)`

    Each train step takes `discriminator_steps` steps of the discriminator on the batch, each
    with fresh noise and a generator that does not learn from it, then one of the generator with
    fresh noise and a discriminator that does not. DCGAN, LSGAN and WGAN-GP are configs of this
    family.

    Args:
        generator: `(batch, latent_dim [+ num_classes]) -> (batch, height, width, channels)`.
        discriminator: `(batch, height, width, channels [+ num_classes]) -> (batch, 1)` logits.
        latent_dim: Size of z.
        adversarial_loss: "minimax", "non_saturating", "least_squares", "hinge", "wasserstein"
            (which needs a penalty or clipping to be of use).
        penalty: "wgan_gp", or `None`: what the discriminator pays for its slope.
        penalty_weight: Weight of the penalty: lambda.
        discriminator_steps: Discriminator steps a train step: k of the paper's algorithm 1.
        ema: Decay of the generator's averaged copy, with which `sample` then generates;
            `None` keeps no average.
        num_classes: Number of classes of a conditional GAN; `None` takes no labels.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Goodfellow et al. 2014, "Generative Adversarial Nets", algorithm 1; Radford et al. 2016
        (DCGAN); Mirza & Osindero 2014 (labels); Yazici et al. 2019 (averaging the generator).
    """

    terms = ("discriminator_loss", "generator_loss", "real_score", "fake_score")

    def __init__(
        self,
        generator,
        discriminator,
        *,
        latent_dim: int,
        adversarial_loss: str = "non_saturating",
        penalty: str | None = None,
        penalty_weight: float = 10.0,
        discriminator_steps: int = 1,
        ema: float | None = None,
        num_classes: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if discriminator_steps < 1:
            raise ValueError(f"discriminator_steps must be 1 or more; got {discriminator_steps!r}.")
        if penalty is not None and penalty not in PENALTIES:
            raise ValueError(f"penalty must be None or one of {[*PENALTIES]}; got {penalty!r}.")
        if penalty_weight < 0:
            raise ValueError(f"penalty_weight must not be negative; got {penalty_weight!r}.")
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.adversarial_loss = adversarial_loss
        self.penalty = penalty
        self.penalty_weight = penalty_weight
        self.discriminator_steps = discriminator_steps
        self.ema = ema
        self.num_classes = num_classes
        self._loss = loss_named(adversarial_loss)
        self._penalty = PENALTIES.get(penalty)
        if self._penalty is not None:
            self.add_term("penalty")
        self.generator_average = None if ema is None else self.average_of(generator, ema)

    @staticmethod
    def sockets(data_shape, latent_dim, num_classes=None, **_):
        *sides, channels = data_shape
        labels = num_classes or 0
        return {
            "generator": ((latent_dim + labels,), data_shape),
            "discriminator": ((*sides, channels + labels), (1,)),
        }

    def train_step(self, data):
        real, labels = self.unpack(data)
        for _ in range(self.discriminator_steps):
            noise, mix = self.draw_noise(real), self.draw_mix(real)
            d_loss, terms = engine.minimize(
                lambda noise=noise, mix=mix: self.discriminator_objective(
                    real, noise, mix, labels, True
                ),
                self.discriminator.trainable_variables,
                self.optimizer["discriminator"],
            )
        noise = self.draw_noise(real)
        g_loss, _ = engine.minimize(
            lambda: self.generator_objective(noise, labels, True),
            self.generator.trainable_variables,
            self.optimizer["generator"],
        )
        return self.log(discriminator_loss=d_loss, generator_loss=g_loss, **terms)

    def test_step(self, data):
        real, labels = self.unpack(data)
        noise, mix = self.draw_noise(real), self.draw_mix(real)
        d_loss, terms = self.discriminator_objective(real, noise, mix, labels, False)
        g_loss, _ = self.generator_objective(noise, labels, False)
        return self.log(discriminator_loss=d_loss, generator_loss=g_loss, **terms)

    def draw_noise(self, x):
        return self.normal((ops.shape(x)[0], self.latent_dim))

    def draw_mix(self, x):
        """Where between data and samples the penalty looks; nothing where there is none."""
        if self._penalty is None:
            return None
        return self.uniform((ops.shape(x)[0], *[1] * (len(x.shape) - 1)))

    def discriminator_objective(self, real, noise, mix, labels, training):
        """The discriminator's loss; its mean probability of "real" on both sides beside it."""
        fake = ops.stop_gradient(self.generate(noise, labels, training))
        real_logits = self.judge(real, labels, training)
        fake_logits = self.judge(fake, labels, training)
        loss = ops.mean(self._loss.discriminator(real_logits, fake_logits))
        terms = {
            "real_score": ops.mean(ops.sigmoid(ops.cast(real_logits, "float32"))),
            "fake_score": ops.mean(ops.sigmoid(ops.cast(fake_logits, "float32"))),
        }
        if self._penalty is not None:
            penalty = ops.mean(
                self._penalty(lambda x: self.judge(x, labels, training), real, fake, mix)
            )
            loss, terms["penalty"] = loss + self.penalty_weight * penalty, penalty
        return loss, terms

    def generator_objective(self, noise, labels, training):
        """The generator's loss on what it makes of `noise`."""
        fake = self.generate(noise, labels, training)
        return ops.mean(self._loss.generator(self.judge(fake, labels, training))), {}

    def generate(self, noise, labels=None, training=False):
        """Examples `(batch, height, width, channels)` from noise `(batch, latent_dim)`."""
        return self.generator(self.condition(noise, labels), training=training)

    def judge(self, x, labels=None, training=False):
        """Logits `(batch, 1)`: how real the discriminator takes examples for."""
        return self.discriminator(self.condition(x, labels), training=training)

    def call(self, inputs, training=False):
        """Map noise, or `(noise, labels)`, to examples: with the averaged generator, if kept."""
        noise, labels = inputs if isinstance(inputs, list | tuple) else (inputs, None)
        network = self.generator if self.generator_average is None else self.generator_average
        return ops.cast(network(self.condition(noise, labels), training=False), "float32")

    def sample(self, count, seed=None, labels=None):
        """Generate examples from fresh noise.

        Args:
            count: Number of examples.
            seed: Integer: the same examples each time; fresh ones where `None`.
            labels: Of a conditional model: class numbers, repeated in turn; all where `None`.

        Returns:
            `(count, height, width, channels)` float32, in the range of the generator's output:
            [-1, 1] with a tanh.
        """
        labels = self.sampling_labels(count, labels)
        noise = self.sampling_stream(seed).normal((count, self.latent_dim), self.compute_dtype)
        return self((noise, labels))

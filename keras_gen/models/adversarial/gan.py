"""The generative adversarial network: a generator learns to pass a discriminator."""

from collections.abc import Sequence

from keras import ops

from keras_gen import engine
from keras_gen.losses import adversarial_loss as loss_named
from keras_gen.models.adversarial.augmented import Augmented
from keras_gen.models.adversarial.from_noise import FromNoise
from keras_gen.models.adversarial.logits import check_logits, scores
from keras_gen.models.adversarial.penalties import Penalized
from keras_gen.models.base import GenerativeModel


class GAN(FromNoise, Penalized, Augmented, GenerativeModel):
    """Generative adversarial network; loss and penalties are arguments, labels are optional.

    `discriminator: minimize mean(loss.discriminator(D(x), D(G(z)))) + penalty_weight * penalty`
    `generator:     minimize mean(loss.generator(D(G(z))))`, `z ~ N(0, I)`

    Each train step takes `discriminator_steps` steps of the discriminator on the batch, each
    with fresh noise and a generator that does not learn from it, then one of the generator with
    fresh noise and a discriminator that does not. DCGAN, LSGAN, WGAN, WGAN-GP, DRAGAN, SNGAN,
    SAGAN, the projection discriminator and R3GAN are configs of this family.

    Args:
        generator: `(batch, latent_dim [+ num_classes]) -> (batch, height, width, channels)`.
        discriminator: `(batch, height, width, channels [+ num_classes]) -> (batch, 1)` logits, or
            a map of them `(batch, rows, columns, 1)`.
        latent_dim: Size of z.
        adversarial_loss: "minimax", "non_saturating", "least_squares", "hinge", "wasserstein"
            (which needs a penalty or clipping to be of use), "relativistic".
        penalty: What the discriminator pays for its slope: "wgan_gp", "dragan", "r1", "r2",
            "zero_centred", several of them, which are added, or `None`.
        penalty_weight: Weight of the penalty: lambda; of R1 and R2 the papers' gamma / 2.
        penalty_every: How many train steps go from one that pays the penalty, for all of them, to
            the next: more is faster (lazy regularization).
        weight_clipping: Bound of the discriminator's weights after each of its steps; `None` does
            not clip.
        label_smoothing: By how much the discriminator's target for data lies below 1, in [0, 1).
        augmentation: Random changes of all that the discriminator is shown, in training: "color",
            "translation", "cutout" (DiffAugment), "ada" (adaptive), several of them, or `None`.
            The data are in [-1, 1]. Penalties are taken of changed examples.
        ada_target: What adaptive changes hold the mean sign of the data's logits at.
        ada_images: In how many images their probability can go from 0 to 1.
        discriminator_steps: Discriminator steps a train step: k of the paper's algorithm 1.
        ema: Decay of the generator's averaged copy, with which `sample` then generates;
            `None` keeps no average.
        num_classes: Number of classes of a conditional GAN; `None` takes no labels.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Raises:
        ValueError: A loss or penalty is not known, a number is out of its range, or the
            discriminator does not give one number, or a map of them.

    Reference:
        Goodfellow et al. 2014, "Generative Adversarial Nets", algorithm 1; Radford et al. 2016
        (DCGAN); Mirza & Osindero 2014 (labels); Yazici et al. 2019 (averaging the generator);
        Arjovsky et al. 2017, algorithm 1 (clipping); Salimans et al. 2016, section 3.4 (smoothing);
        Huang et al. 2024, "The GAN is dead; long live the GAN!" (R3GAN).
    """

    terms = ("discriminator_loss", "generator_loss", "real_score", "fake_score")

    def __init__(
        self,
        generator,
        discriminator,
        *,
        latent_dim: int,
        adversarial_loss: str = "non_saturating",
        penalty: str | Sequence[str] | None = None,
        penalty_weight: float = 10.0,
        penalty_every: int = 1,
        weight_clipping: float | None = None,
        label_smoothing: float = 0.0,
        augmentation: str | Sequence[str] | None = None,
        ada_target: float = 0.6,
        ada_images: int = 500_000,
        discriminator_steps: int = 1,
        ema: float | None = None,
        num_classes: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._loss = loss_named(adversarial_loss)
        self.penalize_by(penalty, penalty_weight, penalty_every)
        self.augment_by(augmentation, ada_target, ada_images)
        if discriminator_steps < 1:
            raise ValueError(f"discriminator_steps must be 1 or more; got {discriminator_steps!r}.")
        if weight_clipping is not None and weight_clipping <= 0:
            raise ValueError(f"weight_clipping must be above 0; got {weight_clipping!r}.")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1); got {label_smoothing!r}.")
        if label_smoothing and not self._loss.smooth:
            raise ValueError(
                f"label_smoothing: the loss {adversarial_loss!r} has no target for data that could "
                "be smoothed; leave it out."
            )
        check_logits("discriminator", discriminator)
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.adversarial_loss = adversarial_loss
        self.weight_clipping = weight_clipping
        self.label_smoothing = label_smoothing
        self.discriminator_steps = discriminator_steps
        self.ema = ema
        self.num_classes = num_classes
        self._smoothed = {"real_target": 1.0 - label_smoothing} if label_smoothing else {}
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
            noise, places = self.draw_noise(real), self.draw_places(real)
            d_loss, terms = engine.minimize(
                lambda noise=noise, places=places: self.discriminator_objective(
                    real, noise, places, labels, True
                ),
                self.discriminator.trainable_variables,
                self.optimizer["discriminator"],
            )
            self.clip_weights()
        noise = self.draw_noise(real)
        g_loss, _ = engine.minimize(
            lambda: self.generator_objective(real, noise, labels, True),
            self.generator.trainable_variables,
            self.optimizer["generator"],
        )
        return self.log(discriminator_loss=d_loss, generator_loss=g_loss, **terms)

    def objectives(self, real, labels):
        noise, places = self.draw_noise(real), self.draw_places(real)
        return {
            "discriminator": lambda: self.discriminator_objective(
                real, noise, places, labels, False
            ),
            "generator": lambda: self.generator_objective(real, noise, labels, False),
        }

    def discriminator_objective(self, real, noise, places, labels, training):
        """The discriminator's loss; its mean probability of "real" on both sides beside it."""
        fake = ops.stop_gradient(self.generate(noise, labels, training))
        real, fake = self.show(real, training), self.show(fake, training)
        (real_logits, _), (fake_logits, _), penalty = self.judge_and_penalize(
            lambda x: (self.judge(x, labels, training), None), real, fake, places, training
        )
        loss = ops.mean(self._loss.discriminator(real_logits, fake_logits, **self._smoothed))
        loss = loss + self.penalty_weight * sum(penalty.values())
        strength = self.follow_overfitting(real_logits, training)
        return loss, {**scores(real_logits, fake_logits), **penalty, **strength}

    def generator_objective(self, real, noise, labels, training):
        """The generator's loss on what it makes of `noise`, beside the data if it is relative."""
        shown = [self.generate(noise, labels, training)] + [real] * self._loss.relative
        logits = [self.judge(self.show(x, training), labels, training) for x in shown]
        return ops.mean(self._loss.generator(*logits)), {}

    def judge(self, x, labels=None, training=False):
        """Logits `(batch, 1)`: how real the discriminator takes examples for."""
        return self.discriminator(self.condition(x, labels), training=training)

    def clip_weights(self):
        """`w <- min(max(w, -c), c)` of the discriminator: Arjovsky et al. 2017, algorithm 1."""
        if self.weight_clipping is not None:
            for w in self.discriminator.trainable_variables:
                w.assign(ops.clip(w.value, -self.weight_clipping, self.weight_clipping))

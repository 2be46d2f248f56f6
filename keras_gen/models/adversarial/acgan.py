"""ACGAN: the discriminator also says which class it sees, and the generator is held to it."""

from collections.abc import Sequence

from keras import ops

from keras_gen import engine
from keras_gen.losses import adversarial_loss as loss_named
from keras_gen.losses import categorical_nll
from keras_gen.models.adversarial.from_noise import FromNoise
from keras_gen.models.adversarial.logits import check_heads, scores
from keras_gen.models.adversarial.penalties import Penalized
from keras_gen.models.base import GenerativeModel


class ACGAN(FromNoise, Penalized, GenerativeModel):
    """Conditional GAN whose discriminator is a classifier too, and is not told the class.

    `discriminator: minimize mean(loss.discriminator(S(x), S(G(z, c)))) + class_weight * L_C
                    + penalty_weight * penalty`,
    `               L_C = mean(-log P(C = c | x)) + mean(-log P(C = c | G(z, c)))`
    `generator:     minimize mean(loss.generator(S(G(z, c))))
                    + class_weight * mean(-log P(C = c | G(z, c)))`

    S is the logit of the source and C the class, both outputs of the one discriminator;
    `z ~ N(0, I)`, and c are the labels of the batch. With the minimax loss these are the paper's
    L_C + L_S and L_C - L_S, negated.

    Args:
        generator: `(batch, latent_dim + num_classes) -> (batch, height, width, channels)`.
        discriminator: `(batch, height, width, channels) -> (batch, 1 + num_classes)`: the logit of
            the source, and those of the classes.
        latent_dim: Size of z.
        num_classes: Number of classes, 2 or more.
        adversarial_loss: Of the source, as of `GAN`: "minimax", "non_saturating",
            "least_squares", "hinge", "wasserstein", "relativistic".
        class_weight: Weight of the classes in both losses; the paper's is 1.
        penalty: What the discriminator pays for the slope of S, as of `GAN`.
        penalty_weight: Weight of the penalty.
        penalty_every: How many train steps go from one that pays it to the next, as of `GAN`.
        discriminator_steps: Discriminator steps a train step.
        ema: Decay of the generator's averaged copy, with which `sample` then generates;
            `None` keeps no average.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Raises:
        ValueError: A loss or penalty is not known, a number is out of its range, or the
            discriminator does not give 1 + num_classes numbers.

    Reference:
        Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs", section 3,
        equations 2 and 3.
    """

    terms = ("discriminator_loss", "generator_loss", "real_score", "fake_score", "class_loss")

    def __init__(
        self,
        generator,
        discriminator,
        *,
        latent_dim: int,
        num_classes: int,
        adversarial_loss: str = "non_saturating",
        class_weight: float = 1.0,
        penalty: str | Sequence[str] | None = None,
        penalty_weight: float = 10.0,
        penalty_every: int = 1,
        discriminator_steps: int = 1,
        ema: float | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._loss = loss_named(adversarial_loss)
        self.penalize_by(penalty, penalty_weight, penalty_every)
        if num_classes is None or num_classes < 2:
            raise ValueError(f"num_classes must be 2 or more; got {num_classes!r}.")
        if class_weight < 0:
            raise ValueError(f"class_weight must not be negative; got {class_weight!r}.")
        if discriminator_steps < 1:
            raise ValueError(f"discriminator_steps must be 1 or more; got {discriminator_steps!r}.")
        check_heads("discriminator", discriminator, source=1, classes=num_classes)
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.adversarial_loss = adversarial_loss
        self.class_weight = class_weight
        self.discriminator_steps = discriminator_steps
        self.ema = ema
        self.add_term("real_accuracy", direction="up")
        self.add_term("fake_accuracy", direction="up")
        self.generator_average = None if ema is None else self.average_of(generator, ema)

    @staticmethod
    def sockets(data_shape, latent_dim, num_classes, **_):
        return {
            "generator": ((latent_dim + num_classes,), data_shape),
            "discriminator": (data_shape, (1 + num_classes,)),
        }

    def train_step(self, data):
        real, labels = self.unpack(data)
        for _ in range(self.discriminator_steps):
            draws = self.draw_noise(real), self.draw_places(real)
            d_loss, terms = engine.minimize(
                lambda draws=draws: self.discriminator_objective(real, *draws, labels, True),
                self.discriminator.trainable_variables,
                self.optimizer["discriminator"],
            )
        noise = self.draw_noise(real)
        g_loss, _ = engine.minimize(
            lambda: (self.generator_objective(real, noise, labels, True), {}),
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
            "generator": lambda: (self.generator_objective(real, noise, labels, False), {}),
        }

    def discriminator_objective(self, real, noise, places, labels, training):
        """The discriminator's loss; its scores, L_C and the shares of right classes beside it."""
        fake = ops.stop_gradient(self.generate(noise, labels, training))
        (real_source, real_class), (fake_source, fake_class), penalty = self.judge_and_penalize(
            lambda x: self.judge(x, training), real, fake, places, training
        )
        class_loss = self.class_loss(labels, real_class) + self.class_loss(labels, fake_class)
        loss = ops.mean(self._loss.discriminator(real_source, fake_source))
        loss = loss + self.class_weight * class_loss + self.penalty_weight * sum(penalty.values())
        terms = {
            "class_loss": class_loss,
            "real_accuracy": accuracy(labels, real_class),
            "fake_accuracy": accuracy(labels, fake_class),
        }
        return loss, {**scores(real_source, fake_source), **terms, **penalty}

    def generator_objective(self, real, noise, labels, training):
        """The generator's loss on what it makes of `noise`, beside the data if it is relative."""
        source, classes = self.judge(self.generate(noise, labels, training), training)
        beside = (self.judge(real, training)[0],) if self._loss.relative else ()
        loss = ops.mean(self._loss.generator(source, *beside))
        return loss + self.class_weight * self.class_loss(labels, classes)

    def judge(self, x, training=False):
        """Logits of the source `(batch, 1)` and of the classes `(batch, num_classes)`."""
        logits = self.discriminator(x, training=training)
        return logits[:, :1], logits[:, 1:]

    def class_loss(self, labels, logits):
        """`mean(-log P(C = c))` in nats."""
        return ops.mean(categorical_nll(ops.one_hot(labels, self.num_classes), logits))


def accuracy(labels, logits):
    """The share of examples whose largest logit is that of their label, in [0, 1]."""
    chosen = ops.cast(ops.argmax(logits, axis=-1), "int32")
    return ops.mean(ops.cast(ops.equal(chosen, labels), "float32"))

"""Pix2Pix: a conditional GAN that translates images, held to the truth by its L1 distance."""

from keras import ops

from keras_gen import engine
from keras_gen.losses import adversarial_loss as loss_named
from keras_gen.losses import mean_absolute_error
from keras_gen.models.adversarial.logits import check_logits, scores
from keras_gen.models.adversarial.translation import Translation, pair_shapes
from keras_gen.models.base import GenerativeModel


class Pix2Pix(Translation, GenerativeModel):
    """Conditional GAN from images to images of which the truth is known.

    `discriminator: minimize mean(loss.discriminator(D(x, y), D(x, G(x)))) / 2`
    `generator:     minimize mean(loss.generator(D(x, G(x)))) + l1_weight * mean(|y - G(x)|)`

    An example is a pair `[x, y]`: the channels of the input, then those of the target. D sees both
    joined, and judges patches where its output is a map. Each train step takes one step of the
    discriminator, whose objective is halved so that it learns more slowly, then one of the
    generator. The only noise is the generator's own dropout, which acts in training; `translate`
    is deterministic. Colourisation and super-resolution are configs of this family.

    Args:
        generator: `(batch, height, width, input channels) -> (batch, height, width, target
            channels)`.
        discriminator: `(batch, height, width, channels) -> (batch, rows, columns, 1)`, logits of
            patches, or `(batch, 1)`.
        input_channels: How many channels of a pair, the first ones, are the input's.
        adversarial_loss: "non_saturating" (the paper's), "minimax", "least_squares", "hinge",
            "wasserstein" or "relativistic".
        l1_weight: Weight of the L1 distance: lambda; 0 leaves the bare conditional GAN.
        ema: Decay of the generator's averaged copy, which then translates; `None` keeps none.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks",
        equations 1, 3 and 4, sections 3.1 to 3.3.
    """

    terms = ("discriminator_loss", "generator_loss", "l1", "real_score", "fake_score")

    def __init__(
        self,
        generator,
        discriminator,
        *,
        input_channels: int,
        adversarial_loss: str = "non_saturating",
        l1_weight: float = 100.0,
        ema: float | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if l1_weight < 0:
            raise ValueError(f"l1_weight must not be negative; got {l1_weight!r}.")
        check_logits("discriminator", discriminator)
        self.generator = generator
        self.discriminator = discriminator
        self.input_channels = input_channels
        self.adversarial_loss = adversarial_loss
        self.l1_weight = l1_weight
        self.ema = ema
        self.generator_average = None if ema is None else self.average_of(generator, ema)
        self._loss = loss_named(adversarial_loss)

    @staticmethod
    def sockets(data_shape, input_channels, **_):
        inputs, targets = pair_shapes(data_shape, input_channels)
        patches = (*[None] * (len(data_shape) - 1), 1)  # as many as its network makes
        return {"generator": (inputs, targets), "discriminator": (data_shape, patches)}

    def train_step(self, data):
        pairs, _ = self.unpack(data)
        d_loss, judged = engine.minimize(
            lambda: self.discriminator_objective(pairs, True),
            self.discriminator.trainable_variables,
            self.optimizer["discriminator"],
        )
        g_loss, apart = engine.minimize(
            lambda: self.generator_objective(pairs, True),
            self.generator.trainable_variables,
            self.optimizer["generator"],
        )
        return self.log(discriminator_loss=d_loss, generator_loss=g_loss, **judged, **apart)

    def test_step(self, data):
        pairs, _ = self.unpack(data)
        d_loss, judged = self.discriminator_objective(pairs, False)
        g_loss, apart = self.generator_objective(pairs, False)
        return self.log(discriminator_loss=d_loss, generator_loss=g_loss, **judged, **apart)

    def discriminator_objective(self, pairs, training):
        """The discriminator's loss; its mean probability of "real" on both sides beside it."""
        x, y = self.inputs_and_targets(pairs)
        fake = ops.stop_gradient(self.generator(x, training=training))
        real_logits = self.judge(x, y, training)
        fake_logits = self.judge(x, fake, training)
        # Section 3.3: halved, which slows its learning relative to the generator's.
        loss = 0.5 * ops.mean(self._loss.discriminator(real_logits, fake_logits))
        return loss, scores(real_logits, fake_logits)

    def generator_objective(self, pairs, training):
        """The generator's loss on what it makes of the inputs; the L1 distance beside it."""
        x, y = self.inputs_and_targets(pairs)
        fake = self.generator(x, training=training)
        shown = [fake] + [y] * self._loss.relative
        logits = [self.judge(x, target, training) for target in shown]
        fooling = ops.mean(self._loss.generator(*logits))
        l1 = ops.mean(mean_absolute_error(y, fake))
        return fooling + self.l1_weight * l1, {"l1": l1}

    def judge(self, x, y, training=False):
        """Logits `(batch, rows, columns, 1)`: how real the discriminator takes targets for."""
        return self.discriminator(ops.concatenate([x, y], axis=-1), training=training)

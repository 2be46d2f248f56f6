"""The progressive GAN: both players grow, from coarse images to fine ones, while they learn."""

from collections.abc import Sequence

from keras import ops

from keras_gen import engine
from keras_gen.losses import adversarial_loss as loss_named
from keras_gen.models.adversarial.from_noise import FromNoise
from keras_gen.models.adversarial.logits import check_logits, scores
from keras_gen.models.adversarial.penalties import Penalized
from keras_gen.models.base import GenerativeModel
from keras_gen.models.stages import InStages
from keras_gen.schedules import Growth


class ProgressiveGAN(FromNoise, Penalized, InStages, GenerativeModel):
    """Generative adversarial network that grows: each level doubles the sides of its images.

    `discriminator: minimize mean(loss.discriminator(D(x), D(G(z)))) + penalty_weight * penalty
                             + drift * mean(D(x)**2)`
    `generator:     minimize mean(loss.generator(D(G(z))))`, `z ~ N(0, I)`

    Level 0 is trained for `stable_steps` train steps; each further level is faded in for
    `fade_steps`, its share alpha rising from 0 to 1, and then trained for `stable_steps`; the last
    one until training ends. Data is averaged down to the level, and while it fades in mixed with
    what the level before sees: `x = (1 - alpha) * enlarged(shrunk(x)) + alpha * x`.

    All of it is one `fit`. A step runs and moves the levels that it needs and no other: weights,
    moments and averages of the others stay as they are. The optimizers count on where a level
    joins: its first steps are, with Adam, up to 1 / sqrt(1 - beta_2) times as long as a first step
    is, while its share is small. The stage follows from the train steps taken, `steps_taken`,
    which are saved and resumed with the model.

    Args:
        generator: A network with `levels` and `stage(level, fading)`, a `keras.Model` of
            `(batch, latent_dim)`, or of that and of alpha while fading, to the images of the level.
        discriminator: Of as many levels; `stage(level, fading)` makes `(batch, 1)` logits of the
            images of the level.
        latent_dim: Size of z.
        stable_steps: Train steps of a level, its fade not counted.
        fade_steps: Train steps in which a level is faded in.
        adversarial_loss: A loss of `GAN`, by its name.
        penalty: As of `GAN`, on the images of the level.
        penalty_weight: Weight of the penalty.
        penalty_every: Train steps from one that pays it to the next, as of `GAN`.
        drift: Weight of the square of the discriminator's logits for data, which keeps them from
            drifting off where the loss sees differences only.
        discriminator_steps: Discriminator steps a train step.
        ema: Decay of the generator's averaged copy, with which `sample` then generates;
            `None` keeps no average.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Raises:
        ValueError: A loss or penalty is not known, a number is out of its range, or the networks
            do not grow, or not alike.

    Reference:
        Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and
        Variation", sections 2 and 6 and appendix A.1.
    """

    terms = ("discriminator_loss", "generator_loss", "real_score", "fake_score")

    def __init__(
        self,
        generator,
        discriminator,
        *,
        latent_dim: int,
        stable_steps: int,
        fade_steps: int,
        adversarial_loss: str = "wasserstein",
        penalty: str | Sequence[str] | None = "wgan_gp",
        penalty_weight: float = 10.0,
        penalty_every: int = 1,
        drift: float = 0.001,
        discriminator_steps: int = 1,
        ema: float | None = 0.999,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._loss = loss_named(adversarial_loss)
        self.penalize_by(penalty, penalty_weight, penalty_every)
        self.add_term("level", "up")
        if drift < 0:
            raise ValueError(f"drift must not be negative; got {drift!r}.")
        if discriminator_steps < 1:
            raise ValueError(f"discriminator_steps must be 1 or more; got {discriminator_steps!r}.")
        check_logits("discriminator", discriminator)
        self._growth = Growth(_levels(generator, discriminator), stable_steps, fade_steps)
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.stable_steps = stable_steps
        self.fade_steps = fade_steps
        self.adversarial_loss = adversarial_loss
        self.drift = drift
        self.discriminator_steps = discriminator_steps
        self.ema = ema
        self.num_classes = None
        self.generator_average = None if ema is None else self.average_of(generator, ema)

    @staticmethod
    def sockets(data_shape, latent_dim, **_):
        return {"generator": ((latent_dim,), data_shape), "discriminator": (data_shape, (1,))}

    def stage_at(self, step):
        return self._growth.stage(step)

    def check_run(self, steps):
        """Refuse a run that ends before the images have their full size.

        Args:
            steps: Train steps of the whole run.

        Raises:
            ValueError: It does, and by how many steps.
        """
        needed = self._growth.steps
        if steps < needed:
            raise ValueError(
                f"the run ends {needed - steps} train steps before its images have their full "
                f"size: growing to level {self._growth.levels - 1} takes {needed}, this run has "
                f"{steps}; take more epochs, or fewer stable_steps and fade_steps"
            )

    def train_step(self, data):
        real = self.seen(self.unpack(data)[0])
        level, fading = self.stage
        generator, discriminator = (
            player.stage(level, fading).trainable_variables
            for player in (self.generator, self.discriminator)
        )
        for _ in range(self.discriminator_steps):
            noise, places = self.draw_noise(real), self.draw_places(real)
            d_loss, terms = engine.minimize(
                lambda noise=noise, places=places: self.discriminator_objective(
                    real, noise, places, True
                ),
                discriminator,
                self.optimizer["discriminator"],
            )
        noise = self.draw_noise(real)
        g_loss, _ = engine.minimize(
            lambda: self.generator_objective(real, noise, True),
            generator,
            self.optimizer["generator"],
        )
        return self.log(discriminator_loss=d_loss, generator_loss=g_loss, **terms)

    def objectives(self, real, labels):
        real = self.seen(real)
        noise, places = self.draw_noise(real), self.draw_places(real)
        return {
            "discriminator": lambda: self.discriminator_objective(real, noise, places, False),
            "generator": lambda: self.generator_objective(real, noise, False),
        }

    def discriminator_objective(self, real, noise, places, training):
        """The discriminator's loss; its mean probability of "real" on both sides beside it."""
        fake = ops.stop_gradient(self.generate(noise, training=training))
        (real_logits, _), (fake_logits, _), penalty = self.judge_and_penalize(
            lambda x: (self.judge(x, training), None), real, fake, places, training
        )
        loss = ops.mean(self._loss.discriminator(real_logits, fake_logits))
        loss = loss + self.drift * ops.mean(ops.square(ops.cast(real_logits, "float32")))
        loss = loss + self.penalty_weight * sum(penalty.values())
        level = self.stage[0] - 1.0 + self.alpha if self.stage[0] else 0.0
        return loss, {**scores(real_logits, fake_logits), **penalty, "level": level}

    def generator_objective(self, real, noise, training):
        """The generator's loss on what it makes of `noise`, beside the data if it is relative."""
        fake_logits = self.judge(self.generate(noise, training=training), training)
        beside = (self.judge(real, training),) if self._loss.relative else ()
        return ops.mean(self._loss.generator(fake_logits, *beside)), {}

    # -- What a stage computes ----------------------------------------------------------------

    @property
    def alpha(self):
        """The share of the newest level: a float32 scalar, 1 where it is not being faded in."""
        return self._growth.alpha(self.step)

    def seen(self, x):
        """Data `(batch, height, width, channels)` as the level sees it."""
        level, fading = self.stage
        x = shrunk(x, 2 ** (self._growth.levels - 1 - level))
        if not fading:
            return x
        alpha = ops.cast(self.alpha, x.dtype)
        return (1 - alpha) * enlarged(shrunk(x, 2), 2) + alpha * x

    def generate(self, noise, labels=None, training=False):
        """Images of the level from noise `(batch, latent_dim)`."""
        return self._run(self.generator, noise, training)

    def judge(self, x, training=False):
        """Logits `(batch, 1)`: how real the discriminator takes images of the level for."""
        return self._run(self.discriminator, x, training)

    def _run(self, network, x, training):
        level, fading = self.stage
        inputs = [ops.convert_to_tensor(x), self.alpha] if fading else x
        return network.stage(level, fading)(inputs, training=training)

    def _moving(self):
        stages = ((n.stage(*self.stage), a.stage(*self.stage), d) for n, a, d in self._averages)
        return list(stages)

    def call(self, inputs, training=False):
        """Map noise to images of the full size, enlarged from the level; averaged, if kept."""
        noise = inputs[0] if isinstance(inputs, list | tuple) else inputs
        images = self._run(self.sampling_generator, noise, training=False)
        level, _ = self.stage
        return ops.cast(enlarged(images, 2 ** (self._growth.levels - 1 - level)), "float32")


def shrunk(x, times):
    """Images with each square of `times` x `times` pixels averaged to one."""
    height, width, channels = x.shape[1:]
    squares = (-1, height // times, times, width // times, times, channels)
    return ops.mean(ops.reshape(x, squares), axis=(2, 4))


def enlarged(x, times):
    """Images with each pixel repeated `times` x `times`."""
    return ops.repeat(ops.repeat(x, times, axis=1), times, axis=2)


def _levels(generator, discriminator):
    """How many levels both networks have."""
    players = {"generator": generator, "discriminator": discriminator}
    for socket, network in players.items():
        if not (hasattr(network, "levels") and hasattr(network, "stage")):
            raise ValueError(
                f"{socket}: expected a network that grows, one with levels and stage(level, "
                f"fading), as networks.Progressive{socket.capitalize()}; got {network!r}."
            )
    if generator.levels != discriminator.levels:
        raise ValueError(
            f"discriminator: expected {generator.levels} levels, as of the generator; got "
            f"{discriminator.levels}. Give both the same start."
        )
    return generator.levels

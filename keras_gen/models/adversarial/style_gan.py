"""StyleGAN: noise becomes a style, and styles scale the features of every layer of an image."""

from collections.abc import Sequence

from keras import ops

from keras_gen import engine
from keras_gen.losses import adversarial_loss as loss_named
from keras_gen.models.adversarial.augmented import Augmented
from keras_gen.models.adversarial.from_noise import FromNoise
from keras_gen.models.adversarial.logits import check_logits, scores
from keras_gen.models.adversarial.path_length import PathRegularized
from keras_gen.models.adversarial.penalties import Penalized
from keras_gen.models.base import GenerativeModel

CENTRE_OF = 4096  # latents whose mean style is the one that truncation draws to


class StyleGAN(FromNoise, Penalized, PathRegularized, Augmented, GenerativeModel):
    """Generative adversarial network of styles, whose lengths of path are held alike.

    `G(z) = synthesis(w, ..., w)`, `w = mapping(z)`, `z ~ N(0, I)`
    `discriminator: minimize mean(loss.discriminator(D(x), D(G(z)))) + penalty_weight * penalty`
    `generator:     minimize mean(loss.generator(D(G(z))))
                             + path_length_weight * mean((|J_w^T y| - a)**2)`

    `J_w = d synthesis / dw`, `y ~ N(0, I / pixels)`, and `a` follows the mean of `|J_w^T y|`. In
    training, images of a share of the examples have the styles of one z in their first layers and
    those of another in the others. Each train step takes one step of the discriminator, then one
    of the generator, each with fresh noise.

    Args:
        generator: `(batch, latent_dim) -> (batch, height, width, channels)`, a network whose layer
            "mapping" makes styles `(batch, features)` and whose layer "synthesis" makes images of
            `(batch, layers, features)`.
        discriminator: `(batch, height, width, channels) -> (batch, 1)` logits.
        latent_dim: Size of z.
        style_mixing: Share of the examples whose styles are of two z, in [0, 1].
        path_length_weight: Weight of the lengths' distance from their mean; 0 for none.
        path_length_every: Train steps from one that pays it to the next, which pays for all. Both
            are as in the authors' code.
        adversarial_loss: A loss of `GAN`, by its name.
        penalty: As of `GAN`.
        penalty_weight: Weight of the penalty: the paper's gamma / 2.
        penalty_every: Train steps from one that pays it to the next, as of `GAN`.
        augmentation: As of `GAN`, as are `ada_target` and `ada_images`.
        ada_target: What adaptive changes hold the mean sign of the data's logits at.
        ada_images: In how many images their probability can go from 0 to 1.
        ema: Decay of the generator's averaged copy, with which `sample` then generates;
            `None` keeps no average.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Raises:
        ValueError: A loss or penalty is not known, a number is out of its range, the generator
            lacks its mapping or its synthesis, or the discriminator does not give one number.

    Reference:
        Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN" (StyleGAN2),
        sections 2 and 3 and appendix B; Karras et al. 2019 (StyleGAN), section 3.1 (mixing).
    """

    terms = ("discriminator_loss", "generator_loss", "real_score", "fake_score")

    def __init__(
        self,
        generator,
        discriminator,
        *,
        latent_dim: int,
        style_mixing: float = 0.9,
        path_length_weight: float = 2.0,
        path_length_every: int = 4,
        adversarial_loss: str = "non_saturating",
        penalty: str | Sequence[str] | None = "r1",
        penalty_weight: float = 5.0,
        penalty_every: int = 16,
        augmentation: str | Sequence[str] | None = None,
        ada_target: float = 0.6,
        ada_images: int = 500_000,
        ema: float | None = 0.998,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._loss = loss_named(adversarial_loss)
        self.penalize_by(penalty, penalty_weight, penalty_every)
        self.augment_by(augmentation, ada_target, ada_images)
        self.regularize_paths(path_length_weight, path_length_every)
        if not 0 <= style_mixing <= 1:
            raise ValueError(f"style_mixing must be in [0, 1]; got {style_mixing!r}.")
        check_logits("discriminator", discriminator)
        _, synthesis = parts_of(generator)
        self._depth = synthesis.input_shape[1]
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.style_mixing = style_mixing
        self.adversarial_loss = adversarial_loss
        self.ema = ema
        self.num_classes = None
        self.generator_average = None if ema is None else self.average_of(generator, ema)

    @staticmethod
    def sockets(data_shape, latent_dim, **_):
        return {"generator": ((latent_dim,), data_shape), "discriminator": (data_shape, (1,))}

    def train_step(self, data):
        real, _ = self.unpack(data)
        noise, places = self.draw_mixed_noise(real), self.draw_places(real)
        d_loss, terms = engine.minimize(
            lambda: self.discriminator_objective(real, noise, places, True),
            self.discriminator.trainable_variables,
            self.optimizer["discriminator"],
        )
        noise, directions = self.draw_mixed_noise(real), self.draw_directions(real)
        g_loss, paths = engine.minimize(
            lambda: self.generator_objective(real, noise, directions, True),
            self.generator.trainable_variables,
            self.optimizer["generator"],
        )
        return self.log(discriminator_loss=d_loss, generator_loss=g_loss, **terms, **paths)

    def objectives(self, real, labels):
        noise, places = self.draw_mixed_noise(real), self.draw_places(real)
        directions = self.draw_directions(real)
        return {
            "discriminator": lambda: self.discriminator_objective(real, noise, places, False),
            "generator": lambda: self.generator_objective(real, noise, directions, False),
        }

    def draw_mixed_noise(self, x):
        """Of each example two z, and from which layer on its styles are the second's."""
        batch = ops.shape(x)[0]
        mixed = self.uniform((batch,)) < self.style_mixing
        cut = 1 + self.integers((batch,), max(1, self._depth - 1))
        return self.draw_noise(x), self.draw_noise(x), ops.where(mixed, cut, self._depth)

    def discriminator_objective(self, real, noise, places, training):
        """The discriminator's loss; its mean probability of "real" on both sides beside it."""
        fake = ops.stop_gradient(self.synthesize(self.mixed_styles(*noise), training))
        real, fake = self.show(real, training), self.show(fake, training)
        (real_logits, _), (fake_logits, _), penalty = self.judge_and_penalize(
            lambda x: (self.judge(x, training), None), real, fake, places, training
        )
        loss = ops.mean(self._loss.discriminator(real_logits, fake_logits))
        loss = loss + self.penalty_weight * sum(penalty.values())
        strength = self.follow_overfitting(real_logits, training)
        return loss, {**scores(real_logits, fake_logits), **penalty, **strength}

    def generator_objective(self, real, noise, directions, training):
        """The generator's loss, and what the lengths of its paths cost and are, beside it."""
        styles = self.mixed_styles(*noise)
        shown = [self.synthesize(styles, training)] + [real] * self._loss.relative
        logits = [self.judge(self.show(x, training), training) for x in shown]
        loss = ops.mean(self._loss.generator(*logits))
        paths = self.path_terms(
            lambda w: self.synthesize(w, training), styles, directions, training
        )
        return loss + self.path_length_weight * paths.get("path_penalty", 0.0), paths

    # -- Styles and images --------------------------------------------------------------------

    def mixed_styles(self, noise, other, cut):
        """Styles `(batch, layers, features)`: of the first z before layer `cut`, then the other."""
        mapping, _ = parts_of(self.generator)
        first = ops.arange(self._depth)[None, :] < cut[:, None]
        w, other = (ops.expand_dims(mapping(z), 1) for z in (noise, other))
        return ops.where(first[..., None], w, other)

    def synthesize(self, styles, training=False):
        """Images `(batch, height, width, channels)` of styles `(batch, layers, features)`."""
        return parts_of(self.generator)[1](styles, training=training)

    def judge(self, x, training=False):
        """Logits `(batch, 1)`: how real the discriminator takes examples for."""
        return self.discriminator(x, training=training)

    def sample(self, count, seed=None, labels=None, truncation=None):
        """Generate examples from fresh noise.

        Args:
            count: Number of examples.
            seed: Integer: the same examples each time; fresh ones where `None`.
            labels: None: the model takes none.
            truncation: psi, what share of its distance from the mean style a style keeps: less of
                it trades variety for fidelity. `None` for all of it.

        Returns:
            `(count, height, width, channels)` float32, in the range of the generator's output.

        Reference:
            Karras et al. 2019, appendix B (truncation).
        """
        self.sampling_labels(count, labels)
        noise = self.prior_noise(self.sampling_stream(seed), count)
        if truncation is None:
            return self(noise)
        mapping, synthesis = parts_of(self.sampling_generator)
        centre = ops.mean(mapping(self.prior_noise(self.sampling_stream(0), CENTRE_OF)), axis=0)
        w = centre + truncation * (mapping(noise) - centre)
        return ops.cast(synthesis(ops.repeat(w[:, None], self._depth, axis=1)), "float32")


def parts_of(generator):
    """The mapping and the synthesis of a generator.

    Raises:
        ValueError: it lacks one.
    """
    try:
        return generator.get_layer("mapping"), generator.get_layer("synthesis")
    except (AttributeError, ValueError):
        raise ValueError(
            "generator: expected a network with the layers 'mapping' and 'synthesis', as "
            f"style_generator builds; got {generator!r}."
        ) from None

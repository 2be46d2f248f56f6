"""CycleGAN: two translators, there and back, learn from images that are not paired."""

from keras import ops

from keras_gen import engine
from keras_gen.losses import adversarial_loss, mean_absolute_error
from keras_gen.models.adversarial.image_pool import ImagePool, exchange
from keras_gen.models.adversarial.logits import check_logits
from keras_gen.models.adversarial.translation import Translation, pair_shapes
from keras_gen.models.base import GenerativeModel

RANKS = 2**23  # integers that order a pool: as many as the stream draws, so hardly two alike


class CycleGAN(Translation, ImagePool, GenerativeModel):
    """Two GANs that translate between two sets of images, and back to where they began.

    `generators: minimize mean((D_y(G(x)) - 1)^2) + mean((D_x(F(y)) - 1)^2)`
    `    + cycle_weight * (mean(|F(G(x)) - x|) + mean(|G(F(y)) - y|))`
    `    + identity_weight * cycle_weight * (mean(|G(y) - y|) + mean(|F(x) - x|))`
    `discriminators: minimize mean((D_y(y) - 1)^2 + D_y(pooled G(x))^2) / 2`, and as much of `D_x`

    Inputs x and targets y come joined, `[x, y]`, as pairs do, but nothing is made of which y
    stands beside which x (`unpaired = true` in a config shuffles them). Each train step takes one
    step of both generators, then one of both discriminators, who are shown the images that the
    generators just made, or earlier ones out of a pool.

    Args:
        generator: G, `(batch, height, width, input channels) -> (batch, height, width, target
            channels)`.
        inverse_generator: F, the other way.
        discriminator: D_y, `(batch, height, width, target channels) -> (batch, rows, columns, 1)`
            logits of patches, or `(batch, 1)`.
        inverse_discriminator: D_x, the same of inputs.
        input_channels: How many channels of an example, the first ones, are the input's.
        cycle_weight: Weight of the way there and back: lambda.
        identity_weight: Weight of what a translator changes of images that are already what it
            makes, as a share of `cycle_weight`; 0 for none, which inputs and targets of different
            channels need.
        pool_size: Images that each discriminator's pool holds; `None` for no pool.
        ema: Decay of the averaged copies of both generators, which then translate; `None` keeps
            none.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Its players are "generators" and "discriminators", both networks of each.

    Reference:
        Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
        Networks", equations 1 to 3, section 4 (least squares, pool, weights), section 5.2
        (identity).
    """

    terms = ("generator_loss", "discriminator_loss", "adversarial", "cycle", "identity")

    def __init__(
        self,
        generator,
        inverse_generator,
        discriminator,
        inverse_discriminator,
        *,
        input_channels: int,
        cycle_weight: float = 10.0,
        identity_weight: float = 0.5,
        pool_size: int | None = 50,
        ema: float | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, weight in (("cycle_weight", cycle_weight), ("identity_weight", identity_weight)):
            if weight < 0:
                raise ValueError(f"{name} must not be negative; got {weight!r}.")
        if pool_size is not None and pool_size < 1:
            raise ValueError(f"pool_size must be 1 or more, or None; got {pool_size!r}.")
        target, inputs = generator.output_shape[1:], inverse_generator.output_shape[1:]
        if identity_weight and target[-1] != inputs[-1]:
            raise ValueError(
                f"identity_weight: inputs of {inputs[-1]} channels are never targets of "
                f"{target[-1]}; set it to 0, got {identity_weight!r}."
            )
        check_logits("discriminator", discriminator)
        check_logits("inverse_discriminator", inverse_discriminator)
        self.generator = generator
        self.inverse_generator = inverse_generator
        self.discriminator = discriminator
        self.inverse_discriminator = inverse_discriminator
        self.input_channels = input_channels
        self.cycle_weight = cycle_weight
        self.identity_weight = identity_weight
        self.pool_size = pool_size
        self.ema = ema
        self._loss = adversarial_loss("least_squares")
        if pool_size is not None:
            self.target_pool = self.add_pool("target_pool", pool_size, target)
            self.input_pool = self.add_pool("input_pool", pool_size, inputs)

        self.generator_average, self.inverse_generator_average = (
            None if ema is None else self.average_of(network, ema)
            for network in (generator, inverse_generator)
        )

    @staticmethod
    def sockets(data_shape, input_channels, **_):
        inputs, targets = pair_shapes(data_shape, input_channels)
        patches = (*[None] * (len(data_shape) - 1), 1)  # as many as its network makes
        return {
            "generator": (inputs, targets),
            "inverse_generator": (targets, inputs),
            "discriminator": (targets, patches),
            "inverse_discriminator": (inputs, patches),
        }

    def player_variables(self, player):
        """Both generators are one player, and both discriminators."""
        networks = {
            "generators": (self.generator, self.inverse_generator),
            "discriminators": (self.discriminator, self.inverse_discriminator),
        }
        if player not in networks:
            return super().player_variables(player)
        return [v for network in networks[player] for v in network.trainable_variables]

    def train_step(self, data):
        x, y = self.inputs_and_targets(self.unpack(data)[0])
        noise = self.draw_noise(x)
        loss, (terms, fake_x, fake_y) = engine.minimize(
            lambda: self.generators_objective(x, y, True),
            self.player_variables("generators"),
            self.optimizer["generators"],
        )
        fake_x, fake_y = self.pooled(fake_x, fake_y, noise)
        d_loss, _ = engine.minimize(
            lambda: (self.discriminators_objective(x, y, fake_x, fake_y, True), {}),
            self.player_variables("discriminators"),
            self.optimizer["discriminators"],
        )
        return self.log(generator_loss=loss, discriminator_loss=d_loss, **terms)

    def test_step(self, data):
        x, y = self.inputs_and_targets(self.unpack(data)[0])
        loss, (terms, fake_x, fake_y) = self.generators_objective(x, y, False)
        d_loss = self.discriminators_objective(x, y, fake_x, fake_y, False)
        return self.log(generator_loss=loss, discriminator_loss=d_loss, **terms)

    def draw_noise(self, x):
        """For each pool: whether an image is taken from it, and from which place."""
        if self.pool_size is None:
            return None
        batch = (ops.shape(x)[0],)
        return [(self.uniform(batch), self.integers((self.pool_size,), RANKS)) for _ in "xy"]

    def generators_objective(self, x, y, training):
        """Both generators' loss; its terms, and the images that they made, beside it."""
        fake_y = self.generator(x, training=training)
        fake_x = self.inverse_generator(y, training=training)
        # Twice: the paper's (D - 1)^2 has no 1/2, its discriminators' loss has (section 7.1).
        adversarial = 2.0 * (
            self.fooling(self.discriminator, fake_y, training)
            + self.fooling(self.inverse_discriminator, fake_x, training)
        )
        cycle = distance(x, self.inverse_generator(fake_y, training=training)) + distance(
            y, self.generator(fake_x, training=training)
        )
        identity = ops.zeros(())
        if self.identity_weight:
            identity = distance(y, self.generator(y, training=training)) + distance(
                x, self.inverse_generator(x, training=training)
            )
        loss = adversarial + self.cycle_weight * (cycle + self.identity_weight * identity)
        terms = {"adversarial": adversarial, "cycle": cycle, "identity": identity}
        return loss, (terms, fake_x, fake_y)

    def fooling(self, discriminator, fake, training):
        """`mean((D(fake) - 1)^2) / 2`."""
        return ops.mean(self._loss.generator(discriminator(fake, training=training)))

    def discriminators_objective(self, x, y, fake_x, fake_y, training):
        """How badly each discriminator tells its images from those made."""
        loss = 0.0
        for judge, real, fake in (
            (self.discriminator, y, fake_y),
            (self.inverse_discriminator, x, fake_x),
        ):
            fake_logits = judge(ops.stop_gradient(fake), training=training)
            real_logits = judge(real, training=training)
            loss = loss + ops.mean(self._loss.discriminator(real_logits, fake_logits))
        return loss

    def pooled(self, fake_x, fake_y, noise):
        """The images just made, or others from the pools, into which these go."""
        if noise is None:
            return fake_x, fake_y
        shown = []
        for (pool, filled), fake, (coins, ranks) in zip(
            (self.input_pool, self.target_pool), (fake_x, fake_y), noise, strict=True
        ):
            given, images, count = exchange(pool.value, filled.value, fake, coins, ranks)
            pool.assign(images)
            filled.assign(count)
            shown.append(given)
        return shown

    def translate_back(self, y):
        """Translate targets `(batch, height, width, channels)` the other way, as `translate`."""
        network = self.inverse_generator_average
        network = self.inverse_generator if network is None else network
        with engine.sampling():
            return ops.cast(network(ops.convert_to_tensor(y), training=False), "float32")


def distance(x, y):
    """The L1 distance per pixel, averaged over the batch."""
    return ops.mean(mean_absolute_error(x, y))

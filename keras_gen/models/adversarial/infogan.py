"""InfoGAN: codes that the generator must show in its examples, so that they can be read off."""

import math
from collections.abc import Sequence

import numpy as np
from keras import ops

from keras_gen import engine
from keras_gen.losses import adversarial_loss as loss_named
from keras_gen.losses import categorical_nll, gaussian_nll
from keras_gen.models.adversarial.codes import Codes, cut
from keras_gen.models.adversarial.from_noise import FromNoise
from keras_gen.models.adversarial.logits import check_heads, scores
from keras_gen.models.base import GenerativeModel


class InfoGAN(FromNoise, GenerativeModel):
    """GAN that keeps the information of a code c in what it generates; it takes no labels.

    `discriminator and Q: minimize mean(loss.discriminator(D(x), D(G(z, c)))) - weight * L_I`
    `generator:           minimize mean(loss.generator(D(G(z, c)))) - weight * L_I`,
    `                     L_I = mean(log Q(c | G(z, c))) + H(c)  <=  I(c; G(z, c))`

    The code is made of categorical variables, each evenly distributed, and of continuous ones,
    evenly in [-1, 1]; `z ~ N(0, I)`. Q gives the first a softmax each and the second a normal
    distribution each, and is part of the discriminator: one network with one output more for D.

    Args:
        generator: `(batch, latent_dim + sum(categories) + continuous) -> (batch, height, width,
            channels)`: z, the categorical codes, one-hot, and the continuous ones.
        discriminator: `(batch, height, width, channels) -> (batch, 1 + sum(categories) +
            2 * continuous)`: the logit of D; of Q the logits of each categorical code, the means
            of the continuous codes, and their log variances.
        latent_dim: Size of z.
        categories: For each categorical code, how many values it has: 2 or more.
        continuous: Number of continuous codes.
        adversarial_loss: As of `GAN`.
        categorical_weight: Weight of the categorical codes in L_I: lambda.
        continuous_weight: That of the continuous ones; smaller, because their information has no
            upper bound.
        ema: Decay of the generator's averaged copy, with which `sample` then generates;
            `None` keeps no average.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Where codes are numbered, the categorical ones come first: code 0 is the first of them.

    Raises:
        ValueError: There is no code, a loss is not known, a number is out of its range, or the
            discriminator does not give what D and Q need.

    Reference:
        Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing
        Generative Adversarial Nets", equations 5 and 6, section 6.
    """

    terms = ("discriminator_loss", "generator_loss", "real_score", "fake_score")

    def __init__(
        self,
        generator,
        discriminator,
        *,
        latent_dim: int,
        categories: Sequence[int] = (),
        continuous: int = 0,
        adversarial_loss: str = "non_saturating",
        categorical_weight: float = 1.0,
        continuous_weight: float = 0.1,
        ema: float | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._loss = loss_named(adversarial_loss)
        self.codes = Codes(latent_dim, categories, continuous)
        weights = {"categorical": categorical_weight, "continuous": continuous_weight}
        for name, weight in weights.items():
            if weight < 0:
                raise ValueError(f"{name}_weight must not be negative; got {weight!r}.")
        check_heads(
            "discriminator",
            discriminator,
            logit=1,
            logits_of_categories=sum(categories),
            means_and_log_variances=2 * continuous,
        )
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.categories = tuple(categories)
        self.continuous = continuous
        self.adversarial_loss = adversarial_loss
        self.categorical_weight = categorical_weight
        self.continuous_weight = continuous_weight
        self.ema = ema
        for name, there in (("categorical", categories), ("continuous", continuous)):
            if there:
                self.add_term(f"{name}_information", direction="up")
        self.generator_average = None if ema is None else self.average_of(generator, ema)

    @staticmethod
    def sockets(data_shape, latent_dim, categories=(), continuous=0, **_):
        return {
            "generator": ((latent_dim + sum(categories) + continuous,), data_shape),
            "discriminator": (data_shape, (1 + sum(categories) + 2 * continuous,)),
        }

    def train_step(self, data):
        real, _ = self.unpack(data)
        noise = self.draw_noise(real)
        d_loss, terms = engine.minimize(
            lambda: self.discriminator_objective(real, noise, True),
            self.discriminator.trainable_variables,
            self.optimizer["discriminator"],
        )
        fresh = self.draw_noise(real)
        g_loss, _ = engine.minimize(
            lambda: (self.generator_objective(real, fresh, True), {}),
            self.generator.trainable_variables,
            self.optimizer["generator"],
        )
        return self.log(discriminator_loss=d_loss, generator_loss=g_loss, **terms)

    def objectives(self, real, labels):
        noise = self.draw_noise(real)
        return {
            "discriminator": lambda: self.discriminator_objective(real, noise, False),
            "generator": lambda: (self.generator_objective(real, noise, False), {}),
        }

    def prior_noise(self, stream, count, truncation=None):
        """z and a code: `(count, latent_dim + sum(categories) + continuous)`."""
        return self.codes.draw(stream, count, self.compute_dtype, truncation)

    def discriminator_objective(self, real, noise, training):
        """The loss of D and Q; the mean probabilities of "real" and the information beside it."""
        fake = ops.stop_gradient(self.generate(noise, training=training))
        (real_logits, *_), fakes = self.judge(real, training), self.judge(fake, training)
        loss = ops.mean(self._loss.discriminator(real_logits, fakes[0]))
        information = self.information(noise, *fakes[1:])
        return loss - self.weighted(information), {**scores(real_logits, fakes[0]), **information}

    def generator_objective(self, real, noise, training):
        """The generator's loss on what it makes of `noise`, beside the data if it is relative."""
        logits, *codes = self.judge(self.generate(noise, training=training), training)
        beside = self.judge(real, training)[:1] if self._loss.relative else ()
        loss = ops.mean(self._loss.generator(logits, *beside))
        return loss - self.weighted(self.information(noise, *codes))

    def judge(self, x, training=False):
        """The logit of D, and of Q the logits a code, the means and the log variances."""
        logit, *heads = cut(
            self.discriminator(x, training=training),
            (1, *self.categories, self.continuous, self.continuous),
        )
        return logit, heads[:-2], *heads[-2:]

    def information(self, noise, logits, mean, log_variance):
        """L_I of equation 5 by kinds of codes, nats: `{"categorical_information": scalar, ...}`."""
        categorical, continuous = self.codes.cut(noise)
        information = {}
        if categorical:
            information["categorical_information"] = sum(
                math.log(size) - ops.mean(categorical_nll(code, each))
                for size, code, each in zip(self.categories, categorical, logits, strict=True)
            )
        if self.continuous:
            nats = ops.mean(gaussian_nll(continuous, mean, log_variance))
            information["continuous_information"] = self.continuous * math.log(2) - nats
        return information

    def weighted(self, information):
        """`sum(weight * L_I)` over the kinds of codes."""
        weights = {
            "categorical_information": self.categorical_weight,
            "continuous_information": self.continuous_weight,
        }
        return sum(weights[kind] * nats for kind, nats in information.items())

    def infer(self, x):
        """Q(c | x) of examples.

        Args:
            x: `(batch, height, width, channels)`.

        Returns:
            A list of probabilities `(batch, values)`, one a categorical code; the means and the
            deviations of the continuous codes, each `(batch, continuous)`.
        """
        with engine.sampling():
            _, logits, mean, log_variance = self.judge(ops.convert_to_tensor(x))
            return [ops.softmax(each) for each in logits], mean, ops.exp(0.5 * log_variance)

    def sample(self, count, seed=None, labels=None, truncation=None, codes=None):
        """Generate examples from fresh noise, and codes that are drawn or given.

        Args:
            count: Number of examples.
            seed: Integer: the same examples each time; fresh ones where `None`.
            labels: `None`: there are no classes but those of the codes.
            truncation: Largest absolute value of z; `None` for any, as in training.
            codes: `{code: values}`: of each code to set, the values, repeated in turn: category
                numbers, or numbers in [-1, 1]. The other codes are drawn, and are, like z, the
                same for the same seed.

        Returns:
            `(count, height, width, channels)` float32, in the range of the generator's output.

        Raises:
            ValueError: There is no such code, or it has no such value.
        """
        self.sampling_labels(count, labels)
        noise = self.prior_noise(self.sampling_stream(seed), count, truncation)
        for code, values in (codes or {}).items():
            noise = self.codes.put(noise, code, values)
        return self(noise)

    def traverse(self, code, values=None, count=8, seed=None):
        """Examples of the same noise with one code moved, all others kept.

        Args:
            code: Number of the code.
            values: What it is set to; where `None` each category, or 9 points from -2 to 2, the
                paper's figure 2.
            count: Examples to move.
            seed: As of `sample`.

        Returns:
            NumPy `(count, values, height, width, channels)`.

        Raises:
            ValueError: There is no such code, or it has no such value.
        """
        values = self.codes.values(code) if values is None else values
        with engine.sampling():
            noise = self.prior_noise(self.sampling_stream(seed), count)
            moved = [self(self.codes.put(noise, code, value)) for value in values]
            return np.stack([ops.convert_to_numpy(each) for each in moved], axis=1)

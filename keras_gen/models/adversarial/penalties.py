"""Gradient penalties: where a discriminator's slope is taken, and what it costs there."""

from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from keras_gen import engine


class Penalty(NamedTuple):
    """What a discriminator pays for its slope, one number an example.

    `cost(|d D(x) / dx|**2)`, `x = place(real, fake, noise)`

    Args:
        name: how a config names it.
        place: `(real, fake, noise) -> (batch, ...)`: where the slope is taken.
        cost: squared norm of the slope `(batch,)` -> `(batch,)`.
        noise: what `place` needs: "mix", uniform numbers in (0, 1), one an example; "jitter",
            standard normal ones in the shape of the data; None.
    """

    name: str
    place: Callable
    cost: Callable
    noise: str | None

    def __call__(self, discriminator, real, fake, noise=None):
        """The penalty of each example.

        Args:
            discriminator: `(batch, ...) -> (batch, 1)` logits, or a map of them, which is summed.
            real: `(batch, ...)` data.
            fake: `(batch, ...)` generated examples.
            noise: as the field `noise` says: `(batch, 1, ...)`, `(batch, ...)` or None.

        Returns:
            `(batch,)` float32.
        """
        return self.of(engine.input_gradient(discriminator, self.place(real, fake, noise)))

    def of(self, slope):
        """The penalty `(batch,)` of slopes `(batch, ...)`."""
        squares = ops.square(ops.cast(slope, "float32"))
        return self.cost(ops.sum(squares, axis=tuple(range(1, len(slope.shape)))))


def at_data(real, fake, noise):
    """`x = real`."""
    return real


def at_samples(real, fake, noise):
    """`x = fake`."""
    return fake


def between(real, fake, mix):
    """`x = mix * real + (1 - mix) * fake`: Gulrajani et al. 2017, algorithm 1."""
    return mix * real + (1 - mix) * fake


def around_data(real, fake, jitter):
    """`x = real + std(real) / 2 * jitter`: Kodali et al. 2017, algorithm 1, the width as they set
    it in their code."""
    return real + 0.5 * ops.cast(ops.std(ops.cast(real, "float32")), real.dtype) * jitter


def zero_centred(squared_slope):
    """`|slope|**2`: Mescheder et al. 2018, equation 9, without its factor 1/2."""
    return squared_slope


def one_centred(squared_slope):
    """`(|slope| - 1)**2`: Gulrajani et al. 2017, equation 3."""
    # The square root's own slope is infinite at 0: a flat discriminator would make NaN.
    return ops.square(ops.sqrt(squared_slope + 1e-12) - 1)


PENALTIES = {
    penalty.name: penalty
    for penalty in (
        Penalty("wgan_gp", between, one_centred, "mix"),
        Penalty("dragan", around_data, one_centred, "jitter"),
        Penalty("r1", at_data, zero_centred, None),
        Penalty("r2", at_samples, zero_centred, None),
        # Thanh-Tung et al. 2019, "Improving Generalization and Stability of GANs".
        Penalty("zero_centred", between, zero_centred, "mix"),
    )
}


def penalties_named(names):
    """Looks penalties up by their names.

    Args:
        names: "wgan_gp", "dragan", "r1", "r2", "zero_centred", a sequence of them, or None.

    Returns:
        A tuple of `Penalty`.

    Raises:
        ValueError: a name is not known.
    """
    names = () if names is None else (names,) if isinstance(names, str) else tuple(names)
    unknown = [name for name in names if name not in PENALTIES]
    if unknown:
        raise ValueError(
            f"penalty: expected None or some of {', '.join(PENALTIES)}, got {unknown[0]!r}"
        )
    return tuple(PENALTIES[name] for name in names)


class Penalized:
    """Placed before `GenerativeModel`: a model whose discriminator pays for its slope."""

    def penalize_by(self, penalty, penalty_weight, penalty_every=1):
        """Sets what is paid, and logs it as the term "penalty" where anything is.

        Args:
            penalty: as `penalties_named` takes it.
            penalty_weight: what multiplies the sum of the penalties; 0 or more.
            penalty_every: how many train steps go from one that pays to the next, which pays for
                all of them.

        Raises:
            ValueError: a name is not known, or a number is out of its range.

        Reference: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN",
        section 3.1 (lazy regularization).
        """
        self._penalties = penalties_named(penalty)
        if penalty_weight < 0:
            raise ValueError(f"penalty_weight must not be negative; got {penalty_weight!r}.")
        if penalty_every < 1:
            raise ValueError(f"penalty_every must be 1 or more; got {penalty_every!r}.")
        self.penalty = penalty
        self.penalty_weight = penalty_weight
        self.penalty_every = penalty_every
        if self._penalties:
            self.add_term("penalty")

    def draw_places(self, x):
        """What each penalty needs to choose where it takes the slope: a list, one a penalty."""
        shapes = {"mix": (ops.shape(x)[0], *[1] * (len(x.shape) - 1)), "jitter": ops.shape(x)}
        draws = {"mix": self.uniform, "jitter": self.normal}
        return [p.noise and draws[p.noise](shapes[p.noise]) for p in self._penalties]

    def judge_and_penalize(self, judge, real, fake, places, training):
        """What the discriminator says of data and of samples, and what its slopes cost.

        A slope at the data or at the samples shares the pass that judges them; unless only every so
        many steps pay, the others of which are the faster for not taking it.

        Args:
            judge: `(batch, ...) -> (logits, aux)`; logits `(batch, 1)`, or a map of them.
            real: `(batch, ...)` data.
            fake: `(batch, ...)` generated examples.
            places: what `draw_places` gave.
            training: whether it is a train step, of which only every `penalty_every`-th pays.

        Returns:
            `(logits, aux)` of the data, the same of the samples, and the sum of the penalties,
            a scalar, by name: `{"penalty": sum}`, `{}` where there is none.
        """
        period = self.penalty_every if training else 1
        judged, slopes = [], {}
        for place, x in ((at_data, real), (at_samples, fake)):
            if period == 1 and any(each.place is place for each in self._penalties):
                said, slopes[place] = engine.value_and_input_gradient(judge, x)
            else:
                said = judge(x)
            judged.append(said)

        def all_of_them():
            return sum(
                ops.mean(
                    each.of(slopes[each.place])
                    if each.place in slopes
                    else each(lambda x: judge(x)[0], real, fake, noise)
                )
                for each, noise in zip(self._penalties, places, strict=True)
            )

        if not self._penalties:
            return *judged, {}
        if period == 1:
            return *judged, {"penalty": all_of_them()}
        penalty = engine.every(
            period, self.optimizer.iterations, all_of_them, lambda: ops.zeros((), "float32")
        )
        return *judged, {"penalty": period * penalty}

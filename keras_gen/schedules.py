"""What moves with the train steps: the weight of a term, the size of a network that grows."""

import numbers

import keras
from keras import ops


class Schedule:
    """A weight as a function of the train step; kept in a model's config."""

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_gen")
class Constant(Schedule):
    """The same weight at every step: `end`."""

    def __init__(self, end):
        self.end = float(end)
        if not self.end >= 0:
            raise ValueError(f"a weight must not be negative; got {end!r}.")

    def __call__(self, step):
        return self.end

    def get_config(self):
        return {"end": self.end}


@keras.saving.register_keras_serializable(package="keras_gen")
class WarmUp(Schedule):
    """A straight rise: `start + (end - start) * min(step / steps, 1)`.

    Args:
        steps: Train steps until the end is reached.
        end: Weight from there on.
        start: Weight at step 0.

    Reference:
        Bowman et al. 2016, "Generating Sentences from a Continuous Space", section 3.1;
        Sonderby et al. 2016, section 2.3.
    """

    def __init__(self, steps, end=1.0, start=0.0):
        _check(steps=steps, start=start, end=end)
        self.steps, self.end, self.start = steps, float(end), float(start)

    def __call__(self, step):
        share = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        return self.start + (self.end - self.start) * share

    def get_config(self):
        return {"steps": self.steps, "end": self.end, "start": self.start}


@keras.saving.register_keras_serializable(package="keras_gen")
class Cyclical(Schedule):
    """Warm-ups over and over: `start + (end - start) * min((step mod steps) / (rise * steps), 1)`.

    Args:
        steps: Train steps of one cycle.
        rise: Share of a cycle, in (0, 1], in which the weight rises; then it stays.
        end: Weight at the top.
        start: Weight at the start of each cycle.

    Reference:
        Fu et al. 2019, "Cyclical Annealing Schedule: A Simple Approach to Mitigating KL
        Vanishing", equations 6 and 7.
    """

    def __init__(self, steps, rise=0.5, end=1.0, start=0.0):
        _check(steps=steps, start=start, end=end)
        if not 0.0 < rise <= 1.0:
            raise ValueError(f"rise must be in (0, 1]; got {rise!r}.")
        self.steps, self.rise, self.end, self.start = steps, rise, float(end), float(start)

    def __call__(self, step):
        within = ops.cast(ops.mod(ops.cast(step, "int32"), self.steps), "float32")
        share = ops.minimum(within / (self.rise * self.steps), 1.0)
        return self.start + (self.end - self.start) * share

    def get_config(self):
        return {"steps": self.steps, "rise": self.rise, "end": self.end, "start": self.start}


class Growth:
    """When a network of several levels grows, in train steps.

    Level 0 is trained for `stable_steps`. Each further level is faded in for `fade_steps`, then
    trained for `stable_steps`; the last one for as long as training goes on.

    Args:
        levels: Number of levels.
        stable_steps: Train steps of a level, its fade not counted.
        fade_steps: Train steps in which a level is faded in.

    Raises:
        ValueError: A number of steps is no integer of at least 1.

    Reference:
        Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and
        Variation", section 2 and appendix A.1.
    """

    def __init__(self, levels, stable_steps, fade_steps):
        _check_steps("stable_steps", stable_steps)
        _check_steps("fade_steps", fade_steps)
        self.levels, self.stable_steps, self.fade_steps = levels, stable_steps, fade_steps
        self.cycle = fade_steps + stable_steps
        self.steps = (levels - 1) * self.cycle  # until the last level is whole

    def stage(self, step):
        """The stage of a train step: `(level, whether it is being faded in)`.

        Args:
            step: Train steps taken before it, a Python integer.
        """
        cycles, within = divmod(step - self.stable_steps, self.cycle)
        fading = 0 <= cycles < self.levels - 1 and within < self.fade_steps
        return min(max(cycles + 1, 0), self.levels - 1), fading

    def alpha(self, step):
        """The share of the newest level: `(i + 1) / (fade_steps + 1)` at step i of its fade.

        Args:
            step: Train steps taken before it, an integer or an integer tensor.

        Returns:
            float32 scalar in (0, 1); 1 where no level is being faded in.
        """
        step = ops.cast(step, "int32")
        within = ops.mod(step - self.stable_steps, self.cycle)
        share = ops.cast(within + 1, "float32") / (self.fade_steps + 1)
        return ops.where(step < self.steps, ops.minimum(share, 1.0), 1.0)


SCHEDULES = {"warm_up": WarmUp, "cyclical": Cyclical}


def schedule(weight):
    """A schedule from what an argument or a config says.

    Args:
        weight: A number, a dict such as `{"schedule": "warm_up", "steps": 1000}`, or a schedule.

    Returns:
        A callable `step -> weight` with the attribute `end`.

    Raises:
        ValueError: A negative weight, an unknown schedule, one without its arguments, or none of
            these.
    """
    if isinstance(weight, numbers.Real):
        return Constant(weight)
    if isinstance(weight, Schedule):
        return weight
    if not isinstance(weight, dict):
        raise ValueError(
            "a weight must be a number, a schedule of keras_gen.schedules, or a dict such as "
            f"{{'schedule': 'warm_up', 'steps': 1000}}; got {weight!r}."
        )
    options = dict(weight)
    name = options.pop("schedule", None)
    if name not in SCHEDULES:
        known = ", ".join(map(repr, SCHEDULES))
        raise ValueError(f"schedule must be one of {known}; got {name!r}.")
    try:
        return SCHEDULES[name](**options)
    except TypeError as error:
        raise ValueError(f"schedule {name!r}: {error}.") from None


def _check(steps, start, end):
    _check_steps("steps", steps)
    for name, value in (("start", start), ("end", end)):
        if not value >= 0:
            raise ValueError(f"{name} must not be negative; got {value!r}.")


def _check_steps(name, steps):
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"{name} must be an integer of at least 1; got {steps!r}.")

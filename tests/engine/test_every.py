"""`engine.every`: one branch by a counter, its writes kept, its gradients those of the branch."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen
from keras_gen import engine


class Counted(keras_gen.GenerativeModel):
    """Minimizes `(w - 1)^2 / 2`, and every third step `10 w` as well; both ways are counted."""

    terms = ("loss",)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.w = self.add_weight(shape=(), initializer="zeros", name="w")
        self.taken, self.left = (
            self.add_weight(shape=(), initializer="zeros", trainable=False, name=name)
            for name in ("taken", "left")
        )

    def objective(self, x, noise, labels, training):
        def more():
            self.taken.assign_add(1.0)
            return 10.0 * ops.convert_to_tensor(self.w)

        def nothing():
            self.left.assign_add(1.0)
            return ops.zeros(())

        extra = engine.every(3, self.optimizer.iterations, more, nothing)
        return ops.square(self.w - 1.0) / 2 + extra, {}


class TwoPeriods(Counted):
    """Minimizes `3 w` every second step and `10 w` every third: four graphs on PyTorch."""

    def objective(self, x, noise, labels, training):
        def times(factor):
            return lambda: factor * ops.convert_to_tensor(self.w)

        def nothing():
            return ops.zeros(())

        second, third = (
            engine.every(period, self.optimizer.iterations, times(factor), nothing)
            for period, factor in ((2, 3.0), (3, 10.0))
        )
        return second + third, {}


WAYS = {
    "plain": {"jit_compile": False},
    "jit": {"jit_compile": True},
    "eager": {"run_eagerly": True},
    "four_a_call": {"jit_compile": True, "steps_per_execution": 4},
}


@pytest.mark.parametrize("way", WAYS)
def test_one_of_two_by_a_counter(way):
    model = Counted()
    model.compile(keras.optimizers.SGD(0.5), **WAYS[way])
    model.fit(np.zeros((7, 1), "float32"), batch_size=1, verbose=0)
    w = 0.0
    for step in range(7):
        w -= 0.5 * ((w - 1.0) + (10.0 if step % 3 == 0 else 0.0))
    found = [float(ops.convert_to_numpy(v)) for v in (model.w, model.taken, model.left)]
    assert found == pytest.approx([w, 3.0, 4.0], rel=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_two_periods_in_one_step(way):
    model = TwoPeriods()
    model.compile(keras.optimizers.SGD(0.5), **WAYS[way])
    model.fit(np.zeros((8, 1), "float32"), batch_size=1, verbose=0)
    paid = sum(3.0 * (step % 2 == 0) + 10.0 * (step % 3 == 0) for step in range(8))
    assert float(ops.convert_to_numpy(model.w)) == pytest.approx(-0.5 * paid, rel=1e-5)


def test_what_is_not_taken_is_not_computed():
    counter = keras.Variable(4, dtype="int32", trainable=False)

    def never():
        raise AssertionError("this branch was not to be taken")

    assert float(engine.every(4, counter, lambda: ops.ones(()), never)) == 1.0
    assert float(engine.every(3, counter, never, lambda: ops.zeros(()))) == 0.0

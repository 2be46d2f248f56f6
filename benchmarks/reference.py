"""What twins are checked against: the loss and gradients of keras-gen's own train step."""

import contextlib
from unittest import mock

import keras
import numpy as np

from keras_gen import engine
from keras_gen.random import Stream

from .keras_gen_model import model_of


def gradients(case, weights, batch):
    """Runs one train step of keras-gen that changes nothing, and notes what it met.

    Args:
        case: a `Case`; small sizes keep it quick.
        weights: `{network: [array, ...]}` in the order of `get_weights()`.
        batch: float32 `(batch, ...)`.

    Returns:
        `(draws, {player: (loss, [gradient, ...])})`. `draws` are the step's random numbers in
        the order in which they were drawn, as NumPy; the player is "model" where there is one
        alone; the gradients are those of the player's last step, in the order and layout of its
        Keras trainable variables.
    """
    model = model_of(case, weights, ["train.jit_compile=false"])
    draws, met = [], {}
    with _noting_draws(draws), _noting_gradients(met):
        model.train_step(keras.ops.convert_to_tensor(batch))
    return draws, met


@contextlib.contextmanager
def _noting_draws(draws):
    def noting(draw):
        def drawn(self, *arguments):
            numbers = draw(self, *arguments)
            draws.append(_array(numbers))
            return numbers

        return drawn

    with (
        mock.patch.object(Stream, "normal", noting(Stream.normal)),
        mock.patch.object(Stream, "uniform", noting(Stream.uniform)),
        mock.patch.object(Stream, "integers", noting(Stream.integers)),
    ):
        yield


@contextlib.contextmanager
def _noting_gradients(met):
    """In place of optimizer steps, notes who would have taken them, by what, and at what loss."""
    differentiate, last = engine.value_and_grad, {}

    def value_and_grad(objective, variables):
        (total, (loss, aux)), gradients = differentiate(objective, variables)
        last["loss"] = float(loss)
        return (total, (loss, aux)), gradients

    def apply_gradients(optimizer, gradients, variables):
        met[optimizer.name] = (last["loss"], [_array(gradient) for gradient in gradients])

    with (
        mock.patch.object(engine, "value_and_grad", value_and_grad),
        mock.patch.object(engine, "apply_gradients", apply_gradients),
    ):
        yield


def _array(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))

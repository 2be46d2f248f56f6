"""keras-gen as a contestant: the train function that its `fit` calls, on batches of the device."""

import keras
import numpy as np

from keras_gen import config
from keras_gen.config.build import build_model
from keras_gen.data import Dataset
from keras_gen.data.dataset import ArrayPixels

from .native.plan import Codebook

BACKEND = keras.backend.backend()
MODES = {"jax": ("jit",), "tensorflow": ("function", "xla"), "torch": ("eager", "jit")}[BACKEND]
COMPILED = ("jit", "xla")
STEPS_OF_A_RUN = 10_000  # 21 epochs of MNIST


def dataset_of(case, examples):
    """NumPy examples as the data set of keras-gen that a config would have loaded.

    Args:
        case: a `Case`.
        examples: float32 `(count, *case.shape)` in the case's range.

    Returns:
        A `keras_gen.data.Dataset`.
    """
    limits = case.value_range or (float(examples.min()), float(examples.max()))
    return Dataset(case.name, "train", ArrayPixels(examples, limits), limits)


def model_of(case, weights=None, overrides=()):
    """Builds keras-gen's model of a case.

    Args:
        case: a `Case`.
        weights: `{network: [array, ...]}` in the order of `get_weights()`; None keeps those that
            the seed gave.
        overrides: of the config, such as `"train.jit_compile=true"`.

    Returns:
        A compiled `GenerativeModel`.
    """
    # Only their shape and number are read.
    blanks = np.zeros((case.batch_size, *case.shape), "float32")
    recipe = config.read(case.recipe(), overrides)
    model = build_model(recipe, dataset_of(case, blanks))
    for network, arrays in (weights or {}).items():
        getattr(model, network).set_weights(arrays)
    return model


class Trained:
    """What is the same on all backends: a compiled model, its losses, samples and epochs.

    The arguments are those of `benchmarks.contestants.Contestant`.

    Attributes:
        default: whether `jit_compile="auto"` would choose this mode for a run of 10,000 steps.
    """

    def __init__(self, case, mode, weights, steps_per_call=1):
        if mode not in MODES:
            raise ValueError(f"mode: expected one of {MODES}, got {mode!r}")
        self.case = case
        self.steps_per_call = steps_per_call
        compiled = mode in COMPILED
        overrides = [
            f"train.jit_compile={str(compiled).lower()}",
            f"train.steps_per_execution={steps_per_call}",
        ]
        self.model = model_of(case, weights, overrides)
        self.default = compiled == _compiled_by_default(self.model)
        self.model.make_train_function()

    def put(self, batches):
        """Moves NumPy batches to the device, in the tuples that `fit` hands out."""
        return [(keras.ops.convert_to_tensor(batch),) for batch in batches]

    def losses(self):
        """`{term: mean over the steps since this was last asked}`."""
        self.settle()
        terms = {name: float(value) for name, value in self.model.get_metrics_result().items()}
        self.model.reset_metrics()
        return terms

    def sample(self, count):
        """Generates examples, NumPy float32 `(count, ...)`."""
        self.settle()
        return keras.ops.convert_to_numpy(self.model.sample(count))

    def epoch(self, examples, verbose=0, epochs=1):
        """Trains once over shuffled NumPy examples, or `epochs` times, as users do."""
        self.settle()
        size = self.case.batch_size
        self.model.fit(examples, batch_size=size, shuffle=True, epochs=epochs, verbose=verbose)

    def as_keras(self):
        """What training has changed, as `benchmarks.contestants` says."""
        self.settle()
        weights = {name: getattr(self.model, name).get_weights() for name in self.case.sockets}
        if self.case.twin == "vqvae":
            book = self.codebook()
            numbers = [getattr(book, name) for name in Codebook.names]
            weights["codebook"] = list(map(keras.ops.convert_to_numpy, numbers))
        moments = {
            player: [keras.ops.convert_to_numpy(moment) for moment in optimizer._momentums]
            for player, optimizer in self.optimizers().items()
        }
        return weights, moments

    def codebook(self):
        """Who holds the codebook."""
        return self.model.codebook

    def optimizers(self):
        """`{player: Keras' Adam}`."""
        return self.model.optimizer.players

    def settle(self):
        """Brings the weights back into the model's variables, where a backend took them out."""


class OnJAX(Trained):
    """Holds the state beside the model from call to call, donated each time, as `fit` does."""

    state = None

    def call(self, data):
        """Takes the steps of one call."""
        if self.state is None:
            self.state = self.model._get_jax_state(
                trainable_variables=True,
                non_trainable_variables=True,
                optimizer_variables=True,
                metrics_variables=True,
                purge_model_variables=True,
            )
        _, self.state = self.model.train_function(self.state, iter(data))

    def wait(self):
        """Waits for the last call's weights."""
        import jax

        jax.block_until_ready(self.state)

    def settle(self):
        """Gives the variables of the model their values back."""
        if self.state is None:
            return
        groups = ("trainable", "non_trainable", "optimizer", "metrics")
        names = [f"{group}_variables" for group in groups]
        self.model._jax_state = dict(zip(names, self.state, strict=True))
        self.model._jax_state_synced = False
        self.model.jax_state_sync()
        self.model._jax_state = self.state = None


class OnTensorFlow(Trained):
    """Calls the train function on batches that are tensors of the device already."""

    def put(self, batches):
        """Moves NumPy batches to the device, in the tuples that `fit` hands out."""
        import tensorflow as tf

        return [(tf.constant(batch),) for batch in batches]

    def call(self, data):
        """Takes the steps of one call."""
        self.model.train_function(iter(data))

    def wait(self):
        """Waits for all devices."""
        import tensorflow as tf

        tf.test.experimental.sync_devices()


class OnTorch(Trained):
    """Calls the train function on a list of batches, as `fit` does."""

    def __init__(self, case, mode, weights, steps_per_call=1):
        super().__init__(case, mode, weights, steps_per_call)
        self.model.train()

    def call(self, data):
        """Takes the steps of one call."""
        self.model.train_function(data)

    def wait(self):
        """Waits for the GPU, where there is one."""
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()


def _compiled_by_default(model):
    choice = model._resolve_jit_for(STEPS_OF_A_RUN)
    return model._resolve_auto_jit_compile() if choice is None else choice


KerasGen = {"jax": OnJAX, "tensorflow": OnTensorFlow, "torch": OnTorch}[BACKEND]

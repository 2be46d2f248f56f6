"""What every contestant offers the stopwatch: the same seven names, whoever wrote the training."""

from typing import Protocol


class Contestant(Protocol):
    """One way to train one case's model on one backend.

    A contestant is built as `Contestant(case, mode, weights, steps_per_call=1)`:

    Args:
        case: A `benchmarks.cases.Case`: sizes, batch, optimizers.
        mode: Which of the file's `MODES`: "eager", "compiled_step", "xla", ...
        weights: `{network: [float32 array, ...]}` in the order of Keras' `get_weights()`, or
            `None` for the contestant's own initial weights.
        steps_per_call: Train steps that one `call` takes.
    """

    def put(self, batches):
        """Move `steps_per_call` NumPy batches `(batch, ...)` to the device, in its own layout."""

    def call(self, data):
        """Take `steps_per_call` train steps on what `put` returned; need not wait for them."""

    def wait(self):
        """Return when the device has done all that was asked of it."""

    def losses(self):
        """`{term: number}` of the last step: at least `case.reported`."""

    def sample(self, count):
        """Generate `count` examples, NumPy float32 `(count, ...)`, in the data's range."""

    def epoch(self, examples):
        """Train once over shuffled NumPy `examples`, whole batches only, as users feed it."""

    def as_keras(self):
        """What training has changed, laid out and ordered as Keras does; for tests, never timed.

        Returns:
            `(weights, moments)`, NumPy: `{network: [array, ...]}` as `get_weights()` orders them,
            "codebook" one more network, of `plan.Codebook.names`; and Adam's first moments,
            `{player: [array, ...]}`, one a trainable variable; "model" is an only player.
        """

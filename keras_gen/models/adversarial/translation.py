"""What families that translate images share: examples that are pairs, and `translate`."""

import numpy as np
from keras import ops

from keras_gen import engine
from keras_gen.models.averages import AveragedGenerator


class Translation(AveragedGenerator):
    """Placed before `GenerativeModel`: a model whose `generator` maps inputs to targets.

    Its examples are pairs: images whose first `input_channels` channels are the input, the others
    the target.
    """

    def inputs_and_targets(self, pairs):
        """Split pairs `(batch, height, width, channels)` into inputs and targets."""
        return pairs[..., : self.input_channels], pairs[..., self.input_channels :]

    def call(self, inputs, training=False):
        """Translate inputs, with the averaged generator if kept; no layer drops out."""
        return ops.cast(self.sampling_generator(inputs, training=False), "float32")

    def translate(self, x):
        """Make of each input what its target could be.

        Args:
            x: Inputs `(batch, height, width, input channels)` in the data's range.

        Returns:
            `(batch, height, width, target channels)` float32, in the range of the generator's
            output: [-1, 1] with a tanh.
        """
        with engine.sampling():
            return self(ops.convert_to_tensor(x))

    def sample(self, count, seed=None, labels=None, inputs=None):
        """Translate inputs drawn at random: nothing is made of nothing here.

        Args:
            count: Number of examples.
            seed: Integer: the same choice each time; a fresh one where `None`.
            labels: None: the model takes none.
            inputs: `(examples, height, width, input channels)`, of which `count` are drawn, none
                twice until all were.

        Returns:
            `(count, height, width, target channels)` float32, as `translate` gives them.

        Raises:
            ValueError: There are labels, or no inputs.
        """
        self.sampling_labels(count, labels)
        if inputs is None or not len(inputs):
            raise ValueError(
                f"inputs: {type(self).__name__} translates images and makes none of nothing: "
                "sample(count, seed, inputs=images), or translate(images)."
            )
        return self.translate(np.asarray(inputs)[drawn(len(inputs), count, seed)])


def drawn(examples, count, seed=None):
    """Draws positions of examples: none twice until all were drawn.

    Args:
        examples: How many there are.
        count: How many to draw.
        seed: Integer: the same ones each time; fresh ones where `None`.

    Returns:
        int `(count,)`.
    """
    rng = np.random.default_rng(seed)
    rounds = [rng.permutation(examples) for _ in range(-(-count // examples))]
    return np.concatenate(rounds)[:count]


def pair_shapes(data_shape, input_channels):
    """The shapes of an input and of its target.

    Args:
        data_shape: `(height, width, channels)` of a pair.
        input_channels: How many channels are the input's.

    Returns:
        `(height, width, input_channels)` and `(height, width, the others)`.

    Raises:
        ValueError: No channel is left for the target.
    """
    *sides, channels = data_shape
    if not 1 <= input_channels < channels:
        raise ValueError(
            f"input_channels: expected 1 to {channels - 1} of a pair's {channels} channels; got "
            f"{input_channels!r}."
        )
    return (*sides, input_channels), (*sides, channels - input_channels)

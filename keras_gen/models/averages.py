"""How a model keeps averages of a network's weights, and of what its layers see."""

import keras
from keras import ops

from keras_gen import engine


class Averaging:
    """Placed before `keras.Model`: a model whose averages follow after every train step."""

    def average_of(self, network, decay):
        """A copy of a network that follows it: `average <- decay * average + (1 - decay) * w`.

        Batch statistics are averaged too. Keep the copy as an attribute of the model: it is
        then saved, resumed and updated after every train step.

        Args:
            network: A built `keras.Model`.
            decay: In `[0, 1)`.

        Returns:
            The copy, not trainable.
        """
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay of an average must be in [0, 1); got {decay!r}.")
        average = keras.models.clone_model(network)
        average.set_weights(network.get_weights())
        average.trainable = False
        self._averages.append((network, average, decay))
        return average

    def restart_averages(self):
        """Let each average begin again at what its network is now."""
        for network, average, _ in self._averages:
            average.set_weights(network.get_weights())

    def _moving(self):
        """`(network, its average, decay)` of all that a train step moved."""
        return self._averages

    def _update_averages(self):
        for network, average, decay in self._moving():
            for mean, variable in zip(average.variables, network.variables, strict=True):
                if keras.backend.is_float_dtype(mean.dtype):
                    # So written, the average of what does not move is it, bit for bit.
                    apart = ops.cast(variable, mean.dtype) - mean
                    mean.assign(mean + (1.0 - decay) * apart)
                else:
                    mean.assign(variable)


class AveragedGenerator:
    """Placed before `GenerativeModel`: a model with a `generator`, and perhaps an average of it.

    The family sets `generator` and `generator_average` (`None` where it keeps no average).
    """

    @property
    def sampling_generator(self):
        """The network that generates outside of training: the generator's average, if kept."""
        return self.generator if self.generator_average is None else self.generator_average


def standing_statistics(network, batches):
    """Give batch normalization the plain averages of what it sees of given inputs.

    `moving <- 1/n sum of the statistics of each batch`, each layer normalizing by its batch's
    own, as in training. A generator's moving averages lag behind its weights, and are of other
    noise than that it samples from where this is truncated. Only these variables change, also
    in a network that is not trainable, as an average of weights is.

    Args:
        network: A built `keras.Model`, in which no layer of batch normalization is called twice.
        batches: What the network takes, one batch after the other: the noise it will sample from.

    Raises:
        ValueError: There are no batches.

    Reference:
        Brock et al. 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis",
        appendix C.1 ("standing statistics").
    """
    layers = [layer for layer in network._flatten_layers() if hasattr(layer, "moving_variance")]
    if not layers:
        return
    before = [(layer.trainable, layer.momentum) for layer in layers]
    statistics = {id(v) for n in layers for v in (n.moving_mean, n.moving_variance)}
    kept = [(v, ops.copy(v.value)) for v in network.variables if not v.trainable]
    count = 0
    try:
        for layer in layers:
            layer.trainable = True  # else Keras lets its statistics be
        with engine.sampling():
            for count, batch in enumerate(batches, start=1):
                for layer in layers:
                    layer.momentum = 1 - 1 / count
                network(batch, training=True)
        if not count:
            raise ValueError("batches: expected one or more for the averages; got none.")
        kept = [(v, value) for v, value in kept if id(v) not in statistics]
    finally:
        for variable, value in kept:
            variable.assign(value)
        for layer, (trainable, momentum) in zip(layers, before, strict=True):
            layer.trainable, layer.momentum = trainable, momentum

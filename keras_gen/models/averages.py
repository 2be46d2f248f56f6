"""How a model keeps averages of a network's weights."""

import keras
from keras import ops


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

    def _moving(self):
        """`(network, its average, decay)` of all that a train step moved."""
        return self._averages

    def _update_averages(self):
        for network, average, decay in self._moving():
            for mean, variable in zip(average.variables, network.variables, strict=True):
                if keras.backend.is_float_dtype(mean.dtype):
                    mean.assign(decay * mean + (1.0 - decay) * ops.cast(variable, mean.dtype))
                else:
                    mean.assign(variable)

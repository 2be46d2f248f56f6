"""The parts every builder is assembled from, made from its options and checked once."""

import numbers
from dataclasses import dataclass

import keras

NORMALIZATIONS = (None, "batch", "layer", "instance")
OUTPUT_ACTIVATIONS = (None, "sigmoid", "tanh")


@dataclass(frozen=True)
class Hidden:
    """What the hidden layers of a network have in common.

    Args:
        activation: Keras' name of an activation; "leaky_relu" has slope 0.2.
        normalization: None, "batch", "layer": over all the features of one example, or "instance":
            over all the places of one example, each channel on its own.
        batch_norm_momentum: share of the old running statistics kept at each step, in [0, 1).
        dropout: share of activations dropped while training, in [0, 1).
        kernel_initializer: Keras' name of an initializer, or "dcgan".

    Raises:
        ValueError: an option is not of its kind or out of its range.
    """

    activation: str
    normalization: str | None
    batch_norm_momentum: float
    dropout: float
    kernel_initializer: str

    def __post_init__(self):
        activation_layer(self.activation)
        initializer(self.kernel_initializer)
        check_choice("normalization", self.normalization, NORMALIZATIONS)
        check_fraction("batch_norm_momentum", self.batch_norm_momentum)
        check_fraction("dropout", self.dropout)

    def weights(self, normalize=True):
        """The arguments of a dense or convolutional layer that `finish` is to follow."""
        return {
            "kernel_initializer": initializer(self.kernel_initializer),
            # Both subtract any bias and add their own: the bias would never move.
            "use_bias": not (normalize and self.normalization in ("batch", "instance")),
        }

    def finish(self, x, name, normalize=True):
        """Normalises, activates and drops out the features `x` of the layer called `name`."""
        if normalize:
            x = self.normalize(x, name)
        x = activation_layer(self.activation, f"{name}_activation")(x)
        if self.dropout:
            x = keras.layers.Dropout(self.dropout, name=f"{name}_dropout")(x)
        return x

    def normalize(self, x, name):
        """Normalises the features `x` of the layer called `name`."""
        if not self.normalization:
            return x
        return self._normalization_layer(len(x.shape), f"{name}_normalization")(x)

    def _normalization_layer(self, rank, name):
        if self.normalization == "batch":
            return keras.layers.BatchNormalization(
                momentum=self.batch_norm_momentum, epsilon=1e-5, name=name
            )
        if rank == 2:
            if self.normalization == "instance":
                raise expected("normalization", "'batch' or 'layer' between vectors", "instance")
            return keras.layers.LayerNormalization(epsilon=1e-5, name=name)
        # One group: statistics over all places and channels and a gain per channel, as in the
        # critics of Gulrajani et al. 2017; LayerNormalization would see one pixel at a time.
        # A group a channel (-1) is Ulyanov et al. 2016, "Instance Normalization".
        groups = {"layer": 1, "instance": -1}[self.normalization]
        return keras.layers.GroupNormalization(groups=groups, epsilon=1e-5, name=name)


def activation_layer(activation, name=None):
    """An activation layer from Keras' name of it.

    Raises:
        ValueError: Keras knows no such activation.
    """
    if activation == "leaky_relu":
        # Radford et al. 2016, section 4. The slope is said here: Keras' function has 0.2 as its
        # default and Keras' layer 0.3.
        return keras.layers.LeakyReLU(negative_slope=0.2, name=name)
    try:
        return keras.layers.Activation(activation, name=name)
    except (ValueError, TypeError):
        raise expected("activation", "Keras' name of an activation", activation) from None


def initializer(name):
    """A fresh initializer from Keras' name of it, or "dcgan": normal, deviation 0.02.

    Fresh for each layer, because one instance called twice returns the same numbers twice.

    Raises:
        ValueError: Keras knows no such initializer.

    Reference: Radford et al., "Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks", 2016, section 4.
    """
    if name == "dcgan":
        return keras.initializers.RandomNormal(mean=0.0, stddev=0.02)
    try:
        return keras.initializers.get(name).clone()
    except (ValueError, AttributeError):
        wanted = "'dcgan' or Keras' name of an initializer"
        raise expected("kernel_initializer", wanted, name) from None


def check_shape(name, shape, axes=None):
    """Returns `shape` as a tuple of positive integers.

    Raises:
        ValueError: it is not one, or does not have one entry for each name in `axes`.
    """
    if not _is_positive_integers(shape) or len(shape) != len(axes or shape) or not shape:
        wanted = f"({', '.join(axes)})" if axes else "a shape without its batch axis"
        raise expected(name, f"{wanted}, in positive integers", shape)
    return tuple(shape)


def check_widths(name, values):
    """Returns `values` as a tuple of positive integers, maybe empty.

    Raises:
        ValueError: it is not a sequence of positive integers.
    """
    if not _is_positive_integers(values):
        raise expected(name, "a sequence of positive integers", values)
    return tuple(values)


def check_width(name, value):
    """Raises ValueError unless `value` is a positive integer."""
    if not _is_positive_integers((value,)):
        raise expected(name, "a positive integer", value)


def check_choice(name, value, choices):
    """Raises ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise expected(name, f"one of {', '.join(map(repr, choices))}", value)


def check_fraction(name, value):
    """Raises ValueError unless `value` is a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
        raise expected(name, "a number in [0, 1)", value)


def expected(name, wanted, value):
    """The ValueError of every option: its name, what it should be, what it is."""
    return ValueError(f"{name}: expected {wanted}, got {value!r}")


def _is_positive_integers(values):
    return isinstance(values, (tuple, list)) and all(
        isinstance(value, numbers.Integral) and not isinstance(value, bool) and value > 0
        for value in values
    )

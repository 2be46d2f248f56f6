"""Batch normalization as TensorFlow's one operation, a bias without its slow one; on a CPU.

Keras' batch normalization is a dozen operations and their gradients, each a pass over the images.
XLA fuses those, and runs the one operation slower. `bias_add` is slower than what is broadcast.
"""

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import numpy
from tensorflow.python.ops import control_flow_util

from keras_gen.engine.versions import has

_keras_add, _keras_call = numpy.add, keras.layers.BatchNormalization.call
has(control_flow_util, "GraphOrParentsInXlaContext")


def kernels():
    """`{module or class of Keras: {name: function}}`; none where there is a GPU."""
    if tf.config.list_logical_devices("GPU"):
        return {}
    return {
        keras.layers.BatchNormalization: {"call": batch_normalization_call},
        numpy: {"add": add},
    }


def batch_normalization_call(layer, inputs, training=None, mask=None):
    """`keras.layers.BatchNormalization.call`; one operation on batches of float32 images."""
    x = tf.convert_to_tensor(inputs)
    images = x.shape.rank == 4 and layer.axis in (-1, 3) and x.shape[3] is not None
    plain = images and x.dtype == tf.float32 and mask is None and not _of_more(layer)
    if not (training and layer.trainable and plain) or _in_xla():
        return _keras_call(layer, inputs, training, mask)
    ones = tf.ones(x.shape[3])
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=layer.gamma.value if layer.scale else ones,
        offset=layer.beta.value if layer.center else tf.zeros_like(ones),
        mean=[],
        variance=[],
        epsilon=layer.epsilon,
    )
    count = tf.cast(tf.size(x) // x.shape[3], tf.float32)
    variance *= (count - 1) / count  # the operation's is the unbiased one, Keras keeps the biased
    for moving, now in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + now * (1.0 - layer.momentum))
    return y


def _of_more(layer):
    """Whether the statistics are not those of this batch alone."""
    return layer.renorm or layer.synchronized or layer.compute_dtype != "float32"


def add(x1, x2):
    """`keras.ops.add`; a layer's bias is broadcast."""
    of_floats = all(isinstance(x, tf.Tensor) and x.dtype == tf.float32 for x in (x1, x2))
    if of_floats and x1.shape.rank == x2.shape.rank:
        return tf.add(x1, x2)
    return _keras_add(x1, x2)


def _in_xla():
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())

"""A small image classifier: whose features samples are compared in, and who names their class."""

import keras
import numpy as np
from scipy.special import softmax


class Classifier:
    """Two strided convolutions and a dense layer, trained on labelled images.

    Scores computed from its features compare only with scores from the same trained classifier:
    it carries a `name`, kept in its file, for tables to be told apart by.

    Args:
        image_shape: `(height, width, channels)`.
        classes: number of classes.
        name: what the trained classifier is called, for example "fashion_mnist_cnn".
        seed: of the initial weights and the order of the examples.

    Attributes:
        network: the `keras.Model`, images in [0, 1] to logits `(batch, classes)`.
        name: as given.
        classes: as given.
    """

    extra_classes = 0  # of a subclass, behind those of the data

    def __init__(self, image_shape, classes, *, name, seed=0):
        self.name = name
        self.classes = classes
        self.seed = seed
        self.network = _network(image_shape, classes + self.extra_classes, name, seed)
        features = self.network.get_layer("features").output
        self._extractor = keras.Model(self.network.input, features, name=f"{name}_features")

    def fit(self, images, labels, *, epochs=5, batch_size=128, learning_rate=1e-3, verbose=0):
        """Trains by Adam on the cross-entropy; the order is drawn from `seed`, in NumPy.

        Args:
            images: `(count, height, width, channels)` in [0, 1].
            labels: classes `(count,)`, integers from 0.
            epochs: passes over the images.
            batch_size: examples a step.
            learning_rate: falls to 0 along a cosine over all the steps.
            verbose: Keras' own: 0 for silence, 2 for a line an epoch.

        Returns:
            The classifier itself.

        Raises:
            ValueError: an image is outside [0, 1], or there are more or fewer labels than images.
        """
        images, labels = _images(images), _labels(labels, images)
        steps = epochs * -(-len(images) // batch_size)
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
        self.network.compile(
            keras.optimizers.Adam(rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        order = np.random.default_rng(self.seed)
        for epoch in range(epochs):  # Keras shuffles from a global state: the order is ours
            rows = order.permutation(len(images))
            self.network.fit(
                images[rows],
                labels[rows],
                batch_size=batch_size,
                initial_epoch=epoch,
                epochs=epoch + 1,
                shuffle=False,
                verbose=verbose,
            )
        return self

    def features(self, images, batch_size=512):
        """The activations that the last layer reads.

        Args:
            images: `(count, height, width, channels)` in [0, 1].
            batch_size: examples at a time.

        Returns:
            float32 `(count, 128)`, at least 0.

        Raises:
            ValueError: an image is outside [0, 1].
        """
        return self._extractor.predict(_images(images), batch_size=batch_size, verbose=0)

    def predict_proba(self, images, batch_size=512):
        """The probability of each class.

        Args:
            images: `(count, height, width, channels)` in [0, 1].
            batch_size: examples at a time.

        Returns:
            float32 `(count, classes)`, each row summing to 1.

        Raises:
            ValueError: an image is outside [0, 1].
        """
        logits = self.network.predict(_images(images), batch_size=batch_size, verbose=0)
        return softmax(logits, axis=1)

    def accuracy(self, images, labels):
        """The share of images whose most probable class is their label.

        Args:
            images: `(count, height, width, channels)` in [0, 1].
            labels: classes `(count,)`.

        Returns:
            A float in [0, 1].

        Raises:
            ValueError: an image is outside [0, 1], or there are more or fewer labels than images.
        """
        labels = _labels(labels, images)
        return float((self.predict_proba(images).argmax(axis=1) == labels).mean())

    def save(self, path):
        """Writes weights, shapes and name to `path`, which ends in ".keras"."""
        self.network.save(path)

    @classmethod
    def load(cls, path):
        """Reads a classifier written by `save`, on any backend."""
        network = keras.saving.load_model(path, compile=False)
        classes = network.output_shape[-1] - cls.extra_classes
        classifier = cls(network.input_shape[1:], classes, name=network.name)
        classifier.network.set_weights(network.get_weights())
        return classifier


def _network(image_shape, classes, name, seed):
    seeds = iter(range(4 * seed, 4 * seed + 4))

    def options(layer_name):  # float32 whatever the policy: features are measured with
        initial = keras.initializers.HeNormal(seed=next(seeds))
        return {"name": layer_name, "kernel_initializer": initial, "dtype": "float32"}

    inputs = keras.Input(image_shape, name="images", dtype="float32")
    convolution = {"strides": 2, "padding": "same", "activation": "relu"}
    x = keras.layers.Conv2D(32, 5, **convolution, **options("stage_1"))(inputs)
    x = keras.layers.Conv2D(64, 3, **convolution, **options("stage_2"))(x)
    x = keras.layers.Flatten(name="flatten", dtype="float32")(x)
    x = keras.layers.Dense(128, activation="relu", **options("features"))(x)
    logits = keras.layers.Dense(classes, **options("logits"))(x)
    return keras.Model(inputs, logits, name=name)


def _images(images):
    images = np.asarray(images, "float32")
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):  # so written that nan fails too
        raise ValueError(f"images: expected values in [0, 1], got [{low:g}, {high:g}]")
    return images


def _labels(labels, images):
    labels = np.asarray(labels).ravel()
    if len(labels) != len(images):
        raise ValueError(f"labels: expected {len(images)}, one an image, got {len(labels)}")
    return labels

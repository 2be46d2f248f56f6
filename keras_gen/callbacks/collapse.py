"""Whether an adversarial game goes wrong: samples that repeat, players that no longer learn."""

import warnings

import keras
import numpy as np

# What a discriminator that is right about every image scores on average, by the loss whose
# targets or margins it then meets; None: logits that mean something against each other only.
RIGHT = {"hinge": 0.73, "least_squares": 0.61, "wasserstein": None, "relativistic": None}
ADVICE = {
    "diversity": "Try a gradient penalty, a lower learning rate of the generator, another "
    "adversarial loss, or larger batches.",
    "duplicates": "Try a gradient penalty, a lower learning rate of the generator, another "
    "adversarial loss, or larger batches.",
    "confidence": "Try a gradient penalty, a lower learning rate or fewer steps of the "
    "discriminator, dropout in it, label smoothing, or of few images DiffAugment.",
    "vanishing": "Try the non-saturating loss, or a Wasserstein loss with a gradient penalty; a "
    "lower learning rate of the other player; normalization in this one.",
    "exploding": "Try a lower learning rate, clipnorm in its optimizer, a gradient penalty, or "
    "spectral normalization.",
}


class CollapseMonitor(keras.callbacks.Callback):
    """Measure every few epochs how a game goes, log it, and warn where it goes wrong.

    - `diversity`: the mean distance of two samples, over that of two examples; of a conditional
      model within a class, averaged over classes, and `least_diversity` of one class. Healthy: 1.
    - `duplicates`: the share of samples with another one within a tenth of the mean distance of
      two examples.
    - `<player>_gradient`: the norm of a player's gradient, where the model tells it.
    - the discriminator's confidence, `(real_score + 1 - fake_score) / 2` of what is logged.

    Each that was out of its bounds in `patience` checks, one after the other, is warned about
    once a run, with what to try.

    A model has `sample(count, seed=, labels=)`; if it has `gradient_norms(x, labels)`, that gives
    `{player: norm of the gradient of its objective}` on these examples and moves nothing.

    Args:
        x: `(count, ...)` examples in the data's range, about 100: as many samples are made, always
            of the same noise.
        labels: int `(count,)`, of a conditional model.
        every: Epochs between two checks.
        patience: Checks out of bounds before the warning.
        stop: Whether training stops then.
        seed: Of `model.sample`.
        diversity: Lowest healthy one, where it no longer grows by a twentieth a check.
        duplicates: Largest healthy share, likewise.
        confidence: Largest healthy one, 1 for any; where `None`, that at which the model's loss has
            nothing left to teach: 0.95, less for a margin, and none for losses whose logits have
            no zero.
        gradients: Lowest and largest healthy norm.

    Raises:
        ValueError: An argument is out of range; or, when training begins, the model makes no
            samples, or no class has two examples.
    """

    async_safe = True

    def __init__(
        self,
        x,
        labels=None,
        *,
        every=1,
        patience=3,
        stop=False,
        seed=0,
        diversity=0.4,
        duplicates=0.25,
        confidence=None,
        gradients=(1e-6, 1e4),
    ):
        super().__init__()
        self.x = np.asarray(keras.ops.convert_to_numpy(x), "float32")
        if len(self.x) < 2:
            raise ValueError(f"x: expected 2 examples or more; got {len(self.x)}.")
        for name, value in (("every", every), ("patience", patience)):
            if value < 1:
                raise ValueError(f"{name}: expected 1 or more; got {value!r}.")
        lowest, largest = gradients
        if not lowest < largest:
            raise ValueError(f"gradients: expected (lowest, largest); got {gradients!r}.")
        self.labels = None if labels is None else np.asarray(labels, "int32").reshape(-1)
        self.every = every
        self.patience = patience
        self.stop = stop
        self.seed = seed
        self.diversity = diversity
        self.duplicates = duplicates
        self.confidence = confidence
        self.gradients = lowest, largest
        self._forget()

    def _forget(self):
        self.bad = {}
        self.warned = []
        self.last = None

    def get_state(self):
        """What a checkpoint keeps: findings in a row, what was warned of, the last diversity."""
        return {"bad": dict(self.bad), "warned": list(self.warned), "last": self.last}

    def set_state(self, state):
        """Take up where `get_state` left off."""
        self.bad, self.warned = dict(state["bad"]), list(state["warned"])
        self.last = state["last"]

    def on_train_begin(self, logs=None):
        self._forget()
        if not hasattr(self.model, "sample"):
            raise ValueError(
                f"CollapseMonitor: {type(self.model).__name__} makes no samples (it has no "
                "sample(count, seed, labels)): leave the monitor out."
            )
        conditional = getattr(self.model, "num_classes", None) is not None
        if conditional and self.labels is None:
            raise ValueError("CollapseMonitor: labels: of a conditional model, give the examples'.")
        self.classes = np.unique(self.labels) if conditional else None
        between = _distances(self.x)
        self.spread = _mean_distance(between)
        self.class_spreads = {}
        for label in self.classes if conditional else ():
            spread = _mean_distance(_of_class(between, self.labels, label))
            if spread > 0:
                self.class_spreads[int(label)] = spread
        if not (self.class_spreads if conditional else self.spread > 0):
            raise ValueError(
                "CollapseMonitor: x: expected two examples that differ"
                + (" of some class." if conditional else ".")
            )

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        logs = {} if logs is None else logs
        numbers = {**self._of_samples(), **self._of_gradients()}
        found = dict(self._findings(numbers, logs))
        logs.update(numbers)
        self.bad = {kind: self.bad.get(kind, 0) + 1 for kind in found}
        for kind, finding in found.items():
            if self.bad[kind] < self.patience:
                continue
            if kind not in self.warned:
                self.warned.append(kind)
                advice = ADVICE[kind.split()[0]]
                warnings.warn(
                    f"CollapseMonitor: epoch {epoch + 1}: {finding} ({self.patience} checks in a "
                    f"row). {advice}",
                    stacklevel=2,
                )
            if self.stop:
                self.model.stop_training = True

    # -- What is measured

    def _of_samples(self):
        labels = None if self.classes is None else self.labels
        samples = self.model.sample(len(self.x), seed=self.seed, labels=labels)
        samples = np.asarray(keras.ops.convert_to_numpy(samples), "float32")
        if samples.shape != self.x.shape:
            raise ValueError(
                f"CollapseMonitor: x: expected examples like the samples {samples.shape[1:]}; got "
                f"{self.x.shape[1:]}."
            )
        between = _distances(samples)
        np.fill_diagonal(between, np.inf)
        numbers = {"duplicates": float(np.mean(between.min(axis=1) < 0.1 * self.spread))}
        if self.classes is None:
            return {"diversity": _mean_distance(between) / self.spread, **numbers}
        ratios = {
            label: _mean_distance(_of_class(between, self.labels, label)) / spread
            for label, spread in self.class_spreads.items()
        }
        self.least_diverse = min(ratios, key=ratios.get)
        return {
            "diversity": float(np.mean(list(ratios.values()))),
            "least_diversity": ratios[self.least_diverse],
            **numbers,
        }

    def _of_gradients(self):
        if not hasattr(self.model, "gradient_norms"):
            return {}
        labels = None if self.classes is None else self.labels
        norms = self.model.gradient_norms(self.x, labels)
        return {
            f"{player}_gradient": float(keras.ops.convert_to_numpy(norm))
            for player, norm in norms.items()
        }

    # -- What is wrong with it

    def _findings(self, numbers, logs):
        """`(kind, what was found)` of each number out of its bounds."""
        name = "diversity" if self.classes is None else "least_diversity"
        # A generator that has just begun, or an average of its weights, grows into its variety.
        grows = self.last is not None and numbers[name] > 1.05 * self.last
        self.last = numbers[name]
        if numbers[name] < self.diversity and not grows:
            of_class = "" if self.classes is None else f" of class {self.least_diverse}"
            yield (
                "diversity",
                f"the generator collapses: its samples{of_class} differ {numbers[name]:.2g} times "
                f"as much as the data, expected {self.diversity:g} or more",
            )
        if numbers["duplicates"] > self.duplicates and not grows:
            yield (
                "duplicates",
                f"the generator repeats itself: {numbers['duplicates']:.0%} of {len(self.x)} "
                f"samples have a near copy among them, expected {self.duplicates:.0%} or less",
            )
        limit = self.confidence
        if limit is None:
            limit = RIGHT.get(getattr(self.model, "adversarial_loss", None), 0.95)
        if limit is not None and "real_score" in logs and "fake_score" in logs:
            real, fake = float(logs["real_score"]), float(logs["fake_score"])
            if (real + 1 - fake) / 2 > limit:
                yield (
                    "confidence",
                    f"the discriminator is always right: it scores data {real:.3f} and samples "
                    f"{fake:.3f}, expected {limit:g} or less of (real + 1 - fake) / 2",
                )
        lowest, largest = self.gradients
        for name, norm in numbers.items():
            player, _, quantity = name.rpartition("_")
            if quantity != "gradient":
                continue
            if norm < lowest:
                bound = f"expected {lowest:g} or more"
                yield (
                    f"vanishing {player}",
                    f"the {player}'s gradient vanishes: {norm:.2g}, {bound}",
                )
            elif not norm <= largest:
                bound = f"expected {largest:g} or less"
                yield (
                    f"exploding {player}",
                    f"the {player}'s gradient explodes: {norm:.2g}, {bound}",
                )


def _distances(x):
    """Euclidean distances of all pairs: float64 `(count, count)`."""
    flat = np.reshape(x, (len(x), -1)).astype("float64")
    squares = np.sum(flat**2, axis=1)
    products = squares[:, None] + squares - 2 * flat @ flat.T
    return np.sqrt(np.maximum(products, 0.0))


def _of_class(between, labels, label):
    chosen = labels == label
    return between[np.ix_(chosen, chosen)]


def _mean_distance(between):
    """The mean over pairs of two; 0 where there is no pair."""
    pairs = between[np.triu_indices(len(between), 1)]
    return float(pairs.mean()) if pairs.size else 0.0

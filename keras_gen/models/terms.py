"""How a model keeps books on the terms of its loss: running means over the examples."""

import keras
from keras import ops


class Term(keras.metrics.Mean):
    """Running mean of one term, weighted by examples; "down": lower is better, "up": higher."""

    def __init__(self, name, dtype="float32", direction="down"):
        super().__init__(name=name, dtype=dtype)
        self._direction = direction


class Logged:
    """Placed before `keras.Model`: a model with `terms`, and one running mean for each."""

    def add_term(self, term, direction="down"):
        """Declare one more term of this model's books, and whether it is better "down" or "up"."""
        self.terms = (*self.terms, term)
        self._terms[term] = Term(term, direction=direction)

    def log(self, *, count=None, **values):
        """Add a batch's terms to their running means and return these: what a step returns.

        Args:
            count: Number of examples the values stand for; the batch's where left out.
            **values: One scalar, or `(batch,)` tensor of numbers per example, a declared term.

        Returns:
            `{term: running mean, weighted by examples}`.

        Raises:
            ValueError: A term that `terms` does not declare.
        """
        undeclared = [term for term in values if term not in self._terms]
        if undeclared:
            raise ValueError(
                f"{type(self).__name__} logs {undeclared[0]!r}, which is not among its "
                f"terms = {tuple(self.terms)!r}: add it there."
            )
        if count is None:
            count = 1 if self._batch_size is None else self._batch_size
        count = ops.cast(count, "float32")
        means = {term: ops.mean(ops.cast(value, "float32")) for term, value in values.items()}
        if self._training:
            self._note_fault(means)
        for term, mean in means.items():
            self._terms[term].update_state(mean, sample_weight=count)
        return {term: self._terms[term].result() for term in means}

    @property
    def metrics(self):
        return list(self._terms.values())

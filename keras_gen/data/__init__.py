"""Data: from a name to examples and labels of one shape and range, split, cleaned and batched."""

from keras_gen.data.augmentation import Augmentation, augmentation
from keras_gen.data.cleaning import CleaningReport
from keras_gen.data.dataset import Dataset
from keras_gen.data.errors import DataError
from keras_gen.data.sources import has_pairs, is_sound, kind_of, known, load, prepare
from keras_gen.data.sources.sound import write as write_sounds
from keras_gen.data.sources.table import write as write_table

__all__ = [
    "Augmentation",
    "Batches",
    "CleaningReport",
    "DataError",
    "Dataset",
    "augmentation",
    "has_pairs",
    "is_sound",
    "kind_of",
    "known",
    "load",
    "prepare",
    "write_sounds",
    "write_table",
]


def __getattr__(name):
    # Batches subclass Keras', which takes seconds to import; sources do not need it.
    if name == "Batches":
        from keras_gen.data.batches import Batches

        return Batches
    raise AttributeError(f"module 'keras_gen.data' has no attribute {name!r}")

"""Callbacks: what is made every few epochs: grids of pictures, and learning rates of one player."""

from keras_gen.callbacks.grids import (
    ReconstructionGrid,
    SampleGrid,
    TranslationGrid,
    TraversalGrid,
)
from keras_gen.callbacks.pictures import grid, replacing, save_grid
from keras_gen.callbacks.rates import LearningRate, ReduceOnPlateau

__all__ = [
    "LearningRate",
    "ReconstructionGrid",
    "ReduceOnPlateau",
    "SampleGrid",
    "TranslationGrid",
    "TraversalGrid",
    "grid",
    "replacing",
    "save_grid",
]

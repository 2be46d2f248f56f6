"""Callbacks: what is made or watched every few epochs: pictures, learning rates, collapse."""

from keras_gen.callbacks.collapse import CollapseMonitor
from keras_gen.callbacks.grids import (
    ReconstructionGrid,
    SampleGrid,
    TranslationGrid,
    TraversalGrid,
)
from keras_gen.callbacks.pictures import grid, replacing, save_gif, save_grid
from keras_gen.callbacks.rates import LearningRate, ReduceOnPlateau

__all__ = [
    "CollapseMonitor",
    "LearningRate",
    "ReconstructionGrid",
    "ReduceOnPlateau",
    "SampleGrid",
    "TranslationGrid",
    "TraversalGrid",
    "grid",
    "replacing",
    "save_gif",
    "save_grid",
]

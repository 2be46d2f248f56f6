"""How far a training is: a line an epoch and, on a terminal, a bar with the time left."""

import time

import keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from keras_gen.cli import show


class Progress(keras.callbacks.Callback):
    """Shows the progress of a run on the standard error.

    Args:
        silent: show nothing.
    """

    async_safe = True  # reads no logs within an epoch, so that no step waits for the device

    def __init__(self, silent=False):
        super().__init__()
        self.silent = silent
        self.bar = None
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)

    def on_train_begin(self, logs=None):
        self.started = time.monotonic()
        if self.silent or not self.console.is_terminal:
            return
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self.console,
        )
        self.task = self.bar.add_task("compiling", total=None)
        self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        if self.bar is not None:
            steps, epochs = self.params["steps"], self.params["epochs"]
            self.bar.update(
                self.task,
                description=f"epoch {epoch + 1}/{epochs}",
                total=steps * epochs,
                completed=steps * epoch,
            )

    def on_train_batch_end(self, batch, logs=None):
        if self.bar is not None:
            self.bar.advance(self.task)

    def on_epoch_end(self, epoch, logs=None):
        if not self.silent:
            elapsed = show.duration(time.monotonic() - self.started)
            epochs = self.params["epochs"]
            self.console.print(f"epoch {epoch + 1}/{epochs}  {show.terms(logs or {})}  {elapsed}")

    def on_train_end(self, logs=None):
        self.stop()

    def stop(self):
        """Gives the terminal back, however the run ended."""
        if self.bar is not None:
            self.bar.stop()

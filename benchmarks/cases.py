"""The cases: which model, at which sizes, on which data; one TOML file each in `cases/`."""

import copy
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "cases"

MODES_ON_THE_RING, RADIUS, DEVIATION = 8, 2.0, 0.05
GREYS = 16.0  # scikit-learn's digits have grey levels 0 to 16


@dataclass(frozen=True)
class Case:
    """A model, its sizes and its data: what every contestant of one race trains.

    Args:
        name: of the file, without its ending.
        twin: which training algorithm the native files write by hand: "vae", "iwae",
            "vqvae" or "gan".
        shape: of one example, `(height, width, channels)` or `(features,)`.
        data: "digits" or "ring".
        reported: the term of the loss that is read beside the time.
        model: the `[model]` table of a keras-gen config.
        train: the `[train]` table of one; every optimizer in it is Adam.
        steps_per_execution: how many steps a call takes, one race each.
        loss_steps: train steps from the initial weights until the loss is read.
    """

    name: str
    twin: str
    shape: tuple
    data: str
    reported: str
    model: dict = field(hash=False)
    train: dict = field(hash=False)
    steps_per_execution: tuple = (1,)
    loss_steps: int = 50

    @property
    def batch_size(self):
        """Examples a train step."""
        return self.train["batch_size"]

    @property
    def latent_dim(self):
        """Size of the latent vector."""
        return self.model["latent_dim"]

    @property
    def sockets(self):
        """Names of the networks, in the order of the file."""
        return [name for name, table in self.model.items() if isinstance(table, dict)]

    @property
    def value_range(self):
        """`(lowest, highest)` of the data; None where it is unbounded."""
        if self.data == "ring":
            return None
        outputs = {self.model[socket].get("output_activation") for socket in self.sockets}
        return (-1.0, 1.0) if "tanh" in outputs else (0.0, 1.0)

    def scaled(self, batch=None, side=None, width=None):
        """The same case at another size.

        Args:
            batch: examples a step; None keeps them.
            side: of a square image, in pixels; None keeps it.
            width: channels of the narrowest scale of every convolutional network, the others in
                proportion; None keeps them, and so do other networks.

        Returns:
            A `Case`.

        Raises:
            ValueError: a side for data that are no images.
        """
        if side is not None and len(self.shape) != 3:
            raise ValueError(f"{self.name}: its data are no images, so they have no side")
        model, train = copy.deepcopy(self.model), copy.deepcopy(self.train)
        if width is not None:
            for socket in self.sockets:
                model[socket] |= _of_width(model[socket], width)
        if batch is not None:
            train["batch_size"] = batch
        shape = self.shape if side is None else (side, side, self.shape[2])
        return replace(self, shape=shape, model=model, train=train)

    def examples(self, count, seed=0):
        """Data that need no download.

        Args:
            count: how many.
            seed: of their order, and of the ring's noise.

        Returns:
            float32 `(count, *shape)` in `value_range`.
        """
        rng = np.random.default_rng(seed)
        return _ring(count, rng) if self.data == "ring" else self._digits(count, rng)

    def recipe(self):
        """The case as a checked config.

        Returns:
            A `keras_gen.config.Recipe`; its data are named and never loaded.
        """
        from keras_gen import config

        section = {"source": f"npz:{self.name}"}
        if self.value_range is not None:
            section["value_range"] = list(self.value_range)
        return config.read({"data": section, "model": self.model, "train": self.train})

    def _digits(self, count, rng):
        from sklearn.datasets import load_digits

        digits = load_digits().images.astype("float32") / GREYS
        height, width, channels = self.shape
        # A channel is another digit: colours that no channel could be told from another.
        chosen = digits[rng.integers(len(digits), size=(channels, count))]
        enlarged = _enlargement(height) @ chosen @ _enlargement(width).T
        low, high = self.value_range
        images = low + (high - low) * np.moveaxis(enlarged, 0, -1)
        return np.ascontiguousarray(images, dtype="float32")


def known():
    """Names of all cases, in the order of the alphabet."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read(name, **overrides):
    """Reads a case.

    Args:
        name: of a file in `cases/`, without its ending.
        **overrides: `batch`, `side`, `width` of `Case.scaled`.

    Returns:
        A `Case`.
    """
    tables = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    about = tables["case"]
    about["shape"] = tuple(about["shape"])
    about["steps_per_execution"] = tuple(about.get("steps_per_execution", (1,)))
    return Case(name, model=tables["model"], train=tables["train"], **about).scaled(**overrides)


def _of_width(network, width):
    """The options of a network that count channels, so that `width` is the smallest of them."""
    if "width" in network:
        return {"width": width}
    # R3GAN's "blocks" are numbers of blocks.
    options = ("filters", "blocks") if network["network"] == "sngan_discriminator" else ("filters",)
    channels = {option: network[option] for option in options if option in network}
    smallest = min(sum(channels.values(), []), default=None)
    return {
        option: [round(count * width / smallest) for count in counts]
        for option, counts in channels.items()
    }


def _enlargement(side):
    """`(side, 8)`: the weights of 8 pixels in each of `side` on straight lines between them."""
    places = np.linspace(0, 7, side)
    rows = [np.interp(places, np.arange(8), pixel) for pixel in np.eye(8)]
    return np.stack(rows, axis=1).astype("float32")


def _ring(count, rng):
    angle = 2 * np.pi * rng.integers(MODES_ON_THE_RING, size=count) / MODES_ON_THE_RING
    centre = RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (centre + DEVIATION * rng.standard_normal((count, 2))).astype("float32")

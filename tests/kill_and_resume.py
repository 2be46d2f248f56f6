"""Kill a run at random moments, resume it each time, and compare it with one never killed.

```
python tests/kill_and_resume.py --backend jax --kills 20
```

The run trains a small GAN: two optimizers, an averaged generator, batch statistics, dropout,
callbacks with a memory, a checkpoint every three steps. It is killed by SIGKILL, most often while
it trains, now and then while it starts; when it gets through, another run begins, until all
kills are spent. Exit status 1, and a line that names the difference, if any bit differs.

Each part of the run is a new Python. With `--fork`, as in the suite, it is a fork of this one,
which has imported Keras and computed nothing.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SIDE, LATENT, BATCH = 8, 4, 8
CHECKPOINT_EVERY = 3
STEPS_AN_EPOCH = 20


def toy_batches(examples=BATCH * STEPS_AN_EPOCH, shuffle_seed=5):
    """Batches of noise with a bright corner: `(batch, 8, 8, 1)` in [-1, 1]."""
    from keras_gen.data import Batches, Dataset
    from keras_gen.data.dataset import ArrayPixels

    images = np.random.default_rng(11).uniform(-1, 0, (examples, SIDE, SIDE, 1)).astype("float32")
    images[:, :3, :3] += 1.0
    dataset = Dataset("toy", "train", ArrayPixels(images, (-1, 1)), (-1, 1))
    return Batches(dataset, BATCH, shuffle_seed=shuffle_seed)


def toy_gan(units=12, **compile_options):
    """A GAN with whatever a run has to remember: moments, averages, statistics, counters."""
    import keras

    from keras_gen import models, networks
    from keras_gen.random import seeded_weights

    sockets = models.GAN.sockets((SIDE, SIDE, 1), latent_dim=LATENT)
    with seeded_weights(3):
        gan = models.GAN(
            networks.mlp(*sockets["generator"], units=(units,), normalization="batch"),
            networks.mlp(*sockets["discriminator"], units=(units,), dropout=0.2),
            latent_dim=LATENT,
            ema=0.9,
        )
    players = {
        "generator": keras.optimizers.Adam(1e-3, beta_1=0.5),
        "discriminator": keras.optimizers.RMSprop(1e-3, momentum=0.5),
    }
    gan.compile(players, **compile_options)
    return gan


def toy_progressive_gan(**compile_options):
    """A GAN that grows from 4 x 4 to 8 x 8, between its fourth and its eighth train step."""
    import keras

    from keras_gen import models, networks
    from keras_gen.random import seeded_weights

    sockets = models.ProgressiveGAN.sockets((SIDE, SIDE, 1), latent_dim=LATENT)
    with seeded_weights(3):
        gan = models.ProgressiveGAN(
            networks.ProgressiveGenerator(*sockets["generator"], width=2),
            networks.ProgressiveDiscriminator(*sockets["discriminator"], width=2),
            latent_dim=LATENT,
            stable_steps=4,
            fade_steps=4,
            ema=0.9,
        )
    players = {player: keras.optimizers.Adam(1e-3, 0.0, 0.99) for player in sockets}
    gan.compile(players, **compile_options)
    return gan


def toy_callbacks():
    """Callbacks of both kinds that have a memory: ours, and Keras' own with arrays in it."""
    import keras

    from keras_gen.callbacks import ReduceOnPlateau

    return [
        ReduceOnPlateau("discriminator_loss", player="discriminator", patience=2),
        keras.callbacks.EarlyStopping(
            "generator_loss", mode="min", patience=100, restore_best_weights=True
        ),
    ]


def arrays_of(folder):
    """All arrays of a finished run's folder: its checkpoint's, and its model's weights."""
    import h5py

    position = json.loads((folder / "checkpoint" / "position.json").read_text())
    with np.load(folder / "checkpoint" / position["state"]["file"], allow_pickle=False) as file:
        arrays = dict(file)
    with tempfile.TemporaryDirectory() as unpacked:
        zipfile.ZipFile(folder / "model.keras").extract("model.weights.h5", unpacked)
        with h5py.File(Path(unpacked) / "model.weights.h5") as weights:

            def keep(name, item):
                if isinstance(item, h5py.Dataset):
                    arrays[f"model.keras/{name}"] = item[()]

            weights.visititems(keep)
    return arrays


def first_difference(one, other):
    """One line that names the first bit in which two finished runs differ, or `None`."""
    mine, theirs = arrays_of(one), arrays_of(other)
    if list(mine) != list(theirs):
        return "the runs hold different variables"
    for name in mine:
        if mine[name].tobytes() != theirs[name].tobytes():
            return f"{name} differs"
    files = ["history.csv", *(f"samples/{path.name}" for path in (one / "samples").iterdir())]
    for name in files:
        if (one / name).read_bytes() != (other / name).read_bytes():
            return f"{name} differs"
    left = [path for path in other.rglob("*") if "partial" in path.name]
    return f"{left[0]} was left over" if left else None


def work(folder, epochs, told):
    """What the process that is killed does: begin the run, or go on with it; tell of each step."""
    import keras

    from keras_gen import runs

    class Tell(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            told.send(None)

    runs.train(
        toy_gan(),
        toy_batches(),
        folder=folder,
        epochs=epochs,
        validation=toy_batches(16),
        checkpoint_every=CHECKPOINT_EVERY,
        sample_every=2,
        value_range=(-1, 1),
        callbacks=[*toy_callbacks(), Tell()],
        resume=folder.exists(),
        verbose=0,
    )


class Process:
    """A process that works on a run: started at once, followed step by step, killed."""

    def __init__(self, context, folder, epochs):
        self.told, told = context.Pipe(duplex=False)
        self.process = context.Process(target=work, args=(folder, epochs, told))
        self.process.start()
        told.close()  # the last writer is then the process: its end is the end of what it tells

    def trains_on_for(self, steps):
        """Whether it took so many steps more, and did not end before."""
        try:
            for _ in range(steps):
                self.told.recv()
        except EOFError:
            return False
        return True

    def ends_within(self, seconds=None):
        """Whether it ended of itself: that must be a success."""
        self.process.join(seconds)
        if self.process.exitcode:
            sys.exit("the run failed instead of being killed")
        return self.process.exitcode == 0

    def kill(self):
        self.process.kill()
        self.process.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=("jax", "tensorflow", "torch"), default="jax")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=24, help=f"of {STEPS_AN_EPOCH} steps")
    parser.add_argument("--seed", type=int, default=None, help="of the moments; new each time")
    parser.add_argument("--fork", action="store_true", help="import Keras once, for all processes")
    options = parser.parse_args()
    os.environ |= {"KERAS_BACKEND": options.backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    sys.path.insert(0, str(ROOT))
    if options.fork:
        import keras

        from keras_gen import models, networks, runs  # noqa: F401

        keras.dtype_policies.serialize(
            keras.config.dtype_policy()
        )  # imports TensorFlow, where it is
    context = multiprocessing.get_context("fork" if options.fork else "spawn")
    seed = random.randrange(10**6) if options.seed is None else options.seed
    moments = random.Random(seed)
    print(f"backend {options.backend}, {options.kills} kills at moments of seed {seed}")
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        began = time.monotonic()
        process = Process(context, place / "whole", options.epochs)
        process.trains_on_for(1)
        startup, trained = time.monotonic() - began, time.monotonic()
        process.ends_within()
        duration = time.monotonic() - trained
        print(f"never killed: {startup:.1f} s to the first step, {duration:.1f} s of training")

        steps = options.epochs * STEPS_AN_EPOCH
        kills, runs_compared = 0, 0
        folder = place / "killed_0"
        while kills < options.kills or folder.exists():
            process = Process(context, folder, options.epochs)
            spend = kills < options.kills
            if spend and moments.random() < 0.2:
                moment = moments.uniform(0, startup)
                where = f"{moment:.2f} s into the start"
            elif spend:
                number = moments.randint(1, steps // 4)
                moment = moments.uniform(0, 2 * duration / steps)
                process.trains_on_for(number)
                where = f"{1000 * moment:.0f} ms after {number} steps"
            if not process.ends_within(moment if spend else None):
                process.kill()
                kills += 1
                print(f"kill {kills}: {where}, {_position(folder)}", flush=True)
                continue
            difference = first_difference(place / "whole", folder)
            if difference:
                sys.exit(f"the killed run is not the same: {difference}")
            runs_compared += 1
            folder = place / f"killed_{runs_compared}"
        print(f"{kills} kills, {runs_compared} run(s) compared: the same, bit for bit")


def _position(folder):
    path = folder / "checkpoint" / "position.json"
    if not path.exists():
        return "no checkpoint yet"
    position = json.loads(path.read_text())["position"]
    return f"checkpoint at epoch {position['epoch'] + 1}, batch {position['batch'] + 1}"


if __name__ == "__main__":
    main()

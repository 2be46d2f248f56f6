"""Callbacks: what a grid shows, whose learning rate moves, and when."""

import keras
import numpy as np
import pytest
from kill_and_resume import toy_batches, toy_gan
from PIL import Image

from keras_gen import models, networks
from keras_gen.callbacks import (
    LearningRate,
    ReconstructionGrid,
    ReduceOnPlateau,
    SampleGrid,
    TranslationGrid,
    TraversalGrid,
    replacing,
    save_gif,
    save_grid,
)

WHITE, BLACK, GAP = 255, 0, 64


def read(path):
    return np.asarray(Image.open(path))


# -- Grids ------------------------------------------------------------------------------------


def test_grid_places_images_in_rows_enlarged(tmp_path):
    images = np.zeros((3, 8, 8, 1), "float32")
    images[1] = 1.0
    images[2, 0, 0] = 0.5
    save_grid(images, tmp_path / "grid.png", columns=2)
    pixels = read(tmp_path / "grid.png")
    # 8 pixels a side become 64; two of them and a gap of 2 between make 130.
    assert pixels.shape == (130, 130, 3)
    assert (pixels[:64, :64] == BLACK).all()
    assert (pixels[:64, 66:] == WHITE).all()
    assert (pixels[:64, 64:66] == GAP).all()
    assert (pixels[66:74, :8] == 128).all() and (pixels[66:74, 8:16] == BLACK).all()
    assert (pixels[66:, 66:] == GAP).all(), "the place of the fourth image is empty"


def test_grid_maps_the_range_and_clips(tmp_path):
    levels = np.array([-1.0, 0.0, 1.0, 7.0, -7.0, np.nan, np.inf, -np.inf], "float32")
    images = np.broadcast_to(levels[:, None, None, None], (8, 64, 64, 3))
    save_grid(images, tmp_path / "grid.png", columns=8, value_range=(-1, 1))
    shown = read(tmp_path / "grid.png")[0, ::66, 0]
    # 0 lies in the middle: round(127.5) to even; what is not a number is black.
    assert shown.tolist() == [0, 128, 255, 255, 0, 0, 255, 0]


@pytest.mark.parametrize("shape", [(4, 2), (0, 8, 8, 1), (4, 8, 8, 2)])
def test_what_is_no_image_is_refused(shape, tmp_path):
    with pytest.raises(ValueError, match="got shape"):
        save_grid(np.zeros(shape), tmp_path / "grid.png")
    assert not list(tmp_path.iterdir())


def test_an_empty_range_is_refused(tmp_path):
    with pytest.raises(ValueError, match="low < high"):
        save_grid(np.zeros((1, 8, 8, 1)), tmp_path / "grid.png", value_range=(1, 1))


def test_signals_are_curves_on_one_scale(tmp_path):
    signals = np.zeros((2, 128, 1), "float32")  # one pixel a step
    signals[0, :64] = 1.0
    signals[1] = -1.0
    save_grid(signals, tmp_path / "curves.png", columns=2, value_range=None)
    pixels = read(tmp_path / "curves.png")
    assert pixels.shape == (64, 258, 3)
    curve = (pixels == 0).all(axis=2)
    assert curve[0, :64].all() and not curve[1:, :63].any(), "1 is the top"
    assert curve[31:33, 66:128].any(axis=0).all(), "0 is the middle"
    assert curve[63, 130:].all(), "-1, of another signal, is the bottom"


def test_a_signal_that_breaks_off_leaves_a_gap_and_a_flat_one_is_drawn(tmp_path):
    signals = np.full((1, 128, 1), 2.0)
    signals[0, 100:] = np.nan
    save_grid(signals, tmp_path / "curves.png", value_range=None)
    black = (read(tmp_path / "curves.png") == 0).all(axis=2)
    assert black.any(axis=0)[:100].all() and not black.any(axis=0)[100:].any()


def test_vectors_are_points_on_one_scale(tmp_path):
    """127 pixels a unit both ways: (0, 0.5) lies half a unit above the middle of the two others."""
    vectors = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.5], [np.nan, 9.0]])
    save_grid(vectors, tmp_path / "points.png", columns=2, value_range=None)
    pixels = read(tmp_path / "points.png")
    assert pixels.shape == (256, 256, 3)
    rows, columns = np.nonzero((pixels == 0).all(axis=2))
    corners = set(zip(rows[::4], columns[::4], strict=True))
    assert len(rows) == 3 * 4 and corners == {(95, 127), (159, 0), (160, 0)}
    assert set(columns) == {0, 1, 127, 128, 254, 255}
    assert (pixels[159, 2:126] == 200).all(), "a grey line where the second number is 0"
    assert (pixels[:94, 127] == 200).all(), "and one where the first is"


def test_there_is_a_picture_for_each_two_numbers(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(30, 5))
    save_grid(vectors, tmp_path / "points.png", value_range=None)
    assert read(tmp_path / "points.png").shape == (2 * 258 - 2, 2 * 258 - 2, 3)  # three, and a gap


def test_one_number_is_shown_with_its_rank(tmp_path):
    """Equally spaced numbers: their distribution function is the diagonal."""
    save_grid(np.linspace(3, 4, 128)[:, None], tmp_path / "points.png", value_range=None)
    dark = (read(tmp_path / "points.png") == 0).all(axis=2)
    assert all(dark[254 - place : 256 - place, place].any() for place in range(0, 256, 16))
    assert not dark[:100, :100].any()


def test_a_grid_of_vectors_shows_a_thousand_of_them_unless_told_otherwise(tmp_path):
    class Points:
        num_classes = None
        asked = []

        def sample(self, count, seed, labels):
            self.asked.append(count)
            return np.random.default_rng(seed).normal(size=(count, 2))

    for count, shown in ((None, 1000), (5, 5)):
        grid = SampleGrid(tmp_path, count=count, value_range=None)
        grid.set_model(Points())
        grid.write(tmp_path / "points.png")
        assert Points.asked[-1] == shown
        assert read(tmp_path / "points.png").shape == (256, 256, 3)


def test_what_is_no_signal_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"signals: expected \(count, steps, channels\)"):
        save_grid(np.zeros((2, 8, 8, 1)), tmp_path / "curves.png", value_range=None)


def test_sample_grids_every_second_epoch_show_the_same_noise(tmp_path):
    gan = toy_gan()
    gan.optimizer["generator"].learning_rate = 0.0
    gan.optimizer["discriminator"].learning_rate = 0.0
    grids = SampleGrid(tmp_path / "samples", count=9, every=2, value_range=(-1, 1))
    latest = SampleGrid(tmp_path / "latest.png", count=9, value_range=(-1, 1))
    gan.fit(toy_batches(16), epochs=5, verbose=0, shuffle=False, callbacks=[grids, latest])
    written = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert written == ["epoch_0002.png", "epoch_0004.png"]
    assert read(tmp_path / "latest.png").shape == (3 * 66 - 2, 3 * 66 - 2, 3)


def test_a_sample_grid_is_of_the_same_noise_whatever_was_drawn_between(tmp_path):
    grid = SampleGrid(tmp_path, count=9, value_range=(-1, 1))
    grid.set_model(toy_gan())
    pictures = []
    for name in ("first", "second"):
        grid.write(tmp_path / f"{name}.png")
        pictures.append(read(tmp_path / f"{name}.png"))
        grid.model.normal((5,))
        grid.model.sample(3)
    np.testing.assert_array_equal(*pictures)
    assert len(np.unique(pictures[0])) > 10


def test_a_conditional_grid_has_one_column_a_class(tmp_path):
    sockets = models.VAE.sockets((8, 8, 1), latent_dim=2, num_classes=3)
    vae = models.VAE(
        networks.mlp(*sockets["encoder"], units=(4,)),
        networks.mlp(*sockets["decoder"], units=()),
        latent_dim=2,
        num_classes=3,
    )
    kernel = np.zeros((2 + 3, 64), "float32")
    kernel[2:] = [[-20.0], [0.0], [20.0]]  # logits of the three classes, whatever the noise
    vae.decoder.set_weights([kernel, np.zeros(64, "float32")])
    for name, labels, columns in (("all", None, [0, 128, 255]), ("two", [2, 0], [255, 0])):
        grid = SampleGrid(tmp_path, count=5, labels=labels)
        grid.set_model(vae)
        grid.write(tmp_path / f"{name}.png")
        pixels = read(tmp_path / f"{name}.png")
        for column, level in enumerate(columns):
            cell = pixels[:, 66 * column : 66 * column + 64]
            assert (np.unique(cell) == np.unique([level, GAP])).all()
        rows = -(-5 // len(columns))
        assert pixels.shape[:2] == (66 * rows - 2, 66 * len(columns) - 2)


def test_a_translation_grid_shows_input_output_and_truth_eight_a_row(tmp_path):
    """A translator that inverts: 9 grey inputs, their negatives, and a truth in colour."""

    class Inverting(keras.Model):
        def translate(self, x):
            return keras.ops.repeat(1.0 - x, 3, axis=-1)

    levels = np.linspace(0.0, 0.8, 9)
    inputs = np.broadcast_to(levels[:, None, None, None], (9, 64, 64, 1))
    truth = np.broadcast_to([1.0, 0.0, 0.0], (9, 64, 64, 3))
    grid = TranslationGrid(tmp_path / "grid.png", inputs, truth)
    grid.set_model(Inverting())
    grid.write(tmp_path / "grid.png")
    shown = read(tmp_path / "grid.png")[::66, ::66]
    assert shown.shape == (6, 8, 3)
    grey = np.rint(255 * levels)
    for top, part in ((0, slice(0, 8)), (3, slice(8, 9))):
        count = len(grey[part])
        np.testing.assert_allclose(shown[top, :count, 1], grey[part], atol=1)
        np.testing.assert_allclose(shown[top + 1, :count, 1], 255 - grey[part], atol=1)
        assert (shown[top + 2, :count] == [255, 0, 0]).all()
        assert (shown[top : top + 3, count:] == 0).all(), "the rest of a row is empty"
    with pytest.raises(
        ValueError, match="inputs: expected as many as targets, 1 or more; got 9 and"
    ):
        TranslationGrid(tmp_path, inputs, truth[:4])


def halving_autoencoder():
    """Its code is the image, and it rebuilds half of it."""
    sockets = models.Autoencoder.sockets((8, 8, 1), latent_dim=64)
    model = models.Autoencoder(
        networks.mlp(*sockets["encoder"], units=()),
        networks.mlp(*sockets["decoder"], units=()),
        latent_dim=64,
    )
    for network, factor in ((model.encoder, 1.0), (model.decoder, 0.5)):
        network.set_weights([factor * np.eye(64), np.zeros(64)])
    return model


def test_a_reconstruction_grid_shows_the_example_what_is_known_of_it_and_the_repair(tmp_path):
    x = np.stack([np.full((8, 8, 1), 1.0), np.full((8, 8, 1), 0.4)])
    right = np.ones((8, 8, 1), bool)
    right[:, :4] = False
    for name, mask, rows in (
        ("whole", None, [[255, 102], [128, 51]]),
        ("repair", right, [[255, 102], [255, 102], [255, 102]]),
    ):
        grid = ReconstructionGrid(tmp_path, x, mask=mask)
        grid.set_model(halving_autoencoder())
        grid.write(tmp_path / f"{name}.png")
        pixels = read(tmp_path / f"{name}.png")
        assert pixels.shape == (66 * len(rows) - 2, 66 * 2 - 2, 3)
        for row, levels in enumerate(rows):
            for column, level in enumerate(levels):
                cell = pixels[66 * row : 66 * row + 64, 66 * column : 66 * column + 64]
                assert (cell[:, 32:] == level).all()  # the half that is known
                lost = 0 if mask is not None and row else level  # rebuilt from black: black
                assert (cell[:, :32] == lost).all()


def test_a_traversal_grid_has_a_row_for_each_latent(tmp_path):
    grid = TraversalGrid(
        tmp_path / "moved.png", np.zeros((8, 8, 1)), latents=[0, 63], values=[0.0, 1.0, 2.0]
    )
    model = halving_autoencoder()
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(np.zeros((4, 8, 8, 1), "float32"), verbose=0, callbacks=[grid])
    pixels = read(tmp_path / "moved.png")
    assert pixels.shape == (66 * 2 - 2, 66 * 3 - 2, 3)
    assert pixels[0, [0, 66, 132], 0].tolist() == [0, 128, 255]
    assert pixels[-1, [63, 129, 195], 0].tolist() == [0, 128, 255]
    assert (pixels[66 + 8 : 66 + 56, :64] == 0).all()


def test_a_gif_shows_each_picture_in_its_turn_and_the_last_one_longer(tmp_path):
    levels = (0, 100, 255)
    for i, level in enumerate(levels):
        save_grid(np.full((1, 64, 64, 1), level / 255), tmp_path / f"{i}.png")
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    save_gif(paths, tmp_path / "all.gif", seconds=0.1, last_seconds=1.5)
    with Image.open(tmp_path / "all.gif") as gif:
        assert gif.n_frames == 3 and gif.info["loop"] == 0
        for i, (level, duration) in enumerate(zip(levels, (100, 100, 1500), strict=True)):
            gif.seek(i)
            assert (np.asarray(gif.convert("RGB")) == level).all()
            assert gif.info["duration"] == duration


def test_a_gif_of_nothing_or_of_several_sizes_is_refused(tmp_path):
    for side in (64, 65):
        save_grid(np.zeros((1, side, side, 1)), tmp_path / f"{side}.png")
    paths = [tmp_path / f"{side}.png" for side in (64, 65)]
    for wrong in ([], paths):
        with pytest.raises(ValueError, match="paths: expected pictures of one size"):
            save_gif(wrong, tmp_path / "all.gif")
    assert not (tmp_path / "all.gif").exists()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as file:
        file.write(b"half of the new")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


# -- Learning rates ---------------------------------------------------------------------------


def rate(optimizer):
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def fit(model, *callbacks, epochs=3):
    history = model.fit(
        toy_batches(16), epochs=epochs, verbose=0, shuffle=False, callbacks=list(callbacks)
    )
    return history.history


def test_learning_rate_of_one_player():
    gan = toy_gan()
    logs = fit(gan, LearningRate(lambda epoch: 0.5**epoch, player="generator"))
    assert logs["generator_learning_rate"] == [1.0, 0.5, 0.25]
    assert rate(gan.optimizer["generator"]) == 0.25
    assert rate(gan.optimizer["discriminator"]) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    "callback",
    [
        lambda player: LearningRate(float, player=player),
        lambda player: ReduceOnPlateau("loss", player=player),
    ],
)
def test_the_player_must_be_known(callback):
    with pytest.raises(ValueError, match="say which player: player= one of 'generator', 'disc"):
        fit(toy_gan(), callback(None))
    with pytest.raises(ValueError, match="no player 'critic'; compile.. was given 'generator'"):
        fit(toy_gan(), callback("critic"))


def test_a_schedule_of_the_optimizer_is_refused():
    gan = toy_gan()
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.5)
    gan.compile({"generator": keras.optimizers.SGD(schedule), "discriminator": "sgd"})
    with pytest.raises(ValueError, match="optimizer 'generator' has a learning-rate schedule"):
        fit(gan, LearningRate(float, player="generator"))


class Given(keras.callbacks.Callback):
    """Logs given numbers, one an epoch."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["given"] = self.values[epoch]


SEQUENCE = [3.0, 2.0, 2.0, 2.5, 2.0, 1.0, 1.0, 0.99995, 1.2, 1.1, 1.0, 0.5, 0.6]


def test_reduce_on_plateau_equals_keras_on_one_player():
    """Keras' ReduceLROnPlateau, which acts on all players, is the peer."""
    options = {"factor": 0.1, "patience": 2, "min_delta": 1e-4}
    ours, theirs = toy_gan(), toy_gan()
    logs = fit(
        ours,
        Given(SEQUENCE),
        ReduceOnPlateau("given", "generator", **options),
        epochs=len(SEQUENCE),
    )
    peer = keras.callbacks.ReduceLROnPlateau("given", mode="min", **options)
    expected = fit(theirs, Given(SEQUENCE), peer, epochs=len(SEQUENCE))
    name = "generator_learning_rate"
    np.testing.assert_allclose(logs[name], expected["learning_rate_generator"], rtol=1e-6)
    assert len(set(logs[name])) > 2, "the sequence holds plateaus"
    assert rate(ours.optimizer["discriminator"]) == pytest.approx(1e-3)


def plateau_rates(values, **options):
    gan = toy_gan()
    plateau = ReduceOnPlateau("given", "generator", **options)
    plateau.set_model(gan)
    plateau.on_train_begin()
    rates = []
    for epoch, value in enumerate(values):
        plateau.on_epoch_end(epoch, {"given": value})
        rates.append(round(rate(gan.optimizer["generator"]) / 1e-3, 6))
    return rates


def test_plateau_cooldown_lowest_rate_and_mode():
    still = [1.0] * 8
    # The first value is the best so far; each second one that is not better halves the rate.
    assert plateau_rates(still, patience=2) == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    assert plateau_rates(still, patience=2, min_rate=4e-4) == [1, 1, 0.5, 0.5] + [0.4] * 4
    # Two epochs of cooldown after a reduction do not count.
    assert plateau_rates(still, patience=1, cooldown=2) == [
        1,
        0.5,
        0.5,
        0.5,
        0.25,
        0.25,
        0.25,
        0.125,
    ]
    rising = [1.0, 2.0, 3.0, 4.0]
    assert plateau_rates(rising, patience=1, mode="max") == [1, 1, 1, 1]
    assert plateau_rates(rising, patience=1) == [1, 0.5, 0.25, 0.125]


def test_a_plateau_of_nothing_logged():
    with pytest.raises(ValueError, match="monitor: 'lost' is not logged; there is 'disc"):
        fit(toy_gan(), ReduceOnPlateau("lost", "generator"))


@pytest.mark.parametrize(
    "options, name",
    [({"factor": 1.0}, "factor"), ({"patience": 0}, "patience"), ({"mode": "auto"}, "mode")],
)
def test_plateau_arguments(options, name):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        ReduceOnPlateau("loss", **options)

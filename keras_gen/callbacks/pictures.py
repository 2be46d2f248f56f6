"""How examples become a picture: images, curves or points; and how a file is replaced."""

import contextlib
import itertools
import os
from pathlib import Path

import keras
import numpy as np

SMALLEST_CELL = 64  # pixels: images with shorter sides are enlarged by a whole factor
GAP = 2  # pixels between two images of a grid
GAP_GREY = 64
PLOT_HEIGHT, PLOT_WIDTH = 64, 128  # pixels of one signal's picture
PLANE_SIDE = 256  # pixels of a picture of points, each a dot of 2 x 2
COLOURS = ("black", "red", "blue", "green")  # of a signal's channels, in turn
ZERO_LINE = (200, 200, 200)


@contextlib.contextmanager
def replacing(path):
    """Open a file beside `path` that takes its place, whole, if the block ends without error.

    Killed at any moment, it leaves the old file or the new one, never a part of one.

    Args:
        path: The file to write; its folder exists.

    Yields:
        The file, open for writing bytes.

    Raises:
        OSError: The file cannot be written; `filename` is `path`, whose old content is intact.
    """
    path = Path(path)
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def curves(signals):
    """Draw signals: one picture each, a curve a channel, all of them on one scale.

    The scale is the range of all the signals; a grey line marks 0 where it lies within.

    Args:
        signals: `(count, steps, channels)`, finite or not: what is not a number is left out.

    Returns:
        float32 `(count, height, width, 3)` in [0, 1], black on white.

    Raises:
        ValueError: The shape is not one of signals.
    """
    from PIL import Image, ImageDraw

    signals = np.asarray(keras.ops.convert_to_numpy(signals), "float64")
    if signals.ndim != 3 or not signals.size:
        raise ValueError(
            f"signals: expected (count, steps, channels) with none of them 0; got {signals.shape}."
        )
    finite = signals[np.isfinite(signals)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    scale = (PLOT_HEIGHT - 1) / ((high - low) or 1.0)
    width = max(PLOT_WIDTH, signals.shape[1])
    across = np.linspace(0, width - 1, signals.shape[1])
    pictures = []
    for signal in signals:
        picture = Image.new("RGB", (width, PLOT_HEIGHT), "white")
        draw = ImageDraw.Draw(picture)
        if low < 0 < high:
            draw.line([(0, high * scale), (width, high * scale)], fill=ZERO_LINE)
        for channel, colour in zip(signal.T, itertools.cycle(COLOURS), strict=False):
            points = zip(across, (high - channel) * scale, strict=True)
            draw.line([point for point in points if np.isfinite(point[1])], fill=colour)
        pictures.append(np.asarray(picture, "float32") / 255.0)
    return np.stack(pictures)


def points(vectors):
    """Draw vectors as points: a picture for each two numbers of them, the first against the second.

    Both axes have one scale, the range of the two numbers; grey lines mark 0 where it lies within.
    Of one number alone, its rank is the second: the distribution function.

    Args:
        vectors: `(count, features)`; those with a number in a pair that is not finite are left out
            of its picture.

    Returns:
        float32 `(pairs, side, side, 3)` in [0, 1], black on white; an odd last number is paired
        with the one before it.

    Raises:
        ValueError: The shape is not one of vectors.
    """
    from PIL import Image, ImageDraw

    vectors = np.asarray(keras.ops.convert_to_numpy(vectors), "float64")
    if vectors.ndim != 2 or not vectors.size:
        raise ValueError(
            f"vectors: expected (count, features) with none of them 0; got {vectors.shape}."
        )
    count, features = vectors.shape
    if features == 1:
        span = np.nanmax(vectors) - np.nanmin(vectors)
        ranks = np.empty((count, 1))
        ranks[vectors[:, 0].argsort(), 0] = np.linspace(0, span, count)
        vectors, features = np.concatenate([vectors, ranks], axis=1), 2
    starts = [min(start, features - 2) for start in range(0, features, 2)]
    pictures = []
    for start in starts:
        pair = vectors[:, start : start + 2]
        pair = pair[np.isfinite(pair).all(axis=1)]
        picture = Image.new("RGB", (PLANE_SIDE, PLANE_SIDE), "white")
        draw = ImageDraw.Draw(picture)
        if len(pair):
            low, high = pair.min(axis=0), pair.max(axis=0)
            scale = (PLANE_SIDE - 2) / ((high - low).max() or 1.0)
            middle = (low + high) / 2  # the shorter axis is drawn in the middle too
            places = np.append(pair, [[0.0, 0.0]], axis=0) - middle
            places = np.rint(places * (scale, -scale) + (PLANE_SIDE - 2) / 2)
            x, y = places[-1]
            draw.line([(x, 0), (x, PLANE_SIDE)], fill=ZERO_LINE)
            draw.line([(0, y), (PLANE_SIDE, y)], fill=ZERO_LINE)
            for x, y in places[:-1]:
                draw.rectangle([x, y, x + 1, y + 1], fill=COLOURS[0])
        pictures.append(np.asarray(picture, "float32") / 255.0)
    return np.stack(pictures)


def grid(images, columns=None, value_range=(0.0, 1.0)):
    """Lay images out in rows, left to right and top to bottom.

    `pixel = round(255 (image - low) / (high - low))`, clipped to [0, 255]; what is not a number
    is black. Images with sides under 64 pixels are enlarged by a whole factor.

    Args:
        images: `(count, height, width, channels)`, 1 or 3 channels, or `(count, height, width)`;
            where there is no range signals `(count, steps, channels)`, their `curves`, or vectors
            `(count, features)`, their `points`.
        columns: Images a row; about as many as there are rows where `None`. Of vectors, whose
            pictures show them all, it changes nothing.
        value_range: `(low, high)`: the values that are shown as black and white; `None` of signals
            and of vectors.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        ValueError: The shape is not one of images, or the range is empty.
    """
    if value_range is None:
        value_range = (0.0, 1.0)
        if np.ndim(images) == 2:
            images, columns = points(images), None
        else:
            images = curves(images)
    images = np.asarray(keras.ops.convert_to_numpy(images), "float32")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or not len(images) or images.shape[-1] not in (1, 3):
        raise ValueError(
            "images: expected (count, height, width, 1 or 3 channels) with count 1 or more; got "
            f"shape {images.shape}."
        )
    low, high = value_range
    if not low < high:
        raise ValueError(f"value_range: expected (low, high) with low < high; got {value_range!r}.")
    count, height, width, _ = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    levels = np.nan_to_num((images - low) / (high - low), posinf=1.0, neginf=0.0)
    pixels = np.rint(255.0 * np.clip(levels, 0.0, 1.0)).astype("uint8")
    factor = max(1, SMALLEST_CELL // max(height, width))
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    height, width = height * factor + GAP, width * factor + GAP
    canvas = np.full((rows * height - GAP, columns * width - GAP, 3), GAP_GREY, "uint8")
    for place, image in enumerate(pixels):
        top, left = place // columns * height, place % columns * width
        canvas[top : top + height - GAP, left : left + width - GAP] = image
    return canvas


def save_grid(images, path, columns=None, value_range=(0.0, 1.0)):
    """Write images to a PNG file as one grid.

    Args:
        images: What `grid` takes.
        path: The file to write, replaced whole if it exists.
        columns: Images a row; about as many as there are rows where `None`.
        value_range: As of `grid`.

    Raises:
        ValueError: The shape is not one of images, or the range is empty.
        OSError: The file cannot be written; an old one is intact.
    """
    from PIL import Image

    picture = Image.fromarray(grid(images, columns, value_range))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        picture.save(file, format="PNG")


def save_gif(paths, out, seconds=0.2, last_seconds=2.0):
    """Join pictures to one moving picture, which begins again at its end.

    Args:
        paths: Picture files of one size, in their order.
        out: The `.gif` file to write, replaced whole if it exists.
        seconds: How long each is shown.
        last_seconds: How long the last one is.

    Raises:
        ValueError: There are no pictures, or they differ in size.
        OSError: A file cannot be read or written; an old one is intact.
    """
    from PIL import Image

    frames = []
    for path in paths:
        with Image.open(path) as picture:
            frames.append(picture.convert("RGB"))
    sizes = {frame.size for frame in frames}
    if len(sizes) != 1:
        raise ValueError(f"paths: expected pictures of one size; got sizes {sorted(sizes)}.")
    durations = [round(1000 * seconds)] * (len(frames) - 1) + [round(1000 * last_seconds)]
    with replacing(out) as file:
        first, *others = frames
        first.save(
            file, format="GIF", save_all=True, append_images=others, duration=durations, loop=0
        )

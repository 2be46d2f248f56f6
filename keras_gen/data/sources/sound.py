"""A folder of recordings, mixed to mono at one rate and cut into windows: `sound:<path>`."""

import functools
import hashlib
import io
import math

import numpy as np

from keras_gen.data.cleaning import judge
from keras_gen.data.dataset import ArrayPixels, Dataset
from keras_gen.data.errors import DataError
from keras_gen.data.sources import folder, series

SUFFIXES = (".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav")
STEPS = 4096  # of a window, where nobody says otherwise: half a second of speech at 8 kHz


def load(request):
    """Loads `sound:<path>`: every sound file in a folder, at any depth.

    A file is cut into windows one after the other, the last filled up with silence. Splits and
    classes are those of `folder`, a file stands in one split whole, and all are divided by the
    deviation of the training windows: an amplitude of 1 is as loud as the average.

    Args:
        request: a `Request`; `size` is the samples of a window, 4,096 where it is None; `rate` the
            samples a second that all are brought to: without it the files must have one rate.

    Returns:
        A `Dataset` of `(samples, 1)` without a range, with `rate` and `standard`.

    Raises:
        DataError: soundfile is not installed, the folder is missing or empty, holds files that
            cannot be used or nothing but silence, or mixes rates.
    """
    split = request.known_split()
    steps = series.steps_of(request, STEPS)
    root = request.path()
    files = folder.files_of(root, SUFFIXES, "sound files")
    inspected = _inspect(root, *folder.fingerprint(root, files))
    report, kept = judge(
        root,
        files,
        _findings(files, inspected),
        on_bad=request.on_bad,
        keep_duplicates=request.keep_duplicates,
    )
    files = [files[position] for position in kept]
    inspected = [inspected[position] for position in kept]
    rate = request.rate or _common_rate(root, files, inspected)
    parts, classes = folder.parts_and_classes(files)

    def windows_of(split):
        chosen = request.members(parts, [one.digest for one in inspected], split)
        return chosen, [_windows(read(root / files[i], rate), steps) for i in chosen]

    chosen, windows = windows_of(split)
    train = windows if split == "train" else windows_of("train")[1]
    loudness = math.sqrt(np.mean(np.concatenate([w.ravel() for w in train]) ** 2, dtype="float64"))
    if not loudness:
        raise DataError(f"{root}: the training files hold nothing but silence")
    promises = folder.labels_of(classes, chosen)
    if promises:
        promises["labels"] = np.repeat(promises["labels"], [len(one) for one in windows])
    return Dataset(
        request.name,
        request.split,
        ArrayPixels(np.concatenate(windows) / np.float32(loudness), limits=None),
        value_range=None,
        **promises,
        standard=(np.zeros(1), np.full(1, loudness)),
        rate=rate,
        report=report,
    )


def read(path, rate=None):
    """Reads a sound file as one channel.

    Args:
        path: the file; more channels are averaged.
        rate: samples a second that it is brought to; its own where None.

    Returns:
        float32 `(samples,)` in [-1, 1], a little over where resampling overshoots.

    Raises:
        DataError: it cannot be read.
    """
    soundfile = _soundfile()
    try:
        channels, own = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise DataError(f"{path}: can no longer be read ({error})") from error
    mono = channels.mean(axis=1)
    if rate in (None, own):
        return mono
    from scipy.signal import resample_poly

    common = math.gcd(rate, own)
    return resample_poly(mono, rate // common, own // common).astype("float32")


def write(path, sounds, rate, pause=0.25):
    """Writes sounds to one WAV file, one after the other, 16 bits a sample.

    Args:
        path: a file, or one open for writing bytes.
        sounds: `(count, samples, 1)` amplitudes; those outside [-1, 1] are clipped.
        rate: samples a second.
        pause: seconds of silence between two.

    Raises:
        DataError: soundfile is not installed, or the shape is not one of sounds.
    """
    sounds = np.asarray(sounds, "float32")
    if sounds.ndim != 3 or sounds.shape[2] != 1 or not sounds.size:
        raise DataError(f"sounds: expected (count, samples, 1), got {sounds.shape}")
    silence = np.zeros((len(sounds), round(pause * rate)), "float32")
    row = np.concatenate([np.clip(sounds[..., 0], -1.0, 1.0), silence], axis=1).ravel()
    row = row[: len(row) - silence.shape[1]]
    _soundfile().write(path, row, rate, format="WAV", subtype="PCM_16")


def _soundfile():
    try:
        import soundfile
    except ImportError:
        raise DataError("sound: needs soundfile; pip install 'keras-gen[sound]'") from None
    return soundfile


def _windows(sound, steps):
    """`(count, steps, 1)`, the last filled up with silence."""
    count = max(1, math.ceil(len(sound) / steps))
    return np.pad(sound, (0, count * steps - len(sound))).reshape(count, steps, 1)


class _Inspected:
    """What was learnt of one file: why it is unreadable, or else the rest."""

    def __init__(self, path):
        soundfile = _soundfile()
        self.error, self.digest, self.rate = None, b"", 0
        try:
            content = path.read_bytes()
            self.digest = hashlib.blake2b(content, digest_size=16).digest()
            samples, self.rate = soundfile.read(io.BytesIO(content), dtype="float32")
        except (OSError, soundfile.SoundFileError) as error:
            self.error = str(error).replace(f"{error.__class__.__name__}: ", "")
            return
        if not samples.size:
            self.error = "no samples in it"
        elif not np.isfinite(samples).all():
            self.error = "holds NaN or infinity"


@functools.lru_cache(maxsize=2)
def _inspect(root, files, facts):
    """Decodes every file once; the splits of one folder share the result."""
    del facts  # of `folder.fingerprint`: they tell a call from another
    return tuple(_Inspected(root / name) for name in files)


def _findings(files, inspected):
    found, first = {}, {}
    for name, one in zip(files, inspected, strict=True):
        if one.error is not None:
            found[name] = ("unreadable", one.error)
            continue
        original = first.setdefault(one.digest, name)
        if original != name:
            found[name] = ("duplicate", f"same bytes as {original}")
    return found


def _common_rate(root, files, inspected):
    rates = {}
    for name, one in zip(files, inspected, strict=True):
        rates.setdefault(one.rate, name)
    if len(rates) > 1:
        (rate, name), (other, other_name) = list(rates.items())[:2]
        raise DataError(
            f"{root}: mixes rates: {name} has {rate} samples a second, {other_name} {other}; give "
            f"rate = {min(rate, other)}"
        )
    return next(iter(rates))

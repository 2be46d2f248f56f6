"""Sound: windows of the files of a folder, one rate, one channel; and how sounds are written."""

import numpy as np
import pytest
from scipy.io import wavfile

from keras_gen import data
from keras_gen.data import DataError

pytest.importorskip("soundfile")

RATE = 8000
LENGTHS = (700, 256, 100, 513, 1024, 300)


def noise(length, seed, channels=1):
    return np.random.default_rng(seed).integers(-9000, 9000, (length, channels), dtype="int16")


@pytest.fixture
def folder(tmp_path):
    """Six files of noise, written by SciPy."""
    for seed, length in enumerate(LENGTHS):
        wavfile.write(tmp_path / f"{seed}.wav", RATE, noise(length, seed))
    return tmp_path


def load(folder, split="train", **options):
    return data.load(f"sound:{folder}", split, **{"size": 256, **options})


def amplitudes(part):
    """Windows in the files' own units, `(windows, samples)`."""
    mean, deviation = part.standard
    return part.images()[..., 0] * deviation + mean


def test_windows_lead_back_to_the_files_and_no_file_is_in_two_splits(folder):
    expected = {}
    for seed, length in enumerate(LENGTHS):
        count = -(-length // 256)
        padded = np.zeros(count * 256)
        padded[:length] = noise(length, seed)[:, 0] / 32768
        expected[seed] = padded.reshape(count, 256)
    whole = []
    for split in ("train", "validation", "test"):
        part = load(folder, split, test_fraction=0.34, validation_fraction=0.25)
        assert part.shape == (256, 1) and part.value_range is None and part.rate == RATE
        windows = amplitudes(part)
        assert part.images().dtype == np.float32
        while len(windows):  # the files of a split come whole, one after the other
            seed = next(s for s, w in expected.items() if np.allclose(w[0], windows[0], atol=1e-6))
            own = expected.pop(seed)
            np.testing.assert_allclose(windows[: len(own)], own, atol=1e-6)
            windows = windows[len(own) :]
            whole.append(split)
    assert not expected and set(whole) == {"train", "validation", "test"}


def test_training_windows_have_unit_power(folder):
    train, test = load(folder), load(folder, "test")
    assert np.mean(train.images() ** 2) == pytest.approx(1.0, rel=1e-5)
    assert test.standard[1] == train.standard[1]


def test_channels_are_averaged(tmp_path):
    stereo = noise(512, 0, channels=2)
    wavfile.write(tmp_path / "a.wav", RATE, stereo)
    part = load(tmp_path, test_fraction=0.0)
    mono = stereo.astype("float64").mean(axis=1) / 32768
    np.testing.assert_allclose(amplitudes(part).ravel(), mono, atol=1e-6)


def test_a_tone_keeps_its_pitch_at_another_rate(tmp_path):
    seconds = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * 440 * seconds)
    wavfile.write(tmp_path / "a.wav", 16000, (tone * 16384).astype("int16"))
    part = load(tmp_path, size=6000, rate=6000, test_fraction=0.0)
    assert part.rate == 6000 and len(part) == 1
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(6000) / 6000)
    inner = slice(100, -100)  # the filter of the resampling rings at the ends
    np.testing.assert_allclose(amplitudes(part)[0, inner], expected[inner], atol=2e-3)


def test_sub_folders_are_classes_and_every_window_has_its_file_s(tmp_path):
    for name, seed, length in (("bird", 0, 500), ("bird", 1, 300), ("frog", 2, 256)):
        (tmp_path / name).mkdir(exist_ok=True)
        wavfile.write(tmp_path / name / f"{seed}.wav", RATE, noise(length, seed))
    part = load(tmp_path, test_fraction=0.0)
    assert part.class_names == ["bird", "frog"]
    np.testing.assert_array_equal(part.labels(), [0, 0, 0, 0, 1])


def test_files_that_cannot_be_used_are_named_and_can_be_skipped(folder):
    (folder / "broken.wav").write_bytes(b"RIFF, or so it says")
    wavfile.write(folder / "copy.wav", RATE, noise(700, 0))
    wavfile.write(folder / "empty.wav", RATE, noise(0, 0))
    with pytest.raises(DataError) as error:
        load(folder)
    for word in ("broken.wav", "copy.wav: same bytes as 0.wav", "empty.wav: no samples", "on_bad"):
        assert word in str(error.value), str(error.value)
    part = load(folder, on_bad="skip", test_fraction=0.0)
    assert len(part) == sum(-(-length // 256) for length in LENGTHS)
    assert part.report.counts == {"unreadable": 2, "duplicate": 1, "wrong_mode": 0, "tiny": 0}


def test_files_of_two_rates_need_one_asked_for(folder):
    wavfile.write(folder / "fast.wav", 16000, noise(512, 9))
    with pytest.raises(
        DataError, match=r"mixes rates: 0.wav has 8000 .* fast.wav 16000.*rate = 8000"
    ):
        load(folder)
    part = load(folder, rate=8000, test_fraction=0.0)
    assert len(part) == sum(-(-length // 256) for length in LENGTHS) + 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": [256, 128]}, ("size", "steps of a window")),
        ({"channels": 1}, ("channels", "leave it out")),
        ({"rate": 0}, ("rate", "1 or more", "0")),
        ({"rate": 8000.5}, ("rate", "8000.5")),
        ({"in_memory": True}, ("in_memory", "does not take it")),
    ],
)
def test_wrong_options_are_refused(folder, options, words):
    with pytest.raises(DataError) as error:
        load(folder, **options)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_rate_is_refused_where_there_is_none():
    with pytest.raises(DataError, match="rate: digits does not take it"):
        data.load("digits", rate=8000)


def test_silence_and_folders_without_sound_are_refused(tmp_path):
    with pytest.raises(DataError, match="nowhere: expected a folder of sound files, got nothing"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no sound files in it; expected aif"):
        load(tmp_path)
    wavfile.write(tmp_path / "a.wav", RATE, np.zeros((512, 1), "int16"))
    with pytest.raises(DataError, match="nothing but silence"):
        load(tmp_path, test_fraction=0.0)


def test_written_sounds_are_read_by_others(tmp_path):
    sounds = np.random.default_rng(0).uniform(-1.5, 1.5, (3, 400, 1))
    data.write_sounds(tmp_path / "a.wav", sounds, RATE, pause=0.01)
    rate, samples = wavfile.read(tmp_path / "a.wav")
    assert rate == RATE and samples.dtype == np.int16 and len(samples) == 3 * 400 + 2 * 80
    gaps = np.zeros((3, 80))
    expected = np.concatenate([np.clip(sounds[..., 0], -1, 1), gaps], axis=1).ravel()[:-80]
    np.testing.assert_allclose(samples / 32768, expected, atol=1 / 32768)
    with pytest.raises(DataError, match=r"sounds: expected \(count, samples, 1\), got \(3, 400\)"):
        data.write_sounds(tmp_path / "b.wav", sounds[..., 0], RATE)
    assert not (tmp_path / "b.wav").exists()

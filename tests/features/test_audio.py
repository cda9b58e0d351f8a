"""Sounds: what is read of a file, and how a model's frames become one vector that is the file's alone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recbole_sheaf.features import audio_encoders
from recbole_sheaf.features.audio_encoders import AudioTower
from recbole_sheaf.features.audio_files import read_audio

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")


def tone(hertz, seconds, rate):
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def test_channels_are_mixed_and_the_rate_is_the_models(tmp_path):
    low, high = tone(1_000, 1, 44_100), tone(10_000, 1, 44_100)
    soundfile.write(tmp_path / "x.wav", 0.5 * np.stack([low, high], axis=1), 44_100, subtype="FLOAT")
    read = read_audio(tmp_path / "x.wav", 16_000, 30)
    assert read.shape == (16_000,) and read.dtype == np.float32
    # Half of the low tone is left; the high one is above what 16 kHz can hold and must not come back as a lower one.
    np.testing.assert_allclose(read[100:-100], 0.25 * tone(1_000, 1, 16_000)[100:-100], atol=2e-3)


def test_no_more_is_read_than_was_asked(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "x.wav", np.arange(4_000, dtype=np.float32) / 4_000, 8_000, subtype="FLOAT")
    monkeypatch.setattr("recbole_sheaf.features.audio_files.BLOCK", 300)
    np.testing.assert_allclose(read_audio(tmp_path / "x.wav", 8_000, 0.2), np.arange(1_600) / 4_000, atol=1e-6)
    assert len(read_audio(tmp_path / "x.wav", 8_000, 30)) == 4_000


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3", "aiff"])
def test_other_formats_are_heard_alike(tmp_path, ending):
    if ending.upper() not in soundfile.available_formats():
        pytest.skip(f"this libsndfile has no {ending}")
    soundfile.write(tmp_path / f"x.{ending}", 0.5 * tone(440, 1, 16_000), 16_000)
    spectrum = np.abs(np.fft.rfft(read_audio(tmp_path / f"x.{ending}", 16_000, 1), 16_000))
    assert spectrum.argmax() == 440 and spectrum[440] == pytest.approx(4_000, rel=0.05)


def test_of_a_file_that_was_cut_short_the_beginning_is_heard_and_nothing_else(tmp_path, monkeypatch):
    if "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile has no mp3")
    monkeypatch.setattr("recbole_sheaf.features.audio_files.BLOCK", 5_000)
    whole, cut = tmp_path / "whole.mp3", tmp_path / "cut.mp3"
    soundfile.write(whole, np.random.default_rng(0).uniform(-0.5, 0.5, 32_000), 16_000)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    samples = read_audio(cut, 16_000, 30)
    assert 8_000 < len(samples) < 24_000 and soundfile.info(cut).frames > 24_000
    np.testing.assert_allclose(samples[:-2_000], read_audio(whole, 16_000, 30)[: len(samples) - 2_000], atol=1e-3)


def wav(samples, rate=16_000):
    return lambda path: soundfile.write(path, np.array(samples, np.float32), rate, subtype="FLOAT")


NOTHING = {
    "no byte": (lambda path: path.write_bytes(b""), "does not decode"),
    "text": (lambda path: path.write_text("no sound at all"), "does not decode"),
    "header alone": (lambda path: path.write_bytes(b"RIFF\x24\0\0\0WAVEfmt "), "does not decode"),
    "folder": (lambda path: path.mkdir(), "does not decode"),
    "no sample": (wav([]), "holds 0 samples at 16000 a second and is left out"),
    "a click": (wav([0.5] * 1_599), "holds 1599 samples"),
    "no rate": (wav([0.5] * 1_000, 5), "at 5 a second"),
    "not a number": (wav([0.1] * 2_000 + [np.nan]), "NaN or Inf"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_what_holds_no_sound_is_named(tmp_path, caplog, case):
    make, said = NOTHING[case]
    make(tmp_path / "x.wav")
    assert read_audio(tmp_path / "x.wav", 16_000, 30) is None
    assert caplog.text.count("x.wav") == 1 and said in caplog.text


class Extractor:
    """Frames of two samples, filled with nines up to ``window`` frames and masked there."""

    sampling_rate, model_input_names = 16_000, ["input_features"]

    def __init__(self, window=None):
        self.window = window

    def __call__(self, samples, sampling_rate, return_tensors, return_attention_mask):
        assert sampling_rate == 16_000 and return_tensors == "pt" and return_attention_mask
        frames = torch.as_tensor(samples).reshape(1, -1, 2)
        filled = torch.full((1, self.window or frames.shape[1], 2), 9.0)
        filled[:, : frames.shape[1]] = frames
        true = (torch.arange(filled.shape[1]) < frames.shape[1]).long().unsqueeze(0)
        return {"input_features": filled, "attention_mask": true}


class Halving:
    """Takes every other frame; notes the sizes of its batches."""

    def __init__(self, **output):
        self.batches, self.output = [], output

    def forward(self, input_features):
        raise NotImplementedError

    def __call__(self, input_features):
        self.batches.append(len(input_features))
        return SimpleNamespace(last_hidden_state=input_features[:, ::2], **self.output)


def rows(tower, sounds):
    clips = [None if sound is None else tower.prepare(np.array(sound, np.float32)) for sound in sounds]
    return [None if row is None else row.tolist() for row in audio_encoders._in_one_shape(clips, tower.rows_of)]


SOUNDS = [[1, 2, 5, 6, 3, 4, 7, 8], None, [1, 1, 2, 2], [5, 6, 0, 0, 7, 8, 0, 0]]
MEANS = [[2, 3], None, [1, 1], [6, 7]]


def test_frames_of_padding_are_left_out():
    filled, free = Halving(), Halving()
    assert rows(AudioTower(Extractor(window=10), filled), SOUNDS) == MEANS and filled.batches == [3]
    assert rows(AudioTower(Extractor(), free), SOUNDS) == MEANS and free.batches == [2, 1]


def test_the_models_own_pooling_goes_first():
    model = Halving(pooler_output=torch.tensor([[4.0, 5.0]]))
    assert rows(AudioTower(Extractor(), model), SOUNDS[:1]) == [[4, 5]]


def test_a_sound_is_cut_here_where_the_extractor_would_cut_by_chance():
    extractor = Extractor()
    extractor.nb_max_samples = 4
    assert rows(AudioTower(extractor, Halving()), SOUNDS[:1]) == [[1, 2]]

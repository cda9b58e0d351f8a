"""The entry point: which modalities are taken, from where, and what is refused."""

import logging

import numpy as np
import pytest

from recbole_sheaf.errors import FeatureError, SheafError
from recbole_sheaf.features import FeatureAblation, load_modalities, write_features
from recbole_sheaf.settings.config import default_settings

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
        (["imgae"], r"no modality 'imgae' \(did you mean 'image'\?\); available: image, title, genre, plot; add"),
        (["zzz"], "no modality 'zzz'; available: .*; add a file 'zzz.npz'"),
        (["image", "image"], "modalities names 'image' more than once; name each once"),
        (5, r"modalities is 5, expected auto, files_else_text or a list of names"),
        ({"image": 1}, r"modalities is {'image': 1}, expected auto"),
        ([5], r"modalities is \[5\], expected auto"),
        (["plot"], r"toy.item has no column \['plot'\]"),
    ],
)
def test_a_modality_that_is_not_there_is_named(folder, unchecked_shapes, modalities, message):
    write(folder / "features", "image")
    with pytest.raises(SheafError, match=message):
        load(folder, modalities)


def test_text_without_an_item_file_is_named(folder):
    (folder / "toy.item").unlink()
    with pytest.raises(FeatureError, match="'title' is made from toy.item, which is not in"):
        load(folder, ["title"])


def vectors(folder, name="clips", scale=1.0):
    rows = scale * np.array([[3.0, 4, 7], [0, 0, 7], [6, 8, 7]], np.float32)
    write_features(folder / f"{name}.npz", ["0", "1", "3"], rows)
    return rows


def test_an_entry_names_its_own_file(folder, tmp_path, caplog):
    rows = vectors(folder / "features" / "deep")
    vectors(tmp_path / "other", scale=2)
    vectors(folder / "features", "left", scale=3)
    entries = [{"name": "v", "file": "deep/clips.npz"}, {"name": "w", "file": str(tmp_path / "other" / "clips.npz")}]
    with caplog.at_level(logging.INFO):
        loaded = load(folder, [*entries, {"name": "x", "file": "left.npz"}, "genre"])
    assert list(loaded) == ["v", "w", "x", "genre"] and loaded["w"].name == "w"
    assert loaded["v"].matrix[2].tolist() == rows[0].tolist()
    assert loaded["w"].matrix[2].tolist() == (2 * rows[0]).tolist()
    assert "modalities: v (of clips.npz), w (of clips.npz), x (of left.npz), genre; there and not used: title" in (
        caplog.text
    )


def test_a_file_is_looked_for_in_features_path(folder, tmp_path):
    vectors(tmp_path / "mine")
    assert list(load(folder, [{"name": "v", "file": "clips.npz"}], features_path=tmp_path / "mine")) == ["v"]


def test_an_entry_names_its_own_columns_though_a_file_has_its_name(folder):
    write(folder / "features", "title")
    own = load(folder, [{"name": "title", "columns": ["genre", "title"], "text_dim": 2}], text={})["title"]
    assert own.dim == 2 and own.present.tolist() == [False, True, True, True]
    same = load(folder, ["title"], {"title": ["genre", "title"]}, features_path=vectors_apart(folder))["title"]
    wide = load(folder, [{"name": "title", "columns": ["genre", "title"]}])["title"]
    assert wide.dim == 3 and wide.matrix.tolist() == same.matrix.tolist()


def vectors_apart(folder):
    vectors(folder.parent / "apart")
    return folder.parent / "apart"


def test_rows_and_columns_are_normalised(folder):
    rows = vectors(folder / "features")

    def loaded(how, **settings):
        entry = {"name": "clips", "normalise": how}
        return load(folder, [entry], **settings)["clips"].matrix.numpy()

    assert loaded("none")[[2, 3, 1]].tolist() == rows.tolist()
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(loaded("rows")[[2, 3, 1]], rows / lengths, rtol=1e-6)
    expected = (rows - rows.mean(axis=0)) / np.where(rows.std(axis=0) > 0, rows.std(axis=0), 1)
    np.testing.assert_allclose(loaded("columns")[[2, 3, 1]], expected, atol=1e-6)
    assert not loaded("columns")[:, 2].any()  # it is constant


def test_items_without_a_row_count_for_no_mean_and_stay_zeros(folder):
    write_features(folder / "features" / "clips.npz", ["0", "1"], np.array([[1.0, 1], [3, 1.5]]))
    (half,) = load(folder, [{"name": "clips", "normalise": "columns"}]).values()
    assert half.matrix.tolist() == [[0, 0], [0, 0], [-1, -1], [1, 1]]
    assert half.present.tolist() == [False, False, True, True]


def test_a_row_of_zeros_has_no_length_and_stays(folder):
    write_features(folder / "features" / "clips.npz", ["0", "1"], np.array([[0.0, 0], [3, 4]]))
    (unit,) = load(folder, [{"name": "clips", "normalise": "rows"}]).values()
    assert unit.matrix[[2, 3]].tolist() == [[0, 0], [np.float32(0.6), np.float32(0.8)]] and unit.present[2]


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"name": "v", "file": "clip.npz"}, r"modality 'v', clip.npz, is not in .*features \(did you mean 'clips.npz'"),
        ({"name": "v", "file": "/nowhere/clip.npz"}, "modality 'v', clip.npz, is not in /nowhere; put it there"),
        (
            {"name": "v", "columns": ["titel"]},
            "names the column 'titel', which toy.item .* mean 'title'.*; its columns",
        ),
        (
            {"name": "clisp", "normalise": "rows"},
            "there is no modality 'clisp' .did you mean 'clips'..; available: clips, ",
        ),
    ],
)
def test_a_source_that_is_not_there_is_named(folder, entry, message):
    vectors(folder / "features")
    with pytest.raises(FeatureError, match=message):
        load(folder, [entry])


def test_ablations_come_after_and_keep_what_was_done(folder):
    vectors(folder / "features")
    chosen = [{"name": "clips", "normalise": "columns"}]
    plain = load(folder, chosen)["clips"]
    shuffled = load(folder, chosen, ablation=FeatureAblation("shuffled", seed=3))["clips"]
    assert sorted(shuffled.matrix.tolist()) == sorted(plain.matrix.tolist())
    assert shuffled.normalisation.mean.tolist() == plain.normalisation.mean.tolist()


def test_rows_that_an_ablation_removes_have_been_counted_in_the_mean(folder):
    """What stays is what a model would have seen, and not rows normalised among those that stay."""
    rows = vectors(folder / "features").astype(np.float64)
    ablation = FeatureAblation(missing_share=0.4, seed=3)
    for how, expected in {
        "columns": (rows - rows.mean(axis=0)) / np.where(rows.std(axis=0) > 0, rows.std(axis=0), 1),
        "rows": rows / np.linalg.norm(rows, axis=1, keepdims=True),
    }.items():
        (left,) = load(folder, [{"name": "clips", "normalise": how}], ablation=ablation).values()
        stays = left.present[[2, 3, 1]].numpy()
        assert stays.sum() == 2
        np.testing.assert_allclose(left.matrix[[2, 3, 1]].numpy()[stays], expected[stays], atol=1e-6)
    (mean,) = load(folder, [{"name": "clips", "normalise": "rows"}], ablation=FeatureAblation("constant")).values()
    np.testing.assert_allclose(mean.matrix[1].numpy(), expected.mean(axis=0), atol=1e-6)  # no longer of unit length


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

"""``convert``: tables and vectors of any kind become a dataset folder that loads, or one sentence and nothing."""

import csv

import numpy as np
import pandas as pd
import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.data import convert_mmrec_folder
from recbole_sheaf.data.raw_interactions import timestamps
from recbole_sheaf.errors import ConfigError, FeatureError
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.features import load_modalities, read_features
from recbole_sheaf.models.multimodal import read_modalities

CLICKS = "who,what,at\nanna,v1,2024-05-31\nboris,v2,2024-05-31T12:00:00.5\nанна,v1,2024-05-31T02:00:00+02:00\n"
VIDEOS = 'what;title\nv1;"Кошки; и\tсобаки"\nv3;\nv2;Горы "Альпы"\n'


@pytest.fixture
def raw(workplace):
    (workplace / "clicks.csv").write_text(CLICKS, encoding="utf-8")
    (workplace / "videos.csv").write_text(VIDEOS, encoding="utf-8")
    np.save(workplace / "video.npy", np.arange(8, dtype=np.float16).reshape(4, 2))
    (workplace / "ids.txt").write_text("v2\nv4\nv1\nv3\n")
    return workplace


def convert(*arguments):
    return main(["convert", *arguments])


SHOP = ["clicks.csv", "--to=data/shop", "--user=who", "--item=what", "--time=at"]


def test_everything_is_written_by_token(raw, capsys):
    assert convert(*SHOP, "--items=videos.csv", "--text=title", "--features=video=video.npy:ids.txt") == 0
    shop = raw / "data" / "shop"
    assert (shop / "shop.inter").read_text(encoding="utf-8").splitlines() == [
        "user_id:token\titem_id:token\ttimestamp:float",
        "anna\tv1\t1717113600",
        "boris\tv2\t1717156800.5",
        "анна\tv1\t1717113600",
    ]
    items = (shop / "shop.item").read_text(encoding="utf-8").splitlines()
    assert items == ["item_id:token\ttitle:token_seq", "v1\tКошки; и собаки", 'v2\tГоры "Альпы"', "v3\t", "v4\t"]
    tokens, rows = read_features(shop / "features" / "video.npz")
    assert tokens == ["v2", "v4", "v1", "v3"] and rows.dtype == np.float16 and rows[2].tolist() == [4, 5]
    said = capsys.readouterr().out
    assert "3 interactions of 3 users with 2 items\n2 of 4 items have no interaction and are kept as cold items" in said
    assert "video: 4 vectors of 2 numbers (float16), 1 of them of items that nothing else names" in said
    assert "title: text of 2 of 4 items" in said and "--text_modalities='{title: [title]}'" in said
    assert [path.name for path in (raw / "data").iterdir()] == ["shop"]


def test_elliot_tables_and_ducho_folders(raw, capsys):
    (raw / "ratings.tsv").write_text("7\t12\t5\t100\n8\t12\t3.5\t200\n")
    (raw / "ducho").mkdir()
    np.save(raw / "ducho" / "12.npy", np.ones((1, 3), np.float32))
    np.save(raw / "ducho" / "99.npy", np.zeros(3, np.float32))
    assert convert("ratings.tsv", "--to=data/e", "--layout=elliot", "--features=visual=ducho") == 0
    lines = (raw / "data" / "e" / "e.inter").read_text().splitlines()
    assert lines[0].endswith("rating:float\ttimestamp:float") and lines[1:] == ["7\t12\t5\t100", "8\t12\t3.5\t200"]
    tokens, rows = read_features(raw / "data" / "e" / "features" / "visual.npz")
    assert tokens == ["12", "99"] and rows.tolist() == [[1, 1, 1], [0, 0, 0]]
    np.save(raw / "ducho" / "5.npy", np.zeros((1, 4)))
    assert convert("ratings.tsv", "--to=data/f", "--layout=elliot", "--features=visual=ducho") == 2
    assert "5.npy" in capsys.readouterr().err and not (raw / "data" / "f").exists()


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3)])
def test_frames_of_a_sound_become_their_mean_and_it_is_said(raw, caplog, shape):
    (raw / "ratings.tsv").write_text("7\t12\t5\t100\n8\t99\t3.5\t200\n")
    (raw / "ducho").mkdir()
    np.save(raw / "ducho" / "12.npy", np.arange(6, dtype=np.float16).reshape(shape))
    np.save(raw / "ducho" / "99.npy", np.float16([7, 8, 9]).reshape(1, 1, 3))
    assert convert("ratings.tsv", "--to=data/e", "--layout=elliot", "--features=audio=ducho") == 0
    assert read_features(raw / "data" / "e" / "features" / "audio.npz")[1].tolist() == [[1.5, 2.5, 3.5], [7, 8, 9]]
    assert "1 of 2 arrays hold frames" in caplog.text


@pytest.mark.parametrize("shape", [(1, 2, 2, 3), (2, 2, 3), (0, 3)])
def test_maps_of_an_image_are_no_frames(raw, capsys, shape):
    (raw / "ratings.tsv").write_text("7\t12\t5\t100\n")
    (raw / "ducho").mkdir()
    np.save(raw / "ducho" / "12.npy", np.zeros(shape, np.float32))
    assert convert("ratings.tsv", "--to=data/e", "--layout=elliot", "--features=visual=ducho") == 2
    assert str(shape) in capsys.readouterr().err and not (raw / "data" / "e").exists()


def test_parquet_interactions(raw):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    times = pyarrow.array([pd.Timestamp("2024-05-31"), pd.Timestamp("2024-06-01")], pyarrow.timestamp("us"))
    table = pyarrow.table({"userId": [3, 4], "itemId": ["a", "b"], "timestamp": times, "rating": [1.0, 2.5]})
    parquet.write_table(table, raw / "clicks.parquet")
    assert convert("clicks.parquet", "--to=data/p") == 0
    lines = (raw / "data" / "p" / "p.inter").read_text().splitlines()
    assert lines[1:] == ["3\ta\t1\t1717113600", "4\tb\t2.5\t1717200000"]


MMREC = "userID\titemID\tx_label\n0\t0\t0\n0\t1\t0\n1\t2\t1\n1\t0\t2\n"


@pytest.fixture
def baby(workplace):
    folder = workplace / "mm" / "baby"
    folder.mkdir(parents=True)
    (folder / "baby.inter").write_text(MMREC)
    np.save(folder / "all-MiniLM-L6-v2.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    np.save(folder / "user_graph_dict.npy", np.array({"a": 1}, dtype=object), allow_pickle=True)
    return folder


def test_mmrec_folders_have_features_of_any_name(baby):
    assert convert(str(baby), "--to=data/baby") == 0
    assert read_features(baby.parents[1] / "data" / "baby" / "features" / "all-MiniLM-L6-v2.npz")[0] == ["0", "1", "2"]
    converted = convert_mmrec_folder(baby, "baby", baby.parent / "cache")
    assert [path.name for path in (converted.path / "features").iterdir()] == ["all-MiniLM-L6-v2.npz"]


def loaded(data_path, name="baby", **settings):
    """A dataset's parts, users and items as the models get them, tokens for numbers."""
    given = {"data_path": str(data_path), "cache_dir": "cache", "state": "warning", **settings}
    (config,) = resolve_configs(["BPR"], name, [], given)
    split = load_split(config)
    names = split.dataset.field2id_token
    parts = [
        list(zip(*(names[field][part.inter_feat[field]].tolist() for field in ("user_id", "item_id"))))
        for part in split.parts
    ]
    return parts, names["user_id"].tolist(), names["item_id"].tolist()


@pytest.mark.parametrize("with_vectors", [True, False])
def test_an_mmrec_folder_keeps_its_split_and_its_items(baby, capsys, with_vectors):
    """Lines of the parts stand mixed; item 1 is in test alone, nobody chose 3, and 5 is in the vectors alone."""
    lines = ["2\t4\t1\t2", "0\t2\t1\t0", "1\t1\t2\t2", "0\t0\t5\t0", "1\t2\t3\t1", "2\t0\t4\t1"]
    (baby / "baby.inter").write_text("\n".join(["userID\titemID\trating\tx_label", *lines]) + "\n")
    (baby / "all-MiniLM-L6-v2.npy").unlink()
    if with_vectors:
        np.save(baby / "image_feat.npy", np.arange(12, dtype=np.float32).reshape(6, 2))
    assert convert(str(baby), "--to=data/baby") == 0
    assert "the folder's own split is kept: 2 in train, 2 in valid, 2 in test" in capsys.readouterr().out
    made = baby.parents[1] / "data" / "baby"
    header = "user_id:token\titem_id:token\trating:float\n"
    assert (made / "baby.valid.inter").read_text() == f"{header}1\t2\t3\n2\t0\t4\n"
    unchanged, converted = loaded(baby.parent), loaded(made.parent)
    assert converted == unchanged
    assert converted[0] == [[("0", "2"), ("0", "0")], [("1", "2"), ("2", "0")], [("2", "4"), ("1", "1")]]
    assert sorted(converted[2]) == ["0", "1", "2", "3", "4", *(["5"] if with_vectors else []), "[PAD]"]
    chosen = loaded(made.parent, load_col={"inter": ["user_id", "item_id"]})
    assert chosen[0] == converted[0] and "3" not in chosen[2]


def test_an_mmrec_folder_is_one_table_where_its_split_is_dropped(baby, capsys):
    assert convert(str(baby), "--to=data/baby") == 0
    assert convert(str(baby), "--to=data/baby", "--drop-split", "--overwrite") == 0  # a split folder is a dataset too
    made = baby.parents[1] / "data" / "baby"
    assert sorted(path.name for path in made.iterdir()) == ["baby.inter", "baby.item", "convert.json", "features"]
    assert (made / "baby.inter").read_text().splitlines()[1:] == ["0\t0", "0\t1", "1\t2", "1\t0"]
    assert convert("clicks.csv", "--to=data/x", "--drop-split") == 2
    assert "--drop-split is of MMRec folders; clicks.csv has no split" in capsys.readouterr().err


def test_a_kept_split_and_a_setting_of_another_contradict_each_other(baby):
    assert convert(str(baby), "--to=data/baby") == 0
    with pytest.raises(
        ConfigError, match="'baby' comes with its own split; leave out split: random, or convert .*keep_split=F"
    ):
        loaded(baby.parents[1] / "data", split="random")


@pytest.mark.parametrize(
    "lines, message",
    [
        (["0\t0\t0", "1\t1\t3"], "value of x_label that is not 0, 1 or 2 (first: '3' in line 3)"),
        (["0\t0\t0", "1\t1\t1"], "baby.inter has no test interaction; expected x_label 0 (train)"),
    ],
)
def test_a_split_that_is_none_is_refused_and_nothing_is_written(baby, capsys, lines, message):
    (baby / "baby.inter").write_text("\n".join(["userID\titemID\tx_label", *lines]) + "\n")
    assert convert(str(baby), "--to=data/baby") == 2
    assert message in capsys.readouterr().err and not (baby.parents[1] / "data").exists()


@pytest.mark.slow  # of a small folder: test_an_mmrec_folder_keeps_its_split above
def test_tiktok_is_split_alike_converted_and_as_it_is(shared_data, workplace):
    assert convert(str(shared_data / "tiktok"), "--to=data/tiktok") == 0
    converted = loaded("data", "tiktok")
    assert converted == loaded(shared_data, "tiktok")
    assert [len(part) for part in converted[0]] == [59541, 3051, 6130]


def test_beside_feat_files_other_arrays_need_as_many_rows(baby):
    np.save(baby / "image_feat.npy", np.ones((3, 4)))
    np.save(baby / "users.npy", np.ones((2, 4)))
    converted = convert_mmrec_folder(baby, "baby", baby.parent / "cache")
    names = sorted(path.stem for path in (converted.path / "features").iterdir())
    assert names == ["all-MiniLM-L6-v2", "image"]


def test_a_large_modality_is_an_npy_with_ids(raw, monkeypatch):
    monkeypatch.setattr("recbole_sheaf.data.raw_features.LARGE", 1)
    assert convert(*SHOP, "--features=video=video.npy:ids.txt") == 0
    features = raw / "data" / "shop" / "features"
    assert sorted(path.name for path in features.iterdir()) == ["video.ids.txt", "video.npy"]
    token2id = {"[PAD]": 0, "v1": 1, "v2": 2}
    loaded = load_modalities(
        folder=features.parent,
        dataset_name="shop",
        token2id=token2id,
        n_items=3,
        modalities="auto",
        text_modalities={},
        feature_dim_text=2,
        cache_dir=raw / "cache",
    )
    assert loaded["video"].matrix.tolist() == [[0, 0], [4, 5], [0, 1]]


def test_a_folder_is_replaced_only_when_asked_and_only_a_dataset(raw, capsys):
    assert convert(*SHOP) == 0
    assert convert(*SHOP) == 2 and "data/shop exists; give another place, or --overwrite" in capsys.readouterr().err
    assert convert(*SHOP, "--overwrite") == 0
    (raw / "home").mkdir()
    assert convert("clicks.csv", "--to=home", "--user=who", "--item=what", "--overwrite") == 2
    assert "is no dataset folder (no home.inter), so it is not replaced" in capsys.readouterr().err
    assert [path.name for path in (raw / "data").iterdir()] == ["shop"]


def test_overwriting_replaces_what_was_written_and_leaves_the_users_files(raw, capsys):
    """An older modality of the conversion goes, vectors that somebody encoded beside it stay, whatever they are."""
    assert convert(*SHOP, "--features=video=video.npy:ids.txt", "--features=old=video.npy:ids.txt") == 0
    shop = raw / "data" / "shop"
    assert "left as they are" not in capsys.readouterr().out
    others = {"features/title.npz": b"title", "notes/deep/a.txt": b"mine", "shop.user": b"users", ".hidden": b""}
    for name, content in others.items():
        (shop / name).parent.mkdir(parents=True, exist_ok=True)
        (shop / name).write_bytes(content)
    (shop / "link").symlink_to("shop.user")
    (shop / "folder").symlink_to("notes")
    (shop / "shop.item").write_text("changed")  # of the dataset's own tables there is one maker
    (shop / "shop.train.inter").write_text("of an older split")
    (raw / "clicks.csv").write_text("who,what,at\nanna,v9,5\nanna,v1,6\n")
    assert convert(*SHOP, "--features=video=video.npy:ids.txt", "--overwrite") == 0
    kept = ".hidden, features/title.npz, folder, link, notes/deep/a.txt, shop.user"
    assert f"left as they are in data/shop: {kept}\n" in capsys.readouterr().out
    for name, content in others.items():
        assert (shop / name).read_bytes() == content
    assert (shop / "link").readlink().name == "shop.user" and (shop / "folder").readlink().name == "notes"
    assert (shop / "shop.inter").read_text().splitlines()[1:] == ["anna\tv9\t5", "anna\tv1\t6"]
    assert (shop / "shop.item").read_text().splitlines()[1:] == ["v9", "v1", "v2", "v4", "v3"]
    assert sorted(path.name for path in (shop / "features").iterdir()) == ["title.npz", "video.npz"]
    assert not (shop / "shop.train.inter").exists() and [path.name for path in (raw / "data").iterdir()] == ["shop"]


def test_vectors_that_were_made_anew_since_are_the_users(raw):
    assert convert(*SHOP, "--features=video=video.npy:ids.txt") == 0
    video = raw / "data" / "shop" / "features" / "video.npz"
    np.savez(video, item_id=np.array(["v1"]), feature=np.full((1, 3), 7.0))
    assert convert(*SHOP, "--overwrite") == 0
    assert read_features(video)[1].tolist() == [[7, 7, 7]]
    assert convert(*SHOP, "--features=video=video.npy:ids.txt", "--overwrite") == 0  # named, and so replaced
    assert read_features(video)[0] == ["v2", "v4", "v1", "v3"]


def test_a_dataset_of_before_this_list_is_replaced_by_its_tables_alone(raw):
    shop = raw / "data" / "shop"
    (shop / "features").mkdir(parents=True)
    for name in ("shop.inter", "shop.item", "features/old.npz", "shop.user"):
        (shop / name).write_text("old")
    assert convert(*SHOP, "--overwrite") == 0
    assert (shop / "shop.item").read_text().startswith("item_id:token\n")
    assert (shop / "shop.user").read_text() == (shop / "features/old.npz").read_text() == "old"


@pytest.mark.parametrize(
    "name, content, message",
    [
        (
            "features/video.parquet",
            "mine",
            "features/video.parquet is not of a conversion and would stand beside the new",
        ),
        (
            "features/video.ids.txt",
            "mine",
            "features/video.ids.txt is not of a conversion and would stand beside the new",
        ),
        ("convert.json", "{", "convert.json is no list of what a conversion wrote; remove it"),
        ("convert.json", "[]", "convert.json is no list of what a conversion wrote; remove it"),
        ("convert.json", '{"sha256": 3}', "convert.json is no list of what a conversion wrote; remove it"),
        ("convert.json", "[" * 100_000, "convert.json is no list of what a conversion wrote; remove it"),
    ],
)
def test_what_cannot_be_told_from_the_users_is_refused_and_nothing_changes(raw, capsys, name, content, message):
    shop = raw / "data" / "shop"
    assert convert(*SHOP) == 0
    (shop / name).parent.mkdir(exist_ok=True)
    (shop / name).write_text(content)
    before = {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()}
    assert convert(*SHOP, "--features=video=video.npy:ids.txt", "--overwrite") == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()} == before


def test_what_became_of_each_column_is_said(raw, capsys):
    (raw / "clicks.csv").write_text("who,what,at,watched_at,place\nanna,v1,5,6,x\n")
    (raw / "videos.csv").write_text("year,what,title\n1999,v1,One\n")
    assert convert(*SHOP[:-1], "--items=videos.csv", "--text=title") == 0
    assert capsys.readouterr().out.splitlines()[:9] == [
        "columns of clicks.csv:",
        "  who         user_id",
        "  what        item_id",
        "  at          left out; if it holds times, name it with --time=at",
        "  watched_at  left out; if it holds times, name it with --time=watched_at",
        "  place       left out",
        "columns of videos.csv:",
        "  year   left out",
        "  what   item_id",
    ]


def test_an_mmrec_folder_has_vectors_beside_its_table_and_in_features(baby, capsys):
    """Those in features/ go before others of their name, and an item that they alone have is one."""
    (baby / "features").mkdir()
    np.savez(baby / "features" / "text.npz", item_id=np.array(["2", "0", "3"]), feature=np.eye(3, dtype=np.float32))
    np.save(baby / "features" / "sound.npy", np.ones((3, 1), np.float32))
    np.save(baby / "text_feat.npy", np.zeros((3, 2)))
    assert convert(str(baby), "--to=data/baby") == 0
    features = baby.parents[1] / "data" / "baby" / "features"
    assert read_features(features / "text.npz")[0] == ["2", "0", "3"]
    assert read_features(features / "sound.npz")[0] == ["0", "1", "2"]
    converted = convert_mmrec_folder(baby, "baby", baby.parent / "cache")
    names = sorted(path.name for path in (converted.path / "features").iterdir())
    assert names == ["all-MiniLM-L6-v2.npz", "sound.ids.txt", "sound.npy", "text.npz"]
    assert (converted.path / "baby.item").read_text().split() == ["item_id:token", "0", "1", "2", "3"]
    tokens, rows = read_features(converted.path / "features" / "text.npz")
    assert tokens == ["2", "0", "3"] and rows.tolist() == np.eye(3).tolist()


@pytest.mark.parametrize("token", ["x", "07", "-1", "1.0", "99999999"])
def test_a_row_in_features_for_no_number_of_an_item_is_refused(baby, capsys, token):
    (baby / "features").mkdir()
    np.savez(baby / "features" / "text.npz", item_id=np.array(["0", token]), feature=np.ones((2, 2)))
    assert convert(str(baby), "--to=data/baby") == 2
    assert f"text.npz has a row for the item '{token}'; expected numbers as itemID has" in capsys.readouterr().err


def test_other_vectors_in_features_are_another_dataset(baby):
    first = convert_mmrec_folder(baby, "baby", baby.parent / "cache").path
    (baby / "features").mkdir()
    np.save(baby / "features" / "x.npy", np.ones((3, 2)))
    second = convert_mmrec_folder(baby, "baby", baby.parent / "cache").path
    (baby / "features" / "x.ids.txt").write_text("2\n1\n0\n")
    third = convert_mmrec_folder(baby, "baby", baby.parent / "cache").path
    np.save(baby / "image_feat.npy", np.ones((3, 2)))
    fourth = convert_mmrec_folder(baby, "baby", baby.parent / "cache").path
    (baby / "image_feat.npy").rename(baby / "features" / "image_feat.npy")  # a modality of another name
    fifth = convert_mmrec_folder(baby, "baby", baby.parent / "cache").path
    assert len({first, second, third, fourth, fifth}) == 5
    assert read_features(third / "features" / "x.npy")[0] == ["2", "1", "0"]


def test_a_refusal_of_an_mmrec_folders_content_names_that_folder(baby):
    (baby / "all-MiniLM-L6-v2.npy").unlink()
    (baby / "baby.inter").write_text("userID\titemID\tx_label\n0\t0\t0\n0\t1\t1\n1\t2\t2\n")
    given = {"data_path": str(baby.parent), "cache_dir": "cache", "state": "warning"}
    (config,) = resolve_configs(["VBPR"], "baby", [], given)
    with pytest.raises(FeatureError) as refused:
        read_modalities(config, load_split(config).dataset)
    assert f"looked for {baby}/features/*.npz" in str(refused.value) and "cache" not in str(refused.value)


WRONG = {
    "unnamed": (["clicks.csv", "--to=data/x"], "clicks.csv has no column of users under a usual name; its columns are"),
    "no column": (["clicks.csv", "--to=data/x", "--user=wo"], "clicks.csv has no column 'wo' (did you mean 'who'?)"),
    "no date": (["bad.csv", "--to=data/x", "--time=at"], "at is 'yesterday' in line 3 of bad.csv, expected a date"),
    "no id": (["empty.csv", "--to=data/x"], "user is empty in 1 row of empty.csv (first: line 3); mend or drop them"),
    "padding": (["pad.csv", "--to=data/x"], "item is [PAD], RecBole's name for nobody in 1 row"),
    "ragged": (["ragged.csv", "--to=data/x"], "1 line with another number of columns than its first line, which has"),
    "no rows": (["header.csv", "--to=data/x"], "header.csv has no row"),
    "latin": (["latin.csv", "--to=data/x"], "latin.csv is not text in utf-8 (byte 0xe6 in line 2); save it as UTF-8"),
    "format": (["ids.xls", "--to=data/x"], "ids.xls ends in '.xls', expected a table: .csv"),
    "absent": (["absent.csv", "--to=data/x"], "absent.csv cannot be read"),
    "twice": ([*SHOP, "--items=twice.csv"], "twice.csv has 1 row of items that it has already (first: 'v1' in line"),
    "text": ([*SHOP, "--text=title"], "--text=title names columns of an item table; give that table with --items"),
    "features": ([*SHOP, "--features=video.npy"], "write --features=NAME=PATH or NAME=PATH:IDS"),
    "ids": ([*SHOP, "--features=video=video.npy"], "the features 'video' name none of the items .*'0' there and 'v1'"),
    "no folder": (["data", "--to=x"], "data is no MMRec folder: it has no data.inter"),
    "name": (["clicks.csv", "--to=."], "does not name a dataset; give a folder such as data/mydata"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(raw, capsys, case):
    (raw / "data").mkdir()
    (raw / "bad.csv").write_text("user,item,at\na,b,2024-01-01\na,c,yesterday\n")
    (raw / "empty.csv").write_text("user,item\na,b\n ,c\n")
    (raw / "pad.csv").write_text("user,item\na,[PAD]\n")
    (raw / "ragged.csv").write_text("user,item\na,b\na,b,c\n")
    (raw / "header.csv").write_text("user,item\n")
    (raw / "latin.csv").write_bytes("user,item\nжук,b\n".encode("cp1251"))
    (raw / "twice.csv").write_text("what\nv1\nv1\n")
    arguments, message = WRONG[case]
    before = sorted(raw.rglob("*"))
    assert convert(*arguments) == 2
    said = capsys.readouterr().err
    first, _, rest = message.partition(".*")
    assert first in said and rest in said and said.count("\n") == 1
    assert sorted(raw.rglob("*")) == before


def test_a_write_that_fails_leaves_the_old_folder_and_nothing_else(raw, monkeypatch, capsys):
    assert convert(*SHOP) == 0
    before = (raw / "data" / "shop" / "shop.inter").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recbole_sheaf.data.conversion.write_vectors", full)
    assert convert(*SHOP, "--overwrite", "--features=video=video.npy:ids.txt") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert [path.name for path in (raw / "data").iterdir()] == ["shop"]
    assert (raw / "data" / "shop" / "shop.inter").read_bytes() == before


def test_dates_with_and_without_zone_and_numbers():
    texts = pd.Series(["1970-01-02", "1970-01-01T01:00:00+01:00", "1970-01-01 00:00:01"])
    assert timestamps("x", "at", texts).tolist() == ["86400", "0", "1"]
    assert timestamps("x", "at", pd.Series(["5", "1e3"])).tolist() == ["5", "1e3"]


@pytest.mark.parametrize(
    "written, expected",
    [
        (["1717113600", "1717113601"], None),
        (["1717113600123", "1717113600124"], None),
        (["1717113600123456789", "1717113600123456790"], None),
        (["20240531", "20240601"], None),
        (["9007199254740993", " 9007199254740992 "], ["9007199254740993", "9007199254740992"]),
        (["1717113600.123456789", "1717113600.0"], ["1717113600.123456789", "1717113600"]),
        (["2024-05-31T00:00:00.123456789Z", "2024-05-31"], ["1717113600.123456789", "1717113600"]),
        (["2024-05-31 05:30:00.5+05:30", "20240531T000000"], ["1717113600.5", "1717113600"]),
        (["1969-12-31T23:59:59.5Z", "1970-01-01"], ["-0.5", "0"]),
    ],
)
def test_no_digit_of_a_time_is_lost(raw, written, expected):
    (raw / "log.csv").write_text("\n".join(["user,item,time,rating", *(f"a,{x[:4]},{x},5.0" for x in written)]) + "\n")
    assert convert("log.csv", "--to=data/log") == 0
    lines = (raw / "data" / "log" / "log.inter").read_text().splitlines()[1:]
    assert [line.split("\t")[2:] for line in lines] == [["5", time] for time in expected or written]


def test_no_digit_of_a_rating_is_lost(raw):
    (raw / "log.csv").write_text("user,item,rating\na,b,9007199254740993\na,c,0.1\na,d,1e-3\n")
    assert convert("log.csv", "--to=data/log") == 0
    lines = (raw / "data" / "log" / "log.inter").read_text().splitlines()[1:]
    assert [line.split("\t")[2] for line in lines] == ["9007199254740993", "0.1", "1e-3"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_times_of_parquet_lose_nothing(raw, unit, zone):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    ticks = [1717113600 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit] + tick for tick in (1, 0)]
    times = pyarrow.array(ticks, pyarrow.int64()).cast(pyarrow.timestamp(unit, tz=zone))
    parquet.write_table(
        pyarrow.table({"user": ["a", "b"], "item": ["c", "d"], "timestamp": times}), raw / "log.parquet"
    )
    assert convert("log.parquet", "--to=data/log") == 0
    lines = (raw / "data" / "log" / "log.inter").read_text().splitlines()[1:]
    first = {"s": "1717113601", "ms": "1717113600.001", "us": "1717113600.000001", "ns": "1717113600.000000001"}[unit]
    assert [line.split("\t")[2] for line in lines] == [first, "1717113600"]


@pytest.mark.parametrize(
    "times, message",
    [
        (
            ["100", "200", "yesterday"],
            "time is 'yesterday' in line 4 of log.csv, expected a number as in most rows (1 such",
        ),
        (["100", "", "300"], "time is '' in line 3 of log.csv, expected a number as in most rows (1 such rows)"),
        (
            ["2024-05-31", "1717113600", "2024-06-01"],
            "time is '1717113600' in line 3 of log.csv, expected a date such as",
        ),
        (["1", "2024-05-31T10:00", "3"], "time is '2024-05-31T10:00' in line 3 of log.csv, expected a number"),
        (["1", "inf", "3"], "time is 'inf' in line 3 of log.csv, expected a number"),
        (["1", "True", "3"], "time is 'True' in line 3 of log.csv, expected a number"),
        (["1", "1e999", "3"], "time is '1e999' in line 3 of log.csv, expected a number"),
        (["soon", "later", "now"], "time is 'soon' in line 2 of log.csv, expected a date such as"),
    ],
)
def test_one_bad_time_is_named_by_its_row(raw, capsys, times, message):
    (raw / "log.csv").write_text(
        "\n".join(["user,item,time", *(f"a,{row},{time}" for row, time in enumerate(times))]) + "\n"
    )
    assert convert("log.csv", "--to=data/log") == 2
    assert message in capsys.readouterr().err and not (raw / "data").exists()


def rows_of_log(count, dates=False):
    """Users, items, ratings and times, with cells that quotes hold together."""
    at = [str(np.datetime64("2024-05-31T00:00:00") + row) for row in range(count)] if dates else range(100, 100 + count)
    return [(f"u,{row % 7}", f'i"{row % 11}', f"{row % 5}.0", time) for row, time in zip(range(count), at)]


def write_log(path, rows, header=("user", "item", "rating", "time"), **how):
    with open(path, "w", newline="", encoding=how.pop("encoding", "utf-8")) as file:
        csv.writer(file, **how).writerows([header, *rows])


@pytest.fixture
def logs(workplace, monkeypatch):
    """Three files of 40 rows, read 7 at a time: with commas and CRLF, with semicolons and a mark, with tabs."""
    monkeypatch.setattr("recbole_sheaf.data.raw_datasets.ROWS", 7)
    (workplace / "raw").mkdir()
    rows = rows_of_log(120)
    write_log(workplace / "raw" / "a.csv", rows[:40])
    write_log(workplace / "raw" / "b.csv", rows[40:80], delimiter=";", encoding="utf-8-sig", lineterminator="\n\n")
    write_log(workplace / "raw" / "c.tsv", rows[80:], delimiter="\t", lineterminator="\n")
    return rows


def lines_of(folder):
    return (folder / f"{folder.name}.inter").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("sources", [["raw/a.csv", "raw/b.csv", "raw/c.tsv"], ["raw/*.csv", "raw/?.tsv"]])
def test_several_tables_become_one(logs, workplace, capsys, sources):
    assert convert(*sources, "--to=data/d") == 0
    assert lines_of(workplace / "data" / "d") == [
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        *(f"{user}\t{item}\t{rating[0]}\t{time}" for user, item, rating, time in logs),
    ]
    said = capsys.readouterr().out
    assert "3 files, in this order: a.csv, b.csv, c.tsv" in said and "120 interactions of 7 users with 11 items" in said


def test_several_tables_are_as_one_table_of_them(logs, workplace):
    """With texts, vectors and dates, whatever the pieces."""
    rows = rows_of_log(50, dates=True)
    write_log(workplace / "all.csv", rows)
    write_log(workplace / "one.csv", rows[:20])
    write_log(workplace / "two.csv", rows[20:])
    write_log(workplace / "items.csv", [('i"3', "three"), ("cold", "x")], ("item", "title"))
    np.savez(workplace / "v.npz", item_id=np.array(['i"1', "other"]), feature=np.ones((2, 3)))
    given = ["--items=items.csv", "--text=title", "--features=v=v.npz"]
    assert convert("all.csv", "--to=whole/d", *given) == 0
    assert convert("one.csv", "two.csv", "--to=several/d", *given) == 0
    for name in ("d.inter", "d.item", "features/v.npz"):
        assert (workplace / "whole" / "d" / name).read_bytes() == (workplace / "several" / "d" / name).read_bytes()


def test_several_parquet_files_become_one_table(workplace, monkeypatch, capsys):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    monkeypatch.setattr("recbole_sheaf.data.raw_datasets.ROWS", 7)
    for name, start in (("a", 0), ("b", 30)):
        rows = range(start, start + 30)
        table = {"user": [row % 7 for row in rows], "item": [f"i{row % 11}" for row in rows], "time": [*rows]}
        parquet.write_table(pyarrow.table(table), workplace / f"{name}.parquet", row_group_size=11)
    assert convert("*.parquet", "--to=data/d") == 0
    assert lines_of(workplace / "data" / "d")[1:] == [f"{row % 7}\ti{row % 11}\t{row}" for row in range(60)]
    table = {"user": [*range(29), None], "item": [1] * 30, "time": [*range(30)]}
    parquet.write_table(pyarrow.table(table), workplace / "b.parquet")
    assert convert("*.parquet", "--to=data/e") == 2
    assert "user is empty in 1 row of b.parquet (first: row 30)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, rows, how, message",
    [
        (
            "z.csv",
            rows_of_log(30, dates=True),
            {},
            "times are numbers in a.csv and dates in z.csv; write them in one way",
        ),
        (
            "z.csv",
            [row[:3] for row in rows_of_log(9)],
            {"header": ("user", "item", "rating")},
            "z.csv has the columns user",
        ),
        ("z.csv", [*rows_of_log(9), ("", "b", 1, 2)], {}, "user is empty in 1 row of z.csv (first: line 11)"),
        ("z.csv", [*rows_of_log(9), ("a", "b", 1)], {}, "which has 4 (line 11 has 3); mend that line"),
        ("z.csv", [*rows_of_log(9), ("a", "b", "x", 1)], {}, "rating is 'x' in line 11 of z.csv"),
        ("z.csv", [("u,0.0", "b", 1, 1), ("7", "b", 1, 1), ("7.0", "b", 1, 1)], {}, "'7' and '7.0' differ in how they"),
        ("z.csv", [], {}, "z.csv has no row"),
        ("z.csv", [("ж", "b", 1, 1)], {"encoding": "cp1251"}, "z.csv is not text in utf-8"),
        ("z.csv", [*rows_of_log(9), ("user", "item", "rating", "time")], {}, "line 11 of z.csv is its header again"),
        ("z.txt", [("a" * 200_000, "b", 1, 1)], {"delimiter": "\t"}, "line 2 of z.txt is no CSV (field larger"),
        ("z.xlsx", [], {}, "z.xlsx ends in '.xlsx'"),
    ],
)
def test_one_bad_file_among_several_is_named(logs, workplace, capsys, name, rows, how, message):
    write_log(workplace / "raw" / name, rows, **how)
    assert convert("raw/a.csv", f"raw/{name}", "--to=data/d") == 2
    assert message in capsys.readouterr().err and not (workplace / "data").exists()


@pytest.mark.parametrize(
    "given, message",
    [
        (["raw/*.parquet"], "raw/*.parquet stands for no file"),
        (["raw/a.csv", "raw/b.csv", "--layout=elliot"], "--layout=elliot takes one source, and 2 are given"),
        (["raw/a.csv", "raw/b.csv", "--layout=vk-lsvd"], "--layout=vk-lsvd takes one source, and 2 are given"),
        (["raw/a.csv", "raw/gone.csv"], "gone.csv cannot be read (No such file or directory)"),
        (["raw/a.csv", "raw"], "ends in '', expected a table"),
    ],
)
def test_sources_that_do_not_go_together(logs, workplace, capsys, given, message):
    assert convert(*given, "--to=data/d") == 2
    assert message in capsys.readouterr().err and not (workplace / "data").exists()

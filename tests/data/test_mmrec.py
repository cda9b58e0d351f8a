"""MMRec-style folders: recognised, converted with their own split, and nobody in them lost."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from recbole.config import Config
from recbole.data import create_dataset

from recbole_sheaf.data import convert_mmrec_folder, is_mmrec_folder, mmrec
from recbole_sheaf.errors import DataError, FeatureError
from recbole_sheaf.features import load_modalities, read_features

HEADER = "userID\titemID\trating\ttimestamp\tx_label"
LINES = ["0\t1\t5\t10\t0", "1\t3\t4\t11\t0", "0\t2\t3.5\t12\t1", "1\t0\t1\t13\t2", "2\t3\t1\t14\t2"]
LOAD_COL = {"inter": ["user_id", "item_id"], "user": ["user_id"], "item": ["item_id"]}


def write_mmrec(folder, lines=LINES, header=HEADER, **rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{folder.name}.inter").write_text("\n".join([header, *lines]) + "\n")
    for modality, n_rows in rows.items():
        np.save(folder / f"{modality}_feat.npy", np.arange(2 * n_rows, dtype=np.float16).reshape(n_rows, 2))
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_mmrec(tmp_path / "toy", image=5, audio=5)  # item 4 was never seen


def convert(folder):
    return convert_mmrec_folder(folder, folder.name, folder.parent / "cache")


def recbole_dataset(converted):
    settings = {
        "data_path": str(converted.data_path),
        "benchmark_filename": list(converted.benchmark_filename),
        "load_col": LOAD_COL,
        "state": "warning",
    }
    dataset = create_dataset(Config(model="BPR", dataset=converted.path.name, config_dict=settings))
    return dataset, dataset.build()


def test_only_an_mmrec_header_is_recognised(folder, tmp_path):
    assert is_mmrec_folder(folder, "toy")
    assert not is_mmrec_folder(folder, "other")
    assert not is_mmrec_folder(write_mmrec(tmp_path / "atomic", header="user_id:token\titem_id:token"), "atomic")


def test_parts_follow_the_label_and_keep_order_and_columns(folder):
    converted = convert(folder)
    text = {part: (converted.path / f"toy.{part}.inter").read_text() for part in converted.benchmark_filename}
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    assert text == {
        "train": header + "0\t1\t5\t10\n1\t3\t4\t11\n",
        "valid": header + "0\t2\t3.5\t12\n",
        "test": header + "1\t0\t1\t13\n2\t3\t1\t14\n",
    }
    assert converted.counts == (2, 1, 2)


def test_recbole_keeps_users_and_items_without_training(folder, workplace):
    dataset, parts = recbole_dataset(convert(folder))
    assert [len(part) for part in parts] == [2, 1, 2]
    assert (dataset.user_num, dataset.item_num) == (1 + 3, 1 + 5)
    assert set(dataset.field2token_id["item_id"]) == {"[PAD]", *"01234"}


def test_without_features_every_item_up_to_the_largest_exists(tmp_path, workplace):
    lines = ["0\t7\t0", "1\t7\t1", "0\t2\t2"]
    dataset, parts = recbole_dataset(convert(write_mmrec(tmp_path / "bare", lines, "userID\titemID\tx_label")))
    assert [len(part) for part in parts] == [1, 1, 1] and dataset.item_num == 1 + 8


def test_features_follow_their_items_into_recbole_order(folder, workplace):
    converted = convert(folder)
    assert read_features(converted.path / "features" / "image.npz")[1].dtype == np.float16
    dataset, _ = recbole_dataset(converted)
    loaded = load_modalities(
        folder=converted.path,
        dataset_name="toy",
        token2id=dataset.field2token_id["item_id"],
        n_items=dataset.item_num,
        modalities="auto",
        text_modalities={},
        feature_dim_text=4,
        cache_dir=folder.parent / "cache",
    )
    assert list(loaded) == ["audio", "image"]
    for token, item in dataset.field2token_id["item_id"].items():
        expected = [0.0, 0.0] if token == "[PAD]" else [2.0 * int(token), 2.0 * int(token) + 1]
        assert loaded["image"].matrix[item].tolist() == expected
    assert loaded["image"].present.tolist() == [False] + 5 * [True]


def test_the_same_content_is_converted_once(folder, monkeypatch):
    first = convert(folder)
    monkeypatch.setattr(mmrec, "_write_all", None)  # any further conversion would fail
    assert convert(folder) == first


@pytest.mark.parametrize("changed", ["inter", "features"])
def test_other_content_is_converted_anew(folder, changed):
    first = convert(folder)
    write_mmrec(folder, LINES[::-1]) if changed == "inter" else np.save(folder / "image_feat.npy", np.ones((5, 2)))
    assert convert(folder).path != first.path


@pytest.mark.parametrize("altered", ["toy/toy.train.inter", "toy/features/image.npz", "manifest.json"])
def test_a_conversion_whose_files_were_altered_is_made_again(folder, caplog, altered):
    converted = convert(folder)
    path = converted.data_path / altered
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    assert convert(folder) == converted
    assert "are not those that were written" in caplog.text
    assert path.read_bytes() == content or altered.endswith(".npz")


def test_nothing_is_converted_into_a_folder_that_others_may_write(folder):
    cache = convert(folder).data_path.parent
    cache.chmod(0o777)
    with pytest.raises(DataError, match="nothing can be converted into .*: others may write to"):
        convert(folder)


@pytest.mark.parametrize("lost", ["toy/toy.item", "toy/features/image.npz", "manifest.json"])
def test_a_damaged_conversion_is_made_again(folder, lost):
    first = convert(folder)
    (first.path.parent / lost).unlink()
    assert convert(folder) == first and (first.path.parent / lost).is_file()
    assert [path.name for path in first.path.parent.parent.iterdir()] == [first.path.parent.name]


@pytest.mark.slow
def test_processes_at_once_agree(folder):
    """Started afresh: a forked process inherits locks of threads that it does not have, and may wait for ever."""
    code = (
        "from pathlib import Path; from recbole_sheaf.data.mmrec import convert_mmrec_folder; "
        f"folder = Path({str(folder)!r}); "
        "print(convert_mmrec_folder(folder, folder.name, folder.parent / 'cache').path)"
    )
    several = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(3)]
    paths = {process.communicate()[0].decode().strip() for process in several}
    assert [process.returncode for process in several] == [0, 0, 0] and paths == {str(convert(folder).path)}
    complete = convert(folder).path.parent
    assert [path.name for path in complete.parent.iterdir()] == [complete.name]


def test_the_loser_of_a_race_takes_what_is_there(folder, monkeypatch):
    write_all = mmrec._write_all

    def slow(built: Path, *args):
        monkeypatch.setattr(mmrec, "_write_all", write_all)
        convert(folder)  # another process finishes first
        write_all(built, *args)

    monkeypatch.setattr(mmrec, "_write_all", slow)
    assert convert(folder).counts == (2, 1, 2)


BAD = {
    "label": (["0\t1\t5\t10\t3"], r"toy.inter has 1 value of x_label that is not 0, 1 or 2 \(first: '3' in line 7\)"),
    "negative": (["0\t-1\t5\t10\t0"], r"value of itemID that is not a whole number from 0 \(first: '-1' in line 7\)"),
    "fraction": (["1.5\t1\t5\t10\t0"], r"value of userID that is not a whole number from 0 \(first: '1.5'"),
    "empty id": (["\t1\t5\t10\t0"], r"value of userID .* \(first: ''"),
    "short line": (["0\t1"], r"another number of columns than its header, which has 5 \(first: line 7 has 2\)"),
    "rating": (["0\t1\tgood\t10\t0"], r"value of rating that is not a number \(first: 'good'"),
    "long line": (["0\t1\t5\t10\t0\t9"], r"1 line with another number of columns .*line 7 has 6"),
}


@pytest.mark.parametrize("lines, message", BAD.values(), ids=BAD)
def test_a_bad_value_is_named_with_its_line(tmp_path, lines, message):
    with pytest.raises(DataError, match=message):
        convert(write_mmrec(tmp_path / "toy", LINES + lines))
    assert not list((tmp_path / "cache" / "mmrec").iterdir())


@pytest.mark.parametrize(
    "lines, message",
    [
        ([], "dataset toy.inter is empty"),
        (LINES[:2], r"no valid and no test interaction; expected x_label 0 \(train\), 1 \(valid\) and 2 \(test\)"),
    ],
)
def test_an_empty_file_or_part_is_refused(tmp_path, lines, message):
    with pytest.raises(DataError, match=message):
        convert(write_mmrec(tmp_path / "toy", lines))


@pytest.mark.parametrize(
    "rows, message",
    [
        (dict(image=3), r"image_feat.npy has 3 rows but itemID goes up to 3; expected at least 4 rows"),
        (dict(image=5, audio=4), r"different numbers of rows, {'audio': 4, 'image': 5}"),
    ],
)
def test_features_with_the_wrong_number_of_rows_are_refused(tmp_path, rows, message):
    with pytest.raises(FeatureError, match=message):
        convert(write_mmrec(tmp_path / "toy", **rows))


def test_features_with_nan_are_refused_under_their_own_name(folder):
    np.save(folder / "image_feat.npy", np.full((5, 2), np.nan))
    with pytest.raises(FeatureError, match="image_feat.npy has 10 values that are NaN or Inf"):
        convert(folder)


def test_tiktok_keeps_its_split_and_everyone_in_it(shared_data, workplace):
    converted = convert_mmrec_folder(shared_data / "tiktok", "tiktok", workplace / "cache")
    assert converted.counts == (59541, 3051, 6130)
    dataset, parts = recbole_dataset(converted)
    assert [len(part) for part in parts] == [59541, 3051, 6130]
    assert (dataset.user_num, dataset.item_num) == (1 + 9308, 1 + 6710)
    train = parts[0].inter_feat
    assert dataset.user_num - 1 - len(np.unique(train["user_id"])) == 10
    assert dataset.item_num - 1 - len(np.unique(train["item_id"])) == 465


def test_a_folder_is_read_once_until_it_changes(tmp_path, monkeypatch):
    folder = write_mmrec(tmp_path / "toy", image=5)
    first = mmrec._content_hash(folder, "toy")
    monkeypatch.setattr("builtins.open", lambda *arguments: pytest.fail("read again"))
    assert mmrec._content_hash(folder, "toy") == first
    monkeypatch.undo()
    with (folder / "toy.inter").open("a") as file:
        file.write("\n")
    assert mmrec._content_hash(folder, "toy") != first


def left_behind(folder, age):
    """What a killed conversion leaves: a folder, a lock in it that nobody holds, and half of the result."""
    left = folder.parent / "cache" / "mmrec" / ".building-dead"
    (left / "new" / "toy").mkdir(parents=True)
    (left / "lock").touch()
    os.utime(left, (time.time() - age,) * 2)
    return left


@pytest.mark.parametrize("age", [3600, 0])
def test_what_a_killed_conversion_left_is_cleared(folder, age):
    left = left_behind(folder, age)
    converted = convert(folder)
    assert not left.exists()
    assert [path.name for path in converted.path.parent.parent.iterdir()] == [converted.path.parent.name]


def test_what_is_at_work_stays_however_old(folder):
    held = left_behind(folder, age=0)
    with FileLock(held / "lock"):
        os.utime(held, (time.time() - 3600,) * 2)
        convert(folder)
        assert (held / "new" / "toy").is_dir()


def test_a_stray_item_makes_no_millions(tmp_path):
    path = write_mmrec(tmp_path / "toy", [*LINES, "0\t5000000\t5\t10\t0"])
    with pytest.raises(DataError, match=r"5 distinct itemIDs but one of them is 5000000, which would make 5,000,001"):
        convert(path)

"""One sentence for every way in which a dataset cannot be read."""

import pytest

from recbole_sheaf.data import absent_dataset, check_dataset_folder
from recbole_sheaf.errors import DataError


def write(tmp_path, content, name="toy", file="toy.inter"):
    (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / name / file).write_text(content)
    return tmp_path


@pytest.mark.parametrize(
    "content", ["user_id:token\titem_id:token\nu\ti\n", "userID\titemID\tx_label\n0\t0\t0\n"], ids=["atomic", "mmrec"]
)
def test_good_folders_pass(tmp_path, content):
    check_dataset_folder(write(tmp_path, content), "toy")


def test_a_ready_made_split_passes_and_each_part_is_checked(tmp_path):
    write(tmp_path, "user_id:token\titem_id:token\nu\ti\n", file="toy.train.inter")
    check_dataset_folder(tmp_path, "toy")
    write(tmp_path, "user_id:token\titem_id:token\n", file="toy.valid.inter")
    with pytest.raises(DataError, match="dataset toy.valid.inter is empty"):
        check_dataset_folder(tmp_path, "toy")


def test_other_field_names_may_be_set(tmp_path):
    write(tmp_path, "uid:token\tiid:token\nu\ti\n")
    check_dataset_folder(tmp_path, "toy", user_field="uid", item_field="iid")
    with pytest.raises(DataError, match="no column user_id nor item_id.*set USER_ID_FIELD and ITEM_ID_FIELD"):
        check_dataset_folder(tmp_path, "toy")


@pytest.mark.parametrize(
    "content, message",
    [
        ("user_id:token\titem_id:token\n", "dataset toy.inter is empty: a header and no interaction"),
        ("", "toy.inter is an empty file"),
        ("user_id:token\trating:float\nu\t1\n", r"toy.inter has no column item_id; its header is 'user_id:token"),
        ("user_id:token\titem_id:token\trating\nu\ti\t1\n", "has a column 'rating' without a type"),
    ],
)
def test_an_unusable_file_is_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        check_dataset_folder(write(tmp_path, content), "toy")


def test_an_absent_dataset_names_layout_option_and_neighbours(tmp_path):
    write(tmp_path, "", name="tiktok")
    with pytest.raises(DataError) as caught:
        check_dataset_folder(tmp_path, "tik-tok", iter(["ml-1m", "tic-toc"]))
    message = str(caught.value)
    for part in (
        f"dataset 'tik-tok' (did you mean 'tiktok' or 'tic-toc'?) is not in {tmp_path};",
        f"{tmp_path}/tik-tok/tik-tok.inter",
        "user_id:token<tab>item_id:token",
        "features/<modality>.npz",
        "x_label",
        "data_path=...",
    ):
        assert part in message
    assert "\n" not in message


def test_a_downloadable_dataset_is_left_to_recbole_unless_its_folder_is_there_without_data(tmp_path):
    check_dataset_folder(tmp_path, "ml-1m", ["ml-1m"])
    (tmp_path / "ml-1m").mkdir()
    with pytest.raises(DataError, match="holds no ml-1m.inter; .*remove the folder, so that RecBole downloads"):
        check_dataset_folder(tmp_path, "ml-1m", ["ml-1m"])


def test_a_failed_download_gives_the_reason(tmp_path):
    message = str(absent_dataset(tmp_path / "nowhere", "ml-1m", ["ml-1m"], reason="no network"))
    assert "and downloading it failed (no network); expected" in message and "did you mean" not in message

"""RecBole's tables read by us: the same numbers as RecBole's own reader gives where that one reads rightly."""

import logging
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from recbole.config import Config
from recbole.data.dataset import Dataset

from recbole_sheaf.plugin import library_mends
from recbole_sheaf.plugin.recbole_compat import original

FIELDS = ("field2type", "field2source", "field2seqlen", "field2bucketnum")
TABLES = ("inter_feat", "user_feat", "item_feat")
SEQUENCES = [
    "item_id:token\twords:token_seq\tnumbers:float_seq\tprice:float\tkind:token",
    "i1\tred  thing\t1 2.5 3\t0.1\tx",
    "i2\t\t\t\t",
    "i3\tthing\t4\tnan\tred",
]


def loaded(config, read):
    """A dataset's tables as they are loaded, before RecBole filters and renumbers them."""
    dataset = Dataset.__new__(Dataset)
    dataset.config, dataset.dataset_name, dataset.logger = config, config["dataset"], logging.getLogger()
    dataset._load_feat = read.__get__(dataset)
    dataset._get_preset()
    dataset._get_field_from_config()
    dataset._load_data(config["dataset"], dataset.dataset_path)
    return dataset


def as_before_pandas_3(read):
    """RecBole's reader, which fills missing sequences in place: from pandas 3 on it fails on one."""

    def read_csv(*given, **named):
        frame = pd.read_csv(*given, **named)
        return frame.fillna({column: "" for column in frame if column.endswith("_seq")})

    return library_mends._with_names(read, pd=SimpleNamespace(read_csv=read_csv))


def assert_same(config):
    theirs = loaded(config, as_before_pandas_3(original("recbole.data.dataset.dataset:Dataset", "_load_feat")))
    ours = loaded(config, Dataset._load_feat)
    for name in FIELDS:
        assert getattr(ours, name) == getattr(theirs, name)
    for name in TABLES:
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert (mine is None) == (other is None)
        for column in [] if other is None else other:
            if not isinstance(other[column].iloc[0], np.ndarray):
                assert mine[column].dtype == other[column].dtype and mine[column].equals(other[column])
                continue
            for value, expected in zip(mine[column], other[column]):
                assert value.dtype.kind == expected.dtype.kind and np.array_equal(value, expected)


@pytest.mark.parametrize("seq_len", [None, {"words": 1, "numbers": 2}])
def test_every_type_of_column_is_read_as_recbole_does(workplace, seq_len):
    folder = workplace / "data" / "toy"
    folder.mkdir(parents=True)
    (folder / "toy.inter").write_text("user_id:token\titem_id:token\trating:float\nu\ti1\t0.1\nu\ti2\t\n")
    (folder / "toy.item").write_text("\n".join(SEQUENCES) + "\n")
    settings = {"data_path": str(folder.parent), "load_col": None, "seq_len": seq_len}
    assert_same(Config(model="BPR", dataset="toy", config_dict=settings))


@pytest.mark.parametrize("chosen", [{"load_col": {"inter": ["item_id", "user_id"]}}, {"unload_col": {"user": ["age"]}}])
def test_every_table_of_ml_100k_is_what_recbole_reads(workplace, chosen):
    assert_same(Config(model="BPR", dataset="ml-100k", config_dict={"load_col": None, **chosen}))


@pytest.mark.slow
def test_ml_1m_is_what_recbole_reads(workplace, shared_data):
    assert_same(Config(model="BPR", dataset="ml-1m", config_dict={"data_path": str(shared_data), "load_col": None}))


def numbers_of(data, model, caplog, **settings):
    config = Config(model=model, dataset="toy", config_dict={"data_path": str(data), **settings})
    with caplog.at_level(logging.WARNING):
        return len(Dataset(config))


def test_a_pair_counts_once_under_our_defaults_and_recboles_models_keep_recboles(toy, caplog):
    file = toy / "toy" / "toy.inter"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, *lines[1:4]]) + "\n")
    pairs = len(lines) - 1
    assert numbers_of(toy, "VBPR", caplog) == pairs
    assert "3 of 363 interactions of dataset 'toy' repeat a user and an item" in caplog.text
    assert numbers_of(toy, "VBPR", caplog, repeated_interactions="keep") == pairs + 3
    caplog.clear()
    assert numbers_of(toy, "BPR", caplog) == pairs + 3 and not caplog.text
    assert numbers_of(toy, "BPR", caplog, repeated_interactions="drop") == pairs


@pytest.mark.parametrize("model, settings", [("GRU4Rec", {}), ("FM", {}), ("BPR", {"repeatable": True})])
def test_where_pairs_may_repeat_they_do(toy, caplog, model, settings):
    file = toy / "toy" / "toy.inter"
    header, *lines = file.read_text().splitlines()
    timed = [f"{line}\t{place}" for place, line in enumerate([*lines, *lines[:3]])]
    file.write_text("\n".join([f"{header}\ttimestamp:float", *timed]) + "\n")
    settings = {"load_col": None, "train_neg_sample_args": None, "repeatable": True, **settings}
    config = Config(
        model=model, dataset="toy", config_dict={"data_path": str(toy), "repeated_interactions": "drop", **settings}
    )
    assert len(Dataset(config)) == len(lines) + 3

"""Order in time is that of the times as they are written, in any unit; what pandas makes of whole numbers is right."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from recbole.data.dataset import Dataset, SequentialDataset
from recbole.utils import get_model

from recbole_sheaf.data.conversion import write_dataset
from recbole_sheaf.data.exact_times import keys_of_times
from recbole_sheaf.data.raw_datasets import read_interactions
from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.experiments.settings import resolve_configs

BEGIN = 1_700_000_000
STEPS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # in a second
SPLITS = {
    "time": {"split": "time"},
    "leave_one_out": {"split": "leave_one_out"},
    "global": {"eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "TO", "group_by": "none"}},
    "boundary": {"eval_args": {"split": {"TS": [0.8, 0.1, 0.1]}, "order": "TO", "group_by": "user"}},
}
SEQUENTIAL = {"repeatable": True, "train_neg_sample_args": None, "MAX_ITEM_LIST_LENGTH": 20}


def iso(ticks):
    """In one of several zones, to the nanosecond."""
    moment = pd.Timestamp(ticks, unit="ns", tz="UTC")
    return moment.tz_convert(("UTC", "Asia/Kolkata", "America/New_York")[ticks % 3]).isoformat()


@st.composite
def logs(draw):
    """Rows of user, item, ticks since 1970 and their text; each item once, close and equal times, in any order."""
    unit = draw(st.sampled_from([*STEPS, "iso", "s.ns"]))
    step = STEPS.get(unit, 10**9)
    users = draw(st.lists(st.integers(0, 3), min_size=12, max_size=24))
    users[:9] = [0, 1, 2] * 3  # enough for a valid and a test part
    ticks = draw(st.lists(st.integers(0, 40), min_size=len(users), max_size=len(users)))
    ticks = [BEGIN * step + tick for tick in ticks]
    write = {"iso": iso, "s.ns": lambda tick: f"{tick // step}.{tick % step:09d}"}.get(unit, str)
    return pd.DataFrame(
        {
            "user": [f"u{user}" for user in users],
            "item": [f"i{row}" for row in range(len(users))],
            "ticks": ticks,
            "time": [write(tick) for tick in ticks],
        }
    )


def written(log, data):
    """The log as ``convert`` writes it."""
    log[["user", "item", "time"]].to_csv(data / "log.csv", index=False)
    write_dataset(read_interactions(data / "log.csv", {}), data / "log", overwrite=True)


def config_of(data, model="BPR", **given):
    settings = {"data_path": str(data), "state": "error", **(SEQUENTIAL if model == "SASRec" else {}), **given}
    return resolve_configs([model], "log", [], settings)[0]


def items(dataset, part):
    return dataset.id2token("item_id", part.inter_feat["item_id"].numpy()).tolist()


def items_left(dataset):
    return dataset.id2token("item_id", dataset.inter_feat["item_id"].to_numpy()).tolist()


def shares(rows):
    """RecBole's sizes of 80, 10 and 10 %: each of the smaller parts has one where there is one to have."""
    held_out = [min(max(rows // 10, 1), rows - 1), min(max(rows // 10, 1), max(rows - 2, 0))]
    return [rows - sum(held_out), held_out[1], held_out[0]]


def cut(rows, sizes):
    ends = np.cumsum(sizes)
    return [rows[:ends[0]], rows[ends[0]:ends[1]], rows[ends[1]:]]  # fmt: skip


def by_pandas(log, split):
    """Items in each part, by a stable sort of whole numbers."""
    ordered = log.sort_values("ticks", kind="stable")
    if split == "global":
        return cut(ordered["item"].tolist(), shares(len(log)))
    offsets = ordered["ticks"] - ordered["ticks"].min()
    late = offsets > np.percentile(offsets, 100 * (1 - 0.1))
    parts = [[], [], []]
    for _, user in ordered.groupby("user"):
        rows = user["item"].tolist()
        if split == "boundary":
            early = user["item"][~late].tolist()
            train = int(len(early) * (0.8 / (1 - 0.1)))
            found = [early[:train], early[train:], user["item"][late].tolist()]
        else:
            last = max(len(rows) - 2, 1)
            found = cut(rows, [last, min(1, max(len(rows) - 2, 0)), 1] if split != "time" else shares(len(rows)))
        for part, more in zip(parts, found):
            part.extend(more)
    return parts


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=logs())
def test_every_split_is_that_of_whole_numbers(workplace, log):
    written(log, workplace)
    times = dict(zip(log["item"], map(seconds_of, log["time"])))
    for split, chosen in SPLITS.items():
        dataset = Dataset(config_of(workplace, **chosen))
        parts = dataset.build()
        found = [sorted(items(dataset, part)) for part in parts]
        assert found == [sorted(part) for part in by_pandas(log, split)], split
        for part in (dataset, *parts):
            expected = torch.tensor([times[item] for item in items(dataset, part)], dtype=torch.float64).float()
            assert torch.equal(part.inter_feat["timestamp"], expected), split


def seconds_of(text):
    """The value in the file, which models see rounded."""
    return pd.Timestamp(text).timestamp() if "T" in text else float(text)


@pytest.mark.parametrize("split", ["leave_one_out", "global"])
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=logs())
def test_sequences_are_in_the_order_of_whole_numbers(workplace, split, log):
    written(log, workplace)
    dataset = SequentialDataset(config_of(workplace, "SASRec", **SPLITS[split]))
    parts = dataset.build()
    ordered = log.sort_values("ticks", kind="stable")
    history = {
        user["item"].iloc[row]: user["item"].iloc[:row].tolist()
        for _, user in ordered.groupby("user")
        for row in range(len(user))
    }
    for part in parts:
        sequences = dataset.id2token("item_id", part.inter_feat["item_id_list"].numpy())
        for item, sequence in zip(items(dataset, part), sequences):
            assert [token for token in sequence if token != "[PAD]"] == history[item]
    targets = ordered["item"][ordered["item"].map(history).str.len() > 0].tolist()
    if split == "global":
        assert [items(dataset, part) for part in parts] == cut(targets, shares(len(targets)))
    else:
        last = ordered.groupby("user")["item"].last()
        assert set(items(dataset, parts[2])) >= {last["u0"], last["u1"], last["u2"]}


NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(-(10**10), 10**10, places=9, allow_nan=False).map(str),
    st.integers(0, 30).map(lambda tick: str(1_700_000_000_000_000_000 + tick)),
    st.sampled_from(
        ["nAn", "NAn", "1.7e9", "1700000000", "1700000000.0", "17e8", "-0", "0", "1700000000.00000000000001"]
    ),
)


@given(st.lists(st.one_of(st.none(), NUMBERS), min_size=1, max_size=20))
@example(["nAn", "NAn", "1700000000.00000000000001"])
@example(["1700000000000000001", "1700000000000000000", None, "1700000000000000001"])
def test_keys_are_in_the_order_of_fractions(texts):
    numbers = np.array([np.nan if text is None else float(text) for text in texts])
    values = [Fraction(text) for text, number in zip(texts, numbers) if number == number]
    order = {value: place for place, value in enumerate(sorted(set(values)), 1)}
    expected = [order[Fraction(text)] if number == number else len(order) + 1 for text, number in zip(texts, numbers)]
    keys = keys_of_times(pd.Series(texts, dtype=object), numbers)
    assert (1 + np.unique(keys, return_inverse=True)[1]).tolist() == expected


LATEST = 1_700_000_000_000_000_000
CLICKS = [(f"u{user}", f"i{item}", LATEST + 40 * user + item) for user in range(4) for item in range(5)]


@pytest.fixture
def again(workplace):
    """Everybody chose i0 to i4 in this order, and i1 to i3 once more at the end; gives a writer of any line order."""

    def write(newest_first=False, columns=("timestamp:float",)):
        clicks = CLICKS + [
            (f"u{user}", f"i{item}", LATEST + 40 * user + 20 + item) for user in range(4) for item in (1, 2, 3)
        ]
        lines = [f"{user}\t{item}\t{time}" for user, item, time in clicks]
        folder = workplace / "log"
        folder.mkdir(exist_ok=True)
        header = "\t".join(["user_id:token", "item_id:token", *columns])
        (folder / "log.inter").write_text("\n".join([header, *(lines[::-1] if newest_first else lines)]) + "\n")
        return workplace

    return write


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    "given, test",
    [
        ({"repeated_interactions": "drop"}, {"i4"}),
        ({"repeated_interactions": "keep", "rm_dup_inter": "first"}, {"i4"}),
        ({"repeated_interactions": "keep", "rm_dup_inter": "last"}, {"i3"}),
        ({"repeated_interactions": "keep"}, {"i3"}),
    ],
)
def test_of_a_repeated_pair_the_first_in_time_stays(again, newest_first, given, test):
    dataset = Dataset(config_of(again(newest_first), split="leave_one_out", **given))
    parts = dataset.build()
    assert set(items(dataset, parts[2])) == test and len(parts[2]) == 4
    if given.get("rm_dup_inter") != "last" and "rm_dup_inter" in given or given["repeated_interactions"] == "drop":
        assert set(items(dataset, parts[1])) == {"i3"}


def test_a_repeated_pair_of_a_ready_made_split_stays_in_its_earliest_part_and_the_first_in_time_there(workplace):
    folder = workplace / "log"
    folder.mkdir()
    header = "user_id:token\titem_id:token\ttimestamp:float\n"
    (folder / "log.train.inter").write_text(f"{header}u\ta\t{LATEST + 9}\nu\ta\t{LATEST + 8}\nu\tb\t{LATEST + 7}\n")
    (folder / "log.valid.inter").write_text(f"{header}u\tb\t{LATEST}\nu\tc\t{LATEST}\n")
    (folder / "log.test.inter").write_text(f"{header}u\td\t{LATEST}\nu\tc\t1\n")
    config = config_of(workplace, load_col={"inter": ["user_id", "item_id", "timestamp"]})
    dataset = Dataset(config)
    assert items_left(dataset) == ["a", "b", "c", "d"] and dataset.time_keys.tolist() == [
        LATEST + 8,
        LATEST + 7,
        LATEST,
        LATEST,
    ]
    assert dataset.file_size_list == [2, 1, 1]


def test_of_equal_times_the_line_that_comes_first_stays_first(workplace):
    folder = workplace / "log"
    folder.mkdir()
    order = np.random.default_rng(0).permutation(40)
    lines = [f"u{user}\ti{item}\t5" for item in order for user in range(20)]
    (folder / "log.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n" + "\n".join(lines) + "\n")
    for more in ({}, {"rm_dup_inter": "first"}):
        dataset = Dataset(config_of(workplace, split="leave_one_out", **more))
        assert set(items(dataset, dataset.build()[2])) == {f"i{order[-1]}"}


def test_a_time_among_the_numerical_features_keeps_its_value_and_the_sequences_their_order(again):
    given = {"split": "leave_one_out", "numerical_features": ["timestamp"], "repeated_interactions": "keep"}
    dataset = SequentialDataset(config_of(again(newest_first=True), "SASRec", **given))
    part = dataset.build()[2].inter_feat
    assert dataset.id2token("item_id", part["item_id_list"][0].numpy()).tolist()[:7] == "i0 i1 i2 i3 i4 i1 i2".split()
    assert part["timestamp_list"].shape == (4, 20, 2) and part["timestamp"].shape == (4, 2)
    assert torch.equal(part["timestamp_list"][0, :, 0], torch.tensor([float(LATEST)] * 7 + [0.0] * 13))
    assert torch.equal(part["timestamp_list"][0, :, 1], torch.tensor([1.0] * 7 + [0.0] * 13))


def test_dien_has_its_sequences_in_order_and_of_its_own_type(again):
    from recbole.data.dataset import DIENDataset

    given = {"split": "leave_one_out", "repeated_interactions": "keep", "repeatable": True}
    given |= {"train_neg_sample_args": {"distribution": "uniform"}, "metrics": ["AUC"], "valid_metric": "AUC"}
    config = config_of(again(newest_first=True), "DIEN", **given, topk=[1], eval_args={"mode": "uni3"})
    dataset = DIENDataset(config)
    part = dataset.build()[2].inter_feat
    assert dataset.id2token("item_id", part["item_id_list"][0].numpy()).tolist()[:7] == "i0 i1 i2 i3 i4 i1 i2".split()
    assert part["timestamp_list"].dtype == torch.float64 and part["timestamp"].dtype == torch.float32
    assert part["timestamp_list"][0, :8].tolist() == [float(torch.tensor(float(LATEST)))] * 7 + [0]


@pytest.mark.parametrize("given", [{"split": "random"}, {"split": "time"}])
def test_diffrec_weighs_items_by_their_exact_order(again, given):
    (config,) = resolve_configs(
        ["DiffRec"], "log", [], {"data_path": str(again(newest_first=True)), "time-aware": True, "w_min": 0.1, **given}
    )
    dataset = Dataset(config)
    train = dataset.build()[0]
    model = get_model("DiffRec")(config, train).to("cpu")
    for user in range(1, 5):
        length = model.history_item_id.shape[1]
        row = model.history_item_id[user].tolist()
        weights = dict(zip(row, model.history_item_value[user].tolist()))
        order = [item for item in sorted(weights, key=weights.__getitem__) if item]
        assert length and dataset.id2token("item_id", order).tolist() == sorted(dataset.id2token("item_id", order))


UNTIMED = {
    "no column": (
        ("rating:float",),
        {},
        DataError,
        "log.inter has no column timestamp, by which interactions are ordered",
    ),
    "left out": (
        ("timestamp:float",),
        {"load_col": None, "unload_col": {"inter": ["timestamp"]}},
        ConfigError,
        "load_col or unload_col leaves timestamp of log.inter out, by which interactions are ordered here",
    ),
}


@pytest.mark.parametrize("split", ["time", "leave_one_out"])
@pytest.mark.parametrize("case", UNTIMED)
def test_an_order_in_time_wants_times(again, case, split):
    columns, given, error, message = UNTIMED[case]
    with pytest.raises(error, match=message):
        Dataset(config_of(again(columns=columns), split=split, **given))


def test_a_missing_time_is_refused_where_order_counts_and_named_by_its_line(again):
    path = again() / "log" / "log.inter"
    lines = path.read_text().splitlines()
    lines[3] = lines[3].rpartition("\t")[0] + "\t"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"timestamp is missing in 1 line of log.inter \(first: line 4\), and inter"):
        Dataset(config_of(path.parents[1], split="time"))
    columns = {"inter": ["user_id", "item_id", "timestamp"]}
    assert len(Dataset(config_of(path.parents[1], load_col=columns, repeated_interactions="keep"))) == len(lines) - 1

"""Yambda's files into a dataset folder: each value against plain loops over the rows, each trap, each refusal."""

import hashlib
import shutil
from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd
import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.data import yambda
from recbole_sheaf.data.conditions import Condition
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.features import read_features
from tests.data.vk_lsvd import write_parquet
from tests.data.yambda import DIMENSIONS, FILES, write_events, write_vectors, write_yambda

HEADER = "user_id:token\titem_id:token\ttimestamp:float"
PARTS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def written_once(tmp_path_factory):
    return write_yambda(tmp_path_factory.mktemp("yambda") / "yambda")


@pytest.fixture
def log(written_once, workplace):
    shutil.copytree(written_once.folder, workplace / "yambda")
    return SimpleNamespace(**{**vars(written_once), "folder": workplace / "yambda"})


def convert(*arguments, name="d", source="yambda/flat/50m"):
    return main(["convert", source, f"--to=data/{name}", "--layout=yambda", *map(str, arguments)])


def part_of(time, split):
    if not split or time < 25_823_600:
        return "train"
    if 25_825_400 <= time < 25_911_800:
        return "valid"
    return "test" if time >= 25_913_600 else None


def listened(row):
    return row.event_type == "listen" and not pd.isna(row.played_ratio_pct) and row.played_ratio_pct >= 50


def standing(table, positive, split):
    """Kind, part, user, item and time of what counts, in the order of the rows, each looked up among all others."""
    rows = [(part_of(row.timestamp, split), row) for row in table.itertuples()]
    of_pair = {}
    for part, row in rows:
        of_pair.setdefault((row.uid, row.item_id, part), []).append(row)

    def undone(row, part):
        by = {"like": "unlike", "dislike": "undislike"}.get(row.event_type)
        same = of_pair[row.uid, row.item_id, part]
        return any(other.event_type == by and other.timestamp >= row.timestamp for other in same)

    for part, row in rows:
        if part is None or row.event_type in ("unlike", "undislike") or undone(row, part):
            continue
        same = of_pair[row.uid, row.item_id, part]
        outweighed = any(
            other.event_type == "dislike" and other.timestamp >= row.timestamp and not undone(other, part)
            for other in same
        )
        if row.event_type == "dislike":
            yield "dislike", part, int(row.uid), int(row.item_id), int(row.timestamp)
        elif not outweighed and positive(row):
            yield "positive", part, int(row.uid), int(row.item_id), int(row.timestamp)


def drawn(ids, number, seed):
    return set(sorted(ids, key=lambda each: (hashlib.md5(f"{seed}:{each}".encode()).hexdigest(), each))[:number])


def expected(log, positive=listened, users=None, items=None, seed=2020, split=True):
    """Lines by file, and the items."""
    rows = list(standing(log.table, positive, split))
    for place, number in ((2, users), (3, items)):
        there = {row[place] for row in rows if row[0] == "positive" and (row[1] == "train" or place == 3)}
        known = drawn(there, number, seed)
        rows = [row for row in rows if number is None or row[place] in known]
    first = {}
    for row in sorted(rows, key=lambda row: row[4]):
        first.setdefault((row[0], row[2], row[3]), row)
    rows = sorted(first.values(), key=lambda row: (row[4], row[2], row[3]))
    trained = {row[2] for row in rows if row[0] == "positive" and row[1] == "train"}
    rows = [row for row in rows if row[0] == "dislike" or row[1] == "train" or row[2] in trained]
    positives = [row for row in rows if row[0] == "positive"]
    known_users, known_items = {row[2] for row in positives}, {row[3] for row in positives}
    files = {name: [] for name in (*PARTS, "dislike")}
    for kind, part, user, item, time in rows:
        if kind == "positive":
            files[part].append(f"{user}\t{item}\t{time}")
        elif user in known_users and item in known_items:
            files["dislike"].append(f"{user}\t{item}\t{time}" + (f"\t{part}" if split else ""))
    return files, sorted(known_items)


def check(folder, files, items):
    found = {path.name.split(".")[1]: path.read_text().splitlines() for path in folder.glob("*.inter")}
    assert {lines.pop(0) for lines in found.values()} == {HEADER, f"{HEADER}\tpart:token"}
    assert found == files
    assert (folder / f"{folder.name}.item").read_text().splitlines() == ["item_id:token", *map(str, items)]


def test_the_benchmarks_rule_and_split_from_the_rows(log, workplace, capsys):
    assert convert() == 0
    files, items = expected(log)
    assert all(len(lines) > 5 for lines in files.values()) and str(2**32 - 1) in map(str, items)
    check(workplace / "data" / "d", files, items)
    said = capsys.readouterr().out
    count = sum(len(files[part]) for part in PARTS)
    assert f"{count} interactions of " in said and f"{len(files['dislike'])} dislikes, none of them positive" in said
    every = [row for row in standing(log.table, listened, True) if row[0] == "positive"]
    repeats = len(every) - len({row[2:4] for row in every})
    assert repeats and f"{repeats} positive rows are of a user and an item that had one before" in said


RULES = {
    "event_type = 'like' or played_ratio_pct >= 50": lambda row: row.event_type == "like" or listened(row),
    "event_type = 'like'": lambda row: row.event_type == "like",
    "is_organic = 1 and track_length_seconds * played_ratio_pct > 6000": lambda row: bool(
        row.event_type == "listen"
        and not pd.isna(row.played_ratio_pct)
        and row.is_organic
        and int(row.track_length_seconds) * int(row.played_ratio_pct) > 6000
    ),
    "true": lambda row: row.event_type in ("listen", "like"),  # whatever it says, no dislike and nothing taken back
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_of_ones_own(log, workplace, rule):
    assert convert(f"--positive={rule}") == 0
    check(workplace / "data" / "d", *expected(log, RULES[rule]))


def test_the_files_of_each_event_give_what_the_one_of_all_gives(log, workplace):
    (log.folder / "flat" / "50m" / "multi_event.parquet").unlink()
    rule = "is_organic = 0 and event_type = 'like' or played_ratio_pct > 90"
    assert convert(f"--positive={rule}") == 0
    files, items = expected(
        log,
        lambda row: (row.event_type == "like" and not row.is_organic) or (listened(row) and row.played_ratio_pct > 90),
    )
    check(workplace / "data" / "d", files, items)


@pytest.mark.parametrize("given", [{"users": 6}, {"users": 9, "items": 12, "seed": 5}])
def test_users_and_items_are_drawn_by_their_hashes(log, workplace, given):
    assert convert(*(f"--{name}={value}" for name, value in given.items())) == 0
    check(workplace / "data" / "d", *expected(log, **given))


def test_users_whom_training_does_not_know_leave_validation_and_test(log, workplace, capsys):
    late = log.table[(log.table["uid"] != 101) | (log.table["timestamp"] >= 25_825_400)]
    log.table = late.reset_index(drop=True)
    write_events(log.folder / "flat" / "50m", log.table)
    assert convert() == 0
    files, items = expected(log)
    check(workplace / "data" / "d", files, items)
    strangers = {row[2:4] for row in standing(log.table, listened, True) if row[0] == "positive" and row[2] == 101}
    said = capsys.readouterr().out
    assert f"{len(strangers)} interactions of validation and test are of users without one in training and left" in said
    people = set(log.table["uid"].tolist())
    seed = next(seed for seed in range(99) if 101 in drawn(people, 5, seed))  # were it among those who are drawn
    assert convert("--users=5", f"--seed={seed}", name="e") == 0
    check(workplace / "data" / "e", *expected(log, users=5, seed=seed))


def test_one_table_has_the_gaps_too_and_loads_in_time(log, workplace):
    assert convert("--drop-split") == 0
    files, _ = expected(log, split=False)
    lines = (workplace / "data" / "d" / "d.inter").read_text().splitlines()
    assert lines == [HEADER, *files["train"]]
    assert (workplace / "data" / "d" / "d.dislike.inter").read_text().splitlines() == [HEADER, *files["dislike"]]
    assert any(part_of(int(line.split("\t")[2]), True) is None for line in files["train"])


def test_recbole_loads_the_parts_and_the_dislikes(log):
    assert convert("--users=8") == 0
    (config,) = resolve_configs(["MMSheaf"], "d", [], {"data_path": "data", "cache_dir": "cache"})
    split = load_split(config)
    files, _ = expected(log, users=8)
    names = split.dataset.field2id_token
    for part, name in zip(split.parts, PARTS):
        pairs = zip(*(names[field][part.inter_feat[field]] for field in ("user_id", "item_id")))
        assert list(pairs) == [tuple(line.split("\t")[:2]) for line in files[name]]
    assert len(split.dataset.relations["dislike"].users)


def test_vectors_are_joined_by_id(log, workplace, capsys):
    assert convert() == 0
    _, items = expected(log)
    tokens, rows = read_features(workplace / "data" / "d" / "features" / "content.npy")
    of_item = {int(item): vector for item, vector in zip(log.ids, log.vectors)}
    assert tokens == [str(item) for item in items if item in of_item] and rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.array([of_item[int(token)] for token in tokens], np.float32))
    absent = len(items) - len(tokens)
    assert absent == 1
    assert f"content: {len(tokens)} vectors of {DIMENSIONS} numbers; 1 item has none" in capsys.readouterr().out


def test_without_vectors_there_are_none(log, workplace, capsys):
    (log.folder / "embeddings.parquet").unlink()
    assert convert("--users=3") == 0
    assert "no vectors of items: embeddings.parquet does not lie near" in capsys.readouterr().out
    assert not (workplace / "data" / "d" / "features").exists()


def test_columns_of_other_widths_mean_the_same(log, workplace):
    table = log.table.astype({"uid": np.int64, "item_id": np.int64, "timestamp": np.int64, "is_organic": bool})
    table["played_ratio_pct"] = table["played_ratio_pct"].astype(float)
    with duckdb.connect() as db:  # words that are no dictionary
        db.register("frame", table)
        db.execute(f"COPY (FROM frame) TO '{log.folder / 'flat/50m/multi_event.parquet'}' (FORMAT parquet)")
    assert convert("--positive=is_organic = 1 and played_ratio_pct >= 50") == 0
    check(workplace / "data" / "d", *expected(log, lambda row: listened(row) and row.is_organic == 1))


def event(log, event_type, **values):
    """One row of the file of all events, changed."""
    place = log.table.index[log.table["event_type"] == event_type][2]
    table = log.table.astype(dict.fromkeys(values, object))
    table.loc[place, list(values)] = list(values.values())
    write_all(log, table.astype(dict.fromkeys(values, "Int64")))


def write_all(log, table):
    write_parquet(log.folder / "flat" / "50m" / "multi_event.parquet", table)


def without(log, *names):
    for name in ("multi_event.parquet", *names):
        (log.folder / "flat" / "50m" / name).unlink()


def vectors(log, **given):
    ids, rows = given.get("ids", log.ids), given.get("rows", log.vectors.tolist())
    write_vectors(log.folder, ids, rows)


def one_vector(log, vector):
    rows = log.vectors.tolist()
    rows[int(np.flatnonzero(log.ids == 5)[0])] = vector
    vectors(log, rows=rows)


REFUSED = {
    "no folder of it": (lambda log: shutil.rmtree(log.folder / "flat" / "50m"), [], "flat/50m is no folder of Yambda"),
    "another folder": (lambda log: without(log, *FILES.values()), [], "50m is no folder of Yambda: it has no multi_ev"),
    "a file missing": (
        lambda log: without(log, "dislikes.parquet", "unlikes.parquet"),
        [],
        "50m lacks dislikes.parquet and unlikes.parquet, so what was disliked",
    ),
    "lists of each user": (
        lambda log: write_all(log, pd.DataFrame({"uid": [1], "item_ids": [[1, 2]], "timestamps": [[5, 5]]})),
        [],
        "has no column item_id, it has uid, item_ids, timestamps; take the file of flat/",
    ),
    "lists under the same names": (
        lambda log: write_all(log, pd.DataFrame({"uid": [1], "item_id": [[1, 2]], "timestamp": [[5, 5]]})),
        [],
        "[], expected whole numbers; take the file of flat/",
    ),
    "a damaged file": (
        lambda log: (log.folder / "flat" / "50m" / "multi_event.parquet").write_bytes(b"PAR1"),
        [],
        "multi_event.parquet cannot be read",
    ),
    "times in words": (lambda log: write_all(log, log.table.astype({"timestamp": str})), [], "expected whole numbers"),
    "ratios in words": (
        lambda log: write_all(log, log.table.assign(played_ratio_pct="all")),
        [],
        "names the column 'played_ratio_pct'; there are",
    ),
    "no ratios": (
        lambda log: write_all(log, log.table.drop(columns="played_ratio_pct")),
        [],
        "names the column 'played_ratio_pct'",
    ),
    "no events": (lambda log: write_all(log, log.table.drop(columns="event_type")), [], "has no column event_type"),
    "another event": (
        lambda log: write_all(log, log.table.replace({"event_type": {"unlike": "skip"}})),
        [],
        "event_type is skip in row",
    ),
    "an id beyond": (
        lambda log: event(log, "like", item_id=2**32),
        [],
        "of multi_event.parquet, expected a number from 0 to 4294967295; take the file of flat/",
    ),
    "an id below": (lambda log: event(log, "unlike", uid=-1), ["--users=3"], "uid is -1 in row"),
    "no time": (lambda log: event(log, "dislike", timestamp=None), [], "timestamp is empty in row"),
    "a time below": (lambda log: event(log, "listen", timestamp=-5), [], "timestamp is -5 in row"),
    "a ratio below": (lambda log: event(log, "listen", played_ratio_pct=-2), [], "played_ratio_pct is -2"),
    "no SQL": (None, ["--positive=played_ratio_pct >="], "is no SQL (syntax error"),
    "reading a file": (None, ["--positive=read_csv('/etc/passwd')"], "calls 'read_csv'"),
    "no column": (None, ["--positive=played_ratio >= 50"], "(did you mean 'played_ratio_pct'"),
    "nothing positive": (None, ["--positive=event_type = 'likes'"], "makes no interaction of these files positive"),
    "a part empty": (
        lambda log: write_events(log.folder / "flat" / "50m", log.table[log.table["timestamp"] < 25_911_800]),
        [],
        "the test part has no positive interaction; take more of the log, or --drop-split",
    ),
    "vectors of others": (lambda log: vectors(log, ids=log.ids // 2 + 10**7), [], "has none of the"),
    "a vector twice": (
        lambda log: vectors(log, ids=np.where(log.ids == 5, 6, log.ids).astype(np.uint32)),
        [],
        "embeddings.parquet has 1 item more than once (first: 6)",
    ),
    "a shorter vector": (lambda log: one_vector(log, [1.0]), [], f"has vectors of 1 to {DIMENSIONS} numbers"),
    "a vector without a number": (lambda log: one_vector(log, [np.nan] * DIMENSIONS), [], "values that are NaN or Inf"),
    "a vector with nothing": (lambda log: one_vector(log, [None] * DIMENSIONS), [], "values that are NaN or Inf"),
    "a number beyond": (lambda log: one_vector(log, [1e300] * DIMENSIONS), [], "values that are NaN or Inf"),
    "vectors of words": (
        lambda log: vectors(log, rows=[["a"]] * len(log.ids)),
        [],
        "embed of the type VARCHAR[], expected lists of floats",
    ),
    "no vectors": (
        lambda log: write_parquet(log.folder / "embeddings.parquet", pd.DataFrame({"item_id": log.ids})),
        [],
        "embed of the type of no column",
    ),
    "too little": (None, ["--memory=1MB"], "--memory=1MB is too little for this"),
    "no users": (None, ["--users=0"], "--users=0 is out of range"),
    "items of a file": (None, ["--items=tracks.csv"], "--items=tracks.csv is no number"),
    "weeks": (None, ["--weeks=1:2"], "--weeks is for --layout=vk-lsvd; leave --weeks out"),
    "dimensions": (None, ["--dimensions=4"], "--dimensions is for --layout=vk-lsvd"),
    "a column of tables": (None, ["--user=who"], "--user is not for --layout=yambda; leave --user out"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_so_is_one_sentence_and_nothing_is_written(log, workplace, capsys, case):
    change, options, message = REFUSED[case]
    if change:
        change(log)
    assert convert(*options) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (workplace / "data").exists()


def test_options_of_both_logs_are_for_these(workplace, capsys):
    assert main(["convert", "a.csv", "--to=data/d", "--users=3"]) == 2
    assert "--users is for --layout=vk-lsvd and --layout=yambda; leave" in capsys.readouterr().err


def test_a_condition_runs_where_no_other_file_can_be_read(log, workplace, monkeypatch, capsys):
    """Were a call to pass the list, DuckDB would refuse the file all the same."""
    (workplace / "secret.csv").write_text("uid\n101\n")
    passed = Condition("\"uid\" IN (SELECT uid FROM read_csv('secret.csv'))", frozenset({"uid"}))
    monkeypatch.setattr("recbole_sheaf.data.yambda_queries.read_condition", lambda *_: passed)
    assert convert() == 2
    assert "file system operations are disabled" in capsys.readouterr().err


@pytest.mark.slow
def test_two_million_events_within_a_limit_of_memory(workplace):
    """Of 192 MB; what stands is what plain pandas finds. 64 MB are too little, and refused in a sentence."""
    log = write_yambda(workplace / "yambda", rows=2_000_000, users=20_000, items=10_000)
    wanted = yambda.Wanted(positive="event_type = 'listen'", keep_split=False, memory="192MB")
    yambda.write_yambda(workplace / "yambda" / "flat" / "50m", workplace / "data" / "d", wanted)
    found = pd.read_csv(workplace / "data" / "d" / "d.inter", sep="\t").set_axis(
        ["uid", "item_id", "timestamp"], axis=1
    )
    pair = ["uid", "item_id"]
    last = {
        kind: log.table[log.table["event_type"] == kind].groupby(pair)["timestamp"].max().rename(kind)
        for kind in ("undislike",)
    }
    dislikes = log.table[log.table["event_type"] == "dislike"].join(last["undislike"], on=pair)
    stands = (
        dislikes[~(dislikes["undislike"] >= dislikes["timestamp"])].groupby(pair)["timestamp"].max().rename("since")
    )
    listens = log.table[log.table["event_type"] == "listen"].join(stands, on=pair)
    kept = listens[~(listens["since"] >= listens["timestamp"])].groupby(pair, as_index=False)["timestamp"].min()
    order = ["timestamp", *pair]
    pd.testing.assert_frame_equal(found, kept.sort_values(order, ignore_index=True), check_dtype=False)

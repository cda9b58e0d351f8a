"""VK-LSVD's files into a dataset folder: each value against plain loops over the rows, each trap, each refusal."""

import glob
import hashlib
import json
import shlex
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.data import vk_lsvd
from recbole_sheaf.data.conditions import Condition
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.features import read_features
from tests.conftest import REPOSITORY
from tests.data.vk_lsvd import DIMENSIONS, write_parquet, write_vk_lsvd, write_week

PARTS = {3: "valid", 4: "test"}
HEADER = "user_id:token\titem_id:token\ttimestamp:float"


@pytest.fixture(scope="module")
def written_once(tmp_path_factory):
    return write_vk_lsvd(tmp_path_factory.mktemp("vk") / "vk")


@pytest.fixture
def vk(written_once, workplace):
    shutil.copytree(written_once.folder, workplace / "vk")
    return SimpleNamespace(**{**vars(written_once), "folder": workplace / "vk"})


def convert(*arguments, name="d"):
    return main(["convert", "vk", f"--to=data/{name}", "--layout=vk-lsvd", *map(str, arguments)])


def published(row, duration):
    liked = row.like or row.share or row.bookmark or row.click_on_author
    return bool(liked) or (duration is not None and row.timespent >= 0.7 * duration)


def expected(vk, positive=published, weeks=range(5), users=None, items=None, seed=2020, split=True):
    """Lines by file, from the rows one at a time."""
    rows, ordinal = [], 0
    for week in weeks:
        for row in vk.tables[week].itertuples():
            kind = "dislike" if row.dislike else "positive" if positive(row, vk.durations.get(row.item_id)) else None
            rows.append((kind, PARTS.get(week, "train"), int(row.user_id), int(row.item_id), ordinal))
            ordinal += 1
    known_users = drawn({row[2] for row in rows if row[0] == "positive"}, users, seed)
    rows = [row for row in rows if row[2] in known_users]
    known_items = drawn({row[3] for row in rows if row[0] == "positive"}, items, seed)
    rows = [row for row in rows if row[3] in known_items]
    positives = [row for row in rows if row[0] == "positive"]
    known_users, known_items = {row[2] for row in positives}, {row[3] for row in positives}
    files = {part: [] for part in ("train", "valid", "test", "dislike")}
    for kind, part, user, item, place in rows:
        if kind == "positive":
            files[part].append(f"{user}\t{item}\t{place}")
        elif kind and user in known_users and item in known_items:
            files["dislike"].append(f"{user}\t{item}\t{place}" + (f"\t{part}" if split else ""))
    return files, sorted(known_items)


def drawn(ids, number, seed):
    by_hash = sorted(ids, key=lambda each: (hashlib.md5(f"{seed}:{each}".encode()).hexdigest(), each))
    return set(by_hash[:number])


def written(folder):
    lines = {path.name.split(".")[1]: path.read_text().splitlines() for path in folder.glob("*.inter")}
    for name, of_file in lines.items():
        assert of_file.pop(0) in (HEADER, f"{HEADER}\tpart:token"), name
    return lines


def check(vk, folder, files, items):
    found = written(folder)
    assert found == {name: lines for name, lines in files.items() if lines}
    assert (folder / f"{folder.name}.item").read_text().splitlines() == ["item_id:token", *map(str, items)]
    places = [int(line.split("\t")[2]) for part in ("train", "valid", "test") for line in found[part]]
    assert places == sorted(places) and len(set(places)) == len(places)


def test_the_published_rule_and_split_from_the_rows(vk, workplace, capsys):
    assert convert() == 0
    files, items = expected(vk)
    assert len(files["dislike"]) > 2 and str(2**32 - 1) in map(str, items)
    check(vk, workplace / "data" / "d", files, items)
    said = capsys.readouterr().out
    count = sum(len(files[part]) for part in ("train", "valid", "test"))
    assert (
        f"{count} interactions of " in said
        and f"{len(files['dislike'])} dislikes, none of them positive, in d." in said
    )
    assert f"kept: {len(files['train'])} in train, {len(files['valid'])} in valid, {len(files['test'])} in test" in said
    trained = {line.split("\t")[0] for line in files["train"]}
    strange = sum(line.split("\t")[0] not in trained for part in ("valid", "test") for line in files[part])
    assert strange and f"{strange} interactions of validation and test are of users without one in training" in said


RULES = {
    "like or share or timespent >= 0.7 * duration": lambda row, duration: bool(
        row.like or row.share or (duration is not None and row.timespent >= 0.7 * duration)
    ),
    'LIKE = true and not "share" or place in (1, 2) and platform <> 3': lambda row, duration: bool(
        (row.like and not row.share) or (row.place in (1, 2) and row.platform != 3)
    ),
    "timespent / duration between 0.5 and 2": lambda row, duration: (
        duration is not None and 0.5 <= row.timespent / duration <= 2
    ),
    "case when open_comments then true else agent = 2 end": lambda row, duration: bool(
        row.open_comments or row.agent == 2
    ),
    "10 * timespent - 7 * duration >= -400": lambda row, duration: (  # beyond what the columns' own types hold
        duration is not None and 10 * int(row.timespent) - 7 * duration >= -400
    ),
    "author_id = 7 and timespent > 20": lambda row, duration: duration is not None and row.timespent > 20,
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_of_ones_own(vk, workplace, rule):
    assert convert(f"--positive={rule}") == 0
    check(vk, workplace / "data" / "d", *expected(vk, RULES[rule]))


@pytest.mark.parametrize("given", [{"users": 7}, {"items": 9}, {"users": 9, "items": 12, "seed": 5}, {"users": 10**6}])
def test_users_and_items_are_drawn_by_their_hashes(vk, workplace, given, capsys):
    assert convert(*(f"--{name}={value}" for name, value in given.items())) == 0
    check(vk, workplace / "data" / "d", *expected(vk, **given))
    assert ("more than the 20 that there are" in capsys.readouterr().out) is (given == {"users": 10**6})


def test_weeks_of_training_are_chosen_and_the_others_come_along(vk, workplace):
    assert convert("--weeks=1:2") == 0 and convert("--weeks=1:3", name="e") == 0
    check(vk, workplace / "data" / "d", *expected(vk, weeks=range(1, 5)))
    assert written(workplace / "data" / "d") == written(workplace / "data" / "e")  # 3 is validation's in any case


def test_one_table_of_the_weeks_that_are_named(vk, workplace):
    assert convert("--weeks=1:3", "--drop-split") == 0
    files, _ = expected(vk, weeks=range(1, 4), split=False)
    lines = (workplace / "data" / "d" / "d.inter").read_text().splitlines()
    assert lines == [HEADER, *files["train"], *files["valid"]]
    assert (workplace / "data" / "d" / "d.dislike.inter").read_text().splitlines() == [HEADER, *files["dislike"]]


def test_weeks_that_nobody_names_need_not_be_there(vk, workplace):
    week_of(vk, 0).unlink()
    week_of(vk, 2).unlink()
    assert convert("--weeks=1") == 0
    check(vk, workplace / "data" / "d", *expected(vk, weeks=(1, 3, 4)))


@pytest.mark.parametrize("subsample", ["interactions", "subsamples/up0.001_ip0.001"])
def test_a_folder_of_interactions_finds_its_metadata(vk, workplace, subsample):
    (workplace / "vk" / "subsamples").mkdir()
    (workplace / "vk" / "interactions").rename(workplace / "vk" / subsample)
    assert main(["convert", f"vk/{subsample}", "--to=data/d", "--layout=vk-lsvd"]) == 0
    check(vk, workplace / "data" / "d", *expected(vk))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dimensions", [None, 3])
def test_vectors_are_joined_by_id(workplace, capsys, monkeypatch, compressed, dimensions):
    monkeypatch.setattr("recbole_sheaf.files.arrays.BLOCK_BYTES", 300)  # a few rows, and ids, at a time
    vk = write_vk_lsvd(workplace / "vk", compressed=compressed)
    assert convert(*([f"--dimensions={dimensions}"] if dimensions else [])) == 0
    _, items = expected(vk)
    tokens, rows = read_features(workplace / "data" / "d" / "features" / "content.npy")
    of_item = {int(item): vector for item, vector in zip(vk.ids, vk.vectors)}
    assert tokens == [str(item) for item in vk.ids if int(item) in items] and rows.dtype == np.float16
    for token, row in zip(tokens, rows):
        np.testing.assert_array_equal(row, of_item[int(token)][: dimensions or DIMENSIONS])
    said = capsys.readouterr().out
    assert f"content: {len(tokens)} vectors of {dimensions or DIMENSIONS} numbers" in said and "1 item has none" in said
    if dimensions:
        squares = np.array([of_item[int(token)] for token in tokens], np.float64) ** 2
        assert f"the first of 64, which hold {squares[:, :3].sum() / squares.sum():.1%} of the squares" in said


def loaded(name, **given):
    (config,) = resolve_configs(["MMSheaf"], name, [], {"data_path": "data", "cache_dir": "cache", **given})
    split = load_split(config)
    names = split.dataset.field2id_token
    return [
        list(zip(*(names[field][part.inter_feat[field]].tolist() for field in ("user_id", "item_id"))))
        for part in split.parts
    ]


def test_recbole_loads_the_parts_and_the_dislikes(vk):
    assert convert() == 0
    files, _ = expected(vk)
    pairs = {name: [tuple(line.split("\t")[:2]) for line in lines] for name, lines in files.items()}
    assert loaded("d") == [pairs[part] for part in ("train", "valid", "test")]
    assert loaded("d", benchmark_filename=["train", "dislike", "test"])[1] == pairs["dislike"]


def test_one_table_is_cut_in_time(vk):
    assert convert("--drop-split") == 0
    files, _ = expected(vk, split=False)
    rows = [line.split("\t") for part in ("train", "valid", "test") for line in files[part]]
    first = int(len(rows) * 0.8)
    train, *later = loaded("d", split="time_global")
    assert train == [tuple(row[:2]) for row in rows[:first]]
    known = {user for user, _ in train}
    assert later[0] + later[1] == [tuple(row[:2]) for row in rows[first:] if row[0] in known]


def test_an_older_dataset_is_replaced_whole(vk, workplace):
    assert convert() == 0 and convert() == 2
    assert convert("--drop-split", "--positive=like and not share", "--overwrite") == 0
    names = sorted(path.name for path in (workplace / "data" / "d").iterdir())
    assert [name for name in names if "dislike" not in name] == ["convert.json", "d.inter", "d.item", "features"]
    listed = json.loads((workplace / "data" / "d" / "convert.json").read_text())["sha256"]
    assert set(listed) == {*names, "features/content.npy", "features/content.ids.txt"} - {"convert.json", "features"}


def other(vk, week=1, **columns):
    write_week(vk.folder, week, 5, vk.tables[week].assign(**columns))


def one_row(vk, week=1, **values):
    table = vk.tables[week].copy()
    for name, value in values.items():
        table[name] = table[name].astype(object if value is None else np.int64)
        table.loc[4, name] = value
    write_week(vk.folder, week, 5, table)


def metadata(vk, **columns):
    items = pd.DataFrame({"item_id": np.arange(1, 30, dtype=np.uint32), "duration": np.full(29, 9, np.int16)})
    write_parquet(vk.folder / "metadata" / "items_metadata.parquet", items.assign(**columns))


def archive(vk, **arrays):
    arrays = {"item_id": vk.ids, "embedding": vk.vectors, **arrays}
    np.savez(
        vk.folder / "metadata" / "item_embeddings.npz",
        **{name: array for name, array in arrays.items() if array is not None},
    )


def moved(vk, old, new):
    (vk.folder / new).parent.mkdir(exist_ok=True, parents=True)
    (vk.folder / old).rename(vk.folder / new)


def week_of(vk, week):
    return next(vk.folder.rglob(f"week_{week:02}.parquet"))


REFUSED = {
    "a week missing": (lambda vk: week_of(vk, 1).unlink(), [], "vk lacks week_01.parquet; add the file"),
    "the first week missing": (lambda vk: week_of(vk, 0).unlink(), [], "vk lacks week_00.parquet; add the file"),
    "the last week missing": (lambda vk: week_of(vk, 2).unlink(), [], "vk lacks week_02.parquet; add the file"),
    "weeks missing of one table": (lambda vk: week_of(vk, 3).unlink(), ["--drop-split"], "vk lacks week_03.parquet"),
    "a week that is named": (None, ["--weeks=1:9"], "vk lacks week_05.parquet and 4 more weeks"),
    "no test": (lambda vk: week_of(vk, 4).unlink(), [], "vk has no week of test; add its file, or give --drop-split"),
    "a week of two parts": (
        lambda vk: moved(vk, "interactions/test/week_04.parquet", "interactions/test/week_02.parquet"),
        [],
        "week_02.parquet comes after validation/week_03.parquet",
    ),
    "no folder of it": (lambda vk: moved(vk, "interactions/train", "interactions/past"), [], "is no folder of VK-LSVD"),
    "no range": (None, ["--weeks=3-5"], "--weeks=3-5 is no range of weeks"),
    "a range backwards": (None, ["--weeks=2:1"], "--weeks=2:1 is no range of weeks"),
    "a range without training": (None, ["--weeks=3:4"], "--weeks=3:4 holds no week of training; those are 0 to 2"),
    "a damaged week": (lambda vk: week_of(vk, 1).write_bytes(b"PAR1"), [], "week_01.parquet cannot be read"),
    "a text for a number": (
        lambda vk: other(vk, user_id="u1"),
        [],
        "user_id of the type VARCHAR, expected whole numbers",
    ),
    "numbers for booleans": (lambda vk: other(vk, like=1), [], "has like of the type BIGINT, expected true or false"),
    "a column less": (
        lambda vk: write_week(vk.folder, 2, 5, vk.tables[2].drop(columns="bookmark")),
        [],
        "week_02.parquet has no column bookmark",
    ),
    "an id beyond": (
        lambda vk: one_row(vk, item_id=2**32),
        [],
        "item_id is 4294967296 in row 5 of week 1, expected a num",
    ),
    "an id below": (lambda vk: one_row(vk, user_id=-1), ["--users=3"], "user_id is -1 in row 5 of week 1"),
    "no id": (lambda vk: one_row(vk, user_id=None), [], "user_id is empty in row 5 of week 1"),
    "a negative time": (
        lambda vk: one_row(vk, timespent=-3),
        [],
        "timespent is -3 in row 5 of week 1, expected seconds",
    ),
    "a negative duration": (
        lambda vk: metadata(vk, duration=np.r_[-4, np.ones(28)]),
        [],
        "duration -4.0 for item_id 1",
    ),
    "a duration in words": (lambda vk: metadata(vk, duration="long"), [], "names the column 'duration'; there are"),
    "an item twice": (lambda vk: metadata(vk, item_id=np.uint32(7)), [], "has the item_id 7 more than once"),
    "no durations": (
        lambda vk: (vk.folder / "metadata" / "items_metadata.parquet").unlink(),
        [],
        "metadata/items_metadata.parquet does not lie near",
    ),
    "no SQL": (None, ["--positive=like or"], "is no SQL (syntax error"),
    "two statements": (None, ["--positive=like; DROP TABLE rows"], "is no SQL (syntax error"),
    "reading a file": (None, ["--positive=read_csv('/etc/passwd')"], "calls 'read_csv'"),
    "reading a text": (None, ["--positive=read_text('/etc/passwd') = ''"], "calls 'read_text'"),
    "a subquery": (None, ["--positive=(select true)"], "holds a subquery"),
    "a subquery of a file": (None, ["--positive=like in (select 1 from 'x.csv')"], "holds a subquery"),
    "a table": (None, ["--positive=like) from read_csv('/etc/passwd') where (true"], "is more than one expression"),
    "a variable": (None, ["--positive=getenv('HOME') = ''"], "calls 'getenv'"),
    "a setting": (None, ["--positive=current_setting('threads') = 1"], "calls 'current_setting'"),
    "an aggregate": (None, ["--positive=count(*) > 1"], "calls 'count_star'"),
    "a window": (None, ["--positive=sum(timespent) over () > 1"], "holds a window"),
    "no column": (None, ["--positive=liked"], "names the column 'liked' (did you mean 'like'"),
    "a number": (None, ["--positive=timespent"], "gives BIGINT, neither true nor false"),
    "a comparison of kinds": (None, ["--positive=like > 'abc'"], "by --positive=like > 'abc' (Conversion Error"),
    "a long condition": (None, [f"--positive={'not ' * 600}like"], "has 2,404 characters"),
    "a deep condition": (None, [f"--positive={'not ' * 490}like"], "--positive="),
    "an empty condition": (None, ["--positive="], "expected a condition over columns"),
    "nothing positive": (None, ["--positive=timespent > 200"], "makes no interaction of these files positive"),
    "nothing in a part": (
        lambda vk: write_week(vk.folder, 4, 5, vk.tables[4].assign(like=False)),
        ["--positive=like"],
        "the test part has no positive interaction",
    ),
    "more dimensions": (None, ["--dimensions=65"], "--dimensions=65 is more than the 64 that item_embeddings.npz has"),
    "no dimensions": (None, ["--dimensions=0"], "--dimensions=0 is out of range, expected 1 or more"),
    "no users": (None, ["--users=-1"], "--users=-1 is out of range"),
    "items of a file": (None, ["--items=videos.csv"], "--items=videos.csv is no number"),
    "vectors of others": (lambda vk: archive(vk, item_id=np.arange(10**7, 10**7 + len(vk.ids))), [], "has none of the"),
    "objects": (lambda vk: archive(vk, item_id=vk.ids.astype(object)), [], "holds Python objects, which are never"),
    "objects of vectors": (lambda vk: archive(vk, embedding=vk.vectors.astype(object)), [], "holds Python objects"),
    "no member": (lambda vk: archive(vk, embedding=None, vectors=vk.vectors), [], "lacks 'embedding' and holds"),
    "other rows": (lambda vk: archive(vk, embedding=vk.vectors[1:]), [], "one for each row of floats"),
    "ids of text": (lambda vk: archive(vk, item_id=vk.ids.astype(str)), [], "of type <U"),
    "ids of floats": (lambda vk: archive(vk, item_id=vk.ids.astype(float)), [], "expected whole numbers, one for each"),
    "an item's vector twice": (
        lambda vk: archive(vk, item_id=np.where(np.isin(vk.ids, [2, 3, 4, 5, 6]), 6, vk.ids)),
        [],
        "item more than once (first: 6)",
    ),
    "a vector without numbers": (
        lambda vk: archive(vk, embedding=np.where(vk.ids[:, None] < 10**6, np.nan, vk.vectors)),
        [],
        "values that are NaN or Inf",
    ),
    "a cut archive": (
        lambda vk: moved(vk, "interactions/test/week_04.parquet", "metadata/item_embeddings.npz"),
        ["--drop-split"],
        "it is no .npz archive",
    ),
    "no amount": (None, ["--memory=much"], "--memory=much is no amount of memory"),
    "too little": (None, ["--memory=1MB"], "--memory=1MB is too little"),
    "a column of tables": (None, ["--user=who"], "--user is not for --layout=vk-lsvd; leave --user out"),
    "features": (None, ["--features=a=b.npy"], "--features is not for --layout=vk-lsvd"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_so_is_one_sentence_and_nothing_is_written(vk, workplace, capsys, case):
    change, options, message = REFUSED[case]
    if change:
        change(vk)
    assert convert(*options) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (workplace / "data").exists()


def test_options_of_it_are_for_it_alone(workplace, capsys):
    assert main(["convert", "a.csv", "--to=data/d", "--weeks=1:2"]) == 2
    assert "--weeks is for --layout=vk-lsvd; leave --weeks out" in capsys.readouterr().err


def test_a_condition_runs_where_no_other_file_can_be_read(vk, workplace, monkeypatch, capsys):
    """Were a call to pass the list, DuckDB would refuse the file all the same."""
    (workplace / "secret.csv").write_text("like\ntrue\n")
    passed = Condition("\"like\" IN (SELECT true FROM read_csv('secret.csv'))", frozenset({"like"}))
    monkeypatch.setattr("recbole_sheaf.data.vk_lsvd_queries.read_condition", lambda *_: passed)
    assert convert() == 2
    assert "file system operations are disabled" in capsys.readouterr().err


@pytest.mark.slow
def test_rows_beyond_the_limit_of_memory_are_put_on_disk(workplace):
    """48 MB for rows that take three times that in memory; every one of them is there, in its order."""
    vk = write_vk_lsvd(workplace / "vk", rows=3_000_000, users=20_000, items=10_000)
    wanted = vk_lsvd.Wanted(positive="timespent >= 0 and (duration >= 0 or duration is null)", memory="48MB")
    vk_lsvd.write_vk_lsvd(workplace / "vk", workplace / "data" / "d", wanted)
    every = pd.concat(vk.tables.values(), ignore_index=True).reset_index(names="timestamp")
    parts = [pd.read_csv(workplace / "data" / "d" / f"d.{part}.inter", sep="\t") for part in ("train", "valid", "test")]
    found = pd.concat(parts, ignore_index=True).set_axis(["user_id", "item_id", "timestamp"], axis=1)
    kept = every[~every["dislike"]].reset_index(drop=True)[list(found)]
    pd.testing.assert_frame_equal(found, kept, check_dtype=False)


@pytest.mark.slow
def test_the_commands_of_the_page_go_from_files_to_lists(workplace):
    """As printed in docs/bring-your-data.md, but for the epochs."""
    pytest.importorskip("pyarrow")
    vk = write_vk_lsvd(workplace / "VK-LSVD", weeks=27, rows=8_000, users=150, items=120)
    (workplace / "VK-LSVD" / "subsamples").mkdir()
    (workplace / "VK-LSVD" / "interactions").rename(workplace / "VK-LSVD" / "subsamples" / "up0.001_ip0.001")
    page = (REPOSITORY / "docs" / "bring-your-data.md").read_text(encoding="utf-8").partition("## VK-LSVD")[2]
    block = page.partition("```bash\n")[2].partition("```")[0].replace("\\\n", " ")
    commands = [shlex.split(line) for line in block.splitlines()]
    assert [words[1] for words in commands] == ["convert", "run", "export", "recommend", "similar"]
    for _, *words in commands:
        arguments = [path for word in words for path in (sorted(glob.glob(word)) if "*" in word else [word])]
        fewer = ["--epochs=2", "--show_progress=False"] if words[0] == "run" else []
        assert main([*arguments, *fewer]) == 0
    lists = pd.read_parquet("lists.parquet")
    users = {str(user) for week in range(20, 25) for user in vk.tables[week]["user_id"]}
    assert len(lists) == 20 * lists["user"].nunique() and set(lists["user"]) <= users

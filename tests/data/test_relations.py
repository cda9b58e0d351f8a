"""Dislikes and the like: which pairs are kept, which of them were known, and that no list holds one."""

import json
import logging

import duckdb
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from recbole_sheaf.data.relations import relations_of
from recbole_sheaf.embeddings.embeddings import DISLIKED, DISLIKED_LATER, TEST, TRAIN, Histories
from recbole_sheaf.embeddings.explanation import explain
from recbole_sheaf.embeddings.new_users import with_clicks
from recbole_sheaf.embeddings.ranking import top_lists
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.errors import CheckpointError, ConfigError, DataError
from recbole_sheaf.experiments.checkpoints import restore
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.experiments.training import prepare, train
from recbole_sheaf.exports.files import read_embeddings, write_embeddings
from recbole_sheaf.files.checkpoint_file import KEY
from tests.conftest import opened
from tests.embeddings.toys import restored

HEAD = "user_id:token\titem_id:token"
CHOSEN = [("u0", "i0", 10), ("u0", "i1", 20), ("u0", "i2", 30), ("u0", "i3", 40), ("u0", "i4", 50)]
CHOSEN += [("u1", "i0", 1), ("u1", "i1", 2), ("u1", "i2", 3), ("u1", "i3", 4), ("u1", "i5", 5)]


@pytest.fixture
def tiny(workplace):
    """A dataset 'tiny' of two users with times; each one's last is in test, the one before in validation."""
    folder = workplace / "data" / "tiny"
    folder.mkdir(parents=True)
    rows = "".join(f"{user}\t{item}\t{time}\n" for user, item, time in CHOSEN)
    (folder / "tiny.inter").write_text(f"{HEAD}\ttimestamp:float\n{rows}")
    return folder


def beside(folder, lines, columns="", name="dislike"):
    """Write a relation beside a dataset."""
    path = folder / f"{folder.name}.{name}.inter"
    path.write_text("\n".join([HEAD + columns, *("\t".join(map(str, line)) for line in lines)]) + "\n")


def split_of(folder, split="leave_one_out", model="Pop", **settings):
    given = {"data_path": str(folder.parent), "split": split, "topk": [2], "state": "warning", **settings}
    if "benchmark_filename" in given:
        del given["split"]
    (config,) = resolve_configs([model], folder.name, [], {**given, "valid_metric": "Recall@2", "show_progress": False})
    return config, load_split(config)


def tokens(dataset, relation):
    """Of each pair user, item and whether it is known."""
    users = dataset.id2token(dataset.uid_field, relation.users)
    items = dataset.id2token(dataset.iid_field, relation.items)
    return set(zip(users.tolist(), items.tolist(), relation.known.tolist()))


def kept(folder, *given, **settings):
    dataset = split_of(folder, *given, **settings)[1].dataset
    return tokens(dataset, relations_of(dataset)["dislike"])


def test_a_part_says_what_was_known(tiny):
    beside(tiny, [("u0", "i5", "train"), ("u1", "i4", "valid"), ("u1", "i4", "test")], "\tpart:token")
    assert kept(tiny) == {("u0", "i5", True), ("u1", "i4", False)}
    for parts in (("test", "train"), ("train", "test")):
        beside(tiny, [("u1", "i4", part) for part in parts], "\tpart:token")
        assert kept(tiny) == {("u1", "i4", True)}  # once is enough


@pytest.mark.parametrize(
    "split, expected",
    [
        ("leave_one_out", {("u0", "i5", True), ("u1", "i4", False)}),  # training ends at 30 for u0, at 3 for u1
        ("time_global", {("u0", "i5", True), ("u1", "i4", True)}),  # at 30 for everybody
        ("random", {("u0", "i5", True), ("u1", "i4", True)}),
    ],
)
def test_of_a_split_in_time_what_came_before_its_training_ended(tiny, split, expected):
    beside(tiny, [("u0", "i5", 29.5), ("u1", "i4", 29.5)], "\ttimestamp:float")
    assert kept(tiny, split) == expected


def test_what_came_when_training_ended_is_not_known(tiny):
    beside(tiny, [("u0", "i5", 30)], "\ttimestamp:float")
    assert kept(tiny) == {("u0", "i5", False)}


def test_without_a_word_of_when_a_split_in_time_is_refused_and_others_know_all(tiny):
    beside(tiny, [("u0", "i5")])
    assert kept(tiny, "random") == {("u0", "i5", True)}
    with pytest.raises(DataError, match="tiny.dislike.inter has no column timestamp.*a split is|split is one in time"):
        split_of(tiny)


def test_whoever_is_unknown_and_what_was_chosen_in_training_is_left_out_and_counted_once(tiny, caplog):
    lines = [("u0", "i5"), ("u9", "i5"), ("u0", "i9"), ("u0", "i0"), ("u0", "i4"), ("u0", "i5")]
    beside(tiny, [(*line, "train") for line in lines], "\tpart:token")
    with caplog.at_level(logging.WARNING):
        assert kept(tiny) == {("u0", "i5", True), ("u0", "i4", True)}
    said = [record.message for record in caplog.records if "dislike" in record.message]
    assert len(said) == 3 and said[0].startswith("2 of 6 rows") and said[1].startswith("1 pairs")
    assert said[2].startswith("1 pairs") and "count as missed" in said[2]


def test_several_relations_each_with_its_weight(tiny):
    beside(tiny, [("u0", "i5", "train")], "\tpart:token")
    beside(tiny, [("u1", "i4", "train")], "\tpart:token", "skip")
    split = split_of(tiny, relations={"skip": 2, "dislike": "auto"})[1]
    for dataset in (split.dataset, *split.parts):
        assert [(name, each.weight) for name, each in relations_of(dataset).items()] == [
            ("skip", 2),
            ("dislike", "auto"),
        ]
    assert list(relations_of(split_of(tiny)[1].dataset)) == ["dislike"]  # what `auto` takes
    assert not relations_of(split_of(tiny, relations={})[1].dataset)


@pytest.mark.parametrize(
    "relations, words",
    [
        (
            {"dislke": 1},
            r"relations names 'dislke'.*'dislike'.*no table tiny.dislke.inter; those beside .* are dislike",
        ),
        ({"dislike": -1}, "relations.dislike is -1, expected a number >= 0"),
        ({"dislike": float("nan")}, "relations.dislike is nan, expected a number >= 0"),
        ({"dislike": "much"}, "relations.dislike is 'much'"),
        ({"dislike": True}, "relations.dislike is True"),
        ({"../x": 1}, "a name in relations is '../x'"),
        (["dislike"], r"relations is \['dislike'\], expected 'key: value' lines or auto"),
    ],
)
def test_refused_settings(tiny, relations, words):
    beside(tiny, [("u0", "i5", "train")], "\tpart:token")
    with pytest.raises(ConfigError, match=words):
        split_of(tiny, relations=relations)


@pytest.mark.parametrize(
    "content, words",
    [
        ("user_id:token\tvideo:token\nu0\ti5\n", "tiny.dislike.inter has no column item_id; expected"),
        ("user_id:float\titem_id:token\n0\ti5\n", "gives user_id the type float; expected"),
        (f"{HEAD}\tpart:token\nu0\ti5\tlater\n", "has the part 'later', expected one of train, valid, test"),
        (f"{HEAD}\ttimestamp:float\nu0\ti5\tnoon\n", "has the timestamp 'noon', expected a number"),
        (f"{HEAD}\ttimestamp:float\nu0\ti5\t\n", "has the timestamp '', expected a number"),
        (f"{HEAD}\n", "is empty: a header and no interaction"),
        (f"{HEAD}\nu0\n", "another number of columns"),
    ],
)
def test_refused_tables(tiny, content, words):
    (tiny / "tiny.dislike.inter").write_text(content)
    with pytest.raises(DataError, match=words):
        split_of(tiny)


def test_a_part_of_the_split_is_no_relation(tiny):
    for name, rows in zip(("train", "valid", "test"), (CHOSEN[:3] + CHOSEN[5:], CHOSEN[3:4], CHOSEN[4:5])):
        lines = "".join(f"{user}\t{item}\n" for user, item, _ in rows)
        (tiny / f"tiny.{name}.inter").write_text(f"{HEAD}\n{lines}")
    ready = {"benchmark_filename": ["train", "valid", "test"]}
    beside(tiny, [("u0", "i5")])
    assert kept(tiny, **ready) == {("u0", "i5", True)}
    assert not relations_of(split_of(tiny, benchmark_filename=["train", "dislike", "test"])[1].dataset)
    with pytest.raises(ConfigError, match="relations names 'train'.*a part of the split; those beside .* are dislike"):
        split_of(tiny, relations={"train": 1}, **ready)


def test_known_dislikes_are_not_ranked_and_a_disliked_test_item_is_missed(tiny):
    """Pop lists i0 and i1 first, which both have; of what is left it is i4, i5 and what validation holds."""
    ready = prepare(*split_of(tiny))
    ready.trainer.fit(ready.train_data, None, verbose=False, saved=False)
    assert ready.trainer.evaluate(ready.test_data, load_best_model=False)["recall@2"] == 1.0
    beside(tiny, [("u0", "i4", "train"), ("u1", "i4", "valid")], "\tpart:token")
    config, split = split_of(tiny)
    ready = prepare(config, split)
    ready.trainer.fit(ready.train_data, None, verbose=False, saved=False)
    ids = split.dataset.field2token_id["item_id"]
    users = split.dataset.field2token_id["user_id"]
    left_out = {name: set(ready.test_data.uid2history_item[users[name]].tolist()) for name in users if name != "[PAD]"}
    assert left_out["u0"] == {ids[f"i{n}"] for n in (0, 1, 2, 3, 4)}  # in the test part, and missed
    assert left_out["u1"] == {ids[f"i{n}"] for n in (0, 1, 2, 3)}
    assert {ids["i4"]} <= set(ready.valid_data.uid2history_item[users["u0"]].tolist())
    assert ready.trainer.evaluate(ready.test_data, load_best_model=False)["recall@2"] == 0.5


@pytest.fixture
def disliked(toy):
    """Each user of the toy dataset dislikes some items of the other taste, two of them only after the training."""
    rng = np.random.default_rng(1)
    lines = []
    for user in range(30):
        items = rng.choice([item for item in range(60) if item % 2 != user % 2], 8, replace=False)
        lines += [(f"u{user}", f"i{item}", "train" if n < 6 else "test") for n, item in enumerate(items)]
    beside(toy / "toy", lines, "\tpart:token")
    return lines


@pytest.mark.parametrize("seen, later", [("masked", True), ("at_test", False), ("kept", True)])
def test_no_list_holds_what_a_user_dislikes(toy_settings, disliked, workplace, seen, later):
    embeddings = embeddings_of(restored("ItemSheaf", toy_settings))
    write_embeddings(embeddings, workplace / "x.npz")
    for found in (embeddings, read_embeddings(workplace / "x.npz")):
        listed = set()
        for some in top_lists(found, np.arange(len(found.users)), len(found.items), seen=seen):
            listed |= {(found.users[row], found.items[item]) for row, items, _ in some for item in items}
        assert len(listed) > 500
        for user, item, part in disliked:
            if item in found.items:
                assert ((user, item) in listed) == (part == "test" and not later)


def test_the_databases_query_holds_none_either(toy_settings, disliked, workplace):
    embeddings = embeddings_of(restored("EASE", toy_settings))
    write_embeddings(embeddings, workplace / "x.duckdb")
    never = {(user, item) for user, item, _ in disliked}
    with duckdb.connect(str(workplace / "x.duckdb"), read_only=True) as db:
        for user in embeddings.users.tolist():
            for parts in (0, 3):
                rows = db.execute("SELECT item FROM recommend(?, 100, seen_parts := ?)", [user, parts]).fetchall()
                assert rows and not never & {(user, item) for (item,) in rows}


def test_a_click_outweighs_a_dislike_and_a_dislike_is_no_history(toy_settings, disliked):
    embeddings = embeddings_of(restored("ItemSheaf", toy_settings))
    user, item, _ = next(line for line in disliked if line[1] in embeddings.items)
    (lists,) = top_lists(embeddings, embeddings.user_rows([user]), len(embeddings.items))
    ((_, items, _),) = lists
    assert not explain(embeddings, user, item).in_history
    assert explain(embeddings, user, str(embeddings.items[items[-1]])).rank == len(items)
    clicked = with_clicks(embeddings, user, [item])
    (row,) = embeddings.item_rows([item])
    assert clicked.histories.parts[clicked.histories.items == row].tolist() == [TRAIN]


def test_an_interaction_of_any_part_outweighs_a_dislike():
    found = Histories.of(
        2,
        np.array([0, 0, 1, 1, 1]),
        np.array([3, 3, 4, 4, 5]),
        np.array([DISLIKED, TEST, DISLIKED_LATER, TRAIN, DISLIKED]),
    )
    assert found.items.tolist() == [3, 4, 5] and found.parts.tolist() == [TEST, TRAIN, DISLIKED]


def test_a_checkpoint_knows_its_dislikes(toy_settings, disliked, tmp_path):
    own = {key: value for key, value in toy_settings.items() if key != "embedding_size"}
    (config,) = resolve_configs(["ItemSheaf"], "toy", [], {**own, "relations": {"dislike": 0.7}})
    result = train(config, load_split(config), tmp_path).result
    folder = tmp_path / "data" / "toy"
    table = folder / "toy.dislike.inter"
    before = table.read_text().splitlines()
    table.write_text("\n".join([before[0], *before[:0:-1]]) + "\n")  # in another order, and still the same
    again = restore(result.checkpoint, own["data_path"])
    assert again.model.closed_form.form.relations == (("dislike", 0.7),)
    users = torch.arange(again.model.n_users)
    torch.testing.assert_close(again.model.sheaf.scores(users), again.model.closed_form.fit("learnt").scores(users))
    table.write_text("\n".join(before[:-1]) + "\n")
    with pytest.raises(CheckpointError, match="of toy.dislike.inter"):
        restore(result.checkpoint, own["data_path"])
    table.unlink()
    with pytest.raises(ConfigError, match="relations names 'dislike'"):
        restore(result.checkpoint, own["data_path"])


def test_a_checkpoint_from_before_relations_reads_none(toy_settings, tmp_path):
    own = {key: value for key, value in toy_settings.items() if key != "embedding_size"}
    (config,) = resolve_configs(["ItemSheaf"], "toy", [], {**own, "relations": {}})
    result = train(config, load_split(config), tmp_path).result
    older = tmp_path / "older.safetensors"
    about, held = opened(result.checkpoint)
    del about["settings"]["relations"]
    save_file(held, older, {KEY: json.dumps(about)})
    beside(tmp_path / "data" / "toy", [("u0", "i0")])
    restored_config = restore(older, own["data_path"]).config
    assert restored_config["relations"] == {}
    about["settings"]["relations"] = "auto"
    save_file(held, older, {KEY: json.dumps(about)})
    with pytest.raises(CheckpointError, match="it did not read toy.dislike.inter, which is there now"):
        restore(older, own["data_path"])


@pytest.fixture
def rated(workplace):
    """Ratings of many users, each of ten items; the rating of item n by user u is 1 + (n + u) % 5, some are missing."""
    folder = workplace / "data" / "rated"
    folder.mkdir(parents=True)
    rows = [
        (f"u{u}", f"i{n}", "" if (u, n) == (0, 0) else 1 + (n + u) % 5, 10 * n + u)
        for u in range(20)
        for n in range(10)
    ]
    lines = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    (folder / "rated.inter").write_text(f"{HEAD}\trating:float\ttimestamp:float\n{lines}")
    return folder, {(u, i): (rating, time) for u, i, rating, time in rows}


@pytest.mark.parametrize("model", ["Pop", "ItemSheaf"])
def test_dislikes_of_ratings_leave_the_interactions_and_are_split_as_these(rated, model):
    folder, rows = rated
    split = split_of(folder, "random", model, dislikes="rating <= 2")[1]
    found = tokens(split.dataset, relations_of(split.dataset)["dislike"])
    assert {(user, item) for user, item, _ in found} == {pair for pair, (rating, _) in rows.items() if rating in (1, 2)}
    assert 0.7 < np.mean([known for _, _, known in found]) < 0.9
    chosen = split.dataset.inter_feat
    assert len(chosen) == len(rows) - len(found) and not {(u, i) for u, i, _ in found} & {
        (str(split.dataset.id2token("user_id", u)), str(split.dataset.id2token("item_id", i)))
        for u, i in zip(chosen["user_id"].tolist(), chosen["item_id"].tolist())
    }
    file = folder / "rated.inter"
    head, *lines = file.read_text().splitlines()
    file.write_text("\n".join([head, *lines[::-1]]) + "\n")
    again = split_of(folder, "random", model, dislikes="rating <= 2")[1].dataset
    assert tokens(again, relations_of(again)["dislike"]) == found  # whatever the order of lines
    other = split_of(folder, "random", model, dislikes="rating <= 2", split_seed=7)[1].dataset
    assert tokens(other, relations_of(other)["dislike"]) != found


def test_dislikes_of_ratings_are_known_by_their_time(rated):
    folder, rows = rated
    split = split_of(folder, "time", dislikes="rating <= 2")[1]
    found = tokens(split.dataset, relations_of(split.dataset)["dislike"])
    users = split.dataset.id2token("user_id", split.parts[0].inter_feat["user_id"].numpy()).tolist()
    items = split.dataset.id2token("item_id", split.parts[0].inter_feat["item_id"].numpy()).tolist()
    last = {}
    for user, item in zip(users, items):
        last[user] = max(last.get(user, 0), rows[user, item][1])
    assert found and {known for *_, known in found} == {True, False}
    assert all(known == (rows[user, item][1] < last[user]) for user, item, known in found)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"dislikes": "stars < 2"}, "dislikes names the column 'stars'; there are user_id, item_id, rating, timestamp"),
        ({"dislikes": "rating + 1"}, "dislikes.* gives DOUBLE, neither true nor false"),
        ({"dislikes": "rating < 9 or rating is null"}, "makes every interaction a dislike"),
        ({"dislikes": "(select 1) = 1"}, "dislikes.*subquery"),
        ({"dislikes": 2}, "dislikes is 2, expected a text"),
        ({"dislikes": "cast(item_id as int) < 3"}, "cannot be told of the interactions"),
    ],
)
def test_refused_conditions(rated, settings, words):
    with pytest.raises(ConfigError, match=words):
        split_of(rated[0], "random", **settings)


def test_two_words_on_what_is_disliked_are_refused(rated):
    beside(rated[0], [("u0", "i1")])
    with pytest.raises(ConfigError, match="both say what is disliked"):
        split_of(rated[0], "random", dislikes="rating <= 2")


def test_nobody_dislikes_yet_what_is_new(rated):
    """Of a split by items only dislikes of items with training interactions are known."""
    folder, _ = rated
    lines = "".join(f"v0\tj{n}\t5\t1\nv1\tj{n}\t5\t1\n" for n in range(40))
    with (folder / "rated.inter").open("a") as file:
        file.write(lines)
    beside(folder, [("u0", f"j{n}") for n in range(40)])
    split = split_of(folder, "cold_items")[1]
    trained = set(split.dataset.id2token("item_id", split.parts[0].inter_feat["item_id"].numpy()).tolist())
    found = tokens(split.dataset, relations_of(split.dataset)["dislike"])
    assert len(found) == 40 and all(known == (item in trained) for _, item, known in found)
    assert {known for *_, known in found} == {True, False}

"""A checkpoint knows its data: in any order of lines they give the run's own answers, other data are refused.

The right answers are those of the run itself, and for BPR and EASE what pandas and NumPy make of the original table.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from starlette.testclient import TestClient

from recbole_sheaf.cli import main
from recbole_sheaf.errors import CheckpointError
from recbole_sheaf.experiments.checkpoints import evaluate_checkpoint, restore
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.exports.sources import open_source
from recbole_sheaf.features import text
from recbole_sheaf.files.checkpoint_file import KEY
from recbole_sheaf.serving.app import build_app
from recbole_sheaf.serving.catalogue import Catalogue
from tests.conftest import CLOSED_FORM, TOY, opened, write_toy

WORDS = "red green blue old new small large film song book".split()
MODELS = ("BPR", "EASE", "MMSheaf", "ItemSheaf")
TEXT = {"modalities": ["image", "text", "title"], "text_modalities": {"title": ["title"]}, "text_dim": 4}
COMMANDS = (["recommend", "--k=9"], ["similar", "--k=5"], ["explain", "--user=u3", "--item=i7"])
TIMES = {"inter": ["user_id", "item_id", "timestamp"]}
TIMED = {"Pop": {"load_col": TIMES, "split": "time"}}  # equal times stand in the order of lines
OTHERS = {  # models whose data have an order of their own, or more columns
    "LightGCN": {},
    "SASRec": {"load_col": TIMES, "split": "leave_one_out", "train_neg_sample_args": None, "hidden_size": 8},
    "DeepFM": {
        "load_col": {**TIMES, "user": ["user_id", "age"], "item": ["item_id", "kind"]},
        "threshold": {"timestamp": 1700000015},
        "metrics": ["AUC"],
        "valid_metric": "AUC",
        "eval_args": {"mode": "labeled"},
    },
}


def write_data(folder):
    """The toy dataset with times that tie, titles, ages, kinds and a graph of knowledge."""
    write_toy(folder)
    rng = np.random.default_rng(1)
    table = pd.read_csv(folder / "toy.inter", sep="\t").sample(frac=1, random_state=1)
    table["timestamp:float"] = 1700000000 + rng.integers(0, 30, len(table))
    table.to_csv(folder / "toy.inter", sep="\t", index=False)
    items = [f"i{item}" for item in range(60)]
    titles = [" ".join(rng.choice(WORDS, 3)) for _ in items]
    columns = {"item_id:token": items, "title:token_seq": titles, "kind:token": rng.choice(WORDS, 60)}
    pd.DataFrame(columns).to_csv(folder / "toy.item", sep="\t", index=False)
    ages = {"user_id:token": [f"u{user}" for user in range(30)], "age:token": rng.integers(20, 60, 30)}
    pd.DataFrame(ages).to_csv(folder / "toy.user", sep="\t", index=False)
    links = {"item_id:token": items, "entity_id:token": [f"e{item}" for item in range(60)]}
    pd.DataFrame(links).to_csv(folder / "toy.link", sep="\t", index=False)
    graph = {"head_id:token": [f"e{item}" for item in rng.integers(0, 60, 99)], "relation_id:token": "r"}
    graph["tail_id:token"] = rng.choice(WORDS, 99)
    pd.DataFrame(graph).to_csv(folder / "toy.kg", sep="\t", index=False)


def in_other_order(folder, copy):
    """A copy of a dataset whose lines, rows and columns stand in another order."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, copy)
    rng = np.random.default_rng(7)
    for path in copy.glob("toy.*"):
        header, *lines = path.read_text().splitlines()
        path.write_text("\n".join([header, *rng.permutation(lines)]) + "\n")
    swapped = pd.read_csv(copy / "toy.inter", sep="\t", dtype=str)
    swapped[swapped.columns[[1, 2, 0]]].to_csv(copy / "toy.inter", sep="\t", index=False)
    for path in (copy / "features").glob("*.npz"):
        with np.load(path) as held:
            rows = rng.permutation(len(held["item_id"]))
            arrays = {name: held[name][rows] for name in ("item_id", "feature")}
        np.savez(path, **arrays)
    return copy


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two folders of datasets, ``data`` and the same in ``other`` order, and the runs of models on the first."""
    home = tmp_path_factory.mktemp("home")
    write_data(home / "data" / "toy")
    in_other_order(home / "data" / "toy", home / "other" / "toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sys, "argv", ["pytest"])
        yield home


@pytest.fixture
def checkpoint(results):
    return lambda model: str(results(model).checkpoint)


def settings(model, home):
    own = {**TOY, "epochs": 1, "data_path": str(home / "data"), "cache_dir": str(home / "cache")}
    own |= {**OTHERS, **TIMED}.get(model, {}) | (TEXT if model in ("MMSheaf", "ItemSheaf") else {})
    if model in ("EASE", "SASRec", *TIMED, *CLOSED_FORM):
        del own["embedding_size"]
    return own


def test_the_other_order_is_one(home):
    config, other = (resolve_configs(["BPR"], "toy", [], {"data_path": str(home / folder)})[0] for folder in order())
    one, two = load_split(config), load_split(other)
    assert (one.dataset.field2id_token["item_id"] != two.dataset.field2id_token["item_id"]).sum() > 50


def order():
    return "data", "other"


@pytest.mark.parametrize("model", [*MODELS, *TIMED, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_evaluate_gives_the_figures_of_the_run(home, results, model):
    result = results(model)
    for folder in order():
        found = evaluate_checkpoint(result.checkpoint, str(home / folder))
        assert (found["valid"], found["test"]) == (result.valid, result.test)


@pytest.mark.parametrize("model", MODELS)
def test_commands_answer_alike(home, checkpoint, model, capsys):
    """To the last character, and every array of an export to the last bit."""
    said, exports = [], []
    for folder in order():
        at = [checkpoint(model), f"--data_path={home / folder}"]
        said.append([])
        capsys.readouterr()
        for command, *options in COMMANDS:
            assert main([command, *at, *options]) == 0
            said[-1].append(capsys.readouterr().out)
        assert main(["export", *at, f"--to={folder}.npz"]) == 0
        with np.load(f"{folder}.npz") as held:
            exports.append({name: held[name] for name in held.files})
        source = open_source(Path(at[0]), str(home / folder))
        client = TestClient(build_app(Catalogue(source)), base_url="http://127.0.0.1")
        for name, asked in {"recommend": {"user": "u3"}, "similar": {"item": "i7"}, "embed": {"user": "u3"}}.items():
            said[-1].append(client.post(f"/{name}", json=asked).text)
    assert said[0] == said[1] and all(len(text) > 50 for text in said[0])
    assert exports[0].keys() == exports[1].keys()
    assert all(np.array_equal(exports[0][name], exports[1][name]) for name in exports[0])


def lists_of(checkpoint, home, capsys):
    capsys.readouterr()
    assert main(["recommend", checkpoint, f"--data_path={home / 'other'}", "--k=7"]) == 0
    lines = [line.split(",") for line in capsys.readouterr().out.splitlines()[1:]]
    return {user: [line[2] for line in lines if line[0] == user] for user, *_ in lines}


def best(scores, users, items, table, k=7):
    """Tokens of the highest scores, what a user had in any part left out."""
    scores = scores.copy()
    at = pd.Index(users).get_indexer(table["user_id:token"]), pd.Index(items).get_indexer(table["item_id:token"])
    scores[at] = -np.inf
    return {user: [items[i] for i in np.argsort(-row, kind="stable")[:k]] for user, row in zip(users, scores)}


def test_bpr_ranks_by_the_rows_that_the_original_table_gave_it(home, checkpoint, capsys):
    table = pd.read_csv(home / "data" / "toy" / "toy.inter", sep="\t")
    users, items = (table[name].unique() for name in ("user_id:token", "item_id:token"))  # in order of appearance
    with safe_open(checkpoint("BPR"), "np") as file:
        rows = [file.get_tensor(f"{kind}_embedding.weight")[1:] for kind in ("user", "item")]
    assert lists_of(checkpoint("BPR"), home, capsys) == best(rows[0] @ rows[1].T, users, items, table)


def test_ease_is_the_closed_form_of_the_runs_training_pairs(home, checkpoint, capsys):
    table = pd.read_csv(home / "data" / "toy" / "toy.inter", sep="\t")
    (config,) = resolve_configs(["EASE"], "toy", [], settings("EASE", home))
    split = load_split(config)  # of the original table
    part = split.parts[0].inter_feat
    users, items = (split.dataset.field2id_token[name][1:] for name in ("user_id", "item_id"))
    x = np.zeros((len(users), len(items)))
    x[part["user_id"].numpy() - 1, part["item_id"].numpy() - 1] = 1
    inverse = np.linalg.inv(x.T @ x + config["reg_weight"] * np.eye(len(items)))
    scores = x @ (np.eye(len(items)) - inverse / np.diag(inverse))
    assert lists_of(checkpoint("EASE"), home, capsys) == best(scores, users, items, table)


def test_texts_are_encoded_in_the_order_of_the_run(home, checkpoint, monkeypatch):
    """The last digits of a decomposition depend on it, now and then in float32 too."""
    path, seen, key_of = checkpoint("ItemSheaf"), [], text.content_key
    monkeypatch.setattr(text, "content_key", lambda parts: seen.append(parts) or key_of(parts))
    for folder in order():
        restore(path, str(home / folder))
    tokens = pd.read_csv(home / "data" / "toy" / "toy.item", sep="\t")["item_id:token"].tolist()
    assert seen[0] == seen[1] and [part for part in seen[0] if part in tokens] == tokens


def changed(home, tmp_path, change):
    """A folder of datasets in which one file is otherwise."""
    folder = in_other_order(home / "data" / "toy", tmp_path / "changed" / "toy")
    change(folder)
    return str(folder.parent)


def lines(name, edit):
    """Change a table: ``edit`` gives its rows anew."""

    def change(folder):
        table = pd.read_csv(folder / name, sep="\t", dtype=str)
        table.columns = [column.partition(":")[0] for column in table]
        kinds = {column.partition(":")[0]: column for column in (folder / name).read_text().splitlines()[0].split("\t")}
        edit(table).rename(columns=kinds).to_csv(folder / name, sep="\t", index=False)

    return change


def arrays(name, edit):
    """Change a feature file: ``edit`` changes its tokens and rows in their place, or gives others."""

    def change(folder):
        with np.load(folder / "features" / name) as held:
            tokens, rows = held["item_id"], held["feature"]
        tokens, rows = edit(tokens, rows) or (tokens, rows)
        np.savez(folder / "features" / name, item_id=tokens, feature=rows)

    return change


def renamed(**names):
    return lambda table: table.replace({"item_id": names})


def with_a_row(table):
    return pd.concat([table, pd.DataFrame([{"user_id": "u4", "item_id": "i5", "timestamp": "1"}])])


def first_pair(folder):
    return pd.read_csv(folder / "data" / "toy" / "toy.inter", sep="\t", dtype=str).iloc[0].tolist()


def with_items_exchanged(table):
    """Of two users, each the other's item: users and items have as many as they had."""
    table.loc[[0, 1], "item_id"] = table.loc[[1, 0], "item_id"].tolist()
    return table


def swap(tokens, rows):
    rows[[2, 3]] = rows[[3, 2]]


def scale(tokens, rows):
    rows[tokens == "i9"] *= 2


OTHER_DATA = {
    "an interaction more": (
        lines("toy.inter", with_a_row),
        "of toy.inter, it had 360 rows and has 361; item_id 'i5' has other rows; user_id 'u4' has other rows;",
    ),
    "an interaction twice": (lines("toy.inter", lambda t: pd.concat([t, t[:1]])), "it had 360 rows and has 361; item_"),
    "an interaction less": (lines("toy.inter", lambda t: t[1:]), "it had 360 rows and has 359; item_id 'i"),
    "a user less": (
        lines("toy.inter", lambda t: t[t.user_id != "u7"]),
        "it had 360 rows and has 348; .*; user_id 'u7' that it had is gone; give the data of its run, lines in any",
    ),
    "a user renamed": (
        lines("toy.inter", lambda t: t.replace({"user_id": {"u7": "v7"}})),
        "user_id 'u7' that it had is gone; user_id 'v7' that it has is new;",
    ),
    "two items swapped": (
        lines("toy.inter", renamed(i1="i2", i2="i1")),
        r"of toy.inter, item_id 'i[12]' \(and 1 more\) has other rows; user_id",
    ),
    "two items exchanged": (lines("toy.inter", with_items_exchanged), "of toy.inter, item_id 'i"),
}
OTHER_CONTENT = {
    "rows swapped": (arrays("image.npz", swap), r"modality 'image' has other rows of 2 items \(first: 'i"),
    "a row at another length": (arrays("text.npz", scale), r"'text' has other rows of 1 items \(first: 'i9'\)"),
    "a row gone": (arrays("text.npz", lambda t, r: (t[t != "i9"], r[t != "i9"])), r"of 1 items \(first: 'i9'\)"),
    "a row of zeros": (arrays("text.npz", lambda t, r: r.__setitem__(t == "i9", 0)), r"items \(first: 'i9'\)"),
    "a word more": (
        lines("toy.item", lambda t: t.assign(title=t.title.where(t.item_id != "i9", "old red book"))),
        "of the text of modality 'title', item_id 'i9' has other rows;",
    ),
    "an item's text gone": (lines("toy.item", lambda t: t[t.item_id != "i9"]), "'title', it had 60 rows and has 59; i"),
}


@pytest.mark.parametrize("what", OTHER_DATA)
def test_other_interactions_are_refused(home, tmp_path, checkpoint, what):
    change, said = OTHER_DATA[what]
    refuses(checkpoint("BPR"), changed(home, tmp_path, change), said)


@pytest.mark.parametrize("what", OTHER_CONTENT)
def test_other_content_is_refused(home, tmp_path, checkpoint, what):
    change, said = OTHER_CONTENT[what]
    data_path = changed(home, tmp_path, change)
    refuses(checkpoint("ItemSheaf"), data_path, said)
    restore(checkpoint("BPR"), data_path)  # which reads none


def refuses(checkpoint, data_path, said):
    with pytest.raises(CheckpointError, match=f"was trained on other data: .*{said}") as refusal:
        restore(checkpoint, data_path)
    assert "\n" not in str(refusal.value)


def test_every_command_refuses_in_one_sentence(home, tmp_path, checkpoint, capsys):
    data_path = changed(home, tmp_path, OTHER_DATA["two items swapped"][0])
    asks = {"evaluate": [], "export": ["--to=x.npz"], "recommend": [], "similar": [], "serve": []}
    asks |= {"explain": ["--user=u3", "--item=i7"], "embed-items": ["--features=features", "--to=x.npz"]}
    for command, options in asks.items():
        assert main([command, checkpoint("ItemSheaf"), f"--data_path={data_path}", *options]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "was trained on other data: of toy.inter, item_id 'i" in said


@pytest.mark.parametrize("modalities, said", [(["image"], "were image, text, title and are image"), ([], "are none")])
def test_other_modalities_are_refused(home, tmp_path, checkpoint, modalities, said):
    altered(checkpoint("ItemSheaf"), tmp_path / "x.safetensors", modalities=modalities)
    with pytest.raises(CheckpointError, match=said):
        restore(tmp_path / "x.safetensors")


@pytest.mark.parametrize("settings", [{"split_seed": 1}, {"eval_args": {"split": {"RS": [0.5, 0.2, 0.3]}}}])
def test_another_split_is_refused(home, tmp_path, checkpoint, settings):
    """Closed forms were fitted to the training part, and test figures are those of the test part."""
    altered(checkpoint("EASE"), tmp_path / "x.safetensors", **settings)
    with pytest.raises(CheckpointError, match="is of the same tables, but .* another part 1 of the split of them"):
        restore(tmp_path / "x.safetensors")


def test_a_table_more_or_less_is_refused(home, tmp_path, checkpoint):
    altered(checkpoint("BPR"), tmp_path / "x.safetensors", load_col={"inter": ["user_id", "item_id"], "item": ["kind"]})
    with pytest.raises(CheckpointError, match="it did not read toy.item, which is there now"):
        restore(tmp_path / "x.safetensors")
    altered(checkpoint("BPR"), tmp_path / "x.safetensors", load_col=TIMES)
    with pytest.raises(CheckpointError, match="its columns were .*user_id.* and are .*timestamp"):
        restore(tmp_path / "x.safetensors")


def altered(checkpoint, to, **settings):
    about, held = opened(checkpoint)
    about["settings"].update(settings)
    save_file(held, to, {KEY: json.dumps(about)})


def test_what_a_checkpoint_holds_of_its_data(home, checkpoint):
    """Tokens in order of appearance, as bytes side by side; 4 bytes for an interaction."""
    table = pd.read_csv(home / "data" / "toy" / "toy.inter", sep="\t")
    with safe_open(checkpoint("BPR"), "pt") as file:
        held = {name: file.get_tensor(name) for name in file.keys() if name.startswith("data:tables:toy.inter:")}
    assert held["data:tables:toy.inter:order"].dtype == torch.int32
    assert held["data:tables:toy.inter:order"].sort().values.tolist() == list(range(360))
    for key in ("user_id", "item_id"):
        body = bytes(held[f"data:tables:toy.inter:{key}:tokens"].tolist()).decode()
        ends = held[f"data:tables:toy.inter:{key}:lengths"].cumsum(0).tolist()
        tokens = [body[start:end] for start, end in zip([0, *ends], ends)]
        assert tokens == table[f"{key}:token"].unique().tolist()
    assert len(held) == 7

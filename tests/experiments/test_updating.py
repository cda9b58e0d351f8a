"""Yesterday's model and today's log: who keeps which number, what is carried over or fitted anew, what is refused.

Right answers are the old checkpoint's own tensors, a training of the same settings, and NumPy's closed form of EASE.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recbole_sheaf.cli import main
from recbole_sheaf.data.conversion import Interactions, RawDataset
from recbole_sheaf.errors import CheckpointError, ConfigError, DataError, FeatureError
from recbole_sheaf.experiments import updating
from recbole_sheaf.experiments.checkpoints import evaluate_checkpoint, restore
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.experiments.updating import update
from recbole_sheaf.files.checkpoint_file import read_checkpoint_file
from recbole_sheaf.models import weighing
from tests.conftest import TOY, write_toy

SMALL = {"topk": [10], "log_to_file": False, "log_tensorboard": False, "checkpoint_dir": "saved"}
MODELS = {
    "BPR": {},
    "MMSheaf": {"item_sheaf_content": 1.0, "item_sheaf_neighbourhoods": 0.0, "item_sheaf_nearest": 3},
    "ItemSheaf": {"content_weight": 0.0, "neighbourhood_weight": 0.0, "ridge": "auto"},
    "EASE": {},
}


def day(number):
    """Interactions of a day: of old users, of a new one, with two items that nobody had."""
    rng = np.random.default_rng(number)
    pairs = [(f"u{user}", f"i{item}") for user in range(30) for item in rng.choice(60, 3, replace=False)]
    pairs += [(f"new{number}", item) for item in ("i3", "i5", f"fresh{number}", f"other{number}")]
    pairs += [("u1", f"fresh{number}"), ("u3", f"fresh{number}"), ("u3", f"other{number}")]
    return pd.DataFrame(pairs, columns=["user_id", "item_id"]).drop_duplicates()


def today(number, **more):
    vectors = ([f"fresh{number}"], np.full((1, 8), number, np.float32))
    return RawDataset(Interactions.of(day(number)), **{"features": {"image": vectors}, **more})


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    write_toy(home / "data" / "toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sys, "argv", ["pytest"])
        yield home


@pytest.fixture
def checkpoint(results):
    return lambda model: Path(results(model).checkpoint).resolve()


def settings(model, home):
    own = {**TOY, **SMALL, **MODELS[model], "data_path": str(home / "data"), "cache_dir": str(home / "cache")}
    if model in ("EASE", "ItemSheaf"):
        del own["embedding_size"]
    return own


def content(number, model):
    return today(number) if model in ("MMSheaf", "ItemSheaf") else today(number, features={})


@pytest.fixture
def updated(checkpoint, request):
    """Of a model's first day, made once."""
    made = vars(request.module).setdefault("_updated", {})

    def found(model):
        if model not in made:
            made[model] = update(checkpoint(model), content(1, model), epochs=1)
        return made[model]

    return found


def tokens(path, field):
    return restore(path).split.dataset.field2id_token[field].tolist()


@pytest.mark.parametrize("model", ["BPR", "MMSheaf"])
def test_tokens_keep_their_numbers_over_two_days(checkpoint, updated, model):
    second = update(updated(model).checkpoint, content(2, model), epochs=1)
    paths = [checkpoint(model), updated(model).checkpoint, second.checkpoint]
    assert second.folder.name == f"{updated(model).folder.name.rstrip('0123456789')}{second.folder.name[-1]}"
    for field, new in (
        ("user_id", [{"new1"}, {"new2"}]),
        ("item_id", [{f"{n}{d}" for n in ("fresh", "other")} for d in (1, 2)]),
    ):
        first, then, last = (tokens(path, field) for path in paths)
        assert then[: len(first)] == first and set(then[len(first) :]) == new[0]
        assert last[: len(then)] == then and set(last[len(then) :]) == new[1]
    parts = [interactions(path) for path in paths]
    for before, after in zip(parts, parts[1:]):
        assert before["valid"] <= after["valid"] and before["train"] | before["test"] <= after["train"]
        assert after["test"] and not after["test"] & set().union(*before.values())


def interactions(path):
    split = restore(path).split
    users, items = (split.dataset.field2id_token[field] for field in ("user_id", "item_id"))
    names = ("train", "valid", "test")
    return {
        name: set(zip(users[part.inter_feat["user_id"]], items[part.inter_feat["item_id"]]))
        for name, part in zip(names, split.parts)
    }


@pytest.mark.parametrize(("model", "tables"), [("BPR", 2), ("MMSheaf", 2)])
def test_rows_are_carried_over_bit_for_bit(checkpoint, home, monkeypatch, model, tables):
    """Before training on; rows of new users and items are the fresh model's, which draws from the same seed."""
    seen = {}

    def carried(restored, prepared):
        fresh = {name: tensor.clone() for name, tensor in prepared.model.state_dict().items()}
        carry_over(restored, prepared)
        seen.update(fresh=fresh, now={name: tensor.clone() for name, tensor in prepared.model.state_dict().items()})

    carry_over = updating.carry_over
    monkeypatch.setattr(updating, "carry_over", carried)
    update(checkpoint(model), content(1, model), home / "data" / f"rows-{model}", epochs=1)
    old = read_checkpoint_file(checkpoint(model)).state
    sizes = {31: [(0, 31, 0)], 61: [(0, 61, 0)], 92: [(0, 31, 0), (31, 92, 32)]}  # old rows, and where they begin
    grown = 0
    for name, then in old.items():
        now, fresh = seen["now"][name], seen["fresh"][name]
        if name == "weighing_numbers":
            continue  # training begins as every training does
        if then.shape == now.shape:
            assert torch.equal(then, now)
            continue
        grown += 1
        kept = torch.zeros(len(now), dtype=torch.bool)
        for start, end, place in sizes[len(then)]:
            assert torch.equal(now[place : place + end - start], then[start:end])
            kept[place : place + end - start] = True
        assert torch.equal(now[~kept], fresh[~kept]) and (~kept).sum() == {31: 1, 61: 2, 92: 3}[len(then)]
    assert grown == tables


def test_ease_is_that_of_all_interactions(updated):
    """B = I - P / diag P with P = (X^T X + lambda I)^-1, by NumPy over the training part of the new folder."""
    found = updated("EASE")
    table = pd.read_csv(found.folder / f"{found.folder.name}.train.inter", sep="\t", dtype=str)
    restored = restore(found.checkpoint)
    users, items = (restored.split.dataset.field2token_id[field] for field in ("user_id", "item_id"))
    x = np.zeros((len(users), len(items)))
    x[table.iloc[:, 0].map(users), table.iloc[:, 1].map(items)] = 1
    p = np.linalg.inv(x.T @ x + restored.config["reg_weight"] * np.eye(len(items)))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    scores = restored.model.full_sort_predict({"user_id": torch.arange(len(users))}).view(len(users), -1)
    np.testing.assert_allclose(np.asarray(scores)[1:, 1:], (x @ b)[1:, 1:], atol=1e-4)


def test_an_item_sheaf_is_that_of_all_interactions(updated, home):
    """As of a model that is trained from nothing on the new folder, in the form that was chosen."""
    found = updated("ItemSheaf")
    form = restore(found.checkpoint).model.closed_form.form
    own = {**settings("ItemSheaf", home), "ridge": form.ridge, "map_dropout": form.map_dropout}
    fresh = run_models(["ItemSheaf"], found.folder.name, overrides=own)[0]
    users = torch.arange(32)
    scores = [restore(path).model.sheaf.scores(users) for path in (found.checkpoint, fresh.checkpoint)]
    torch.testing.assert_close(*scores, rtol=0, atol=1e-6)


@pytest.mark.parametrize("choose", [False, True])
def test_the_form_stays_unless_it_is_asked_for(checkpoint, home, monkeypatch, choose):
    path, asked = home / "saved" / f"third-{choose}.safetensors", []
    shutil.copy(checkpoint("ItemSheaf"), path)
    monkeypatch.setattr(weighing, "choose_form", lambda *given: pytest.fail("a form is chosen"))
    monkeypatch.setattr(updating, "choose_form", lambda *given: asked.append(given))
    taken = updating.restore

    def third(*given):
        restored = taken(*given)
        restored.checkpoint.state["closed_form.number"].fill_(2)
        return restored

    monkeypatch.setattr(updating, "restore", third)
    found = update(path, today(1), home / "data" / f"form-{choose}", choose=choose)
    assert int(read_checkpoint_file(found.checkpoint).state["closed_form.number"]) == 2 and bool(asked) is choose


def test_epochs_go_on_from_where_they_were(checkpoint, updated):
    first, then = (restore(path).checkpoint for path in (checkpoint("MMSheaf"), updated("MMSheaf").checkpoint))
    assert then.epoch == first.epoch + 1 and updated("MMSheaf").result.epochs == 1


@pytest.mark.parametrize("model", ["MMSheaf", "EASE"])
def test_a_new_checkpoint_is_one_as_any_other(updated, model, capsys, home):
    """It gives its figures again, and lists to who came today."""
    found = updated(model)
    again = evaluate_checkpoint(found.checkpoint)
    assert (again["valid"], again["test"]) == (found.result.valid, found.result.test) and again["test"]
    assert main(["recommend", str(found.checkpoint), "--users=new1", "--k=61"]) == 0
    said = capsys.readouterr().out
    assert "i7" in said and "fresh1" not in said  # which new1 has had


def test_content_is_read_again_and_new_rows_join_it(updated):
    modalities = restore(updated("MMSheaf").checkpoint).model.modalities
    items = restore(updated("MMSheaf").checkpoint).split.dataset.field2token_id["item_id"]
    with np.load("data/toy/features/image.npz") as held:
        for token, row in zip(held["item_id"], held["feature"]):
            assert np.array_equal(modalities["image"].matrix[items[token]], row)
    assert (modalities["image"].matrix[items["fresh1"]] == 1).all() and not modalities["image"].present[items["other1"]]
    assert not modalities["text"].present[[items["fresh1"], items["other1"]]].any()


def test_the_old_stays_and_an_error_leaves_nothing(checkpoint, home, monkeypatch):
    path = checkpoint("BPR")
    before = {each: each.read_bytes() for each in (path, *(home / "data").rglob("*.*")) if each.is_file()}

    def stopped(*given, start, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(updating, "train", stopped)
    there = sorted((home / "saved").rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        update(path, today(1, features={}), home / "data" / "stopped")
    assert sorted((home / "saved").rglob("*")) == there and not (home / "data" / "stopped").exists()
    assert {each: each.read_bytes() for each in before} == before


def misfit(**more):
    return lambda: today(1, **more)


BAD = {
    "no new rows": (
        "BPR",
        lambda: RawDataset(
            Interactions.of(pd.read_csv("data/toy/toy.inter", sep="\t").set_axis(["user_id", "item_id"], axis=1))
        ),
        {},
        DataError,
        "each of the 360 interactions is one that the model was trained or judged on",
    ),
    "a strange modality": (
        "MMSheaf",
        misfit(features={"imege": (["i0"], np.ones((1, 8), np.float32))}),
        {},
        FeatureError,
        "no modality 'imege' .did you mean 'image'.*it has image, text",
    ),
    "vectors of another encoder": (
        "MMSheaf",
        misfit(features={"image": (["i0"], np.ones((1, 9), np.float32))}),
        {},
        FeatureError,
        "have 9 numbers and the model's 8",
    ),
    "vectors for a model without": ("BPR", misfit(), {}, FeatureError, "no modality 'image'; it reads no content"),
    "no epoch": ("BPR", misfit(features={}), {"epochs": 0}, ConfigError, "epochs is 0, expected 1 or more"),
    "a place that is taken": (
        "BPR",
        misfit(features={}),
        {"to": Path("data/toy")},
        DataError,
        "toy exists; give another place",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(checkpoint, home, case):
    model, given, more, error, said = BAD[case]
    there = sorted((home / "data").iterdir())
    with pytest.raises(error, match=said) as refused:
        update(checkpoint(model), given(), **more)
    assert "\n" not in str(refused.value) and sorted((home / "data").iterdir()) == there


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("split", "cold_items", "split: cold_items, which keeps items out"),
        ("val_interval", {"rating": "[3,inf)"}, "val_interval left interactions out"),
        ("missing_share", 0.5, "ablated content"),
        ("MODEL_TYPE", "sequential", "reads more than users and items"),
    ],
)
def test_runs_that_cannot_be_updated(checkpoint, monkeypatch, key, value, said):
    taken, own = updating.restore, updating.own_settings

    def altered(*given):
        restored = taken(*given)
        restored.config.final_config_dict[key] = value
        return restored

    monkeypatch.setattr(updating, "restore", altered)
    monkeypatch.setattr(updating, "own_settings", lambda held: {**own(held), key: value})
    with pytest.raises(ConfigError, match=said):
        update(checkpoint("BPR"), today(1, features={}))


def test_dislikes_are_not_lost(checkpoint, monkeypatch):
    monkeypatch.setattr(updating, "relations_of", lambda dataset: {"dislike": None})
    with pytest.raises(ConfigError, match="was trained beside dislike, to which an update adds no day"):
        update(checkpoint("BPR"), today(1, features={}))


def test_weights_of_neither_users_nor_items_are_refused(checkpoint, monkeypatch, home):
    taken = updating.restore

    def strange(*given):
        restored = taken(*given)
        state = restored.checkpoint.state
        state["user_embedding.weight"] = state["user_embedding.weight"][:-1]
        return restored

    monkeypatch.setattr(updating, "restore", strange)
    with pytest.raises(CheckpointError, match=r"user_embedding.weight of BPR has the shape \(30, 8\)"):
        update(checkpoint("BPR"), today(1, features={}), home / "data" / "strange")
    assert not (home / "data" / "strange").exists()


def test_data_that_moved_or_changed_are_said(checkpoint, tmp_path):
    shutil.copytree("data", tmp_path / "data")
    with pytest.raises(DataError, match="dataset 'toy' is not in"):
        update(checkpoint("BPR"), today(1, features={}), data_path=str(tmp_path))
    table = tmp_path / "data" / "toy" / "toy.inter"
    table.write_text(table.read_text() + "u0\ti1\n")
    with pytest.raises(CheckpointError, match="trained on other data"):
        update(checkpoint("BPR"), today(1, features={}), data_path=str(tmp_path / "data"))


def test_the_command(checkpoint, home, capsys):
    day(1).rename(columns={"user_id": "user", "item_id": "clip"}).assign(x=1).to_csv("new.csv", index=False)
    given = ["update", str(checkpoint("BPR")), "--interactions=new.csv", "--item=clip", "--to=data/by-hand"]
    assert main([*given, "--epochs=1"]) == 0
    said = capsys.readouterr().out
    assert (
        "1 new users behind 30, 2 new items behind 60" in said
        and "x  left out" in " ".join(said.split(" ")).replace("  ", "  ")
        or "x" in said
    )
    assert main(["update", str(checkpoint("BPR")), "--interactions=new.csv"]) == 2
    assert "has no column of items under a usual name" in capsys.readouterr().err
    assert main(["update", str(checkpoint("BPR")), "--interactions=data"]) == 2
    assert "is a folder" in capsys.readouterr().err

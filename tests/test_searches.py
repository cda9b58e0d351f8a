"""The searches behind the tuned settings that are kept: budgets, spaces, and what they found."""

import ast
import json

import optuna.distributions
import pytest
import yaml

from recbole_sheaf.store.store import Store
from tests.conftest import REPOSITORY, script_of_docs

TUNED = REPOSITORY / "docs" / "results" / "tuned"
FIRST_DESIGN = {TUNED / dataset / "MMSheaf.yaml" for dataset in ("tiktok", "ml-100k")}  # of a model that is no more


@pytest.fixture(scope="module")
def searches():
    return script_of_docs("searches")


@pytest.fixture(scope="module")
def kept(searches):
    """Searches as dictionaries, each with its trials."""
    studies, trials = searches.read_searches()
    return [
        {**study, "tried": trials[trials["study"] == study["study"]].to_dict("records")}
        for study in studies.to_dict("records")
    ]


def distribution(text):
    """What Optuna printed, without running it."""
    call = ast.parse(text, mode="eval").body
    return getattr(optuna.distributions, call.func.id)(
        **{word.arg: ast.literal_eval(word.value) for word in call.keywords}
    )


def test_every_search_spent_its_budget_inside_of_its_space(kept):
    assert len(kept) == len({study["study"] for study in kept}) > 40
    for study in kept:
        space = {name: distribution(text) for name, text in json.loads(study["search_space"]).items()}
        assert [trial["trial"] for trial in study["tried"]] == list(range(study["trials"])), study["study"]
        assert study["trials"] == (8 if space else 1) and study["epochs"] == 60
        for trial in study["tried"]:
            tried = json.loads(trial["parameters"])
            assert tried.keys() == space.keys() and trial["epochs"] <= 60
            for name, values in space.items():
                assert values._contains(values.to_internal_repr(tried[name])), (study["study"], trial["trial"], name)


@pytest.mark.parametrize(
    "path", sorted({*TUNED.glob("*/*.yaml")} - FIRST_DESIGN), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_tuned_settings_are_the_best_trial_of_a_search(kept, path):
    dataset = path.parent.name.removesuffix("-softmax")
    found = yaml.safe_load(path.read_text()) or {}
    bests = []
    for study in kept:
        if (study["model"], study["dataset"]) == (path.stem, dataset):
            complete = [trial for trial in study["tried"] if trial["state"] == "complete"]
            bests.append(json.loads(max(complete, key=lambda trial: trial["score"])["parameters"]))
    assert {key: value for key, value in found.items() if key != "loss"} in bests


def test_a_store_takes_them_in_beside_what_it_holds(searches, kept, tmp_path):
    store = Store(tmp_path / "store.duckdb")
    for _ in range(2):
        assert searches.write_searches(store) == (len(kept), sum(study["trials"] for study in kept))
    assert len(store.rows("SELECT * FROM trials")) == sum(study["trials"] for study in kept)
    best = store.rows("SELECT max(score) AS best FROM trials WHERE study LIKE 'MMSheaf-ml-1m%' AND state = 'complete'")
    assert round(best["best"][0], 4) == 0.2889

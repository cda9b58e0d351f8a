"""Cold items, from the dataset's list to the store, against figures worked out from a model's own scores."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_sheaf.data.listed_items import items_with_content
from recbole_sheaf.evaluation.best import best_cells
from recbole_sheaf.evaluation.comparison import comparison_table
from recbole_sheaf.experiments.checkpoints import restore
from recbole_sheaf.experiments.cold_items import cold_items, cold_items_alone
from recbole_sheaf.experiments.run_id import settings_that_count
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split, same_data
from recbole_sheaf.experiments.training import train
from tests.embeddings.toys import SOME_COLD

LISTED = [f"i{item}" for item in range(60)] + [f"x{item}" for item in range(7)]  # x0 to x4 have content
JUDGED = {"metrics": ["Recall", "NDCG", "ItemCoverage"], "topk": [5, 10], "valid_metric": "NDCG@10"}


@pytest.fixture
def settings(toy_settings, toy):
    """The toy dataset with seven items that nobody had, of which five have a row of vectors."""
    (toy / "toy" / "toy.item").write_text("item_id:token\n" + "".join(f"{item}\n" for item in LISTED))
    file = toy / "toy" / "features" / "image.npz"
    with np.load(file) as found:
        tokens, rows = found["item_id"], found["feature"]
    np.savez(file, item_id=[*tokens, *LISTED[60:65]], feature=np.concatenate([rows, rows[:5]]))
    return {key: value for key, value in toy_settings.items() if key != "embedding_size"}


def config_of(settings, model="ItemSheaf", **given):
    return resolve_configs([model], "toy", [], {**settings, **JUDGED, **given})[0]


def tokens_of(config):
    dataset = load_split(config).dataset
    return dataset.id2token("item_id", np.arange(1, dataset.item_num)).tolist()


def test_listed_items_with_content_are_ranked_where_the_catalogue_says_so(settings):
    had = tokens_of(config_of(settings))
    assert sorted(had) == sorted(LISTED[:60])
    for given in ({"split": "cold_items"}, {"catalogue": "content"}):
        assert tokens_of(config_of(settings, **given)) == [*had, *LISTED[60:65]]
        assert tokens_of(config_of(settings, "BPR", **given)) == [*had, *LISTED[60:65]]
    assert tokens_of(config_of(settings, split="cold_items", catalogue="interactions")) == had
    loaded = {"load_col": {"inter": ["user_id", "item_id"], "item": ["item_id"]}, "split": "cold_items"}
    assert tokens_of(config_of(settings, **loaded)) == [*had, *LISTED[60:]]


def test_no_interaction_moves_for_a_longer_catalogue(settings):
    of_both = [load_split(config_of(settings, split="cold_items", catalogue=name)) for name in ("auto", "interactions")]
    assert of_both[0].sizes == of_both[1].sizes
    for longer, shorter in zip(*(split.parts for split in of_both)):
        for field in ("user_id", "item_id"):
            assert torch.equal(longer.inter_feat[field], shorter.inter_feat[field])


def test_an_item_that_the_list_lacks_keeps_its_interactions(settings, toy):
    (toy / "toy" / "toy.item").write_text("item_id:token\nx0\ni7\n")
    split = load_split(config_of(settings, split="cold_items"))
    assert split.dataset.item_num == 62 and sum(split.sizes.values()) == 360


def test_what_chooses_the_catalogue_tells_splits_and_runs_apart(settings):
    plain, cold = config_of(settings, "BPR"), config_of(settings, "BPR", split="cold_items")
    assert not same_data(cold, config_of(settings, "BPR", split="cold_items", catalogue="interactions"))
    other = {"text_modalities": {"title": ["title"]}}
    assert same_data(plain, config_of(settings, "BPR", **other))
    assert not same_data(cold, config_of(settings, "BPR", split="cold_items", **other))
    assert "text_modalities" not in settings_that_count(plain) and "text_modalities" in settings_that_count(cold)


def test_content_is_a_row_or_words_of_whatever_modality(tmp_path):
    item_file = tmp_path / "d.item"
    item_file.write_text(
        "item_id:token\ttitle:token_seq\tplot:token_seq\tv:float_seq\na\tx\t\t\nb\t \t\t\nc\t\tp\t\nd\t\t\t1 2\n"
    )
    (tmp_path / "features").mkdir()
    np.savez(tmp_path / "features" / "f.npz", item_id=["e"], feature=np.ones((1, 2), np.float32))
    np.savez(tmp_path / "g.npz", item_id=["b"], feature=np.ones((1, 2), np.float32))
    assert items_with_content(item_file, "auto", {}) == {"d", "e"}
    assert items_with_content(item_file, [], {"t": ["title", "absent"]}) == {"a", "d", "e"}
    chosen = ["f", {"name": "g", "file": str(tmp_path / "g.npz")}, {"name": "p", "columns": ["plot"]}]
    assert items_with_content(item_file, chosen, {}) == {"b", "c", "d", "e"}


def scores_of(run):
    """Of every user for every item, by the model as its checkpoint has it."""
    model = restore(run.result.checkpoint).model
    users = torch.arange(model.n_users)
    return model.eval().full_sort_predict(Interaction({"user_id": users})).view(len(users), -1).numpy()


def by_hand(scores, cold, held_out, seen, k):
    """Mean recall and NDCG of users who hold out a cold item, list by list, chance's recall, and how many they are."""
    recall, ndcg, shares = [], [], []
    for user, items in held_out.items():
        relevant = set(items) & set(cold)
        if relevant:
            choices = [item for item in cold if item not in seen.get(user, ())]
            best = sorted(choices, key=lambda item: -scores[user, item])[:k]
            gains = [1 / np.log2(place + 2) for place, item in enumerate(best) if item in relevant]
            recall.append(len(gains) / len(relevant))
            ndcg.append(sum(gains) / sum(1 / np.log2(place + 2) for place in range(min(k, len(relevant)))))
            shares.append(k / len(choices))
    return np.mean(recall), np.mean(ndcg), np.mean(shares), len(recall)


def items_by_user(part):
    out = {}
    for user, item in zip(part.inter_feat["user_id"].tolist(), part.inter_feat["item_id"].tolist()):
        out.setdefault(user, []).append(item)
    return out


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("model", ["ItemSheaf", "ContentKNN"])
def test_cold_items_are_judged_alone_and_among_all(settings, model):
    config = config_of(settings, model, split="cold_items")
    split = load_split(config)
    run = train(config, split)
    scores, cold = scores_of(run), cold_items(split.parts[0])
    assert len(cold) == 6 + 6 + 5
    _, valid, test = (items_by_user(part) for part in split.parts)
    recall, ndcg, chance, users = by_hand(scores, cold, test, valid, 5)
    found = run.result.test
    assert found["cold recall@5"] == pytest.approx(recall, abs=1e-6)
    assert found["cold ndcg@5"] == pytest.approx(ndcg, abs=1e-6)
    assert found["chance recall@5"] == pytest.approx(chance) and "cold itemcoverage@5" not in found
    assert found["cold recall@5"] > 1.5 * chance and found["recall@5"] < found["cold recall@5"]
    chosen = by_hand(scores, cold, valid, {}, 10)
    assert run.result.valid["ndcg@10"] == pytest.approx(chosen[1], abs=1e-4)  # RecBole rounds
    strata = run.judgement.strata
    alone = strata[(strata["kind"] == "cold items") & (strata["metric"] == "recall@5")].set_index("stratum")
    assert alone["value"].to_dict() == pytest.approx({"ranked alone": recall, "chance": chance}, abs=1e-6)
    assert set(alone["users"]) == {users} and set(alone["pairs"]) == {len(split.parts[2])}
    of_users = run.judgement.user_metrics.query("metric == 'cold recall@5'")
    assert len(of_users) == users and of_users["value"].mean() == pytest.approx(recall, abs=1e-6)
    assert set(of_users["user_id"]) <= {f"u{user}" for user in range(30)}


def test_alone_no_other_item_is_ranked_whatever_the_scores():
    """Below zero too, as inner products are; and all are ranked again afterwards."""
    scores = torch.tensor([[-np.inf, -1.0, -2.0, 5.0, -3.0], [-np.inf, 1.0, -5.0, 0.0, -4.0]])

    def of_all(batch):
        return batch, scores.clone(), "seen", "held out"

    trainer = SimpleNamespace(model=SimpleNamespace(n_items=5), _full_sort_batch_eval=of_all)
    with cold_items_alone(trainer, np.array([2, 4])):
        batch, among, *others = trainer._full_sort_batch_eval("batch")
    assert (batch, others) == ("batch", ["seen", "held out"]) and trainer._full_sort_batch_eval is of_all
    expected = torch.full((2, 5), -torch.inf)
    expected[:, [2, 4]] = scores[:, [2, 4]]
    assert torch.equal(among, expected)


@pytest.mark.usefixtures("unchecked_shapes")
def test_lists_of_all_items_are_what_they_were(settings, monkeypatch):
    """Keeping lists of cold items changes no other figure."""
    config = config_of(settings, split="cold_items")
    split = load_split(config)
    found = train(config, split).result.test
    monkeypatch.setattr("recbole_sheaf.experiments.judging.cold_items", lambda part: np.empty(0, np.int64))
    without = train(config, split).result.test
    assert without == {name: value for name, value in found.items() if not name.startswith(("cold ", "chance "))}


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_handful_of_cold_items_says_nothing(settings, monkeypatch):
    config = config_of(settings, **SOME_COLD)
    split = load_split(config)
    pairs = np.isin(split.parts[2].inter_feat["item_id"].numpy(), cold_items(split.parts[0])).mean()
    assert pairs > 0
    for least, there in ((pairs / 2, True), (2 * pairs, False)):
        monkeypatch.setattr("recbole_sheaf.experiments.cold_items.LEAST_SHARE", least)
        assert any(name.startswith("cold ") for name in train(config, split).result.test) == there


@pytest.mark.usefixtures("unchecked_shapes")
def test_cut_offs_beyond_the_cold_items_are_left_out(settings):
    config = config_of(settings, split="cold_items", topk=[5, 17, 18], valid_metric="NDCG@5")
    found = train(config, load_split(config)).result.test
    assert {name for name in found if name.startswith("cold recall")} == {"cold recall@5", "cold recall@17"}
    assert found["chance recall@17"] == pytest.approx(1)


def test_the_table_shows_them_beside_chance_which_nobody_wins():
    test = {"recall@20": 0.1, "cold recall@20": 0.2, "chance recall@20": 0.05}
    rows = [
        {"config": {"valid_metric": "Recall@20"}, "model": name, "seed": 1, "valid": {"recall@20": 0.1}, "test": test}
        for name in "ab"
    ]
    cost = {"best_epoch": 0, "epochs": 1, "seconds_per_epoch": 1.0, "peak_memory_mib": 1.0, "parameters": 1}
    table = comparison_table([{**row, **cost} for row in rows])
    assert list(table)[3:6] == ["Recall@20", "cold Recall@20", "chance Recall@20"]
    assert "cold Recall@20" in best_cells(table) and "chance Recall@20" not in best_cells(table)

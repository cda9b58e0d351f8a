"""Parts add up to the score, and an item says what the score loses without it."""

import numpy as np
import pytest

from recbole_sheaf.embeddings.embeddings import POPULARITY, TRAIN
from recbole_sheaf.embeddings.explanation import HISTORY, RARE, contributions, explain
from recbole_sheaf.embeddings.new_users import with_users
from recbole_sheaf.embeddings.reading import embeddings_of, model_scores, without_pieces
from recbole_sheaf.embeddings.similarity import CoefficientRows
from recbole_sheaf.errors import ConfigError, DataError
from tests.embeddings.toys import SOME_COLD, history_of, restored, scores_by_definition

CASES = [
    ("MMSheaf", {}, ["id", "image", "text", POPULARITY, RARE, HISTORY]),
    ("MMSheaf", {"item_sheaf_neighbours": 5}, ["id", "image", "text", POPULARITY, RARE, HISTORY]),
    ("MMSheaf", {"popularity_kept": 0.0}, ["id", "image", "text", RARE, HISTORY]),
    ("MMSheaf", {"item_sheaf_weight": 0.0}, ["id", "image", "text", POPULARITY]),
    ("ItemSheaf", {}, [HISTORY]),
    ("ItemSheaf", {"item_sheaf_neighbours": 5}, [HISTORY]),
    ("VBPR", {}, ["factors", "content", "bias"]),
    ("LightGCN", {}, ["embedding"]),
    ("LightGCN", {"loss": "softmax", "softmax_popularity": 1.0}, ["embedding", POPULARITY]),
]


@pytest.mark.parametrize("name, chosen, parts", CASES)
def test_parts_add_up_to_the_models_score(toy_settings, name, chosen, parts):
    """Of warm and cold items, and what the user's items say to their part."""
    found = restored(name, {**toy_settings, **SOME_COLD, **chosen})
    embeddings = embeddings_of(found)
    own = model_scores(found.model, np.arange(len(embeddings.users)))
    largest = np.abs(own).max()
    signs = set()
    for user in (0, 7, 12):
        for item in range(0, len(embeddings.items), 7):
            explained = explain(embeddings, str(embeddings.users[user]), str(embeddings.items[item]))
            assert list(explained.parts) == parts
            assert explained.score == pytest.approx(own[user, item], abs=float(1e-5 * largest))
            assert sum(explained.parts.values()) == pytest.approx(own[user, item], abs=float(1e-5 * largest))
            if HISTORY in parts:
                said = [value for _, value in explained.contributions]
                assert sum(said) == pytest.approx(explained.parts[HISTORY], abs=float(1e-6 * largest))
                assert said == sorted(said, key=abs, reverse=True)
                items = embeddings.items[history_of(embeddings, user, (TRAIN,))]
                assert {token for token, _ in explained.contributions} == set(items.tolist())
                signs |= {np.sign(value) for value in said}
    assert HISTORY not in parts or {1.0, -1.0} <= signs


def test_popularity_is_a_part_by_itself_and_rare_items_are_drawn_without_it(toy_settings):
    """Half of 2 ln(1 + the item's training interactions), for every user alike."""
    popular = {"softmax_popularity": 2.0, "popularity_kept": 0.5}
    found = restored("MMSheaf", {**toy_settings, **SOME_COLD, **popular})
    embeddings = embeddings_of(found)
    degree = np.bincount(found.split.parts[0].inter_feat["item_id"].numpy(), minlength=found.model.n_items)[1:]
    assert degree.min() == 0 and embeddings.item_rarity.max() == 1
    for user in (0, 7):
        said = contributions(embeddings, user, np.arange(len(degree))).parts[POPULARITY]
        np.testing.assert_allclose(said, np.log(1 + degree), rtol=1e-5)


@pytest.mark.parametrize("name, chosen, parts", CASES)
def test_several_items_are_taken_apart_as_each_alone(toy_settings, name, chosen, parts):
    embeddings = embeddings_of(restored(name, {**toy_settings, **SOME_COLD, **chosen}))
    places = np.array([3, 40, 8, 51])
    found = contributions(embeddings, 4, places, CoefficientRows(embeddings))
    assert list(found.parts) == parts
    for at, place in enumerate(places):
        alone = explain(embeddings, str(embeddings.users[4]), str(embeddings.items[place]))
        assert {part: values[at] for part, values in found.parts.items()} == pytest.approx(alone.parts, abs=1e-6)
        said = dict(zip(embeddings.items[found.history].tolist(), found.of_items[:, at].tolist()))
        assert said == pytest.approx(dict(alone.contributions), abs=1e-6)


@pytest.mark.parametrize("neighbours", [0, 5])
def test_an_item_says_what_the_score_loses_without_it(toy_settings, neighbours):
    embeddings = embeddings_of(
        restored("ItemSheaf", {**toy_settings, **SOME_COLD, "item_sheaf_neighbours": neighbours})
    )
    mine = embeddings.items[history_of(embeddings, 3, (TRAIN,))].tolist()
    without = with_users(embeddings, {f"without {item}": [other for other in mine if other != item] for item in mine})
    before, after = (scores_by_definition(each) for each in (embeddings, without))
    for place in range(0, len(embeddings.items), 5):
        said = dict(explain(embeddings, str(embeddings.users[3]), str(embeddings.items[place])).contributions)
        for row, item in enumerate(mine):
            assert said[item] == pytest.approx(before[3, place] - after[row, place], abs=1e-6)


def test_a_rare_items_stalks_give_way_to_the_mean(toy_settings):
    found = restored("MMSheaf", {**toy_settings, **SOME_COLD})
    embeddings = embeddings_of(found)
    cold = int(np.argmax(embeddings.item_rarity))
    explained = explain(embeddings, str(embeddings.users[2]), str(embeddings.items[cold]))
    assert explained.rarity == 1.0 and explained.parts["image"] == 0.0 and explained.parts[RARE] != 0.0
    warm = int(np.argmin(embeddings.item_rarity))
    explained = explain(embeddings, str(embeddings.users[2]), str(embeddings.items[warm]))
    columns = embeddings.blocks[1].columns
    own = embeddings.user_vectors[2, columns] @ embeddings.item_embeddings[warm, columns]
    assert explained.parts["image"] == pytest.approx((1 - explained.rarity) * own, rel=1e-4)


def test_the_rank_counts_items_that_the_user_does_not_have(toy_settings):
    embeddings = embeddings_of(restored("BPR", {**toy_settings, **SOME_COLD}))
    scores = scores_by_definition(embeddings)[5]
    has = history_of(embeddings, 5, (0, 1, 2))
    order = [place for place in np.argsort(-scores) if place not in has]
    explained = explain(embeddings, str(embeddings.users[5]), str(embeddings.items[order[3]]))
    assert explained.rank == 4 and not explained.in_history
    assert explain(embeddings, str(embeddings.users[5]), str(embeddings.items[has[0]])).in_history


def test_unknown_tokens_and_models_without_parts_are_refused(toy_settings):
    embeddings = embeddings_of(restored("BPR", toy_settings))
    with pytest.raises(DataError, match="no user 'nobody'"):
        explain(embeddings, "nobody", "i1")
    with pytest.raises(DataError, match="no item 'i1x' .did you mean 'i1'"):
        explain(embeddings, "u1", "i1x")
    with pytest.raises(ConfigError, match="the scores of MultiVAE have no parts"):
        explain(without_pieces(restored("MultiVAE", toy_settings)), "u1", "i1")

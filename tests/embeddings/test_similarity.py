"""Similar items against cosines and coefficients by their definition."""

import numpy as np
import pytest

from recbole_sheaf.embeddings import similarity
from recbole_sheaf.embeddings.new_users import with_users
from recbole_sheaf.embeddings.reading import embeddings_of, without_pieces
from recbole_sheaf.embeddings.similarity import Likeness, similar_items
from recbole_sheaf.errors import ConfigError
from tests.embeddings.toys import SOME_COLD, restored, scores_by_definition


def nearest(values, item, k):
    return [other for other in np.argsort(-values, kind="stable") if other != item][:k]


@pytest.mark.parametrize("at_once", [2**24, 100])
def test_by_embeddings_is_the_cosine_of_fused_embeddings(toy_settings, at_once, monkeypatch):
    monkeypatch.setattr(similarity, "SCORES_AT_ONCE", at_once)
    embeddings = embeddings_of(restored("MMSheaf", {**toy_settings, **SOME_COLD}))
    rows = embeddings.item_embeddings.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows.T
    asked = np.array([7, 0, 31])
    for item, items, given in (
        triple for s in similar_items(embeddings, asked, 5) for triple in zip(s.rows, s.items, s.scores)
    ):
        assert items.tolist() == nearest(cosines[item], item, 5)
        np.testing.assert_allclose(given, cosines[item][items], atol=1e-6)


@pytest.mark.parametrize("name, chosen", [("ItemSheaf", {}), ("ItemSheaf", {"item_sheaf_neighbours": 5}), ("EASE", {})])
def test_by_coefficients_is_the_score_of_who_has_that_item_alone(toy_settings, name, chosen):
    embeddings = embeddings_of(restored(name, {**toy_settings, **SOME_COLD, **chosen}))
    alone = with_users(embeddings, {f"has {item}": [item] for item in embeddings.items.tolist()})
    scores = scores_by_definition(alone)
    (some,) = similar_items(embeddings, np.arange(len(embeddings.items)), 4)
    for item, items, given in zip(some.rows, some.items, some.scores):
        np.testing.assert_allclose(given, scores[item][items], atol=1e-6)
        np.testing.assert_allclose(given, np.sort(np.delete(scores[item], item))[::-1][:4], atol=1e-6)
        assert item not in items


@pytest.mark.parametrize("by", ["embeddings", "coefficients"])
def test_likeness_made_once_gives_the_same(toy_settings, by):
    embeddings = embeddings_of(restored("MMSheaf", {**toy_settings, **SOME_COLD}))
    likeness = Likeness(embeddings)
    for item in (2, 9):
        (made,) = similar_items(embeddings, np.array([item]), 4, by)
        (given,) = similar_items(embeddings, np.array([item]), 4, by, likeness=likeness)
        assert made.items.tolist() == given.items.tolist() and made.scores.tolist() == given.scores.tolist()


def test_what_a_model_lacks_is_refused(toy_settings):
    embeddings = embeddings_of(restored("EASE", toy_settings))
    with pytest.raises(ConfigError, match="EASE has no embeddings; take by=coefficients"):
        list(similar_items(embeddings, np.array([1]), 3, by="embeddings"))
    with pytest.raises(ConfigError, match="expected one of auto"):
        list(similar_items(embeddings, np.array([1]), 3, by="colour"))
    with pytest.raises(ConfigError, match=f"k is {len(embeddings.items)}, but there are {len(embeddings.items) - 1}"):
        list(similar_items(embeddings, np.array([1]), len(embeddings.items)))
    with pytest.raises(ConfigError, match="MultiVAE has neither"):
        list(similar_items(without_pieces(restored("MultiVAE", toy_settings)), np.array([1]), 3))

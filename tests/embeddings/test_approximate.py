"""Lists from an index: nearly the exact ones, exactly scored, with what is left out left out, and the recall said."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from recbole_sheaf.cli import main
from recbole_sheaf.embeddings.approximate import ApproximateLists, ApproximateSimilar, recall, spaced
from recbole_sheaf.embeddings.embeddings import Block, Embeddings, Histories
from recbole_sheaf.embeddings.item_index import ItemIndex
from recbole_sheaf.embeddings.ranking import Lists, PieceScores, top_lists
from recbole_sheaf.embeddings.similarity import similar_items
from recbole_sheaf.errors import ConfigError, EnvironmentMismatch
from recbole_sheaf.exports.files import write_embeddings

pytest.importorskip("faiss")
USERS, ITEMS, WIDTH = 40, 3000, 16


@pytest.fixture(scope="module")
def embeddings():
    """Vectors of widely differing length, a sparse item sheaf, and histories of two parts."""
    rng = np.random.default_rng(0)
    items = rng.standard_normal((ITEMS, WIDTH)) * rng.lognormal(0.0, 0.7, (ITEMS, 1))
    said = sparse.random(ITEMS, ITEMS, 0.005, "csc", random_state=0, data_rvs=lambda n: 3 * rng.standard_normal(n))
    users = np.repeat(np.arange(USERS), 12)
    parts = np.tile([0] * 9 + [1, 2, 2], USERS)
    return Embeddings(
        users=np.array([f"u{row}" for row in range(USERS)]),
        items=np.array([f"i{row}" for row in range(ITEMS)]),
        user_vectors=rng.standard_normal((USERS, WIDTH)).astype(np.float32),
        item_vectors=items.astype(np.float32),
        blocks=(Block("id", 0, WIDTH),),
        item_sources=np.zeros((ITEMS, 0), dtype=np.float32),
        histories=Histories.of(USERS, users, rng.integers(0, ITEMS, len(users)), parts),
        coefficients=said.astype(np.float32),
    )


ROWS = np.arange(USERS)


def joined(lists):
    return [np.concatenate(each) for each in zip(*((some.rows, some.items, some.scores) for some in lists))]


@pytest.mark.parametrize("seen", ["masked", "at_test", "kept"])
@pytest.mark.parametrize("is_sparse", [True, False])
def test_lists_hold_nearly_all_of_the_exact_ones_with_their_scores(embeddings, is_sparse, seen):
    embeddings = embeddings if is_sparse else replace(embeddings, coefficients=None)
    approximate = ApproximateLists(embeddings, 10, seen)
    rows, items, scores = joined(approximate.lists(ROWS))
    exact = top_lists(embeddings, ROWS, 10, seen=seen)
    assert recall(approximate.lists(ROWS), exact) > 0.95
    whole = PieceScores(embeddings)(rows)
    np.testing.assert_allclose(scores, np.take_along_axis(whole, items, 1), rtol=1e-4, atol=1e-4)
    assert (np.diff(scores, axis=1) <= 0).all() and np.array_equal(rows, ROWS)
    masked = {"masked": [0, 1, 2], "at_test": [0, 1], "kept": []}[seen]
    left_out = embeddings.histories.matrix(ROWS, masked, ITEMS).toarray()
    assert not np.take_along_axis(left_out, items, 1).any()


def test_an_item_that_the_history_alone_speaks_for_is_found(embeddings):
    """Its inner product is the smallest of all."""
    vectors, users = embeddings.item_vectors.copy(), np.abs(embeddings.user_vectors)
    vectors[7] = -100.0
    said = sparse.lil_matrix((ITEMS, ITEMS), dtype=np.float32)
    said[:, 7] = 1e6
    loud = replace(embeddings, item_vectors=vectors, user_vectors=users, coefficients=said.tocsc())
    _, items, _ = joined(ApproximateLists(loud, 5, "kept").lists(ROWS))
    assert (items[:, 0] == 7).all()


def test_among_names_all_that_may_be_listed(embeddings):
    among = np.zeros(ITEMS, dtype=bool)
    among[::50] = True
    _, items, _scores = joined(ApproximateLists(embeddings, 5, allowed=among).lists(ROWS))
    assert among[items].all()
    _, exact, _ = joined(top_lists(embeddings, ROWS, 5, allowed=among))
    assert np.array_equal(items, exact)
    with pytest.raises(ConfigError, match="k is 61, but there are 60 items"):
        ApproximateLists(embeddings, 61, allowed=among)


def test_places_that_no_candidate_fills_are_none(embeddings):
    few = np.zeros(ITEMS, dtype=bool)
    few[embeddings.histories.items[:6]] = True
    _, _items, scores = joined(ApproximateLists(embeddings, 6, allowed=few).lists(ROWS[:1]))
    assert len(np.flatnonzero(np.isfinite(scores[0]))) == int(few.sum()) - 6


@pytest.mark.parametrize("fewest, lengths", [(1000, "lognormal"), (0, "uniform")])
def test_vectors_of_differing_length_are_found_by_their_inner_product(embeddings, monkeypatch, fewest, lengths):
    """Where lengths have a long tail by comparing the longest one by one, elsewhere by distances in the graph."""
    monkeypatch.setattr("recbole_sheaf.embeddings.item_index.FEWEST", fewest)
    items, users = embeddings.item_vectors, embeddings.user_vectors
    if lengths == "uniform":
        items = items / np.linalg.norm(items, axis=1, keepdims=True)
        items = items * np.random.default_rng(1).uniform(1, 3, (ITEMS, 1)).astype(np.float32)
    index = ItemIndex(items)
    found = index.candidates(users, 50)
    best = np.argsort(-(users @ items.T), axis=1)[:, :20]
    assert np.mean([len(set(some) & set(all_)) / 20 for some, all_ in zip(found, best)]) > 0.9
    assert len(index.longest) == (fewest or 60)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_similar_items_leave_the_item_out(embeddings, dtype):
    embeddings = embeddings.with_floats(dtype)
    similar = ApproximateSimilar(embeddings, 10)
    rows, items, scores = joined(similar.lists(np.arange(0, ITEMS, 30)))
    exact = list(similar_items(embeddings, rows, 10))
    assert recall(similar.lists(rows), iter(exact)) > 0.95 and not (items == rows[:, None]).any()
    np.testing.assert_allclose(scores[:, 0], joined(exact)[2][:, 0], atol=1e-3)
    assert re.search(r"lists hold (9\d\.\d|100\.0)% of the exact top 10, measured on 100 items", similar.sentence(rows))
    with pytest.raises(ConfigError, match="an index searches embeddings, not coefficients"):
        ApproximateSimilar(embeddings, 10, "coefficients")


def test_recall_counts_items_and_not_places_or_holes():
    exact = Lists(np.arange(2), np.array([[1, 2], [3, 4]]), np.array([[2.0, 1.0], [1.0, -np.inf]]))
    ours = Lists(np.arange(2), np.array([[2, 5], [4, 4]]), np.array([[2.0, 1.0], [1.0, -np.inf]]))
    assert recall(iter([ours]), iter([exact])) == pytest.approx(1 / 3)
    assert recall(iter([exact]), iter([exact])) == 1.0
    assert spaced(np.arange(10, 510)).tolist()[::99] == [10, 509] and len(spaced(np.arange(7))) == 7


@pytest.fixture
def export(embeddings, workplace):
    write_embeddings(embeddings, workplace / "x.npz")
    return "x.npz"


def test_the_commands_say_what_share_of_the_exact_lists_they_hold(export, capsys):
    assert main(["recommend", export, "--k=5", "--approximate"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 5 * USERS + 1 and printed.out.startswith("user,rank,item,score\n")
    said = r"HNSW index over 16 columns of 3,000 items.*200 best by the item sheaf.*measured on 40 users"
    assert re.search(said, printed.err)
    assert main(["similar", export, "--k=5", "--items=i1,i2", "--approximate"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 11 and "measured on 2 items" in printed.err


def test_what_cannot_be_approximate_is_refused(export, embeddings, workplace, capsys, monkeypatch):
    assert main(["similar", export, "--by=coefficients", "--k=5", "--approximate"]) == 2
    assert "not coefficients; leave --approximate out" in capsys.readouterr().err
    none = np.zeros((USERS, 0), dtype=np.float32), np.zeros((ITEMS, 0), dtype=np.float32)
    bare = replace(embeddings, user_vectors=none[0], item_vectors=none[1], blocks=())
    with pytest.raises(ConfigError, match="has no vectors that an index could search"):
        ApproximateLists(bare, 5)
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert main(["recommend", export, "--k=5", "--approximate"]) == 2
    assert "recbole-sheaf[ann]" in capsys.readouterr().err
    with pytest.raises(EnvironmentMismatch):
        ItemIndex(embeddings.item_vectors)

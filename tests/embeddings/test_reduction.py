"""Smaller embeddings beside the whole: what is kept, what it costs, which are chosen, by sorts and sums of our own."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from recbole_sheaf.embeddings import reduction
from recbole_sheaf.embeddings.embeddings import TRAIN, VALID, Histories, csc_of
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.embeddings.reduction import Change, Cost, ListsBeside, reduction_of
from recbole_sheaf.errors import ConfigError
from tests.embeddings.toys import SOME_COLD, history_of, restored, scores_by_definition

K = 20


@pytest.fixture
def embeddings(toy_settings):
    """Of a model no two items of which score the same, so that every list has one order."""
    found = embeddings_of(restored("MMSheaf", {**toy_settings, **SOME_COLD}))
    apart = np.random.default_rng(0).normal(scale=0.01, size=found.item_vectors.shape)
    return replace(found, item_vectors=(found.item_vectors + apart).astype(np.float32))


def largest(embeddings, most):
    """At most so many of each column, the others zero, one column after another."""
    dense = embeddings.coefficients.toarray()
    for column in dense.T:
        column[np.argsort(-np.abs(column))[most:]] = 0
    return dense


def costs(whole, smaller, held_out=VALID, masked=(TRAIN,)):
    """Recall@20 and NDCG@20 of each user, whole and smaller, and the share of items that are others."""
    figures, others, count = [], 0, 0
    scores = [scores_by_definition(each) for each in (whole, smaller)]
    for user in range(len(whole.users)):
        wanted, left_out = set(history_of(whole, user, (held_out,))), history_of(whole, user, masked)
        if not wanted and held_out == VALID:
            continue
        lists = []
        for each in scores:
            row = each[user].copy()
            row[left_out] = -np.inf
            lists.append(np.argsort(-row, kind="stable")[:K].tolist())
        others, count = others + len(set(lists[0]) - set(lists[1])), count + K
        ideal = sum(1 / np.log2(place + 2) for place in range(min(len(wanted), K)))
        for items in lists:
            gain = sum(1 / np.log2(place + 2) for place, item in enumerate(items) if item in wanted)
            figures.append((len(wanted & set(items)) / max(len(wanted), 1), gain / max(ideal, 1e-9)))
    return np.array(figures).reshape(-1, 2, 2), others / count


@pytest.mark.parametrize("most", [1, 7, 59, 60])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_largest_into_each_item_are_kept_in_their_order(embeddings, most, dtype):
    smaller = reduction_of(embeddings, most, dtype).of(embeddings)
    assert smaller.coefficients.data.dtype == smaller.item_vectors.dtype == dtype
    found = smaller.with_floats("float32").coefficients.toarray()
    np.testing.assert_array_equal(found, largest(embeddings, most).astype(dtype))
    assert np.diff(smaller.coefficients.indptr).max() <= most
    starts = smaller.coefficients.indptr[1:-1]
    assert (np.delete(np.diff(smaller.coefficients.indices), starts[(starts > 0)] - 1) > 0).all()


@pytest.mark.parametrize("most", [3, 15])
def test_costs_are_those_of_the_validation_users_lists(embeddings, most):
    smaller = reduction_of(embeddings, most, "float32").of(embeddings)
    cost = ListsBeside(embeddings).cost_of(smaller)
    figures, exchanged = costs(embeddings, smaller)
    assert cost.exchanged == pytest.approx(exchanged) and exchanged > 0
    differences = figures[:, 0] - figures[:, 1]
    errors = differences.std(axis=0, ddof=1) / np.sqrt(len(figures))
    for place, name in enumerate(("Recall@20", "NDCG@20")):
        found = cost.metrics[name]
        assert found == pytest.approx((*figures[:, :, place].mean(axis=0), errors[place]))
        assert f"{name} {found.whole:.4f} to {found.smaller:.4f} (" in cost.in_words()
    said = smaller.metadata["reduced"]
    assert said["measured_on"] == {"part": "valid", "users": len(figures)}
    assert said["recall@20"] == cost.metrics["Recall@20"]._asdict() and said["exchanged"] == cost.exchanged
    assert said["coefficients_into_an_item"] == most
    assert said["coefficients_of_the_model"] == embeddings.coefficients.nnz


def test_without_validation_lists_are_compared_as_a_test_makes_them(embeddings):
    parts = np.where(embeddings.histories.parts == VALID, TRAIN, embeddings.histories.parts).astype(np.int8)
    embeddings = replace(embeddings, histories=replace(embeddings.histories, parts=parts))
    found = reduction_of(embeddings, 10, "float32")
    _, exchanged = costs(embeddings, found.of(embeddings), held_out=None)
    assert found.measured["measured_on"] == {"part": None, "users": 30} and exchanged > 0
    assert found.measured["exchanged"] == pytest.approx(exchanged) and "recall@20" not in found.measured
    assert "as there is no validation, 30 users" in found.said[0]


@pytest.mark.parametrize(
    "metrics, exchanged, what, small",
    [
        ([(0.5, 0.4991, 0.00009)], 1.0, "cut", True),
        ([(0.5, 0.4989, 0.00009)], 1.0, "cut", False),
        ([(0.5, 0.51, 0.005), (0.5, 0.49, 0.0)], 1.0, "cut", False),  # NDCG counts as Recall does
        ([(0.5, 0.51, 0.005)], 1.0, "cut", True),
        ([(0.5, 0.49991, 0.0)], 1.0, "rounded", True),
        ([(0.5, 0.49989, 0.0)], 1.0, "rounded", False),
        ([(0.0, 0.0, 0.0)], 1.0, "rounded", True),
        ([], 0.019, "cut", True),
        ([], 0.021, "cut", False),
        ([], 0.003, "rounded", False),
    ],
)
def test_what_is_small(metrics, exchanged, what, small):
    found = Cost(exchanged, {str(place): Change(*each) for place, each in enumerate(metrics)})
    assert found.is_small(what) is small


def test_the_fewest_that_cost_little_are_chosen(embeddings, monkeypatch):
    """Into each item five large ones, the others next to nothing; held out is what the whole lists begin with.

    So whatever four exchange is lost, and five are as good as all.
    """
    n, rng = len(embeddings.items), np.random.default_rng(0)
    dense = rng.uniform(1e-9, 2e-9, (n, n)).astype(np.float32)
    for into in dense:
        into[rng.permutation(n)[:5]] = rng.uniform(5, 9, 5)
    held = csc_of(dense.ravel(), np.tile(np.arange(n), n), np.arange(n + 1) * n, n)
    planted = replace(embeddings, coefficients=held, item_vectors=np.zeros_like(embeddings.item_vectors))
    scores, chosen = scores_by_definition(planted), [history_of(planted, user) for user in range(30)]
    for row, items in zip(scores, chosen):
        row[items] = -np.inf
    first = [np.argsort(-row)[:3].tolist() if len(items) > 1 else [] for row, items in zip(scores, chosen)]
    triples = [
        (user, item, part) for part, lists in enumerate((chosen, first)) for user in range(30) for item in lists[user]
    ]
    planted = replace(planted, histories=Histories.of(30, *map(np.array, zip(*triples))))
    assert (costs(planted, replace(planted, coefficients=csc_matrix(largest(planted, 4))))[0][:, 1, 0] < 1).any()
    monkeypatch.setattr(reduction, "TRIED", (31, 30, 5, 4))
    chosen = reduction_of(planted, dtype="float32")
    assert chosen.coefficients == 5 and len(chosen.of(planted).coefficients.data) == 5 * n
    assert (
        "at most 5 coefficients into an item, 300 of 3,600: Recall@20 1.0000 to 1.0000 (+0.00% ± 0.00%)"
        in chosen.said[0]
    )
    monkeypatch.setattr(reduction, "TRIED", (31, 2))
    kept = reduction_of(planted, dtype="float32")
    assert kept.coefficients is None and not kept.measured and kept.of(planted).coefficients is held
    assert "all coefficients are kept" in kept.said[0]
    monkeypatch.setattr(reduction, "TRIED", (31,))  # would cost nothing, but half of them stay and more
    assert reduction_of(planted, dtype="float32").said == ()


def test_what_costs_little_by_chance_alone_is_not_chosen(embeddings, monkeypatch):
    recall = {30: 0.5, 20: 0.4995, 10: 0.498, 5: 0.51}  # of so many coefficients; the whole have 0.5
    monkeypatch.setattr(reduction, "TRIED", tuple(recall))

    def cost_of(_, smaller):
        most = int(np.diff(smaller.coefficients.indptr).max())
        return Cost(0.5, {"Recall@20": Change(0.5, recall[most], 0.01)})

    monkeypatch.setattr(ListsBeside, "cost_of", cost_of)
    chosen = reduction_of(embeddings, dtype="float32")
    assert chosen.coefficients == 20 and "Recall@20 0.5000 to 0.4995 (-0.10% ± 2.00%)" in chosen.said[0]


def test_nothing_is_done_where_nothing_is_asked(embeddings, monkeypatch):
    monkeypatch.setattr(ListsBeside, "_lists", lambda *_: pytest.fail("nothing is to be measured"))
    found = reduction_of(embeddings, "all", "float32")
    assert (found.coefficients, found.measured, found.said) == (None, {}, ())
    assert "reduced" not in found.of(embeddings).metadata
    assert reduction_of(embeddings, 60, "float32").measured == {}


def test_16_bits_are_taken_where_they_cost_next_to_nothing(embeddings):
    vectors = {name: np.round(8 * getattr(embeddings, name)) for name in ("user_vectors", "item_vectors")}
    exact = replace(embeddings, **vectors)  # whole numbers, which 16 bits hold
    exact.coefficients.data[:] = np.round(8 * exact.coefficients.data)
    found = reduction_of(exact, "all")
    assert found.types == ("float16", "float16") and "vectors and coefficients in 16 bits" in found.said[0]
    smaller = found.of(exact)
    assert smaller.metadata["dtype"] == "float16" and smaller.coefficients.data.dtype == np.float16
    assert smaller.metadata["reduced"]["types"] == {"vectors": "float16", "coefficients": "float16"}
    near = replace(  # vectors that differ in what 16 bits do not hold
        exact,
        item_vectors=(1 + np.arange(60)[:, None] * np.full_like(embeddings.item_vectors, 1e-5)).astype(np.float32),
        user_vectors=np.full_like(embeddings.user_vectors, 100.0),
    )
    found = reduction_of(near, "all")
    assert found.types == ("float32", "float16")
    assert found.said[-1] == "vectors stay in 32 bits: 16 may cost .02 % of Recall@20 or of NDCG@20"
    assert reduction_of(near, "all", "float16").types == ("float16", "float16")  # on demand, and the cost is said


@pytest.mark.parametrize("what", ["vectors", "coefficients"])
@pytest.mark.parametrize("dtype", ["auto", "float16"])
def test_what_16_bits_do_not_hold_stays_in_32(embeddings, what, dtype):
    if what == "vectors":
        embeddings.item_vectors[3, 0] = -65_505.0
        embeddings.user_vectors[:, 0] = 0
    else:
        embeddings.coefficients.data[3] = 65_505.0
    found = reduction_of(embeddings, "all", dtype)
    smaller = found.of(embeddings)
    types = {"vectors": smaller.item_vectors.dtype, "coefficients": smaller.coefficients.data.dtype}
    assert types == {"vectors": "float16", "coefficients": "float16", what: "float32"}
    assert smaller.metadata["dtype"] == types["vectors"] == smaller.user_vectors.dtype
    assert f"{what} stay in 32 bits: a number is beyond 65504" in found.said
    assert np.isfinite(smaller.item_vectors).all() and np.isfinite(smaller.coefficients.data).all()


def test_of_many_users_some_are_judged_who_lie_evenly(embeddings, monkeypatch):
    monkeypatch.setattr(reduction, "JUDGED", 4)
    assert ListsBeside(embeddings).rows.tolist() == [0, 9, 19, 29]
    monkeypatch.setattr(reduction, "SCORES_JUDGED", 60 * 2 + 59)
    assert ListsBeside(embeddings).rows.tolist() == [0, 29]


def test_where_nothing_fits_16_bits_that_is_all_there_is_to_say(embeddings):
    embeddings.item_vectors[3, 0] = embeddings.coefficients.data[3] = 1e6
    found = reduction_of(embeddings, "all", "float16")
    kinds = [sentence.partition(" ")[0] for sentence in found.said]
    assert kinds == ["vectors", "coefficients"] and all("stay in 32 bits" in sentence for sentence in found.said)


def test_coefficients_into_new_items_stay(embeddings):
    is_new = np.arange(60) >= 58
    found = reduction_of(embeddings, 5, "float32").of(replace(embeddings, item_is_new=is_new))
    lengths, before = np.diff(found.coefficients.indptr), np.diff(embeddings.coefficients.indptr)
    assert (lengths[:58] == np.minimum(before[:58], 5)).all() and (lengths[58:] == before[58:]).all()
    assert before[58:].min() > 5


@pytest.mark.parametrize("given", [0, -3])
def test_a_number_below_1_is_refused(embeddings, given):
    with pytest.raises(ConfigError, match=f"coefficients={given} is below 1; give a whole number from 1, or coeff"):
        reduction_of(embeddings, given)


def test_a_number_of_what_the_model_lacks_is_refused(toy_settings):
    embeddings = embeddings_of(restored("LightGCN", toy_settings))
    with pytest.raises(ConfigError, match="coefficients=50 is given, but LightGCN has no coefficients between items"):
        reduction_of(embeddings, 50)
    found = reduction_of(embeddings)
    assert found.types == ("float16", "float16") and found.said[0].startswith("vectors in 16 bits: Recall@20")

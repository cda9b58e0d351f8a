"""Arc lists against their definitions, and a kNN cache that never mixes up two contents."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_sheaf.data import bipartite_arcs, cached_knn_arcs, graphs, knn_arcs
from recbole_sheaf.errors import ConfigError, GraphError
from recbole_sheaf.features import ModalityFeatures

pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=30)


def columns(pairs):
    return np.array(pairs, np.int64).reshape(-1, 2).T


@settings(deadline=None)
@given(pairs)
def test_bipartite_halves_are_each_others_reverse(pairs):
    users, items = columns(pairs)
    src, dst = bipartite_arcs(users, items, n_users=5, n_items=7)
    half = len(src) // 2
    assert src.dtype == dst.dtype == np.int64
    assert list(zip(src[:half], dst[:half])) == sorted({(user, 5 + item) for user, item in pairs})
    np.testing.assert_array_equal(src[half:], dst[:half])
    np.testing.assert_array_equal(dst[half:], src[:half])


@pytest.mark.parametrize(
    "users, items, message",
    [
        ([0, 5], [0, 0], r"1 user ids are outside 0 to 4 \(first: 5\)"),
        ([0, 0], [-1, 0], r"1 item ids are outside 0 to 6 \(first: -1\)"),
        ([0], [0, 1], "1 user ids came with 2 item ids"),
    ],
)
def test_ids_out_of_range_are_refused(users, items, message):
    with pytest.raises(GraphError, match=message):
        bipartite_arcs(np.array(users), np.array(items), 5, 7)


def features(n=12, dim=3, seed=0, missing=(4, 9), levels=2, name="x"):
    """Few levels, so that many similarities tie."""
    matrix = torch.from_numpy(np.random.default_rng(seed).integers(-levels, levels + 1, (n, dim)).astype(np.float32))
    present = torch.ones(n, dtype=torch.bool)
    present[[0, *missing]] = False
    matrix[~present] = 0
    return ModalityFeatures(name, matrix, present)


def slow_knn(features, k):
    """From the definition: sort all others by similarity, then by id."""
    x, items, arcs = features.matrix.double(), torch.where(features.present)[0].tolist(), []
    for i in items:
        others = [
            (-round(float(x[i] @ x[j]) / (float(x[i].norm() * x[j].norm()) or 1.0), 9), j) for j in items if j != i
        ]
        arcs += [(j, i, -negative) for negative, j in sorted(others)[:k]]
    return arcs


@settings(deadline=None)
@given(
    st.integers(1, 14),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 300, 1 << 20]),
)
def test_knn_equals_its_definition_in_chunks_of_any_size(k, seed, chunk_bytes):
    some = features(seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "CHUNK_BYTES", chunk_bytes)
        src, dst, similarity = knn_arcs(some, k)
    expected = slow_knn(some, k)
    assert list(zip(src, dst)) == [(j, i) for j, i, _ in expected]
    np.testing.assert_allclose(similarity, [s for _, _, s in expected], atol=2e-5)


@pytest.mark.parametrize("k", [3, 40])
def test_among_many_items_the_nearest_are_found_in_the_groups_around(k, monkeypatch):
    """Of 600 items around 30 centres most of the nearest are found, each with its own cosine, in any chunks alike."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(30, 12, generator=generator).repeat_interleave(20, dim=0)
    matrix = torch.cat([torch.zeros(1, 12), centres + 0.4 * torch.randn(600, 12, generator=generator)])
    many = ModalityFeatures("x", matrix, torch.arange(601) > 0)
    exact = knn_arcs(many, k)
    for name, value in {"EXACT_UP_TO": 100, "GROUPS_AROUND": 4, "LEAST_AROUND": 30}.items():
        monkeypatch.setattr(graphs, name, value)
    src, dst, similarity = knn_arcs(many, k)
    assert dst.tolist() == exact[1].tolist() and (src != dst).all()
    pairs, wanted = set(zip(src.tolist(), dst.tolist())), set(zip(*(each.tolist() for each in exact[:2])))
    assert len(pairs) == len(src) and 0.8 < len(pairs & wanted) / len(wanted) < 1
    cosines = torch.cosine_similarity(matrix[src].double(), matrix[dst].double()).numpy()
    np.testing.assert_allclose(similarity, cosines, atol=2e-6)
    assert (np.diff(similarity.reshape(-1, k), axis=1) <= 0).all()
    monkeypatch.setattr(graphs, "CHUNK_BYTES", 1)
    assert all(np.array_equal(one, other) for one, other in zip(knn_arcs(many, k), (src, dst, similarity)))


def test_what_was_found_in_groups_is_not_taken_for_exact(tmp_path, monkeypatch):
    some = features(n=40)
    cached_knn_arcs(some, 3, tmp_path)
    monkeypatch.setattr(graphs, "EXACT_UP_TO", 10)
    cached_knn_arcs(some, 3, tmp_path)
    assert len(list((tmp_path / "knn").iterdir())) == 2


def test_equal_rows_are_told_apart_by_id_alone():
    matrix = torch.randn(1, 37).repeat(50, 1)
    matrix[0] = 0
    same = ModalityFeatures("x", matrix, torch.arange(50) > 0)
    src, dst, similarity = knn_arcs(same, 3)
    assert src[dst == 40].tolist() == [1, 2, 3] and src[dst == 2].tolist() == [1, 3, 4]
    np.testing.assert_allclose(similarity, 1, atol=1e-6)


def test_missing_items_take_no_part_but_a_real_zero_row_does():
    matrix = torch.tensor([[0.0], [1.0], [0.0], [0.0]])
    src, dst, similarity = knn_arcs(ModalityFeatures("x", matrix, torch.tensor([False, True, True, False])), k=5)
    assert (src.tolist(), dst.tolist(), similarity.tolist()) == ([2, 1], [1, 2], [0.0, 0.0])


@pytest.mark.parametrize("present", [0, 1])
def test_too_few_items_make_no_arc(present):
    mask = torch.tensor([False, bool(present)])
    assert [len(part) for part in knn_arcs(ModalityFeatures("x", mask[:, None].float(), mask), 2)] == [0, 0, 0]


def test_no_neighbours_at_all_are_refused(tmp_path):
    for refused in (lambda: knn_arcs(features(), 0), lambda: cached_knn_arcs(features(), 0, tmp_path)):
        with pytest.raises(ConfigError, match="0 nearest neighbours were asked for"):
            refused()


def test_cache_is_used_and_gives_identical_bits(tmp_path, monkeypatch):
    first = cached_knn_arcs(features(), 3, tmp_path)
    monkeypatch.setattr(graphs, "knn_arcs", None)  # any further search would fail
    again = cached_knn_arcs(features(), 3, tmp_path)
    assert [part.tobytes() for part in again] == [part.tobytes() for part in first]


@pytest.mark.parametrize("change", [dict(seed=1), dict(name="y"), dict(missing=(4, 8)), dict(k=2)], ids=str)
def test_other_content_or_settings_never_share_an_entry(tmp_path, change):
    cached_knn_arcs(features(), 3, tmp_path)
    k = change.pop("k", 3)
    other = features(**change)
    found, expected = cached_knn_arcs(other, k, tmp_path), knn_arcs(other, k)
    assert [part.tobytes() for part in found] == [part.tobytes() for part in expected]
    assert len(list((tmp_path / "knn").iterdir())) == 2


def test_a_damaged_entry_is_made_again(tmp_path):
    first = cached_knn_arcs(features(), 3, tmp_path)
    (entry,) = (tmp_path / "knn").iterdir()
    entry.write_bytes(entry.read_bytes()[:200])
    assert all(np.array_equal(a, b) for a, b in zip(cached_knn_arcs(features(), 3, tmp_path), first))


def test_a_graph_with_altered_values_is_noticed_and_made_again(tmp_path, caplog):
    first = cached_knn_arcs(features(), 3, tmp_path)
    (entry,) = (tmp_path / "knn").iterdir()
    with np.load(entry) as found:
        np.savez(entry, **{**found, "src": found["src"][::-1]})
    again = cached_knn_arcs(features(), 3, tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(again, first))
    assert "are not those that were written; it is made again" in caplog.text

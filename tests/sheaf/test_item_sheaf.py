"""Item sheaves against ridge regressions and Gram matrices written down from their definitions."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recbole.model.general_recommender.ease import EASE
from scipy.sparse import csr_matrix

from recbole_sheaf.errors import ConfigError, ShapeError
from recbole_sheaf.sheaf.item_arcs import choose_neighbours
from recbole_sheaf.sheaf.item_sheaf import (
    cosine_transport,
    precision,
    ridge_diagonal,
    scores,
    transport,
)
from recbole_sheaf.sheaf.item_signals import (
    RelationSignals,
    blocks_of_gram,
    content_coordinates,
    damping_of,
    gram_blocks,
    gram_matrix,
    item_signals,
    neighbourhoods,
    spaced_users,
    sparse_gram,
)
from recbole_sheaf.sheaf.local_item_sheaf import arc_cosines, block_chunks, content_hubs, local_transport, whole_gram

# the first eigendecomposition and the first assert_close of a process load libraries, which is no fault of an example
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def random_problem(n, users, power, seed, width=3, missing=0.3):
    """Histories X as a dense matrix, their signals with content in float64, Lambda, and weighed neighbourhoods N."""
    generator = torch.Generator().manual_seed(seed)
    X = (torch.rand(users, n, generator=generator) < 0.4).double()
    X[0] = 0.0  # a user without a history
    modality = torch.randn(n, width, generator=generator).double(), torch.rand(n, generator=generator) >= missing
    content = content_coordinates([modality], [0.7])
    u, i = X.nonzero(as_tuple=True)
    order = torch.randperm(len(u), generator=generator)
    near, N = random_neighbourhoods(n, generator)
    signals = item_signals(u[order], i[order], users, n, content, power, near)
    return X, signals, ridge_diagonal(signals.diagonal, 0.5, 0.3), N


def random_neighbourhoods(n, generator):
    """Those of two modalities, of which the last item has no row, and as dense rows times the root of their weight."""
    near, rows = [], []
    for weight in (0.4, 1.7):
        similarity = torch.randn(n, n, generator=generator).double().clamp(min=-0.5).fill_diagonal_(0.0)
        similarity[-1] = 0.0
        item, neighbour = similarity.nonzero(as_tuple=True)
        near.append(neighbourhoods(neighbour, item, similarity[item, neighbour], n, weight))
        for i in range(n):
            positive = similarity[i].clamp(min=0)
            if positive.sum() > 0:
                rows.append(weight**0.5 * (positive / positive.sum() + torch.eye(n, dtype=positive.dtype)[i]))
    return near, torch.stack(rows) if rows else torch.zeros(0, n).double()


problems = st.builds(
    random_problem,
    n=st.integers(3, 9),
    users=st.integers(2, 12),
    power=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)


def stacked_signals(X, signals, N):
    """Every signal as a row, times the root of its weight: their Gram matrix is M."""
    return torch.cat([signals.user_weight.sqrt().unsqueeze(1) * X, N, signals.content.T])


def regressions(X, signals, ridge, N, near=None):
    """B, one ridge regression of the stacked signals at a time, on all other nodes or on given ones."""
    n = X.shape[1]
    rows = stacked_signals(X, signals, N)
    B = torch.zeros(n, n, dtype=X.dtype)
    for i in range(n):
        others = [j for j in range(n) if j != i] if near is None else [j for j in near[i].tolist() if j >= 0]
        stacked = torch.cat([rows[:, others], torch.diag(ridge[others].sqrt())])
        wanted = torch.cat([rows[:, i], torch.zeros(len(others), dtype=X.dtype)])
        B[others, i] = torch.linalg.lstsq(stacked, wanted.unsqueeze(1)).solution[:, 0]
    return B


def on_arcs(near, weights):
    """Arc weights as a matrix, column i for node i."""
    n = len(near)
    out = torch.zeros(n, n, dtype=weights.dtype)
    item, place = (near >= 0).nonzero(as_tuple=True)
    out[near[item, place], item] = weights[item, place]
    return out


def all_others(n):
    """Every other item as a neighbour."""
    return torch.stack([torch.tensor([j for j in range(n) if j != i]) for i in range(n)])


@few
@given(problems)
def test_gram_matrix_and_its_blocks_are_the_definition(problem):
    X, signals, _, N = problem
    rows = stacked_signals(X, signals, N)
    M = rows.T @ rows
    torch.testing.assert_close(gram_matrix(signals, block=2), M)
    torch.testing.assert_close(signals.diagonal, M.diagonal())
    nodes = torch.stack([torch.randperm(len(M))[:3] for _ in range(4)])
    nodes[1, 1] = -1
    expected = M[nodes.clamp(min=0)[:, :, None], nodes.clamp(min=0)[:, None, :]]
    there = (nodes >= 0).double()
    of_users, pairs = gram_matrix(signals, content=False), sparse_gram(signals)
    torch.testing.assert_close(torch.from_numpy(pairs.toarray()), of_users)
    assert pairs.has_sorted_indices  # by which entries are found
    for blocks in (partial(gram_blocks, signals), partial(blocks_of_gram, pairs, signals)):
        torch.testing.assert_close(blocks(nodes), expected * there[:, :, None] * there[:, None, :])
        torch.testing.assert_close(blocks(nodes[:1], content=False)[0], of_users[nodes[0][:, None], nodes[0]])


@few
@given(problems)
def test_transport_is_one_ridge_regression_at_each_node(problem):
    X, signals, ridge, N = problem
    P = precision(gram_matrix(signals), ridge)
    B = transport(P)
    torch.testing.assert_close(B, regressions(X, signals, ridge, N))
    assert torch.equal(P, P.T) and not B.diagonal().any()
    torch.testing.assert_close(scores(P, X), X @ B)


@few
@given(problems)
def test_ridge_loss_of_a_node_is_one_over_its_variance(problem):
    X, signals, ridge, N = problem
    P = precision(gram_matrix(signals), ridge)
    B = transport(P)
    rows = stacked_signals(X, signals, N)
    loss = (rows - rows @ B).square().sum(0) + (ridge.unsqueeze(1) * B.square()).sum(0) + ridge
    torch.testing.assert_close(P.diagonal().reciprocal(), loss)


@few
@given(problems)
def test_local_regressions_see_their_neighbours_only(problem):
    X, signals, ridge, N = problem
    near = choose_neighbours(signals, ridge, 2)
    gram = gram_matrix(signals)
    # blocks cut out of a sparse M, made one by one, or cut out of M; chunks of one node and of all
    for given_gram, most in ((None, 2**28), (None, 0), (gram, 0)):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("recbole_sheaf.sheaf.local_item_sheaf.SPARSE_PAIRS", most)
            maps = local_transport(signals, near, ridge, given_gram, chunk_bytes=1 if given_gram is None else 2**28)
        torch.testing.assert_close(on_arcs(near, maps.weights), regressions(X, signals, ridge, N, near))
    cosines = arc_cosines(signals, near)
    kept = on_arcs(near, (near >= 0).double())
    torch.testing.assert_close(on_arcs(near, cosines), cosine_transport(gram) * kept)


@few
@given(problems)
def test_local_with_all_neighbours_is_full(problem):
    _X, signals, ridge, _N = problem
    P = precision(gram_matrix(signals), ridge)
    near = all_others(len(P))
    maps = local_transport(signals, near, ridge)
    torch.testing.assert_close(on_arcs(near, maps.weights), transport(P))
    torch.testing.assert_close(maps.variance, P.diagonal())
    without = local_transport(signals, near, ridge, content=False)  # content comes back through the hubs
    hubs = content_hubs(without, signals.content)
    Q = torch.diag(without.variance) - on_arcs(near, without.weights) * without.variance
    torch.testing.assert_close(hubs.variance, P.diagonal())
    torch.testing.assert_close(Q - hubs.factor @ hubs.factor.T, P)


@few
@given(problems)
def test_neighbours_are_those_that_lower_the_loss_most(problem):
    _X, signals, ridge, _N = problem
    M = gram_matrix(signals, content=False)
    gain = M.square() / (signals.diagonal + ridge)  # row i, column j: M_ij^2 / (M_jj + Lambda_jj)
    gain.fill_diagonal_(0.0)
    K = len(M) - 1
    expected = gain.sort(dim=1, descending=True).values[:, :K]
    for chunk in (1, 2**20):
        near = choose_neighbours(signals, ridge, K, chunk_pairs=chunk)
        found = gain.gather(1, near.clamp(min=0)) * (near >= 0)
        torch.testing.assert_close(found, expected)
        assert torch.equal((near >= 0).sum(1), (gain > 0).sum(1))
        for gram in (sparse_gram(signals), M):  # rows at hand are those that are made, and a dense M is not asked
            assert torch.equal(choose_neighbours(signals, ridge, K, chunk, gram), near)
        assert all(len(set(row[row >= 0].tolist())) == int((row >= 0).sum()) for row in near)


@few
@given(problems)
def test_the_best_of_many_are_the_best_of_all(problem):
    """K below the number of items, so that most are left out."""
    _X, signals, ridge, _N = problem
    everyone, gram = choose_neighbours(signals, ridge, signals.n_items - 1), sparse_gram(signals)
    for near in (choose_neighbours(signals, ridge, 2), choose_neighbours(signals, ridge, 2, gram=gram)):
        assert torch.equal(near, everyone[:, :2])


def test_m_is_made_whole_where_few_pairs_are_in_many_histories(monkeypatch):
    """Ten users have the same three of four items: nine pairs, each ten times."""
    users, items = torch.arange(10).repeat_interleave(3), torch.tensor([0, 1, 2] * 10)
    signals = item_signals(users, items, n_users=10, n_items=4)
    for most, expected in ((9, True), (8, False)):
        monkeypatch.setattr("recbole_sheaf.sheaf.local_item_sheaf.SPARSE_PAIRS", most)
        assert (whole_gram(signals) is not None) == expected


def test_of_equal_neighbours_the_first_are_taken_whatever_is_looked_at_together():
    n = 7  # one user has all items, and no two of them differ
    signals = item_signals(torch.zeros(n, dtype=torch.long), torch.arange(n), n_users=1, n_items=n)
    expected = [[j for j in range(n) if j != i][:3] for i in range(n)]
    for pairs in (1, 2**24):
        assert choose_neighbours(signals, torch.ones(n), 3, chunk_pairs=pairs).tolist() == expected


def test_a_neighbour_of_the_own_item_is_none_however_loud():
    content = torch.zeros(3, 0, dtype=torch.float64)
    users, items = torch.tensor([0, 1, 2, 3, 3, 4, 4]), torch.tensor([0, 0, 0, 0, 1, 1, 2])
    signals = item_signals(users, items, n_users=5, n_items=3, content=content)
    assert choose_neighbours(signals, torch.ones(3), 2).tolist() == [[1, -1], [2, 0], [1, -1]]


def test_items_whose_neighbours_have_many_entries_are_learnt_first_and_few_at_once():
    """Ten users have item 0 and one each of the others has items 1 to 3; nothing is at hand."""
    users, items = torch.arange(13), torch.tensor([0] * 10 + [1, 2, 3])
    signals = item_signals(users, items, n_users=13, n_items=4)
    near = torch.tensor([[1], [2], [0], [-1]])
    assert [rows.tolist() for rows in block_chunks(signals, near, False, chunk_bytes=1)] == [[0], [2], [1], [3]]
    assert [len(rows) for rows in block_chunks(signals, near, False, chunk_bytes=4 * 330)] == [2, 2]


@few
@given(problems)
def test_order_of_items_does_not_matter(problem):
    X, signals, ridge, _N = problem
    order = torch.randperm(X.shape[1])
    u, i = X[:, order].nonzero(as_tuple=True)
    moved = item_signals(u, i, len(X), X.shape[1], signals.content[order], 0.0)
    plain = item_signals(*X.nonzero(as_tuple=True), len(X), X.shape[1], signals.content, 0.0)
    B = transport(precision(gram_matrix(plain), ridge))
    torch.testing.assert_close(transport(precision(gram_matrix(moved), ridge[order])), B[order][:, order])


@pytest.mark.parametrize("d", [1, 2, 3])
def test_maps_of_wider_stalks_are_regressions_without_the_own_block(d):
    n, rows = 4, torch.randn(30, 4 * d).double()
    ridge = torch.rand(n * d).double() + 0.1
    B = transport(precision(rows.T @ rows, ridge), stalk_dim=d)
    for i in range(n):
        own = torch.arange(i * d, (i + 1) * d)
        others = torch.tensor([k for k in range(n * d) if k not in own])
        stacked = torch.cat([rows[:, others], torch.diag(ridge[others].sqrt())])
        wanted = torch.cat([rows[:, own], torch.zeros(len(others), d).double()])
        torch.testing.assert_close(B[others][:, own], torch.linalg.lstsq(stacked, wanted).solution)
        assert not B[own][:, own].any()


def test_without_content_and_weights_it_is_ease():
    X, *_ = random_problem(n=8, users=20, power=0.0, seed=0)
    X = X.float()
    signals = item_signals(*X.nonzero(as_tuple=True), 20, 8)
    dataset = SimpleNamespace(
        inter_matrix=lambda form: csr_matrix(X.numpy()), num=lambda field: 1, uid_field="u", iid_field="i"
    )
    keys = {key: key for key in ("USER_ID_FIELD", "ITEM_ID_FIELD", "NEG_PREFIX")}
    ease = EASE(_Config({**keys, "reg_weight": 3.0, "device": "cpu"}), dataset)
    B = transport(precision(gram_matrix(signals), ridge_diagonal(signals.diagonal, 3.0, 0.0)))
    torch.testing.assert_close(B, torch.from_numpy(ease.item_similarity).float(), rtol=1e-4, atol=1e-6)


class _Config(dict):
    device = "cpu"


def test_missing_rows_change_nothing():
    present = torch.tensor([True, False, True, True, False, True])
    matrix = torch.randn(6, 4).double()
    other = matrix.clone()
    other[~present] = torch.nan  # what stands in a row that is not there is never read
    coordinates = content_coordinates([(matrix, present)], [2.0])
    torch.testing.assert_close(content_coordinates([(other, present)], [2.0]), coordinates)
    assert not coordinates[~present].any()
    alone = content_coordinates([(matrix[present], torch.ones(4, dtype=torch.bool))], [2.0])
    torch.testing.assert_close(coordinates[present] @ coordinates[present].T, alone @ alone.T)


def test_a_modality_says_its_weight_of_every_item():
    modalities = [(torch.randn(7, width).double() * 50, torch.ones(7, dtype=torch.bool)) for width in (3, 5)]
    coordinates = content_coordinates(modalities, [2.0, 0.5])
    torch.testing.assert_close(coordinates.square().sum(1), torch.full((7,), 2.5).double())
    assert content_coordinates(modalities, [0.0, 0.0]).shape == (7, 0)


def test_damping_is_whitening_halfway():
    rows = torch.randn(40, 5).double() * torch.tensor([9.0, 3.0, 1.0, 0.1, 0.0]).double()
    before = torch.linalg.svdvals(rows)
    mean = before.square().mean()
    torch.testing.assert_close(torch.linalg.svdvals(rows @ damping_of(rows)), before / (before.square() + mean).sqrt())
    torch.testing.assert_close(damping_of(torch.zeros(4, 3)), torch.eye(3))


@pytest.mark.parametrize(
    "users, items, expected", [(100, 10, 100), (5000, 10, 1667), (5000, 2**20, 64), (99, 2**26, 15)]
)
def test_users_are_spaced_evenly_and_few_where_items_are_many(users, items, expected):
    """5,000 at a distance of 3, the least for 2,048 or fewer; of 2^20 items 64 users make 2^26 scores."""
    some = spaced_users(torch.arange(users), items, 2**26)
    assert len(some) == expected and some[0] == 0 and len(some.diff().unique()) == 1


@pytest.mark.parametrize(
    "power, expected",
    [(0.0, [1.0, 1.0, 1.0]), (0.5, [1.0, 1.0, 0.5]), (1.0, [1.0, 1.0, 0.25])],
)
def test_a_history_counts_by_its_length(power, expected):
    users, items = torch.tensor([1, 2, 2, 2, 2, 2]), torch.tensor([0, 0, 1, 2, 3, 3])  # the last is listed twice
    signals = item_signals(users, items, 3, 4, history_power=power)
    torch.testing.assert_close(signals.user_weight, torch.tensor(expected))
    assert signals.degree.tolist() == [2, 1, 1, 1]


def test_relations_are_rows_beside_histories_and_neighbourhoods():
    """Two relations, of weights and lengths of their own, by the definition; neither is part of a history."""
    users, items = torch.tensor([0, 0, 2]), torch.tensor([0, 1, 3])
    near = neighbourhoods(torch.tensor([2]), torch.tensor([1]), torch.tensor([0.5]), n_items=4, weight=3.0)
    dislikes = RelationSignals(torch.tensor([2, 0, 2, 2]), torch.tensor([0, 2, 1, 2]), weight=0.5)
    skips = RelationSignals(torch.tensor([1]), torch.tensor([3]), weight=0.25)
    content = torch.tensor([[1.0], [0.0], [2.0], [0.0]])
    signals = item_signals(users, items, 3, 4, content, 0.5, [near], [dislikes, skips])
    rows = [(2**-0.5, [1, 1, 0, 0]), (1, [0, 0, 0, 1]), (3, [0, 1, 1, 0]), (1, [1, 0, 2, 0])]
    rows += [(0.5 * 3**-0.5, [1, 1, 1, 0]), (0.5, [0, 0, 1, 0]), (0.25, [0, 0, 0, 1])]
    expected = sum(weight * torch.outer(row, row) for weight, row in ((w, torch.tensor(r).float()) for w, r in rows))
    torch.testing.assert_close(gram_matrix(signals), expected)
    torch.testing.assert_close(signals.diagonal, expected.diagonal())
    assert signals.degree.tolist() == [1, 1, 0, 1] and signals.items_of_user.tolist() == [0, 1, 3]
    with pytest.raises(ConfigError, match="the weight of a relation is -0.5, expected a number >= 0"):
        item_signals(users, items, 3, 4, relations=[dislikes._replace(weight=-0.5)])
    with pytest.raises(ShapeError, match="item 2 .* is outside 0 to 1"):
        item_signals(users[:1], items[:1], 3, 2, relations=[dislikes])


def test_a_diagonally_dominant_precision_is_a_sheaf_laplacian():
    """Then P is a sum of squares of gaps between two nodes, with signed scalar maps, and of nodes alone; no further."""
    P = torch.randn(5, 5).double()
    P = (P + P.T) / 2
    P.diagonal().copy_(P.abs().sum(1) + 0.1)
    gaps = []
    for i in range(5):
        for j in range(i):
            gap = torch.zeros(5).double()
            gap[i], gap[j] = P[i, j].abs().sqrt(), -P[i, j].sign() * -P[i, j].abs().sqrt()
            gaps.append(gap)
    coboundary = torch.stack(gaps)
    rest = P - coboundary.T @ coboundary
    torch.testing.assert_close(rest, torch.diag(rest.diagonal()))
    assert (rest.diagonal() >= 0).all()


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: ridge_diagonal(torch.ones(2), -1.0, 0.0), ConfigError, "ridge is -1.0, expected a number >= 0"),
        (lambda: ridge_diagonal(torch.ones(2), 1.0, 1.0), ConfigError, "map_dropout is 1.0, expected a share"),
        (lambda: precision(torch.ones(2, 2), torch.zeros(2)), ConfigError, "not positive definite.*raise ridge"),
        (lambda: precision(torch.eye(2), torch.tensor([1.0, -2.0])), ConfigError, "ridge is -2.0 at a node"),
        (lambda: precision(torch.eye(3), torch.ones(2)), ShapeError, r"\(3, 3\) and a ridge of 2 do not fit"),
        (lambda: transport(torch.eye(4), 3), ShapeError, "4 rows, no multiple of stalk_dim 3"),
        (lambda: item_signals(torch.tensor([5]), torch.tensor([0]), 3, 2), ShapeError, "user 5 .* outside 0 to 2"),
        (lambda: item_signals(*torch.zeros(2, 1).long(), 3, 2, torch.zeros(3, 1)), ShapeError, "3 rows, the items are"),
        (lambda: item_signals(*torch.zeros(2, 1).long(), 3, 2, None, 2.0), ConfigError, "history_power is 2.0"),
        (lambda: content_coordinates([(torch.eye(2), torch.ones(2) > 0)], [-1.0]), ConfigError, "weight is -1.0"),
    ],
)
def test_what_does_not_fit_is_refused(unchecked_shapes, call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_more_neighbours_than_items_are_refused():
    _, signals, ridge, _ = random_problem(n=5, users=6, power=0.0, seed=0)
    with pytest.raises(ConfigError, match="item_sheaf_neighbours is 5, but there are 5 items; expected 1 to 4"):
        choose_neighbours(signals, ridge, 5)
    with pytest.raises(ConfigError, match="5 neighbours for each of 5 nodes"):
        local_transport(signals, torch.zeros(5, 5).long(), ridge)

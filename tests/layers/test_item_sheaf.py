"""Item sheaves as modules: messages are matrix products, and what is exported is what scores."""

import pytest
import torch

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.layers.item_sheaf import FullItemSheaf, fit_item_sheaf, maps_into_new, users_gram
from recbole_sheaf.sheaf.cold_items import cold_maps, content_regression, target_factors
from recbole_sheaf.sheaf.item_sheaf import transport
from recbole_sheaf.sheaf.item_signals import item_signals
from tests.sheaf.test_item_maps import dense
from tests.sheaf.test_item_sheaf import random_problem

USERS = torch.arange(40)


@pytest.fixture
def problem():
    return random_problem(n=9, users=40, power=0.5, seed=0)


def fit(problem, neighbours, **options):
    return fit_item_sheaf(problem[1], neighbours=neighbours, ridge=0.5, map_dropout=0.3, **options)


@pytest.mark.parametrize("maps", ["learnt", "identity"])
@pytest.mark.parametrize("backend", ["dgl", "torch"])
def test_messages_over_all_pairs_are_the_full_form(problem, backend, maps):
    X, _signals, *_ = problem
    full, local = (fit(problem, k, restriction_map=maps, backend=backend) for k in (0, 8))
    everyone = full.scores(USERS)
    assert (X.T @ X > 0).all()  # so that all 8 others are neighbours
    torch.testing.assert_close(local.scores(USERS), everyone)
    torch.testing.assert_close(full(X), everyone)
    torch.testing.assert_close(local.ridge_loss, full.ridge_loss)


def test_a_full_form_without_a_matrix_is_refused(problem):
    with pytest.raises(ConfigError, match="neither precision nor transport"):
        FullItemSheaf(problem[1]).scores(USERS)


def with_cold_items():
    """Items 2 and 5 chosen by nobody, with content; item 7 by nobody, without; item 4 by six, the others by more."""
    X, signals, *_ = random_problem(n=9, users=40, power=0.5, seed=0)
    X[:, [2, 5, 7]] = 0.0
    X[:, 4] *= X[:, 4].cumsum(0) <= 6
    assert X.sum(0)[4] == 6 and (X.sum(0)[[0, 1, 3, 6, 8]] > 10).all()
    content = signals.content.clone()
    content[[2, 5]], content[7] = torch.tensor([[0.5, -0.2, 0.4], [-0.3, 0.6, 0.2]]).double(), 0.0
    return X, item_signals(*X.nonzero(as_tuple=True), 40, 9, content, 0.5)


def level(scores, rare, cold):
    """By what cold items' scores are multiplied where all warm items have content: the ratio of root mean squares."""
    return (scores[:, rare].square().mean() / scores[:, cold].square().mean()).sqrt()


@pytest.mark.parametrize("neighbours", [0, 3])
@pytest.mark.parametrize("backend", ["dgl", "torch"])
def test_scores_of_cold_items_map_histories_and_what_warm_maps_add_by_content(neighbours, backend, monkeypatch):
    """Columns (I + B) K, in both forms; those of warm items and of one without content are as without."""
    monkeypatch.setattr("recbole_sheaf.layers.item_sheaf.COLD_ENTRIES", 9)  # one cold item at a time
    X, signals = with_cold_items()
    B = fit((X, signals), neighbours, cold_ridge=0)(torch.eye(9).double())
    maps = cold_maps(signals, 0.3)
    assert maps.items.tolist() == [2, 5]
    expected = B.clone()
    expected[:, maps.items] = (torch.eye(9).double() + B) @ maps.source_factors @ maps.target_factors.T
    expected[:, maps.items] *= level(X @ expected, rare=[4], cold=[2, 5])
    assert (expected - B)[:, [2, 5]].abs().max(0).values.min() > 0.05
    sheaf = fit((X, signals), neighbours, cold_ridge=0.3, backend=backend)
    torch.testing.assert_close(sheaf(torch.eye(9).double()), expected)
    torch.testing.assert_close(sheaf.scores(USERS), X @ expected)
    items, values = sheaf.item_vectors(4)
    torch.testing.assert_close(values[maps.items].abs(), expected.T[maps.items].abs().topk(4, dim=1).values)
    torch.testing.assert_close(values, expected.T.gather(1, items.clamp(min=0)) * (items >= 0))


@pytest.mark.parametrize("neighbours", [0, 3])
def test_scores_of_cold_items_shrink_with_the_share_of_interactions_that_have_content(neighbours):
    """Items 0 and 4 lose their content; what is left of the interactions is at those of items 1, 3, 6 and 8."""
    X, signals = with_cold_items()
    content = signals.content.clone()
    content[[0, 4]] = 0.0
    signals = item_signals(*X.nonzero(as_tuple=True), 40, 9, content, 0.5)
    sheaf = fit((X, signals), neighbours, cold_ridge=0.3)
    share = float(X[:, [1, 3, 6, 8]].sum() / X.sum())
    assert 0.4 < share < 0.9
    scores = sheaf.scores(USERS)
    ratio = scores[:, [2, 5]].square().mean().sqrt() / scores[:, [4]].square().mean().sqrt()
    assert float(ratio) == pytest.approx(share)


@pytest.mark.parametrize("neighbours", [0, 3])
def test_identity_maps_into_cold_items_are_cosines_whatever_the_ridge(neighbours):
    X, signals = with_cold_items()
    one, other = (fit((X, signals), neighbours, restriction_map="identity", cold_ridge=r).scores(USERS) for r in (0, 3))
    assert torch.equal(one, other) and one[:, 2].any()


def test_a_history_does_not_score_its_own_item(problem):
    """One item at a time: its transport has a zero where it came from, hubs included."""
    for neighbours in (0, 3):
        for maps in ("learnt", "identity"):
            B = fit(problem, neighbours, restriction_map=maps)(torch.eye(9).double())
            torch.testing.assert_close(B.diagonal(), torch.zeros(9).double())


def test_blocks_and_dense_matrix_give_the_same_local_form(problem, monkeypatch):
    dense = fit(problem, 3).scores(USERS)
    monkeypatch.setattr("recbole_sheaf.layers.item_sheaf.FULL_UP_TO", 5)
    torch.testing.assert_close(fit(problem, 3).scores(USERS), dense)


def test_scores_of_users_are_their_histories_transported_however_few_messages_at_once(problem, monkeypatch):
    for maps in ("learnt", "identity"):
        sheaf, users = fit(problem, 3, restriction_map=maps), torch.tensor([3, 0, 39, 3])
        expected = sheaf(problem[0][users])
        assert expected[[0, 2]].all() and not expected[1].any()  # user 0 has no history
        torch.testing.assert_close(sheaf.scores(users), expected)
        monkeypatch.setattr("recbole_sheaf.layers.item_sheaf.MESSAGES", 1)
        torch.testing.assert_close(sheaf.scores(users), expected)


def test_arcs_are_laid_out_by_their_sources(problem):
    sheaf = fit(problem, 3)
    source = sheaf.graph.src
    assert torch.equal(sheaf.arcs_by_source.long(), torch.argsort(source, stable=True))
    assert sheaf.source_offsets.diff().tolist() == torch.bincount(source, minlength=9).tolist()
    assert (source.diff() < 0).any()  # they are listed otherwise


def test_users_part_of_m_at_hand_gives_the_same_sheaf_and_is_made_no_more(problem, monkeypatch):
    monkeypatch.setattr("recbole_sheaf.layers.item_sheaf.FULL_UP_TO", 5)
    expected, gram = fit(problem, 3), users_gram(problem[1])
    monkeypatch.setattr("recbole_sheaf.layers.item_sheaf.whole_gram", None)
    monkeypatch.setattr("recbole_sheaf.sheaf.local_item_sheaf.sparse_gram", None)
    found = fit(problem, 3, gram=gram)
    for name in ("weights", "hubs_in", "hubs_out"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    assert torch.equal(found.graph.src, expected.graph.src)


def test_minus_one_takes_the_form_that_fits(problem, monkeypatch):
    assert hasattr(fit(problem, -1), "precision")
    monkeypatch.setattr("recbole_sheaf.layers.item_sheaf.FULL_UP_TO", 5)
    assert hasattr(fit(problem, -1), "graph")


@pytest.mark.parametrize("neighbours", [0, 3])
def test_exported_vectors_are_rows_of_the_transport(problem, neighbours):
    sheaf = fit(problem, neighbours)
    B = sheaf(torch.eye(9).double())
    items, values = sheaf.item_vectors(3)
    there = items >= 0
    torch.testing.assert_close(values, B.T.gather(1, items.clamp(min=0)) * there)
    assert (values.abs().diff(dim=1) <= 0).all()
    if not neighbours:
        torch.testing.assert_close(B, transport(sheaf.precision))
        assert (sheaf.item_vectors(8)[1] < 0).any()  # signed
        torch.testing.assert_close(values.abs(), B.T.abs().topk(3, dim=1).values)
    places, of_users = sheaf.user_vectors(USERS, 4)
    torch.testing.assert_close(of_users, sheaf.scores(USERS).gather(1, places))


def test_a_user_without_a_history_gets_zeros(problem):
    for neighbours in (0, 3):
        assert not fit(problem, neighbours).scores(torch.tensor([0])).any()


def test_nothing_is_saved_and_nothing_trained(problem):
    for neighbours in (0, 3):
        sheaf = fit(problem, neighbours)
        assert not sheaf.state_dict() and not list(sheaf.parameters())


def test_unknown_maps_are_refused(problem):
    with pytest.raises(ConfigError, match="restriction_map is 'factored', expected one of learnt, identity"):
        fit(problem, 0, restriction_map="factored")


def test_more_neighbours_than_items_are_refused_not_cut():
    signals = item_signals(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2]), 2, 3)
    with pytest.raises(ConfigError, match="item_sheaf_neighbours is 3, but there are 3 items; expected 1 to 2"):
        fit_item_sheaf(signals, neighbours=3)


def test_the_level_of_new_items_is_that_of_rare_ones_with_content_times_the_share_that_content_tells():
    """Items 4 and 6 are rare, 6 has no content; item 1 and others are chosen by many and have none."""
    X, signals, *_ = random_problem(n=9, users=40, power=0.5, seed=0)
    X[:, [4, 6]] *= X[:, [4, 6]].cumsum(0) <= 7
    content = signals.content.clone()
    content[[1, 6]] = 0.0
    signals = item_signals(*X.nonzero(as_tuple=True), 40, 9, content, 0.5)
    sheaf = fit_item_sheaf(signals, neighbours=0, ridge=0.5, map_dropout=0.3, cold_ridge=0.3)
    B = sheaf(torch.eye(9).double())
    others = X[:, 4] == 0
    source, target = maps_into_new(sheaf, signals, content[[4, 0]], 0.3)
    _, factor = content_regression(signals, 0.3)
    own, unscaled = (
        (X @ B)[others, 4],
        (X @ (torch.eye(9) + B) @ source @ target_factors(content[[4]], factor).T)[others, 0],
    )
    share = X[:, content.any(dim=1)].sum() / X.sum()
    expected = share * (own.square().mean() / unscaled.square().mean()).sqrt()
    assert 0.3 < share < 0.9 and content[4].any() and (X.sum(0)[[0, 1, 2, 3, 5, 7, 8]] > 10).all()
    torch.testing.assert_close(target, expected * target_factors(content[[4, 0]], factor))


@pytest.mark.parametrize("neighbours", [0, 3, 8])
@pytest.mark.parametrize("maps", ["learnt", "identity"])
def test_maps_in_their_smallest_form_are_what_transports(neighbours, maps):
    _, signals = with_cold_items()
    sheaf = fit_item_sheaf(signals, maps, neighbours, ridge=0.5, map_dropout=0.3, cold_ridge=0.3)
    eye = torch.eye(9).double()
    torch.testing.assert_close(dense(sheaf.maps()).double(), sheaf(eye))
    torch.testing.assert_close(sheaf.through_warm(eye), eye + sheaf.between_items(eye))
    assert (sheaf.message_passing is None) == (neighbours == 0)


@pytest.mark.parametrize("neighbours", [0, 3])
def test_maps_into_new_items_of_a_cold_items_content_are_those_into_it(neighbours):
    _, signals = with_cold_items()
    sheaf = fit_item_sheaf(signals, neighbours=neighbours, ridge=0.5, map_dropout=0.3, cold_ridge=0.3)
    source, target = maps_into_new(sheaf, signals, signals.content[[5, 2]], 0.3)
    into_cold = sheaf(torch.eye(9).double())[:, [5, 2]]
    assert sheaf.cold_level != 1 and into_cold.abs().max() > 0
    torch.testing.assert_close(sheaf.through_warm(source) @ target.mT, into_cold)

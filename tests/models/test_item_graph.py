"""The item graph against its definition, written out as one dense matrix per round."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.experiments.training import prepare
from recbole_sheaf.layers.item_sheaf import fit_item_sheaf
from recbole_sheaf.models.item_graph import ItemGraph, ItemSheafGraph, modality_shares, shares_by_choice
from tests.models.dense import item_matrix, perturb
from tests.models.skewed import write_skewed
from tests.models.test_freedom import features_of
from tests.sheaf.test_item_sheaf import random_problem

SEVERAL = [features_of("a", 14, 5, [3, 7], 0), features_of("b", 14, 4, [3, 9, 10], 1), features_of("c", 14, 3, [3], 2)]


def item_graph(features, neighbours, layers, folder, backend="auto"):
    return ItemGraph({each.name: each for each in features}, neighbours, layers, folder, backend)


@pytest.mark.parametrize("backend", ["dgl", "torch"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("modalities", [1, 3])
@pytest.mark.parametrize("neighbours", [3, 40])
def test_rounds_are_powers_of_the_dense_matrix(tmp_path, modalities, neighbours, layers, backend):
    features = SEVERAL[:modalities]
    graph = perturb(item_graph(features, neighbours, layers, tmp_path, backend), 1.0)
    trust = torch.zeros(1).double() if graph.trust is None else graph.trust
    y = torch.randn(14, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = torch.linalg.matrix_power(item_matrix(features, neighbours, trust), layers) @ y
    torch.testing.assert_close(graph(y), expected)
    assert not expected[3].any()  # without any row there are no neighbours


def test_shares_follow_trust_among_what_an_item_has(tmp_path):
    graph = perturb(item_graph(SEVERAL, 3, 1, tmp_path), 1.0)
    weights, trust = graph.weights(), graph.trust.exp()
    torch.testing.assert_close(weights[:, 1], trust / trust.sum())
    torch.testing.assert_close(weights[[0, 2], 9], trust[[0, 2]] / (trust[0] + trust[2]))
    torch.testing.assert_close(weights[:, 7], torch.stack([0 * trust[0], *(trust[1:] / trust[1:].sum())]))
    assert not weights[1, 9] and not weights[:, 3].any() and not weights[:, 0].any()


def test_trust_starts_equal_and_a_single_modality_needs_none(tmp_path):
    torch.testing.assert_close(item_graph(SEVERAL, 3, 1, tmp_path).weights()[:, 1], torch.full((3,), 1 / 3))
    alone = item_graph(SEVERAL[:1], 3, 1, tmp_path)
    assert not list(alone.parameters())
    assert torch.equal(alone.weights()[0], SEVERAL[0].present.float())


def test_shares_given_are_where_training_begins(tmp_path):
    graph = ItemGraph({each.name: each for each in SEVERAL}, 3, 1, tmp_path, shares=[0.5, 0.3, 0.2])
    torch.testing.assert_close(graph.weights()[:, 1], torch.tensor([0.5, 0.3, 0.2]))
    torch.testing.assert_close(graph.weights()[[0, 2], 9], torch.tensor([0.5, 0.2]) / 0.7)


@pytest.mark.parametrize(
    ("lifts", "expected"),
    [
        ([3.0, 2.0], [0.8, 0.2]),
        ([3.0, 0.5], [1 / 1.02, 0.02 / 1.02]),
        ([0.9, 1.0], [0.5, 0.5]),
        ([2.0, 2.0, 3.0], [1 / 6, 1 / 6, 4 / 6]),
    ],
)
def test_shares_go_by_the_square_of_what_is_beyond_chance(tmp_path, monkeypatch, lifts, expected):
    found = iter(lifts)
    monkeypatch.setattr("recbole_sheaf.models.item_graph.co_choice_lift", lambda *given: next(found))
    read = SimpleNamespace(uid_field="u", iid_field="i", user_num=3, item_num=14)
    read.inter_feat = {"u": torch.tensor([1, 2]), "i": torch.tensor([1, 2])}
    features = {each.name: each for each in SEVERAL[: len(lifts)]}
    assert shares_by_choice(features, read, 3, tmp_path) == pytest.approx(expected)


def test_noise_has_a_fiftieth_beside_vectors_that_know_the_tastes(tmp_path):
    """In the whole model, and only as training begins."""
    write_skewed(tmp_path / "made", n_users=1000)
    tokens = np.load(tmp_path / "made" / "features" / "video.npz")["item_id"]
    noise = np.random.default_rng(5).standard_normal((len(tokens), 16)).astype(np.float32)
    np.savez(tmp_path / "made" / "features" / "noise.npz", item_id=tokens, feature=noise)
    settings = {"data_path": str(tmp_path), "benchmark_filename": ["train", "valid", "test"]}
    for more, expected in (({}, [0.02 / 1.02, 1 / 1.02]), ({"item_graph_shares": "equal"}, [0.5, 0.5])):
        (config,) = resolve_configs(["MMSheaf"], "made", [], {**settings, "item_graph_neighbours": 5, **more})
        model = prepare(config, load_split(config)).model
        assert model.item_graph.weights()[:, 1].tolist() == pytest.approx(expected)


def test_gradients(tmp_path):
    graph = perturb(item_graph(SEVERAL, 3, 2, tmp_path), 1.0)
    y = torch.randn(14, 2, dtype=torch.float64, requires_grad=True)
    trust = graph.trust.detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda y, t: torch.func.functional_call(graph, {"trust": t}, (y,)), (y, trust))


def test_shares_of_an_item_without_content_are_zeros_with_finite_gradients():
    logits = torch.tensor([0.3, -1.0], requires_grad=True)
    shares = modality_shares(logits, torch.tensor([[True, False, False], [True, True, False]]))
    torch.testing.assert_close(shares[:, 1:], torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    (gradient,) = torch.autograd.grad(shares[0].sum(), logits)
    assert torch.isfinite(gradient).all() and gradient.any()


@pytest.mark.parametrize("layers", [1, 2])
def test_a_new_item_receives_what_the_same_content_would_on_the_graph(tmp_path, layers):
    """Of a catalogue that is not shown item 5, an item with its content hears what item 5 does."""
    graph = perturb(item_graph(SEVERAL, 3, layers, tmp_path), 1.0)
    y = torch.randn(14, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    hidden, rows = {}, {}
    for each in SEVERAL:
        present = each.present.clone()
        present[5] = False
        hidden[each.name] = replace(each, matrix=each.matrix * present.unsqueeze(1), present=present)
        rows[each.name] = replace(each, matrix=each.matrix[[0, 5, 9, 3]], present=each.present[[0, 5, 9, 3]])
    heard = graph.for_new_items(hidden, rows, y)
    torch.testing.assert_close(heard[0], graph(y)[5])
    assert heard[1].any() and not heard[2].any()  # item 9 has one modality, item 3 none


def test_a_new_item_unlike_all_others_hears_none_that_lacks_content(tmp_path):
    """A row of zeros is nearer to it than every row that is there."""
    (own,) = alike = [replace(SEVERAL[0], matrix=SEVERAL[0].matrix.abs() * SEVERAL[0].present.unsqueeze(1))]
    new = replace(own, matrix=-own.matrix[:3], present=torch.tensor([False, True, True]))
    y = torch.where(own.present, 1.0, 1e6).double().unsqueeze(1)
    graph = item_graph(alike, 4, 1, tmp_path)
    torch.testing.assert_close(graph.for_new_items({own.name: own}, {own.name: new}, y), torch.ones(2, 1).double())


@pytest.mark.parametrize("maps", ["learnt", "identity"])
@pytest.mark.parametrize("neighbours", [0, 6])
@pytest.mark.parametrize("layers", [1, 2])
def test_along_the_item_sheaf_stalks_walk_its_largest_maps_with_their_signs(maps, neighbours, layers):
    """By the definition, from B itself: what a history of one item gives to every item."""
    _, signals, *_ = random_problem(n=12, users=40, power=0.5, seed=0)
    sheaf = fit_item_sheaf(signals, maps, neighbours, ridge=0.5, map_dropout=0.3)
    B = sheaf(torch.eye(12).double())
    if neighbours:
        near, _ = sheaf.item_vectors(12)
        B = B * torch.stack([(near == j).any(dim=1) for j in range(12)])  # along arcs alone
    into = B.T.clone().fill_diagonal_(0.0)
    kept = torch.zeros_like(into).scatter(1, into.abs().topk(3, dim=1).indices, 1.0)
    W = into * kept / (into * kept).abs().sum(dim=1, keepdim=True)
    assert (W < 0).any() == (maps == "learnt" and not neighbours)
    y = torch.randn(12, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    walked = ItemSheafGraph(sheaf, 3, layers)(y)
    torch.testing.assert_close(walked, torch.linalg.matrix_power(W, layers) @ y, rtol=1e-5, atol=1e-6)

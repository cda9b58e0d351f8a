"""FREEDOM's graphs: the frozen one against its dense definition, the denoised one drawn once an epoch."""

from collections import Counter
from math import log

import pytest
import torch

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.models.freedom import FrozenItemGraph, modality_loss
from tests.models.test_contract import build


def features_of(name, n, dim, missing, seed):
    matrix = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))
    present = torch.ones(n, dtype=torch.bool)
    present[[0, *missing]] = False
    return ModalityFeatures(name, matrix * present.unsqueeze(1), present)


def dense_frozen_graph(features, weights, k):
    """S by the paper's equations: the k largest cosines of a row set to 1, rows divided by k, modalities weighed."""
    total = torch.zeros(len(features[0].matrix), len(features[0].matrix))
    for i in range(len(total)):
        has = [bool(each.present[i]) for each in features]
        for m, each in enumerate(features):
            if not has[m]:
                continue
            alpha = weights[m] / sum(weight for weight, there in zip(weights, has) if there)
            cosine = torch.cosine_similarity(each.matrix[i : i + 1], each.matrix)
            cosine[~each.present] = -2
            total[i, cosine.topk(k).indices] += alpha / k
    return total


def test_the_frozen_graph_is_the_papers(tmp_path):
    features = [features_of("a", 12, 5, [3, 7], 0), features_of("b", 12, 4, [3], 1)]
    graph = FrozenItemGraph({each.name: each for each in features}, torch.tensor([0.25, 1.0]), 4, 2, tmp_path)
    y = torch.randn(12, 3)
    dense = dense_frozen_graph(features, [0.25, 1.0], 4)
    torch.testing.assert_close(graph(y), dense @ dense @ y)
    assert not dense[3].any() and not list(graph.parameters())


def test_an_epoch_has_one_graph_and_ranking_has_all_of_it(toy_settings):
    model, batch, _ = build("FREEDOM", {**toy_settings, "edge_dropout": 0.5})
    model.train()
    model.calculate_loss(batch)
    graph = model.propagation().graph
    model.calculate_loss(batch)
    assert model.propagation().graph is graph
    assert graph.num_arcs == 2 * (model.graph.num_arcs // 4)
    everything = {*zip(model.graph.src.tolist(), model.graph.dst.tolist())}
    assert {*zip(graph.src.tolist(), graph.dst.tolist())} < everything
    assert torch.equal(model.propagation().scale.squeeze(), graph.in_degrees.clamp(min=1).float().rsqrt())
    model.eval()
    state = torch.get_rng_state()
    assert model.propagation() is model.propagate and torch.equal(torch.get_rng_state(), state)
    model.train()
    assert not torch.equal(model.propagation().graph.src, graph.src)


def test_an_epoch_keeps_interactions_by_the_degrees_of_their_ends(toy_settings):
    """Those of the largest -ln(d_u d_v) / 2 - ln w, w exponential: popular items and busy users lose more of theirs."""
    model, _, _ = build("FREEDOM", {**toy_settings, "edge_dropout": 0.5})
    half = model.graph.num_arcs // 2
    pairs = list(zip(model.graph.src[:half].tolist(), model.graph.dst[:half].tolist()))
    degree = Counter(node for pair in pairs for node in pair)
    torch.manual_seed(4)
    waiting = torch.empty(half, dtype=torch.float64).exponential_().tolist()
    torch.manual_seed(4)
    kept = model.train().propagation().graph
    key = {pair: -log(degree[pair[0]] * degree[pair[1]]) / 2 - log(w) for pair, w in zip(pairs, waiting)}
    expected = sorted(pairs, key=key.get, reverse=True)[: half // 2]
    own = len(kept.src) // 2
    assert set(zip(kept.src[:own].tolist(), kept.dst[:own].tolist())) == set(expected)


def test_without_dropout_nothing_is_drawn(toy_settings):
    model, batch, _ = build("FREEDOM", {**toy_settings, "edge_dropout": 0.0})
    state = torch.get_rng_state()
    model.calculate_loss(batch)
    assert model.propagation() is model.propagate and torch.equal(torch.get_rng_state(), state)


def test_content_ranks_by_bpr_where_both_items_have_a_row(toy_settings):
    model, _, _ = build("FREEDOM", {**toy_settings, "modalities": ["text"]})
    project = model.projections[0]
    absent = int(torch.nonzero(~model.modalities["text"].present)[1])
    here = torch.nonzero(model.modalities["text"].present)[:3, 0].tolist()
    triples = (
        torch.tensor([1, 2, 3]),
        torch.tensor([here[0], here[1], absent]),
        torch.tensor([here[2], absent, here[0]]),
    )
    users = torch.randn(model.n_users, 8)
    score = users[1] @ (project()[here[0]] - project()[here[2]])
    torch.testing.assert_close(modality_loss(project, users, triples), torch.log1p(torch.exp(-score)) / 3)


def test_the_loss_adds_its_parts(toy_settings):
    model, batch, _ = build(
        "FREEDOM", {**toy_settings, "edge_dropout": 0.0, "reg_weight": 0.5, "modality_loss_weight": 2}
    )
    triples = users, chosen, sampled = model.triples(batch)
    user_all, item_all = model.forward()
    rows = model.id_embedding[torch.cat([users, model.n_users + chosen, model.n_users + sampled])]
    expected = model.ranking_loss(user_all, item_all, triples) + 0.25 * rows.square().sum() / len(users)
    expected = expected + 2 * sum(modality_loss(project, user_all, triples) for project in model.projections)
    torch.testing.assert_close(model.calculate_loss(batch), expected)


def test_no_content_is_refused(toy_settings):
    with pytest.raises(ConfigError, match="FREEDOM needs a modality, but modalities is empty"):
        build("FREEDOM", {**toy_settings, "modalities": []})

"""MMGCN's layer against the paper's equations node by node, its penalty, and what stays at its random start."""

import pytest
import torch
from torch.nn.functional import leaky_relu

from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.models.mmgcn import ModalityConv
from tests.layers.problems import random_arcs
from tests.models.test_contract import build


@pytest.mark.parametrize("concat", [False, True])
def test_the_layer_is_the_papers(concat):
    src, dst, _ = random_arcs(9, 20, 0)
    graph, layer = ArcGraph(src, dst, 9, backend="torch"), ModalityConv(4, 3, concat)
    if not concat:
        layer = ModalityConv(3, 3, concat)
    x, id_embedding = torch.randn(9, 4 if concat else 3), torch.randn(9, 3)
    out = layer(graph, x, id_embedding)
    for v in range(9):
        neighbours = x[graph.src[graph.dst == v]]
        mean = neighbours.mean(dim=0) if len(neighbours) else torch.zeros(x.shape[1])
        h = leaky_relu(layer.aggregate(mean))
        x_hat = leaky_relu(layer.self_loop(x[v])) + id_embedding[v]
        expected = layer.combine(torch.cat([h, x_hat])) if concat else layer.combine(h) + x_hat
        torch.testing.assert_close(out[v], leaky_relu(expected))


def test_the_penalty_is_half_the_squared_norms_a_batch_row(toy_settings):
    losses = []
    for reg_weight in (0.0, 2.0):
        model, batch, _ = build("MMGCN", {**toy_settings, "reg_weight": reg_weight})
        losses.append(model.calculate_loss(batch))
    users, chosen, sampled = model.triples(batch)
    rows = [
        model.id_embedding[users],
        model.id_embedding[model.n_users + chosen],
        model.id_embedding[model.n_users + sampled],
    ]
    rows += [network.preference[users] for network in model.networks]
    expected = sum(each.square().sum() for each in rows) / len(users)
    torch.testing.assert_close(losses[1] - losses[0], expected)


def test_id_embeddings_stay_at_their_start_as_in_the_published_code(toy_settings):
    model, batch, _ = build("MMGCN", {**toy_settings, "train_id_embeddings": False})
    free = {"id_embedding", *(f"networks.{m}.preference" for m in range(len(model.networks)))}
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    model.calculate_loss(batch).backward()
    optimiser.step()
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == set(before) - free

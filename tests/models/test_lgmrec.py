"""LGMRec against its equations, written out densely: local and global embeddings, memberships, contrast, loss."""

from itertools import combinations

import pytest
import torch
from torch.nn.functional import cosine_similarity, logsigmoid, normalize

from tests.models.dense import UNEQUAL_DEGREES, adjacency, lightgcn_matrix, perturb
from tests.models.test_contract import build

SETTINGS = {
    "n_layers": 2,
    "modality_layers": 3,
    "n_hyperedges": 3,
    "hyper_layers": 2,
    "global_weight": 0.7,
    "temperature": 0.4,
    "hyper_dropout": 0.5,
    **UNEQUAL_DEGREES,
}
close = {"rtol": 1e-5, "atol": 1e-6}  # rows of length 1 and degrees' roots are made in float32, when a model is built


def moved(settings):
    model, batch, _ = build("LGMRec", settings)
    return perturb(model, 0.3), batch


def projected(projection, features):
    """W c + b of each item's row at unit length, zeros where there is none."""
    W, b = projection.linear.weight, projection.linear.bias
    rows = normalize(features.matrix.double())
    return torch.stack([W @ row + b if there else 0 * b for row, there in zip(rows, features.present)])


def dense_memberships(model, m):
    """H_u and H_i: softmax of a user's summed and of an item's logits over the temperature, none without a row."""
    features = list(model.modalities.values())[m]
    items = projected(model.hypergraphs[m].attributes, features)
    users = adjacency(model.graph)[: model.n_users, model.n_users :] @ items
    H_u, H_i = (torch.softmax(logits / model.settings.temperature, dim=1) for logits in (users, items))
    return H_u, H_i * features.present.unsqueeze(1)


def collaborative(model):
    """LightGCN on ID embeddings; what has no arcs receives zeros."""
    A, layers = lightgcn_matrix(model.graph), model.settings.n_layers
    powers = [torch.linalg.matrix_power(A, power) @ model.id_embedding for power in range(layers + 1)]
    return sum(powers) / (layers + 1)


def dense_messages(model, m):
    """H_i (H_i^T H_i)^(L-1) H_i^T x for items, with H_u in the place of the first H_i for users."""
    H_u, H_i = dense_memberships(model, m)
    between = torch.linalg.matrix_power(H_i.T @ H_i, model.settings.hyper_layers - 1)
    edges = between @ H_i.T @ collaborative(model)[model.n_users :]
    return torch.cat([H_u @ edges, H_i @ edges])


def dense_content(model):
    """Per modality A^L of the users' mean of their items above the items, at unit length; summed."""
    mean = adjacency(model.graph)[: model.n_users, model.n_users :]
    mean = mean / mean.sum(dim=1, keepdim=True).clamp(min=1)
    spread = torch.linalg.matrix_power(lightgcn_matrix(model.graph), model.settings.modality_layers)
    total = 0
    for projection, features in zip(model.projections, model.modalities.values()):
        items = projected(projection, features)
        total = total + unit(spread @ torch.cat([mean @ items, items]))
    return total


def unit(x):
    """Rows at length 1, those of zeros left alone."""
    return x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)


@pytest.mark.parametrize("modalities", [["image"], ["text", "image"]])
def test_forward_is_local_plus_weighted_global_of_unit_length(toy_settings, modalities):
    model, _ = moved({**toy_settings, **SETTINGS, "modalities": modalities})
    messages = [dense_messages(model, m) for m in range(len(modalities))]
    expected = collaborative(model) + dense_content(model) + 0.7 * unit(sum(messages))
    torch.testing.assert_close(torch.cat(model.forward()), expected, **close)
    for got, wanted in zip(model.local_and_global()[1], messages):
        torch.testing.assert_close(got, wanted, **close)


def test_an_item_without_a_row_belongs_to_no_hyperedge(toy_settings):
    model, _ = moved({**toy_settings, **SETTINGS})
    for m, features in enumerate(model.modalities.values()):
        users, items = model.hypergraphs[m].memberships(model.graph, model.n_users)
        torch.testing.assert_close(users.sum(dim=1), torch.ones_like(users[:, 0]))
        torch.testing.assert_close(items.sum(dim=1), features.present.double())
    assert not all(features.present[1:].all() for features in model.modalities.values())


def test_noise_in_training_chooses_as_the_softmax_of_the_logits(toy_settings):
    """The largest of logits plus Gumbel noise is each in proportion to exp(logit), at any temperature."""
    model, _ = moved({**toy_settings, **SETTINGS})
    hypergraph, logits = model.hypergraphs[0].train(), torch.tensor([0.5, -1.0, 1.2]).double()
    torch.manual_seed(0)
    drawn = hypergraph._softmax(logits.expand(20_000, 3))
    torch.testing.assert_close(drawn.sum(dim=1), torch.ones(20_000).double())
    share = torch.bincount(drawn.argmax(dim=1), minlength=3) / 20_000
    assert (share - torch.softmax(logits, dim=0)).abs().max() < 0.015  # four standard deviations
    quiet = hypergraph.eval()._softmax(logits.expand(2, 3))
    torch.testing.assert_close(quiet, torch.softmax(logits / 0.4, dim=0).expand(2, 3))


def test_memberships_are_dropped_in_training(toy_settings):
    model, _ = moved({**toy_settings, **SETTINGS, "hyper_dropout": 1.0})
    x = model.id_embedding[model.n_users :]
    assert model.hypergraphs[0](model.graph, x, model.n_users).any()
    assert not model.hypergraphs[0].train()(model.graph, x, model.n_users).any()


def slow_contrast(a, b, temperature):
    """Mean over rows of -ln of the row's own share among all rows of the other view."""
    s = torch.exp(cosine_similarity(a.unsqueeze(1), b.unsqueeze(0), dim=2) / temperature)
    return -torch.log(s.diagonal() / s.sum(dim=1)).mean()


def test_the_loss_is_ranking_contrast_and_penalty(toy_settings):
    weights = {"contrast_weight": 0.3, "reg_weight": 0.02}
    model, batch = moved({**toy_settings, **SETTINGS, **weights})
    users, chosen, sampled = batch["user_id"], batch["item_id"], batch["neg_item_id"]
    user_all, item_all = model.forward()
    scores = (user_all[users] * (item_all[chosen] - item_all[sampled])).sum(dim=1)
    e_u, e_i = model.id_embedding[: model.n_users], model.id_embedding[model.n_users :]
    squares = sum(part.square().sum() for part in (e_u[users], e_i[chosen], e_i[sampled]))
    expected = -logsigmoid(scores).mean() + 0.02 * squares / (2 * len(users))
    messages = [dense_messages(model, m) for m in range(len(model.modalities))]
    for nodes in (users.unique(), model.n_users + chosen.unique()):
        for one, other in combinations(messages, 2):
            contrast = slow_contrast(one[nodes], other[nodes], 0.4)
            assert contrast > 0.1
            expected = expected + 0.3 * contrast
    torch.testing.assert_close(model.calculate_loss(batch), expected, **close)


def test_one_modality_has_nothing_to_contrast(toy_settings):
    losses = []
    for weight in (0.0, 5.0):
        model, batch = moved({**toy_settings, **SETTINGS, "modalities": ["image"], "contrast_weight": weight})
        losses.append(model.calculate_loss(batch))
    torch.testing.assert_close(*losses)

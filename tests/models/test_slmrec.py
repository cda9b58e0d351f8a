"""SLMRec's own equations: channels and their fusion, and the contrast of each self-supervised task."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from recbole_sheaf.models.slmrec import SSL_TASKS, FineAndCoarse
from tests.models.test_contract import build


def slow_contrast(a, b, temperature):
    """Mean over rows of -ln of the row's share among all rows of the other view."""
    s = torch.exp(cosine_similarity(a.unsqueeze(1), b.unsqueeze(0), dim=2) / temperature)
    return -torch.log(s.diagonal() / s.sum(dim=1)).mean()


def dense_mean(model, x, layers):
    """Mean over the layers of the normalised adjacency's powers."""
    adjacency = torch.zeros(model.graph.num_nodes, model.graph.num_nodes)
    adjacency[model.graph.dst, model.graph.src] = 1
    scale = adjacency.sum(dim=1).clamp(min=1) ** -0.5
    matrix = scale[:, None] * adjacency * scale
    return sum(torch.linalg.matrix_power(matrix, power) @ x for power in range(layers + 1)) / (layers + 1)


def test_each_channel_is_propagated_and_all_are_fused(toy_settings):
    model, _, _ = build("SLMRec", {**toy_settings, "n_layers": 2})
    starts = [model.items, *(project() for project in model.projections)]
    channels = [dense_mean(model, torch.cat([model.users, start]), 2) for start in starts]
    users, items = model.forward()
    x = torch.cat(channels, dim=1)
    torch.testing.assert_close(users, model.fuse_users(x[: model.n_users]))
    torch.testing.assert_close(items, model.fuse_items(x[model.n_users :]))


def test_fine_and_coarse_is_a_chain_of_contrasts():
    torch.manual_seed(0)
    task = FineAndCoarse(4, 2, 0.3)
    channels = torch.randn(5, 3, 4)
    present = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    first = task.onward[0](channels[:, 0])
    second = task.onward[1](first)
    rows = torch.tensor([0, 2, 4])  # items with a row in the second modality
    expected = slow_contrast(first, task.aside[0](channels[:, 1]), 0.3)
    expected = expected + slow_contrast(second[rows], task.aside[1](channels[rows, 2]), 0.3)
    torch.testing.assert_close(task(channels, present), expected)
    assert float(task(channels, torch.zeros(5, 2))) == 0


def test_masking_leaves_out_the_items_of_another_channel_in_each_view(toy_settings):
    model, _, _ = build("SLMRec", {**toy_settings, "ssl_task": "fm"})
    start = model.channels()
    gone = []
    for view in model.masked(start):
        torch.testing.assert_close(view[: model.n_users], start[: model.n_users])
        items, kept = (x[model.n_users + 1 :].unflatten(1, (3, -1)) for x in (start, view))
        (channel,) = [c for c in range(3) if not kept[:, c].any()]
        others = [c for c in range(3) if c != channel]
        torch.testing.assert_close(kept[:, others], items[:, others])
        gone.append(channel)
    assert gone[0] != gone[1]


def test_dropping_follows_each_layer_and_ends_with_training(toy_settings):
    model, _, _ = build("SLMRec", {**toy_settings, "ssl_task": "fd", "feature_dropout": 1.0, "n_layers": 2})
    start = model.channels()
    torch.testing.assert_close(model.disturbed(start), start / 3)  # of three layers only the first is left
    model.eval()
    torch.testing.assert_close(model.disturbed(start), model.propagate(start))


@pytest.mark.parametrize("task", SSL_TASKS)
def test_every_task_trains_every_parameter(toy_settings, task):
    for modalities in ("auto", ["image"]):
        model, batch, _ = build("SLMRec", {**toy_settings, "ssl_task": task, "modalities": modalities})
        model.calculate_loss(batch).backward()
        assert all(parameter.grad.any() for parameter in model.parameters())


def test_the_loss_is_softmax_task_and_penalty(toy_settings):
    settings = {**toy_settings, "ssl_task": "fm", "ssl_weight": 0.4, "ssl_temperature": 0.5, "reg_weight": 0.02}
    model, batch, _ = build("SLMRec", settings)
    users, chosen = batch["user_id"], batch["item_id"]
    user_all, item_all = model.forward()
    expected = slow_contrast(user_all[users], item_all[chosen], 0.2)
    torch.manual_seed(3)
    one, other = (model.fused(model.propagate(view)) for view in model.masked(model.channels()))
    for nodes, a, b in zip((users.unique(), chosen.unique()), one, other):
        expected = expected + 0.4 * slow_contrast(a[nodes], b[nodes], 0.5)
    squares = model.users[users].square().sum() + model.items[chosen].square().sum()
    torch.manual_seed(3)
    torch.testing.assert_close(model.calculate_loss(batch), expected + 0.02 * squares / (2 * len(users)))

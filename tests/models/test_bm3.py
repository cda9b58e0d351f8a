"""BM3's loss against a slow reference, and targets through which nothing is learnt."""

import torch

from tests.models.test_contract import build


def cosine_gap(a, b):
    return 1 - torch.dot(a, b) / (a.norm() * b.norm())


def test_the_loss_is_the_papers_pair_by_pair(toy_settings):
    model, batch, _ = build("BM3", {**toy_settings, "alignment_weight": 0.7, "reg_weight": 0.5})
    model.eval()  # targets keep every entry
    users, items, _ = model.triples(batch)
    h_u, h_i = model.embeddings()
    expected = 0.0
    for u, i in zip(users.tolist(), items.tolist()):
        expected += cosine_gap(model.predictor(h_u[u]), h_i[i]) + cosine_gap(model.predictor(h_i[i]), h_u[u])
        for features, project in zip(model.modalities.values(), model.projections):
            if features.present[i]:
                guess = model.predictor(project()[i])
                expected += 0.7 * (cosine_gap(guess, h_i[i]) + cosine_gap(guess, project()[i]))
        expected += 0.25 * (model.id_embedding[u].square().sum() + model.id_embedding[model.n_users + i].square().sum())
    torch.testing.assert_close(model.calculate_loss(batch), expected / len(users))


def test_items_keep_their_identity_beside_the_graph(toy_settings):
    model, _, _ = build("BM3", toy_settings)
    users, items = model.embeddings()
    spread = model.propagate(model.id_embedding)
    torch.testing.assert_close(users, spread[: model.n_users])
    torch.testing.assert_close(items, spread[model.n_users :] + model.id_embedding[model.n_users :])


def test_ranking_is_by_the_predictors_guesses(toy_settings):
    model, _, _ = build("BM3", toy_settings)
    torch.testing.assert_close(model.forward(), tuple(model.predictor(h) for h in model.embeddings()))


def test_a_target_loses_entries_and_gives_no_gradient(toy_settings):
    model, _, _ = build("BM3", {**toy_settings, "target_dropout": 0.5})
    h = torch.randn(200, 8, requires_grad=True)
    model.train()
    target = model.target(h)
    assert not target.requires_grad
    lost = target == 0
    assert 0.4 < lost.float().mean() < 0.6
    torch.testing.assert_close(target[~lost], 2 * h.detach()[~lost])
    model.eval()
    assert torch.equal(model.target(h), h.detach())


def test_without_content_users_and_items_are_left(toy_settings):
    model, batch, _ = build("BM3", {**toy_settings, "modalities": []})
    model.calculate_loss(batch).backward()
    assert all(parameter.grad.any() for parameter in model.parameters())

"""MGCN's own equations against dense references: the purifier, propagation among similar items, the fuser."""

import torch

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.models.item_graph import SimilarityGraph
from recbole_sheaf.models.mgcn import BehaviourAwareFuser, PurifiedView
from tests.conftest import KERNELS_HERE
from tests.models.test_contract import build


def features(rows, missing=()):
    present = torch.ones(len(rows), dtype=torch.bool)
    present[[0, *missing]] = False
    return ModalityFeatures("image", rows * present.unsqueeze(1), present)


def dense_similarity(rows, present, neighbours):
    """S with each present row's nearest cosines and 1 on the diagonal, scaled by the square roots of its row sums."""
    n = len(rows)
    cosine = torch.nn.functional.cosine_similarity(rows.unsqueeze(0), rows.unsqueeze(1), dim=2)
    S = torch.zeros(n, n)
    for i in range(n):
        others = [j for j in range(n) if present[i] and present[j] and j != i]
        for j in sorted(others, key=lambda j: -float(cosine[i, j]))[:neighbours]:
            S[i, j] = max(float(cosine[i, j]), 0.0)
        S[i, i] = float(present[i])
    inverse = torch.where(present, S.sum(dim=1).clamp(min=1) ** -0.5, 0.0)
    return inverse[:, None] * S * inverse


def test_similar_items_are_the_nearest_and_the_item_itself(tmp_path):
    given = features(torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), missing=(4,))
    x = torch.randn(9, 2)
    expected = dense_similarity(given.matrix, given.present, 3) @ x
    for backend in KERNELS_HERE:
        similar = SimilarityGraph(given, 3, tmp_path, backend, torch.device("cpu"))
        torch.testing.assert_close(similar(x), expected)
    assert not expected[4].any() and not expected[0].any()


def test_content_purifies_identities(tmp_path):
    given = features(torch.randn(6, 3, generator=torch.Generator().manual_seed(1)))
    view = PurifiedView(given, 4, SimilarityGraph(given, 2, tmp_path, "torch", torch.device("cpu")), 2)
    id_embedding = torch.randn(6, 4)
    W_1, b_1, W_2, b_2 = view.project.linear.weight, view.project.linear.bias, view.gate.weight, view.gate.bias
    for i in range(1, 6):
        c = given.matrix[i] / given.matrix[i].norm()
        expected = id_embedding[i] * torch.sigmoid(W_2 @ (W_1 @ c + b_1) + b_2)
        torch.testing.assert_close(view.purified(id_embedding)[i], expected)
    S = dense_similarity(given.matrix, given.present, 2)
    torch.testing.assert_close(view(id_embedding), S @ S @ view.purified(id_embedding))


def slow_fusion(fuse, behaviour, views, has):
    """The fuser at one node, term by term."""
    held = [m for m in range(len(views)) if has[m]]
    scores = {m: torch.exp(fuse.query.weight[0] @ torch.tanh(fuse.attend(views[m]))) for m in held}
    shared = sum((scores[m] / sum(scores.values()) * views[m] for m in held), torch.zeros_like(behaviour))
    own = [torch.sigmoid(fuse.asks[m](behaviour)) * (views[m] - shared) for m in held]
    return (shared + sum(own)) / (len(views) + 1)


def test_the_fuser_weighs_what_is_shared_and_what_is_asked_for():
    torch.manual_seed(2)
    fuse = BehaviourAwareFuser(4, 3)
    has = torch.tensor([[True, True, True], [True, False, True], [False, True, False], [False, False, False]])
    behaviour, views = torch.randn(4, 4), torch.randn(4, 3, 4) * has.unsqueeze(2)
    expected = torch.stack([slow_fusion(fuse, *row) for row in zip(behaviour, views, has)])
    torch.testing.assert_close(fuse(behaviour, views, has), expected)
    torch.testing.assert_close(fuse.attention(views, has).sum(dim=1), has.any(dim=1).float())


def test_a_single_view_is_all_its_own():
    fuse = BehaviourAwareFuser(4, 1)
    behaviour, views = torch.randn(2, 4), torch.randn(2, 1, 4)
    expected = torch.sigmoid(fuse.asks[0](behaviour)) * views[:, 0]
    torch.testing.assert_close(fuse(behaviour, views, torch.ones(2, 1, dtype=torch.bool)), expected)
    has = torch.tensor([[True], [False]])
    assert fuse.attention(views, has).tolist() == [[1.0], [0.0]]


def test_the_contrast_is_a_term_of_the_loss(toy_settings):
    """At weight 0 the loss is BPR and penalty; the contrast adds in proportion to its weight."""
    losses = []
    for weight in (0.0, 0.1, 0.2):
        model, batch, _ = build("MGCN", {**toy_settings, "contrast_weight": weight})
        losses.append(model.calculate_loss(batch))
    assert losses[1] > losses[0]
    torch.testing.assert_close(losses[2] - losses[1], losses[1] - losses[0])


def test_a_user_is_the_sum_of_their_items(toy_settings):
    """Users have no modality view of their own: with the items' views gone, theirs go too."""
    model, _, _ = build("MGCN", toy_settings)
    before = model.both_views()[1][: model.n_users]
    model.id_embedding.data[model.n_users :] = 0
    behaviour, side = model.both_views()
    assert before[1:].any() and not side.any() and behaviour.any()

"""Coordinates from which maps are learnt: unit variance where items differ, nothing where they do not."""

import torch
from torch.nn.functional import normalize

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.models.node_content import node_content, principal_coordinates
from tests.models.test_freedom import features_of


def with_rows(rows):
    """Rows of the items from 2 on; padding and item 1 have none."""
    matrix = torch.cat([torch.zeros(2, rows.shape[1]), rows])
    return ModalityFeatures("x", matrix, torch.arange(len(matrix)) > 1)


def test_coordinates_have_unit_variance_and_missing_items_none():
    found = principal_coordinates(with_rows(torch.randn(40, 6, generator=torch.Generator().manual_seed(0))), 4)
    assert found.shape == (42, 4) and not found[:2].any()
    torch.testing.assert_close(found[2:].var(dim=0), torch.ones(4))


def test_coordinates_are_those_of_a_singular_value_decomposition():
    """X = U S V^T of the centred rows at unit length gives sqrt(n - 1) U, up to signs, which products do not show."""
    rows = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    X = normalize(rows.double())
    U = torch.linalg.svd(X - X.mean(dim=0), full_matrices=False)[0][:, :4]
    found = principal_coordinates(with_rows(rows), 4)[2:].double()
    torch.testing.assert_close(found @ found.T, 39 * U @ U.T, rtol=1e-5, atol=1e-5)


def test_a_user_is_the_mean_of_their_items_and_both_kinds_have_unit_variance():
    """Users of one, two, three and four items, one of none and an item that nobody chose; one modality is missing."""
    chosen = {1: [1], 2: [2, 3], 3: [3, 4, 5], 4: [1, 2, 5, 6], 5: []}
    users, items = zip(*((user, 6 + item) for user, liked in chosen.items() for item in liked))
    features = [features_of("a", 8, 5, [2], 0), features_of("b", 8, 4, [], 1)]
    graph = ArcGraph.from_edges(torch.tensor(users), torch.tensor(items), 14)
    held = torch.cat([principal_coordinates(each, 2) for each in features], dim=1)
    means = torch.zeros(6, 4)
    for user, liked in chosen.items():
        for item in liked:
            means[user] += held[item] / len(liked)
    scaled = [part / part.square().mean(dim=0).sqrt() for part in (means, held)]
    torch.testing.assert_close(node_content(graph, features, 6, 2), torch.cat(scaled))
    assert not means[[0, 5]].any() and held[7].any()


def test_equal_items_are_not_told_apart():
    assert not principal_coordinates(with_rows(torch.tensor([0.3, 0.2, 0.7]).repeat(20, 1)), 3).any()
    assert not principal_coordinates(with_rows(torch.ones(1, 3)), 3).any()


def test_rounding_is_no_direction():
    """Rows in a plane have two directions, whatever float32 makes of the others."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(300, 2, generator=generator) @ torch.randn(2, 8, generator=generator)
    assert torch.linalg.matrix_rank(normalize(rows).double() - normalize(rows).double().mean(dim=0)) > 2
    found = principal_coordinates(with_rows(rows), 5)
    torch.testing.assert_close(found[2:].var(dim=0), torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0]))

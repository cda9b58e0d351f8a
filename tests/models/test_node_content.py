"""Coordinates from which maps are learnt: unit variance where items differ, nothing where they do not."""

import torch
from torch.nn.functional import normalize

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.models.node_content import principal_coordinates


def with_rows(rows):
    """Rows of the items from 2 on; padding and item 1 have none."""
    matrix = torch.cat([torch.zeros(2, rows.shape[1]), rows])
    return ModalityFeatures("x", matrix, torch.arange(len(matrix)) > 1)


def test_coordinates_have_unit_variance_and_missing_items_none():
    found = principal_coordinates(with_rows(torch.randn(40, 6, generator=torch.Generator().manual_seed(0))), 4)
    assert found.shape == (42, 4) and not found[:2].any()
    torch.testing.assert_close(found[2:].var(dim=0), torch.ones(4))


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

"""Rows to the width of embeddings: the maps as written, and a missing item is zeros and teaches no bias."""

import pytest
import torch
from torch.nn.functional import normalize

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.layers.modality_projection import ModalityProjection

ROWS = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 4.0], [0.0, 0.0, 0.0], [1.0, -1.0, 0.5]])
PRESENT = torch.tensor([False, True, False, True])


def test_rows_are_mapped_at_length_one_and_missing_ones_are_zeros():
    project = ModalityProjection(ROWS, PRESENT, 2)
    torch.nn.init.ones_(project.linear.bias)
    expected = normalize(ROWS) @ project.linear.weight.T + 1
    torch.testing.assert_close(project()[PRESENT], expected[PRESENT])
    assert not project()[~PRESENT].any()


def test_a_hidden_layer():
    project = ModalityProjection(ROWS, PRESENT, 2, hidden=5, activation=torch.tanh)
    expected = project.linear(torch.tanh(normalize(ROWS) @ project.hidden.weight.T + project.hidden.bias))
    torch.testing.assert_close(project()[PRESENT], expected[PRESENT])


def test_a_missing_item_teaches_nothing():
    project = ModalityProjection(ROWS, PRESENT, 2)
    project()[~PRESENT].sum().backward()
    assert not any(parameter.grad.any() for parameter in project.parameters())


def test_checkpoints_hold_the_maps_and_not_the_rows():
    assert set(ModalityProjection(ROWS, PRESENT, 2).state_dict()) == {"linear.weight", "linear.bias"}


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_mask_of_another_length_is_refused():
    with pytest.raises(ShapeError, match=r"rows of shape \(4, 3\) came with a mask of shape \(3,\)"):
        ModalityProjection(ROWS, PRESENT[1:], 2)

"""The join by token, the mask, and the digest that caches trust."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_sheaf.errors import FeatureError
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.features.modality import join_by_token

TOKEN2ID = {"[PAD]": 0, "b": 1, "a": 2, "c": 3}


@settings(deadline=None)  # the first call imports
@given(st.permutations(range(3)))
def test_rows_meet_items_by_token_whatever_their_order(order):
    tokens, rows = np.array(["a", "b", "elsewhere"]), np.array([[1.0, 2], [3, 4], [9, 9]], np.float16)
    joined = join_by_token("x", tokens[list(order)].tolist(), rows[list(order)], TOKEN2ID, 4)
    torch.testing.assert_close(joined.matrix, torch.tensor([[0.0, 0], [3, 4], [1, 2], [0, 0]]))
    assert joined.present.tolist() == [False, True, True, False]
    assert joined.dim == 2


def test_a_real_row_of_zeros_is_present_and_a_missing_one_is_not():
    joined = join_by_token("x", ["a", "b"], np.array([[0.0], [1.0]]), TOKEN2ID, 4)
    assert joined.matrix[2] == 0 and joined.present[2]
    assert joined.matrix[3] == 0 and not joined.present[3]


def test_padding_is_never_filled():
    joined = join_by_token("x", ["[PAD]", "a"], np.ones((2, 1)), TOKEN2ID, 4)
    assert not joined.present[0] and joined.matrix[0] == 0


def features(name="x", matrix=((0.0,), (1.0,), (0.0,)), present=(False, True, False), dtype=None):
    return ModalityFeatures(name, torch.tensor(matrix, dtype=dtype), torch.tensor(present))


def test_digest_depends_on_name_values_mask_and_nothing_else():
    digests = [
        features().digest,
        features(name="y").digest,
        features(matrix=((0.0,), (2.0,), (0.0,))).digest,
        features(present=(False, True, True)).digest,
        features(matrix=((0.0, 0.0), (1.0, 0.0), (0.0, 0.0))).digest,
    ]
    assert len(set(digests)) == len(digests)
    assert features().digest == digests[0] and len(digests[0]) == 64


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(present=(False, False, False)), "has values at padding or at an item marked missing"),
        (dict(present=(True, True, False)), "has values at padding"),
        (dict(dtype=torch.float64), r"has a torch.float64 matrix of shape \(3, 1\) .*; give float32 \(n_items, dim\)"),
    ],
)
def test_mask_and_matrix_must_agree(fields, message):
    with pytest.raises(FeatureError, match=message):
        features(**fields)

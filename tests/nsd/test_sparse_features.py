"""Sparse features equal dense ones, with dropout and gradients."""

import pytest
import torch
from torch import nn

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.nsd.sparse_features import SparseFeatures


def test_equals_dense_product_and_gradient():
    x = torch.randn(6, 9).double() * (torch.rand(6, 9) < 0.3)
    x[2] = 0  # a node without features
    layer = nn.Linear(9, 4).double()
    weight = torch.randn(6, 4).double()
    (SparseFeatures(x).linear(layer) * weight).sum().backward()
    sparse, grad = SparseFeatures(x).linear(layer), layer.weight.grad.clone()
    layer.zero_grad()
    (layer(x) * weight).sum().backward()
    torch.testing.assert_close(sparse, layer(x))
    torch.testing.assert_close(grad, layer.weight.grad)


def test_dropout_only_while_training():
    features, layer = SparseFeatures(torch.eye(50)), nn.Linear(50, 1, bias=False)
    dropped = features.linear(layer, 0.5, training=True)
    kept = dropped != 0
    assert 10 < int(kept.sum()) < 40
    torch.testing.assert_close(dropped[kept], 2 * layer(torch.eye(50))[kept])
    torch.testing.assert_close(features.linear(layer, 0.5, training=False), layer(torch.eye(50)))


@pytest.mark.parametrize("x", [torch.zeros(3), torch.full((2, 2), torch.nan)])
def test_bad_input(x):
    with pytest.raises(ShapeError, match=r"features of shape \(.*\) should be a finite matrix, nodes by features"):
        SparseFeatures(x)

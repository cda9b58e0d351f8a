"""Constant sparse node features, such as bags of words, in products with dense weights.

n nodes, f features, p outputs. Where a few in a hundred features are set, ``X W^T`` through the entries costs a few
hundredths of the dense product. Rows of X and of its transpose are both laid out once, so the gradient of the weights,
``X^T dY``, sorts nothing either.
"""

from typing import Any, Optional

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.layers.dropout import dropout


class SparseFeatures(nn.Module):
    """A constant matrix X of shape (n, f), of which only the non-zero entries are stored.

    Raises:
        ShapeError: if X is no matrix or not finite.
    """

    crow: Tensor
    col: Tensor
    transposed_crow: Tensor
    transposed_col: Tensor
    by_column: Tensor
    value: Tensor

    def __init__(self, x: Float[Tensor, "..."]):
        super().__init__()
        if x.dim() != 2 or not torch.isfinite(x).all():
            raise ShapeError(f"features of shape {tuple(x.shape)} should be a finite matrix, nodes by features")
        self.shape = tuple(x.shape)
        row, col = x.nonzero().t()
        by_column = torch.argsort(col, stable=True)
        tensors = {
            "crow": _row_starts(row, x.shape[0]),
            "col": col.int(),
            "transposed_crow": _row_starts(col[by_column], x.shape[1]),
            "transposed_col": row[by_column].int(),
            "by_column": by_column,
            "value": x[row, col],
        }
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)

    def linear(self, layer: nn.Linear, dropout_rate: float = 0.0, training: bool = False) -> Float[Tensor, "n p"]:
        """``layer(dropout(X))``; the gradient reaches the layer's weight and bias. Time O(entries p)."""
        value = dropout(self.value, dropout_rate, training)
        out = _Product.apply(self, value, layer.weight.t())
        return out if layer.bias is None else out + layer.bias

    def matrix(self, value: Float[Tensor, " nnz"], transposed: bool = False) -> Tensor:
        """X, or its transpose, in compressed rows, with the given values in the order of X's rows."""
        n, f = self.shape
        if transposed:
            return _compressed(self.transposed_crow, self.transposed_col, value.index_select(0, self.by_column), (f, n))
        return _compressed(self.crow, self.col, value, (n, f))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: SparseFeatures, value: Tensor, weight: Tensor) -> Tensor:
        ctx.features = features
        ctx.save_for_backward(value)
        return features.matrix(value) @ weight.contiguous()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Optional[Tensor]]:
        (value,) = ctx.saved_tensors
        return None, None, ctx.features.matrix(value, transposed=True) @ grad.contiguous()


def _row_starts(sorted_row: Tensor, num_rows: int) -> Tensor:
    starts = torch.arange(num_rows + 1, device=sorted_row.device)
    return torch.searchsorted(sorted_row.contiguous(), starts).int()


def _compressed(crow: Tensor, col: Tensor, value: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(crow, col, value, shape, check_invariants=False)

"""Products of a symmetric sparse matrix, known by half of its values, with a dense one.

The structure of a sheaf Laplacian is fixed by the graph while its values change in every step. So the compressed rows
are laid out once, a step only fills in values, and the gradient needs no transpose: with L symmetric,
``dx = L dy`` and ``dL_ij = dy_i . x_j``, sampled at the entries of L. Nothing of size (entries, channels) is stored.
"""

import warnings
from typing import Any, Optional

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recbole_sheaf.sheaf.laplacian_matrix import LaplacianPattern


class SymmetricProduct(nn.Module):
    """``L x`` for the symmetric matrices of one pattern.

    Values are given as those above the block diagonal (mirrored below it) and those of the diagonal blocks, as
    :func:`recbole_sheaf.sheaf.laplacian_halves` returns them. Buffers move with the module and are not saved.
    """

    crow: Tensor
    col: Tensor
    source: Tensor
    place: Tensor

    def __init__(self, pattern: LaplacianPattern):
        super().__init__()
        self.size = pattern.size
        row, col = pattern.index
        order = torch.argsort(row * pattern.size + col)
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device)
        half = pattern.num_upper
        source = torch.cat([torch.arange(half), torch.arange(len(order) - half)]).to(order.device)[order]
        starts = torch.arange(pattern.size + 1, device=order.device)
        tensors = {
            "crow": torch.searchsorted(row[order].contiguous(), starts).to(_index_dtype(len(order))),
            "col": col[order].to(_index_dtype(len(order))),
            "source": source,
            "place": place,
        }
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)
        self.num_upper = half

    def forward(
        self, upper: Float[Tensor, " upper"], diagonal: Float[Tensor, " diagonal"], x: Float[Tensor, "size c"]
    ) -> Float[Tensor, "size c"]:
        """Multiply; differentiable in both halves of the values and in x. Time O(entries c), memory O(entries)."""
        return _Product.apply(self, upper, diagonal, x)

    def matrix(self, value: Float[Tensor, " nnz"]) -> Tensor:
        """The matrix in compressed rows, from values in row order."""
        return torch.sparse_csr_tensor(self.crow, self.col, value, (self.size, self.size), check_invariants=False)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, layout: SymmetricProduct, upper: Tensor, diagonal: Tensor, x: Tensor) -> Tensor:
        value = torch.cat([upper, diagonal]).index_select(0, layout.source)
        ctx.layout = layout
        ctx.save_for_backward(value, x)
        return layout.matrix(value) @ x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Optional[Tensor], ...]:
        layout, (value, x) = ctx.layout, ctx.saved_tensors
        matrix, grad = layout.matrix(value), grad.contiguous()
        grad_upper = grad_diagonal = None
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            sampled = torch.sparse.sampled_addmm(matrix, grad, x.t(), beta=0).values().index_select(0, layout.place)
            half = layout.num_upper
            grad_upper, grad_diagonal = sampled[:half] + sampled[half : 2 * half], sampled[2 * half :]
        return None, grad_upper, grad_diagonal, matrix @ grad if ctx.needs_input_grad[3] else None


def _index_dtype(entries: int) -> torch.dtype:
    """Index type of the compressed rows: 32 bits where they suffice, which the kernels read faster."""
    return torch.int32 if entries < 2**31 else torch.int64


def _announce_compressed_rows() -> None:
    """Let torch say once, unheard, that compressed rows are in beta; only long-stable operations are used here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.zeros(0, dtype=torch.long), torch.zeros(0), (1, 1))


_announce_compressed_rows()

r"""Orthogonal maps at the nodes as products of reflections, applied to signals and never multiplied out.

n nodes, r reflections, d stalk dimension, c channels: :math:`R_v = H_1 \cdots H_r` with
:math:`H_i = I - 2 u_i u_i^T` takes O(r d c) where a matrix takes O(d^2 c), and O(r d^2) to be made.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from recbole_sheaf.layers._edge_products import by_coordinate


@dataclass(frozen=True)
class Reflections:
    """Orthogonal maps R_v at the nodes, by the unit vectors u_i of each node; without any, the identity.

    Results lie in memory coordinate by coordinate, as arc weights read them
    (:meth:`~recbole_sheaf.layers.message_passing.ArcGraph.weighted_sum`). Time O(n r d c), once differentiable.

    Examples:
        >>> reflections = Reflections(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))  # at both axes
        >>> reflections.rotate(torch.tensor([[[3.0], [4.0]]])).flatten()
        tensor([-3., -4.])
    """

    axes: Float[Tensor, "n r d"]

    def rotate(self, x: Float[Tensor, "n d c"]) -> Float[Tensor, "n d c"]:
        """Signal ``R x``."""
        return _reflect(x, self.axes.flip(1))

    def rotate_back(self, x: Float[Tensor, "n d c"]) -> Float[Tensor, "n d c"]:
        """Signal ``R^T x``, the inverse of :meth:`rotate`."""
        return _reflect(x, self.axes)


def _reflect(x: Float[Tensor, "n d c"], axes: Float[Tensor, "n r d"]) -> Float[Tensor, "n d c"]:
    """Reflect at the first axis, then at the next."""
    if axes.shape[1]:
        x = by_coordinate(x)
    for axis in axes.unsqueeze(-1).unbind(1):
        x = _Reflect.apply(x, axis)
    return x


class _Reflect(Function):
    """``x - 2 u p`` with ``p = u^T x``; with ``q = u^T g``, ``dx = g - 2 u q`` and ``du = -2 (g p^T + x q^T)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, u: Tensor) -> Tensor:
        p = (x * u).sum(dim=1, keepdim=True)
        ctx.save_for_backward(x, u, p)
        return torch.addcmul(x, u, p, value=-2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, u, p = ctx.saved_tensors
        q = (grad * u).sum(dim=1, keepdim=True)
        return torch.addcmul(grad, u, q, value=-2), (grad @ p.mT + x @ q.mT).mul_(-2)

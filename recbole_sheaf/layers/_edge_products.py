"""Symmetric products over undirected edges, each edge's value used for both of its arcs.

n nodes, e edges, a = 2e arcs, k stalk dimension, c channels. An edge's first arc goes u -> v, its second v -> u. A
symmetric matrix is its own adjoint, so a gradient is the forward product again plus one dot product per edge and
stalk coordinate. Nothing of shape (a, k, c) is made; what an edge's value is made of is recomputed, not kept.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from recbole_sheaf.layers._arc_autograd import Gradients
from recbole_sheaf.layers.message_passing import ArcGraph, EdgePairs
from recbole_sheaf.sheaf.inverse_sqrt import scalar_inverse_sqrt


class ScaledLaplacian(Function):
    """``q y - r M r y``, ``M_vw = s_{v,e} s_{w,e}``, ``r_v = (sum_e s_{v,e}^2)^-1/2``, q = 1 where r > 0, else 0.

    With z = r y and h = r g for the incoming gradient g: ``dy = q g - r M h``,
    ``ds_{v,e} = -s_{w,e} (z_v . h_w + h_v . z_w) - s_{v,e} r_v^3 dr_v`` and
    ``dr_v = -(g_v . (M z)_v + y_v . (M h)_v)``. Keeps y, s, M, q, r and M z.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, s: Tensor, graph: ArcGraph) -> Tensor:
        pairs = graph.pairs
        first, second = pairs.ends(s)
        p = by_coordinate(first * second)
        r = by_coordinate(scalar_inverse_sqrt(graph.kernels.sum_into(s * s))).unsqueeze(-1)
        q = (r > 0).to(r.dtype)
        out, received = torch.empty_like(y), torch.empty_like(y)
        for j in pairs.kernels.spans(y.shape[1]):  # what few coordinates take stays in the cache from first to last
            received[:, j] = pairs.product(p[:, j], y[:, j] * r[:, j])
            torch.addcmul(y[:, j] * q[:, j], r[:, j], received[:, j], value=-1, out=out[:, j])
        ctx.graph = graph
        ctx.save_for_backward(y, s, p, q, r, received)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        y, s, p, q, r, received = ctx.saved_tensors
        pairs = ctx.graph.pairs
        first, second = pairs.ends(s)
        grad_y, norm, dots = torch.empty_like(y), torch.empty_like(r.squeeze(-1)), torch.empty_like(p)
        for j in pairs.kernels.spans(y.shape[1]):
            h = grad[:, j] * r[:, j]
            received_h = pairs.product(p[:, j], h)
            torch.addcmul(grad[:, j] * q[:, j], r[:, j], received_h, value=-1, out=grad_y[:, j])
            if ctx.needs_input_grad[1]:
                norm[:, j] = (grad[:, j] * received[:, j]).addcmul_(y[:, j], received_h).sum(-1)
                dots[:, j] = pairs.dots(y[:, j] * r[:, j], h)
        if not ctx.needs_input_grad[1]:
            return grad_y, None, None
        norm, dots = (norm * r.squeeze(-1) ** 3).contiguous(), dots.contiguous()  # rows are gathered from here on
        out, grad_first, grad_second = pairs.empty_ends(s)
        torch.index_select(norm, 0, pairs.dst, out=grad_first).mul_(first).addcmul_(second, dots, value=-1)
        torch.index_select(norm, 0, pairs.src, out=grad_second).mul_(second).addcmul_(first, dots, value=-1)
        return grad_y, pairs.join(out, grad_first, grad_second), None


class EdgeTransports(Function):
    """``P_e = F_{v<e}^T F_{w<e}`` of each edge; ``dF_{v<e} = F_{w<e} dP^T`` and ``dF_{w<e} = F_{v<e} dP``."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, pairs: EdgePairs) -> Tensor:
        ctx.pairs = pairs
        ctx.save_for_backward(maps)
        of_v, of_w = pairs.ends(maps)
        return of_v.mT @ of_w

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        (maps,) = ctx.saved_tensors
        of_v, of_w = ctx.pairs.ends(maps)
        out, grad_v, grad_w = ctx.pairs.empty_ends(maps)
        torch.matmul(of_w, grad.mT, out=grad_v)
        torch.matmul(of_v, grad, out=grad_w)
        return ctx.pairs.join(out, grad_v, grad_w), None


class TransportSum(Function):
    """``out[v] = sum over edges {v, w} of P x[w]``, and with P^T back into w.

    With g the incoming gradient ``dx`` is the same sum of g, and ``dP = g_v x_w^T + x_v g_w^T``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: Tensor, pairs: EdgePairs) -> Tensor:
        ctx.kernels = pairs.kernels
        ctx.save_for_backward(x, p)
        return pairs.kernels.block_product(x, p)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        x, p = ctx.saved_tensors
        grad = grad.contiguous()
        grad_x = ctx.kernels.block_product(grad, p) if ctx.needs_input_grad[0] else None
        return grad_x, ctx.kernels.block_dots(x, grad) if ctx.needs_input_grad[1] else None, None


class StalkDegree(Function):
    """``D_v = sum_e F_{v<e}^T F_{v<e}``; adjoint ``dF_{v<e} = F_{v<e} (dD_v + dD_v^T)``. Keeps the maps alone."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, graph: ArcGraph) -> Tensor:
        ctx.graph = graph
        ctx.save_for_backward(maps)
        d = maps.shape[2]
        return graph.kernels.sum_into((maps.mT @ maps).flatten(1)).view(-1, d, d)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        (maps,) = ctx.saved_tensors
        return maps @ (grad + grad.mT).index_select(0, ctx.graph.dst), None


def by_coordinate(x: Float[Tensor, "n k *c"]) -> Float[Tensor, "n k *c"]:
    """The same tensor, in memory coordinate by coordinate; not copied if it is so already."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)

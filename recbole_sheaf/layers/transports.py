r"""Transports along edges and degrees of nodes, which all steps of a sheaf with a matrix on every arc share.

n nodes, e edges, a = 2e arcs, d stalk dimension, k edge stalk. An edge goes u -> v; its transport
:math:`P_e = F_{v<e}^T F_{u<e}` carries a signal from u to v, its transpose back, and
:math:`D_v = \sum_e F_{v<e}^T F_{v<e}`. Maps are of no more use once these are made.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Callable, Optional

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.layers._arc_autograd import Gradients
from recbole_sheaf.layers._edge_products import EdgeTransports, StalkDegree
from recbole_sheaf.layers.message_passing import ArcGraph, EdgePairs
from recbole_sheaf.sheaf.inverse_sqrt import matrix_inverse_sqrt

KEPT = 2**25  # numbers up to which the maps made of them are kept for the backward pass, 128 MiB
AT_ONCE = 2**21  # floats of maps made at once where they are not kept, 8 MiB

MakeMaps = Callable[[Float[Tensor, "some p"]], Float[Tensor, "some k d"]]


@dataclass(frozen=True)
class Transports:
    """Transports P_e of the edges, in the order of ``graph.pairs``, and D_v of the nodes where maps are not orthogonal.

    Examples:
        >>> edge = ArcGraph.from_edges(torch.tensor([0]), torch.tensor([1]), num_nodes=2)
        >>> made = Transports.of(edge, torch.tensor([2.0, 3.0]).view(2, 1, 1))  # of node 1, then of node 0
        >>> made.blocks.flatten(), made.degree.flatten()
        (tensor([6.]), tensor([9., 4.]))
    """

    blocks: Float[Tensor, "e d d"]
    degree: Optional[Float[Tensor, "n d d"]] = None

    @classmethod
    def of(cls, graph: ArcGraph, maps: Float[Tensor, "a k d"], orthogonal: bool = False) -> "Transports":
        """Transports from the map of every arc. Time O(a k d^2), memory O(a d^2).

        Raises:
            GraphError: on a directed graph.
        """
        blocks = EdgeTransports.apply(maps.contiguous(), graph.pairs)
        return cls(blocks, None if orthogonal else StalkDegree.apply(maps, graph))

    @classmethod
    def learnt(
        cls,
        graph: ArcGraph,
        at_src: Float[Tensor, "n p"],
        at_dst: Float[Tensor, "n p"],
        make_maps: MakeMaps,
        orthogonal: bool = False,
    ) -> "Transports":
        """Transports from maps made of ``at_src[u] + at_dst[v]`` on an arc u -> v, p numbers each.

        The same as :meth:`of`, but where that is more than ``KEPT`` numbers maps are made a few at a time, and again in
        the backward pass. Memory is then O(e d^2) for P_e and its gradient alone.

        Args:
            make_maps: gives maps from such numbers, row by row; a function of them alone.

        Raises:
            GraphError: on a directed graph.
        """
        if graph.num_arcs * at_src.shape[1] <= KEPT:
            return cls.of(graph, make_maps(graph.add_ends(at_src, at_dst)), orthogonal)
        blocks, degree = _FewAtATime.apply(at_src, at_dst, make_maps, graph.pairs, orthogonal)
        return cls(blocks, None if orthogonal else degree)

    @cached_property
    def degree_and_root(self) -> tuple[Float[Tensor, "n d d"], Float[Tensor, "n d d"]]:
        """D_v, and ``D_v^-1/2`` on its range.

        Raises:
            ShapeError: for orthogonal maps, which have neither here.
        """
        if self.degree is None:
            raise ShapeError("these transports were made of orthogonal maps, without D_v; make them orthogonal=False")
        return self.degree, matrix_inverse_sqrt(self.degree)


class _FewAtATime(Function):
    """P_e and D_v with the maps of a few edges at a time; the values of :class:`EdgeTransports` and StalkDegree.

    ``dF_{v<e} = F_{u<e} dP^T + F_{v<e} (dD_v + dD_v^T)`` and ``dF_{u<e} = F_{v<e} dP + F_{u<e} (dD_u + dD_u^T)``.
    """

    @staticmethod
    def forward(
        ctx: Any, at_src: Tensor, at_dst: Tensor, make_maps: MakeMaps, pairs: EdgePairs, orthogonal: bool
    ) -> tuple[Tensor, Tensor]:
        ctx.make_maps, ctx.pairs, ctx.orthogonal = make_maps, pairs, orthogonal
        ctx.save_for_backward(at_src, at_dst)
        d = make_maps(at_src[:0] + at_dst[:0]).shape[2]
        blocks = at_src.new_empty(len(pairs.src), d, d)
        degree = at_src.new_zeros(0 if orthogonal else len(at_src), d, d)
        for u, v, block in _few(pairs, blocks):
            of_v, of_u = (make_maps(numbers) for numbers in _numbers(at_src, at_dst, u, v))
            torch.bmm(of_v.mT, of_u, out=block)
            if not orthogonal:
                degree.index_add_(0, v, of_v.mT @ of_v).index_add_(0, u, of_u.mT @ of_u)
        return blocks, degree

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_blocks: Tensor, grad_degree: Tensor) -> Gradients:
        at_src, at_dst = ctx.saved_tensors
        grad_src, grad_dst = torch.zeros_like(at_src), torch.zeros_like(at_dst)
        grad_degree = grad_degree + grad_degree.mT
        for u, v, grad in _few(ctx.pairs, grad_blocks):
            numbers = [both.requires_grad_() for both in _numbers(at_src, at_dst, u, v)]
            with torch.enable_grad():
                maps = [ctx.make_maps(both) for both in numbers]
            of_v, of_u = (some.detach() for some in maps)
            to_v, to_u = of_u @ grad.mT, of_v @ grad
            if not ctx.orthogonal:
                to_v.baddbmm_(of_v, grad_degree.index_select(0, v))
                to_u.baddbmm_(of_u, grad_degree.index_select(0, u))
            to_v, to_u = torch.autograd.grad(maps, numbers, [to_v, to_u])
            grad_src.index_add_(0, u, to_v).index_add_(0, v, to_u)
            grad_dst.index_add_(0, v, to_v).index_add_(0, u, to_u)
        return grad_src, grad_dst, None, None, None


def _few(pairs: EdgePairs, blocks: Float[Tensor, "e d d"]) -> "Iterator[tuple[Tensor, Tensor, Tensor]]":
    """Both ends and blocks of so many edges that their maps are ``AT_ONCE`` floats."""
    size = max(AT_ONCE // (2 * blocks.shape[1] * blocks.shape[2]), 1)
    return zip(pairs.src.split(size), pairs.dst.split(size), blocks.split(size))


def _numbers(at_src: Tensor, at_dst: Tensor, u: Tensor, v: Tensor) -> "list[Tensor]":
    """Numbers of which the map of v on each edge u -> v is made, and of which that of u is."""
    ends = (u, v), (v, u)
    return [at_src.index_select(0, src).add_(at_dst.index_select(0, dst)) for src, dst in ends]

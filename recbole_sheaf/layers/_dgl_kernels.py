"""Sums over arcs by DGL's fused kernels: the kernels behind ``backend="dgl"``, without autograd.

The same methods, with the same meaning, as :class:`recbole_sheaf.layers._torch_kernels.TorchKernels`. DGL is imported
on use, so that the package works where DGL cannot be installed.
"""

import os
from collections.abc import Iterator
from typing import Any, Optional

import torch
from jaxtyping import Float, Int
from torch import Tensor


def why_dgl_cannot_serve(device: torch.device) -> Optional[str]:
    """Say why DGL cannot hold a graph on the device; None if it can."""
    os.environ.setdefault("DGLBACKEND", "pytorch")
    try:
        import dgl
    except (ImportError, OSError) as error:  # OSError: a DGL built for another torch fails on its shared libraries
        return f"DGL does not import here ({error})"
    if device.type == "cpu":
        return None
    try:
        dgl.graph(([0], [0])).to(device)
    except (dgl.DGLError, AssertionError, RuntimeError):  # the latter two: a torch without the device
        return f"this DGL {dgl.__version__} or torch was built without {device.type}"
    return None


class DGLKernels:
    """Kernels on a DGL graph whose sparse formats are all created up front."""

    def __init__(self, src: Int[Tensor, " arcs"], dst: Int[Tensor, " arcs"], num_nodes: int):
        import dgl

        self._ops = dgl.ops
        self._graph = dgl.graph((src, dst), num_nodes=num_nodes)
        self._graph.create_formats_()
        self._reversed = dgl.reverse(self._graph)  # shares the formats

    def copy_sum(self, x: Float[Tensor, "n f"], transposed: bool = False) -> Float[Tensor, "n f"]:
        """``out[v] = sum over arcs u -> v of x[u]`` (copy_u, sum)."""
        return self._ops.gspmm(self._toward(transposed), "copy_lhs", "sum", x, None)

    @staticmethod
    def spans(d: int) -> "list[slice]":
        """Stalk coordinates to work on at once: all, as the fused kernels do."""
        return [slice(0, d)]

    def weighted_sum(
        self, x: Float[Tensor, "n d c"], w: Float[Tensor, "arcs d"], transposed: bool = False
    ) -> Float[Tensor, "n d c"]:
        """``out[v] = sum over arcs u -> v of w[arc] * x[u]`` (u_mul_e, sum)."""
        return self._ops.gspmm(self._toward(transposed), "mul", "sum", x.contiguous(), w.unsqueeze(-1))

    def block_product(self, x: Float[Tensor, "n d c"], blocks: Float[Tensor, "arcs d d"]) -> Float[Tensor, "n d c"]:
        """``out[v] = sum over arcs u -> v of B[arc] x[u]``, and ``out[u]`` of ``B[arc]^T x[v]``: 2 d weighted sums.

        Each takes one diagonal of the blocks, wrapped around, so that an arc holds d weights at a time.
        """
        out = torch.zeros_like(x)
        for row, col in _wrapped_diagonals(x.shape[1]):
            turned = x[:, col].contiguous()
            out += self.weighted_sum(turned, blocks[:, row, col])
            out += self.weighted_sum(turned, blocks[:, col, row], transposed=True)
        return out

    def block_dots(self, x: Float[Tensor, "n d c"], y: Float[Tensor, "n d c"]) -> Float[Tensor, "arcs d d"]:
        """``y[dst] x[src]^T + x[dst] y[src]^T``, one wrapped diagonal at a time."""
        at_src, at_dst = torch.cat([x, y], dim=2), torch.cat([y, x], dim=2)
        out = x.new_empty(self._graph.num_edges(), x.shape[1], x.shape[1])
        for row, col in _wrapped_diagonals(x.shape[1]):
            out[:, row, col] = self.dots(at_src[:, col].contiguous(), at_dst)
        return out

    def dots(self, x: Float[Tensor, "n d c"], y: Float[Tensor, "n d c"]) -> Float[Tensor, "arcs d"]:
        """``x[src] . y[dst]`` over the channels (u_dot_v)."""
        return self._ops.gsddmm(self._graph, "dot", x.contiguous(), y.contiguous(), "u", "v").squeeze(-1)

    def sum_into(self, a: Float[Tensor, "arcs f"], at_src: bool = False) -> Float[Tensor, "n f"]:
        """Sum the arcs' values into their destination, or their source (copy_e, sum)."""
        return self._ops.gspmm(self._toward(at_src), "copy_rhs", "sum", None, a)

    def add_ends(self, at_src: Float[Tensor, "n f"], at_dst: Float[Tensor, "n f"]) -> Float[Tensor, "arcs f"]:
        """``at_src[src] + at_dst[dst]`` (u_add_v)."""
        return self._ops.gsddmm(self._graph, "add", at_src, at_dst, "u", "v")

    def mul_ends(self, at_src: Float[Tensor, "n f"], at_dst: Float[Tensor, "n f"]) -> Float[Tensor, "arcs f"]:
        """``at_src[src] * at_dst[dst]`` (u_mul_v)."""
        return self._ops.gsddmm(self._graph, "mul", at_src, at_dst, "u", "v")

    def softmax(self, a: Float[Tensor, "arcs f"]) -> Float[Tensor, "arcs f"]:
        """Softmax over the arcs that share a destination (edge_softmax)."""
        return self._ops.edge_softmax(self._graph, a)

    def _toward(self, transposed: bool) -> Any:  # DGL carries no types
        return self._reversed if transposed else self._graph


def _wrapped_diagonals(d: int) -> "Iterator[tuple[list[int], list[int]]]":
    """Rows and columns of each diagonal of a d x d block, continued at its other side."""
    row = list(range(d))
    return ((row, row[shift:] + row[:shift]) for shift in row)

"""Sums over arcs as sparse products of PyTorch: the kernels behind ``backend="torch"``, without autograd.

n nodes, arcs u -> v, d stalk dimension, c channels. An adjacency row is a destination, its columns are the sources;
``transposed`` swaps the two. Every structure is laid out once: a step gathers values but never sorts an index.
"""

import warnings
from collections.abc import Iterator
from typing import Optional

import torch
from jaxtyping import Float, Int
from torch import Tensor

SMALL_BLOCK = 4  # up to this stalk dimension block-sparse rows are faster than blocks a few at a time
CACHED = 2**18  # floats on arcs held at once, 1 MiB


class Compressed:
    """Compressed rows of arcs grouped at one end; ``order`` names the arc in each place (None: as they were given)."""

    def __init__(self, row: Int[Tensor, " arcs"], col: Int[Tensor, " arcs"], num_nodes: int):
        order = torch.argsort(row * num_nodes + col, stable=True)
        starts = torch.bincount(row, minlength=num_nodes).cumsum(0)
        self.crow = torch.nn.functional.pad(starts, (1, 0)).int()  # MKL takes 32-bit indices; wider ones are converted
        self.col = col[order].int()
        self.place = order.int()
        self.order = None if bool((order[1:] > order[:-1]).all()) else order
        self.shape = (num_nodes, num_nodes)

    def adjacency(self, values: Float[Tensor, " arcs"]) -> Tensor:
        """Sparse matrix of the arcs with one value per place."""
        return torch.sparse_csr_tensor(self.crow, self.col, values, self.shape, check_invariants=False)

    def block_adjacency(self, blocks: Float[Tensor, "arcs d d"]) -> Tensor:
        """Sparse (n d, n d) matrix of the arcs with one block per place; plain compressed rows where d = 1."""
        d = blocks.shape[1]
        if d == 1 or len(blocks) == 0:
            return (
                self.adjacency(blocks.flatten()) if d == 1 else blocks.new_zeros(d * self.shape[0], d * self.shape[1])
            )
        shape = (d * self.shape[0], d * self.shape[1])
        return torch.sparse_bsr_tensor(self.crow, self.col, blocks, shape, check_invariants=False)

    def incidence(self, values: Float[Tensor, " arcs"]) -> Tensor:
        """Sparse (n, arcs) matrix that sums arcs into the node they are grouped at."""
        shape = (self.shape[0], len(values))
        return torch.sparse_csr_tensor(self.crow, self.place, values, shape, check_invariants=False)

    def lay_out(self, w: Float[Tensor, "arcs d"]) -> Float[Tensor, "d arcs"]:
        """Arc values, one contiguous row per stalk coordinate, in the order of the places."""
        return (w if self.order is None else w.index_select(0, self.order)).t().contiguous()

    def bring_back(self, columns: "list[Tensor]") -> Float[Tensor, "arcs d"]:
        """Invert :meth:`lay_out`."""
        laid = torch.stack(columns, dim=1)
        return laid if self.order is None else torch.empty_like(laid).index_copy_(0, self.order, laid)


class TorchKernels:
    """Kernels on compressed rows (MKL on a CPU, cuSPARSE on a GPU).

    Time of every kernel O(arcs * width); memory beyond the result O(arcs * d), never O(arcs * d * c).
    """

    def __init__(self, src: Int[Tensor, " arcs"], dst: Int[Tensor, " arcs"], num_nodes: int):
        self.src, self.dst = src, dst
        self._into_dst = Compressed(dst, src, num_nodes)
        self._into_src = Compressed(src, dst, num_nodes)
        self._unit: Optional[Tensor] = None

    def copy_sum(self, x: Float[Tensor, "n f"], transposed: bool = False) -> Float[Tensor, "n f"]:
        """``out[v] = sum over arcs u -> v of x[u]``."""
        return self._rows(transposed).adjacency(self._ones(x)) @ x

    @staticmethod
    def spans(d: int) -> "list[slice]":
        """Stalk coordinates to work on at once: one on a CPU, whose cache holds it."""
        return [slice(j, j + 1) for j in range(d)]

    def weighted_sum(
        self, x: Float[Tensor, "n d c"], w: Float[Tensor, "arcs d"], transposed: bool = False
    ) -> Float[Tensor, "n d c"]:
        """``out[v] = sum over arcs u -> v of w[arc] * x[u]``: one sparse product per stalk coordinate.

        The result lies in memory coordinate by coordinate, as the products write it; an x that does is not copied.
        """
        rows = self._rows(transposed)
        columns = x.transpose(0, 1).contiguous()  # compact operands stay in the cache while rows are gathered
        out = torch.empty_like(columns)
        for values, column, place in zip(rows.lay_out(w), columns, out):
            torch.addmm(place, rows.adjacency(values), column, beta=0, out=place)
        return out.transpose(0, 1)

    def block_product(self, x: Float[Tensor, "n d c"], blocks: Float[Tensor, "arcs d d"]) -> Float[Tensor, "n d c"]:
        """``out[v] = sum over arcs u -> v of B[arc] x[u]``, and ``out[u]`` of ``B[arc]^T x[v]``.

        Small blocks as two block-sparse products; larger ones a few at a time, read once, where laying them out for the
        second product takes most of its time.
        """
        if blocks.shape[1] <= SMALL_BLOCK:
            return self._block_rows(x, blocks, self._into_dst).add_(self._block_rows(x, blocks.mT, self._into_src))
        out = torch.zeros_like(x)
        for src, dst, block in self._few_at_a_time(blocks, x.shape[2]):
            out.index_add_(0, dst, block @ x.index_select(0, src))
            out.index_add_(0, src, block.mT @ x.index_select(0, dst))
        return out

    def block_dots(self, x: Float[Tensor, "n d c"], y: Float[Tensor, "n d c"]) -> Float[Tensor, "arcs d d"]:
        """``y[dst] x[src]^T + x[dst] y[src]^T``, one product of twice the width for each arc."""
        at_src, at_dst = torch.cat([x, y], dim=2), torch.cat([y, x], dim=2)
        out = x.new_empty(len(self.src), x.shape[1], x.shape[1])
        for src, dst, block in self._few_at_a_time(out, at_src.shape[2]):
            torch.bmm(at_dst.index_select(0, dst), at_src.index_select(0, src).mT, out=block)
        return out

    def dots(self, x: Float[Tensor, "n d c"], y: Float[Tensor, "n d c"]) -> Float[Tensor, "arcs d"]:
        """``x[src] . y[dst]`` over the channels: one sampled product per stalk coordinate."""
        rows = self._into_dst
        pattern = rows.adjacency(self._ones(x))
        picks = [torch.sparse.sampled_addmm(pattern, y[:, j], x[:, j].T, beta=0.0) for j in range(x.shape[1])]
        return rows.bring_back([pick.values() for pick in picks])

    def sum_into(self, a: Float[Tensor, "arcs f"], at_src: bool = False) -> Float[Tensor, "n f"]:
        """Sum the arcs' values into their destination, or their source."""
        return self._rows(at_src).incidence(self._ones(a)) @ a

    def add_ends(self, at_src: Float[Tensor, "n f"], at_dst: Float[Tensor, "n f"]) -> Float[Tensor, "arcs f"]:
        """``at_src[src] + at_dst[dst]``."""
        return at_src.index_select(0, self.src).add_(at_dst.index_select(0, self.dst))

    def mul_ends(self, at_src: Float[Tensor, "n f"], at_dst: Float[Tensor, "n f"]) -> Float[Tensor, "arcs f"]:
        """``at_src[src] * at_dst[dst]``."""
        return at_src.index_select(0, self.src).mul_(at_dst.index_select(0, self.dst))

    def softmax(self, a: Float[Tensor, "arcs f"]) -> Float[Tensor, "arcs f"]:
        """Softmax over the arcs that share a destination."""
        index = self.dst[:, None].expand_as(a)
        top = a.new_full((self._into_dst.shape[0], a.shape[1]), -torch.inf).scatter_reduce_(0, index, a, "amax")
        shares = (a - top.index_select(0, self.dst)).exp_()
        return shares.div_(self.sum_into(shares).index_select(0, self.dst))

    @staticmethod
    def _block_rows(x: Float[Tensor, "n d c"], blocks: Float[Tensor, "arcs d d"], rows: Compressed) -> Tensor:
        blocks = blocks if rows.order is None else blocks.index_select(0, rows.order)
        return (rows.block_adjacency(blocks.contiguous()) @ x.reshape(-1, x.shape[2])).view_as(x)

    def _few_at_a_time(
        self, blocks: Float[Tensor, "arcs d d"], width: int
    ) -> "Iterator[tuple[Tensor, Tensor, Tensor]]":
        """Sources, destinations and blocks of so few arcs that a core's cache holds them with their ends' signals."""
        held = CACHED if blocks.device.type == "cpu" else 64 * CACHED  # a GPU wants few launches more than a cache
        size = max(held // (blocks.shape[1] * max(blocks.shape[1], width)), 1)
        return zip(self.src.split(size), self.dst.split(size), blocks.split(size))

    def _rows(self, transposed: bool) -> Compressed:
        return self._into_src if transposed else self._into_dst

    def _ones(self, like: Tensor) -> Tensor:
        """One per arc in the dtype of ``like``, kept between steps."""
        if self._unit is None or self._unit.dtype != like.dtype:
            self._unit = like.new_ones(len(self.src))
        return self._unit


def _hear_the_beta_notice_once() -> None:
    """Torch says once per process that compressed rows are in beta; only operations of long standing are used here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.zeros(0, dtype=torch.int64), torch.zeros(0), (1, 1))


_hear_the_beta_notice_once()

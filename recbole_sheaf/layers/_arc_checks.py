"""Checks of an arc list before messages pass along it, and the position of each arc's reverse."""

import torch
from jaxtyping import Int
from torch import Tensor

from recbole_sheaf.errors import GraphError


def check_arcs(src: Tensor, dst: Tensor, num_nodes: int) -> None:
    """Refuse ends that are no node numbers."""
    if src.dtype != torch.int64 or dst.dtype != torch.int64 or src.ndim != 1 or src.shape != dst.shape:
        raise GraphError(
            f"src is {src.dtype} of shape {tuple(src.shape)} and dst {dst.dtype} of shape {tuple(dst.shape)}; "
            "give two int64 vectors of one length"
        )
    if num_nodes < 1:
        raise GraphError(f"a graph of {num_nodes} nodes has nothing to diffuse; give at least one node")
    bad = torch.nonzero((src < 0) | (src >= num_nodes) | (dst < 0) | (dst >= num_nodes)).flatten()
    if len(bad):
        k = int(bad[0])
        raise GraphError(
            f"{len(bad)} of {len(src)} arcs leave the nodes 0 to {num_nodes - 1} (first: {int(src[k])} -> "
            f"{int(dst[k])} at {k}); renumber the nodes or raise num_nodes"
        )
    loops = torch.nonzero(src == dst).flatten()
    if len(loops):
        raise GraphError(f"{len(loops)} arcs are self loops (first: node {int(src[loops[0]])}); drop them")


def refuse_duplicates(src: Int[Tensor, " arcs"], dst: Int[Tensor, " arcs"], num_nodes: int) -> None:
    """Refuse an arc listed twice. Time O(arcs log arcs)."""
    keys = (dst * num_nodes + src).sort().values
    again = torch.nonzero(keys[1:] == keys[:-1]).flatten()
    if len(again):
        key = int(keys[again[0]])
        raise GraphError(
            f"{len(again)} of {len(src)} arcs repeat another (first: {key % num_nodes} -> {key // num_nodes}); "
            "list each arc once"
        )


def reverse_arcs(src: Int[Tensor, " arcs"], dst: Int[Tensor, " arcs"], num_nodes: int) -> Int[Tensor, " arcs"]:
    """Index of each arc's reverse: the k-th arc by (dst, src) and the k-th by (src, dst) are each other's reverse.

    Raises:
        GraphError: if an arc has none.
    """
    forth, back = dst * num_nodes + src, src * num_nodes + dst
    by_dst, by_src = torch.argsort(forth), torch.argsort(back)
    if not torch.equal(forth[by_dst], back[by_src]):
        lone = torch.nonzero(~torch.isin(back, forth)).flatten()
        k = int(lone[0])
        raise GraphError(
            f"{len(lone)} of {len(src)} arcs have no reverse (first: {int(src[k])} -> {int(dst[k])}); list both "
            "directions of each edge, or pass undirected=False"
        )
    return torch.empty_like(by_dst).index_copy_(0, by_dst, by_src)

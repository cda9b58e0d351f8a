"""What is timed: every map family on every kernel, beside the ways of propagation that others use.

n nodes, a arcs, d stalk dimension, c channels. A case is a function and the inputs it is differentiated by.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Callable

import torch

from recbole_sheaf.layers import DELTAS, ArcGraph, ArcScales
from recbole_sheaf.layers.normalised_laplacians import factored_delta

NODE_FAMILIES = ("identity", "wide")
ARC_FAMILIES = ("diagonal", "factored", "orthogonal", "general")
LEARNT = "factored, learnt scales"
KERNELS = {
    "dgl": ({"backend": "dgl"}, (*NODE_FAMILIES, *ARC_FAMILIES, LEARNT)),
    "torch": ({"backend": "torch"}, (*NODE_FAMILIES, "diagonal", "factored", LEARNT)),
    "dgl, arc weights too": ({"backend": "dgl", "weights": "dgl"}, ARC_FAMILIES),
}


@dataclass(frozen=True)
class Problem:
    """A random bipartite graph with the shape of a rating dataset, and a signal on it."""

    users: torch.Tensor
    items: torch.Tensor
    num_nodes: int
    x: torch.Tensor

    @property
    def arcs(self):
        """Both directions of every edge, (src, dst)."""
        return torch.cat([self.users, self.items]), torch.cat([self.items, self.users])


def random_problem(arcs: int, stalk_dim: int, width: int = 64, seed: int = 0) -> Problem:
    """ml-1m's shape (6,040 users, 3,706 items, 1.6 million arcs), scaled with the arcs at a constant mean degree."""
    edges, generator = arcs // 2, torch.Generator().manual_seed(seed)
    n_users, n_items = (max(count * edges // 800_000, 400) for count in (6040, 3706))
    drawn = torch.randint(n_users * n_items, (2 * edges,), generator=generator).unique()
    drawn = drawn[torch.randperm(len(drawn), generator=generator)[:edges]]
    n = n_users + n_items
    x = torch.randn(n, stalk_dim, width // stalk_dim, generator=generator)
    return Problem(drawn // n_items, drawn % n_items + n_users, n, x)


def cases(problem: Problem, names=None) -> "dict[str, Callable]":
    """Every case by name, as a function that builds ``(function, inputs)``; ``names`` picks some."""
    found = {name: partial(build, problem) for name, build in BASELINES.items()}
    for kernel, (options, families) in KERNELS.items():
        build = partial(ArcGraph.from_edges, problem.users, problem.items, problem.num_nodes, **options)
        graph = lru_cache(None)(build)
        for family in families:
            found[f"{family} ({kernel})"] = partial(_family, problem, family, graph)
    return {name: found[name] for name in (names or found)}


def _family(problem: Problem, family: str, laid_out: Callable[[], ArcGraph]):
    graph = laid_out()
    n, d, _ = problem.x.shape
    frame = torch.linalg.qr(torch.randn(n, d, d))[0]
    maps = {
        "identity": lambda: [],
        "wide": lambda: [torch.linalg.qr(torch.randn(n, 2 * d, d))[0]],
        "diagonal": lambda: [torch.rand(graph.num_arcs, d) + 0.5],
        "factored": lambda: [torch.rand(graph.num_arcs, d) + 0.5, frame],
        "orthogonal": lambda: [torch.randn(graph.num_arcs, d, d)],
        "general": lambda: [torch.randn(graph.num_arcs, d, d)],
        LEARNT: lambda: [torch.randn(n, 16), frame],
    }[family]()
    if family == LEARNT:
        learner = ArcScales(16, d)
        return lambda x, h, frame: factored_delta(graph, x, learner(graph, h), frame), [problem.x, *maps]
    return lambda x, *m: DELTAS[family](graph, x, *m), [problem.x, *maps]


def _normalised(problem: Problem):
    src, dst = problem.arcs
    r = torch.bincount(dst, minlength=problem.num_nodes).clamp(min=1).float().rsqrt()
    size = (problem.num_nodes, problem.num_nodes)
    return torch.sparse_coo_tensor(torch.stack([dst, src]), r[src] * r[dst], size).coalesce()


def _coo(problem: Problem):
    matrix = _normalised(problem)
    return lambda x: torch.sparse.mm(matrix, x), [problem.x.flatten(1)]


def _csr(problem: Problem):
    matrix = _normalised(problem).to_sparse_csr()
    return lambda x: matrix @ x, [problem.x.flatten(1)]


def _gather_identity(problem: Problem):
    src, dst = problem.arcs
    weight = _normalised(problem).values().unsqueeze(1)
    return lambda x: torch.zeros_like(x).index_add(0, dst, weight * x[src]), [problem.x.flatten(1)]


def _gather_diagonal(problem: Problem):
    src, dst = problem.arcs
    e = len(problem.users)

    def laplacian(x, a):
        t = a.new_zeros(x.shape[:2]).index_add(0, dst, a.square())
        r = t.clamp(min=1e-12).rsqrt().unsqueeze(-1)
        weight = (a * torch.cat([a[e:], a[:e]])).unsqueeze(-1)
        return x - r * torch.zeros_like(x).index_add(0, dst, weight * (r * x)[src])

    return laplacian, [problem.x, torch.rand(2 * e, problem.x.shape[1]) + 0.5]


BASELINES = {
    "RecBole's LightGCN (torch COO)": _coo,
    "torch CSR": _csr,
    "gather and index_add, identity": _gather_identity,
    "gather and index_add, diagonal": _gather_diagonal,
}

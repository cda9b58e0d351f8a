"""Random sheaves of every family, and the Laplacian written down slowly from its definition."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from recbole_sheaf.sheaf import (
    ORTHOGONAL_MAPS,
    cellular_sheaf,
    factored_maps,
    identity_maps,
    num_orthogonal_parameters,
    orthogonal_maps,
    orthonormal_columns,
    orthonormal_rows,
    undirected_graph,
    wide_maps,
)

FAMILIES = ("identity", "diagonal", *ORTHOGONAL_MAPS, "general", "tall", "factored", "wide")
DATA = Path(os.environ.get("RECBOLE_SHEAF_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))

# Hypothesis picks sizes and a seed, the seed the numbers
sizes = st.fixed_dictionaries(
    {
        "n": st.integers(2, 8),
        "num_edges": st.integers(1, 14),
        "d": st.integers(1, 4),
        "seed": st.integers(0, 2**32 - 1),
    }
)


def random_graph(n, num_edges, generator):
    """Undirected graph without self-loops, arcs in random order; often with isolated nodes."""
    pairs = torch.combinations(torch.arange(n))
    edges = pairs[torch.randperm(len(pairs), generator=generator)[:num_edges]]
    arcs = torch.cat([edges, edges.flip(1)])
    return undirected_graph(arcs[torch.randperm(len(arcs), generator=generator)].t().contiguous(), n)


def random_maps(family, graph, d, generator, dtype=torch.float64):
    """Maps of one family on the arcs of a graph, diagonals or matrices; Euler falls back to d = 3 at most."""

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    arcs = len(graph.row)
    if family == "identity":
        return identity_maps(arcs, d, like=normal(1))
    if family == "diagonal":
        return normal(arcs, d)
    if family in ORTHOGONAL_MAPS:
        d = min(d, 3) if family == "euler" else d
        return orthogonal_maps(normal(arcs, num_orthogonal_parameters(d, family)), d, family)
    if family == "factored":
        k = max(d - 1, 1)
        return factored_maps(graph.row, normal(arcs, k), orthonormal_rows(normal(graph.num_nodes, k, d)))
    if family == "wide":
        return wide_maps(graph.row, orthonormal_columns(normal(graph.num_nodes, 2 * d, d)))
    return normal(arcs, d + 2 if family == "tall" else d, d)


def random_problem(family, n, num_edges, d, seed, dtype=torch.float64, channels=2):
    """A sheaf of one family and a signal on it."""
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(n, num_edges, generator)
    sheaf = cellular_sheaf(graph.arcs, n, random_maps(family, graph, d, generator, dtype))
    return sheaf, torch.randn(n, sheaf.stalk_dim, channels, generator=generator, dtype=dtype)


def as_matrices(maps):
    """Maps as (arcs, k, d) matrices."""
    return torch.diag_embed(maps) if maps.dim() == 2 else maps


def dense_laplacian(sheaf):
    """``L = delta^T delta``, edge by edge with numpy: block row of an edge {v, w} holds F_v at v and -F_w at w."""
    maps = as_matrices(sheaf.maps).detach().numpy()
    _arcs, k, d = maps.shape
    where = {(int(v), int(w)): e for e, (v, w) in enumerate(sheaf.graph.arcs.t())}
    rows = []
    for (v, w), e in where.items():
        if v < w:
            row = np.zeros((k, sheaf.graph.num_nodes, d))
            row[:, v], row[:, w] = maps[e], -maps[where[w, v]]
            rows.append(row.reshape(k, -1))
    delta = np.concatenate(rows)
    return torch.from_numpy(delta.T @ delta)


def apply_dense(matrix, x):
    """Matrix on a signal of shape (n, d, c)."""
    return (matrix @ x.flatten(0, 1)).view_as(x)


def dense_from_entries(index, value, size):
    """Matrix from indices without repeats and values."""
    assert len(torch.unique(index[0] * size + index[1])) == index.shape[1]
    return value.new_zeros(size, size).index_put((index[0], index[1]), value)


def golden(*names):
    """Open golden arrays (``.npz``) and manifests (``.json``) by name; skip the test where they are absent."""
    folder = DATA / "nsd-golden"
    if not folder.is_dir():
        pytest.skip(f"golden vectors are not at {folder}; set RECBOLE_SHEAF_DATA to the folder that holds nsd-golden")
    return [json.loads((folder / n).read_text()) if n.endswith(".json") else np.load(folder / n) for n in names]


def golden_graph(graphs, name):
    """Arc list and node count of a golden graph."""
    return torch.from_numpy(graphs[f"{name}__edge_index"]), int(graphs[f"{name}__num_nodes"])

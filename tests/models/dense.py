"""Slow rewritings from the definitions, to which the models are held: loops over nodes and arcs, dense float64.

n nodes, D node stalk, h what a node's maps are learnt from. Of our own code they use the learners' weights alone.
"""

import torch
from torch.nn.functional import normalize

# Users with more and with fewer interactions, so that a degree in the wrong place shows.
UNEQUAL_DEGREES = {"eval_args": {"split": {"RS": [0.7, 0.15, 0.15]}, "group_by": None}}


def perturb(module, scale, seed=0):
    """The module in float64 and evaluation mode, each parameter moved by normal numbers; graphs are left alone."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    for parameter in module.parameters():
        parameter.data += scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return module


def adjacency(graph):
    """A with ``A_vu`` the number of arcs u -> v."""
    A = torch.zeros(graph.num_nodes, graph.num_nodes, dtype=torch.float64)
    for u, v in zip(graph.src.tolist(), graph.dst.tolist()):
        A[v, u] += 1
    return A


def lightgcn_matrix(graph):
    """D^-1/2 A D^-1/2, rows and columns of isolated nodes zero."""
    A = adjacency(graph)
    scale = A.sum(dim=1).clamp(min=1) ** -0.5
    return scale[:, None] * A * scale


def inverse_sqrt(matrix):
    """M^-1/2 of a positive definite matrix."""
    value, vector = torch.linalg.eigh(matrix)
    return vector @ torch.diag(value**-0.5) @ vector.T


def restriction_map(maps, family, beta, h_u, h_v):
    """F_{v<e} on the arc u -> v, which belongs to v, as its family defines it."""
    D = maps.stalk_size
    eye = torch.eye(D, dtype=h_v.dtype)
    if family == "wide":
        tall = torch.cat([eye, beta * (maps.wide.block.weight @ h_v).view(-1, D)])
        return tall @ inverse_sqrt(tall.T @ tall)
    if family in ("orthogonal", "general"):
        P, Q = maps.matrices.ends.weight.chunk(2)
        numbers = beta * torch.tanh(P @ h_u + Q @ h_v)
        if family == "general":
            return eye + numbers.view(D, D)
        lower = torch.zeros(D, D, dtype=h_v.dtype)
        lower[tuple(torch.tril_indices(D, D))] = numbers
        half = (lower - lower.T) / 2
        return torch.linalg.inv(eye - half) @ (eye + half)
    if family in ("diagonal", "factored"):
        (P, Q), (b_u, b_v) = maps.scales.ends.weight.chunk(2), maps.scales.ends.bias.chunk(2)
        scales = torch.diag(1 + beta * torch.tanh(P @ h_u + b_u + Q @ h_v + b_v))
        return scales if family == "diagonal" else scales @ node_frame(maps.frames, h_v)
    assert family == "identity"
    return eye


def node_frame(frames, h_v):
    """R_v = H_1 ... H_r, each H a reflection at the axis that is read off h."""
    R = torch.eye(frames.stalk_dim, dtype=h_v.dtype)
    for axis in (frames.axes.weight @ h_v + frames.axes.bias).view(-1, frames.stalk_dim):
        R = R @ (torch.eye(len(axis), dtype=h_v.dtype) - 2 * torch.outer(axis, axis) / (axis @ axis))
    return R


def dense_delta(graph, maps, family, beta, h):
    """Delta = D^-1/2 delta^T delta D^-1/2 of shape (n D, n D), edge by edge; zero at nodes without edges."""
    n, D = graph.num_nodes, maps.stalk_size
    rows = []
    for u, v in zip(graph.src.tolist(), graph.dst.tolist()):
        if u < v:
            F_v = restriction_map(maps, family, beta, h[u], h[v])
            F_u = restriction_map(maps, family, beta, h[v], h[u])
            row = torch.zeros(len(F_v), n, D, dtype=h.dtype)
            row[:, v], row[:, u] = F_v, -F_u
            rows.append(row.flatten(1))
    coboundary = torch.cat(rows)
    laplacian = coboundary.T @ coboundary
    root = torch.zeros_like(laplacian)
    for v in set(graph.dst.tolist()):
        block = slice(v * D, v * D + D)
        root[block, block] = inverse_sqrt(laplacian[block, block])
    return root @ laplacian @ root


def item_matrix(features, neighbours, trust):
    """Row i is the sum over the modalities m that item i has of softmax(trust)_m times the mean of its neighbours."""
    n = len(features[0].matrix)
    out = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        has = [m for m, each in enumerate(features) if each.present[i]]
        for m in has:
            share = trust[m].exp() / sum(trust[k].exp() for k in has)
            rows = normalize(features[m].matrix.double())
            others = [j for j in range(n) if features[m].present[j] and j != i]
            others.sort(key=lambda j: (-round(float(rows[i] @ rows[j]), 6), j))
            for j in others[:neighbours]:
                out[i, j] += share / len(others[:neighbours])
    return out

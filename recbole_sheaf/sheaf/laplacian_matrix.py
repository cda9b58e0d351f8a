"""The sheaf Laplacian as an explicit sparse matrix, in the convention of Neural Sheaf Diffusion.

Stalk coordinate i of node v is row ``v D + i``, D = d + add_lp + add_hp. Block (v, w) is ``-F_{v<e}^T F_{w<e}``, block
(v, v) ``sum_e F_{v<e}^T F_{v<e}``. Fixed channels follow the d learnt ones: first low-pass, Deg + A, then high-pass,
Deg - A, the graph Laplacian (Bodnar et al. 2022, https://arxiv.org/abs/2202.04579).

Indices depend on the graph alone and values on the maps alone, so a model computes :func:`laplacian_pattern` once and
:func:`laplacian_values` in every step.
"""

from dataclasses import dataclass
from typing import Optional, Union

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.sheaf.graph import UndirectedGraph, undirected_graph
from recbole_sheaf.sheaf.inverse_sqrt import scalar_inverse_sqrt
from recbole_sheaf.sheaf.laplacian import check_maps
from recbole_sheaf.sheaf.laplacian_blocks import LaplacianOptions, laplacian_blocks
from recbole_sheaf.sheaf.orthogonal import num_orthogonal_parameters, orthogonal_maps
from recbole_sheaf.sheaf.restriction_maps import check_family

Flag = Union[bool, int]  # manifests write 0 and 1


@dataclass(frozen=True)
class LaplacianPattern:
    """Positions of the entries of one graph's sheaf Laplacians, without repeats.

    Attributes:
        index: (row, column) of every entry. The first ``num_upper`` lie above the block diagonal, the next as many are
            their mirror images below it, the rest are in the diagonal blocks.
        size: number of rows, n D.
        num_upper: see ``index``.

    Examples:
        >>> LaplacianPattern(torch.tensor([[0, 1, 0, 1], [1, 0, 0, 1]]), size=2, num_upper=1).index.shape
        torch.Size([2, 4])
    """

    index: Int[Tensor, "2 nnz"]
    size: int
    num_upper: int


def sheaf_laplacian_matrix(
    edge_index: Int[Tensor, "..."],
    num_nodes: int,
    maps: Float[Tensor, "..."],
    restriction_map: str = "general",
    orthogonal_map: Optional[str] = None,
    edge_weight: Optional[Float[Tensor, "..."]] = None,
    normalised: Flag = False,
    deg_normalised: Flag = False,
    augmented: Flag = True,
    add_lp: Flag = False,
    add_hp: Flag = False,
) -> tuple[Int[Tensor, "2 nnz"], Float[Tensor, " nnz"]]:
    """Indices and values of a sheaf Laplacian, from an arc list, its maps and options.

    A reference for tests: the checked way through the functions below, held to the reference implementation's numbers.
    Models call these functions themselves, those on the graph once and those on the maps in every step.

    Args:
        edge_index: (2, a), every undirected edge in both directions, in any order.
        num_nodes: n; nodes without arcs are isolated and get zero rows.
        maps: what belongs to each arc's *row* node: diagonals (a, d) for ``diagonal``; ones (a, d) for ``identity``;
            matrices (a, k, d) for ``general``, ``factored`` and ``wide``; and for ``orthogonal`` either matrices
            (a, d, d) or, with ``orthogonal_map``, parameters (a, p).
        restriction_map: the family.
        orthogonal_map: ``householder``, ``cayley``, ``matrix_exp`` or ``euler``: read ``maps`` as parameters.
        edge_weight: (a, 1), equal on both arcs of an edge; both maps of the edge are multiplied by it.
        normalised, deg_normalised, augmented, add_lp, add_hp: see :class:`LaplacianOptions`.

    Returns:
        (row, column) index pairs without repeats, and their values: upper blocks, lower blocks, diagonal blocks, each
        with its fixed channels first. The matrix has n (d + add_lp + add_hp) rows.

    Raises:
        ShapeError: if maps, weights or parameters do not fit, are not finite, or Euler angles are asked for with d > 3.
        GraphError: if the arcs are no undirected graph on n nodes.
        ConfigError: for unknown names and options that exclude each other.

    A node without edges, and any direction in which ``D_v`` is singular, has zero entries where a plain inverse would
    give NaN. Time O(a d^3), memory O(a d^2).

    Examples:
        >>> edge = torch.tensor([[0, 1], [1, 0]])
        >>> index, values = sheaf_laplacian_matrix(edge, 2, torch.tensor([[2.0], [3.0]]), "diagonal")
        >>> torch.sparse_coo_tensor(index, values, (2, 2), check_invariants=True).to_dense()
        tensor([[ 4., -6.],
                [-6.,  9.]])
    """
    options = LaplacianOptions(*map(bool, (normalised, deg_normalised, augmented, add_lp, add_hp)))
    check_family(restriction_map)
    graph = undirected_graph(edge_index, num_nodes)
    check_maps(graph, maps)
    if orthogonal_map is not None:
        maps = orthogonal_maps(maps, _stalk_dim_of(maps.shape[-1], orthogonal_map), orthogonal_map)
    _check_family_shape(restriction_map, maps)
    weight = None if edge_weight is None else _checked_weight(graph, edge_weight)
    upper, diagonal = laplacian_blocks(graph, maps, restriction_map, options, weight)
    pattern = laplacian_pattern(graph, maps.shape[-1], restriction_map, options)
    return pattern.index, laplacian_values(graph, upper, diagonal, options)


def laplacian_pattern(
    graph: UndirectedGraph, stalk_dim: int, restriction_map: str, options: LaplacianOptions
) -> LaplacianPattern:
    """Positions of the entries, for :func:`laplacian_values` of the same graph, stalk dimension, family and options.

    Examples:
        >>> graph = undirected_graph(torch.tensor([[0, 1], [1, 0]]), 2)
        >>> laplacian_pattern(graph, 1, "diagonal", LaplacianOptions()).index.tolist()  # upper, lower, diagonal
        [[0, 1, 0, 1], [1, 0, 0, 1]]
    """
    d, num_fixed = stalk_dim, options.add_lp + options.add_hp
    total = d + num_fixed
    device = graph.arcs.device
    own, fixed = torch.arange(d, device=device), torch.arange(d, total, device=device)
    full = torch.cartesian_prod(own, own).view(-1, 2).t()
    single = own.expand(2, d)
    diagonal_maps = restriction_map in ("identity", "diagonal")
    block, node_block = single if diagonal_maps else full, full if _has_full_degree(restriction_map) else single
    ends = graph.arcs[:, graph.upper]
    nodes = torch.arange(graph.num_nodes, device=device).expand(2, -1)
    upper = torch.cat([_entries(ends, fixed.expand(2, -1), total), _entries(ends, block, total)], dim=1)
    diagonal = torch.cat([_entries(nodes, fixed.expand(2, -1), total), _entries(nodes, node_block, total)], dim=1)
    return LaplacianPattern(torch.cat([upper, upper.flip(0), diagonal], dim=1), graph.num_nodes * total, upper.shape[1])


def laplacian_values(
    graph: UndirectedGraph,
    upper: Float[Tensor, "e ..."],
    diagonal: Float[Tensor, "n ..."],
    options: LaplacianOptions,
) -> Float[Tensor, " nnz"]:
    """Values at the places of :func:`laplacian_pattern`, from the blocks of :func:`laplacian_blocks`.

    Examples:
        >>> graph = undirected_graph(torch.tensor([[0, 1], [1, 0]]), 2)
        >>> upper, diagonal = torch.tensor([[-6.0]]), torch.tensor([[4.0], [9.0]])
        >>> laplacian_values(graph, upper, diagonal, LaplacianOptions())
        tensor([-6., -6.,  4.,  9.])
    """
    half, rest = laplacian_halves(graph, upper, diagonal, options)
    return torch.cat([half, half, rest])


def laplacian_halves(
    graph: UndirectedGraph,
    upper: Float[Tensor, "e ..."],
    diagonal: Float[Tensor, "n ..."],
    options: LaplacianOptions,
) -> tuple[Float[Tensor, " upper"], Float[Tensor, " diagonal"]]:
    """Values above the block diagonal, which stand below it once more, and those of the diagonal blocks.

    Examples:
        >>> graph = undirected_graph(torch.tensor([[0, 1], [1, 0]]), 2)
        >>> upper, diagonal = torch.tensor([[-6.0]]), torch.tensor([[4.0], [9.0]])
        >>> laplacian_halves(graph, upper, diagonal, LaplacianOptions(add_lp=True))  # Deg + A comes first
        (tensor([ 1., -6.]), tensor([1., 1., 4., 9.]))
    """
    if diagonal.dim() == 2 and diagonal.shape[-1] == 1:
        diagonal = diagonal.expand(-1, upper.shape[-1])
    half, rest = upper.flatten(), diagonal.flatten()
    if not (options.add_lp or options.add_hp):
        return half, rest
    fixed_upper, fixed_diagonal = _fixed_channels(graph, upper, options)
    return torch.cat([fixed_upper, half]), torch.cat([fixed_diagonal, rest])


def _fixed_channels(
    graph: UndirectedGraph, like: Tensor, options: LaplacianOptions
) -> tuple[Float[Tensor, " f"], Float[Tensor, " g"]]:
    """Off-diagonal and diagonal values of the fixed channels: +1 for low-pass, -1 for high-pass, and the degree."""
    signs = like.new_tensor([1.0] * options.add_lp + [-1.0] * options.add_hp)
    degree = graph.degree.to(like.dtype)
    v, w = graph.arcs[:, graph.upper]
    off = torch.ones_like(v, dtype=like.dtype)
    if options.normalised:
        scale = scalar_inverse_sqrt(degree + options.augmented)
        off, degree = scale[v] * scale[w], degree * scale.square()
    return torch.outer(off, signs).flatten(), degree.unsqueeze(-1).expand(-1, len(signs)).flatten()


def _entries(nodes: Int[Tensor, "2 m"], block: Int[Tensor, "2 b"], total: int) -> Int[Tensor, "2 mb"]:
    """Matrix positions of one block at each pair of nodes."""
    return (nodes.unsqueeze(-1) * total + block.unsqueeze(1)).flatten(1)


def _has_full_degree(restriction_map: str) -> bool:
    """Whether ``D_v`` is a full d x d block."""
    return restriction_map in ("general", "factored", "wide")


def _stalk_dim_of(num_parameters: int, orthogonal_map: str) -> int:
    """Stalk dimension whose matrices take this many parameters; the least when none does."""
    d = 1
    while num_orthogonal_parameters(d, orthogonal_map) < num_parameters:
        d += 1
    return d


def _check_family_shape(restriction_map: str, maps: Float[Tensor, "..."]) -> None:
    expected = 2 if restriction_map in ("identity", "diagonal") else 3
    if maps.dim() != expected:
        form = "(arcs, d) diagonals" if expected == 2 else "(arcs, k, d) matrices"
        raise ShapeError(f"{restriction_map} maps have shape {tuple(maps.shape)}, expected {form}")
    if restriction_map == "orthogonal":
        _check_orthogonal(maps)


def _check_orthogonal(maps: Float[Tensor, "a k d"], tolerance: float = 1e-3) -> None:
    """Refuse what would make ``D_v`` no multiple of the identity."""
    if maps.shape[-1] != maps.shape[-2]:
        raise ShapeError(f"orthogonal maps are square, got shape {tuple(maps.shape)}; use restriction_map general")
    error = (maps.mT @ maps - torch.eye(maps.shape[-1], dtype=maps.dtype, device=maps.device)).abs()
    if error.numel() and error.max() > tolerance:
        raise ShapeError(
            f"maps are off orthogonality by {float(error.max()):.1e}; use restriction_map general, or give parameters "
            "with an orthogonal_map"
        )


def _checked_weight(graph: UndirectedGraph, edge_weight: Float[Tensor, "..."]) -> Float[Tensor, "a 1"]:
    num_arcs = len(graph.row)
    if edge_weight.numel() != num_arcs:
        raise ShapeError(f"edge_weight has shape {tuple(edge_weight.shape)}, expected ({num_arcs}, 1): one on each arc")
    weight = edge_weight.reshape(-1, 1)
    if not torch.allclose(weight, weight[graph.reverse]):
        raise ShapeError("edge_weight differs between the two arcs of an edge; give both the same weight")
    return weight

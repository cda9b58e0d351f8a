"""Sheaf Laplacian of a graph, applied without building the matrix.

n nodes, e undirected edges, a = 2e arcs, d node stalk, k edge stalk, c channels. The map of an arc (v, w) is
F_{v<e}, that of the arc's row node v on the edge e = {v, w}; the map of w on the same edge belongs to the reverse arc
(Hansen & Ghrist 2019, https://arxiv.org/abs/1808.01513).

A normalised Laplacian is the plain Laplacian of another sheaf: with every map replaced by ``F_{v<e} D_v^-1/2`` one has
``D^-1/2 L D^-1/2 = delta^T delta``. So :func:`normalise` returns a sheaf, and energy, coboundary and kernel keep one
definition for every normalisation.
"""

from dataclasses import dataclass, replace
from typing import Union

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recbole_sheaf.errors import ConfigError, ShapeError
from recbole_sheaf.sheaf.graph import UndirectedGraph, undirected_graph
from recbole_sheaf.sheaf.inverse_sqrt import matrix_inverse_sqrt, scalar_inverse_sqrt

NORMALISATIONS = ("none", "block", "degree")


@dataclass(frozen=True)
class Sheaf:
    """A cellular sheaf on a graph: one restriction map for each arc.

    Attributes:
        graph: the graph.
        maps: the map of each arc's row node, as diagonals (a, d) or as matrices (a, k, d).

    Examples:
        >>> graph = undirected_graph(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> Sheaf(graph, torch.ones(2, 4, 3)).stalk_dim  # maps from R^3 to R^4
        3
    """

    graph: UndirectedGraph
    maps: Union[Float[Tensor, "a d"], Float[Tensor, "a k d"]]

    @property
    def stalk_dim(self) -> int:
        """Dimension d of the node stalks."""
        return self.maps.shape[-1]

    @property
    def diagonal(self) -> bool:
        """Whether maps are kept as diagonals."""
        return self.maps.dim() == 2


def cellular_sheaf(edge_index: Int[Tensor, "..."], num_nodes: int, maps: Float[Tensor, "..."]) -> Sheaf:
    """Sheaf of an arc list and the maps of its arcs, both checked. A reference for tests.

    Args:
        edge_index: (row, col) of every arc, shape (2, a), each undirected edge in both directions.
        num_nodes: n, isolated nodes included.
        maps: diagonals (a, d) or matrices (a, k, d), one for each arc.

    Raises:
        ShapeError: if the maps do not fit the arcs, or are not finite.
        GraphError: see :func:`recbole_sheaf.sheaf.graph.undirected_graph`.

    Examples:
        >>> sheaf = cellular_sheaf(torch.tensor([[0, 1], [1, 0]]), 2, torch.ones(2, 3))
        >>> sheaf.diagonal, sheaf.stalk_dim
        (True, 3)
    """
    graph = undirected_graph(edge_index, num_nodes)
    check_maps(graph, maps)
    return Sheaf(graph, maps)


def coboundary(sheaf: Sheaf, x: Float[Tensor, "n d c"]) -> Float[Tensor, "e k c"]:
    """Disagreement on each edge, ``(delta x)_e = F_{v<e} x_v - F_{w<e} x_w``, v < w, in the order of ``graph.upper``.

    Raises:
        ShapeError: if the stalks of ``x`` and of the maps differ, or ``x`` is not finite.

    Examples:
        >>> sheaf = cellular_sheaf(torch.tensor([[0, 1], [1, 0]]), 2, torch.tensor([[1.0], [2.0]]))
        >>> coboundary(sheaf, torch.tensor([5.0, 3.0]).view(2, 1, 1)).item()  # 1 * 5 - 2 * 3
        -1.0
    """
    check_signal(sheaf, x)
    (v, w), (v_maps, w_maps) = sheaf.graph.ends(sheaf.graph.row), sheaf.graph.ends(sheaf.maps)
    return _apply(v_maps, x[v]) - _apply(w_maps, x[w])


def coboundary_transpose(sheaf: Sheaf, y: Float[Tensor, "e k c"]) -> Float[Tensor, "n d c"]:
    """Adjoint of the coboundary, ``(delta^T y)_v = sum_e [v : e] F_{v<e}^T y_e``; zero at isolated nodes.

    ``[v : e]`` is 1 at the lower-numbered end of an edge and -1 at the other.

    Examples:
        >>> sheaf = cellular_sheaf(torch.tensor([[0, 1], [1, 0]]), 2, torch.tensor([[1.0], [2.0]]))
        >>> coboundary_transpose(sheaf, torch.tensor([[[3.0]]])).flatten()  # 1 * 3 and -2 * 3
        tensor([ 3., -6.])
    """
    (v, w), (v_maps, w_maps) = sheaf.graph.ends(sheaf.graph.row), sheaf.graph.ends(sheaf.maps)
    out = y.new_zeros(sheaf.graph.num_nodes, sheaf.stalk_dim, y.shape[-1])
    out = out.index_add(0, v, _apply_transpose(v_maps, y))
    return out.index_add(0, w, _apply_transpose(w_maps, y), alpha=-1)


def laplacian(sheaf: Sheaf, x: Float[Tensor, "n d c"]) -> Float[Tensor, "n d c"]:
    """Sheaf Laplacian applied to a signal, ``L x = delta^T delta x``; of a normalised sheaf, ``Delta x``.

    The definition, to which the fast paths are held: a reference for tests. Time O(e k d c), memory O(e k c).

    Raises:
        ShapeError: if the stalks of ``x`` and of the maps differ, or ``x`` is not finite.

    Examples:
        With identity maps it is the graph Laplacian D - A, here of the path 0 - 1 - 2.

        >>> arcs = torch.tensor([[0, 1, 1, 2], [1, 2, 0, 1]])
        >>> path = cellular_sheaf(arcs, 3, torch.ones(4, 1))
        >>> laplacian(path, torch.eye(3).unsqueeze(1)).squeeze(1).int().tolist()
        [[1, -1, 0], [-1, 2, -1], [0, -1, 1]]
    """
    return coboundary_transpose(sheaf, coboundary(sheaf, x))


def dirichlet_energy(sheaf: Sheaf, x: Float[Tensor, "n d c"]) -> Float[Tensor, ""]:
    """Dirichlet energy ``x^T L x = |delta x|^2``, summed over the channels; zero on global sections alone.

    A reference for tests.

    Examples:
        >>> path = cellular_sheaf(torch.tensor([[0, 1, 1, 2], [1, 2, 0, 1]]), 3, torch.ones(4, 1))
        >>> dirichlet_energy(path, torch.ones(3, 1, 1)).item()  # a constant signal is a global section here
        0.0
        >>> dirichlet_energy(path, torch.tensor([0.0, 1.0, 3.0]).view(3, 1, 1)).item()  # 1 ** 2 + 2 ** 2
        5.0
    """
    return coboundary(sheaf, x).square().sum()


def stalk_degree(sheaf: Sheaf) -> Union[Float[Tensor, "n d"], Float[Tensor, "n d d"]]:
    """Diagonal blocks of L, ``D_v = sum_e F_{v<e}^T F_{v<e}``; as diagonals (n, d) where the maps are diagonals.

    Examples:
        >>> path = cellular_sheaf(torch.tensor([[0, 1, 1, 2], [1, 2, 0, 1]]), 3, torch.ones(4, 1))
        >>> stalk_degree(path).flatten()  # with identity maps, the number of edges
        tensor([1., 2., 1.])
    """
    gram = sheaf.maps.square() if sheaf.diagonal else sheaf.maps.mT @ sheaf.maps
    out = gram.new_zeros(sheaf.graph.num_nodes, *gram.shape[1:])
    return out.index_add(0, sheaf.graph.row, gram)


def normalise(sheaf: Sheaf, normalisation: str = "block", augmented: bool = False) -> Sheaf:
    """Sheaf whose Laplacian is the normalised one, with maps ``F_{v<e} B_v^-1/2``. A reference for tests.

    Args:
        normalisation: ``block`` takes ``B_v = D_v`` (plus I if augmented); ``degree`` the scalar deg_v (plus 1) for
            diagonal maps and ``d deg_v + 1`` for matrices; ``none`` leaves the sheaf as it is.
        augmented: add the identity to ``B_v``.

    Directions in which ``B_v`` is singular, isolated nodes among them, are left out: Delta is zero there, never NaN.

    Raises:
        ConfigError: if ``normalisation`` is unknown.

    Examples:
        >>> maps = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
        >>> path = cellular_sheaf(torch.tensor([[0, 1, 1, 2], [1, 2, 0, 1]]), 3, maps)
        >>> stalk_degree(normalise(path)).flatten().round(decimals=4)
        tensor([1., 1., 1.])
    """
    if normalisation not in NORMALISATIONS:
        raise ConfigError(f"normalisation {normalisation!r} is unknown; choose one of {', '.join(NORMALISATIONS)}")
    if normalisation == "none":
        return sheaf
    scale = stalk_inverse_sqrt(sheaf, augmented) if normalisation == "block" else degree_inverse_sqrt(sheaf, augmented)
    scale = scale[sheaf.graph.row]
    return replace(sheaf, maps=sheaf.maps @ scale if scale.dim() == 3 else _scale_maps(sheaf.maps, scale))


def stalk_inverse_sqrt(sheaf: Sheaf, augmented: bool) -> Union[Float[Tensor, "n d"], Float[Tensor, "n d d"]]:
    """``B_v^-1/2`` of the block normalisation, ``B_v = D_v`` (plus I if augmented); diagonals where the maps are.

    Examples:
        >>> sheaf = cellular_sheaf(torch.tensor([[0, 1], [1, 0]]), 3, torch.tensor([[2.0], [4.0]]))
        >>> stalk_inverse_sqrt(sheaf, augmented=False).flatten()  # the isolated node has 0, not infinity
        tensor([0.5000, 0.2500, 0.0000])
    """
    degree = stalk_degree(sheaf)
    if sheaf.diagonal:
        return scalar_inverse_sqrt(degree + augmented)
    eye = torch.eye(sheaf.stalk_dim, dtype=degree.dtype, device=degree.device)
    return matrix_inverse_sqrt(degree + eye if augmented else degree)


def degree_inverse_sqrt(sheaf: Sheaf, augmented: bool) -> Float[Tensor, "n 1"]:
    """One scale for each node, of the degree normalisation.

    For diagonal maps ``deg^-1/2``, or ``(deg + 1)^-1/2`` if augmented; for matrices ``(d deg + 1)^-1/2``.

    Examples:
        >>> star = cellular_sheaf(torch.tensor([[0, 0, 0, 1, 2, 3], [1, 2, 3, 0, 0, 0]]), 4, torch.ones(6, 2))
        >>> degree_inverse_sqrt(star, augmented=True).flatten()[0]  # three edges
        tensor(0.5000)
    """
    degree = sheaf.graph.degree.to(sheaf.maps.dtype).unsqueeze(-1)
    return scalar_inverse_sqrt(degree + augmented if sheaf.diagonal else sheaf.stalk_dim * degree + 1)


def check_maps(graph: UndirectedGraph, maps: Float[Tensor, "..."]) -> None:
    """Refuse maps that do not fit the arcs or are not finite.

    Raises:
        ShapeError: if so.

    Examples:
        >>> check_maps(undirected_graph(torch.tensor([[0, 1], [1, 0]]), 2), torch.ones(1, 3))
        Traceback (most recent call last):
        recbole_sheaf.errors.ShapeError: maps have shape (1, 3), expected (2, d) diagonals or (2, k, d) matrices: ...
    """
    num_arcs = len(graph.row)
    if maps.dim() not in (2, 3) or len(maps) != num_arcs:
        raise ShapeError(
            f"maps have shape {tuple(maps.shape)}, expected ({num_arcs}, d) diagonals or ({num_arcs}, k, d) matrices: "
            "one map for each arc, its row node's"
        )
    _check_finite(maps, "restriction maps")


def check_signal(sheaf: Sheaf, x: Float[Tensor, "..."]) -> None:
    """Refuse a signal that is not of shape (n, d, c) for this sheaf, or not finite.

    Raises:
        ShapeError: if so.

    Examples:
        >>> sheaf = cellular_sheaf(torch.tensor([[0, 1], [1, 0]]), 2, torch.ones(2, 3))
        >>> check_signal(sheaf, torch.ones(2, 3))  # no channels
        Traceback (most recent call last):
        recbole_sheaf.errors.ShapeError: x has shape (2, 3), read as (n, d, c), but the sheaf has 2 nodes ...
    """
    n, d = sheaf.graph.num_nodes, sheaf.stalk_dim
    if x.dim() != 3 or x.shape[:2] != (n, d):
        raise ShapeError(
            f"x has shape {tuple(x.shape)}, read as (n, d, c), but the sheaf has {n} nodes and stalk dimension {d}; "
            f"reshape x to ({n}, {d}, embedding_size // {d})"
        )
    _check_finite(x, "x")


def _check_finite(values: Float[Tensor, "..."], name: str) -> None:
    finite = torch.isfinite(values)
    if not finite.all():
        where = tuple((~finite).nonzero()[0].tolist())
        raise ShapeError(f"{name} hold {int((~finite).sum())} values that are not finite (first at {where}); mask them")


def _apply(maps: Float[Tensor, "..."], x: Float[Tensor, "e d c"]) -> Float[Tensor, "e k c"]:
    return maps @ x if maps.dim() == 3 else maps.unsqueeze(-1) * x


def _apply_transpose(maps: Float[Tensor, "..."], y: Float[Tensor, "e k c"]) -> Float[Tensor, "e d c"]:
    return maps.mT @ y if maps.dim() == 3 else maps.unsqueeze(-1) * y


def _scale_maps(maps: Float[Tensor, "..."], scale: Float[Tensor, "a q"]) -> Float[Tensor, "..."]:
    """Maps times a diagonal or scalar on the node's side; ``scale`` has d columns or one."""
    return maps * (scale if maps.dim() == 2 else scale.unsqueeze(-2))

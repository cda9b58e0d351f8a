"""Blocks of the sheaf Laplacian, one for each edge and one for each node, in every normalisation.

Block (v, w) is ``-F_{v<e}^T F_{w<e}``, block (v, v) ``D_v = sum_e F_{v<e}^T F_{v<e}``; normalised, they are multiplied
from both sides by ``B_v^-1/2`` (Bodnar et al. 2022, https://arxiv.org/abs/2202.04579).
"""

from dataclasses import dataclass
from typing import Optional

from jaxtyping import Float
from torch import Tensor

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.sheaf.graph import UndirectedGraph
from recbole_sheaf.sheaf.inverse_sqrt import scalar_inverse_sqrt
from recbole_sheaf.sheaf.laplacian import Sheaf, degree_inverse_sqrt, stalk_degree, stalk_inverse_sqrt


@dataclass(frozen=True)
class LaplacianOptions:
    """Choices by which maps become a Laplacian.

    Attributes:
        normalised: ``B^-1/2 L B^-1/2`` with ``B_v = D_v`` (+ I if augmented); fixed channels by the degree (+ 1).
        deg_normalised: scale node v by (deg + 1)^-1/2, or deg^-1/2 if not augmented, or (d deg + 1)^-1/2 for matrix
            maps; fixed channels stay as they are. At most one of the two; neither gives the plain L.
        augmented: add the identity to ``B_v``.
        add_lp: append the fixed low-pass channel, Deg + A.
        add_hp: append the fixed high-pass channel, Deg - A.

    Raises:
        ConfigError: if both normalisations are asked for.

    Examples:
        >>> LaplacianOptions(normalised=True, deg_normalised=True)
        Traceback (most recent call last):
        recbole_sheaf.errors.ConfigError: normalised and deg_normalised exclude each other; set at most one of them
    """

    normalised: bool = False
    deg_normalised: bool = False
    augmented: bool = True
    add_lp: bool = False
    add_hp: bool = False

    def __post_init__(self) -> None:
        if self.normalised and self.deg_normalised:
            raise ConfigError("normalised and deg_normalised exclude each other; set at most one of them")


def laplacian_blocks(
    graph: UndirectedGraph,
    maps: Float[Tensor, "..."],
    restriction_map: str,
    options: LaplacianOptions,
    edge_weight: Optional[Float[Tensor, "a 1"]] = None,
) -> tuple[Float[Tensor, "e ..."], Float[Tensor, "n ..."]]:
    """Learnt blocks of the Laplacian: those of the arcs with row < col, and those of the nodes.

    Args:
        maps: one map for each arc, diagonals or matrices, as the family has them.
        restriction_map: the family.
        options: normalisation; fixed channels are no matter of the blocks.
        edge_weight: multiplies both maps of an edge; equal on both arcs.

    Returns:
        For diagonal families diagonals, (e, d) and (n, d); for orthogonal maps (e, d, d) and, their ``D_v`` being a
        multiple of the identity, (n, 1); for all others (e, d, d) and (n, d, d). Only the last take an
        eigendecomposition.

    Examples:
        >>> import torch
        >>> from recbole_sheaf.sheaf import undirected_graph
        >>> graph = undirected_graph(torch.tensor([[0, 1], [1, 0]]), 2)
        >>> laplacian_blocks(graph, torch.tensor([[2.0], [3.0]]), "diagonal", LaplacianOptions())
        (tensor([[-6.]]), tensor([[4.],
                [9.]]))
    """
    if edge_weight is not None:
        maps = maps * edge_weight.view(-1, *[1] * (maps.dim() - 1))
    upper = _edge_blocks(graph, maps)
    if restriction_map == "orthogonal":
        degree = _weighted_degree(graph, edge_weight, maps)
        scale = _orthogonal_scale(degree, graph, options)
    else:
        sheaf = Sheaf(graph, maps)
        degree, scale = stalk_degree(sheaf), _block_scale(sheaf, options)
    return (upper, degree) if scale is None else _scale_blocks(graph, upper, degree, scale)


def _edge_blocks(graph: UndirectedGraph, maps: Float[Tensor, "..."]) -> Float[Tensor, "e ..."]:
    """``-F_{v<e}^T F_{w<e}`` for v < w, diagonals where the maps are diagonals."""
    v_maps, w_maps = graph.ends(maps)
    return -v_maps * w_maps if maps.dim() == 2 else -v_maps.mT @ w_maps


def _scale_blocks(
    graph: UndirectedGraph, upper: Float[Tensor, "e ..."], degree: Float[Tensor, "n ..."], scale: Float[Tensor, "n ..."]
) -> tuple[Float[Tensor, "e ..."], Float[Tensor, "n ..."]]:
    """Multiply the blocks from both sides by a matrix, diagonal or scalar of each node."""
    v, w = graph.ends(graph.row)
    left, right = scale.index_select(0, v), scale.index_select(0, w)
    if scale.dim() == 3:
        return left @ upper @ right, scale @ degree @ scale
    factor = (left * right).view(len(upper), *[1] * (upper.dim() - 2), -1)
    return upper * factor, degree * scale.square().view(len(degree), *[1] * (degree.dim() - 2), -1)


def _block_scale(sheaf: Sheaf, options: LaplacianOptions) -> Optional[Float[Tensor, "n ..."]]:
    if options.normalised:
        return stalk_inverse_sqrt(sheaf, options.augmented)
    return degree_inverse_sqrt(sheaf, options.augmented) if options.deg_normalised else None


def _weighted_degree(
    graph: UndirectedGraph, edge_weight: Optional[Float[Tensor, "a 1"]], like: Tensor
) -> Float[Tensor, "n 1"]:
    """``D_v = sum_e w_e^2`` of weighted orthogonal maps, the coefficient of the identity."""
    if edge_weight is None:
        return graph.degree.to(like.dtype).unsqueeze(-1)
    return like.new_zeros(graph.num_nodes, 1).index_add(0, graph.row, edge_weight.square())


def _orthogonal_scale(
    degree: Float[Tensor, "n 1"], graph: UndirectedGraph, options: LaplacianOptions
) -> Optional[Float[Tensor, "n 1"]]:
    if options.deg_normalised:
        degree = graph.degree.to(degree.dtype).unsqueeze(-1)
    if options.normalised or options.deg_normalised:
        return scalar_inverse_sqrt(degree + options.augmented)
    return None

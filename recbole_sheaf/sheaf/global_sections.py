"""Global sections: signals on which all edges agree, the kernel of the coboundary and of the Laplacian.

They are where diffusion ends: ``exp(-t L) x`` tends to the orthogonal projection of x onto them
(Hansen & Ghrist 2019, https://arxiv.org/abs/1808.01513). Dense linear algebra, for graphs of a few thousand rows,
and a reference for tests: no layer computes them.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from recbole_sheaf.sheaf.laplacian import Sheaf, check_signal, coboundary


def coboundary_matrix(sheaf: Sheaf) -> Float[Tensor, "ek nd"]:
    """The coboundary as a dense matrix, column ``v d + i`` for stalk coordinate i of node v. Memory O(e k n d).

    Examples:
        >>> from recbole_sheaf.sheaf import cellular_sheaf
        >>> sheaf = cellular_sheaf(torch.tensor([[0, 1], [1, 0]]), 2, torch.tensor([[1.0], [2.0]]))
        >>> coboundary_matrix(sheaf).tolist()
        [[1.0, -2.0]]
    """
    size = sheaf.graph.num_nodes * sheaf.stalk_dim
    basis = torch.eye(size, dtype=sheaf.maps.dtype, device=sheaf.maps.device)
    return coboundary(sheaf, basis.view(sheaf.graph.num_nodes, sheaf.stalk_dim, size)).flatten(0, 1)


def global_sections(sheaf: Sheaf, tolerance: float = 1e-8) -> Float[Tensor, "h n d"]:
    """Orthonormal basis of the space of global sections, of dimension h = dim H^0.

    Args:
        tolerance: singular values of the coboundary up to this fraction of the largest count as zero.

    For identity maps h is d times the number of connected components. Time O((n d)^3).

    Examples:
        >>> from recbole_sheaf.sheaf import cellular_sheaf
        >>> two_edges = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])  # two components
        >>> len(global_sections(cellular_sheaf(two_edges, 4, torch.ones(4, 3))))
        6
    """
    delta = coboundary_matrix(sheaf)
    _, value, vector = torch.linalg.svd(delta, full_matrices=True)
    rank = int((value > tolerance * value.max()).sum()) if value.numel() else 0
    return vector[rank:].view(-1, sheaf.graph.num_nodes, sheaf.stalk_dim)


def project_to_global_sections(
    sheaf: Sheaf, x: Float[Tensor, "n d c"], tolerance: float = 1e-8
) -> Float[Tensor, "n d c"]:
    """Global section nearest to x: the limit of sheaf diffusion that starts at x.

    Raises:
        ShapeError: if x does not fit the sheaf.

    Examples:
        >>> from recbole_sheaf.sheaf import cellular_sheaf
        >>> sheaf = cellular_sheaf(torch.tensor([[0, 1], [1, 0]]), 2, torch.ones(2, 1))
        >>> project_to_global_sections(sheaf, torch.tensor([1.0, 5.0]).view(2, 1, 1)).flatten().round(decimals=4)
        tensor([3., 3.])
    """
    check_signal(sheaf, x)
    basis = global_sections(sheaf, tolerance).flatten(1)
    return (basis.t() @ (basis @ x.flatten(0, 1))).view_as(x)

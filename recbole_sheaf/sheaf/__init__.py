"""The mathematics of cellular sheaves on graphs, as pure functions on torch tensors.

Notation: n nodes, e undirected edges, a = 2e arcs, node stalk R^d, edge stalk R^k, a signal x of shape (n, d, c) with
c channels. An arc list has shape (2, a), rows (row, col), and holds both directions of every edge. The map of an arc
is that of its *row* node on the arc's edge; the other end's map is the reverse arc's.

Where to start:

- :func:`sheaf_laplacian_matrix` takes an arc list, maps (or orthogonal parameters) and options, and returns the
  Laplacian as indices and values: row ``v D + i`` for coordinate i of node v, D = d + add_lp + add_hp, block (v, w)
  ``-F_{v<e}^T F_{w<e}``, fixed channels after the learnt ones, low-pass first. Entries come in the order upper
  off-diagonal blocks, lower ones, diagonal ones, each with its fixed channels first, and no position repeats.
- :func:`cellular_sheaf`, :func:`laplacian`, :func:`coboundary`, :func:`dirichlet_energy` apply a sheaf without a
  matrix; :func:`normalise` turns it into the sheaf of the normalised Laplacian; :func:`global_sections` is its kernel.

Functions called "a reference for tests" are definitions, to which tests hold faster code: the message passing of
:mod:`recbole_sheaf.layers`, the Laplacians of :mod:`recbole_sheaf.nsd`.

Nodes without edges keep their value: their rows of every Laplacian are zero. Directions in which ``D_v`` is singular
are treated the same way, so rank-deficient maps give finite results and finite gradients.
"""

from recbole_sheaf.settings.vocabulary import RESTRICTION_MAPS
from recbole_sheaf.sheaf.global_sections import coboundary_matrix, global_sections, project_to_global_sections
from recbole_sheaf.sheaf.graph import UndirectedGraph, both_directions, pair_arcs, undirected_graph
from recbole_sheaf.sheaf.inverse_sqrt import matrix_inverse_sqrt, scalar_inverse_sqrt
from recbole_sheaf.sheaf.laplacian import (
    NORMALISATIONS,
    Sheaf,
    cellular_sheaf,
    coboundary,
    coboundary_transpose,
    dirichlet_energy,
    laplacian,
    normalise,
    stalk_degree,
)
from recbole_sheaf.sheaf.laplacian_blocks import LaplacianOptions, laplacian_blocks
from recbole_sheaf.sheaf.laplacian_matrix import (
    LaplacianPattern,
    laplacian_halves,
    laplacian_pattern,
    laplacian_values,
    sheaf_laplacian_matrix,
)
from recbole_sheaf.sheaf.orthogonal import ORTHOGONAL_MAPS, num_orthogonal_parameters, orthogonal_maps
from recbole_sheaf.sheaf.restriction_maps import (
    factored_maps,
    identity_maps,
    num_arc_parameters,
    orthonormal_columns,
    orthonormal_rows,
    wide_maps,
)

__all__ = [
    "NORMALISATIONS",
    "ORTHOGONAL_MAPS",
    "RESTRICTION_MAPS",
    "LaplacianOptions",
    "LaplacianPattern",
    "Sheaf",
    "UndirectedGraph",
    "both_directions",
    "cellular_sheaf",
    "coboundary",
    "coboundary_matrix",
    "coboundary_transpose",
    "dirichlet_energy",
    "factored_maps",
    "global_sections",
    "identity_maps",
    "laplacian",
    "laplacian_blocks",
    "laplacian_halves",
    "laplacian_pattern",
    "laplacian_values",
    "matrix_inverse_sqrt",
    "normalise",
    "num_arc_parameters",
    "num_orthogonal_parameters",
    "orthogonal_maps",
    "orthonormal_columns",
    "orthonormal_rows",
    "pair_arcs",
    "project_to_global_sections",
    "scalar_inverse_sqrt",
    "sheaf_laplacian_matrix",
    "stalk_degree",
    "undirected_graph",
    "wide_maps",
]

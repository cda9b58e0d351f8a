"""Sheaf diffusion for recommendation: torch modules on message passing, without datasets or config objects.

- :mod:`.message_passing`: a graph as arcs, and the sums over them, on DGL's kernels or on PyTorch's.
- :mod:`.normalised_laplacians`: Delta x for every map family, without a matrix and without anything (arcs, d, c).
- :mod:`.transports`: what its steps share where every arc has a matrix.
- :mod:`.sheaf_conv`, :mod:`.map_learners`: diffusion steps on them, and maps learnt from node features.
- :mod:`.reflections`: orthogonal maps at the nodes, applied and never multiplied out.
- :mod:`.item_sheaf`: maps between items, fitted in closed form, as a module.
- :mod:`.light_propagation`, :mod:`.arc_affinity`, :mod:`.edge_dropout`, :mod:`.modality_projection` and
  :mod:`.contrastive`: parts of the multimodal baselines; :mod:`.softmax_loss` and :mod:`.dropout`: parts of any model.
"""

from recbole_sheaf.layers.map_learners import ArcScales, HouseholderFrames
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.normalised_laplacians import (
    DELTAS,
    diagonal_delta,
    factored_delta,
    general_delta,
    identity_delta,
    orthogonal_delta,
    wide_delta,
)
from recbole_sheaf.layers.sheaf_conv import SheafConv
from recbole_sheaf.layers.transports import Transports

__all__ = [
    "DELTAS",
    "ArcGraph",
    "ArcScales",
    "HouseholderFrames",
    "SheafConv",
    "Transports",
    "diagonal_delta",
    "factored_delta",
    "general_delta",
    "identity_delta",
    "orthogonal_delta",
    "wide_delta",
]

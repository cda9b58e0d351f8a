r"""Steps of sheaf diffusion by message passing.

n nodes, d stalk dimension, c channels; a step takes the family's maps after the signal, as the family's function in
:mod:`recbole_sheaf.layers.normalised_laplacians` does: nothing for ``identity``; arc maps for ``diagonal``,
``orthogonal`` and ``general``, of the latter two also the :class:`~.transports.Transports` that several steps share;
scales and frames for ``factored``; frames for ``wide``.
"""

from typing import Union

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.normalised_laplacians import DELTAS
from recbole_sheaf.layers.transports import Transports


class SheafConv(nn.Module):
    r"""One explicit Euler step of sheaf diffusion, :math:`x' = x - \eta\, \Delta_F x`.

    With ``identity`` maps and step size 1 this is LightGCN's propagation (He et al. 2020,
    https://arxiv.org/abs/2002.02126), except that a node without arcs keeps its value.

    Args:
        family: a key of ``DELTAS``.
        step_size: :math:`\eta` in (0, 1]; the spectrum of the normalised Laplacian lies in [0, 2].

    Raises:
        ConfigError: on an unknown family or a step size outside (0, 1].

    Examples:
        >>> edge = ArcGraph.from_edges(torch.tensor([0]), torch.tensor([1]), num_nodes=3)
        >>> SheafConv("identity", step_size=0.5)(edge, torch.tensor([1.0, 5.0, 9.0]).view(3, 1, 1)).flatten()
        tensor([3., 3., 9.])
    """

    def __init__(self, family: str = "identity", step_size: float = 1.0):
        super().__init__()
        _check_family(family)
        if not 0 < step_size <= 1:
            raise ConfigError(f"step_size {step_size} is outside (0, 1], the stable range on a normalised Laplacian")
        self.family, self.step_size = family, step_size

    def forward(
        self, graph: ArcGraph, x: Float[Tensor, "n *dc"], *maps: Union[Tensor, Transports]
    ) -> Float[Tensor, "n *dc"]:
        """The signal after one step. Costs and errors are those of the family's function."""
        return torch.sub(x, DELTAS[self.family](graph, x, *maps), alpha=self.step_size)

    def extra_repr(self) -> str:
        return f"{self.family}, step_size={self.step_size}"


def _check_family(family: str) -> None:
    if family not in DELTAS:
        raise ConfigError(f"sheaf family {family!r} is unknown; choose one of {', '.join(DELTAS)}")

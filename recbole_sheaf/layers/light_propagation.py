"""LightGCN's propagation (He et al., SIGIR 2020, https://arxiv.org/abs/2002.02126): averages and nothing learnt."""

from jaxtyping import Float
from torch import Tensor, nn

from recbole_sheaf.layers.message_passing import ArcGraph


class LightPropagation(nn.Module):
    r"""Mean of :math:`x, Ax, \dots, A^L x` with :math:`A` the adjacency scaled to :math:`D^{-1/2} A D^{-1/2}`.

    The scale is folded into the nodes, so a step is one plain sum over neighbours. A node without arcs receives zeros.

    Examples:
        >>> import torch
        >>> graph = ArcGraph(torch.tensor([0, 1]), torch.tensor([1, 0]), num_nodes=3, backend="torch")
        >>> LightPropagation(graph, num_layers=1)(torch.tensor([[1.0], [3.0], [6.0]])).flatten()
        tensor([2., 2., 3.])
    """

    scale: Tensor

    def __init__(self, graph: ArcGraph, num_layers: int) -> None:
        super().__init__()
        self.graph, self.num_layers = graph, num_layers
        scale = graph.in_degrees.clamp(min=1).float().rsqrt().unsqueeze(1)
        self.register_buffer("scale", scale, persistent=False)

    def step(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """One step, :math:`D^{-1/2} A D^{-1/2} x`. Time O(arcs f)."""
        return self.scale * self.graph.sum_neighbours(self.scale * x)

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """Mean over the layers, the input counted as the first."""
        total = x
        for _ in range(self.num_layers):
            x = self.step(x)
            total = total + x
        return total / (self.num_layers + 1)

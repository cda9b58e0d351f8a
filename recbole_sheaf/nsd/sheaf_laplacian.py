"""The sheaf Laplacians of one graph as a module: structure once, values in every step."""

from typing import Optional

from jaxtyping import Float
from torch import Tensor, nn

from recbole_sheaf.nsd.diffusion_settings import DiffusionSettings
from recbole_sheaf.nsd.symmetric_product import SymmetricProduct
from recbole_sheaf.sheaf import (
    UndirectedGraph,
    identity_maps,
    laplacian_blocks,
    laplacian_halves,
    laplacian_pattern,
    orthogonal_maps,
)


class SheafLaplacian(nn.Module):
    """Laplacians of one graph: structure laid out once, values from maps in every step, and products with signals."""

    arcs: Tensor
    reverse: Tensor
    upper: Tensor

    def __init__(self, graph: UndirectedGraph, settings: DiffusionSettings):
        super().__init__()
        self.settings, self.options = settings, settings.laplacian_options
        self.num_nodes, self.paired = graph.num_nodes, graph.paired
        for name in ("arcs", "reverse", "upper"):
            self.register_buffer(name, getattr(graph, name), persistent=False)
        pattern = laplacian_pattern(graph, settings.stalk_dim, settings.restriction_map, self.options)
        self.product = SymmetricProduct(pattern)

    @property
    def graph(self) -> UndirectedGraph:
        """The graph, on the device of the module."""
        return UndirectedGraph(self.num_nodes, self.arcs, self.reverse, self.upper, self.paired)

    def values(
        self, learnt: Float[Tensor, "a ..."], edge_weight: Optional[Float[Tensor, "a 1"]] = None
    ) -> tuple[Float[Tensor, " upper"], Float[Tensor, " diagonal"]]:
        """Laplacian of what a learner gave, diagonals, matrices or orthogonal parameters, as halves of its values."""
        settings, graph = self.settings, self.graph
        if settings.restriction_map == "orthogonal":
            learnt = orthogonal_maps(learnt, settings.stalk_dim, settings.orthogonal_map)
        blocks = laplacian_blocks(graph, learnt, settings.restriction_map, self.options, edge_weight)
        return laplacian_halves(graph, *blocks, self.options)

    def identity_values(self, like: Tensor) -> tuple[Float[Tensor, " upper"], Float[Tensor, " diagonal"]]:
        """Laplacian of identity maps, a constant of the graph."""
        return self.values(identity_maps(self.arcs.shape[1], self.settings.stalk_dim, like=like))

"""Averages over an item's nearest neighbours in content, one frozen graph per modality.

A frozen item-item graph was found better than a learnt one (FREEDOM, Zhou & Shen 2023, https://arxiv.org/abs/2211.06924).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Optional

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from recbole_sheaf.data import cached_knn_arcs
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.message_passing import ArcGraph


class ItemGraph(nn.Module):
    r"""``L`` rounds of :math:`y_i \leftarrow \sum_m w_{i,m} \, \mathrm{mean}_{j \in kNN_m(i)} y_j`.

    The weights are a softmax over trainable numbers, one per modality, among the modalities in which item i has a
    row; an item without any row keeps zeros.
    """

    degrees: Tensor
    reached: Tensor

    def __init__(
        self,
        modalities: Mapping[str, ModalityFeatures],
        neighbours: int,
        num_layers: int,
        cache_dir: Path,
        backend: str = "auto",
        device: Optional[torch.device] = None,
    ) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.graphs = [knn_graph(features, neighbours, cache_dir, backend, device) for features in modalities.values()]
        self.trust = nn.Parameter(torch.zeros(len(self.graphs))) if len(self.graphs) > 1 else None
        degrees = torch.stack([graph.in_degrees.float() for graph in self.graphs])
        self.register_buffer("degrees", degrees.clamp(min=1), persistent=False)
        self.register_buffer("reached", degrees > 0, persistent=False)

    def forward(self, y: Float[Tensor, "n_items f"]) -> Float[Tensor, "n_items f"]:
        """Neighbourhood means; time O(M k n_items f) per round."""
        weights = self.weights()
        for _ in range(self.num_layers):
            means = (
                (weights[m] / self.degrees[m]).unsqueeze(1) * graph.sum_neighbours(y)
                for m, graph in enumerate(self.graphs)
            )
            y = sum(means, y.new_zeros(()))
        return y

    def weights(self) -> Float[Tensor, "M n_items"]:
        """How much each item takes from each modality's neighbours; columns sum to 1, or to 0 without content."""
        return self.reached.float() if self.trust is None else modality_shares(self.trust, self.reached)


def modality_shares(logits: Float[Tensor, " M"], has: Bool[Tensor, "M n_items"]) -> Float[Tensor, "M n_items"]:
    """Softmax over the modalities that each item has; zeros where it has none."""
    masked = logits.unsqueeze(1).masked_fill(~has, -torch.inf)
    return torch.nan_to_num(torch.softmax(masked.masked_fill(~has.any(dim=0), 0.0), dim=0)) * has


def knn_graph(
    features: ModalityFeatures, neighbours: int, cache_dir: Path, backend: str, device: Optional[torch.device]
) -> ArcGraph:
    """Directed arcs into each present item from its nearest in content, not counting itself."""
    src, dst, _ = cached_knn_arcs(features, neighbours, cache_dir)
    return ArcGraph(
        torch.from_numpy(src),
        torch.from_numpy(dst),
        len(features.matrix),
        backend=backend,
        device=device,
        undirected=False,
    )

"""What items receive of one another: along frozen graphs of content, or along the arcs of an item sheaf.

A frozen item-item graph was found better than a learnt one (FREEDOM, Zhou & Shen 2023, https://arxiv.org/abs/2211.06924).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from recbole_sheaf.data import cached_knn_arcs
from recbole_sheaf.data.co_choice import co_choice_lift
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.item_sheaf import ItemSheaf
from recbole_sheaf.layers.message_passing import ArcGraph

LEAST_SHARE = 0.02  # of the first modality's


class ItemGraph(nn.Module):
    r"""``L`` rounds of :math:`y_i \leftarrow \sum_m w_{i,m} \, \mathrm{mean}_{j \in kNN_m(i)} y_j`.

    The weights are a softmax over trainable numbers, one per modality, among the modalities in which item i has a
    row; an item without any row keeps zeros. They start as ``shares``, or equal.
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
        shares: Optional[Sequence[float]] = None,
    ) -> None:
        super().__init__()
        self.num_layers, self.neighbours = num_layers, neighbours
        self.graphs = [knn_graph(features, neighbours, cache_dir, backend, device) for features in modalities.values()]
        start = torch.zeros(len(self.graphs)) if shares is None else torch.tensor(shares).log()
        self.trust = nn.Parameter(start) if len(self.graphs) > 1 else None
        degrees = torch.stack([graph.in_degrees.float() for graph in self.graphs])
        self.register_buffer("degrees", degrees.clamp(min=1), persistent=False)
        self.register_buffer("reached", degrees > 0, persistent=False)

    def forward(self, y: Float[Tensor, "n_items f"]) -> Float[Tensor, "n_items f"]:
        """Neighbourhood means; time O(M k n_items f) per round."""
        return self._rounds(y, self.num_layers)

    def _rounds(self, y: Float[Tensor, "n_items f"], count: int) -> Float[Tensor, "n_items f"]:
        weights = self.weights()
        for _ in range(count):
            means = (
                (weights[m] / self.degrees[m]).unsqueeze(1) * graph.sum_neighbours(y)
                for m, graph in enumerate(self.graphs)
            )
            y = sum(means, y.new_zeros(()))
        return y

    def for_new_items(
        self,
        catalogue: Mapping[str, ModalityFeatures],
        rows: Mapping[str, ModalityFeatures],
        y: Float[Tensor, "n_items f"],
    ) -> Float[Tensor, "k f"]:
        """What k items that are not on the graph receive of their nearest in the catalogue, which stays as it is.

        Args:
            catalogue: content of the items on the graph.
            rows: the same modalities of the new items, a row of padding first.
            y: what the items on the graph hold.

        Time O(k n_items dim), memory O(k n_items).
        """
        y = self._rounds(y, self.num_layers - 1)
        means, reached = [], []
        for name, own in catalogue.items():
            new = rows[name]
            similarity = normalize(new.matrix[1:]).to(y) @ normalize(own.matrix).to(y).mT
            similarity[:, ~own.present] = -torch.inf
            near = similarity.topk(min(self.neighbours, int(own.present.sum())), dim=1).indices
            means.append(y[near].mean(dim=1))
            reached.append(new.present[1:].to(y.device))
        has = torch.stack(reached)
        weights = has.to(y) if self.trust is None else modality_shares(self.trust, has)
        return (weights.unsqueeze(2) * torch.stack(means)).sum(dim=0)

    def weights(self) -> Float[Tensor, "M n_items"]:
        """How much each item takes from each modality's neighbours; columns sum to 1, or to 0 without content."""
        return self.reached.float() if self.trust is None else modality_shares(self.trust, self.reached)


class SimilarityGraph(nn.Module):
    r"""Sums over an item and its k nearest in content, :math:`y = D^{-1/2} S D^{-1/2} x`.

    :math:`S_{ij}` is the cosine of i with a nearest item j, :math:`S_{ii} = 1`, and D sums the rows of S. The k
    nearest are not always mutual, so S is not symmetric. Cosines below 0 count as 0. An item without a row gets zeros.
    """

    own: Tensor
    weights: Tensor

    def __init__(
        self, features: ModalityFeatures, neighbours: int, cache_dir: Path, backend: str, device: torch.device
    ) -> None:
        super().__init__()
        src, dst, cosine = (torch.from_numpy(array) for array in cached_knn_arcs(features, neighbours, cache_dir))
        cosine, alone = cosine.clamp(min=0), features.present.float()
        scale = alone.index_add(0, dst, cosine).clamp(min=1).rsqrt()
        n_items = len(features.matrix)
        self.graph = ArcGraph(src, dst, n_items, backend=backend, device=device, undirected=False)
        self.register_buffer("own", (scale * scale * alone).unsqueeze(1), persistent=False)
        self.register_buffer("weights", (scale[dst] * cosine * scale[src]).view(-1, 1, 1), persistent=False)

    def forward(self, x: Float[Tensor, "n_items f"]) -> Float[Tensor, "n_items f"]:
        return self.own * x + self.graph.weighted_sum(x.unsqueeze(1), self.weights).squeeze(1)


class ItemSheafGraph(nn.Module):
    r"""``L`` rounds of :math:`y_i \leftarrow \sum_j B_{ji} y_j / \sum_j |B_{ji}|` over the K largest |B_ji| into i.

    Stalks diffuse along the sheaf on the items by the maps that carry histories there: a message is multiplied by the
    product of the scalar maps of its two ends, whose sign says whether liking j speaks for i or against it. An item
    into which nothing is carried keeps zeros.

    Args:
        sheaf: fitted; nothing of it is trained.
        neighbours: K.
        num_layers: L.
    """

    weights: Tensor

    def __init__(
        self,
        sheaf: ItemSheaf,
        neighbours: int,
        num_layers: int,
        backend: str = "auto",
        device: Optional[torch.device] = None,
    ) -> None:
        super().__init__()
        self.num_layers = num_layers
        near, coefficients = (each.cpu() for each in sheaf.item_vectors(min(neighbours, sheaf.n_items - 1)))
        here = torch.arange(len(near)).unsqueeze(1)
        item, place = ((near >= 0) & (near != here) & (coefficients != 0)).nonzero(as_tuple=True)
        values = coefficients[item, place].float()
        total = torch.zeros(len(near)).index_add(0, item, values.abs())
        self.graph = ArcGraph(near[item, place], item, len(near), backend=backend, device=device, undirected=False)
        self.register_buffer("weights", (values / total[item]).view(-1, 1, 1).to(self.graph.device), persistent=False)

    def forward(self, y: Float[Tensor, "n_items f"]) -> Float[Tensor, "n_items f"]:
        """Signed means; time O(K n_items f) per round."""
        for _ in range(self.num_layers):
            y = self.graph.weighted_sum(y.unsqueeze(1).contiguous(), self.weights.to(y.dtype)).squeeze(1)
        return y


def shares_by_choice(
    modalities: Mapping[str, ModalityFeatures], dataset: Any, neighbours: int, cache_dir: Path
) -> list[float]:
    r"""Shares of the modalities in proportion to :math:`(\ell_m - 1)^2`, on training interactions alone.

    :math:`\ell_m` is the lift of choices among nearest items in modality m, see :mod:`recbole_sheaf.data.co_choice`.
    One whose neighbours are chosen together no more often than by chance still has ``LEAST_SHARE`` of what the first
    has, so that it can be learnt; where this is true of all, the shares are equal.
    """
    users, items = (dataset.inter_feat[field].numpy() for field in (dataset.uid_field, dataset.iid_field))
    parts = []
    for features in modalities.values():
        src, dst, _ = cached_knn_arcs(features, neighbours, cache_dir)
        lift = co_choice_lift(src, dst, users, items, dataset.user_num, dataset.item_num)
        parts.append(max(lift - 1.0, 0.0) ** 2)
    parts = [max(part, LEAST_SHARE * max(parts)) or 1.0 for part in parts]
    return [part / sum(parts) for part in parts]


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

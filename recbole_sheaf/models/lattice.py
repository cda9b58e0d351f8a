r"""LATTICE: latent structures of items mined from content (Zhang et al., ACM MM 2021, https://arxiv.org/abs/2104.09036).

Notation: users and items are the n nodes, x their ID embeddings, f wide, M the number of modalities. In modality m,
:math:`S_m` joins an item to its k most similar in content and :math:`\tilde{A}_m` to its k most similar in content as a
trained map sees it, both weighted by the cosine and scaled to :math:`D^{-1/2} S D^{-1/2}`. The latent item graph is
:math:`A = \sum_m \alpha_m (\lambda S_m + (1 - \lambda) \tilde{A}_m)` with trained :math:`\alpha`.
"""

from dataclasses import dataclass
from typing import Any, Optional

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.arc_affinity import arc_affinity
from recbole_sheaf.layers.light_propagation import LightPropagation
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.modality_projection import ModalityProjection
from recbole_sheaf.layers.module_list import ModuleList
from recbole_sheaf.models.item_graph import SimilarityGraph, modality_shares
from recbole_sheaf.models.multimodal import MultimodalRecommender, refuse_no_modality, xavier
from recbole_sheaf.settings.config import ModelSettings, cache_folder
from recbole_sheaf.settings.rules import setting
from recbole_sheaf.settings.vocabulary import BACKENDS

CHUNK_ENTRIES = 1 << 24  # similarities held at once


@dataclass(frozen=True)
class LATTICESettings(ModelSettings):
    """Settings of LATTICE; every field is a key of ``properties/model/LATTICE.yaml``."""

    embedding_size: int = setting(64, low=1)
    n_layers: int = setting(2, low=0)
    item_graph_neighbours: int = setting(10, low=2)
    item_graph_layers: int = setting(1, low=1)
    skip_weight: float = setting(0.9, low=0, high=1)
    reg_weight: float = setting(0.001, low=0)
    message_passing: str = setting("auto", choices=BACKENDS)


class LearntGraph(nn.Module):
    r"""One modality's :math:`\tilde{A}` from :math:`\tilde{h}_i = W c_i + b`, and its product with a signal.

    Who is whose neighbour follows the map when :meth:`forget` has been called; how much a neighbour weighs, and with it
    the gradient, follows the map always. Cosines below 0 count as 0, and 1 is the item's own.
    """

    def __init__(self, features: ModalityFeatures, neighbours: int, size: int, backend: str) -> None:
        super().__init__()
        self.neighbours, self.backend = neighbours, backend
        self.project = ModalityProjection(features.matrix, features.present, size)
        self._graph: Optional[ArcGraph] = None

    def forget(self) -> None:
        """Look for the neighbours again when they are next needed."""
        self._graph = None

    def forward(self, x: Float[Tensor, "n_items f"]) -> Float[Tensor, "n_items f"]:
        """Time O(n_items dim size + k n_items f), and once after :meth:`forget` O(n_items^2 size)."""
        h = normalize(self.project())
        if self._graph is None:
            self._graph = nearest_graph(h.detach(), self.project.present.squeeze(1), self.neighbours, self.backend)
        cosine = relu(arc_affinity(self._graph, h, h))
        own = self.project.present.to(x.dtype)
        scale = (own + self._graph.sum_arcs(cosine.unsqueeze(1))).clamp(min=1).rsqrt()
        x = scale * x
        return scale * (own * x + self._graph.weighted_sum(x.unsqueeze(1), cosine.view(-1, 1, 1)).squeeze(1))


def nearest_graph(h: Float[Tensor, "n_items f"], present: Bool[Tensor, " n_items"], k: int, backend: str) -> ArcGraph:
    """Directed arcs into each present item from the k others of largest inner product, all where there are fewer.

    Time O(n_items^2 f); 64 MB of similarities are held at once, never all.
    """
    items = present.nonzero().squeeze(1)
    k = max(min(k, len(items) - 1), 0)
    rows, step = h[items], max(1, CHUNK_ENTRIES // max(len(items), 1))
    near = [_nearest(rows, start, step, k) for start in range(0, len(items), step)]
    src = items[torch.cat(near).flatten()] if near else items
    return ArcGraph(src, items.repeat_interleave(k), len(h), backend=backend, undirected=False)


def _nearest(rows: Tensor, start: int, step: int, k: int) -> Tensor:
    similarity = rows[start : start + step] @ rows.T
    similarity.diagonal(start).fill_(-torch.inf)  # no item is its own neighbour
    return similarity.topk(k).indices


class LATTICE(MultimodalRecommender):
    r"""LightGCN, to whose items :math:`A^L x / |A^L x|` is added, the items' ID embeddings on the latent item graph.

    The loss is BPR with an L2 penalty on the batch's ID embeddings. As in the published code an item is among its own k
    most similar and the first collaborative part is trained with the rest. The code learns the graph in the first batch
    of an epoch and gives it no gradient in the others. Here an epoch's first batch finds the neighbours, and every
    batch weighs them, with gradient; ranking finds them anew. So nothing of n_items^2 is kept, and a stopped training
    can go on. Where the code's interaction graph is :math:`D^{-1}(A + I)`, which is not symmetric, we take LightGCN's.
    Content stays as given, at unit length (the code trains the feature vectors themselves). An item without a row in a
    modality is not in that modality's graphs, and its weight falls to the others.
    """

    settings_class = LATTICESettings
    present: Tensor

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = LATTICESettings.from_recbole(config)
        refuse_no_modality(self)
        self.skip_weight, self.reg_weight = settings.skip_weight, settings.reg_weight
        self.item_graph_layers, size = settings.item_graph_layers, settings.embedding_size
        self.id_embedding = xavier(self.n_users + self.n_items, size)
        self.propagate = LightPropagation(self.graph, settings.n_layers)
        others, backend = settings.item_graph_neighbours - 1, settings.message_passing
        self.given = nn.ModuleList(
            SimilarityGraph(features, others, cache_folder(config), backend, config["device"])
            for features in self.modalities.values()
        )
        self.learnt: ModuleList[LearntGraph] = ModuleList(
            LearntGraph(features, others, size, backend) for features in self.modalities.values()
        )
        self.trust = nn.Parameter(torch.zeros(len(self.learnt))) if len(self.learnt) > 1 else None
        present = torch.stack([features.present for features in self.modalities.values()])
        self.register_buffer("present", present, persistent=False)

    def train(self, mode: bool = True) -> "LATTICE":
        """Switch between training and evaluation; either way neighbours are looked for again."""
        self.forget_neighbours()
        return super().train(mode)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load parameters and forget the neighbours that other ones found."""
        self.forget_neighbours()
        return super().load_state_dict(*args, **kwargs)

    def forget_neighbours(self) -> None:
        """Look for neighbours in the learnt graphs again when they are next needed."""
        for graph in self.learnt:
            graph.forget()

    def shares(self) -> Float[Tensor, "M n_items 1"]:
        """The weight of each modality for each item, among those it has."""
        if self.trust is None:
            return self.present.float().unsqueeze(2)
        return modality_shares(self.trust, self.present).unsqueeze(2)

    def latent(self, x: Float[Tensor, "n_items f"]) -> Float[Tensor, "n_items f"]:
        """Rounds of ``A x``."""
        shares, skip = self.shares(), self.skip_weight
        for _ in range(self.item_graph_layers):
            mixed = [skip * given(x) + (1 - skip) * learnt(x) for given, learnt in zip(self.given, self.learnt)]
            x = sum(share * each for share, each in zip(shares, mixed))
        return x

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """LightGCN's users and items, items with what the latent graph says at unit length."""
        x = self.propagate(self.id_embedding)
        return x[: self.n_users], x[self.n_users :] + normalize(self.latent(self.id_embedding[self.n_users :]))

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """The ranking loss and the penalty."""
        triples = self.triples(interaction)
        loss = self.ranking_loss(*self.forward(), triples)
        return loss + self.penalty(self.reg_weight, triples, self.id_embedding)

r"""GRCN: Graph-Refined Convolutional Network (Wei et al., ACM MM 2020, https://doi.org/10.1145/3394171.3413556).

Notation: users and items are the n nodes, f is the embedding size, M the number of modalities, and p_v a node's vector
in one modality: a user's *prototype*, found by routing over their items, or an item's content. An arc u -> v has the
affinity :math:`a_{uv} = \mathrm{softmax}_u\, p_u \cdot p_v` over the arcs into v. The graph is *refined*: an arc that
no modality speaks for is cut, the others weigh as much as the modality that speaks for them most.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, normalize, relu

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.arc_affinity import arc_affinity
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.modality_projection import ModalityProjection
from recbole_sheaf.layers.module_list import ModuleList
from recbole_sheaf.models.multimodal import MultimodalRecommender, refuse_no_modality
from recbole_sheaf.settings.config import ModelSettings
from recbole_sheaf.settings.rules import setting
from recbole_sheaf.settings.vocabulary import BACKENDS


@dataclass(frozen=True)
class GRCNSettings(ModelSettings):
    """Settings of GRCN; every field is a key of ``properties/model/GRCN.yaml``."""

    embedding_size: int = setting(64, low=1)
    n_layers: int = setting(2, low=1)
    n_routings: int = setting(1, low=0)
    prune: bool = setting(True)
    fusion: str = setting("concat", choices=("concat", "id"))
    reg_weight: float = setting(0.03, low=0)
    message_passing: str = setting("auto", choices=BACKENDS)


class ModalityRouting(nn.Module):
    """One modality's prototypes, its affinities on the arcs, and what its nodes say."""

    def __init__(self, features: ModalityFeatures, n_users: int, size: int, n_routings: int) -> None:
        super().__init__()
        self.n_routings = n_routings
        self.project = ModalityProjection(features.matrix, features.present, size)
        self.preference = nn.Parameter(nn.init.xavier_normal_(torch.empty(n_users, size)))

    def forward(self, graph: ArcGraph, toward_users: ArcGraph) -> tuple[Float[Tensor, "n f"], Float[Tensor, " arcs"]]:
        """What the nodes say, p plus what their neighbours send by affinity, and the affinities."""
        p = self.prototypes(toward_users)
        received, affinity = attend(graph, p)
        return p + leaky_relu(received), affinity

    def prototypes(self, toward_users: ArcGraph) -> Float[Tensor, "n f"]:
        r"""Rounds of :math:`p_u \leftarrow p_u + \sum_i a_{iu} p_i` for users, each on the unit sphere."""
        items = normalize(leaky_relu(self.project()))
        users = normalize(self.preference)
        for _ in range(self.n_routings):
            received, _ = attend(toward_users, torch.cat([users, items]))
            users = normalize(users + received[: len(users)])
        return torch.cat([users, items])


def attend(graph: ArcGraph, p: Float[Tensor, "n f"]) -> tuple[Float[Tensor, "n f"], Float[Tensor, " arcs"]]:
    r""":math:`\sum_u a_{uv} p_u` at each node v, and the affinities a. Time O(arcs f)."""
    affinity = graph.softmax_arcs(arc_affinity(graph, p, p).unsqueeze(1))
    return graph.weighted_sum(p.unsqueeze(1), affinity.unsqueeze(2)).squeeze(1), affinity.squeeze(1)


class GRCN(MultimodalRecommender):
    """ID embeddings convolved on the refined graph, beside what each modality says; BPR and an L2 penalty.

    The output concatenates ID embeddings and modalities, as in the paper; with ``fusion: id`` content refines the
    graph and does nothing else, the better choice where content alone ranks badly. An arc weighs
    ``relu(max_m a_m c_m)`` with c_m the trainable confidence of the arc's source in modality m.

    We follow the paper where the published code departs from it: layers of ID embeddings are plain weighted sums,
    of no unit length and without activation, their number is a setting, and the code's confidence loss, which it
    computes and drops, is absent. Confidences start at 1, so that training starts from the affinities and not from
    random cuts. Routing puts the items of the batch into their users' prototypes, so more of it fits training and
    not validation: we take one round. An item without a row in a modality is a zero there: it fits every user
    equally, neither well nor badly.
    """

    settings_class = GRCNSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = GRCNSettings.from_recbole(config)
        refuse_no_modality(self)
        self.n_layers, self.prune, self.reg_weight = settings.n_layers, settings.prune, settings.reg_weight
        self.fusion = settings.fusion
        n, size = self.n_users + self.n_items, settings.embedding_size
        self.id_embedding = nn.Parameter(nn.init.xavier_normal_(torch.empty(n, size)))
        self.confidence = nn.Parameter(torch.ones(n, len(self.modalities)))
        self.routings: ModuleList[ModalityRouting] = ModuleList(
            ModalityRouting(features, self.n_users, size, settings.n_routings) for features in self.modalities.values()
        )
        self.toward_users = self._toward_users(settings.message_passing)

    def _toward_users(self, backend: str) -> ArcGraph:
        """The arcs into users alone, over which prototypes are found."""
        arcs = self.graph.dst < self.n_users
        src, dst = self.graph.src[arcs], self.graph.dst[arcs]
        return ArcGraph(src, dst, self.graph.num_nodes, backend=backend, undirected=False)

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Identity and modalities side by side."""
        said, affinities = zip(*(routing(self.graph, self.toward_users) for routing in self.routings))
        id_embedding = self.convolve(self.refined_weights(torch.stack(affinities, dim=1)))
        x = torch.cat([id_embedding, *said], dim=1) if self.fusion == "concat" else id_embedding
        return x[: self.n_users], x[self.n_users :]

    def refined_weights(self, affinities: Float[Tensor, "arcs M"]) -> Float[Tensor, " arcs"]:
        """What the modality most in favour of an arc gives it; nothing if even that one is against it."""
        nothing = torch.zeros_like(self.confidence)
        of_source = self.graph.add_ends(self.confidence, nothing)  # a gather whose gradient is one sparse product
        strongest = (affinities * of_source).amax(dim=1)
        return relu(strongest) if self.prune else strongest

    def convolve(self, weights: Float[Tensor, " arcs"]) -> Float[Tensor, "n f"]:
        """ID embeddings plus the layers' weighted sums of neighbours."""
        x: Tensor = self.id_embedding
        total = x
        for _ in range(self.n_layers):
            x = self.graph.weighted_sum(x.unsqueeze(1), weights.view(-1, 1, 1)).squeeze(1)
            total = total + x
        return total

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """The ranking loss and the penalty on the batch's ID embeddings and preferences."""
        triples = self.triples(interaction)
        preferences = [routing.preference for routing in self.routings]
        loss = self.ranking_loss(*self.forward(), triples)
        return loss + self.penalty(self.reg_weight, triples, self.id_embedding, preferences)

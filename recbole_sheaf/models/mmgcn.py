"""MMGCN: a graph convolution network per modality (Wei et al., ACM MM 2019, https://doi.org/10.1145/3343031.3351034)."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, normalize

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.module_list import ModuleList
from recbole_sheaf.models.multimodal import MultimodalRecommender, refuse_no_modality
from recbole_sheaf.settings.config import ModelSettings
from recbole_sheaf.settings.rules import setting
from recbole_sheaf.settings.vocabulary import BACKENDS
from recbole_sheaf.sheaf.unit_length import unit_length


@dataclass(frozen=True)
class MMGCNSettings(ModelSettings):
    """Settings of MMGCN; every field is a key of ``properties/model/MMGCN.yaml``."""

    embedding_size: int = setting(64, low=1)
    n_layers: int = setting(2, low=1)
    aggregate_concat: bool = setting(False)
    train_id_embeddings: bool = setting(True)
    reg_weight: float = setting(0.001, low=0)
    message_passing: str = setting("auto", choices=BACKENDS)


class ModalityConv(nn.Module):
    r"""One layer of one modality's network, :math:`x' = \rho(W_3 h + \hat{x})`.

    :math:`h = \rho(W_1 \, \mathrm{mean}_{w \sim v} x_w)` is what the neighbours say (the paper's equation 2, mean
    aggregation) and :math:`\hat{x} = \rho(W_2 x) + id` ties the modalities together (equations 3 and 4);
    :math:`\rho` is a leaky ReLU. ``concat`` joins the two instead of adding them (equation 3).
    """

    def __init__(self, in_size: int, out_size: int, concat: bool) -> None:
        super().__init__()
        self.concat = concat
        self.aggregate = nn.Linear(in_size, in_size, bias=False)
        self.self_loop = nn.Linear(in_size, out_size)
        self.combine = nn.Linear(in_size + out_size if concat else in_size, out_size)
        for linear in (self.aggregate, self.self_loop, self.combine):
            nn.init.xavier_normal_(linear.weight)

    def forward(
        self, graph: ArcGraph, x: Float[Tensor, "n in"], id_embedding: Float[Tensor, "n out"]
    ) -> Float[Tensor, "n out"]:
        neighbours = graph.sum_neighbours(x) / graph.in_degrees.clamp(min=1).unsqueeze(1)
        h = leaky_relu(self.aggregate(neighbours))
        x_hat = leaky_relu(self.self_loop(x)) + id_embedding
        if self.concat:
            return leaky_relu(self.combine(torch.cat([h, x_hat], dim=1)))
        return leaky_relu(self.combine(h) + x_hat)


class ModalityNetwork(nn.Module):
    """One modality's network: users start from a free preference, items from their content."""

    content: Tensor
    present: Tensor

    def __init__(self, features: ModalityFeatures, n_users: int, size: int, n_layers: int, concat: bool) -> None:
        super().__init__()
        self.register_buffer("content", unit_length(features.matrix), persistent=False)
        self.register_buffer("present", features.present.unsqueeze(1), persistent=False)
        self.preference = nn.Parameter(nn.init.xavier_normal_(torch.empty(n_users, size)))
        self.project = nn.Linear(features.dim, size)
        self.layers = nn.ModuleList(ModalityConv(size, size, concat) for _ in range(n_layers))

    def forward(self, graph: ArcGraph, id_embedding: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        items = self.project(self.content) * self.present
        x = normalize(torch.cat([self.preference, items]))
        for layer in self.layers:
            x = layer(graph, x, id_embedding)
        return x


class MMGCN(MultimodalRecommender):
    """Users and items are the mean over modalities of what each modality's network says.

    We follow the paper where the published code departs from it: the number of layers and the way to aggregate are
    settings, every modality is projected to the same width, and scores come from a full forward pass and not from the
    last batch's. ID embeddings and preferences are trained, as the paper says; in the published code they never reach
    the optimiser, and ``train_id_embeddings: False`` leaves them at their random start likewise, so that only the
    linear maps learn. An item without a row in a modality starts as zeros there.
    """

    settings_class = MMGCNSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = MMGCNSettings.from_recbole(config)
        self.reg_weight = settings.reg_weight
        size = settings.embedding_size
        refuse_no_modality(self)
        self.id_embedding = nn.Parameter(nn.init.xavier_normal_(torch.empty(self.n_users + self.n_items, size)))
        self.networks: ModuleList[ModalityNetwork] = ModuleList(
            ModalityNetwork(features, self.n_users, size, settings.n_layers, settings.aggregate_concat)
            for features in self.modalities.values()
        )
        for free in (self.id_embedding, *(network.preference for network in self.networks)):
            free.requires_grad_(settings.train_id_embeddings)

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Mean over modalities, equation 6 of the paper."""
        outputs: list[Tensor] = [network(self.graph, self.id_embedding) for network in self.networks]
        x = torch.stack(outputs).mean(dim=0)
        return x[: self.n_users], x[self.n_users :]

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """The ranking loss and an L2 penalty on ID embeddings and preferences."""
        triples = self.triples(interaction)
        preferences = [network.preference for network in self.networks]
        loss = self.ranking_loss(*self.forward(), triples)
        return loss + self.penalty(self.reg_weight, triples, self.id_embedding, preferences)

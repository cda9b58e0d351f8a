r"""VBPR: visual Bayesian personalised ranking (He & McAuley, AAAI 2016, https://arxiv.org/abs/1510.01784).

Notation: :math:`\gamma` are free vectors of users and items, :math:`\theta_u` a user's vector in the space of content,
:math:`f_i` an item's content with its modalities side by side, E the map of content into that space, :math:`\beta_i` an
item's bias and :math:`\beta'` the bias of content.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.models.multimodal import ContentRecommender, refuse_no_modality, xavier
from recbole_sheaf.models.score_factors import PlacedItems, ScoreFactors
from recbole_sheaf.models.softmax_ranking import ranked_factors
from recbole_sheaf.settings.config import ModelSettings
from recbole_sheaf.settings.rules import setting
from recbole_sheaf.sheaf.unit_length import unit_length


@dataclass(frozen=True)
class VBPRSettings(ModelSettings):
    """Settings of VBPR; every field is a key of ``properties/model/VBPR.yaml``."""

    embedding_size: int = setting(64, low=1)
    content_size: int = setting(64, low=1)
    reg_weight: float = setting(0.1, low=0)
    content_reg_weight: float = setting(0.1, low=0)


class VBPR(ContentRecommender):
    r"""Matrix factorisation beside content, with BPR.

    .. math:: x_{ui} = \beta_i + \gamma_u \cdot \gamma_i + \theta_u \cdot E f_i + \beta' \cdot f_i;

    the paper's global and user biases cancel in the ranking. One L2 penalty is on the batch's vectors and biases,
    another on E and :math:`\beta'`, which every item shares. With several modalities :math:`f_i` joins their rows, each
    at unit length, as a common reimplementation does; we keep the paper's two item biases, which that one leaves out,
    and no bias of E. No graph is built. A missing row is zeros in :math:`f_i`: that modality says nothing of the item.
    Under ``loss: softmax`` both biases are one more coordinate of the vectors whose cosine counts.
    """

    settings_class = VBPRSettings
    splits_batches = True
    content: Tensor

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = VBPRSettings.from_recbole(config)
        refuse_no_modality(self, instead="BPR")
        self.reg_weight, self.content_reg_weight = settings.reg_weight, settings.content_reg_weight
        rows = [unit_length(features.matrix) for features in self.modalities.values()]
        self.register_buffer("content", torch.cat(rows, dim=1), persistent=False)
        self.user_factors = xavier(self.n_users, settings.embedding_size)
        self.item_factors = xavier(self.n_items, settings.embedding_size)
        self.user_content_factors = xavier(self.n_users, settings.content_size)
        self.content_map = xavier(self.content.shape[1], settings.content_size)
        self.item_bias = nn.Parameter(torch.zeros(self.n_items, 1))
        self.content_bias = nn.Parameter(torch.zeros(self.content.shape[1], 1))

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Factors, content factors and bias side by side, so that inner products are the scores."""
        users = torch.cat([self.user_factors, self.user_content_factors, torch.ones_like(self.user_factors[:, :1])], 1)
        bias = self.item_bias + self.content @ self.content_bias
        return users, torch.cat([self.item_factors, self.content @ self.content_map, bias], dim=1)

    def score_factors(self) -> ScoreFactors:
        """The embeddings, their columns by what they hold."""
        widths = {"factors": self.item_factors.shape[1], "content": self.content_map.shape[1], "bias": 1}
        return ranked_factors(self, list(widths.items()))

    def place(self, modalities: Mapping[str, ModalityFeatures]) -> PlacedItems:
        """By their content, without a free vector or a bias of their own."""
        rows = [unit_length(features.matrix[1:]) for features in modalities.values()]
        content = torch.cat(rows, dim=1).to(self.content)
        free = content.new_zeros(len(content), self.item_factors.shape[1])
        items = torch.cat([free, content @ self.content_map, content @ self.content_bias], dim=1)
        vectors = items if self.softmax is None else normalize(items)
        return PlacedItems(vectors, vectors)

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """The ranking loss and the penalty."""
        users, chosen, sampled = self.triples(interaction)
        loss = self.ranking_loss(*self.forward(), (users, chosen, sampled))
        items = torch.cat([chosen, sampled])
        of_users = sum(self.squared_norms(users, each) for each in (self.user_factors, self.user_content_factors))
        penalty = of_users + sum(self.squared_norms(items, each) for each in (self.item_factors, self.item_bias))
        shared = self.content_map.square().sum() + self.content_bias.square().sum()
        return loss + (self.reg_weight * penalty / max(len(users), 1) + self.content_reg_weight * shared) / 2

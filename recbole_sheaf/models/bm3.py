r"""BM3: bootstrapped multimodal model (Zhou et al., WWW 2023, https://arxiv.org/abs/2207.05969).

Notation: h are embeddings of users and items, :math:`h_m` an item's projected content in modality m, :math:`\dot{h}` a
*target*, a copy of h with entries dropped and no gradient, and :math:`\tilde{h} = W_p h + b_p` the *predictor's* guess.
What is to be close costs :math:`C(a, b) = 1 - \cos(a, b)`; there are no negatives.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, embedding

from recbole_sheaf.layers.dropout import dropout
from recbole_sheaf.layers.light_propagation import LightPropagation
from recbole_sheaf.layers.modality_projection import ModalityProjection
from recbole_sheaf.layers.module_list import ModuleList
from recbole_sheaf.models.multimodal import MultimodalRecommender, xavier
from recbole_sheaf.settings.config import ModelSettings
from recbole_sheaf.settings.rules import setting
from recbole_sheaf.settings.vocabulary import BACKENDS


@dataclass(frozen=True)
class BM3Settings(ModelSettings):
    """Settings of BM3; every field is a key of ``properties/model/BM3.yaml``."""

    embedding_size: int = setting(64, low=1)
    n_layers: int = setting(2, low=0)
    target_dropout: float = setting(0.5, low=0, high=0.99)
    alignment_weight: float = setting(0.1, low=0)
    reg_weight: float = setting(0.1, low=0)
    message_passing: str = setting("auto", choices=BACKENDS)


class BM3(MultimodalRecommender):
    r"""LightGCN's users and items, each guessing the other's target; content guesses its item's target and its own.

    .. math:: C(\tilde{h}_u, \dot{h}_i) + C(\tilde{h}_i, \dot{h}_u)
        + w \sum_m \bigl(C(\tilde{h}_m, \dot{h}_i) + C(\tilde{h}_m, \dot{h}_m)\bigr), \qquad h_i = \hat{h}_i + x_i,

    with :math:`\hat{h}` what LightGCN makes of the ID embeddings x, and one predictor for all. As in the paper and the
    published code there is no momentum encoder, and guesses, not embeddings, are ranked by. We depart from the code in
    two points: content stays as given, at unit length (the code trains the feature vectors themselves), and the L2
    penalty is on the batch's ID embeddings (the code takes the norm of all propagated ones). Sampled items are not
    looked at. Without content the two terms of users and items are left. An item without a row in a modality has no
    terms of content there; its interactions count as any. To learn without negatives is what the model is about, so it
    has no ``loss: softmax``.
    """

    settings_class = BM3Settings
    losses = ("bpr",)

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = BM3Settings.from_recbole(config)
        self.target_dropout, self.alignment_weight = settings.target_dropout, settings.alignment_weight
        self.reg_weight, size = settings.reg_weight, settings.embedding_size
        self.id_embedding = xavier(self.n_users + self.n_items, size)
        self.predictor = nn.Linear(size, size)
        nn.init.xavier_normal_(self.predictor.weight)
        nn.init.zeros_(self.predictor.bias)
        self.projections: ModuleList[ModalityProjection] = ModuleList(
            ModalityProjection(features.matrix, features.present, size) for features in self.modalities.values()
        )
        self.propagate = LightPropagation(self.graph, settings.n_layers)

    def embeddings(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """The h of users and items."""
        h = self.propagate(self.id_embedding)
        return h[: self.n_users], h[self.n_users :] + self.id_embedding[self.n_users :]

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """The predictor's guesses of users and items."""
        users, items = self.embeddings()
        return self.predictor(users), self.predictor(items)

    def target(self, h: Float[Tensor, "b f"]) -> Float[Tensor, "b f"]:
        """A copy with entries dropped, through which no gradient flows."""
        return dropout(h.detach(), self.target_dropout, self.training)

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """What users, items and content miss of the targets, and the penalty."""
        users, items, _ = self.triples(interaction)
        user_all, item_all = self.embeddings()
        h_u, h_i = embedding(users, user_all), embedding(items, item_all)
        target_u, target_i = self.target(h_u), self.target(h_i)
        loss = gap(self.predictor(h_u), target_i).mean() + gap(self.predictor(h_i), target_u).mean()
        for project in self.projections:
            h_m = embedding(items, project())
            guess, present = self.predictor(h_m), project.present[items].squeeze(1)
            content_gap = gap(guess, target_i) + gap(guess, self.target(h_m))
            loss = loss + self.alignment_weight * (content_gap * present).mean()
        batch = embedding(torch.cat([users, self.n_users + items]), self.id_embedding)
        return loss + self.reg_weight * batch.square().sum() / (2 * len(users))


def gap(guess: Float[Tensor, "b f"], target: Float[Tensor, "b f"]) -> Float[Tensor, " b"]:
    """How far a guess is from its target, one minus their cosine."""
    return 1 - cosine_similarity(guess, target)

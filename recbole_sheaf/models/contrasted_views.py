"""Recommenders with two views of every node, what they do and what they are made of, added to rank and contrasted."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import embedding

from recbole_sheaf.layers.contrastive import info_nce
from recbole_sheaf.layers.light_propagation import LightPropagation
from recbole_sheaf.models.multimodal import MultimodalRecommender


class ContrastedViews(MultimodalRecommender):
    """Ranks by the sum of a behaviour view and one of content; a subclass makes them in ``both_views``.

    The loss is the ranking loss, ``contrast_weight`` times a contrast of the two views at ``temperature``, of the
    batch's distinct users and of the items they chose, and ``reg_weight`` times an L2 penalty on the batch's sums.
    """

    contrast_weight: float
    temperature: float
    reg_weight: float
    propagate: LightPropagation

    def both_views(self) -> tuple[Float[Tensor, "n f"], Float[Tensor, "n f"]]:
        """The behaviour view and the view of content of all nodes."""
        raise NotImplementedError

    def with_users(self, items: Float[Tensor, "n_items f"]) -> Float[Tensor, "n f"]:
        """Rows of items below those of users, each the sum of the user's items as LightGCN scales them; O(arcs f)."""
        nodes = torch.cat([items.new_zeros(self.n_users, items.shape[1]), items])
        return torch.cat([self.propagate.step(nodes)[: self.n_users], items])

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """The two views added."""
        behaviour, content = self.both_views()
        x = behaviour + content
        return x[: self.n_users], x[self.n_users :]

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """The ranking loss, the contrast of the two views and the penalty."""
        users, chosen, _ = triples = self.triples(interaction)
        behaviour, content = self.both_views()
        x = behaviour + content
        loss = self.ranking_loss(x[: self.n_users], x[self.n_users :], triples)
        penalty = self.penalty(self.reg_weight, triples, x)
        contrasts = [
            info_nce(embedding(nodes, content), embedding(nodes, behaviour), self.temperature)
            for nodes in (self.contrasted(users), self.n_users + self.contrasted(chosen))
        ]
        return loss + self.contrast_weight * sum(contrasts) + penalty

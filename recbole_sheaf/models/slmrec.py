r"""SLMRec: Self-supervised Learning for Multimedia Recommendation (Tao et al., IEEE TMM 2022,
https://doi.org/10.1109/TMM.2022.3187556).

Notation: users and items are the n nodes, f is the embedding size, M the number of modalities. A node has M + 1
*channels*: items start from their ID embedding in channel 0 and from projected content in channel m, users from one and
the same embedding in all. Each channel is propagated by LightGCN; a linear layer fuses them.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding

from recbole_sheaf.layers.contrastive import info_nce
from recbole_sheaf.layers.dropout import dropout
from recbole_sheaf.layers.light_propagation import LightPropagation
from recbole_sheaf.layers.modality_projection import ModalityProjection
from recbole_sheaf.layers.module_list import ModuleList
from recbole_sheaf.models.multimodal import MultimodalRecommender, refuse_no_modality
from recbole_sheaf.settings.config import TEMPERATURES, ModelSettings
from recbole_sheaf.settings.rules import setting
from recbole_sheaf.settings.vocabulary import BACKENDS

SSL_TASKS = ("fac", "fd", "fm", "fd+fm")


@dataclass(frozen=True)
class SLMRecSettings(ModelSettings):
    """Settings of SLMRec; every field is a key of ``properties/model/SLMRec.yaml``."""

    embedding_size: int = setting(64, low=1)
    n_layers: int = setting(2, low=0)
    ssl_task: str = setting("fac", choices=SSL_TASKS)
    ssl_weight: float = setting(0.1, low=0)
    ssl_temperature: float = setting(0.2, **TEMPERATURES)
    temperature: float = setting(0.2, **TEMPERATURES)
    feature_dropout: float = setting(0.3, low=0, high=1)
    reg_weight: float = setting(0.001, low=0)
    message_passing: str = setting("auto", choices=BACKENDS)


class FineAndCoarse(nn.Module):
    r"""Contrasts ID embeddings and modalities of the same items in one common space after another (the task ``fac``).

    A chain starts at the ID embedding, :math:`z_0 = x_0`; modality m is met in the space
    :math:`z_m = G_m z_{m-1}`, where :math:`z_m` and :math:`H_m x_m` are two views of an item. Items without a row in a
    modality sit out its contrast.
    """

    def __init__(self, size: int, n_modalities: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.onward = nn.ModuleList(_linear(size, size) for _ in range(n_modalities))
        self.aside = nn.ModuleList(_linear(size, size) for _ in range(n_modalities))

    def forward(self, channels: Float[Tensor, "b channels f"], present: Float[Tensor, "b M"]) -> Float[Tensor, ""]:
        """Sum over the modalities of their contrast with the chain."""
        chain, loss = channels[:, 0], channels.new_zeros(())
        for m, (onward, aside) in enumerate(zip(self.onward, self.aside)):
            chain = onward(chain)
            rows = present[:, m].nonzero().flatten()
            if len(rows):
                own = aside(channels[:, m + 1])
                loss = loss + info_nce(embedding(rows, chain), embedding(rows, own), self.temperature)
        return loss


class SLMRec(MultimodalRecommender):
    """Channels propagated, fused and trained by an in-batch softmax, with one self-supervised task beside it.

    ``ssl_task`` names the task: ``fac`` contrasts the channels of an item with each other in fine and coarse spaces;
    ``fd`` contrasts two propagations with dropout, ``fm`` two in which the items of one channel each, drawn anew for
    every batch, are masked, ``fd+fm`` two with both.

    We follow the published code where the paper leaves the choice open: training compares users and items by cosine,
    ranking by inner product, so that the lengths which propagation gives to popular items count there. We depart from
    it in four points: views are compared by cosine everywhere, all spaces of ``fac`` have the embedding size (the code
    halves the last), a user or item that is in a batch twice is contrasted once, and the L2 penalty falls on the
    batch's embeddings and not on all parameters. With one modality, ``fac`` contrasts it with the ID embedding and
    ``fm`` masks it in one view and the ID embedding in the other. An item without a row starts as zeros there.

    Under ``loss: bpr`` the loss is the published one, a softmax over the items of the batch at ``temperature``; under
    ``loss: softmax`` it is one over all items at ``softmax_temperature``, and cosines rank.
    """

    settings_class = SLMRecSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = SLMRecSettings.from_recbole(config)
        refuse_no_modality(self, instead="SGL")
        self.settings, size, n_channels = settings, settings.embedding_size, len(self.modalities) + 1
        self.users = nn.Parameter(nn.init.xavier_uniform_(torch.empty(self.n_users, size)))
        self.items = nn.Parameter(nn.init.xavier_uniform_(torch.empty(self.n_items, size)))
        self.projections: ModuleList[ModalityProjection] = ModuleList(
            ModalityProjection(features.matrix, features.present, size) for features in self.modalities.values()
        )
        self.propagate = LightPropagation(self.graph, settings.n_layers)
        self.fuse_users = _linear(n_channels * size, size)
        self.fuse_items = _linear(n_channels * size, size)
        if settings.ssl_task == "fac":
            self.fine_and_coarse = FineAndCoarse(size, len(self.modalities), settings.ssl_temperature)

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """All channels propagated and fused."""
        return self.fused(self.propagate(self.channels()))

    def channels(self) -> Float[Tensor, "n channels_f"]:
        """What the nodes hold in each channel before propagation, channels side by side."""
        items = torch.cat([self.items, *(project() for project in self.projections)], dim=1)
        return torch.cat([self.users.repeat(1, len(self.projections) + 1), items])

    def fused(self, x: Float[Tensor, "n channels_f"]) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """A linear map of the channels, one for users and one for items."""
        return self.fuse_users(x[: self.n_users]), self.fuse_items(x[self.n_users :])

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """The ranking loss, the self-supervised task and the penalty."""
        users, chosen, _ = triples = self.triples(interaction)
        start = self.channels()
        x = self.propagate(start)
        user_all, item_all = self.fused(x)
        if self.softmax is None:
            ranking = info_nce(embedding(users, user_all), embedding(chosen, item_all), self.settings.temperature)
        else:
            ranking = self.ranking_loss(user_all, item_all, triples)
        penalty = self.squared_norms(users, self.users) + self.squared_norms(chosen, self.items)
        loss = ranking + self.settings.reg_weight * penalty / (2 * max(len(users), 1))
        return loss + self.settings.ssl_weight * self.ssl_loss(
            start, x, self.contrasted(users), self.contrasted(chosen)
        )

    def ssl_loss(
        self,
        start: Float[Tensor, "n channels_f"],
        x: Float[Tensor, "n channels_f"],
        users: Int[Tensor, " distinct_users"],
        items: Int[Tensor, " distinct_items"],
    ) -> Float[Tensor, ""]:
        """The task's contrast, of channels x before and after propagation, for the users and items of a batch."""
        if self.settings.ssl_task == "fac":
            batch = embedding(self.n_users + items, x).unflatten(1, (len(self.projections) + 1, -1))
            present = torch.cat([project.present[items] for project in self.projections], dim=1)
            return self.fine_and_coarse(batch, present.float())
        one, other = (self.fused(self.disturbed(view)) for view in self.masked(start))
        contrasts = (
            info_nce(embedding(nodes, a), embedding(nodes, b), self.settings.ssl_temperature)
            for nodes, a, b in zip((users, items), one, other)
        )
        return sum(contrasts, start.new_zeros(()))

    def masked(self, start: Float[Tensor, "n channels_f"]) -> list[Float[Tensor, "n channels_f"]]:
        """Two views; where the task masks, the items of one channel are zeros in each, another channel in each."""
        if "fm" not in self.settings.ssl_task:
            return [start, start]
        n_channels = len(self.projections) + 1
        views = []
        for channel in torch.randperm(n_channels)[:2].tolist():
            kept = start.new_ones(self.n_users + self.n_items, n_channels, 1)
            kept[self.n_users :, channel] = 0
            views.append((start.unflatten(1, (n_channels, -1)) * kept).flatten(1))
        return views

    def disturbed(self, x: Float[Tensor, "n channels_f"]) -> Float[Tensor, "n channels_f"]:
        """LightGCN's propagation; where the task drops, with dropout after each step."""
        rate = self.settings.feature_dropout if "fd" in self.settings.ssl_task else 0.0
        total = x
        for _ in range(self.settings.n_layers):
            x = dropout(self.propagate.step(x), rate, self.training)
            total = total + x
        return total / (self.settings.n_layers + 1)


def _linear(in_size: int, out_size: int) -> nn.Linear:
    linear = nn.Linear(in_size, out_size)
    nn.init.xavier_uniform_(linear.weight)
    return linear

r"""BRIDGE: behaviour calibrates the candidates of a multimodal ranking (Li, Pan & Qi, CIKM 2026,
https://arxiv.org/abs/2605.22073).

Notation: users and items are nodes with C = M + 1 *channels* of f numbers, ID embeddings and each modality. Y holds one
channel of all users, or of all items. With its right singular vectors V, largest singular value first, cut into K
blocks of columns, *band* k of Y is :math:`Y V_k V_k^\top`; the bands add up to Y. The *base* ranking is by inner
products of fused bands; S is the cosine of items in co-occurrence, from which an item's evidence for a user comes.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, embedding, leaky_relu, log_softmax, normalize

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.layers.item_sheaf import FullItemSheaf
from recbole_sheaf.layers.light_propagation import LightPropagation
from recbole_sheaf.layers.modality_projection import ModalityProjection
from recbole_sheaf.layers.module_list import ModuleList
from recbole_sheaf.models.freedom import FrozenItemGraph
from recbole_sheaf.models.multimodal import MultimodalRecommender, bpr_loss, refuse_no_modality
from recbole_sheaf.models.score_factors import ScoreFactors, ScoresInPieces
from recbole_sheaf.settings.config import ModelSettings, cache_folder
from recbole_sheaf.settings.rules import setting
from recbole_sheaf.settings.vocabulary import BACKENDS
from recbole_sheaf.sheaf.item_sheaf import cosine_transport
from recbole_sheaf.sheaf.item_signals import gram_matrix, item_signals


@dataclass(frozen=True)
class BRIDGESettings(ModelSettings):
    """Settings of BRIDGE; every field is a key of ``properties/model/BRIDGE.yaml``."""

    embedding_size: int = setting(64, low=1)
    n_layers: int = setting(2, low=0)
    n_bands: int = setting(3, low=1)
    item_graph_neighbours: int = setting(10, low=2)
    item_graph_layers: int = setting(1, low=1)
    first_modality_weight: float = setting(0.111, above=0)
    candidates: int = setting(200, low=1)
    behaviour_neighbours: int = setting(1000, low=1)
    behaviour_weight: float = setting(0.4, low=0)
    base_loss_weight: float = setting(0.2, low=0)
    band_gate_weight: float = setting(1.0, low=0)
    band_contrast_weight: float = setting(0.001, low=0)
    calibration_gate_weight: float = setting(0.001, low=0)
    message_passing: str = setting("auto", choices=BACKENDS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_bands > self.embedding_size:
            raise ConfigError(
                f"n_bands is {self.n_bands}, more than the {self.embedding_size} directions of a channel; lower it, or "
                "raise embedding_size"
            )


class Spectrum(NamedTuple):
    """Rows by their channels' singular vectors: ``rows = coordinates V^T``, channel by channel."""

    coordinates: Float[Tensor, "r C f"]
    vectors: Float[Tensor, "C f f"]

    @classmethod
    def of(cls, rows: Float[Tensor, "r C f"]) -> "Spectrum":
        """V of each channel, the directions of the largest singular values first; no gradient flows into V.

        Time O(r C f^2 + C f^3), from the Gram matrix and so without a decomposition of r rows.
        """
        with torch.no_grad():
            gram = torch.einsum("rcf,rcg->cfg", rows, rows).double()
            vectors = torch.linalg.eigh(gram).eigenvectors.flip(2).to(rows)
        return cls(torch.einsum("rcf,cfg->rcg", rows, vectors), vectors)

    def weighed(self, weights: Float[Tensor, "r f"]) -> Float[Tensor, "r C f"]:
        """Rows with each row's weight on each direction, the same in all channels."""
        return torch.einsum("rcg,cfg->rcf", self.coordinates * weights.unsqueeze(1), self.vectors)

    def some(self, rows: Int[Tensor, " b"]) -> "Spectrum":
        """Of some of the rows."""
        flat = embedding(rows, self.coordinates.flatten(1))
        return Spectrum(flat.view(len(rows), *self.coordinates.shape[1:]), self.vectors)


class BandFusion(nn.Module):
    r"""Nodes fused over the bands b of their own rows y and b' of rows *beside* them, what their graph says.

    .. math:: \sum_k \sigma(w_k)\, g_{vk}\, (b_{vk} + b'_{vk}), \qquad g_v = 1 + t\, \sigma(G y_v + c) .

    Attributes:
        band_of: the band of each direction.
    """

    band_of: Tensor

    def __init__(self, n_channels: int, size: int, n_bands: int) -> None:
        super().__init__()
        self.gate = nn.Linear(n_channels * size, n_bands)
        self.opening = nn.Parameter(torch.tensor(0.5))
        self.logits = nn.Parameter(torch.ones(n_bands))
        sizes = torch.tensor([len(block) for block in torch.arange(size).tensor_split(n_bands)])
        self.register_buffer("band_of", torch.arange(n_bands).repeat_interleave(sizes), persistent=False)

    def forward(self, rows: Float[Tensor, "r C f"], spectra: list[Spectrum]) -> tuple[Tensor, Tensor]:
        """The fused nodes (r, C f), and what their gates cost, :math:`|g - 1|^2 + |g - 1|_2 |g - 1|_1` on average."""
        above = self.opening * torch.sigmoid(self.gate(rows.flatten(1)))
        weights = (torch.sigmoid(self.logits) * (1 + above))[:, self.band_of]
        fused = sum((spectrum.weighed(weights) for spectrum in spectra), torch.zeros_like(rows))
        above = torch.relu(above)
        squares = above.square().sum(dim=1)
        return fused.flatten(1), (squares + (squares + 1e-12).sqrt() * above.sum(dim=1)).mean()

    def bands(self, spectra: list[Spectrum]) -> list[Float[Tensor, "b channels_f"]]:
        """Each band of the rows and what is beside them, for the few rows of a contrast."""
        rows = len(spectra[0].coordinates)
        inside = [(self.band_of == k).to(self.logits).expand(rows, -1) for k in range(len(self.logits))]
        return [torch.stack([each.weighed(one) for each in spectra]).sum(dim=0).flatten(1) for one in inside]


class Encoded(NamedTuple):
    """Fused users and items, what their gates cost, and the spectra from which they were made."""

    users: Tensor
    items: Tensor
    cost: Tensor
    user_spectra: list[Spectrum]
    item_spectra: list[Spectrum]


class BRIDGE(MultimodalRecommender):
    r"""A base ranking by fused bands, in which behaviour moves the first ``candidates`` items of each user.

    .. math:: s_{ui} = \langle y_u, y_i \rangle + [i \in T_u]\, \omega\, g_{ui}\, z_{ui}, \qquad
        g_{ui} = \sigma\bigl(\beta_u + \beta_i + a \tanh \langle y_u, y_i \rangle + c \tanh z_{ui}\bigr),

    :math:`T_u` are the user's best items in the base ranking and z is :math:`\sum_{j} S_{ij}` over the user's items j,
    less its mean over the catalogue and over its standard deviation. S is cut to ``behaviour_neighbours`` an item. No
    gradient flows into T, z or the base score within the gate; training calibrates sampled pairs by the same rule.

    A channel starts from a free preference of each user and from ID embeddings, or projected content, of the items, all
    at unit length; y is the sum of what LightGCN makes of it over the layers, for users times a trained weight for each
    channel. Beside it stand the users' preferences, and the items' y averaged over the frozen item graph of FREEDOM.
    The loss is BPR on the calibrated scores and, weighed, BPR on the base, the cost of band gates, the gap between the
    mean calibration gate and 1/2, and a contrast: bands of a node are drawn together, and the nodes of the upper bands
    apart.

    Established from the abstract, the project's page and the published code; the paper's own text was not at hand. The
    graph of users that the code carries is off in its configuration, and is left out. We depart from the code in five
    points: no gradient flows into V (where singular values meet it has none), content stays as given, at unit length
    (the code trains it), z does not count RecBole's padding, the contrast takes each node of a batch once, and M
    modalities and missing rows are served. Its figures are of BEiT-3 vectors, and its code chooses the epoch by the
    test. Its loss is of pairs inside and outside of T, so it has no ``loss: softmax``. Scores are no inner products,
    and :math:`S` takes memory O(n_items^2).
    """

    settings_class = BRIDGESettings
    losses = ("bpr",)
    channel_weights: Tensor

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.settings = settings = BRIDGESettings.from_recbole(config)
        refuse_no_modality(self)
        size, n_channels = settings.embedding_size, len(self.modalities) + 1
        self.preferences = nn.Parameter(nn.init.xavier_normal_(torch.empty(self.n_users, n_channels * size)))
        self.item_ids = nn.Parameter(nn.init.xavier_uniform_(torch.empty(self.n_items, size)))
        self.projections: ModuleList[ModalityProjection] = ModuleList(
            ModalityProjection(features.matrix, features.present, size, hidden=4 * size, activation=leaky_relu)
            for features in self.modalities.values()
        )
        self.channel_weights = nn.Parameter(torch.full((self.n_users, n_channels), 1 / n_channels))
        self.propagate = LightPropagation(self.graph, settings.n_layers)
        weights = torch.ones(len(self.modalities))
        weights[0] = settings.first_modality_weight
        self.item_graph = FrozenItemGraph(
            self.modalities,
            weights,
            settings.item_graph_neighbours,
            settings.item_graph_layers,
            cache_folder(config),
            settings.message_passing,
            config["device"],
        )
        self.fuse_users, self.fuse_items = (BandFusion(n_channels, size, settings.n_bands) for _ in range(2))
        self.user_bias = nn.Parameter(torch.zeros(self.n_users))
        self.item_bias = nn.Parameter(torch.zeros(self.n_items))
        self.base_scale, self.evidence_scale = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(1.0))
        self.co_occurrence = co_occurrence(dataset, self.n_users, self.n_items, settings.behaviour_neighbours)

    def channels(self) -> Float[Tensor, "n C f"]:
        """What the nodes start from, each channel at unit length."""
        size = self.settings.embedding_size
        items = torch.stack([self.item_ids, *(project() for project in self.projections)], dim=1)
        return normalize(torch.cat([self.preferences.unflatten(1, (-1, size)), items]), dim=2)

    def encoded(self) -> Encoded:
        """Users and items by their fused bands."""
        channels = self.channels()
        shape = channels.shape[1:]
        y = (self.settings.n_layers + 1) * self.propagate(channels.flatten(1))
        users = self.channel_weights.unsqueeze(2) * y[: self.n_users].unflatten(1, shape)
        items = y[self.n_users :]
        of_users = [Spectrum.of(users), Spectrum.of(self.preferences.unflatten(1, shape))]
        of_items = [Spectrum.of(each.unflatten(1, shape)) for each in (items, self.item_graph(items))]
        fused_users, user_cost = self.fuse_users(users, of_users)
        fused_items, item_cost = self.fuse_items(items.unflatten(1, shape), of_items)
        return Encoded(fused_users, fused_items, user_cost + item_cost, of_users, of_items)

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Users and items of the base ranking."""
        encoded = self.encoded()
        return encoded.users, encoded.items

    def score_factors(self) -> ScoreFactors:
        """Those of the base ranking, if that is all.

        Raises:
            NoPieces: where behaviour moves candidates: scores are no inner products then.
        """
        return ScoresInPieces.score_factors(self) if self.settings.behaviour_weight else super().score_factors()

    def evidence(self, users: Int[Tensor, " b"]) -> Float[Tensor, "b n_items"]:
        """z, how far each item's co-occurrence with a user's items is above the mean; zeros for the padding.

        Time O(h n_items) for histories of h items in all.
        """
        found = self.co_occurrence.scores(users)[:, 1:]
        spread = found.std(dim=1, keepdim=True, correction=0).clamp(min=1e-6)
        return nn.functional.pad((found - found.mean(dim=1, keepdim=True)) / spread, (1, 0))

    def calibration_gate(
        self, users: Int[Tensor, "b 1"], items: Int[Tensor, "*b k"], base: Float[Tensor, "b k"], z: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b k"]:
        """g of some items of each user."""
        bias = embedding(users, self.user_bias.unsqueeze(1)) + embedding(items, self.item_bias.unsqueeze(1))
        asked = self.base_scale * torch.tanh(base.detach()) + self.evidence_scale * torch.tanh(z)
        return torch.sigmoid(bias.squeeze(2) + asked)

    def is_candidate(self, base: Float[Tensor, "b n_items"]) -> Bool[Tensor, "b n_items"]:
        """T of each user: the best items of base scores, the padding not among them."""
        best = base.detach()[:, 1:].topk(min(self.settings.candidates, self.n_items - 1), dim=1).indices + 1
        return torch.zeros_like(base, dtype=torch.bool).scatter_(1, best, True)

    def scores(self, users: Int[Tensor, " b"]) -> Float[Tensor, "b n_items"]:
        """Calibrated scores of users for every item."""
        user_all, item_all = self.ranked_embeddings()
        base, z = user_all[users] @ item_all.T, self.evidence(users)
        items = torch.arange(self.n_items, device=users.device).unsqueeze(0)
        gate = self.calibration_gate(users.unsqueeze(1), items, base, z)
        return base + self.settings.behaviour_weight * gate * z * self.is_candidate(base)

    def predict(self, interaction: Any) -> Float[Tensor, " b"]:
        """Scores of b user-item pairs."""
        users, rows = torch.unique(interaction[self.USER_ID], return_inverse=True)
        return self.scores(users)[rows, interaction[self.ITEM_ID]]

    def full_sort_predict(self, interaction: Any) -> Float[Tensor, " scores"]:
        """Scores of b users for every item, flattened as RecBole wants them."""
        return self.scores(interaction[self.USER_ID]).flatten()

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """BPR of calibrated and of base scores, and the three terms beside them."""
        settings = self.settings
        users, chosen, sampled = self.triples(interaction)
        encoded = self.encoded()
        pairs = torch.stack([chosen, sampled], dim=1)
        base = (embedding(users, encoded.users).unsqueeze(1) * embedding(pairs, encoded.items)).sum(dim=2)
        distinct, row = users.unique(return_inverse=True)
        with torch.no_grad():
            candidate = self.is_candidate(encoded.users[distinct] @ encoded.items.T)[row.unsqueeze(1), pairs]
            z = self.evidence(distinct)[row.unsqueeze(1), pairs]
        gate = self.calibration_gate(users.unsqueeze(1), pairs, base, z)
        final = base + settings.behaviour_weight * gate * z * candidate
        off = (gate * candidate).sum() / candidate.sum().clamp(min=1) - 0.5
        return (
            bpr_loss(final[:, 0], final[:, 1])
            + settings.base_loss_weight * bpr_loss(base[:, 0], base[:, 1])
            + settings.band_gate_weight * encoded.cost
            + settings.band_contrast_weight * self.band_contrast(encoded, users, chosen)
            + settings.calibration_gate_weight * candidate.any() * off.square()
        )

    def band_contrast(self, encoded: Encoded, users: Int[Tensor, " b"], chosen: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """Bands of a node drawn together, nodes of the upper bands apart; 0 with a single band."""
        n_bands = self.settings.n_bands
        if n_bands == 1:
            return encoded.cost.new_zeros(())
        sides = (
            (self.fuse_users, encoded.user_spectra, self.contrasted(users)),
            (self.fuse_items, encoded.item_spectra, self.contrasted(chosen)),
        )
        total = encoded.cost.new_zeros(())
        for fuse, spectra, rows in sides:
            bands = fuse.bands([each.some(rows) for each in spectra])
            for k, one in enumerate(bands):
                for other in bands[:k]:  # each pair stands in the sum twice
                    total = total + 2 * (cosine_similarity(one, other, dim=1) - 1).square().mean()
            for one in bands[n_bands // 2 :]:
                total = total - log_softmax(one @ one.T, dim=1).mean()
        return total / (n_bands * (n_bands - 1))


def co_occurrence(dataset: Any, n_users: int, n_items: int, neighbours: int) -> FullItemSheaf:
    """S of the training interactions as what items say of others; each item hears its nearest alone.

    Of equally near items those with the lower id are taken. Time O(t n_items), memory O(n_items^2).
    """
    users, items = dataset.inter_feat[dataset.uid_field], dataset.inter_feat[dataset.iid_field]
    signals = item_signals(users, items, n_users, n_items)
    cosines = cosine_transport(gram_matrix(signals, content=False))
    if neighbours < n_items:
        kept = cosines.sort(dim=1, descending=True, stable=True).indices[:, :neighbours]
        cosines = torch.zeros_like(cosines).scatter_(1, kept, cosines.gather(1, kept))
    return FullItemSheaf(signals, transport=cosines.mT.contiguous())

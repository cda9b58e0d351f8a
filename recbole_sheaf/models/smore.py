r"""SMORE: spectrum-based modality fusion (Ong & Khong, WSDM 2025, https://arxiv.org/abs/2412.14978).

Notation: users and items are the n nodes, f is the embedding size, M the number of modalities, :math:`h_m` an item's
projected content in modality m, :math:`\mathcal{F}` the discrete Fourier transform along its f coordinates. The
*spectrum* of an item is filtered in each modality apart, and fused as the product over the modalities:

.. math:: \mathcal{F}^{-1}(k_m \odot \mathcal{F} h_m), \qquad
    \mathcal{F}^{-1}\Bigl(k_0 \odot \prod_m \mathcal{F} h_m\Bigr),

with trained complex filters k. Each of these M + 1 *purifies* ID embeddings, and is propagated among similar items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.dropout import dropout
from recbole_sheaf.layers.light_propagation import LightPropagation
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.modality_projection import ModalityProjection
from recbole_sheaf.layers.module_list import ModuleList
from recbole_sheaf.models.contrasted_views import ContrastedViews
from recbole_sheaf.models.item_graph import SimilarityGraph
from recbole_sheaf.models.multimodal import refuse_no_modality, refuse_other_names, xavier
from recbole_sheaf.settings.config import ModelSettings, cache_folder
from recbole_sheaf.settings.rules import Rule, setting
from recbole_sheaf.settings.vocabulary import BACKENDS


@dataclass(frozen=True)
class SMORESettings(ModelSettings):
    """Settings of SMORE; every field is a key of ``properties/model/SMORE.yaml``."""

    embedding_size: int = setting(64, low=1)
    n_layers: int = setting(4, low=0)
    item_graph_neighbours: int = setting(10, low=2)
    modality_neighbours: dict[str, int] = setting({}, each=Rule(int, low=2))
    item_graph_layers: int = setting(1, low=1)
    preference_dropout: float = setting(0.1, low=0, high=0.99)
    contrast_weight: float = setting(0.01, low=0)
    temperature: float = setting(0.2, above=0)
    reg_weight: float = setting(0.0001, low=0)
    message_passing: str = setting("auto", choices=BACKENDS)


class SpectrumFusion(nn.Module):
    """Projected content of all items, filtered in each modality and fused over them, in the spectrum.

    A modality that an item lacks comes out as zeros and is no factor of the item's product; without any modality the
    product is zeros too.
    """

    def __init__(self, modalities: Mapping[str, ModalityFeatures], size: int) -> None:
        super().__init__()
        self.projections: ModuleList[ModalityProjection] = ModuleList(
            ModalityProjection(features.matrix, features.present, size) for features in modalities.values()
        )
        self.filters = nn.Parameter(torch.randn(len(modalities) + 1, size // 2 + 1, 2))  # real and imaginary parts

    def forward(self) -> list[Float[Tensor, "n_items f"]]:
        """One for each modality, and the fused one last; time O(M n_items f (d + ln f)) for content d wide."""
        content = [project() for project in self.projections]
        spectra = [torch.fft.rfft(h, norm="ortho") for h in content]
        fused, size = torch.ones_like(spectra[0]), content[0].shape[1]
        for project, spectrum in zip(self.projections, spectra):
            fused = fused * torch.where(project.present, spectrum, torch.ones_like(spectrum))
        anywhere = torch.stack([project.present for project in self.projections]).any(dim=0)
        filters = torch.view_as_complex(self.filters)
        return [
            torch.fft.irfft(spectrum * kept, n=size, norm="ortho")
            for spectrum, kept in zip([*spectra, fused * anywhere], filters)
        ]


class MaxPooledGraph(nn.Module):
    """The union of item graphs; where several have an arc, or an item's own weight, the largest of these."""

    own: Tensor
    weights: Tensor

    def __init__(self, graphs: Sequence[SimilarityGraph]) -> None:
        super().__init__()
        first = graphs[0].graph
        arcs = torch.cat([each.graph.dst * first.num_nodes + each.graph.src for each in graphs])
        distinct, which = arcs.unique(return_inverse=True)
        weights = torch.cat([each.weights.flatten() for each in graphs])
        pooled = weights.new_zeros(len(distinct)).scatter_reduce(0, which, weights, "amax")
        dst, src = distinct // first.num_nodes, distinct % first.num_nodes
        self.graph = ArcGraph(src, dst, first.num_nodes, backend=first.backend, device=first.device, undirected=False)
        self.register_buffer("own", torch.stack([each.own for each in graphs]).amax(dim=0), persistent=False)
        self.register_buffer("weights", pooled.view(-1, 1, 1), persistent=False)

    def forward(self, x: Float[Tensor, "n_items f"]) -> Float[Tensor, "n_items f"]:
        """Weighted sums over an item and its neighbours; time O(arcs f)."""
        return self.own * x + self.graph.weighted_sum(x.unsqueeze(1), self.weights).squeeze(1)


class SMORE(ContrastedViews):
    r"""A behaviour view plus M views of the modalities and the fused one, as far as each node prefers them.

    .. math:: y = b + \frac{1}{M + 1} \Bigl(p_0 \odot e_0 + \sum_m p_m \odot a_m \odot e_m\Bigr), \qquad
        p = \sigma(W b + w), \quad a_m = \mathrm{softmax}(U_m \tanh(V_m e_0 + v_m)),

    b is LightGCN on ID embeddings, :math:`e_0` the fused view, the softmax is over the f coordinates, and dropout acts
    on the preferences p. An item's view is :math:`S_m^R(x \odot \sigma(G_m z_m + g_m))` of its ID embedding x and its
    filtered content z, S the weighted sum over its most similar items; that of :math:`e_0` pools all modalities' graphs
    by their largest weights. A user's view is the sum of their items'.

    Established from the abstract and the published code, where the paper's own text was not at hand; we read "softmax"
    as the code does. We depart from it as in MGCN: content stays as given, at unit length (the code trains the feature
    vectors), and a user or item that is in a batch twice is contrasted once. Its learning rate falls by 4 % every 50
    epochs; ours stays. It has two modalities, which every item has: M of them and missing rows are ours.
    """

    settings_class = SMORESettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = SMORESettings.from_recbole(config)
        refuse_no_modality(self)
        self.contrast_weight, self.temperature = settings.contrast_weight, settings.temperature
        self.reg_weight, size = settings.reg_weight, settings.embedding_size
        self.item_graph_layers, self.preference_dropout = settings.item_graph_layers, settings.preference_dropout
        self.id_embedding = xavier(self.n_users + self.n_items, size)
        self.propagate = LightPropagation(self.graph, settings.n_layers)
        similar = self._similar(config, settings)
        self.similar = nn.ModuleList([*similar, MaxPooledGraph(similar)])
        self.content = SpectrumFusion(self.modalities, size)
        n_views = len(self.similar)
        self.gates, self.prefers = (nn.ModuleList(nn.Linear(size, size) for _ in range(n_views)) for _ in range(2))
        self.attends = nn.ModuleList(
            nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, size, bias=False)) for _ in self.modalities
        )

    def _similar(self, config: Any, settings: SMORESettings) -> list[SimilarityGraph]:
        neighbours = settings.modality_neighbours
        refuse_other_names("modality_neighbours", neighbours, self.modalities)
        return [
            SimilarityGraph(
                features,
                neighbours.get(name, settings.item_graph_neighbours) - 1,
                cache_folder(config),
                settings.message_passing,
                config["device"],
            )
            for name, features in self.modalities.items()
        ]

    def views(self) -> list[Float[Tensor, "n f"]]:
        """Users and items in each modality, and fused last."""
        x = self.id_embedding[self.n_users :]
        views = [x * torch.sigmoid(gate(z)) for gate, z in zip(self.gates, self.content())]
        for _ in range(self.item_graph_layers):
            views = [similar(view) for similar, view in zip(self.similar, views)]
        return list(self.with_users(torch.cat(views, dim=1)).chunk(len(views), dim=1))

    def both_views(self) -> tuple[Float[Tensor, "n f"], Float[Tensor, "n f"]]:
        """The behaviour view, and the mean of the others as far as a node prefers them."""
        behaviour = self.propagate(self.id_embedding)
        *views, fused = self.views()
        attended = [torch.softmax(attend(fused), dim=1) * view for attend, view in zip(self.attends, views)]
        preferred = [
            dropout(torch.sigmoid(prefer(behaviour)), self.preference_dropout, self.training) * view
            for prefer, view in zip(self.prefers, [*attended, fused])
        ]
        return behaviour, torch.stack(preferred).mean(dim=0)

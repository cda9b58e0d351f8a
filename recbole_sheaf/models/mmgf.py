r"""MM-GF: multimodal recommendation by graph filters, without training (Roh et al. 2025,
https://arxiv.org/abs/2503.04406).

Notation: R holds the training interactions, users by items, with degrees :math:`D_U, D_I`; Z an item's content in a
modality, *refined*: each column less its median and over its interquartile range, then all of it shifted so that its
least entry is 0. With row and column sums :math:`D_1, D_2` of Z, two normalised matrices give item graphs,

.. math:: \tilde R = D_U^{-a} R D_I^{a - 1}, \quad P = (\tilde R^\top \tilde R)^{\circ s}, \qquad
    \tilde Z = D_1^{-a} Z D_2^{a - 1}, \quad P_m = (\tilde Z \tilde Z^\top)^{\circ s},

each entry to the power s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.layers.item_sheaf import FullItemSheaf
from recbole_sheaf.models.closed_form import ClosedFormRecommender
from recbole_sheaf.models.multimodal import refuse_other_names
from recbole_sheaf.settings.config import ModelSettings
from recbole_sheaf.settings.rules import Rule, setting
from recbole_sheaf.sheaf.item_signals import ItemSignals, gram_matrix, item_signals

SCORES_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class MMGFSettings(ModelSettings):
    """Settings of MM-GF; every field is a key of ``properties/model/MMGF.yaml``."""

    degree_power: float = setting(0.89, low=0, high=1)
    similarity_power: float = setting(0.67, above=0)
    filter_coefficients: list[float] = setting([1.0], each=Rule(float))
    content_weight: float = setting(0.1, low=0)
    modality_weights: dict[str, float] = setting({}, each=Rule(float, low=0))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(self.filter_coefficients):
            raise ConfigError(
                f"filter_coefficients are {self.filter_coefficients}, a filter that lets nothing through; give the "
                "factors of P, P^2 and so on, such as [1] or [2, -1]"
            )


class MMGF(ClosedFormRecommender):
    r"""Scores :math:`x_u^\top B` of a history, :math:`B = f(P) + \sum_m w_m f(P_m)`, f a polynomial without a constant.

    Established from the abstracts of the paper's three versions and the published code of its first; the paper's own
    text was not at hand. The code has the refinement, the powers a and s and one weight for each modality, and runs
    Amazon Baby with a = .89, s = .67, weights 600 for text and .1 for images, and f(P) = P. Later versions speak of a
    polynomial whose coefficients are searched: that it is one for all graphs, in powers of the matrix, is our reading
    (the code has squares and cubes of the entries, and uses neither). The published figures of Baby have the code's
    rule, which takes validation interactions as known, in R as in what is left out of a list; here R is the training
    part alone. An item without a row is in no graph of that modality, and the refinement does not see it.
    """

    settings_class = MMGFSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = MMGFSettings.from_recbole(config)
        refuse_other_names("modality_weights", settings.modality_weights, self.modalities)
        a, s = settings.degree_power, settings.similarity_power
        users, items = dataset.inter_feat[dataset.uid_field], dataset.inter_feat[dataset.iid_field]
        signals = item_signals(users, items, self.n_users, self.n_items)
        transport = filtered(interaction_graph(signals, a, s), settings.filter_coefficients)
        for name, features in self.modalities.items():
            weight = settings.modality_weights.get(name, settings.content_weight)
            if weight:
                graph = content_graph(features.matrix, features.present, a, s)
                transport.add_(filtered(graph, settings.filter_coefficients), alpha=weight)
        self.sheaf = FullItemSheaf(signals, transport=transport).to(config["device"])
        self.sheaf.ridge_loss = turned_away(self.sheaf, signals)


def turned_away(sheaf: FullItemSheaf, signals: ItemSignals) -> float:
    """One minus the cosine of a history and its scores, the mean over users; nothing minimises it. Time O(t n)."""
    cosines, users = 0.0, (signals.user_offsets.diff() > 0).nonzero().squeeze(1)
    for some in users.split(max(1, SCORES_AT_ONCE // signals.n_items)):
        cosines += float(torch.cosine_similarity(sheaf.histories(some), sheaf.scores(some), dim=1).sum())
    return 1 - cosines / max(len(users), 1)


def interaction_graph(signals: ItemSignals, degree_power: float, similarity_power: float) -> Float[Tensor, "n n"]:
    """P; zeros at items without interactions. Time O(t n) for t interactions, memory O(n^2)."""
    of_users = signals.user_offsets.diff().clamp(min=1).to(signals.user_weight) ** (-2 * degree_power)
    scale = signals.degree.clamp(min=1).to(of_users) ** (degree_power - 1)
    gram = gram_matrix(replace(signals, row_weight=of_users), content=False)
    return gram.mul_(scale).mul_(scale.unsqueeze(1)).pow_(similarity_power)


def content_graph(
    matrix: Float[Tensor, "n d"], present: Bool[Tensor, " n"], degree_power: float, similarity_power: float
) -> Float[Tensor, "n n"]:
    """P_m; zeros at items without a row. Time O(n^2 d), memory O(n^2)."""
    rows = torch.zeros_like(matrix)
    if present.any():
        rows[present] = refined(matrix[present])
    of_rows, of_columns = (sums.where(sums > 0, torch.ones_like(sums)) for sums in (rows.sum(1), rows.sum(0)))
    rows = of_rows.pow(-degree_power).unsqueeze(1) * rows * of_columns.pow(degree_power - 1)
    return (rows @ rows.mT).pow_(similarity_power)


def refined(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Columns less their medians, over their interquartile ranges where these are not 0, then shifted to a least 0."""
    low, middle, high = torch.from_numpy(np.quantile(rows.numpy(), [0.25, 0.5, 0.75], axis=0)).to(rows)
    spread = high - low
    scaled = (rows - middle) / spread.where(spread > 0, torch.ones_like(spread))
    return scaled - scaled.min()


def filtered(graph: Float[Tensor, "n n"], coefficients: Sequence[float]) -> Float[Tensor, "n n"]:
    """The sum over k of the k-th coefficient times the k-th power of a graph, by Horner's rule; O(k n^3)."""
    if len(coefficients) == 1:
        return coefficients[0] * graph
    out = coefficients[-1] * graph
    for coefficient in reversed(coefficients[:-1]):
        out.diagonal().add_(coefficient)
        out = out @ graph
    return out

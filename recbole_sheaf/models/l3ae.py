r"""L3AE: a linear autoencoder that keeps close to what content says (Moon, Park & Lee, CIKM 2025,
https://arxiv.org/abs/2508.13500).

Notation: X holds the training interactions, F the items' content, one row an item. Both phases are regressions of items
on the others, with a zero diagonal, as in EASE (Steck 2019, https://arxiv.org/abs/1905.03375):

.. math:: C = \arg\min |F^\top - F^\top C|^2 + \lambda_F |C|^2, \qquad
    B = \arg\min |X - X B|^2 + \lambda_X |B|^2 + \lambda_E |B - C|^2 .

In closed form, with :math:`Q = (F F^\top + \lambda_F I)^{-1}` and
:math:`P = (X^\top X + (\lambda_X + \lambda_E) I)^{-1}`, off the diagonal

.. math:: C = - Q\, \mathrm{diag}(Q)^{-1}, \qquad
    B = \lambda_E P C - P\, \mathrm{diag}\bigl((1 + \lambda_E (P C)_{ii}) / P_{ii}\bigr) .
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.layers.item_sheaf import FullItemSheaf
from recbole_sheaf.models.closed_form import ClosedFormRecommender
from recbole_sheaf.models.multimodal import refuse_no_modality
from recbole_sheaf.settings.config import ModelSettings
from recbole_sheaf.settings.rules import setting
from recbole_sheaf.sheaf.item_sheaf import precision
from recbole_sheaf.sheaf.item_signals import gram_matrix, item_signals
from recbole_sheaf.sheaf.unit_length import unit_length


@dataclass(frozen=True)
class L3AESettings(ModelSettings):
    """Settings of L3AE; every field is a key of ``properties/model/L3AE.yaml``."""

    ridge: float = setting(0.0)
    content_ridge: float = setting(5.0, above=0)
    distillation_weight: float = setting(150.0, low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ridge + self.distillation_weight > 0:
            raise ConfigError(
                f"ridge {self.ridge} and distillation_weight {self.distillation_weight} add up to no more than 0, and "
                "their sum keeps the maps small; raise one"
            )


class L3AE(ClosedFormRecommender):
    r"""Scores :math:`x_u^\top B` of a history.

    The paper's content is a language model's vector of each item; here it is all modalities side by side, each at unit
    length, zeros where an item has no row. Its settings are searched, a negative :math:`\lambda_X` among them, which
    is allowed as long as :math:`\lambda_X + \lambda_E` is above 0. At :math:`\lambda_E = 0` it is EASE.
    """

    settings_class = L3AESettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = L3AESettings.from_recbole(config)
        refuse_no_modality(self, instead="EASE")
        users, items = dataset.inter_feat[dataset.uid_field], dataset.inter_feat[dataset.iid_field]
        signals = item_signals(users, items, self.n_users, self.n_items)
        content = torch.cat([unit_length(features.matrix) for features in self.modalities.values()], dim=1)
        correlations = content_correlations(content, settings.content_ridge)
        gram, weight = gram_matrix(signals), settings.distillation_weight
        transport = distilled(gram, correlations, settings.ridge, weight)
        self.sheaf = FullItemSheaf(signals, transport=transport).to(config["device"])
        self.sheaf.ridge_loss = float(objective(gram, correlations, transport, weight).mean())


def content_correlations(content: Float[Tensor, "n d"], ridge: float) -> Float[Tensor, "n n"]:
    """C; zeros at items whose content is zeros. Time O(n^2 (n + d)), memory O(n^2)."""
    Q = precision(content @ content.mT, content.new_full((len(content),), ridge))
    return (-Q / Q.diagonal()).fill_diagonal_(0.0)


def distilled(
    gram: Float[Tensor, "n n"], correlations: Float[Tensor, "n n"], ridge: float, weight: float
) -> Float[Tensor, "n n"]:
    r"""B, from :math:`X^\top X` and C; time O(n^3), memory O(n^2)."""
    P = precision(gram, gram.new_full((len(gram),), ridge + weight))
    B = weight * (P @ correlations)
    return B.sub_(P * ((1 + B.diagonal()) / P.diagonal())).fill_diagonal_(0.0)


def objective(
    gram: Float[Tensor, "n n"], correlations: Float[Tensor, "n n"], transport: Float[Tensor, "n n"], weight: float
) -> Float[Tensor, " n"]:
    r"""Each column's share of what B minimises, at the minimum; time O(n^2).

    There its gradient is 0 off the diagonal and B is 0 on it, which leaves
    :math:`G_{ii} + \lambda_E |c_i|^2 - \sum_j (G + \lambda_E C)_{ji} B_{ji}` with G the Gram matrix.
    """
    pulled = ((gram + weight * correlations) * transport).sum(dim=0)
    return gram.diagonal() + weight * correlations.square().sum(dim=0) - pulled

r"""ContentKNN: items whose content is like that of a user's history, the control of every claim on cold items.

.. math:: s_{ui} = \frac{1}{|I_u|} \sum_{j \in I_u} \frac{1}{M} \sum_m \cos(f_{jm} - \bar f_m,\ f_{im} - \bar f_m),

f_{im} the row of item i in modality m of M, :math:`\bar f_m` the mean row, :math:`I_u` the user's training items.
Without a row the cosine is 0. All of a history are neighbours, and nothing is trained.
"""

from typing import Any

import torch
from jaxtyping import Float
from recbole.utils import InputType, ModelType
from torch import Tensor, nn
from torch.nn.functional import normalize

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.models.multimodal import ContentRecommender, refuse_no_modality
from recbole_sheaf.settings.config import ModelSettings


class ContentKNN(ContentRecommender):
    """Scores by inner products of unit rows of content, side by side, and their means over histories.

    Raises:
        ConfigError: if there is no modality.

    Time and memory O((n_users + n_items) dim), and once O(r dim) for r interactions.
    """

    input_type = InputType.POINTWISE
    type = ModelType.TRADITIONAL
    losses = ("bpr",)  # that is: not softmax; nothing is trained
    settings_class = ModelSettings  # it has none of its own

    item_rows: Tensor
    user_rows: Tensor

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        refuse_no_modality(self, instead=None)
        rows = [unit_rows(features) for features in self.modalities.values()]
        items = torch.cat(rows, dim=1) / len(rows) ** 0.5
        users, chosen = dataset.inter_feat[dataset.uid_field], dataset.inter_feat[dataset.iid_field]
        lengths = torch.bincount(users, minlength=self.n_users).clamp(min=1)
        weights = 1 / lengths[users].to(items.dtype)
        size = (self.n_users, self.n_items)
        means = torch.sparse_coo_tensor(torch.stack([users, chosen]), weights, size, check_invariants=True) @ items
        self.register_buffer("item_rows", items, persistent=False)
        self.register_buffer("user_rows", means, persistent=False)
        self.unlikeness = float(1 - (lengths * means.square().sum(dim=1)).sum() / len(users))
        self.unused = nn.Parameter(torch.zeros(1), requires_grad=False)  # an optimiser of nothing is refused
        self.to(config["device"])

    def forward(self) -> tuple[Float[Tensor, "n_users f"], Float[Tensor, "n_items f"]]:
        """Means of histories, and content."""
        return self.user_rows, self.item_rows

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """1 less the mean score of the training interactions, whatever the batch: nothing is there to lower it."""
        return torch.tensor(self.unlikeness, device=self.device, requires_grad=True)


def unit_rows(features: ModalityFeatures) -> Float[Tensor, "n_items dim"]:
    """Rows less their mean, at unit length; zeros where an item has none."""
    present = features.present.unsqueeze(1)
    centred = features.matrix - features.matrix[features.present].mean(dim=0)
    return normalize(centred) * present

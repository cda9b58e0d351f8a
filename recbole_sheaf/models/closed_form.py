"""Recommenders that are fitted when they are built, and score a user by their history through maps between items."""

from typing import Any

import torch
from jaxtyping import Float
from recbole.utils import InputType, ModelType
from torch import Tensor, nn

from recbole_sheaf.layers.item_sheaf import ItemSheaf
from recbole_sheaf.models.multimodal import ItemContent
from recbole_sheaf.models.score_factors import ScoreFactors, ScoresInPieces
from recbole_sheaf.sheaf.item_maps import ItemMaps


class ClosedFormRecommender(ItemContent, ScoresInPieces):
    r"""Scores :math:`x_u^\top B` of a user's history x_u; a subclass fits B and keeps it as ``sheaf``.

    RecBole's one epoch of a traditional model changes nothing. A user without a history gets zeros.
    """

    input_type = InputType.POINTWISE
    type = ModelType.TRADITIONAL
    losses = ("bpr",)  # that is: not softmax; a closed form has a loss of its own
    sheaf: ItemSheaf

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.unused = nn.Parameter(torch.zeros(1), requires_grad=False)  # an optimiser of nothing is refused

    def calculate_loss(self, interaction: Any) -> Float[Tensor, ""]:
        """What the maps' fit leaves, whatever the batch: no parameter is left to lower it."""
        return torch.tensor(self.sheaf.ridge_loss, device=self.device, requires_grad=True)

    def score_factors(self) -> ScoreFactors:
        """No vectors: the maps are the whole score, a new user's too."""
        return ScoreFactors.of_maps_alone(self.n_users, self.n_items)

    def item_maps(self) -> ItemMaps:
        """B."""
        return self.sheaf.maps()

    def predict(self, interaction: Any) -> Float[Tensor, " b"]:
        """Scores of b user-item pairs."""
        users, rows = torch.unique(interaction[self.USER_ID], return_inverse=True)
        return self.sheaf.scores(users)[rows, interaction[self.ITEM_ID]]

    def full_sort_predict(self, interaction: Any) -> Float[Tensor, " scores"]:
        """Scores of b users for every item, flattened as RecBole wants them."""
        return self.sheaf.scores(interaction[self.USER_ID]).flatten()

r"""ItemSheaf: restriction maps between items, learnt in closed form from users and content alike.

A linear item-item model in the family of EASE (Steck 2019, https://arxiv.org/abs/1905.03375), read as a sheaf on items;
the mathematics is in :mod:`recbole_sheaf.sheaf.item_sheaf`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

import torch

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.item_sheaf import ItemSheaf as Sheaf
from recbole_sheaf.models.closed_form import ClosedFormRecommender
from recbole_sheaf.models.item_sheaf_forms import Auto, ClosedForm, Fitting, open_forms
from recbole_sheaf.models.score_factors import PlacedItems
from recbole_sheaf.settings.config import ModelSettings
from recbole_sheaf.settings.rules import setting
from recbole_sheaf.settings.vocabulary import ITEM_SHEAF_MAPS

FORM_SETTINGS = {
    "content": "content_weight",
    "neighbourhoods": "neighbourhood_weight",
    "ridge": "ridge",
    "map_dropout": "map_dropout",
    "lift_power": "lift_power",
}


@dataclass(frozen=True)
class ItemSheafSettings(ModelSettings):
    """Settings of ItemSheaf; every field is a key of ``properties/model/ItemSheaf.yaml``."""

    restriction_map: str = setting("learnt", choices=ITEM_SHEAF_MAPS)
    item_sheaf_neighbours: int = setting(-1, low=-1)
    ridge: Auto = setting("auto", kind=float, low=0, words=("auto",))
    map_dropout: Auto = setting("auto", kind=float, low=0, high=0.99, words=("auto",))
    cold_ridge: float = setting(20.0, low=0)
    history_power: float = setting(0.5, low=0, high=1)
    content_weight: Auto = setting("auto", kind=float, low=0, words=("auto",))
    neighbourhood_weight: Auto = setting("auto", kind=float, low=0, words=("auto",))
    nearest: int = setting(10, low=1)
    lift_power: Auto = setting("auto", kind=float, low=0, words=("auto",))
    modality_weights: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.modality_weights, Mapping):
            raise ConfigError(f"modality_weights is {self.modality_weights!r}, expected {{modality: factor}}")


class ItemSheaf(ClosedFormRecommender):
    r"""Scores :math:`x_u^\top B` of a user's history x_u, B the transport between items.

    Before RecBole's one epoch of a traditional model validation chooses what the closed form is made of, as far as the
    settings leave it open (:mod:`recbole_sheaf.models.item_sheaf_forms`). An item without training interactions is
    scored through maps fitted to its content (:mod:`recbole_sheaf.sheaf.cold_items`). ``restriction_map: identity`` is
    the control: cosines on the same arcs.
    """

    settings_class = ItemSheafSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = ItemSheafSettings.from_recbole(config)
        fitting = Fitting(
            settings.restriction_map,
            settings.item_sheaf_neighbours,
            settings.cold_ridge,
            settings.history_power,
            settings.nearest,
            settings.modality_weights,
        )
        forms = open_forms(settings.content_weight, settings.neighbourhood_weight, settings.ridge, settings.map_dropout)
        self.closed_form = ClosedForm(config, dataset, self.modalities, fitting, forms, settings.lift_power)

    @property
    def sheaf(self) -> Sheaf:  # type: ignore[override]  # other closed forms are fitted when they are built
        """The item sheaf, in the form that validation chose."""
        return self.closed_form.sheaf

    @property
    def chosen(self) -> dict[str, float]:
        """What of the form validation chose."""
        return self.closed_form.chosen(FORM_SETTINGS)

    @property
    def message_passing(self) -> Optional[str]:
        """The backend in use, ``dgl`` or ``torch``; None in full form, where no messages are passed."""
        return self.sheaf.message_passing

    def place(self, modalities: Mapping[str, ModalityFeatures]) -> PlacedItems:
        """By the maps into cold items, which a new one is to the model."""
        nothing = torch.zeros(len(next(iter(modalities.values())).matrix) - 1, 0)
        return PlacedItems(nothing, nothing, nothing, maps=self.closed_form.maps_into_new(modalities))

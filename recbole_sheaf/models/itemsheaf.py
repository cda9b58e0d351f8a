r"""ItemSheaf: restriction maps between items, learnt in closed form from users and content alike.

A linear item-item model in the family of EASE (Steck 2019, https://arxiv.org/abs/1905.03375), read as a sheaf on items;
the mathematics is in :mod:`recbole_sheaf.sheaf.item_sheaf`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recbole_sheaf.config import ModelSettings
from recbole_sheaf.errors import ConfigError, nearest
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.item_sheaf import LocalItemSheaf, fit_item_sheaf
from recbole_sheaf.models.closed_form import ClosedFormRecommender
from recbole_sheaf.rules import setting
from recbole_sheaf.sheaf.item_signals import ItemSignals, content_coordinates, item_signals
from recbole_sheaf.vocabulary import ITEM_SHEAF_MAPS


@dataclass(frozen=True)
class ItemSheafSettings(ModelSettings):
    """Settings of ItemSheaf; every field is a key of ``properties/model/ItemSheaf.yaml``."""

    restriction_map: str = setting("learnt", choices=ITEM_SHEAF_MAPS)
    item_sheaf_neighbours: int = setting(-1, low=-1)
    ridge: float = setting(50.0, low=0)
    map_dropout: float = setting(0.2, low=0, high=0.99)
    cold_ridge: float = setting(20.0, low=0)
    history_power: float = setting(0.5, low=0, high=1)
    content_weight: float = setting(5.0, low=0)
    modality_weights: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.modality_weights, Mapping):
            raise ConfigError(f"modality_weights is {self.modality_weights!r}, expected {{modality: factor}}")


class ItemSheaf(ClosedFormRecommender):
    r"""Scores :math:`x_u^\top B` of a user's history x_u, B the transport between items.

    An item without training interactions is scored through maps fitted to its content
    (:mod:`recbole_sheaf.sheaf.cold_items`). ``restriction_map: identity`` is the control: cosines on the same arcs.
    """

    settings_class = ItemSheafSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        settings = ItemSheafSettings.from_recbole(config)
        weights = share_out(settings.content_weight, settings.modality_weights, self.modalities)
        self.sheaf = fit_item_sheaf(
            training_signals(dataset, self.modalities, weights, settings.history_power, self.n_users, self.n_items),
            restriction_map=settings.restriction_map,
            neighbours=settings.item_sheaf_neighbours,
            ridge=settings.ridge,
            map_dropout=settings.map_dropout,
            cold_ridge=settings.cold_ridge,
            backend=config["message_passing"],
            device=config["device"],
        )

    @property
    def message_passing(self) -> Any:
        """The backend in use, ``dgl`` or ``torch``; None in full form, where no messages are passed."""
        return self.sheaf.graph.backend if isinstance(self.sheaf, LocalItemSheaf) else None


def training_signals(
    dataset: Any,
    modalities: Mapping[str, ModalityFeatures],
    weights: Mapping[str, float],
    history_power: float,
    n_users: int,
    n_items: int,
) -> ItemSignals:
    """Signals of a RecBole dataset's interactions and of content with weights alpha_m; padding has none."""
    rows = [(features.matrix, features.present) for features in modalities.values()]
    content = content_coordinates(rows, [weights[name] for name in modalities]) if modalities else None
    return item_signals(
        dataset.inter_feat[dataset.uid_field],
        dataset.inter_feat[dataset.iid_field],
        n_users,
        n_items,
        content,
        history_power,
    )


def share_out(total: float, given: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, float]:
    """Weights alpha_m: ``total`` in equal parts, or each modality's own part of it where it is given."""
    for name, share in given.items():
        if name not in names:
            raise ConfigError(f"modality_weights names '{name}'{nearest(str(name), names)}, no modality in use")
        if isinstance(share, bool) or not isinstance(share, (int, float)) or share < 0:
            raise ConfigError(f"modality_weights gives {name} {share!r}, expected a number >= 0")
    return {name: total * given.get(name, 1.0) / len(names) for name in names}

"""SheafRec: a sheaf learnt for one modality, or for ID embeddings alone, with any family of restriction maps."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from recbole_sheaf.data import cached_knn_arcs
from recbole_sheaf.data.co_choice import co_choice_lift
from recbole_sheaf.data.identity import data_read
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.models.mmsheaf import MMSheaf, MMSheafSettings
from recbole_sheaf.models.multimodal import MultimodalRecommender
from recbole_sheaf.settings.config import cache_folder
from recbole_sheaf.settings.modality_choices import AUTO, FILES_ELSE_TEXT
from recbole_sheaf.settings.rules import Choices, choices, setting
from recbole_sheaf.settings.vocabulary import RESTRICTION_MAPS

logger = logging.getLogger(__name__)

NEIGHBOURS = 10  # nearest items by which modalities are told apart
ALL_THERE = (AUTO, FILES_ELSE_TEXT, [AUTO], [FILES_ELSE_TEXT])  # values of `modalities` that name none


@dataclass(frozen=True)
class SheafRecSettings(MMSheafSettings):
    """Settings of SheafRec, MMSheaf with one modality; every field is a key of ``properties/model/SheafRec.yaml``."""

    use_id_stalk: bool = setting(False)
    restriction_map: str = setting("factored", choices=RESTRICTION_MAPS)
    item_graph_neighbours: Union[str, int] = setting(0, kind=int, low=0, words=("auto",))
    item_sheaf_weight: Choices = choices(0.0)


class OneModality(MultimodalRecommender):
    """A multimodal recommender that keeps one modality: the one that is named, or the one that foretells choices best.

    Best is the largest (lift - 1) times the share of items that have a row. The lift is how many times as often as by
    chance an item and its ten nearest in a modality are chosen by the same users
    (:mod:`recbole_sheaf.data.co_choice`); it reads training interactions alone, so neither validation nor test decides.
    What was taken is written into the settings, so that a checkpoint, or an update of it, stays with its modality.
    """

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        if len(self.modalities) < 2:
            return
        if config["modalities"] not in ALL_THERE:
            names = list(self.modalities)
            raise ConfigError(
                f"SheafRec takes one modality, but modalities gives {', '.join(names)}; "
                f"name one, for example modalities=[{names[0]}], or take MMSheaf"
            )
        name = self._best_modality(cache_folder(config))
        self.modalities = {name: self.modalities[name]}
        config["modalities"] = [name]
        data_read(config).features = dict(self.modalities)

    def _best_modality(self, cache_dir: Path) -> str:
        """The name of the modality to take, the first of equals. Time O(n_items^2 dim), once for each modality."""
        lifts = {name: self._lift(features, cache_dir) for name, features in self.modalities.items()}
        covered: Mapping[str, float] = self.modality_coverage
        best = max(lifts, key=lambda name: (lifts[name] - 1) * covered[name])
        logger.info(
            "SheafRec takes one modality, here '%s': nearest items are chosen together %s times as often as by chance, "
            "counted on the training part; to take another, name it in modalities, as in modalities: [%s]",
            best,
            ", ".join(f"{lift:.2f} ({name}, {covered[name]:.0%} of the items)" for name, lift in lifts.items()),
            next(name for name in lifts if name != best),
        )
        return best

    def _lift(self, features: ModalityFeatures, cache_dir: Path) -> float:
        """How many times as often as by chance nearest items of a modality are chosen together in training."""
        src, dst, _ = cached_knn_arcs(features, NEIGHBOURS, cache_dir)
        return co_choice_lift(src, dst, *self.training_pairs(), self.n_users, self.n_items)


class SheafRec(MMSheaf, OneModality):
    """MMSheaf with one stalk: that of one modality, or with ``modalities: []`` that of the ID embeddings.

    The first stage of multimodal diffusion, without the item sheaf, and the setting of Neural Sheaf Diffusion:
    ``map_source: signal`` learns the maps from the node signal as the paper does, ``content`` from the modality's
    principal components. Of several modalities that nobody named it takes one, see :class:`OneModality`.
    """

    settings_class = SheafRecSettings

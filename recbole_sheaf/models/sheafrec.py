"""SheafRec: a sheaf learnt for one modality, or for ID embeddings alone, with any family of restriction maps."""

from dataclasses import dataclass
from typing import Any, Union

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.models.mmsheaf import MMSheaf, MMSheafSettings
from recbole_sheaf.settings.rules import Choices, choices, setting
from recbole_sheaf.settings.vocabulary import RESTRICTION_MAPS


@dataclass(frozen=True)
class SheafRecSettings(MMSheafSettings):
    """Settings of SheafRec, MMSheaf with one modality; every field is a key of ``properties/model/SheafRec.yaml``."""

    use_id_stalk: bool = setting(False)
    restriction_map: str = setting("factored", choices=RESTRICTION_MAPS)
    item_graph_neighbours: Union[str, int] = setting(0, kind=int, low=0, words=("auto",))
    item_sheaf_weight: Choices = choices(0.0)


class SheafRec(MMSheaf):
    """MMSheaf with one stalk: that of one modality, or with ``modalities: []`` that of the ID embeddings.

    The first stage of multimodal diffusion, without the item sheaf, and the setting of Neural Sheaf Diffusion:
    ``map_source: signal`` learns the maps from the node signal as the paper does, ``content`` from the modality's
    principal components.
    """

    settings_class = SheafRecSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        if len(self.modalities) > 1:
            names = list(self.modalities)
            raise ConfigError(
                f"SheafRec takes one modality, but modalities gives {', '.join(names)}; "
                f"name one, for example modalities=[{names[0]}], or take MMSheaf"
            )

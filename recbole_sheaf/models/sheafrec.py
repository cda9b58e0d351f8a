"""SheafRec: a sheaf learnt for one modality, or for identities alone, with any family of restriction maps."""

from typing import Any

from recbole_sheaf.config import SheafRecSettings
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.models.mmsheaf import MMSheaf


class SheafRec(MMSheaf):
    """MMSheaf with one stalk: that of one modality, or with ``modalities: []`` that of the identities.

    The first stage of multimodal diffusion, and the setting of Neural Sheaf Diffusion: ``map_source: signal`` learns
    the maps from the node signal as the paper does, ``content`` from the modality's principal components.
    """

    settings_class = SheafRecSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        if len(self.modalities) > 1:
            names = list(self.modalities)
            raise ConfigError(
                f"SheafRec takes one modality, but modalities gives {', '.join(names)}; "
                f"name one, for example --modalities=[{names[0]}], or take MMSheaf"
            )

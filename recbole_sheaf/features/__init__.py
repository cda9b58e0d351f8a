"""Modality vectors: read from disk or made from raw text, checked, put into RecBole's item order.

Public: :class:`ModalityFeatures` and :func:`load_modalities`, which models call; :class:`FeatureAblation` and
:func:`ablate`, the same content with something taken away; :func:`read_features` and :func:`write_features`, for people
who bring their own vectors.
"""

from recbole_sheaf.features.ablation import FeatureAblation, ablate
from recbole_sheaf.features.files import read_features, write_features
from recbole_sheaf.features.loading import load_modalities
from recbole_sheaf.features.modality import ModalityFeatures

__all__ = ["FeatureAblation", "ModalityFeatures", "ablate", "load_modalities", "read_features", "write_features"]

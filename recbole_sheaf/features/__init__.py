"""Modality vectors: read from disk or made from raw text, checked, put into RecBole's item order.

Public: :class:`ModalityFeatures` and :func:`load_modalities`, which models call; :class:`FeatureAblation` and
:func:`ablate`, the same content with something taken away; :func:`read_features` and :func:`write_features`, for people
who bring their own vectors.

A name is imported when it is asked for: reading a table wants neither PyTorch nor scikit-learn.
"""

from typing import TYPE_CHECKING

from recbole_sheaf.lazy_names import imported_on_demand

if TYPE_CHECKING:
    from recbole_sheaf.features.ablation import FeatureAblation, ablate
    from recbole_sheaf.features.loading import load_modalities
    from recbole_sheaf.features.modality import ModalityFeatures
    from recbole_sheaf.files.feature_files import read_features, write_features

_WHERE = {
    "FeatureAblation": "features.ablation",
    "ablate": "features.ablation",
    "read_features": "files.feature_files",
    "write_features": "files.feature_files",
    "load_modalities": "features.loading",
    "ModalityFeatures": "features.modality",
}

__all__ = [
    "FeatureAblation",
    "ModalityFeatures",
    "ablate",
    "load_modalities",
    "read_features",
    "write_features",
]

__getattr__ = imported_on_demand(__name__, _WHERE)

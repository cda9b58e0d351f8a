"""Other people's dataset folders into what RecBole reads; interactions and content into graphs.

Public: :func:`check_dataset_folder` and :func:`absent_dataset`; :func:`is_mmrec_folder`, :func:`convert_mmrec_folder`
and its :class:`ConvertedFolder`; :func:`bipartite_arcs`, :func:`knn_arcs` and :func:`cached_knn_arcs`.
"""

from recbole_sheaf.data.folders import absent_dataset, check_dataset_folder
from recbole_sheaf.data.graphs import bipartite_arcs, cached_knn_arcs, knn_arcs
from recbole_sheaf.data.mmrec import ConvertedFolder, convert_mmrec_folder
from recbole_sheaf.data.mmrec_folder import is_mmrec_folder

__all__ = [
    "ConvertedFolder",
    "absent_dataset",
    "bipartite_arcs",
    "cached_knn_arcs",
    "check_dataset_folder",
    "convert_mmrec_folder",
    "is_mmrec_folder",
    "knn_arcs",
]

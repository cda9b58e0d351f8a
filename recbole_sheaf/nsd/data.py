"""Node classification benchmarks from ``.npz`` files: features, labels, edges and ten given folds.

The datasets and folds are those of Pei et al. 2020 (Geom-GCN, https://arxiv.org/abs/2002.05287), which Neural Sheaf
Diffusion uses. Each file holds ``node_features`` (n, f), ``node_labels`` (n,), ``edges`` (e, 2) with every undirected
edge once, and ``train_masks``, ``val_masks``, ``test_masks`` (folds, n).
"""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recbole_sheaf.errors import DataError
from recbole_sheaf.sheaf import UndirectedGraph, both_directions, undirected_graph

ARRAYS = ("node_features", "node_labels", "edges", "train_masks", "val_masks", "test_masks")


@dataclass(frozen=True)
class NodeClassification:
    """One graph with features and classes of its nodes, and masks of each fold."""

    features: Float[Tensor, "n f"]
    labels: Int[Tensor, " n"]
    graph: UndirectedGraph
    train_masks: Bool[Tensor, "folds n"]
    val_masks: Bool[Tensor, "folds n"]
    test_masks: Bool[Tensor, "folds n"]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1


def load_node_classification(dataset: str, data_path: Path) -> NodeClassification:
    """Read ``<dataset>.npz`` from a folder, or from its subfolder ``node-classification``.

    Every node's features are divided by their sum, as in the published protocol.

    Raises:
        DataError: if the file is absent or unreadable, an array is missing, or folds overlap.
        GraphError: if an edge leaves the node range, is a self-loop or is listed twice.
    """
    arrays = _read(_find(dataset, Path(data_path)))
    masks = [torch.from_numpy(arrays[f"{part}_masks"]).bool() for part in ("train", "val", "test")]
    train, val, test = masks
    if (train & val | train & test | val & test).any():
        raise DataError(f"{dataset}: some node is in two of train, val and test of the same fold; mend the masks")
    edges = torch.from_numpy(arrays["edges"]).long()
    graph = undirected_graph(both_directions(edges), len(arrays["node_labels"]))
    features = torch.from_numpy(arrays["node_features"]).float()
    labels = torch.from_numpy(arrays["node_labels"]).long()
    return NodeClassification(normalise_rows(features), labels, graph, *masks)


def normalise_rows(features: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
    """Each row divided by its sum; rows that sum to less than one keep their scale, zero rows stay zero."""
    return features / features.sum(1, keepdim=True).clamp(min=1)


def _find(dataset: str, data_path: Path) -> Path:
    places = [data_path / f"{dataset}.npz", data_path / "node-classification" / f"{dataset}.npz"]
    for place in places:
        if place.is_file():
            return place
    found = sorted({path.stem for place in places for path in place.parent.glob("*.npz")})
    listed = f"; found there: {', '.join(found)}" if found else ""
    raise DataError(f"there is no {dataset}.npz in {data_path} or its node-classification folder{listed}")


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ARRAYS if name in file.files}
    except (BadZipFile, OSError, EOFError, ValueError) as error:  # ValueError: pickled content
        raise DataError(f"{path} is not a readable .npz file: {error}") from error
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; expected the arrays {', '.join(ARRAYS)}")
    return arrays

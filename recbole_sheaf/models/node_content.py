"""What the content of a node says, in a few numbers: the input from which restriction maps are learnt.

Maps learnt from trainable embeddings overfit, so these coordinates are fixed: principal components of an item's
vectors, and for a user the mean over the items chosen in training.
"""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from sklearn.decomposition import PCA
from torch import Tensor

from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.sheaf.unit_length import unit_length


def node_content(
    graph: ArcGraph, modalities: Iterable[ModalityFeatures], n_users: int, size: int
) -> Float[Tensor, "n p"]:
    """Fixed coordinates of every node, of unit variance; p is at most ``size`` per modality.

    Args:
        graph: users first, then items; both directions of every training interaction.
        modalities: item content; an item without a row has zeros, the mean of the others.
        n_users: padding included.
        size: principal components per modality.

    A node without content and without neighbours has zeros. Time O(n_items dim size) per modality.
    """
    items = torch.cat([principal_coordinates(features, size) for features in modalities], dim=1)
    nodes = torch.cat([items.new_zeros(n_users, items.shape[1]), items])
    degree = graph.in_degrees.to(nodes.dtype).clamp(min=1).unsqueeze(1).cpu()
    means = graph.sum_neighbours(nodes.to(graph.device)).cpu() / degree
    nodes[:n_users] = means[:n_users]
    return torch.cat([_unit_variance(nodes[:n_users]), _unit_variance(nodes[n_users:])])


def principal_coordinates(features: ModalityFeatures, size: int) -> Float[Tensor, "n_items p"]:
    """Principal components of the normalised vectors of present items, scaled to unit variance; zeros elsewhere.

    A direction in which rows differ by float32 rounding only is zeros too: scaled up, it would tell equal items apart.
    """
    rows = unit_length(features.matrix[features.present]).double().numpy()
    components = min(size, *rows.shape)
    pca = PCA(components, whiten=True, random_state=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # rows that are all equal have no variance to share out
        coordinates = torch.from_numpy(pca.fit_transform(rows)).float()
    rounding = np.finfo(np.float32).eps * np.sqrt(len(rows))  # length of the error in so many rows of length 1
    coordinates[:, torch.from_numpy(pca.singular_values_ <= rounding)] = 0.0
    out = torch.zeros(len(features.matrix), components)
    out[features.present] = torch.nan_to_num(coordinates)
    return out


def _unit_variance(x: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
    deviation = x.square().mean(dim=0).sqrt()
    return x / torch.where(deviation > 0, deviation, torch.ones_like(deviation))

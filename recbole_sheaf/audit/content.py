"""What a modality's vectors are worth before a model reads them: who has none, who shares one, what they foretell.

Content foretells co-choice where items near to each other in it are had by the same people more often than items joined
at random (:mod:`recbole_sheaf.data.co_choice`). The null is the same modality with its rows shuffled among the items:
the same graph, whose nodes are other items. Rows of noise, or of the wrong items, do no better than that.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from recbole_sheaf.audit.findings import BROKEN, LOOK, OK, Finding, percent
from recbole_sheaf.audit.interactions import Split, Tokens
from recbole_sheaf.data.co_choice import co_choice_lift
from recbole_sheaf.data.graphs import WeightedArcs
from recbole_sheaf.errors import counted
from recbole_sheaf.features import ModalityFeatures

NEIGHBOURS = 10
NEAR = 0.999  # cosine from which on two items are near-duplicates
SHUFFLES = 9
DEVIATIONS = 3  # of the null above its mean, which noise stays below
LITTLE = 0.1  # lift above the null that helps little
FEW, MANY, NEARLY_ALL = 0.05, 0.5, 0.9
SOME_MISSING, SOME_ZERO = 0.1, 0.01


def content_findings(
    features: ModalityFeatures,
    neighbours: Callable[[ModalityFeatures, int], WeightedArcs],
    split: Split,
    tokens: Tokens,
) -> list[Finding]:
    """What is missing, what is there twice, and what it foretells.

    Args:
        features: of one modality.
        neighbours: as :func:`recbole_sheaf.data.knn_arcs`.
        split: of which training alone is read.
        tokens: of items' numbers.

    Time O(n^2 dim) for the neighbours of n items, and O(the interactions of their ends) for each of ten lifts; memory
    O(n dim) and some 200 MB.
    """
    found = missing(features, tokens)
    real = without_zero_rows(features)
    if int(real.present.sum()) < 2:
        return [found]
    arcs = neighbours(real, NEIGHBOURS)
    return [found, near_duplicates(real, arcs, tokens), co_choice(features.name, arcs, real, split)]


def without_zero_rows(features: ModalityFeatures) -> ModalityFeatures:
    """The same features, items with a row of zeros missing: they are near to nothing."""
    filled = features.present & features.matrix.any(dim=1)
    if torch.equal(filled, features.present):
        return features
    return ModalityFeatures(features.name, features.matrix, filled, features.normalisation)


def missing(features: ModalityFeatures, tokens: Tokens) -> Finding:
    """Items without a row, rows of zeros, and columns in which all rows agree."""
    present = features.present.numpy()
    zero = present & ~features.matrix.any(dim=1).numpy()
    rows = features.matrix[features.present]
    constant = int((rows.amax(dim=0) == rows.amin(dim=0)).sum()) if len(rows) else features.dim
    absent = np.flatnonzero(~present[1:]) + 1
    numbers = {
        "dimensions": features.dim,
        "share_without_row": len(absent) / max(len(present) - 1, 1),
        "share_of_rows_all_zero": float(zero.sum() / max(present.sum(), 1)),
        "share_of_columns_constant": constant / max(features.dim, 1),
    }
    without, zeros, columns = list(numbers.values())[1:]
    said = (
        f"{percent(without)} of the items have no row, {percent(zeros)} of the rows are all zero and "
        f"{percent(columns)} of the {features.dim} columns are constant; "
    )
    if without > NEARLY_ALL or zeros == 1 or columns == 1:
        return _missing(features, BROKEN, f"{said}make the vectors again, these are (nearly) empty.", numbers)
    if zeros > SOME_ZERO:
        examples = tokens(np.flatnonzero(zero)[:3])
        said += "leave rows of zeros out, so that these items are missing and not alike."
        return _missing(features, LOOK, said, numbers, examples)
    if without > SOME_MISSING:
        said += "encode these items, or see that your model treats a missing row as missing."
        return _missing(features, LOOK, said, numbers, tokens(absent[:3]))
    if columns > MANY:
        return _missing(features, LOOK, f"{said}see whether the encoder was fed what it expects.", numbers)
    return _missing(features, OK, f"{said}nothing to do.", numbers)


def _missing(features: ModalityFeatures, verdict: str, said: str, numbers: Any, examples: Any = ()) -> Finding:
    return Finding("missing content", verdict, said, numbers, features.name, examples)


def near_duplicates(features: ModalityFeatures, arcs: WeightedArcs, tokens: Tokens) -> Finding:
    """Groups of items that their content hardly tells apart, by a cosine of ``NEAR`` or more.

    Groups are joined along the nearest neighbours, so of more than ten near-duplicates a group may fall into several.
    """
    src, dst, similarity = arcs
    near = similarity >= np.float32(NEAR)
    n = len(features.present)
    graph = coo_matrix((np.ones(int(near.sum()), bool), (src[near], dst[near])), shape=(n, n))
    group = connected_components(graph, directed=False)[1]
    sizes = np.bincount(group)
    n_rows = int(features.present.sum())
    repeated, times = np.unique(features.row_hashes[features.present.numpy()], return_counts=True)
    numbers = {
        "groups": int((sizes > 1).sum()),
        "share_of_items_in_groups": float(sizes[sizes > 1].sum() / n_rows),
        "items_in_largest_group": int(np.max(sizes)),
        "share_of_items_with_equal_row": float(times[times > 1].sum() / n_rows),
        "distinct_rows": len(repeated),
    }
    share, largest = numbers["share_of_items_in_groups"], numbers["items_in_largest_group"]
    name, modality = "near-duplicates", features.name
    if not numbers["groups"]:
        return Finding(name, OK, "No two items have nearly the same vector.", numbers, modality)
    groups = counted(int(numbers["groups"]), "group")
    said = (
        f"{percent(share)} of the items with a row are near-duplicates, in {groups}, the largest of {largest}, and "
        f"{percent(float(numbers['share_of_items_with_equal_row']))} have exactly the row of another"
    )
    examples = tokens(np.flatnonzero(group == np.argmax(sizes))[:3])
    if largest > NEARLY_ALL * n_rows and n_rows > 2:
        said += "; it tells hardly any two items apart: take the mean off (normalise), or encode again."
        return Finding(name, BROKEN, said, numbers, modality, examples)
    if share > FEW:
        said += "; see whether they are one item under several ids, or content too coarse to tell items apart."
        return Finding(name, LOOK, said, numbers, modality, examples)
    return Finding(name, OK, f"{said}; nothing to do.", numbers, modality, examples)


def co_choice(modality: str, arcs: WeightedArcs, features: ModalityFeatures, split: Split) -> Finding:
    """The lift of a modality's neighbours, and of the same graph with the items shuffled."""
    users, items = np.divmod(np.unique(split.pairs(split.train)), split.n_items)

    def lift(src: Int[np.ndarray, " arcs"], dst: Int[np.ndarray, " arcs"]) -> float:
        return co_choice_lift(src, dst, users, items, split.n_users, split.n_items)

    src, dst, _ = arcs
    there, rng, nulls = np.flatnonzero(features.present.numpy()), np.random.default_rng(0), []
    for _ in range(SHUFFLES):
        other = np.arange(split.n_items)
        other[there] = rng.permutation(there)
        nulls.append(lift(other[src], other[dst]))
    real, null, spread = lift(src, dst), float(np.mean(nulls)), float(np.std(nulls, ddof=1))
    numbers = {"lift": real, "lift_of_shuffled_rows": null, "deviation_of_shuffled_rows": spread}
    said = (
        f"Its {NEIGHBOURS} nearest items are chosen together {real:.2f} times as often as chance, {null:.2f} times "
        "with rows shuffled"
    )
    name = "content and co-choice"
    if spread == 0 and real == null:
        said = "Nobody has two of the items with content, so whether it foretells choices cannot be told; gather more."
        return Finding(name, LOOK, said, numbers, modality)
    if real <= null + DEVIATIONS * spread:
        said += ": as noise would; see whether rows belong to their items, or do without this modality."
        return Finding(name, BROKEN, said, numbers, modality)
    if real < null + LITTLE:
        said += ": it foretells little; try another encoder, and compare with features=shuffled."
        return Finding(name, LOOK, said, numbers, modality)
    return Finding(name, OK, f"{said}: it foretells what people choose.", numbers, modality)

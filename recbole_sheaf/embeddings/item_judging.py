"""Vectors of a model's items judged as vectors: what near items share, and one modality found from another.

Beside the fused vectors stand their blocks, and, of a checkpoint whose model reads content, that content: each
modality, all side by side, and the principal components of these at the width of the fused vectors. A model's vectors
are worth taking away where they do better than these.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Optional

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from recbole_sheaf.embeddings.embeddings import TEST, TRAIN, VALID, Embeddings
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.evaluation.audience import unit_content
from recbole_sheaf.evaluation.item_vectors import (
    Found,
    Shared,
    chance_of_finding,
    found_across,
    principal_rows,
    shared_with_nearest,
)

AUDIENCE, FUSED, TOGETHER = "audience", "fused", "content together"
WARM, COLD = "warm", "cold"


@dataclass(frozen=True, eq=False)
class Vectors:
    """One kind of vectors of the items, and which of them have one."""

    rows: Float[np.ndarray, "n d"]
    present: Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class Judged:
    """A mean over items beside its chance.

    Attributes:
        items: ``warm`` or ``cold``: with training interactions or without.
        vectors: the kind; of what is found from another, ``title to genre``.
        measure: ``audience``, a column, ``recall@k`` or ``MRR``.
        count: of the items that the mean is over.
        error: the standard error of the mean over them.
        among_equals: the chance among items as popular; of audiences alone.
    """

    items: str
    vectors: str
    measure: str
    count: int
    value: float
    error: float
    chance: float
    among_equals: Optional[float] = None


def content_of(restored: Any) -> dict[str, Vectors]:
    """What a restored model reads of its items, by modality; nothing of one that reads none."""
    modalities = getattr(restored.model, "modalities", {})
    return {
        name: Vectors(each.matrix[1:].cpu().numpy(), each.present[1:].cpu().numpy())
        for name, each in modalities.items()
        if each.present.any()
    }


def judge_items(
    embeddings: Embeddings,
    content: Mapping[str, Vectors],
    groups: Mapping[str, sparse.csr_matrix],
    k: int = 10,
    seed: int = 0,
) -> list[Judged]:
    """Every kind of vectors by every measure, warm and cold items apart.

    An item without a vector of a kind neither asks nor is near in that kind; one without users in validation and test,
    or without a value of a column, neither by that measure. What is left of no more than k items is passed over.

    Args:
        content: from :func:`content_of`; nothing for an export, which does not hold it.
        groups: items by values of columns, from :func:`~recbole_sheaf.embeddings.item_groups.item_groups`.
        k: neighbours, and places of what is found.
        seed: draws the half of the warm items on which maps from kind to kind are fitted; the other half is judged.

    Raises:
        ConfigError: if the model has no vectors of items, k is below 1, or nothing has more items than k.

    Time O(n^2 d) for each kind and measure, in bounded memory.
    """
    if not embeddings.embedded:
        model = embeddings.metadata.get("model", "this model")
        raise ConfigError(f"{model} has no vectors of items to judge; take one that has, such as MMSheaf or LightGCN")
    if k < 1:
        raise ConfigError(f"k is {k}, expected 1 or more")
    n_users, n_items = len(embeddings.users), len(embeddings.items)
    train, held_out = (
        embeddings.histories.matrix(np.arange(n_users), parts, n_items).T.tocsr() for parts in ([TRAIN], [VALID, TEST])
    )
    warm = np.diff(train.indptr) > 0
    fused, blocks = _of_model(embeddings)
    kinds = {FUSED: fused, **{f"block {name}": each for name, each in blocks.items()}}
    kinds |= _controls(content, fused.rows.shape[1])
    measures = {AUDIENCE: held_out, **groups}
    found = [
        judged
        for measure, members in measures.items()
        for name, vectors in kinds.items()
        for judged in _shared(name, vectors, measure, members, warm, k)
    ]
    fitted = np.zeros(n_items, dtype=bool)
    fitted[np.random.default_rng(seed).permutation(np.flatnonzero(warm))[: int(warm.sum()) // 2]] = True
    for name, (source, target) in _pairs(fused, blocks, content).items():
        found += _across(name, source, target, warm, fitted, k)
    if not found:
        raise ConfigError(f"k is {k}, and no kind of vectors has more items than that to judge; take a smaller k")
    return found


def _of_model(embeddings: Embeddings) -> tuple[Vectors, dict[str, Vectors]]:
    """Fused vectors, and those of their blocks where there are several."""
    rows = embeddings.embeddings.astype(np.float32, copy=False)
    blocks = [block for block in embeddings.blocks if block.stop <= embeddings.embedded]
    several = blocks if len(blocks) > 1 else []
    return _vectors(rows), {block.name: _vectors(rows[:, block.columns]) for block in several}


def _vectors(rows: Float[np.ndarray, "n d"]) -> Vectors:
    return Vectors(rows, np.abs(rows).max(axis=1, initial=0) > 0)


def _controls(content: Mapping[str, Vectors], width: int) -> dict[str, Vectors]:
    """What is to be beaten; content alone, and where there are several side by side."""
    found = {f"content {name}": each for name, each in content.items()}
    if not content:
        return found
    together = unit_content([(each.rows.astype(np.float64), each.present) for each in content.values()])
    there = np.any([each.present for each in content.values()], axis=0)
    if len(content) > 1:
        found[TOGETHER] = Vectors(together.astype(np.float32), there)
    width = min(width, together.shape[1])
    rows = np.zeros((len(there), width), dtype=np.float32)
    rows[there] = principal_rows(together[there], width)
    return {**found, f"content PCA {width}": Vectors(rows, there)}


def _pairs(
    fused: Vectors, blocks: Mapping[str, Vectors], content: Mapping[str, Vectors]
) -> dict[str, tuple[Vectors, Vectors]]:
    """Between blocks, between modalities, and from the fused vectors to each modality."""
    found = {
        f"{kind} {source} to {target}": (each[source], each[target])
        for kind, each in (("block", blocks), ("content", content))
        for source, target in permutations(each, 2)
    }
    return {**found, **{f"{FUSED} to content {name}": (fused, each) for name, each in content.items()}}


def _shared(
    name: str, vectors: Vectors, measure: str, members: sparse.csr_matrix, warm: Bool[np.ndarray, " n"], k: int
) -> Iterator[Judged]:
    there = np.flatnonzero(vectors.present & (np.diff(members.indptr) > 0))
    if len(there) <= k:
        return
    held = members[there]
    popularity = np.log2(np.diff(held.indptr)).astype(np.int64) if measure == AUDIENCE else None
    for items, asking in _apart(there, warm):
        found: Shared = shared_with_nearest(vectors.rows[there], held, asking, k, popularity)
        equals = None if popularity is None else float(found.among_equals.mean())
        yield Judged(items, name, measure, *_mean(found.share), float(found.chance.mean()), equals)


def _across(
    name: str,
    source: Vectors,
    target: Vectors,
    warm: Bool[np.ndarray, " n"],
    fitted: Bool[np.ndarray, " n"],
    k: int,
) -> Iterator[Judged]:
    both = source.present & target.present
    learnt, left = np.flatnonzero(both & fitted), np.flatnonzero(both & ~fitted)
    if len(learnt) <= k:
        return
    for items, asking in _apart(left, warm):
        if len(asking) <= k:
            continue
        found: Found = found_across(source.rows, target.rows, learnt, left[asking], k)
        recall, rank = chance_of_finding(len(asking), k)
        yield Judged(items, name, f"recall@{k}", *_mean(found.recall), recall)
        yield Judged(items, name, "MRR", *_mean(found.reciprocal_rank), rank)


def _apart(there: Int[np.ndarray, " m"], warm: Bool[np.ndarray, " n"]) -> Sequence[tuple[str, Int[np.ndarray, " _"]]]:
    """Places among some items of those that are warm, and of those that are cold; without the side that has none."""
    sides = ((WARM, np.flatnonzero(warm[there])), (COLD, np.flatnonzero(~warm[there])))
    return [(name, places) for name, places in sides if len(places)]


def _mean(values: Float[np.ndarray, " q"]) -> tuple[int, float, float]:
    """How many, their mean, and its standard error."""
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return len(values), float(values.mean()), error

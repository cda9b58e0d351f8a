"""Items like an item: by the cosine of their embeddings, or by what an item says for others."""

from collections.abc import Iterator
from typing import Optional

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse
from torch import Tensor
from torch.nn.functional import normalize

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.embeddings.ranking import SCORES_AT_ONCE, Lists, check_k
from recbole_sheaf.errors import ConfigError

BY = ("auto", "embeddings", "coefficients")


def similar_items(
    embeddings: Embeddings,
    rows: Int[np.ndarray, " b"],
    k: int,
    by: str = "auto",
    among: Optional[Bool[np.ndarray, " n"]] = None,
) -> Iterator[Lists]:
    """The k items most like each of some items, the item itself left out.

    Args:
        by: ``embeddings``, the cosine of fused embeddings; ``coefficients``, what an item in a history adds to the
            scores of others, which may be unlike it and often chosen with it; ``auto``, the first where there are any.

    Raises:
        ConfigError: if there are not k other items, or the model lacks what ``by`` names.
    """
    others = len(embeddings.items) if among is None else int(among.sum())
    check_k(k, others - 1)
    by = _chosen(embeddings, by)
    unit = normalize(_floats(embeddings.embeddings))
    said = CoefficientRows(embeddings)
    batch = max(1, SCORES_AT_ONCE // len(embeddings.items))
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        found = unit[torch.from_numpy(some)] @ unit.mT if by == "embeddings" else said(some)
        found[torch.arange(len(some)), torch.from_numpy(some)] = -torch.inf
        if among is not None:
            found[:, torch.from_numpy(~among)] = -torch.inf
        best = torch.topk(found, k, dim=1)
        yield Lists(some, best.indices.numpy(), best.values.numpy())


class CoefficientRows:
    """What items in a history add to the scores of all items: sparse coefficients and history blocks together."""

    def __init__(self, embeddings: Embeddings) -> None:
        self.told = _floats(embeddings.item_told)
        self.heard = _floats(embeddings.item_vectors[:, embeddings.width :])
        said = embeddings.coefficients
        self.by_item = None
        if said is not None:
            parts = (said.data.astype(np.float32, copy=False), said.indices, said.indptr)
            self.by_item = sparse.csc_matrix(parts, shape=said.shape).tocsr()

    def __call__(self, rows: Int[np.ndarray, " b"]) -> Float[Tensor, "b n"]:
        found = self.told[torch.from_numpy(rows)] @ self.heard.mT
        return found if self.by_item is None else found + torch.from_numpy(self.by_item[rows].toarray())

    def column(self, item: int) -> Float[Tensor, " n"]:
        """What every item in a history adds to the score of one item."""
        found = self.told @ self.heard[item]
        return found if self.by_item is None else found + torch.from_numpy(self.by_item[:, item].toarray()[:, 0])


def _chosen(embeddings: Embeddings, by: str) -> str:
    if by not in BY:
        raise ConfigError(f"by is '{by}', expected one of {', '.join(BY)}")
    there = {
        "embeddings": embeddings.embeddings.shape[1] > 0,
        "coefficients": embeddings.coefficients is not None or embeddings.width < embeddings.item_vectors.shape[1],
    }
    if by != "auto" and there[by]:
        return by
    first = next((name for name, has in there.items() if has), None)
    model = embeddings.metadata.get("model", "this model")
    if first is None:
        raise ConfigError(f"{model} has neither embeddings nor coefficients, so no item is like another to it")
    if by != "auto":
        raise ConfigError(f"{model} has no {by}; take --by={first}")
    return first


def _floats(rows: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32))

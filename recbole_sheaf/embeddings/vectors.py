"""Vectors of a restored model, whose inner products are its scores or, beside maps between items, a part of them.

Rows are RecBole's ids, padding at 0. Which of RecBole's models are vectors is written down here, since they do not say
it themselves; whoever takes vectors from here checks them against the model's own scores.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from recbole_sheaf.embeddings.embeddings import POPULARITY
from recbole_sheaf.models.bridge import BRIDGE
from recbole_sheaf.models.mmsheaf import MMSheaf
from recbole_sheaf.models.multimodal import EmbeddingRecommender
from recbole_sheaf.models.vbpr import VBPR

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of all users and items.

    Attributes:
        blocks: names and widths of their columns, in order.
        embeddings, rarity: of the items, see :class:`~recbole_sheaf.embeddings.embeddings.Embeddings`.
    """

    users: Float[Tensor, "u f"]
    items: Float[Tensor, "n f"]
    blocks: list[tuple[str, int]]
    embeddings: Optional[Float[Tensor, "n _"]] = None
    rarity: Optional[Float[Tensor, " n"]] = None
    metadata: dict[str, Any] = field(default_factory=dict)


def vectors_of(model: Any) -> Optional[Vectors]:
    """A model's vectors; None if its scores are made otherwise."""
    if isinstance(model, MMSheaf):
        return _of_mmsheaf(model)
    if isinstance(model, BRIDGE) and model.settings.behaviour_weight:
        return None
    if isinstance(model, EmbeddingRecommender) or _softmax(model):
        return _of_embeddings(model)
    pair = next((PAIRS[name] for name in _names(model) if name in PAIRS), None)
    if pair is None:
        return None
    users, items = pair(model)
    return Vectors(users, items, [("embedding", items.shape[1])], metadata={"compared_by": _comparison(model)})


def _of_embeddings(model: Any) -> Vectors:
    (users, items), compared = model.ranked_embeddings(), model.compared_embeddings()[1]
    blocks = _blocks(model, compared.shape[1])
    metadata = {"compared_by": _comparison(model)}
    if compared.shape[1] == items.shape[1]:
        return Vectors(users, items, blocks, metadata=metadata)
    return Vectors(users, items, [*blocks, (POPULARITY, 1)], compared, metadata=metadata)


def _of_mmsheaf(model: MMSheaf) -> Vectors:
    """Items before rare ones were drawn to their mean too: what is alike among these is alike in content and use."""
    users, items = model.ranked_embeddings()
    own, rare = fused_items(model), bool(model.rarity.any())
    popular = items.shape[1] - own.shape[1]
    factor, power = model.growth_with_history()
    metadata = {"compared_by": _comparison(model), "temperature": model.temperature}
    if power:
        metadata["growth_with_history"] = {"factor": factor, "power": power}
    names = model.stalks.names
    blocks = [(name, own.shape[1] // len(names)) for name in names] + [(POPULARITY, 1)] * popular
    return Vectors(users, items, blocks, own if rare or popular else None, model.rarity if rare else None, metadata)


def fused_items(model: MMSheaf) -> Float[Tensor, "n f"]:
    """Diffused stalks of the items as a score compares them, rare items as they are, over the root of tau."""
    return model.compared_embeddings()[1] / model.temperature**0.5


def as_compared(model: Any, rows: Float[Tensor, "_ f"]) -> Float[Tensor, "_ f"]:
    """Unit rows where a model compares by cosine."""
    return normalize(rows) if _softmax(model) else rows


def _softmax(model: Any) -> bool:
    return getattr(model, "softmax", None) is not None


def _comparison(model: Any) -> str:
    return "cosine" if _softmax(model) else "inner product"


def _blocks(model: Any, width: int) -> list[tuple[str, int]]:
    if isinstance(model, VBPR):
        return [("factors", model.item_factors.shape[1]), ("content", model.content_map.shape[1]), ("bias", 1)]
    return [("embedding", width)]


def _names(model: Any) -> list[str]:
    """Names of a model's class and of those beneath it that are RecBole's."""
    return [each.__name__ for each in type(model).__mro__ if each.__module__.startswith("recbole.")]


def _by_forward(model: Any) -> Pair:
    users, items, *_ = model.forward()
    return users, items


def _tables(model: Any) -> Pair:
    return model.user_embedding.weight, model.item_embedding.weight


def _of_sgl(model: Any) -> Pair:
    return model.forward(model.train_graph)


def _of_enmf(model: Any) -> Pair:
    return model.user_embedding.weight * model.H_i.weight, model.item_embedding.weight


def _of_simplex(model: Any) -> Pair:
    users, items = model.user_emb.weight, model.item_emb.weight
    joined = [
        model.get_UI_aggregation(users[some], model.item_emb(model.history_item_id[some]), model.history_item_len[some])
        for some in torch.arange(len(users), device=users.device).split(1024)
    ]
    return normalize(torch.cat(joined)), normalize(items)


def _of_nceplrec(model: Any) -> Pair:
    users, items = (torch.as_tensor(np.asarray(rows.cpu())) for rows in (model.user_embeddings, model.item_embeddings))
    return users.float(), items.mT.float()


def _of_pop(model: Any) -> Pair:
    popularity = model.item_cnt.double() / model.max_cnt.double()
    return torch.ones(model.n_users, 1), popularity.float().view(-1, 1).cpu()


PAIRS: dict[str, Callable[[Any], Pair]] = {
    "BPR": _tables,
    "LINE": _tables,
    "LightGCN": _by_forward,
    "NGCF": _by_forward,
    "NCL": _by_forward,
    "SpectralCF": _by_forward,
    "SGL": _of_sgl,
    "ENMF": _of_enmf,
    "SimpleX": _of_simplex,
    "NCEPLRec": _of_nceplrec,
    "Pop": _of_pop,
}

"""What RecBole's own models score by, which they do not say themselves: a table by the names of their classes.

A class derived from one of them is taken for what it derives from. Whoever takes vectors from here checks them against
the model's own scores.
"""

from collections.abc import Callable, Mapping
from typing import Any, Optional, TypeVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import normalize

from recbole_sheaf.models.score_factors import ScoreFactors, ScoresInPieces
from recbole_sheaf.models.softmax_ranking import ranked_factors
from recbole_sheaf.sheaf.item_maps import ItemMaps
from recbole_sheaf.sheaf.new_user import user_sources

Pair = tuple[Tensor, Tensor]
Entry = TypeVar("Entry")


def in_pieces(model: Any) -> ScoresInPieces:
    """The model itself, or who says in its place what it scores by."""
    return model if isinstance(model, ScoresInPieces) else RecBoleModel(model)


class RecBoleModel(ScoresInPieces):
    """A recommender of RecBole's, or one of somebody's that says nothing of itself."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def _called(self) -> str:
        return type(self.model).__name__

    def _of(self, table: Mapping[str, Entry]) -> Optional[Entry]:
        """The entry of the model's class or of the nearest beneath it that is RecBole's."""
        beneath = [each.__name__ for each in type(self.model).__mro__ if each.__module__.startswith("recbole.")]
        return next((table[name] for name in beneath if name in table), None)

    def score_factors(self) -> ScoreFactors:
        """Vectors of all users and items; none where maps between items are the whole score."""
        sources = None if (layers := self._of(LAYERS)) is None else self._user_sources(layers(self.model))
        if hasattr(self.model, "ranked_embeddings"):  # served by our softmax
            return ranked_factors(self.model, user_sources=sources)
        if (pair := self._of(PAIRS)) is not None:
            users, items = pair(self.model)
            return ScoreFactors(users, items, [("embedding", items.shape[1])], user_sources=sources)
        if self.item_maps() is not None:
            return ScoreFactors.of_maps_alone(self.model.n_users, self.model.n_items)
        return super().score_factors()

    def item_maps(self) -> Optional[ItemMaps]:
        """The matrix by which histories are multiplied."""
        name = self._of(BETWEEN_ITEMS)
        if name is None or getattr(self.model, "method", "item") != "item":
            return None
        columns = sparse.csc_matrix(getattr(self.model, name), dtype=np.float32)
        columns.eliminate_zeros()
        return ItemMaps(columns)

    def layer_signals(self) -> list[Tensor]:
        """Embeddings of all nodes, users first, before the first layer and after each."""
        layers = self._of(LAYERS)
        return super().layer_signals() if layers is None else layers(self.model)

    def _user_sources(self, signals: list[Tensor]) -> Tensor:
        users = torch.from_numpy(self.model.interaction_matrix.col).long()
        degree = torch.bincount(users, minlength=self.model.n_items)
        return user_sources([rows[self.model.n_users :] for rows in signals], degree, step_size=1.0)


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


def _of_lightgcn(model: Any) -> list[Tensor]:
    signals = [model.get_ego_embeddings()]
    for _ in range(model.n_layers):
        signals.append(torch.sparse.mm(model.norm_adj_matrix, signals[-1]))
    return signals


PAIRS: dict[str, Callable[[Any], Pair]] = {
    "LINE": _tables,
    "NCL": _by_forward,
    "SpectralCF": _by_forward,
    "SGL": _of_sgl,
    "ENMF": _of_enmf,
    "SimpleX": _of_simplex,
    "NCEPLRec": _of_nceplrec,
    "Pop": _of_pop,
}
BETWEEN_ITEMS = {"EASE": "item_similarity", "SLIMElastic": "item_similarity", "ItemKNN": "w"}  # their attribute
LAYERS: dict[str, Callable[[Any], list[Tensor]]] = {"LightGCN": _of_lightgcn}

"""``loss: softmax`` for RecBole's own LightGCN, NGCF and BPR: the loss, the batches and the ranking of our models.

Their ``__init__`` makes what the softmax needs where the settings ask for it, and nothing else; under ``loss: bpr``
each method is RecBole's, so its numbers are too. Models whose loss is more than a ranking loss (SGL, NCL, DGCF, ...)
are not served.
"""

import functools
from collections.abc import Iterator
from typing import Any, Callable

from torch import Tensor

from recbole_sheaf.models.softmax_ranking import SoftmaxRanked, SoftmaxRanking, squared_norms
from recbole_sheaf.settings.config import LossSettings
from recbole_sheaf.settings.vocabulary import LOSSES

Embeddings = Callable[[Any], tuple[Tensor, Tensor]]


def _forward(model: Any) -> tuple[Tensor, Tensor]:
    return model()


def _tables(model: Any) -> tuple[Tensor, Tensor]:
    return model.user_embedding.weight, model.item_embedding.weight


# How a served model gives the embeddings of all users and items, and where its reg_weight puts the L2 penalty.
_FOLDER = "recbole.model.general_recommender"
RANKED = (
    *("leave_open", "weighing", "chosen", "weigh"),
    *("compared_embeddings", "kept_popularity", "ranked_embeddings", "scored_by"),
)
ADDED = ("losses", "splits_batches", "all_embeddings", *RANKED)  # what RecBole's models do not have by themselves
SERVED: dict[str, tuple[Embeddings, Embeddings]] = {
    f"{_FOLDER}.lightgcn:LightGCN": (_forward, _tables),
    f"{_FOLDER}.ngcf:NGCF": (_forward, _forward),
    f"{_FOLDER}.bpr:BPR": (_tables, _tables),
}


def served() -> Iterator[tuple[str, str, Callable[[Any], Any]]]:
    """What makes the served models ready: a class, an attribute of it, and what turns the old one into the new."""
    for model, (embeddings, penalised) in SERVED.items():
        yield model, "losses", lambda absent: LOSSES
        yield model, "splits_batches", lambda absent: True
        yield model, "__init__", _with_softmax
        yield model, "train", _forgetting
        yield model, "all_embeddings", _always(embeddings)
        for name in RANKED:
            yield model, name, _always(vars(SoftmaxRanked)[name])
        yield model, "calculate_loss", _by_loss(_calculate_loss(embeddings, penalised))
        yield model, "predict", _by_loss(SoftmaxRanked.predict)
        yield model, "full_sort_predict", _by_loss(SoftmaxRanked.full_sort_predict)


def _always(ours: Any) -> Callable[[Any], Any]:
    return lambda absent: ours


def _with_softmax(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def __init__(self: Any, config: Any, dataset: Any) -> None:
        init(self, config, dataset)
        settings = LossSettings.from_recbole(config)
        self.softmax = SoftmaxRanking(settings, dataset) if settings.loss == "softmax" else None
        self.softmax_reg_weight = (config["reg_weight"] or 0.0) if self.softmax is not None else 0.0
        self._compared = None
        self.leave_open()

    return __init__


def _forgetting(train: Callable[..., Any]) -> Callable[..., Any]:
    """Forget the embeddings kept for ranking when the model trains."""

    @functools.wraps(train)
    def wrapped(self: Any, mode: bool = True) -> Any:
        self._compared = None
        return train(self, mode)

    return wrapped


def _by_loss(ours: Callable) -> Callable[[Callable], Callable]:
    """RecBole's method under ``loss: bpr``, ours under the softmax."""

    def wrapper(theirs: Callable) -> Callable:
        @functools.wraps(theirs)
        def method(self: Any, interaction: Any) -> Tensor:
            return (theirs if self.softmax is None else ours)(self, interaction)

        return method

    return wrapper


def _calculate_loss(embeddings: Embeddings, penalised: Embeddings) -> Callable[[Any, Any], Tensor]:
    """The softmax, and ``reg_weight`` times half the mean over the batch's interactions of |u|^2 + |i|^2."""

    def calculate_loss(self: Any, interaction: Any) -> Tensor:
        users, items = pairs = self.softmax.pairs(interaction[self.USER_ID])
        user_all, item_all = embeddings(self)
        loss = self.softmax.loss(user_all, item_all, pairs)
        if not self.softmax_reg_weight:
            return loss
        user_rows, item_rows = (user_all, item_all) if penalised is embeddings else penalised(self)
        squares = squared_norms(users, user_rows) + squared_norms(items, item_rows)
        return loss + self.softmax_reg_weight * squares / (2 * max(len(users), 1))

    return calculate_loss

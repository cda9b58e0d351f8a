r"""How a score weighs its parts, and the choice of it on validation.

A :class:`Weighing` is four numbers, see :mod:`recbole_sheaf.models.mmsheaf`: the weight :math:`\omega` of the item
sheaf's scores, :math:`\kappa` of how fast rare items become the item sheaf's, :math:`\gamma` of how the stalks'
part grows with a user's history, and :math:`\pi`, the share of the popularity of training that ranking keeps
(:mod:`recbole_sheaf.models.softmax_ranking`), which every model has that trains by a softmax with popularity in it.
None of them is trained: they act on what training gave, so that a grid of them costs one pass over the validation
users, and which of them is best depends on the data more than on anything else (docs/results/search-log.md). Recall and
NDCG at several k choose, and only what is ahead by more than its standard error.

The table of patches imports this module before RecBole is there, so that what is RecBole's is asked for when needed.
"""

import functools
import importlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Optional, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recbole_sheaf.models.item_sheaf_forms import ClosedForm, Form
from recbole_sheaf.settings.rules import Choices

MOST_USERS = 6000  # of validation, evenly spaced, by whom a weighing is chosen
LEAST_STEPS = 300  # of training before early stopping begins to count; few users make epochs of 8 steps
ASKED_EACH_EPOCH = 2000  # by whom it is seen whether the stalks still learn
CUTOFFS = (10, 20, 50)  # of the lists by which it is chosen, whatever `topk` reports
SLOW = 5  # seconds, from which the log says how many more forms there are
SCORES_AT_ONCE = 2**24  # 64 MiB, of which a few are held

Callback = Callable[[int, float], None]  # of RecBole's trainers: the epoch and its score on validation
Option = TypeVar("Option", Form, "Weighing")


@dataclass(frozen=True)
class Weighing:
    """What is chosen together; every field is a key of ``properties/model/MMSheaf.yaml``.

    Attributes:
        item_sheaf_weight: omega.
        item_sheaf_rarity: kappa.
        item_sheaf_user_power: gamma.
        popularity_kept: pi.
    """

    item_sheaf_weight: float
    item_sheaf_rarity: float
    item_sheaf_user_power: float
    popularity_kept: float


SAFE = Weighing(8.0, 1.0, 0.5, 0.5)  # without validation, and while the epochs are trained
GRID = {
    "item_sheaf_weight": (0.5, 2.0, 8.0, 16.0, 32.0),
    "item_sheaf_rarity": (0.0, 1.0, 3.0),
    "item_sheaf_user_power": (0.0, 0.5),
    "popularity_kept": (0.0, 0.25, 0.5, 0.75, 1.0),
}
# Parts of a weighing that are chosen together.
_BY_HISTORY, _OMEGA, _POPULARITY = (
    ("item_sheaf_rarity", "item_sheaf_user_power"),
    ("item_sheaf_weight",),
    ("popularity_kept",),
)


def weighings(**settings: Choices) -> list[Weighing]:
    """The weighings that settings leave open, what training takes first: ``SAFE`` as far as it is among them.

    Args:
        settings: by the names of a :class:`Weighing`, a number, a list of numbers to choose among, or ``auto``, those
            of ``GRID``; a part that is not named is 0, since the model has no such part.
    """
    lists = {name: _listed(settings.get(name, 0.0), grid) for name, grid in GRID.items()}
    found = [Weighing(*values) for values in itertools.product(*lists.values())]
    safe = asdict(SAFE)
    start = Weighing(*(safe[name] if safe[name] in values else values[0] for name, values in lists.items()))
    return sorted(found, key=lambda weighing: weighing != start)  # stable: the rest in their order


def _listed(value: Choices, grid: Sequence[float]) -> list[float]:
    if value == "auto":
        return list(grid)
    return [float(each) for each in (value if isinstance(value, list) else [value])]


def choose_form(trainer: Any, valid_data: Any) -> None:
    """Choose the form of a model's item sheaf, before its epochs, by what it recommends alone on validation.

    First the shrinkage, then the mix of content: content is worth most where histories are short, and that takes a
    large ridge to show. Then whether modalities share content's weight by what they know, last the weights of
    relations. What is first among the forms of such a part stays unless another is ahead by more than its standard
    error. Nothing happens to a model that leaves nothing open; one without validation interactions keeps the first
    form, and the log says so. Time is that of a fit for each form tried, a local sheaf's on fewer arcs.
    """
    closed_form: Optional[ClosedForm] = getattr(trainer.model, "closed_form", None)
    if closed_form is None or len(closed_form.forms) < 2:
        return
    if not _can_choose(trainer, valid_data):
        trainer.logger.warning(f"the item sheaf takes its first form, {closed_form.form}: {_why_not(valid_data)}")
        return
    tried: dict[Form, Tensor] = {}
    parts = (closed_form.rows[0], closed_form.rows, closed_form.lift_powers, closed_form.weights)
    count = 1 + sum(len(part) - 1 for part in parts)

    def best_of(forms: Sequence[Form]) -> Form:
        for form in forms:
            if form not in tried:
                began = time.monotonic()
                (tried[form],) = _judged(valid_data, closed_form.tried(form), 1)
                seconds, left = time.monotonic() - began, count - len(tried)
                if seconds > SLOW and left:
                    trainer.logger.info(f"a form of the item sheaf was tried in {seconds:.0f} s, {left} more to try")
            judged = {each: tried[each] for each in forms if each in tried}
            best = _settled(judged, forms[0], _best(judged, forms[0]))
            closed_form.take(best)  # of those tried the others are let go of
        return best

    with closed_form.sharing():
        column = closed_form.rows[0].index(best_of(closed_form.rows[0]))
        best = best_of([row[column] for row in closed_form.rows])
        if best.weighs_content:
            best = best_of([replace(best, lift_power=power) for power in closed_form.lift_powers])
        best_of([replace(best, relations=weights) for weights in closed_form.weights])
    trainer.logger.info(f"validation chooses the form of the item sheaf: {closed_form.form}")


def _can_choose(trainer: Any, valid_data: Any) -> bool:
    """Whether users of a validation part can be ranked apart from RecBole's own evaluation."""
    full_sort = importlib.import_module("recbole.data.dataloader").FullSortEvalDataLoader
    ranked = isinstance(valid_data, full_sort) and not valid_data.is_sequential
    return (
        bool(valid_data) and ranked and _metric(trainer).metric_need == ["rec.topk"] and trainer.config["single_spec"]
    )


def _why_not(valid_data: Any) -> str:
    if not valid_data:
        return "there are no validation interactions to choose by"
    return "valid_metric is no metric of lists over all items in one process, by which it could be chosen"


def _metric(trainer: Any) -> Any:
    metrics_dict = importlib.import_module("recbole.evaluator.register").metrics_dict
    return metrics_dict[str(trainer.config["valid_metric"]).lower().partition("@")[0]](trainer.config)


def weigh_on_validation(trainer: Any, valid_data: Any) -> None:
    """Choose a trained model's weighing on validation, and keep it in the model and in its file.

    Called when the epochs are over. Nothing happens to a model that leaves nothing open. Without validation
    interactions, or where several processes train, the model keeps the weighing it trained with, and the log says so.
    It keeps it too where the choice is worse by the metric that chose the epoch.

    Args:
        trainer: RecBole's, after ``fit``; its best result becomes that of the weighing chosen.
        valid_data: its validation loader, or None.

    First kappa and gamma are chosen beside the omega and pi of training, then omega, then pi, then kappa and gamma
    again. Time is that of ranking at most ``MOST_USERS`` users once for each weighing tried, some 20 of the 150 of
    ``auto``, O(b n) each.
    """
    model = trainer.model
    options: Sequence[Weighing] = getattr(model, "weighings", ())
    if len(options) < 2:
        return
    if not _can_choose(trainer, valid_data) or not trainer.best_valid_result:
        trainer.logger.warning(f"the sheaves are weighed as in training, {model.weighing}: {_why_not(valid_data)}")
        return
    epoch = trainer.load_best()
    model.eval()
    started, sign = model.weighing, 1 if trainer.valid_metric_bigger else -1
    model.weigh(_searched(options, lambda asked: _judged(valid_data, model.scored_by(asked), len(asked))))
    if model.weighing != options[0]:  # by which the best result was made
        result = trainer.evaluate(valid_data, load_best_model=False)
        score = result[trainer.valid_metric]
        if sign * score < sign * trainer.best_valid_score:  # not all users were asked
            model.weigh(started)
        else:
            trainer.best_valid_score, trainer.best_valid_result = score, result
            trainer._save_checkpoint(epoch, verbose=False)
    trainer.logger.info(f"validation weighs the sheaves: {model.weighing}")


def _searched(options: Sequence[Weighing], judged: Callable[[Sequence[Weighing]], list[Tensor]]) -> Weighing:
    """The best of the options, along one part of a weighing after another from the first."""
    first = best = options[0]
    tried: dict[Weighing, Tensor] = {}
    for part in (_BY_HISTORY, _OMEGA, _POPULARITY, _BY_HISTORY):
        beside = [each for each in options if _without(each, part) == _without(best, part)]
        asked = [each for each in beside if each not in tried]
        tried.update(zip(asked, judged(asked) if asked else []))
        best = _best(tried, first)
    return _settled(tried, first, best)


def _without(weighing: Weighing, part: Sequence[str]) -> dict[str, float]:
    return {name: value for name, value in asdict(weighing).items() if name not in part}


def settled_on_validation(fit: Callable[..., Any]) -> Callable[..., Any]:
    """RecBole's ``Trainer.fit``, and when the epochs are over :func:`weigh_on_validation`."""

    @functools.wraps(fit)
    def _fit(
        self: Any,
        train_data: Any,
        valid_data: Any = None,
        verbose: bool = True,
        saved: bool = True,
        show_progress: bool = False,
        callback_fn: Optional[Callback] = None,
    ) -> Any:
        if self.start_epoch == 0:
            choose_form(self, valid_data)
        callback = patient(self, valid_data, callback_fn, len(train_data))
        fit(self, train_data, valid_data, verbose, saved, show_progress, callback)
        if saved:
            weigh_on_validation(self, valid_data)
        return self.best_valid_score, self.best_valid_result

    return _fit


def patient(trainer: Any, valid_data: Any, callback_fn: Optional[Callback], steps_an_epoch: int) -> Optional[Callback]:
    """Lets early stopping count epochs in which neither the weighed sum nor the stalks alone rank better than before.

    The item sheaf is whole before the first epoch, so that the sum can be at its best while the stalks have learnt
    nothing yet, and on few users these take a hundred steps to show anything: the first ``LEAST_STEPS`` count never.
    Which epoch is kept is still the sum's own best. The best of the stalks is a number of the model, so that a training
    that goes on from its file goes on with it.

    Returns:
        What ``Trainer.fit`` calls after each validation: the given function behind it, and alone for other models. Time
        is that of ranking at most ``ASKED_EACH_EPOCH`` users.
    """
    model = trainer.model
    if getattr(model, "closed_form", None) is None or not hasattr(model, "stalk_scores"):
        return callback_fn
    if not _can_choose(trainer, valid_data):
        return callback_fn

    def validated(epoch: int, valid_score: float) -> None:
        (metrics,) = _judged(valid_data, lambda users: iter([model.stalk_scores(users)]), 1, most=ASKED_EACH_EPOCH)
        alone = float(metrics.mean())
        better = alone > getattr(model, "best_of_stalks", -float("inf"))
        if better:
            model.best_of_stalks = alone
        young = (epoch + 1) * steps_an_epoch < LEAST_STEPS
        if (better or young) and trainer.cur_step <= trainer.stopping_step:
            trainer.cur_step = 0
        if callback_fn is not None:
            callback_fn(epoch, valid_score)

    return validated


def _gains(found: Float[Tensor, "u m"], over: Float[Tensor, "u m"]) -> Float[Tensor, " u"]:
    """By how much each user's metrics are higher, each as a share of its mean, their mean."""
    return ((found - over) / over.mean(0).clamp(min=1e-9)).mean(1)


def _best(tried: Mapping[Option, Tensor], first: Option) -> Option:
    """The one with the highest gains over the first; of equals the earlier."""
    return max(tried, key=lambda each: float(_gains(tried[each], tried[first]).mean()))


def _settled(tried: Mapping[Option, Tensor], first: Option, best: Option) -> Option:
    """The best, or the first where their difference is within its standard error over the users.

    What is first is a fair choice on any data; where few users are asked, the best of many is often the luckiest.
    """
    gains = _gains(tried[best], tried[first])
    if len(gains) < 2:
        return first
    return best if gains.mean() > gains.std() / len(gains) ** 0.5 else first


@torch.no_grad()
def _judged(
    valid_data: Any, scored: Callable[[Tensor], Iterator[Tensor]], count: int, most: int = MOST_USERS
) -> list[Float[Tensor, "u m"]]:
    """Recall and NDCG of users, at every one of ``CUTOFFS``, in each of ``count`` rankings.

    Several k, since a choice by one of them follows the few users whose one item crosses it.

    Args:
        scored: gives b users' scores for every item, (b, n_items), once for each ranking; they are changed in place.
    """
    every, n_items = valid_data.uid_list, valid_data._dataset.item_num
    topk = [min(k, n_items - 1) for k in CUTOFFS]
    asked = every[torch.linspace(0, len(every) - 1, min(len(every), most)).long()]
    found: list[list[Tensor]] = [[] for _ in range(count)]
    for users in asked.split(max(1, SCORES_AT_ONCE // n_items)):
        seen = _pairs(list(valid_data.uid2history_item[users.numpy()]))
        held_out = torch.zeros(len(users), n_items, dtype=torch.bool)
        held_out[_pairs(list(valid_data.uid2positive_item[users.numpy()]))] = True
        relevant = held_out.sum(1)
        for metrics, scores in zip(found, scored(users)):
            scores[:, 0] = -torch.inf
            scores[seen] = -torch.inf
            hits = held_out.gather(1, scores.topk(topk[-1], dim=1).indices.cpu())
            metrics.append(_metrics(hits, relevant, topk))
    return [torch.cat(metrics) for metrics in found]


def _metrics(hits: Bool[Tensor, "b k"], relevant: Int[Tensor, " b"], topk: Sequence[int]) -> Float[Tensor, "b m"]:
    """Recall and NDCG at each k, as RecBole defines them."""
    discount = 1 / torch.log2(torch.arange(hits.shape[1]) + 2.0)
    ideal = discount.cumsum(0)
    columns = []
    for k in topk:
        first = hits[:, :k].float()
        columns += [first.sum(1) / relevant, first @ discount[:k] / ideal[relevant.clamp(max=k) - 1]]
    return torch.stack(columns, dim=1)


def _pairs(items: list[Int[Tensor, " _"]]) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"]]:
    """Rows and items of lists of items."""
    rows = torch.repeat_interleave(torch.arange(len(items)), torch.tensor([len(each) for each in items]))
    return rows, torch.cat(items)

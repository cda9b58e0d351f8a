"""The rules of RecBole's own settings.

RecBole takes them as they come: a wrong value trains something else in silence, or ends in a stack trace when the
training is over.
"""

from collections.abc import Mapping
from typing import Any

from recbole_sheaf.errors import ConfigError, nearest
from recbole_sheaf.settings.rules import Rule

LEARNERS = ("adam", "adamw", "sgd", "adagrad", "rmsprop", "sparse_adam")
_TRANSFORMS = ("mask_itemseq", "inverse_itemseq", "crop_itemseq", "reorder_itemseq")
_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
_NUMBER = r"\s*-?(inf|\d+(\.\d*)?(e-?\d+)?)\s*"
_INTERVALS = rf"[\[(]{_NUMBER},{_NUMBER}[\])](\s*;\s*[\[(]{_NUMBER},{_NUMBER}[\])])*"

_TRUTH = Rule(bool)
_TEXT = Rule(str, form=r"(?s).+", such_as="saved")
_MAYBE_TEXT = Rule(str, optional=True)
_NAME = Rule(str, form=r"\S+", such_as="user_id")
_NAMES = Rule(list, each=_NAME, alone=True, optional=True)
_COUNT = Rule(int, low=1)
_COUNT_OR_0 = Rule(int, low=0)
_SEED = Rule(int, low=0, high=2**32 - 1)
_AMOUNT = Rule(float, low=0)
_DECIMALS = Rule(int, low=0, high=16)
_MAPPING = Rule(dict, optional=True)
_COLUMNS = Rule(dict, each=_NAMES, optional=True)
_INTERVAL = Rule(str, form=_INTERVALS, such_as="[5,inf)", optional=True)
_RATIOS = Rule(list, each=_AMOUNT)
_MODE = Rule(str, form=r"full|labeled|(uni|pop)[1-9]\d*", such_as="full, uni100 or labeled")

RECBOLE_RULES: Mapping[str, Rule] = {
    "worker": _COUNT_OR_0,
    "use_gpu": _TRUTH,
    "seed": _SEED,
    "state": Rule(str, choices=_LOG_LEVELS, any_case=True),
    "reproducibility": _TRUTH,
    "data_path": _TEXT,
    "checkpoint_dir": _TEXT,
    "show_progress": _TRUTH,
    "save_dataset": _TRUTH,
    "dataset_save_path": _MAYBE_TEXT,
    "save_dataloaders": _TRUTH,
    "dataloaders_save_path": _MAYBE_TEXT,
    "log_wandb": _TRUTH,
    "wandb_project": _TEXT,
    "shuffle": _TRUTH,
    "nproc": Rule(int, low=1, high=1),  # in parallel: --workers
    "epochs": _COUNT_OR_0,
    "train_batch_size": _COUNT,
    "learner": Rule(str, choices=LEARNERS, any_case=True),
    "learning_rate": Rule(float, above=0),
    "train_neg_sample_args": Rule(
        dict,
        optional=True,
        words=("None",),
        entries={
            "distribution": Rule(str, choices=("uniform", "popularity", "none"), optional=True, words=("None",)),
            "sample_num": Rule(int, low=1, words=("none",)),
            "alpha": Rule(float, words=("none",)),
            "dynamic": _TRUTH,
            "candidate_num": _COUNT_OR_0,
        },
    ),
    "eval_step": _COUNT_OR_0,
    "stopping_step": _COUNT_OR_0,
    "clip_grad_norm": Rule(
        dict, optional=True, entries={"max_norm": Rule(float, above=0), "norm_type": Rule(float, above=0)}
    ),
    "weight_decay": _AMOUNT,
    "loss_decimal_place": _DECIMALS,
    "require_pow": _TRUTH,
    "enable_amp": _TRUTH,
    "enable_scaler": _TRUTH,
    "transform": Rule(str, choices=_TRANSFORMS, optional=True),
    "eval_args": Rule(
        dict,
        entries={
            "split": Rule(
                dict,
                entries={
                    "RS": _RATIOS,
                    "LS": Rule(str, choices=("valid_and_test", "valid_only", "test_only")),
                    "TS": _RATIOS,
                },
            ),
            "order": Rule(str, choices=("RO", "TO")),
            "group_by": Rule(str, choices=("user", "none"), optional=True, words=("None",)),
            "mode": Rule(dict, entries={"valid": _MODE, "test": _MODE}, each=_MODE, alone=True),
        },
    ),
    "repeatable": _TRUTH,
    "metrics": Rule(list, each=_NAME, alone=True),
    "topk": Rule(list, each=_COUNT, alone=True),
    "valid_metric": _NAME,
    "valid_metric_bigger": _TRUTH,
    "eval_batch_size": _COUNT,
    "metric_decimal_place": _DECIMALS,
    "embedding_size": _COUNT,
    "field_separator": Rule(str, form="(?s).+", such_as="a tab"),
    "seq_separator": Rule(str, form="(?s).+", such_as="a space"),
    **{
        f"{field}_FIELD": _NAME
        for field in (
            "USER_ID ITEM_ID RATING TIME LABEL ITEM_LIST_LENGTH POSITION HEAD_ENTITY_ID TAIL_ENTITY_ID RELATION_ID "
            "ENTITY_ID"
        ).split()
    },
    "NEG_PREFIX": _NAME,
    "LIST_SUFFIX": _NAME,
    "seq_len": Rule(dict, each=_COUNT, optional=True),
    "threshold": Rule(dict, each=Rule(float), optional=True),
    "numerical_features": _NAMES,
    "load_col": _COLUMNS,
    "unload_col": _COLUMNS,
    "unused_col": _COLUMNS,
    "additional_feat_suffix": _NAMES,
    "rm_dup_inter": Rule(str, choices=("first", "last"), optional=True),
    "val_interval": Rule(dict, each=Rule(list, alone=True, each=Rule(str)), optional=True),
    "filter_inter_by_user_or_item": _TRUTH,
    **{f"{what}_num_interval": _INTERVAL for what in ("user_inter", "item_inter", "entity_kg", "relation_kg")},
    **{f"alias_of_{what}_id": _NAMES for what in ("user", "item", "entity", "relation")},
    "preload_weight": _MAPPING,
    "normalize_field": _NAMES,
    "normalize_all": Rule(bool, optional=True),
    "discretization": Rule(
        dict, optional=True, each=Rule(dict, entries={"method": Rule(str, choices=("ED", "LD")), "bucket": _COUNT})
    ),
    "MAX_ITEM_LIST_LENGTH": _COUNT,
    "kg_reverse_r": _TRUTH,
    "benchmark_filename": _NAMES,
}


def rules_like(defaults: Mapping[str, Any]) -> dict[str, Rule]:
    """Rules of the settings of one of RecBole's models, by the kind of their defaults; one without default has none."""
    rules = {}
    for name, default in defaults.items():
        if isinstance(default, bool):
            rules[name] = _TRUTH
        elif isinstance(default, int) and name.endswith("_size"):
            rules[name] = _COUNT
        elif isinstance(default, int) and name.startswith(("n_layers", "n_heads", "num_")):
            rules[name] = _COUNT_OR_0
        elif isinstance(default, (int, float)):
            rules[name] = Rule(float)
        elif isinstance(default, (str, list, dict)):
            rules[name] = Rule(type(default), optional=True)
    return rules


def check_evaluation(settings: Mapping[str, Any]) -> None:
    """Refuse a split that gives no test part, a metric that RecBole does not have, or a ``valid_metric`` not computed.

    Raises:
        ConfigError: naming what arrived, the nearest names and those there are.
    """
    _check_split(settings.get("eval_args") or {})
    _check_intervals(settings.get("val_interval") or {})
    metrics, topk = settings.get("metrics"), settings.get("topk")
    metrics = [metrics] if isinstance(metrics, str) else list(metrics or [])
    topk = [topk] if isinstance(topk, int) else list(topk or [])
    _check_metrics(metrics)
    _check_valid_metric(settings.get("valid_metric"), metrics, topk)
    if "topk" in settings and not topk:
        raise ConfigError("topk is [], expected at least one list length such as [10, 20]")
    if "metrics" in settings and not metrics:
        raise ConfigError("metrics is [], expected at least one such as [Recall, NDCG]")


def _check_split(eval_args: Mapping[str, Any]) -> None:
    split = eval_args.get("split")
    if split is None:
        return
    if len(split) != 1:
        raise ConfigError(f"eval_args.split is {split!r}, expected one of RS, LS, TS, such as {{RS: [0.8, 0.1, 0.1]}}")
    ((way, parts),) = split.items()
    if way != "LS" and (len(parts) != 3 or not min(parts) > 0):
        raise ConfigError(
            f"eval_args.split.{way} is {parts!r}, expected three shares above 0: train, validation and test, "
            "such as [0.8, 0.1, 0.1]"
        )
    if way == "LS" and parts != "valid_and_test":
        raise ConfigError(
            f"eval_args.split.LS is {parts!r}, expected valid_and_test: validation chooses the epoch and test judges it"
        )


def _check_intervals(intervals: Mapping[str, Any]) -> None:
    for field, interval in intervals.items():
        if isinstance(interval, str):
            Rule(str, form=_INTERVALS, such_as="[3,inf)").check(f"val_interval.{field}", interval)


def _check_metrics(metrics: list[Any]) -> None:
    from recbole.evaluator.register import metrics_dict

    names = {metric.__name__.lower(): metric.__name__ for metric in metrics_dict.values()}
    for metric in metrics:
        if str(metric).lower() not in names:
            there = ", ".join(sorted(names.values(), key=str.lower))
            raise ConfigError(f"metrics has no '{metric}'{nearest(str(metric), names.values())}; RecBole has {there}")


def _check_valid_metric(chosen: Any, metrics: list[Any], topk: list[int]) -> None:
    from recbole.evaluator.register import metric_types
    from recbole.utils import EvaluatorType

    if not isinstance(chosen, str) or not metrics:
        return
    of_values = all(metric_types[str(metric).lower()] is EvaluatorType.VALUE for metric in metrics)
    computed = [f"{metric}" if of_values else f"{metric}@{k}" for metric in metrics for k in topk or [10]]
    if chosen.lower() not in [name.lower() for name in computed]:
        raise ConfigError(
            f"valid_metric is '{chosen}', but metrics are {', '.join(map(str, metrics))} at {topk}; "
            f"name one of these, for example {computed[0]}"
        )

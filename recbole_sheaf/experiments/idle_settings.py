"""Settings that are allowed and would change nothing beside the others, refused: who gives one expects a change."""

from collections.abc import Callable, Mapping
from typing import Any, Optional

from recbole.config import Config
from recbole.data.dataloader import UserDataLoader
from recbole.data.utils import get_dataloader
from recbole.utils import ModelType

from recbole_sheaf.errors import ConfigError, shown

FILTERS = ("rm_dup_inter", "val_interval", "user_inter_num_interval", "item_inter_num_interval")
SAMPLING = {"distribution": "uniform", "sample_num": 1, "alpha": 1.0, "dynamic": False, "candidate_num": 0}


def refuse_idle(config: Config) -> None:
    """Refuse a setting that nothing would read beside the others.

    Raises:
        ConfigError: naming the setting, what makes it idle and what to do.
    """
    for found in (objection(config) for objection in _OBJECTIONS):
        if found is not None:
            raise ConfigError(found)


def _given(config: Config, key: str) -> Any:
    return config.external_config_dict.get(key)


def _position_field(config: Config) -> Optional[str]:
    name = _given(config, "POSITION_FIELD")
    if name in (None, config.internal_config_dict["POSITION_FIELD"]):
        return None
    return f"POSITION_FIELD is {shown(name)}, but no model reads it; leave it out"


def _valid_metric_bigger(config: Config) -> Optional[str]:
    better = config["valid_metric_bigger"]  # which RecBole has made of valid_metric
    if _given(config, "valid_metric_bigger") in (None, better):
        return None
    return (
        f"valid_metric_bigger is {not better}, but of {config['valid_metric']} the {'larger' if better else 'smaller'} "
        "value is better; leave it out"
    )


def _trains_on_users(config: Config) -> bool:
    return config["MODEL_TYPE"] is not ModelType.KNOWLEDGE and issubclass(
        get_dataloader(config, "train"), UserDataLoader
    )


def _shuffle(config: Config) -> Optional[str]:
    if config["shuffle"] or config["loss"] == "softmax" or not _trains_on_users(config):
        return None
    return f"shuffle is False, but RecBole shuffles the users on which {config['model']} trains; leave it out"


def _transform(config: Config) -> Optional[str]:
    """A model of RecBole's reads the sequences that its own default makes; one of somebody else's may read any."""
    made, read = config["transform"], config.internal_config_dict["transform"]
    own = not config.model_class.__module__.startswith("recbole.model.")
    if made == read or (own and config["MODEL_TYPE"] is ModelType.SEQUENTIAL):
        return None
    return f"transform is {made}, but {config['model']} reads {read or 'nothing that one would make'}; leave it out"


def _sampling(config: Config) -> Optional[str]:
    args: Mapping[str, Any] = config["train_neg_sample_args"]
    if args["distribution"] == "none":
        return None
    changed = [key for key, default in SAMPLING.items() if args[key] != default]
    if changed and _trains_on_users(config):
        reason = f"{config['model']} trains on users and samples no items"
    elif "alpha" in changed and args["distribution"] != "popularity":
        changed, reason = ["alpha"], "only distribution: popularity has a power"
    elif bool(args["dynamic"]) != (args["candidate_num"] > 0):
        changed, reason = ["dynamic"], "dynamic: True wants candidate_num from 1, and only then is that read"
    else:
        return None
    return f"train_neg_sample_args.{changed[0]} is {args[changed[0]]}, but {reason}; correct or leave it out"


def _split(config: Config) -> Optional[str]:
    args = config["eval_args"]
    way, group = next(iter(args["split"])), args["group_by"]
    if config["benchmark_filename"] is not None:
        return None
    if way == "TS" and args["order"] != "TO":
        return "eval_args.split.TS splits by time, but eval_args.order is RO; set order: TO"
    if way != "RS" and group != "user":
        return f"eval_args.group_by is {group}, but split: {way} goes by user; set group_by: user, or split by RS"
    return None


def _ready_made_split(config: Config) -> Optional[str]:
    if config["benchmark_filename"] is None:
        return None
    idle = [key for key in FILTERS if _given(config, key) not in (None, "[0,inf)", {})]
    given, defaults = _given(config, "eval_args") or {}, config.internal_config_dict["eval_args"]
    idle += [
        f"eval_args.{key}"
        for key in ("split", "order", "group_by")
        if key in given and given[key] != defaults.get(key, given[key])
    ]
    if not idle:
        return None
    return (
        f"{idle[0]} is given, but dataset '{config['dataset']}' comes with its own split, which is taken as it is; "
        "leave it out, or make one table of the parts"
    )


def _load_col(config: Config) -> Optional[str]:
    """Of an MMRec-style folder the ids are read, whatever is asked for."""
    given, loaded = _given(config, "load_col") or {}, config["load_col"] or {}
    for table, columns in given.items():
        for column in [columns] if isinstance(columns, str) else columns or []:
            if column not in loaded.get(table, []):
                return (
                    f"load_col names {shown(column)} of {table}, but of dataset '{config['dataset']}' nothing is read "
                    "but the ids; leave it out, or convert the folder"
                )
    return None


def _popularity(config: Config) -> Optional[str]:
    """Only a softmax takes popularity in, and only of what training took in ranking keeps a share."""
    trained, kept = _given(config, "softmax_popularity"), _given(config, "popularity_kept")
    if trained not in (None, 0, "auto") and config["loss"] != "softmax":
        return (
            f"softmax_popularity is {shown(trained)}, but loss is {config['loss']}; set loss: softmax, or leave it out"
        )
    if kept not in (None, 0, "auto") and not config["softmax_popularity"]:
        return f"popularity_kept is {shown(kept)}, but softmax_popularity is 0: none to keep; set that, or leave it out"
    return None


_OBJECTIONS: tuple[Callable[[Config], Optional[str]], ...] = (
    _position_field,
    _valid_metric_bigger,
    _shuffle,
    _transform,
    _sampling,
    _split,
    _ready_made_split,
    _load_col,
    _popularity,
)

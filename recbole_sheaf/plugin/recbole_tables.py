"""What RecBole's ``Dataset`` takes from atomic files: read literally, checked line by line, repetitions counted.

RecBole reads them with pandas' slow parser, quoting on: a quote in a title swallows lines, a user named NA is dropped,
a short line is filled up, a date ends in a stack trace. Here the same files give the same columns, types and numbers,
or one sentence.
"""

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import pandas as pd

from recbole_sheaf.data.exact_times import is_ordered_by_time, keys_of_times
from recbole_sheaf.data.identity import data_read
from recbole_sheaf.data.listed_items import add_listed_items
from recbole_sheaf.data.read_tables import BESIDE
from recbole_sheaf.data.relations import disliked_rows, dislikes_of
from recbole_sheaf.errors import ConfigError, DataError, SheafError, counted, nearest, shown
from recbole_sheaf.files.atomic import (
    ROW_OF,
    Table,
    column_names,
    field_types,
    first_of_each,
    read_columns,
    read_table,
)
from recbole_sheaf.settings.vocabulary import REPETITIONS

logger = logging.getLogger(__name__)

PADDING = "[PAD]"  # RecBole's token of no item and no user
# What pandas, and so RecBole, takes for a missing number. Among tokens only an empty place is missing.
NO_NUMBER = " #N/A #NA N/A NA NULL NaN None n/a nan null <NA> -NaN -nan 1.#IND -1.#IND 1.#QNAN -1.#QNAN".split(" ")
AS_WRITTEN = f"{BESIDE}times as they are written"  # which are exact, beside the rounded ones
HOW_TO_CONVERT = (
    "write seconds since 1970, such as by pandas.to_datetime(column).map(lambda time: time.timestamp()), "
    "or leave the column out of load_col"
)


def load_feat(self: Any, filepath: str, source: Any) -> Optional[pd.DataFrame]:
    """RecBole's ``Dataset._load_feat``: the loaded columns of one atomic file, by name.

    Raises:
        DataError: if the file is no such table, an id is empty, or a number is none, naming file, line and column.
        ConfigError: if ``load_col`` leaves out the ids, or a separator is none.
        CheckpointError: if the dataset is loaded for a checkpoint that was trained on another table.

    Half a second for a million interactions, of which RecBole's own takes several.
    """
    loaded, left = self._get_load_and_unload_col(source)
    if loaded == set():
        return None
    table = read_table(Path(filepath), self.config["field_separator"], self.config["encoding"] or "utf-8")
    types = field_types(table.name, table.header)
    fields = [name for name in types if (loaded is None or name in loaded) and not (left and name in left)]
    _check_fields(self, table.name, types, fields)
    for key in ("load_col", "unload_col"):
        _refuse_absent(self.config, key, table.name, types, source)
    fields = data_read(self.config).columns(table.name, fields)
    if source != "link":  # whose columns are known from other files
        _note_fields(self, types, fields, source)
    if not fields:
        self.logger.warning(f"No columns has been loaded from [{source}]")
        return None
    keys = [name for name in (self.uid_field, self.iid_field) if name]
    frame = data_read(self.config).table(table.name, _frame(self, table, types, fields), keys)
    if AS_WRITTEN in frame:
        self.times_as_written.append(frame.pop(AS_WRITTEN))
    own = {".user": self.uid_field, ".item": self.iid_field}.get(Path(table.name).suffix)
    return first_of_each(table.name, frame, own) if own is not None and own in frame else frame


def _refuse_absent(config: Any, key: str, name: str, types: dict[str, str], source: Any) -> None:
    """Refuse a column that the user names and the file has not; RecBole's own defaults name columns on the chance."""
    table = getattr(source, "value", source)
    given, defaults = (
        (settings.get(key) or {}).get(table, [])
        for settings in (config.external_config_dict, config.internal_config_dict)
    )
    given = [given] if isinstance(given, str) else given
    if absent := [field for field in given if field not in {*types, *defaults, "*"}]:
        raise ConfigError(
            f"{key} names {shown(absent[0])}, which is no column of {name}{nearest(absent[0], types)}; correct it or "
            "leave it out"
        )


def _check_fields(dataset: Any, name: str, types: dict[str, str], fields: Sequence[str]) -> None:
    ids = [field for field in (dataset.uid_field, dataset.iid_field) if field]
    for field in ids:
        if types.get(field, "token") != "token":
            raise DataError(f"{name} gives {field} the type {types[field]}, expected token; write {field}:token")
    if name.endswith(".inter") and (absent := [field for field in ids if field not in fields]):
        raise ConfigError(
            f"load_col or unload_col leaves {' and '.join(absent)} of {name} out; "
            f"load them, such as by load_col={{inter: [{', '.join(ids)}]}}"
        )
    time = dataset.time_field
    if time in fields and types[time] != "float":
        raise DataError(
            f"{name} gives {time} the type {types[time]}, which has no order in time; expected {time}:float: "
            + HOW_TO_CONVERT
        )
    if name.endswith(".inter") and time not in fields and is_ordered_by_time(dataset.config):
        _refuse_no_times(name, time, types)


def _refuse_no_times(name: str, time: str, types: dict[str, str]) -> None:
    if time in types:
        raise ConfigError(
            f"load_col or unload_col leaves {time} of {name} out, by which interactions are ordered here; load it, or "
            "choose another split, such as split=random"
        )
    raise DataError(
        f"{name} has no column {time}, by which interactions are ordered here; its columns are {', '.join(types)}: "
        f"add {time}:float, name yours by TIME_FIELD=COLUMN, or choose another split, such as split=random"
    )


def _note_fields(dataset: Any, types: dict[str, str], fields: Sequence[str], source: Any) -> None:
    """Tell the dataset of its columns, as RecBole does."""
    from recbole.utils import FeatureType

    for field in fields:
        dataset.field2source[field], dataset.field2type[field] = source, FeatureType(types[field])
        if not types[field].endswith("seq"):
            dataset.field2seqlen[field] = 1
        if "float" in types[field]:
            dataset.field2bucketnum[field] = 2


def _frame(dataset: Any, table: Table, types: dict[str, str], fields: Sequence[str]) -> pd.DataFrame:
    order = list(types)
    position = {field: order.index(field) for field in fields}
    missing = {position[field]: NO_NUMBER if types[field] == "float" else [""] for field in fields}
    frame = table.read(list(position.values()), missing)
    frame.columns = list(fields)
    for field in fields:
        if field in (dataset.uid_field, dataset.iid_field):
            _refuse_no_ids(table, field, frame[field])
        elif types[field] == "float" and field == dataset.time_field and table.name.endswith(".inter"):
            frame[AS_WRITTEN] = frame[field]
            frame[field] = _times(dataset, table, field, frame[field])
        elif types[field] == "float":
            frame[field] = _numbers(table, field, frame[field], HOW_TO_CONVERT if field == dataset.time_field else None)
        elif types[field].endswith("seq"):
            frame[field] = _sequences(dataset, table, field, types[field], frame[field].fillna(""))
    return frame


def _times(dataset: Any, table: Table, field: str, text: pd.Series) -> np.ndarray:
    """Times of interactions, rounded; none may be missing where they give an order."""
    numbers = _numbers(table, field, text, HOW_TO_CONVERT)
    missing = np.isnan(numbers)
    if missing.any() and is_ordered_by_time(dataset.config):
        raise DataError(
            f"{field} is missing in {counted(int(missing.sum()), 'line')} of {table.name} (first: line "
            f"{table.lines[int(np.argmax(missing))]}), and interactions are ordered by it here; write a time "
            "there, or drop the lines"
        )
    return numbers


def _refuse_no_ids(table: Table, field: str, tokens: pd.Series) -> None:
    for bad, what in ((tokens.isna(), "is empty"), (tokens == PADDING, f"is {PADDING}, RecBole's name for no {field}")):
        if bad.any():
            raise DataError(
                f"{field} {what} in {counted(int(bad.sum()), 'line')} of {table.name} (first: line "
                f"{table.lines[int(np.argmax(bad))]}); write an id there, or drop the lines"
            )


def _numbers(table: Table, field: str, text: pd.Series, remedy: Optional[str] = None) -> np.ndarray:
    """Python's reading of each number; NaN where there is none."""
    try:
        if b"_" in table.body and text.str.contains("_", na=False, regex=False).any():
            raise ValueError("1_000, which Python takes for a number")
        numbers = text.to_numpy().astype(np.float64)
    except ValueError:
        numbers = np.array([_number(value) for value in text])
    bad = np.isinf(numbers)
    if bad.any():
        first = int(np.argmax(bad))
        raise DataError(
            f"{field} is {shown(text.iloc[first])} in line {table.lines[first]} of {table.name}, expected a number "
            f"({int(bad.sum())} such lines); {remedy or 'correct them, leave them empty, or give the type token'}"
        )
    if np.isnan(numbers).all():
        raise DataError(f"{field} of {table.name} has no number in any line; leave the column out of load_col")
    return numbers


def _number(text: Any) -> float:
    """As :func:`float`, infinite for what is no number, NaN for what is missing."""
    try:
        return np.inf if "_" in str(text) else float(text)
    except ValueError:
        return np.inf


def _sequences(dataset: Any, table: Table, field: str, kind: str, text: pd.Series) -> list[np.ndarray]:
    """The words or numbers of each line, at most ``seq_len`` of them; the dataset learns how long they are."""
    separator = dataset.config["seq_separator"]
    if not isinstance(separator, str) or not separator:
        raise ConfigError(f"seq_separator is {separator!r}, expected one or more characters, such as a blank")
    words = [list(filter(None, value.split(separator))) for value in text]
    if kind == "float_seq":
        words = [_finite(table, field, line, row) for row, line in enumerate(words)]
    longest = max(map(len, words))
    most = (dataset.config["seq_len"] or {}).get(field)
    dataset.field2seqlen[field] = longest if most is None else min(most, longest)
    return [np.array(line if most is None else line[:most]) for line in words]


def _finite(table: Table, field: str, words: Sequence[str], row: int) -> list[float]:
    numbers = [_number(word) for word in words]
    if not np.isfinite(numbers).all():
        raise DataError(
            f"{field} is {shown(' '.join(words))} in line {table.lines[row]} of {table.name}, "
            "expected numbers; correct it or give the type token_seq"
        )
    return numbers


def with_interactions_checked(load_data: Callable) -> Callable:
    """After RecBole has loaded its tables: positives alone, each pair once, and say what will not be there."""

    @functools.wraps(load_data)
    def _load_data(self: Any, token: str, dataset_path: str) -> None:
        self.times_as_written, self.places = [], None
        load_data(self, token, dataset_path)
        self.time_keys = _time_keys(self)
        _refuse_unfit_columns(self)
        if self.uid_field and self.iid_field:
            leave_out_dislikes(self)
            leave_out_negatives(self)
            keep_each_pair_once(self)
            tell_of_unlisted(self)
            add_listed_items(self, Path(dataset_path) / f"{token}.item")
            tell_of_items_left_out(self, Path(dataset_path) / f"{token}.item")

    return _load_data


def _refuse_unfit_columns(dataset: Any) -> None:
    """Refuse settings of columns that are not loaded or of another type, which RecBole passes over or fails on."""
    config, floats, sequences = dataset.config, {"float", "float_seq"}, {"token_seq", "float_seq"}
    unused = [field for table in ("inter", "user", "item") for field in (config["unused_col"] or {}).get(table, [])]
    of_key: list[tuple[str, Any, set[str]]] = [
        ("unused_col", [field for field in unused if field != dataset.label_field], floats | sequences | {"token"}),
        ("seq_len", config["seq_len"] or {}, sequences),
        ("normalize_field", config["normalize_field"] or [], floats),
        ("numerical_features", config["numerical_features"] or [], floats),
        ("alias_of_user_id", config["alias_of_user_id"] or [], {"token", "token_seq"}),
        ("alias_of_item_id", config["alias_of_item_id"] or [], {"token", "token_seq"}),
    ]
    for key, fields, kinds in of_key:
        for field in fields:
            kind = dataset.field2type[field].value if field in dataset.field2type else None
            if kind not in kinds:
                what = f"has the type {kind}, expected {' or '.join(sorted(kinds))}" if kind else "is not loaded"
                raise ConfigError(f"{key} names {shown(field)}, which {what}; correct it, or load it by load_col")
    for field, wanted in (config["val_interval"] or {}).items():
        kind = dataset.field2type[field].value if field in dataset.field2type else "token"
        if kind.startswith("token") is isinstance(wanted, str):
            raise ConfigError(
                f"val_interval.{field} is {shown(wanted)}, but {field} has the type {kind}; expected an interval of "
                "numbers such as [3,inf), or of tokens a list of those that stay"
            )


def _time_keys(dataset: Any) -> Optional[pd.Series]:
    """Key of each interaction's time, under its label; None where times are not loaded."""
    written, dataset.times_as_written = dataset.times_as_written, []
    if not written:
        return None
    numbers = dataset.inter_feat[dataset.time_field].to_numpy()
    return pd.Series(keys_of_times(pd.concat(written, ignore_index=True), numbers))


def leave_out_dislikes(dataset: Any) -> None:
    """Take what ``dislikes`` names out of the interactions, and keep it for the relation that is made of it.

    Raises:
        ConfigError: as :func:`~recbole_sheaf.data.relations.disliked_rows`.
    """
    dataset.disliked = None
    if not dataset.config["dislikes"]:
        return
    found = disliked_rows(dataset)
    dataset.disliked = dislikes_of(dataset, found)
    logger.info("%d of %d interactions are dislikes: %s", found.sum(), len(found), dataset.config["dislikes"])
    _keep(dataset, ~found)


def leave_out_negatives(dataset: Any) -> None:
    """Leave out what ``threshold``, or a loaded column of labels, makes negative, where nobody reads labels.

    RecBole's models that rank, and its evaluation of rankings, take every interaction for a positive one.

    Raises:
        ConfigError: as :func:`reads_labels`.
        DataError: if no interaction is positive, or the column of the threshold holds no numbers.
    """
    positive = _positive(dataset)
    if positive is None or dataset.config["repeated_interactions"] is None:  # a plain Config of RecBole's: its own way
        return
    if positive.all() or reads_labels(dataset.config):
        return
    what = _labelled_by(dataset.config)
    if not positive.any():
        raise DataError(f"{what} makes every interaction of dataset '{dataset.dataset_name}' negative; correct it")
    logger.warning(
        "%d of %d interactions of dataset '%s' are negative by %s and are left out",
        int((~positive).sum()),
        len(positive),
        dataset.dataset_name,
        what,
    )
    _keep(dataset, positive.to_numpy())


def reads_labels(config: Any) -> bool:
    """Whether training and evaluation tell negative interactions by their labels.

    Raises:
        ConfigError: if training does and evaluation does not, or the other way round.
    """
    reads = {"training": _learns_from_labels(config)}
    reads.update({phase: config["eval_args"]["mode"][phase] == "labeled" for phase in ("valid", "test")})
    readers, others = (" and ".join(name for name in reads if reads[name] is read) for read in (True, False))
    if readers and others:
        raise ConfigError(
            f"{_labelled_by(config)} makes interactions negative; {readers} would take them so and {others} for "
            "positive ones: set eval_args.mode: labeled and train_neg_sample_args: ~, or neither of them"
        )
    return bool(readers)


def _labelled_by(config: Any) -> str:
    return f"threshold: {config['threshold']}" if config["threshold"] else f"the column {config['LABEL_FIELD']}"


def _positive(dataset: Any) -> Optional[pd.Series]:
    """Which interactions are positive, as RecBole labels them; None where nothing says so."""
    inter, threshold = dataset.inter_feat, dataset.config["threshold"] or {dataset.label_field: np.nextafter(0, 1)}
    field, lowest = next(iter(threshold.items()))
    if field not in inter:
        return None
    if inter[field].dtype != np.float64:
        raise DataError(f"{field} of dataset '{dataset.dataset_name}' holds no numbers that tell positive interactions")
    return inter[field] >= lowest


def _learns_from_labels(config: Any) -> bool:
    from recbole.utils import InputType, ModelType

    by_point = config["MODEL_INPUT_TYPE"] is InputType.POINTWISE and config["loss_type"] != "CE"
    samples = config["train_neg_sample_args"]["distribution"] != "none"
    return by_point and not samples and config["MODEL_TYPE"] is not ModelType.TRADITIONAL


def _keep(dataset: Any, kept: np.ndarray) -> None:
    """Keep some interactions; of a ready-made split, in their parts."""
    if dataset.benchmark_filename_list is not None:
        ends = np.cumsum(dataset.file_size_list)
        dataset.file_size_list = [int(part.sum()) for part in np.split(kept, ends[:-1])]
    dataset.inter_feat = dataset.inter_feat[kept].reset_index(drop=True)
    if dataset.time_keys is not None:
        dataset.time_keys = dataset.time_keys[kept].reset_index(drop=True)


def keep_each_pair_once(dataset: Any) -> None:
    """Leave out interactions that repeat a user and an item, which else stand in training and in test.

    Only where ``repeated_interactions: drop`` says so, and the task is to rank what a user has not had: a sequence may
    repeat, and so may impressions with a label. The first in time stays, or where times are not loaded the first line;
    of a ready-made split the earliest part keeps a pair.
    """
    if not _ranks_unseen_items(dataset):
        return
    inter = dataset.inter_feat
    pair = [dataset.uid_field, dataset.iid_field]
    if not inter.duplicated(pair).any():
        return
    repeats = _in_time(dataset)[pair].duplicated().sort_index()
    first = inter.loc[repeats.idxmax(), pair].tolist()
    logger.warning(
        "%d of %d interactions of dataset '%s' repeat a user and an item (first: %s) and are left out, or they were "
        "in training and in test; repeated_interactions: keep has them all",
        int(repeats.sum()),
        len(inter),
        dataset.dataset_name,
        " and ".join(map(shown, first)),
    )
    _keep(dataset, ~repeats.to_numpy())


def _in_time(dataset: Any) -> pd.DataFrame:
    """The interactions in the order of time, within each part of a ready-made split."""
    if dataset.time_keys is None:
        return dataset.inter_feat
    ready = dataset.benchmark_filename_list is not None
    parts = (
        np.repeat(np.arange(len(dataset.file_size_list)), dataset.file_size_list)
        if ready
        else np.zeros(len(dataset.time_keys))
    )
    return dataset.inter_feat.iloc[np.lexsort((dataset.time_keys, parts))]


def _ranks_unseen_items(dataset: Any) -> bool:
    from recbole.utils import ModelType

    config = dataset.config
    choice = config["repeated_interactions"]
    if choice not in (None, *REPETITIONS):
        raise ConfigError(f"repeated_interactions is {choice!r}, expected {' or '.join(REPETITIONS)}")
    removed_by_recbole = config["rm_dup_inter"] is not None and dataset.benchmark_filename_list is None
    positive = _positive(dataset)
    labelled = positive is not None and not positive.all()
    ranking = config["MODEL_TYPE"] in (ModelType.GENERAL, ModelType.TRADITIONAL, ModelType.KNOWLEDGE)
    return choice == "drop" and ranking and not (removed_by_recbole or labelled or config["repeatable"])


def tell_of_unlisted(dataset: Any) -> None:
    """Say how many interactions RecBole drops because ``.user`` or ``.item`` does not list their user or item.

    Raises:
        DataError: if these are all of them.
    """
    if dataset.config["filter_inter_by_user_or_item"] is not True or dataset.benchmark_filename_list is not None:
        return
    for suffix, field, feat in _listings(dataset):
        unlisted = ~dataset.inter_feat[field].isin(feat[field])
        if not unlisted.any():
            continue
        name, first = dataset.dataset_name, shown(dataset.inter_feat[field][unlisted.idxmax()])
        what = f"{name}{suffix} does not list the {ROW_OF[suffix]} of"
        remedy = f"list every {field} there as in {name}.inter, or set filter_inter_by_user_or_item: False"
        if unlisted.all():
            raise DataError(f"{what} any interaction (first: {first}); {remedy}")
        logger.warning("%s %d interactions (first: %s), which are left out; %s", what, unlisted.sum(), first, remedy)


def _listings(dataset: Any) -> list[tuple[str, str, pd.DataFrame]]:
    """Suffix, id field and table of those of ``.user`` and ``.item`` that are loaded."""
    of_users = (".user", dataset.uid_field, dataset.user_feat)
    of_items = (".item", dataset.iid_field, dataset.item_feat)
    return [listing for listing in (of_users, of_items) if listing[2] is not None]


def tell_of_items_left_out(dataset: Any, path: Path) -> None:
    """Say how many items of a ``.item`` file nobody had, and which are not ranked where the file is not loaded."""
    field = dataset.iid_field
    if dataset.item_feat is not None or not path.is_file():
        return
    try:
        listed = read_columns(path, [field])[field].unique() if field in column_names(path) else np.empty(0, object)
    except SheafError as error:  # no run needs this file; whoever does refuses it
        logger.warning("items without interactions cannot be counted: %s", error)
        return
    absent = len(set(listed) - set(dataset.inter_feat[field].unique()))
    if absent:
        logger.info(
            "%d of the %d items in %s have no interaction and are not ranked; catalogue: content ranks those of them "
            "that have content",
            absent,
            len(listed),
            path.name,
        )

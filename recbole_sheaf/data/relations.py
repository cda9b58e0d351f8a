"""What users did to items beside choosing them, such as dislikes: a table each, ``<dataset>.<relation>.inter``.

Whatever a user has in a relation is never among what is recommended to them. A table has the columns of an interaction;
``part`` (train, valid, test), or a time where the split is one in time, says what of it was *known* when training
ended. Only that trains, and only that is left out of the rankings of validation and test: what came later is left out
of recommendations alone. Where neither says when, all of a relation counts as known beforehand.

Of ratings, ``dislikes`` says which are dislikes. These are taken out of the interactions and become the relation
``dislike``, split as the interactions are: in time, by their own part, or a share of them drawn by ``split_seed``.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import duckdb
import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float32, Int64

from recbole_sheaf.data.conditions import Condition, read_condition, sealed_database
from recbole_sheaf.data.identity import data_read
from recbole_sheaf.data.mmrec_folder import SPLITS
from recbole_sheaf.data.raw_interactions import PART
from recbole_sheaf.errors import ConfigError, DataError, first_line, nearest, shown
from recbole_sheaf.files.atomic import field_types, read_table
from recbole_sheaf.settings.config import seed_of_split

logger = logging.getLogger(__name__)

BY_DEFAULT = "dislike"  # the one that `relations: auto` takes, where its table is there
_IN_SQL = {"token": "VARCHAR", "float": "DOUBLE"}


@dataclass(frozen=True, eq=False)
class Relation:
    """Pairs of users and items, by RecBole's ids, each once.

    Attributes:
        users, items: the pairs, those of the training interactions left out.
        known: whether each was there when training ended.
        weight: as ``relations`` gives it.
    """

    users: Int64[np.ndarray, " p"]
    items: Int64[np.ndarray, " p"]
    known: Bool[np.ndarray, " p"]
    weight: Union[str, float] = 0.0

    def known_pairs(self) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
        """Users and items of what was there when training ended."""
        return self.users[self.known], self.items[self.known]


def add_relations(dataset: Any, parts: Sequence[Any]) -> None:
    """Read the tables that ``relations`` names, and keep them by name as ``relations`` of a dataset and of its parts.

    A pair that training has counts as chosen, and its row in a relation is left out. One of validation or test that is
    known in a relation is never listed, and so counts as missed.

    Raises:
        ConfigError: if there is no such table, or it is a part of the split.
        DataError: if it is no such table, or does not say when, while the split is one in time.
        CheckpointError: if the dataset is loaded for a checkpoint that was trained on another table.

    Time and memory O(t), t the rows and the interactions.
    """
    made = getattr(dataset, "disliked", None)
    found = {}
    for name, weight in _named(dataset.config, made is not None).items():
        own = made is not None and name == BY_DEFAULT
        source = f"dislikes: {dataset.config['dislikes']}" if own else _path(dataset.config, name).name
        found[name] = _relation(dataset, parts, source, made if own else _table(dataset, name), weight)
    for each in (dataset, *parts):
        each.relations = found


def relations_of(dataset: Any) -> dict[str, Relation]:
    """The relations of a dataset that was split; none of one that somebody else made."""
    return getattr(dataset, "relations", {})


def leave_out_known(loader: Any, dataset: Any) -> None:
    """Have a RecBole loader that ranks all items leave out what its users had in a relation before."""
    for relation in relations_of(dataset).values():
        users, items = relation.known_pairs()
        order = np.argsort(users, kind="stable")
        there, starts = np.unique(users[order], return_index=True)
        for user, own in zip(there, np.split(items[order], starts[1:])):
            if loader.uid2history_item[user] is not None:
                history = torch.cat([loader.uid2history_item[user], torch.from_numpy(own)])
                loader.uid2history_item[user] = history.unique()


def condition_of_dislikes(config: Any, types: Mapping[str, str]) -> Condition:
    """What ``dislikes`` says, over columns of the interactions, given with RecBole's types.

    Raises:
        ConfigError: if it is no condition over these.
    """
    return read_condition(
        "dislikes", config["dislikes"], {name: _IN_SQL[kind] for name, kind in types.items() if kind in _IN_SQL}
    )


def disliked_rows(dataset: Any) -> Bool[np.ndarray, " rows"]:
    """Which interactions ``dislikes`` names, of a RecBole dataset whose tables are read and not yet filtered.

    Raises:
        ConfigError: if it is no condition over the columns that are loaded, or names all interactions.
    """
    config, inter = dataset.config, dataset.inter_feat
    types = {name: dataset.field2type[name].value for name in inter}
    condition = condition_of_dislikes(config, types)
    cells = inter[[dataset.uid_field, *sorted(condition.columns - {dataset.uid_field})]]
    tokens = [name for name in cells if types[name] == "token"]
    cells = cells.astype(dict.fromkeys(tokens, object)).where(cells.notna(), None)
    columns = ", ".join(f'CAST("{name}" AS {_IN_SQL[types[name]]}) AS "{name}"' for name in cells)
    try:
        with sealed_database() as database:
            database.register("given", cells)
            query = f"SELECT coalesce({condition.sql}, false) AS found FROM (SELECT {columns} FROM given)"
            found = database.execute(query).fetchnumpy()["found"]
    except duckdb.Error as error:
        raise ConfigError(
            f"dislikes: {config['dislikes']} cannot be told of the interactions ({first_line(error)}); write one that "
            "fits them"
        ) from error
    if found.all():
        raise ConfigError(f"dislikes: {config['dislikes']} makes every interaction a dislike; correct it")
    return np.asarray(found, dtype=bool)


def dislikes_of(dataset: Any, found: Bool[np.ndarray, " rows"]) -> pd.DataFrame:
    """Rows of the relation that ``dislikes`` makes, with a part wherever times do not say what was known."""
    config, inter = dataset.config, dataset.inter_feat
    ids = [dataset.uid_field, dataset.iid_field]
    rows = inter.loc[found, [*ids, *({dataset.time_field} & set(inter))]].reset_index(drop=True)
    split = config["eval_args"]["split"]
    if dataset.benchmark_filename_list is not None:
        rows[PART] = np.repeat(SPLITS, dataset.file_size_list)[found]
    elif config["eval_args"]["order"] != "TO" and "RS" in split:
        drawn = np.empty(len(rows))
        drawn[np.lexsort(rows[ids[::-1]].to_numpy(dtype=str).T)] = np.random.default_rng(seed_of_split(config)).random(
            len(rows)
        )
        rows[PART] = np.where(drawn < split["RS"][0] / sum(split["RS"]), SPLITS[0], SPLITS[-1])
    return rows


def _named(config: Any, made: bool) -> Mapping[str, Union[str, float]]:
    """Weights by the names of the relations; a configuration from before the setting has none.

    Args:
        made: whether ``dislikes`` makes one.
    """
    given = config["relations"]
    there = _path(config, BY_DEFAULT).is_file() and BY_DEFAULT not in (config["benchmark_filename"] or [])
    if made and there:
        raise ConfigError(
            f"dislikes: {config['dislikes']} and {_path(config, BY_DEFAULT).name} both say what is disliked; leave out "
            "one of the two"
        )
    if given == "auto":
        return {BY_DEFAULT: 0.0} if made or there else {}
    return {BY_DEFAULT: 0.0, **(given or {})} if made else given or {}


def _path(config: Any, name: str) -> Path:
    return Path(config["data_path"]) / f"{config['dataset']}.{name}.inter"


def _table(dataset: Any, name: str) -> pd.DataFrame:
    """Rows of a relation that has a table."""
    config, path = dataset.config, _path(dataset.config, name)
    benchmark = config["benchmark_filename"] or []
    if name in benchmark or not path.is_file():
        start = len(config["dataset"]) + 1
        there = {each.name[start : -len(".inter")] for each in path.parent.glob(f"{config['dataset']}.*.inter")}
        others = sorted(there.difference(benchmark))
        what = "a part of the split" if name in benchmark else f"but there is no table {path.name}"
        tables = f"those beside the dataset are {', '.join(others)}" if others else "there is none beside the dataset"
        raise ConfigError(
            f"relations names '{name}'{nearest(name, others)}, {what}; {tables}, so correct it or leave it out"
        )
    return _rows(dataset, path)


def _relation(
    dataset: Any, parts: Sequence[Any], source: str, frame: pd.DataFrame, weight: Union[str, float]
) -> Relation:
    """The relation of some rows, which log and refusals call ``source``."""
    known = _known(dataset, parts, source, frame)
    users, items = (_ids(dataset, field, frame[field]) for field in (dataset.uid_field, dataset.iid_field))
    if dataset.config["split"] == "cold_items":
        known &= np.isin(items, parts[0].inter_feat[dataset.iid_field].numpy())  # nobody met the others yet
    there = (users > 0) & (items > 0)
    if not there.all():
        logger.warning(
            "%d of %d rows of %s are of users or items that no interaction has, and are left out",
            int((~there).sum()),
            len(there),
            source,
        )
    pairs, first = np.unique(users[there] * dataset.item_num + items[there], return_inverse=True)
    known_pairs = np.zeros(len(pairs), dtype=bool)
    np.logical_or.at(known_pairs, first, known[there])
    chosen, later = _pairs_of(parts[:1]), _pairs_of(parts[1:])
    trained = np.isin(pairs, chosen)
    if trained.any():
        logger.warning("%d pairs of %s were chosen in training, and count as chosen", int(trained.sum()), source)
    pairs, known_pairs = pairs[~trained], known_pairs[~trained]
    if missed := int(np.isin(pairs[known_pairs], later).sum()):
        logger.warning(
            "%d pairs of %s are in validation or test too; they are never listed, and so count as missed",
            missed,
            source,
        )
    logger.info("%s: %d pairs, %d of them known in training", source, len(pairs), int(known_pairs.sum()))
    return Relation(pairs // dataset.item_num, pairs % dataset.item_num, known_pairs, weight)


def _rows(dataset: Any, path: Path) -> pd.DataFrame:
    """Columns of ids, and of part and time where they are there, as text; in the order that a checkpoint expects."""
    config, ids = dataset.config, [dataset.uid_field, dataset.iid_field]
    table = read_table(path, config["field_separator"], config["encoding"] or "utf-8")
    types = field_types(table.name, table.header)
    for field in ids:
        if types.get(field) != "token":
            has = f"gives {field} the type {types[field]}" if field in types else f"has no column {field}"
            raise DataError(f"{path.name} {has}; expected the columns {' and '.join(f'{each}:token' for each in ids)}")
    fields = [*ids, *(field for field in (PART, dataset.time_field) if field in types)]
    frame = table.read([list(types).index(field) for field in fields])
    frame.columns = fields
    return data_read(config).table(path.name, frame, ids)


def _ids(dataset: Any, field: str, tokens: pd.Series) -> Int64[np.ndarray, " rows"]:
    """RecBole's numbers of tokens; 0, its padding, for one that it does not know."""
    return tokens.map(dataset.field2token_id[field]).fillna(0).to_numpy(np.int64)


def _pairs_of(parts: Sequence[Any]) -> Int64[np.ndarray, " _"]:
    ends = [(part.inter_feat[part.uid_field].numpy(), part.inter_feat[part.iid_field].numpy()) for part in parts]
    return np.concatenate([users.astype(np.int64) * part.item_num + items for part, (users, items) in zip(parts, ends)])


def _known(dataset: Any, parts: Sequence[Any], name: str, frame: pd.DataFrame) -> Bool[np.ndarray, " rows"]:
    """Which rows were there when training ended."""
    config, time = dataset.config, dataset.time_field
    if PART in frame:
        if odd := sorted(set(frame[PART]).difference(SPLITS)):
            raise DataError(f"{name} has the part {shown(odd[0])}, expected one of {', '.join(SPLITS)}")
        return (frame[PART] == SPLITS[0]).to_numpy()
    if config["eval_args"]["order"] != "TO" or config["benchmark_filename"]:
        return np.ones(len(frame), dtype=bool)
    if time not in frame:
        raise DataError(
            f"{name} has no column {time}, while the split is one in time, so that what of it came before the test is "
            f"not known; add {time}:float, or a column part:token of {', '.join(SPLITS)}"
        )
    times = pd.to_numeric(frame[time], errors="coerce").to_numpy(np.float64)
    if not np.isfinite(times).all():
        first = frame[time].iloc[int(np.argmax(~np.isfinite(times)))]
        raise DataError(f"{name} has the {time} {shown(first)}, expected a number; correct it, or drop the line")
    users = _ids(dataset, dataset.uid_field, frame[dataset.uid_field])
    return times.astype(np.float32) < _ends_of_training(dataset, parts[0])[users]


def _ends_of_training(dataset: Any, train: Any) -> Float32[np.ndarray, " n_users"]:
    """The time of each user's last training interaction, or of everybody's; -inf where there is none.

    RecBole holds times as float32. What is earlier there is earlier indeed, and of equal ones nothing is said.
    """
    config, field = dataset.config, dataset.time_field
    if field not in train.inter_feat or config["normalize_all"] or field in (config["normalize_field"] or []):
        raise ConfigError(
            f"relations are held against {field}, which unused_col or normalize_field takes away; leave it as it is"
        )
    times = train.inter_feat[field]
    times = (times[..., 0] if times.dim() == 2 else times).numpy().astype(np.float32)
    ends = np.full(dataset.user_num, -np.inf, dtype=np.float32)
    np.maximum.at(ends, train.inter_feat[train.uid_field].numpy(), times)
    return ends if config["eval_args"]["group_by"] == "user" else np.full_like(ends, times.max())

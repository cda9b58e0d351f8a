"""Yambda into a dataset folder, a piece at a time: up to 4.79 billion events of Yandex Music.

``timestamp`` is seconds from a moment that was not published. What a user did with a track is one interaction, at the
first time that it was positive. Dislikes that were not taken back are never positive (:mod:`.yambda_queries`).
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import duckdb

from recbole_sheaf.data.conversion import FEATURES, check_place, dataset_folder
from recbole_sheaf.data.published_logs import (
    IN_MEMORY,
    WORK,
    Taken,
    database,
    make_rows,
    refusals,
    write_tables,
)
from recbole_sheaf.data.published_vectors import MODALITY
from recbole_sheaf.data.yambda_embeddings import check_embeddings, write_embeddings
from recbole_sheaf.data.yambda_layout import EMBEDDINGS, find_layout
from recbole_sheaf.data.yambda_queries import queries

RULE = "played_ratio_pct >= 50"  # Listen+ of its benchmark; of other events there is no such ratio
_FEWER = "users or items"


@dataclass(frozen=True)
class Wanted(Taken):
    """What is taken of Yambda."""

    positive: str = RULE


def write_yambda(source: Path, target: Path, wanted: Wanted, overwrite: bool = False) -> list[str]:
    """Write the folder; gives lines on what is in it.

    Args:
        source: the folder that holds the events, such as ``flat/50m``.
        target: the folder to write.
        wanted: what is taken.
        overwrite: whether an older dataset there is replaced.

    Raises:
        ConfigError: if an option is out of range, or the condition is none.
        DataError: if a file or a column is missing, a column of another type, an id, a time or an event none, a part of
            the split empty, or the limit of memory too low.
        FeatureError: if the file of vectors has no lists of numbers, or none of the dataset's items.
        WriteError: if it cannot be written; an older folder stays.

    Memory: what ``wanted`` allows DuckDB, 4 bytes for each item and some 200 MiB. Reads the files three times, and once
    more where users are drawn, and again where items are.
    """
    check_place(target, overwrite)
    layout = find_layout(source)
    with refusals(wanted, _FEWER), duckdb.connect(config={**IN_MEMORY}) as db:
        asked = queries(db, layout, wanted.positive, wanted.keep_split)
        if layout.embeddings:
            check_embeddings(db, layout.embeddings)
    said = [
        f"events of {', '.join(path.name for path in layout.events)}; timestamp is in seconds, in steps of 5",
        f"positive: {asked.condition.sql}, once for each user and item, and no dislike or like that was taken back",
    ]
    with dataset_folder(target, [MODALITY] if layout.embeddings else [], said) as building:
        files = [*layout.events, *([layout.embeddings] if layout.embeddings else [])]
        with refusals(wanted, _FEWER), database(building, files, wanted.memory) as db:
            items = make_rows(db, asked, wanted, said)
            write_tables(db, building / target.name, wanted.keep_split, said)
            if layout.embeddings:
                said += write_embeddings(db, layout.embeddings, building / FEATURES, len(items))
            else:
                said.append(f"no vectors of items: {EMBEDDINGS} does not lie near the events")
        shutil.rmtree(building / WORK)
    return said

"""VK-LSVD into a dataset folder, a piece at a time: weeks of Parquet files, which are 40.8 billion interactions.

``timestamp`` is the number of an interaction among all of the chosen weeks, from 0: an order, and no time. An
interaction with a dislike is never positive (:mod:`.published_logs`).
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import duckdb

from recbole_sheaf.data.conversion import FEATURES, check_place, dataset_folder
from recbole_sheaf.data.published_logs import (
    IN_MEMORY,
    WORK,
    Taken,
    database,
    make_rows,
    refusals,
    refuse_below_one,
    write_tables,
)
from recbole_sheaf.data.published_vectors import MODALITY
from recbole_sheaf.data.vk_lsvd_embeddings import find_embeddings
from recbole_sheaf.data.vk_lsvd_layout import EMBEDDINGS, chosen_weeks, find_layout
from recbole_sheaf.data.vk_lsvd_queries import METADATA, queries

RULE = "like or share or bookmark or click_on_author or timespent >= 0.7 * duration"
_FEWER = "weeks, users or items"


@dataclass(frozen=True)
class Wanted(Taken):
    """What is taken of VK-LSVD.

    Attributes:
        positive: as of any log.
        weeks: of training, such as ``20:24``; all by default.
        dimensions: of the items' vectors, the first ones; all by default.
    """

    positive: str = RULE
    weeks: Optional[str] = None
    dimensions: Optional[int] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_below_one("dimensions", self.dimensions)


def write_vk_lsvd(source: Path, target: Path, wanted: Wanted, overwrite: bool = False) -> list[str]:
    """Write the folder; gives lines on what is in it.

    Args:
        source: the folder that holds ``interactions/``, or one of ``subsamples/``.
        target: the folder to write.
        wanted: what is taken.
        overwrite: whether an older dataset there is replaced.

    Raises:
        ConfigError: if an option is out of range, or the condition is none.
        DataError: if a week or a column is missing, a column of another type, an id or a time no such number, a part of
            the split empty, or the limit of memory too low.
        FeatureError: if the file of vectors is no such archive, or has none of the dataset's items.
        WriteError: if it cannot be written; an older folder stays.

    Memory: what ``wanted`` allows DuckDB, 20 bytes for each item and some 200 MiB. Reads the files once, and once more
    where users are drawn, and again where items are.
    """
    check_place(target, overwrite)
    layout = find_layout(source)
    weeks = chosen_weeks(layout, source, wanted.weeks, wanted.keep_split)
    tables = {key: path for key, name in METADATA.items() if (path := layout.metadata_file(name)) is not None}
    with refusals(wanted, _FEWER), duckdb.connect(config={**IN_MEMORY}) as db:
        asked = queries(db, weeks, tables, wanted.positive)
    embeddings = find_embeddings(layout.metadata_file(EMBEDDINGS), wanted.dimensions)
    numbers = ", ".join(str(week.number) for week in weeks)
    said = [
        f"weeks {numbers}; timestamp is the number of an interaction among theirs",
        f"positive: {asked.condition.sql}, and no dislike",
    ]
    with dataset_folder(target, [MODALITY] if embeddings else [], said) as building:
        files = [*(week.path for week in weeks), *tables.values()]
        with refusals(wanted, _FEWER), database(building, files, wanted.memory) as db:
            items = make_rows(db, asked, wanted, said)
            write_tables(db, building / target.name, wanted.keep_split, said)
        shutil.rmtree(building / WORK)
        if embeddings:
            said += embeddings.write(building / FEATURES, items)
        else:
            said.append(f"no vectors of items: metadata/{EMBEDDINGS} does not lie near the interactions")
    return said

"""Small data in Yambda's layout with its traps: repeats, equal times, likes and dislikes that were taken back, gaps."""

from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd

from tests.data.vk_lsvd import write_parquet

FILES = {
    "listen": "listens.parquet",
    "like": "likes.parquet",
    "dislike": "dislikes.parquet",
    "unlike": "unlikes.parquet",
    "undislike": "undislikes.parquet",
}
TYPES = {"uid": np.uint32, "item_id": np.uint32, "timestamp": np.uint32, "is_organic": np.uint8}
AT_ONCE = [  # of pairs of which nothing else is known: what has the time of its taking back, or of a dislike
    *((102, 3, event) for event in ("like", "unlike")),
    *((103, 4, event) for event in ("dislike", "undislike")),
    *((104, 5, event) for event in ("listen", "dislike")),
]
OF_LISTENS = {"played_ratio_pct": "UInt16", "track_length_seconds": "UInt32"}
DIMENSIONS = 6


def write_yambda(folder: Path, rows: int = 700, users: int = 14, items: int = 25, seed: int = 0) -> SimpleNamespace:
    """Write all files; gives the table of events, and ids and vectors of the tracks.

    Times are within the last four days, some of them in the gaps and many equal. A listen has no ratio, a track of the
    events has no vector and others have one that nobody heard.
    """
    rng = np.random.default_rng(seed)
    tracks = np.concatenate([np.arange(1, items - 1), [2**31 + 7, 2**32 - 1]])
    people = np.concatenate([np.arange(100, 100 + users - 1), [2**32 - 2]])
    table = pd.DataFrame({"uid": rng.choice(people, rows), "item_id": rng.choice(tracks, rows)})
    times = 25_640_000 + 5 * rng.integers(0, 72_000, rows)
    near = rng.choice([25_823_600, 25_825_400, 25_911_800, 25_913_600], rows) + 5 * rng.integers(-2, 3, rows)
    times = np.where(rng.random(rows) < 0.2, near, times)
    table["timestamp"] = np.where(rng.random(rows) < 0.5, times // 20_000 * 20_000, times)
    table["is_organic"] = rng.integers(0, 2, rows)
    table = table.astype(TYPES)
    table["event_type"] = rng.choice(list(FILES), rows, p=[0.6, 0.13, 0.1, 0.1, 0.07])
    of_these = [pair in {row[:2] for row in AT_ONCE} for pair in zip(table["uid"], table["item_id"])]
    table = pd.concat([table[~np.array(of_these)], _at_once()], ignore_index=True)
    rows, listened = len(table), table["event_type"] == "listen"
    table["played_ratio_pct"] = pd.Series(rng.integers(0, 130, rows), dtype="UInt16").where(listened)
    table["track_length_seconds"] = pd.Series(5 * rng.integers(1, 60, rows), dtype="UInt32").where(listened)
    table.loc[table.index[listened][3], "played_ratio_pct"] = pd.NA
    table.loc[listened & (table["uid"] == 104) & (table["item_id"] == 5), "played_ratio_pct"] = 90
    table = table.sort_values(["uid", "timestamp"], kind="stable", ignore_index=True)
    write_events(folder / "flat" / "50m", table)
    ids = rng.permutation(np.concatenate([tracks[:-1], np.arange(10**6, 10**6 + items)])).astype(np.uint32)
    vectors = rng.normal(size=(len(ids), DIMENSIONS))
    write_vectors(folder, ids, vectors.tolist())
    return SimpleNamespace(folder=folder, table=table, ids=ids, vectors=vectors)


def _at_once() -> pd.DataFrame:
    rows = pd.DataFrame(AT_ONCE, columns=["uid", "item_id", "event_type"]).assign(timestamp=25_700_000, is_organic=1)
    return rows.astype(TYPES)


def write_events(folder: Path, table: pd.DataFrame) -> None:
    """Write the file of all events, and one of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as db:  # words as a dictionary, as they were published
        db.execute(f"CREATE TYPE event AS ENUM {tuple(FILES)}")
        db.register("frame", table)
        every = "SELECT * REPLACE (event_type::event AS event_type) FROM frame"
        db.execute(f"COPY ({every}) TO '{folder / 'multi_event.parquet'}' (FORMAT parquet, ROW_GROUP_SIZE 2048)")
    for event, name in FILES.items():
        of_listens = [] if event == "listen" else list(OF_LISTENS)
        own = table[table["event_type"] == event].drop(columns=["event_type", *of_listens])
        write_parquet(folder / name, own)


def write_vectors(folder: Path, ids: np.ndarray, vectors: list) -> None:
    """Write the tracks' vectors, and the same at length 1."""
    lengths = [[0.5] * len(vector) for vector in vectors]
    write_parquet(
        folder / "embeddings.parquet", pd.DataFrame({"item_id": ids, "embed": vectors, "normalized_embed": lengths})
    )

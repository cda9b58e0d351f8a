"""Small data in VK-LSVD's layout with its traps: no times, part folders, ids near 2**32, vectors of other items too."""

from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd

LOGICAL = ("like", "dislike", "share", "bookmark", "click_on_author", "open_comments")
TYPES = {
    **dict.fromkeys(("user_id", "item_id"), np.uint32),
    **dict.fromkeys(("place", "platform", "agent", "timespent"), np.uint8),
    **dict.fromkeys(LOGICAL, bool),
}
DIMENSIONS = 64


def write_vk_lsvd(
    folder: Path,
    weeks: int = 5,
    rows: int = 120,
    users: int = 20,
    items: int = 40,
    seed: int = 0,
    compressed: bool = False,
) -> SimpleNamespace:
    """Write ``weeks`` files of ``rows`` in all, the last two of validation and test; gives what is in them.

    The table of each week is in ``tables`` by its number, ``durations`` are by item, ``ids`` and ``vectors`` are of the
    archive. Each pair of user and item occurs once, users and items come and go, and an item has no duration. Clips
    that nobody saw have vectors, in no order of ids, and one that somebody saw has none.
    """
    rng = np.random.default_rng(seed)
    clips = np.concatenate([np.arange(1, items - 1), [2**31 + 7, 2**32 - 1]])
    people = np.concatenate([np.arange(1000, 1000 + users - 1), [2**32 - 2]])
    pairs = rng.choice(users * items, size=rows, replace=False)
    later = np.argsort(pairs % items + rng.normal(0, items / 4, rows))  # of items with higher numbers
    pairs = pairs[later]
    every = pd.DataFrame({"user_id": people[pairs // items], "item_id": clips[pairs % items]})
    for name, high in (("place", 3), ("platform", 4), ("agent", 5), ("timespent", 60)):
        every[name] = rng.integers(0, high, rows)
    for name, share in zip(LOGICAL, (0.15, 0.06, 0.05, 0.03, 0.03, 0.1)):
        every[name] = rng.random(rows) < share
    every = every.astype(TYPES)
    ends = np.linspace(0, rows, weeks + 1).astype(int)
    tables = {week: every.iloc[ends[week] : ends[week + 1]].reset_index(drop=True) for week in range(weeks)}
    for week, table in tables.items():
        write_week(folder, week, weeks, table)
    metadata = folder / "metadata"
    metadata.mkdir()
    durations = {int(clip): int(duration) for clip, duration in zip(clips, rng.integers(5, 60, items))}
    listed = pd.DataFrame({"item_id": np.array(list(durations)[1:], np.uint32)})  # the first has no line
    listed["author_id"], listed["duration"] = np.uint32(7), np.array(list(durations.values())[1:], np.uint8)
    write_parquet(metadata / "items_metadata.parquet", listed)
    about = pd.DataFrame({"user_id": people.astype(np.uint32), "age": rng.integers(18, 70, users).astype(np.uint8)})
    write_parquet(metadata / "users_metadata.parquet", about)
    ids = rng.permutation(np.concatenate([clips[:-1], np.arange(10**6, 10**6 + items)]))
    vectors = (rng.normal(size=(len(ids), DIMENSIONS)) / np.arange(1, DIMENSIONS + 1)).astype(np.float16)
    save = np.savez_compressed if compressed else np.savez
    save(metadata / "item_embeddings.npz", item_id=ids, embedding=vectors)
    del durations[int(clips[0])]
    return SimpleNamespace(folder=folder, tables=tables, durations=durations, ids=ids, vectors=vectors)


def write_week(folder: Path, week: int, weeks: int, table: pd.DataFrame) -> Path:
    part = {weeks - 2: "validation", weeks - 1: "test"}.get(week, "train")
    path = folder / "interactions" / part / f"week_{week:02}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(path, table)
    return path


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    with duckdb.connect() as db:
        db.register("frame", table)
        db.execute(f"COPY (FROM frame) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)")

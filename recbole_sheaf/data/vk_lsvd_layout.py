"""Where the files of VK-LSVD lie, and which of its weeks are taken (https://huggingface.co/datasets/deepvk/VK-LSVD).

A folder of interactions, ``interactions/`` or one of ``subsamples/``, holds ``train/week_00.parquet`` and on,
``validation/week_25.parquet`` and ``test/week_26.parquet``. There is no column of time: rows of a file are in the order
of time, and files in the order of weeks. ``metadata/`` holds tables of items and users and the items' vectors.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Optional

from recbole_sheaf.data.mmrec_folder import SPLITS
from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.files.regular_files import open_regular

FOLDERS = dict(zip(("train", "validation", "test"), SPLITS))
EMBEDDINGS = "item_embeddings.npz"
_WEEK = re.compile(r"week_(\d{2,4})\.parquet")
_RANGE = re.compile(r"(\d{1,4})(?::(\d{1,4}))?")


class Week(NamedTuple):
    """A file of interactions."""

    number: int
    part: str
    path: Path


@dataclass(frozen=True)
class Layout:
    """The files of a folder of VK-LSVD.

    Attributes:
        weeks: in the order of their numbers.
        metadata: the folder of tables of items and users; None where there is none.
    """

    weeks: tuple[Week, ...]
    metadata: Optional[Path]

    def metadata_file(self, name: str) -> Optional[Path]:
        """A file of the metadata, where it is there."""
        return self.metadata / name if self.metadata is not None and (self.metadata / name).exists() else None


def find_layout(source: Path) -> Layout:
    """The weeks of a folder of interactions, or of the one that is called so in it, and the metadata nearest to it.

    Raises:
        DataError: if there are no weeks of training, a week is there twice, or a part begins before another ends.
    """
    folder = source / "interactions" if (source / "interactions").is_dir() else source
    weeks = [
        Week(int(found[1]), part, path)
        for name, part in FOLDERS.items()
        for path in sorted((folder / name).glob("week_*.parquet"))
        if (found := _WEEK.fullmatch(path.name))
    ]
    if not weeks or weeks[0].part != SPLITS[0]:
        raise DataError(
            f"{source} is no folder of VK-LSVD: it has no train/week_00.parquet; give the folder that holds "
            "interactions/, or one of subsamples/"
        )
    for before, after in zip(weeks, weeks[1:]):
        if after.number <= before.number:
            raise DataError(
                f"{after.path} comes after {before.path.parent.name}/{before.path.name}; expected weeks in the "
                "order of train, validation and test, each once: put the files where they were published"
            )
    for week in weeks:
        open_regular(week.path, DataError).close()
    near = [folder, *folder.absolute().parents[:2]]
    return Layout(tuple(weeks), next((each / "metadata" for each in near if (each / "metadata").is_dir()), None))


def chosen_weeks(layout: Layout, source: Path, given: Optional[str], keep_split: bool) -> list[Week]:
    """Weeks of training in a range, and those of validation and test; of one table all those in the range and no other.

    Args:
        given: ``20:24``, the first and the last, or one number; by default all from 0 to the first that is not of them.
        keep_split: whether the published parts are kept.

    Raises:
        ConfigError: if the range is none, or holds no week that would be taken.
        DataError: if a week of it, or of a part that is kept, is missing.
    """
    there = {week.number for week in layout.weeks}
    parts = {week.part for week in layout.weeks}
    if keep_split and (absent := [name for name, part in FOLDERS.items() if part not in parts]):
        raise DataError(
            f"{source} has no week of {' and '.join(absent)}; add its file, or give keep_split=False to have one "
            "table, which run splits by split=time_global"
        )
    held_out = [week for week in layout.weeks if keep_split and week.part != SPLITS[0]]
    within = [week for week in layout.weeks if week not in held_out]
    last_there = held_out[0].number if held_out else within[-1].number
    first, last = _range(given) if given is not None else (0, last_there)
    # The published validation may be named in the range: it is taken in any case.
    wanted = set(range(first, last + 1)) - {week.number for week in held_out}
    if missing := sorted(wanted - there):
        raise DataError(
            f"{source} lacks week_{missing[0]:02}.parquet{_and_more(missing)}; add the file, or choose other weeks by "
            f"weeks=FIRST:LAST (there are {_ranges(sorted(there))})"
        )
    if not wanted:
        raise ConfigError(f"weeks={given} holds no week of training; those are {_ranges([w.number for w in within])}")
    return [week for week in within if week.number in wanted] + held_out


def _range(given: str) -> tuple[int, int]:
    found = _RANGE.fullmatch(given)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if last < first:
        raise ConfigError(f"weeks={given} is no range of weeks; write the first and the last, such as weeks=20:24")
    return first, last


def _and_more(missing: Sequence[int]) -> str:
    return f" and {len(missing) - 1} more weeks" if len(missing) > 1 else ""


def _ranges(numbers: Sequence[int]) -> str:
    """``0 to 3 and 5``."""
    ends = [n for n in numbers if n - 1 not in numbers], [n for n in numbers if n + 1 not in numbers]
    return " and ".join(f"{first} to {last}" if first < last else f"{first}" for first, last in zip(*ends))

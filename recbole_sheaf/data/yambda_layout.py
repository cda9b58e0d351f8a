"""Where the files of Yambda lie, and when its parts begin (https://huggingface.co/datasets/yandex/yambda).

A folder of ``flat/``, such as ``flat/50m``, holds ``multi_event.parquet``, of all events, and a file for each kind of
event. ``embeddings.parquet``, of all tracks, lies two folders above. A timestamp is in seconds from a moment that was
not published, in steps of 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from recbole_sheaf.data.mmrec_folder import SPLITS
from recbole_sheaf.errors import DataError
from recbole_sheaf.files.regular_files import open_regular

EVENTS = {  # by the file of each
    "listens.parquet": "listen",
    "likes.parquet": "like",
    "dislikes.parquet": "dislike",
    "unlikes.parquet": "unlike",
    "undislikes.parquet": "undislike",
}
TOGETHER = "multi_event.parquet"
EMBEDDINGS = "embeddings.parquet"

# The protocol of its benchmark: a day of validation and one of test, each after a gap of half an hour.
_DAY, _GAP = 24 * 60 * 60, 30 * 60
_TEST = 26_000_000 - _DAY
_VALID = _TEST - _GAP - _DAY
BOUNDS = dict(zip(SPLITS, ((0, _VALID - _GAP), (_VALID, _TEST - _GAP), (_TEST, None))))


@dataclass(frozen=True)
class Layout:
    """The files of a folder of Yambda.

    Attributes:
        events: which event each file is of; None for the file of all.
        embeddings: the tracks' vectors, where they are there.
    """

    events: Mapping[Path, Optional[str]]
    embeddings: Optional[Path]


def find_layout(source: Path) -> Layout:
    """The file of all events, or one of each event, and the vectors nearest to them.

    Raises:
        DataError: if they are not there.
    """
    lacking = [name for name in EVENTS if not (source / name).exists()]
    if (source / TOGETHER).exists():
        events: dict[Path, Optional[str]] = {source / TOGETHER: None}
    elif len(lacking) == len(EVENTS):
        raise DataError(
            f"{source} is no folder of Yambda: it has no {TOGETHER}; give the one that holds the events, such "
            "as flat/50m"
        )
    elif lacking:
        raise DataError(
            f"{source} lacks {' and '.join(lacking)}, so what was disliked and what was taken back is not all known; "
            f"add that, or {TOGETHER}"
        )
    else:
        events = {source / name: event for name, event in EVENTS.items()}
    for path in events:
        open_regular(path, DataError).close()
    near = [source, *source.absolute().parents[:2]]
    return Layout(events, next((each / EMBEDDINGS for each in near if (each / EMBEDDINGS).exists()), None))

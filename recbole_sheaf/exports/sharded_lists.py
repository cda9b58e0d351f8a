"""Top lists of many users on many workers, the lists of one process to the last digit; what is finished is kept.

A shard is some whole batches of users as one process would take them, so that each score comes out of the same sums.
Workers read the pieces from where they are shared, once for all of a machine, and write nothing.
"""

import contextlib
import functools
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from recbole_sheaf.embeddings.choice import Choice
from recbole_sheaf.embeddings.embeddings import PARTS, Embeddings, Histories, csc_of
from recbole_sheaf.embeddings.ranking import AtMost, Lists, PieceScores, check_k, masked_parts, top_lists, users_at_once
from recbole_sheaf.files.cache import load_arrays, make_private, save_checked
from recbole_sheaf.workers.in_order import in_order
from recbole_sheaf.workers.pools import Workers
from recbole_sheaf.workers.shared import Kept, Shared
from recbole_sheaf.workers.threads import threads_limited

MOST_BATCHES = 64  # of a shard: what a stop loses, and what a worker has to itself at the end
MOST_PLACES = 2**18  # of the lists of a shard, 2 MiB
NAMES = ("items", "scores")
Made = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Asked:
    """What all shards are asked for, beside arrays.

    Attributes:
        n_items: of the catalogue.
        k: length of a list.
        seen, seen_at_test: as of :func:`~recbole_sheaf.embeddings.ranking.top_lists` and the metadata.
        at_most: of a group, where there are groups.
        threads: that scores are made by.
    """

    n_items: int
    k: int
    seen: str
    seen_at_test: tuple[str, ...]
    at_most: Optional[int]
    threads: Optional[int]


def sharded_lists(
    workers: Workers,
    embeddings: Embeddings,
    rows: Int[np.ndarray, " b"],
    k: int,
    seen: str,
    choice: Choice,
    threads: Optional[int] = None,
    kept: Optional[Path] = None,
    show_progress: bool = False,
    most_batches: int = MOST_BATCHES,
) -> Iterator[Lists]:
    """The k best items of each user, as :func:`~recbole_sheaf.embeddings.ranking.top_lists` has them.

    Args:
        workers: entered with the first list that is not kept.
        rows: of the users.
        choice: which items may be listed.
        threads: of each worker; None leaves what it has.
        kept: a folder for finished shards, from which the same call takes them when it was stopped, until
            :func:`forget_shards`.
        most_batches: of users in a shard.

    Raises:
        ConfigError: at once, if there are fewer than k items, or ``seen`` is unknown.
        WorkersGone: as :func:`~recbole_sheaf.workers.in_order.in_order`.

    A worker holds what one process would, but the pieces themselves only once for each machine; here are the lists of
    as many shards as run or wait.
    """
    n_items = len(embeddings.items)
    check_k(k, n_items if choice.allowed is None else int(choice.allowed.sum()))
    at_test = tuple(embeddings.metadata.get("seen_at_test", PARTS[:2]))
    masked_parts(seen, at_test)
    most = None if choice.at_most is None else choice.at_most.most
    asked = Asked(n_items, k, seen, at_test, most, threads)
    arrays = _pieces(embeddings, choice)
    batch = users_at_once(n_items)
    size = batch * max(1, min(most_batches, MOST_PLACES // (batch * k)))
    shards = [rows[start : start + size] for start in range(0, len(rows), size)]
    folder = None if kept is None else _Folder(kept, _key(asked, arrays, rows, size))
    return _lists(workers, arrays, asked, shards, folder, show_progress)


def _lists(
    workers: Workers,
    arrays: dict[str, np.ndarray],
    asked: Asked,
    shards: list[Int[np.ndarray, " _"]],
    folder: Optional["_Folder"],
    show_progress: bool,
) -> Iterator[Lists]:
    there = [folder is not None and folder.has(number) for number in range(len(shards))]
    with tqdm(total=sum(map(len, shards)), unit=" users", disable=not show_progress) as bar:
        made: Iterator[Made] = iter(())
        if not all(there):
            made = _made(workers, arrays, asked, [rows for rows, has in zip(shards, there) if not has])
        for number, rows in enumerate(shards):
            found = folder.load(number) if folder is not None and there[number] else next(made)
            if found is None:  # another command ended meanwhile, and took them away
                found = lists_of_shard(Kept.of(arrays), asked, rows)
            if folder is not None and not there[number]:
                folder.save(number, *found)
            yield Lists(rows, *found)
            bar.update(len(rows))
        for _ in made:  # ends the workers
            pass


def _made(
    workers: Workers, arrays: dict[str, np.ndarray], asked: Asked, shards: list[Int[np.ndarray, " _"]]
) -> Iterator[Made]:
    with workers:
        shared = workers.share(arrays)
        yield from in_order(workers, lists_of_shard, ((shared, asked, rows) for rows in shards))


def lists_of_shard(
    shared: Shared, asked: Asked, rows: Int[np.ndarray, " b"]
) -> tuple[Int[np.ndarray, "b k"], Float[np.ndarray, "b k"]]:
    """Items and scores of some users, on a worker."""
    embeddings, scores, allowed, at_most = _opened(shared, asked)
    with threads_limited(asked.threads):
        found = list(top_lists(embeddings, rows, asked.k, scores, asked.seen, allowed, at_most=at_most))
    items, values = (np.concatenate(each) for each in zip(*((some.items, some.scores) for some in found)))
    return items.astype(np.int32), values


def _pieces(embeddings: Embeddings, choice: Choice) -> dict[str, np.ndarray]:
    """What lists are made of, without tokens."""
    histories, coefficients = embeddings.histories, embeddings.coefficients
    found = {
        "user_vectors": embeddings.user_vectors,
        "item_vectors": embeddings.item_vectors,
        "history_offsets": histories.offsets,
        "history_items": histories.items,
        "history_parts": histories.parts,
    }
    if coefficients is not None:
        found["coefficient_offsets"] = coefficients.indptr
        found["coefficient_items"] = coefficients.indices
        found["coefficient_values"] = coefficients.data
    if choice.allowed is not None:
        found["allowed"] = choice.allowed
    if choice.at_most is not None:
        found["groups"] = choice.at_most.groups
    return found


@functools.lru_cache(maxsize=1)
def _opened(shared: Shared, asked: Asked) -> tuple[Embeddings, PieceScores, Optional[np.ndarray], Optional[AtMost]]:
    """The pieces as a worker holds them, for all its shards."""
    arrays = shared.open()
    coefficients = None
    if "coefficient_values" in arrays:
        values, sources, offsets = (arrays[f"coefficient_{name}"] for name in ("values", "items", "offsets"))
        coefficients = csc_of(values, sources, offsets, asked.n_items)
    embeddings = Embeddings(
        users=np.zeros(len(arrays["user_vectors"]), dtype="U1"),
        items=np.zeros(asked.n_items, dtype="U1"),
        user_vectors=arrays["user_vectors"],
        item_vectors=arrays["item_vectors"],
        blocks=(),
        item_sources=np.zeros((asked.n_items, 0), dtype=np.float32),
        histories=Histories(*(arrays[f"history_{name}"] for name in ("offsets", "items", "parts"))),
        coefficients=coefficients,
        metadata={"seen_at_test": list(asked.seen_at_test)},
    )
    at_most = None if asked.at_most is None else AtMost(arrays["groups"], asked.at_most)
    return embeddings, PieceScores(embeddings), arrays.get("allowed"), at_most


def _key(asked: Asked, arrays: Mapping[str, np.ndarray], rows: np.ndarray, size: int) -> str:
    """Of everything that lists follow from; a second for a gigabyte."""
    digest = hashlib.sha256(json.dumps({**asdict(asked), "size": size}, sort_keys=True).encode())
    for name, array in (*sorted(arrays.items()), ("rows", rows)):
        digest.update(f"{name} {array.dtype.str} {array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()[:32]


def forget_shards(place: Path) -> None:
    """Remove finished shards, once what was made of them is whole; nothing that this did not make."""
    _clear(place)
    with contextlib.suppress(OSError):  # absent, or not empty
        place.rmdir()


def _clear(place: Path, but: Optional[Path] = None) -> None:
    for other in place.glob("*"):
        if other != but and _OWN.fullmatch(other.name):
            shutil.rmtree(other, ignore_errors=True)


_OWN = re.compile(r"[0-9a-f]{32}")  # names of folders that this made


class _Folder:
    """Finished shards, one file each, below a folder of their key; those of another key go."""

    def __init__(self, place: Path, key: str) -> None:
        self.own = place / key
        make_private(self.own)
        _clear(place, but=self.own)

    def has(self, number: int) -> bool:
        return load_arrays(self._path(number), NAMES) is not None

    def load(self, number: int) -> Optional[Made]:
        found = load_arrays(self._path(number), NAMES)
        return None if found is None else (found["items"], found["scores"])

    def save(self, number: int, *arrays: np.ndarray) -> None:
        save_checked(self._path(number), dict(zip(NAMES, arrays)), NAMES)

    def _path(self, number: int) -> Path:
        return self.own / f"{number:08d}.npz"

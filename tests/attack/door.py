"""The way a command takes to data: settings, split, loaders, content; and what a row of an attack may end in."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional, Union

import numpy as np

from recbole_sheaf.errors import SheafError
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import LoadedSplit, load_split, loaders
from recbole_sheaf.models.multimodal import read_modalities

Content = Union[bytes, str, Callable[[Path], None]]

USERS, ITEMS = "abcd", [f"i{item}" for item in range(8)]
HEADER = "user_id:token\titem_id:token"
PAIRS = [(user, ITEMS[(2 * place + step) % 8]) for place, user in enumerate(USERS) for step in range(5)]
LINES = ["\t".join(pair) for pair in PAIRS]


def table(lines: Any = LINES, header: str = HEADER, end: str = "\n") -> str:
    """An atomic file of text lines."""
    return end.join([header, *lines]) + end


@dataclass(frozen=True)
class Reads:
    """What a split holds when it was read rightly; ``of`` gives what else is to be compared with ``what``."""

    n: int = len(PAIRS)
    users: frozenset[str] = frozenset(USERS)
    items: frozenset[str] = frozenset(ITEMS)
    of: Optional[Callable[[LoadedSplit, dict], Any]] = None
    what: Any = None


@dataclass(frozen=True)
class Row:
    """One input of a kind of its own, and either words of the refusal or the reading that it must give.

    Attributes:
        name: of the row.
        files: below the dataset's folder, by path; a function makes what is no plain file.
        expected: words of the sentence, or what is read.
        settings: beside ``data_path``.
        said: words that the log must hold.
        model: one that reads content, or one that does not.
    """

    name: str
    files: dict[str, Content]
    expected: Union[str, Reads]
    settings: dict[str, Any] = field(default_factory=dict)
    said: str = ""
    model: str = "BPR"


def lay_out(row: Row, data: Path) -> None:
    """Write the row's files; the interactions are good ones unless the row brings its own."""
    files = row.files
    if not any(name.endswith(".inter") for name in files):
        files = {"toy.inter": table(), **files}
    for name, content in files.items():
        path = data / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def enter(row: Row, data: Path) -> tuple[LoadedSplit, dict]:
    """Go in as ``run`` does: settings, data, loaders and, of a model that reads it, content."""
    settings = {"data_path": str(data), "cache_dir": str(data.parent / "cache"), "state": "info", **row.settings}
    config = resolve_configs([row.model], "toy", [], settings)[0]
    split = load_split(config)
    loaders(config, split)
    return split, read_modalities(config, split.dataset) if row.model == "VBPR" else {}


def judge(row: Row, data: Path, log: Callable[[], str]) -> None:
    """Pass only the very sentence or the very reading that the row expects; anything else that is raised goes on."""
    try:
        split, content = enter(row, data)
    except SheafError as error:
        sentence = str(error)
        assert "\n" not in sentence and len(sentence) < 1200, f"no sentence: {sentence}"
        assert isinstance(row.expected, str), f"refused: {sentence}"
        assert row.expected in sentence, f"other words: {sentence}"
        return
    assert isinstance(row.expected, Reads), f"accepted, with {split.sizes}"
    _compare(row.expected, split, content)
    assert row.said in log(), f"not said: {log()[-2000:]}"


def _compare(expected: Reads, split: LoadedSplit, content: dict) -> None:
    dataset = split.dataset
    tokens = {field: set(dataset.field2token_id[field]) - {"[PAD]"} for field in ("user_id", "item_id")}
    assert sum(split.sizes.values()) == expected.n
    assert tokens == {"user_id": set(expected.users), "item_id": set(expected.items)}
    if expected.of is not None:
        assert np.array_equal(expected.of(split, content), expected.what)

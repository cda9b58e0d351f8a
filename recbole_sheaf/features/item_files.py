"""Raw content as a folder with one file for each item, ``<item>.jpg`` or ``<item>.wav``."""

from collections.abc import Sequence
from pathlib import Path

from recbole_sheaf.errors import ConfigError


def files_by_item(folder: Path, endings: Sequence[str], what: str) -> dict[str, Path]:
    """Files of these endings by item token, which is the name without its ending.

    Args:
        folder: of the files.
        endings: in lower case, the first stands in messages as an example.
        what: the content of one file, such as ``image``.

    Raises:
        ConfigError: if the folder is none or holds none, or two files are of one item.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; give one of <item>{endings[0]}")
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in endings):
        if path.stem in found:
            other = found[path.stem].name
            raise ConfigError(f"{folder} has two {what}s of the item '{path.stem}', {other} and {path.name}; keep one")
        found[path.stem] = path
    if not found:
        raise ConfigError(f"{folder} holds no {what}; expected <item>{endings[0]}, or {', '.join(endings[1:])}")
    return found

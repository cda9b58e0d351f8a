"""Pictures of items: the files of one folder, by the tokens they are named after."""

import os
from pathlib import Path

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.errors import DataError

MEDIA = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
}  # no SVG, which may run code


def find_posters(folder: Path, embeddings: Embeddings) -> dict[str, Path]:
    """Pictures by item: ``<token>.jpg``, ``.png``, ``.webp`` or ``.gif`` in the folder itself.

    They are found once, here, so that no name in a request ever reaches the file system. A link that leads out of the
    folder is passed over.

    Raises:
        DataError: if there is no such folder, or no picture in it is named after an item.
    """
    if not folder.is_dir():
        raise DataError(f"--posters={folder} is no folder; give the one with pictures named <item>.jpg")
    inside = folder.resolve()
    found = {
        path.stem: path
        for path in sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_file())
        if path.suffix.lower() in MEDIA and embeddings.knows_item(path.stem) and path.resolve().parent == inside
    }
    if not found:
        raise DataError(
            f"no picture in {folder} is named after an item, such as {embeddings.items[0]}.jpg "
            f"({', '.join(MEDIA)}); name them so, or leave --posters out"
        )
    return found

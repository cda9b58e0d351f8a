"""Pictures of items: the files of one folder, by the tokens they are named after."""

import os
from dataclasses import dataclass
from pathlib import Path

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.errors import DataError
from recbole_sheaf.files.regular_files import FileState, open_regular

MEDIA = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
}  # no SVG, which may run code
MOST_PICTURE = 8 << 20  # bytes, which are held while they are sent


@dataclass(frozen=True)
class Picture:
    """A picture file as it was found; what lies there later is another one unless all of this is the same."""

    path: Path
    media_type: str
    state: FileState

    @classmethod
    def at(cls, path: Path) -> "Picture":
        """The picture at a path as it is now, links followed."""
        return cls(path.resolve(), MEDIA[path.suffix.lower()], FileState.of(path.stat()))

    def read(self) -> bytes:
        """The bytes of the picture.

        Raises:
            DataError: if it went away, was changed, or something else lies at its path.
        """
        with open_regular(self.path, DataError) as file:
            same = FileState.of(os.fstat(file.fileno())) == self.state
            if same and len(content := file.read(self.state.size + 1)) == self.state.size:
                return content
        raise DataError(f"{self.path.name} is another file than at the start")


def find_posters(folder: Path, embeddings: Embeddings) -> dict[str, Picture]:
    """Pictures by item: ``<token>.jpg``, ``.png``, ``.webp`` or ``.gif`` in the folder itself.

    They are found once, here, so that no name in a request ever reaches the file system. A link that leads out of the
    folder is passed over.

    Raises:
        DataError: if there is no such folder, no picture in it is named after an item, or one is too large.
    """
    if not folder.is_dir():
        raise DataError(f"posters={folder} is no folder; give the one with pictures named <item>.jpg")
    inside = folder.resolve()
    found = {
        path.stem: Picture.at(path)
        for path in sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_file())
        if path.suffix.lower() in MEDIA and embeddings.knows_item(path.stem) and path.resolve().parent == inside
    }
    if not found:
        raise DataError(
            f"no picture in {folder} is named after an item, such as {embeddings.items[0]}.jpg "
            f"({', '.join(MEDIA)}); name them so, or leave posters=... out"
        )
    if large := [picture for picture in found.values() if picture.state.size > MOST_PICTURE]:
        raise DataError(
            f"{len(large):,} pictures in {folder} have more than {MOST_PICTURE >> 20} MiB (first: "
            f"{large[0].path.name}, {large[0].state.size / 2**20:,.1f} MiB); make them smaller, as thumbnails are"
        )
    return found

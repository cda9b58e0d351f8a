"""Embeddings to files and back: ``.npz``, ``.safetensors``, ``.parquet`` and ``.duckdb``, chosen by the ending.

A file appears whole or not at all. No reading runs code.
"""

import json
import os
from pathlib import Path
from typing import Any, Callable

import numpy as np
import safetensors.numpy

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.errors import ConfigError, DataError, nearest, shown
from recbole_sheaf.exports.array_files import METADATA, is_safetensors_export, read_npz, read_safetensors
from recbole_sheaf.exports.arrays import as_arrays, as_metadata, from_arrays
from recbole_sheaf.files.cache import write_npz
from recbole_sheaf.files.parquet_file import import_pyarrow
from recbole_sheaf.files.regular_files import open_regular
from recbole_sheaf.files.whole_files import whole_file


def check_target(path: Path, endings: tuple[str, ...]) -> None:
    """Refuse, before any work, a path that cannot become a file of one of the endings.

    Raises:
        ConfigError: if the ending is none of them, the path is a folder, or the folder cannot be written.
        EnvironmentMismatch: if the ending needs a package that is not installed.
    """
    if path.suffix not in endings:
        near = nearest(path.suffix, endings, count=1)
        raise ConfigError(f"'{path}' ends in '{path.suffix}'{near}, expected one of {', '.join(endings)}")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the path of a file")
    if path.suffix == ".parquet":
        import_pyarrow("name an .npz")
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ConfigError(f"{path} cannot be written, since {folder} is no folder of yours; give another path")


def write_embeddings(embeddings: Embeddings, path: Path) -> None:
    """Write to ``path``; the ending chooses the format, ``.duckdb`` holds float32 whatever the embeddings are.

    Raises:
        ConfigError: as :func:`check_target`, or if a token is one that the format cannot hold.
        WriteError: if it cannot be written; an older file stays.
    """
    path = Path(path)
    check_target(path, ENDINGS)
    with whole_file(path, (safetensors.SafetensorError,)) as new:
        _WRITERS[path.suffix](embeddings, new)


def read_embeddings(path: Path) -> Embeddings:
    """Read what :func:`write_embeddings` wrote, or somebody who wants it to be taken for that.

    Raises:
        DataError: if the file is absent, damaged, takes far more memory than it has bytes, or holds anything that no
            export does.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no file {path}; 'recbole-sheaf export' writes one from a checkpoint")
    if path.suffix not in ENDINGS:
        raise DataError(f"'{path}' ends in '{path.suffix}', expected a file of embeddings, {', '.join(ENDINGS)}")
    with open_regular(path, DataError) as file:
        size = os.fstat(file.fileno()).st_size
    arrays, metadata = _READERS[path.suffix](path)
    return from_arrays(path.name, arrays, metadata, size)


def holds_embeddings(path: Path) -> bool:
    """Whether a file is an export, and not a checkpoint, which may be a ``.safetensors`` too."""
    if path.suffix != ".safetensors":
        return path.suffix in ENDINGS
    return path.exists() and is_safetensors_export(path)


def _write_npz(embeddings: Embeddings, path: Path) -> None:
    write_npz(path, {**as_arrays(embeddings), METADATA: np.array(json.dumps(as_metadata(embeddings)))})


def _write_safetensors(embeddings: Embeddings, path: Path) -> None:
    """Tokens are UTF-8, a line each, since the format knows numbers alone.

    Raises:
        ConfigError: if a token has an end of a line.
    """
    arrays = as_arrays(embeddings)
    for name in ("user_tokens", "item_tokens"):
        if ended := [token for token in arrays[name].tolist() if "\n" in token]:
            raise ConfigError(
                f"the {name.partition('_')[0]} {shown(ended[0])} has an end of a line, where a .safetensors ends a "
                "token; export to .npz, .parquet or .duckdb"
            )
        arrays[name] = np.frombuffer("\n".join(arrays[name].tolist()).encode("utf-8"), dtype=np.uint8)
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {METADATA: json.dumps(as_metadata(embeddings))}
    safetensors.numpy.save_file(contiguous, path, metadata)


def _write_parquet(embeddings: Embeddings, path: Path) -> None:
    from recbole_sheaf.exports.parquet import write

    write(embeddings, path)


def _read_parquet(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from recbole_sheaf.exports.parquet_reader import read

    return read(path)


def _write_duckdb(embeddings: Embeddings, path: Path) -> None:
    from recbole_sheaf.exports.database import write

    write(embeddings, path)


def _read_duckdb(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from recbole_sheaf.exports.database_reader import read

    return read(path)


_WRITERS: dict[str, Callable[[Embeddings, Path], None]] = {
    ".npz": _write_npz,
    ".safetensors": _write_safetensors,
    ".parquet": _write_parquet,
    ".duckdb": _write_duckdb,
}
_READERS: dict[str, Callable[[Path], tuple[dict[str, np.ndarray], dict[str, Any]]]] = {
    ".npz": read_npz,
    ".safetensors": read_safetensors,
    ".parquet": _read_parquet,
    ".duckdb": _read_duckdb,
}
ENDINGS = tuple(_WRITERS)

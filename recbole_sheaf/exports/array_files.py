"""Exports in ``.npz`` and ``.safetensors``, read: arrays by name, and the metadata as JSON under one more name."""

from pathlib import Path
from typing import Any

import numpy as np

from recbole_sheaf.errors import DataError
from recbole_sheaf.exports.array_checks import (
    as_data_error,
    no_embeddings,
    parsed,
    refusal,
    refuse_other_names,
    refuse_unfolded,
    token_array,
)
from recbole_sheaf.exports.arrays import MARK
from recbole_sheaf.files.arrays import opened_npz, read_member
from recbole_sheaf.files.regular_files import open_regular
from recbole_sheaf.files.safetensors_file import read_header, read_tensor

METADATA = "metadata"
MOST_HEADER = 1 << 22  # bytes of a safetensors file of embeddings; a checkpoint's may be longer
_TOKENS = ("user_tokens", "item_tokens")


def read_npz(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the metadata.

    Raises:
        DataError: if the file is damaged, claims what is not there, would unfold beyond bounds, or holds no embeddings.
    """
    with as_data_error(), opened_npz(path, "a file that 'recbole-sheaf export' wrote") as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if METADATA not in names:
            raise no_embeddings(path)
        refuse_other_names(path.name, [name for name in names if name != METADATA])
        refuse_unfolded(path.name, sum(info.file_size for info in archive.infolist()), path.stat().st_size)
        arrays = {
            name.removesuffix(".npy"): read_member(path.name, archive, archive.getinfo(name))
            for name in archive.namelist()
        }
    text = arrays.pop(METADATA)
    if text.dtype.kind != "U" or text.ndim:
        raise refusal(path.name, f"has metadata of type {text.dtype} and shape {text.shape}, expected one text")
    return arrays, parsed(path.name, str(text))


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays, mapped but for the tokens, and the metadata.

    Raises:
        DataError: as :func:`read_npz`.
    """
    if not is_safetensors_export(path):
        raise no_embeddings(path)
    with as_data_error():
        header, start = read_header(path)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        refuse_other_names(path.name, list(entries))
        arrays = {name: read_tensor(path, name, entry, start) for name, entry in entries.items()}
    size = path.stat().st_size
    for name in _TOKENS:
        arrays[name] = token_array(path.name, name.partition("_")[0], _lines(path.name, name, arrays[name]), size)
    return arrays, parsed(path.name, header["__metadata__"][METADATA])


def is_safetensors_export(path: Path) -> bool:
    """Whether a ``.safetensors`` holds embeddings, and is no checkpoint.

    Raises:
        DataError: if it is no regular file, or no safetensors though it has the mark of embeddings.
    """
    with open_regular(path, DataError) as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= MOST_HEADER or MARK.encode() not in file.read(length):
            return False
    with as_data_error():
        header, _ = read_header(path)
    text = (header.get("__metadata__") or {}).get(METADATA)
    return isinstance(text, str) and MARK in parsed(path.name, text)


def _lines(source: str, name: str, array: np.ndarray) -> list[str]:
    """Tokens are UTF-8, a line each, since the format knows numbers alone."""
    if array.dtype != np.uint8 or array.ndim != 1:
        raise refusal(source, f"has {name} of type {array.dtype} and shape {array.shape}, expected bytes of text")
    try:
        return array.tobytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise refusal(source, f"has {name} that are no text in UTF-8 ({error.reason})") from error

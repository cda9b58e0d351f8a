"""Arrays from ``.npy`` and ``.npz`` files of strangers: nothing is unpickled, each header's claim is checked first.

NumPy asks for the memory that a header claims before it reads a value. Here the claim must agree with the bytes that
are there, packed ones may not unfold without bound, and all of it must fit this machine. The values of an ``.npy`` stay
in the file, which is mapped into memory: pages are read as somebody asks for them and given back where memory is short.
"""

import lzma
import math
import os
import struct
import sys
import tokenize
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Literal, Union

import numpy as np
from jaxtyping import Num

from recbole_sheaf.errors import FeatureError, SheafError, shown
from recbole_sheaf.files.blocks import BLOCK_BYTES
from recbole_sheaf.files.cache import UNREADABLE
from recbole_sheaf.files.regular_files import open_regular, refuse_beyond_memory

#: What numpy, zipfile and the decompressors raise on a file that is damaged or made up.
DAMAGED = (*UNREADABLE, SyntaxError, OverflowError, MemoryError, struct.error, tokenize.TokenError, lzma.LZMAError)
LARGE, MOST_UNFOLDED = 1 << 28, 100  # bytes from which on so many bytes may come of one, at most
Claim = tuple[tuple[int, ...], np.dtype, Literal["C", "F"]]  # what a header says: shape, type and order of the values
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(path: Path, expected: str) -> np.ndarray:
    """The array of an ``.npy``, mapped and read-only; ``expected`` says in messages what the file should be.

    Raises:
        FeatureError: if it is no regular file, damaged, holds Python objects, or claims more than is there.
    """
    with open_regular(path, FeatureError) as file:
        try:
            shape, dtype, order = _refuse_false_claim(path.name, file, os.fstat(file.fileno()).st_size)
            if not dtype.hasobject and _n_bytes(shape, dtype):
                return map_values(file, file.tell(), shape, dtype, order)
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
        except FeatureError:
            raise
        except DAMAGED as error:
            raise unreadable(path, error, expected) from error


def read_npz(path: Path, names: Sequence[str], expected: str) -> list[np.ndarray]:
    """The named arrays of an ``.npz``.

    Raises:
        FeatureError: as :func:`read_npy`, if it is no archive, lacks an array, or unfolds beyond bounds.
    """
    with opened_npz(path, expected) as archive:
        _refuse_absent(path.name, names, archive.namelist())
        return [read_member(path.name, archive, archive.getinfo(f"{name}.npy")) for name in names]


@contextmanager
def opened_npz(path: Path, expected: str) -> Iterator[zipfile.ZipFile]:
    """An ``.npz`` to read members of.

    Raises:
        FeatureError: if it is no regular file or no archive, or a member turns out to be damaged.
    """
    with open_regular(path, FeatureError) as file:
        if not zipfile.is_zipfile(file):
            raise FeatureError(
                f"{path.name} cannot be read: it is no .npz archive; expected {expected}, so write it anew"
            )
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive
        except SheafError:
            raise
        except DAMAGED as error:
            raise unreadable(path, error, expected) from error


def map_values(
    file: BinaryIO, offset: int, shape: tuple[int, ...], dtype: np.dtype, order: Literal["C", "F"] = "C"
) -> np.ndarray:
    """Values of an open file from a place on, as an array that reads them when it is asked."""
    return np.memmap(file, dtype, "r", offset, shape, order).view(np.ndarray)


def read_member(source: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """An array of an archive.

    Raises:
        FeatureError: if its header claims what is not there, or it unfolds beyond bounds.
    """
    _refuse_unfolding(source, info)
    with archive.open(info) as file:
        _refuse_false_claim(source, file, info.file_size)
    with archive.open(info) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
    refuse_no_characters(source, array)
    return array


def blocks_of_member(
    path: Path, archive: zipfile.ZipFile, name: str, names: Sequence[str]
) -> Iterator[Num[np.ndarray, "_ *dim"]]:
    """An array of numbers of an archive, a block of its rows at a time: it may be larger than the memory.

    Args:
        path: of the archive.
        archive: of :func:`opened_npz`.
        name: of the array.
        names: the arrays that the archive should have.

    Raises:
        FeatureError: as :func:`shape_of_member`.

    Memory some 16 MiB; reads the archive once.
    """
    shape_of_member(path, archive, name, names)
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        shape, dtype, _ = _claim(path.name, file, info.file_size)
        of_row = math.prod(shape[1:]) * dtype.itemsize
        step = BLOCK_BYTES // of_row
        for start in range(0, shape[0], step):
            rows = min(step, shape[0] - start)
            yield np.frombuffer(file.read(rows * of_row), dtype).reshape(rows, *shape[1:])


def shape_of_member(path: Path, archive: zipfile.ZipFile, name: str, names: Sequence[str]) -> tuple[int, ...]:
    """The shape of an array of numbers of an archive; arguments as of :func:`blocks_of_member`.

    Raises:
        FeatureError: as :func:`read_npz`, or if it holds no numbers, or its rows do not follow one another.
    """
    _refuse_absent(path.name, names, archive.namelist())
    info = archive.getinfo(f"{name}.npy")
    _refuse_unfolding(path.name, info)
    with archive.open(info) as file:
        shape, dtype, order = _claim(path.name, file, info.file_size)
    if dtype.hasobject:
        raise holds_objects(path.name, f"an .npz with {_quoted(names)}")
    of_row = math.prod(shape[1:]) * dtype.itemsize
    if dtype.kind not in "iuf" or len(shape) not in (1, 2) or order == "F" or not 0 < of_row <= BLOCK_BYTES:
        raise FeatureError(
            f"{path.name} has '{name}' of type {dtype}, shape {shape} and order {order}; expected numbers, a row for "
            "each item, in order C: save it again, by numpy.savez"
        )
    return shape


def _refuse_unfolding(source: str, info: zipfile.ZipInfo) -> None:
    if info.file_size > max(LARGE, MOST_UNFOLDED * info.compress_size):
        raise FeatureError(
            f"{source} claims that {info.compress_size:,} bytes of '{info.filename}' unfold into {info.file_size:,}; "
            "save it again, by numpy.savez"
        )


def _refuse_false_claim(source: str, file: Union[IO[bytes], zipfile.ZipExtFile], size: int) -> Claim:
    """Refuse an array whose header claims more or fewer bytes than there are, or more than the machine could hold."""
    claim = shape, dtype, _ = _claim(source, file, size)
    if not dtype.hasobject:  # read_array refuses those
        refuse_beyond_memory(source, _n_bytes(shape, dtype), FeatureError)
    return claim


def _claim(source: str, file: Union[IO[bytes], zipfile.ZipExtFile], size: int) -> Claim:
    """What a header claims, which has to be the bytes that follow it."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise FeatureError(f"{source} is of version {version} of .npy, for tables of named columns; save plain numbers")
    shape, fortran, dtype = _HEADERS[version](file)
    claim: Claim = shape, dtype, "F" if fortran else "C"
    if dtype.hasobject:
        return claim
    claimed, there = _n_bytes(shape, dtype), size - file.tell()
    if claimed != there:
        raise FeatureError(
            f"{source} cannot be read (its header claims {shown(shape)} of {shown(str(dtype))}, {claimed:,} bytes, "
            f"and {there:,} follow); write or copy it anew"
        )
    return claim


def refuse_no_characters(source: str, array: np.ndarray) -> None:
    """Refuse text of which four bytes are no character: NumPy fails on it wherever it is looked at."""
    if array.dtype.kind == "U" and array.size:
        codes = np.ascontiguousarray(array).view(f"{array.dtype.byteorder}u4")
        if codes.max(initial=0) > sys.maxunicode:
            raise FeatureError(f"{source} holds an array that is no text, though its header says so; write it anew")


def _n_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    if min(shape, default=0) < 0:
        raise ValueError(f"a negative number of rows or columns, {shown(shape)}")
    return math.prod(shape) * dtype.itemsize


def _refuse_absent(source: str, names: Sequence[str], members: Sequence[str]) -> None:
    there = [member[: -len(".npy")] for member in members if member.endswith(".npy")]
    absent = [name for name in names if name not in there]
    if absent:
        raise FeatureError(
            f"{source} lacks {_quoted(absent)} and holds {_quoted(there)}; "
            f"expected '{names[0]}' (tokens) and '{names[1]}' (rows, dim): rename or add them"
        )


def unreadable(path: Path, error: BaseException, expected: str) -> FeatureError:
    """The error to raise for a file on which numpy or zipfile fails."""
    if "Object arrays" in str(error):
        return holds_objects(path.name, expected)
    reason = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
    return FeatureError(f"{path.name} cannot be read ({reason}); expected {expected}, so write or copy it anew")


def holds_objects(source: str, expected: str) -> FeatureError:
    """The error to raise for an array that would have to be unpickled."""
    return FeatureError(
        f"{source} holds Python objects, which are never unpickled; expected {expected}: "
        "save it again with astype(str) tokens and float rows"
    )


def _quoted(names: Sequence[str]) -> str:
    listed = ", ".join(map(shown, names[:10])) or "nothing"
    return f"{listed} and {len(names) - 10} others" if len(names) > 10 else listed

"""Tables of text: RecBole's atomic files and the interactions of MMRec-style folders, read and checked in one pass.

Such a table is separated by tabs, with a header of ``name:type``. Quotes are literal: RecBole lets pandas take them for
quoting, and then one quote in a title swallows all lines up to the next. Nothing but an empty place stands for "not
available": the film "NA" keeps its name, and so does the user. Each line has as many columns as the header.
"""

import codecs
import csv
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd
from jaxtyping import Int64

from recbole_sheaf.errors import ConfigError, DataError, FeatureError, counted, shown
from recbole_sheaf.files.regular_files import open_regular, read_regular

logger = logging.getLogger(__name__)

TYPES = ("token", "token_seq", "float", "float_seq")
ROW_OF = {".inter": "interaction", ".item": "item", ".user": "user"}  # what a line is, by the file's suffix
LONGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class Table:
    """The lines of a table, not yet taken apart.

    Attributes:
        name: of the file.
        header: the columns as they are written there, types included.
        lines: number in the file of each row's line, the header's being 1.
        body: UTF-8 rows, each ended by a line feed, none of them blank.
        separator: of columns, one byte.
    """

    name: str
    header: tuple[str, ...]
    lines: Int64[np.ndarray, " rows"]
    body: bytes
    separator: str

    def read(self, positions: Sequence[int], missing: Optional[Mapping[int, Sequence[str]]] = None) -> pd.DataFrame:
        """Some columns as text, under their positions in the header.

        Args:
            positions: of the columns.
            missing: for each position the texts that are read as NaN; none by default.
        """
        return pd.read_csv(
            io.BytesIO(self.body),
            sep=self.separator,
            header=None,
            usecols=sorted(set(positions)),
            dtype=str,
            keep_default_na=False,
            na_filter=missing is not None,
            na_values=dict(missing) if missing is not None else None,
            quoting=csv.QUOTE_NONE,
            skip_blank_lines=False,
            encoding="utf-8",
        )[list(positions)]


def read_table(path: Path, separator: str = "\t", encoding: str = "utf-8") -> Table:
    """Read a table and check that it is text in equally long lines.

    Raises:
        DataError: if the file cannot be read, is no text in this encoding, has no row, or a line has more or fewer
            columns than the header, naming the first such line.
        ConfigError: if the separator is not one ASCII character, or the encoding is unknown.

    Memory O(bytes); 0.2 seconds for a million interactions.
    """
    path = Path(path)
    _refuse_separator(separator)
    header, _, body = as_utf8(path.name, read_regular(path, DataError), encoding).partition(b"\n")
    columns = _columns(path.name, header.decode("utf-8"), separator)
    return Table(path.name, columns, *filled_rows(path.name, body, len(columns), separator), separator)


def read_header(path: Path, separator: str = "\t") -> tuple[tuple[str, ...], bool]:
    """The columns as they are written in the header, and whether any row follows; reads the beginning of the file.

    Raises:
        DataError: if the file cannot be read or its first line is empty or longer than a mebibyte.
        ConfigError: if the separator is not one ASCII character.
    """
    _refuse_separator(separator)
    with open_regular(path, DataError) as file:
        header, more = file.readline(LONGEST_HEADER), file.read(1 << 16)
    if len(header) == LONGEST_HEADER:
        raise DataError(f"{path.name} is no table of text: its first line never ends; expected a header there")
    text = header.decode("utf-8", errors="replace").removeprefix("\ufeff").rstrip("\r\n")
    return _columns(path.name, text.partition("\r")[0], separator), bool(more.strip()) or b"\r" in header.rstrip()


def field_types(name: str, header: Sequence[str]) -> dict[str, str]:
    """Type of each column by name, from the columns as they are written.

    Raises:
        DataError: if a column has no name or type, a type that RecBole does not have, or is named twice.
    """
    types: dict[str, str] = {}
    for column in header:
        field, _, kind = column.partition(":")
        if column.count(":") != 1 or not field:
            raise DataError(
                f"{name} has a column {shown(column)} without a type; write name:type, such as rating:float"
            )
        if kind not in TYPES:
            raise DataError(
                f"{name} gives the column {shown(field)} the type {shown(kind)}; expected one of {', '.join(TYPES)}: "
                "write token for ids and words, float for numbers"
            )
        if field in types:
            raise DataError(f"{name} names the column {shown(field)} twice; name each column once")
        types[field] = kind
    return types


def column_names(path: Path) -> list[str]:
    """Names in the header, without their types."""
    return [column.split(":")[0] for column in read_header(path)[0]]


def read_columns(path: Path, names: Sequence[str]) -> pd.DataFrame:
    """Some columns as text, named without their types.

    Raises:
        FeatureError: if a column is not there.
        DataError: as :func:`read_table`.
    """
    table = read_table(path)
    header = [column.split(":")[0] for column in table.header]
    if absent := [name for name in names if name not in header]:
        raise FeatureError(f"{path.name} has no column {absent}; its columns are {header}")
    wanted = list(dict.fromkeys(names))
    frame = table.read([header.index(name) for name in wanted])
    frame.columns = wanted
    return frame


def first_of_each(name: str, rows: pd.DataFrame, field: str) -> pd.DataFrame:
    """The first row of each id, as RecBole takes them from ``.user`` and ``.item``; the log says which are left out.

    Args:
        name: of the file.
        field: column of the ids.
    """
    repeats = rows[field].duplicated()
    if not repeats.any():
        return rows
    logger.warning(
        "%d of %d rows of %s repeat the %s of an earlier row (first: %s) and are left out",
        int(repeats.sum()),
        len(rows),
        name,
        field,
        shown(rows[field][repeats.idxmax()]),
    )
    return rows[~repeats].copy()


def raw_item_tokens(folder: Path, dataset_name: str, item_field: str = "item_id") -> set[str]:
    """Every item token that the folder's own ``.item`` and ``.inter`` files know, loaded into the dataset or not."""
    paths = [folder / f"{dataset_name}.item", folder / f"{dataset_name}.inter"]
    paths += sorted(folder.glob(f"{dataset_name}.*.inter"))
    tables = [read_columns(path, [item_field]) for path in paths if path.is_file() and item_field in column_names(path)]
    return {token for table in tables for token in table[item_field].unique()}


def _refuse_separator(separator: str) -> None:
    one = isinstance(separator, str) and len(separator) == 1 and separator.isascii()
    if not one or separator in '\r\n\0":':
        raise ConfigError(
            f"field_separator is {shown(separator)}, expected one character that no value holds, such as a tab"
        )


def as_utf8(name: str, content: bytes, encoding: str) -> bytes:
    """The text in UTF-8, without byte order mark, lines ended by line feeds alone.

    Raises:
        DataError: if it is no text in this encoding or holds a NUL, naming the line.
        ConfigError: if the encoding is unknown.
    """
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise _no_text(name, content, error, encoding) from error
    except LookupError as error:
        raise ConfigError(f"there is no encoding {shown(encoding)} of text; write utf-8 or latin-1") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{name} is no table of text: line {line} has a NUL byte; expected UTF-8, so write it anew")
    if codecs.lookup(encoding).name != "utf-8":
        content = text.encode("utf-8")
    return content.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _no_text(name: str, content: bytes, error: UnicodeDecodeError, encoding: str) -> DataError:
    line = content.count(b"\n", 0, error.start) + 1
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return DataError(
        f"{name} is not text in {encoding} (byte 0x{content[error.start]:02x} in line {line}); "
        f"save it as UTF-8, such as by iconv -f {'utf-16' if wide else 'latin1'} -t utf-8"
    )


def _columns(name: str, header: str, separator: str) -> tuple[str, ...]:
    if not header:
        raise DataError(
            f"{name} is an empty file or its first line is empty; expected a header and one line per {_row_of(name)}"
        )
    return tuple(header.split(separator))


def _row_of(name: str) -> str:
    return ROW_OF.get(Path(name).suffix, "row")


def no_rows(name: str) -> DataError:
    """The error to raise for a table of which the header is all."""
    row = _row_of(name)
    return DataError(f"dataset {name} is empty: a header and no {row}; expected one line per {row}")


def filled_rows(
    name: str, body: bytes, n_columns: int, separator: str, first: int = 2, like: str = "its header"
) -> tuple[Int64[np.ndarray, " rows"], bytes]:
    """Numbers of the lines that are not blank, and those lines, each with ``n_columns`` columns.

    Args:
        name: of the file.
        body: its lines, ended by line feeds.
        n_columns: that each has.
        separator: of columns.
        first: number of the body's first line.
        like: what has as many columns, for the message.

    Raises:
        DataError: if there is no row, or a line has more or fewer columns, naming the first.
    """
    body = body if body.endswith(b"\n") else body + b"\n"
    buffer = np.frombuffer(body, np.uint8)
    ends = np.flatnonzero(buffer == ord("\n"))
    filled = np.diff(ends, prepend=-1) > 1
    if not filled.any():
        raise no_rows(name)
    columns = 1 + np.diff(np.searchsorted(np.flatnonzero(buffer == ord(separator)), ends), prepend=0)
    odd = np.flatnonzero(filled & (columns != n_columns))
    if len(odd):
        raise DataError(
            f"{name} has {counted(len(odd), 'line')} with another number of columns than {like}, which has {n_columns} "
            f"(first: line {odd[0] + first} has {columns[odd[0]]}); mend those lines"
        )
    if not filled.all():
        body = b"\n".join(filter(None, body.split(b"\n"))) + b"\n"
    return np.flatnonzero(filled) + first, body

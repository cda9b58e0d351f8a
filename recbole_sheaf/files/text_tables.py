"""Tables of text as people have them, CSV and TSV: a line has the columns of the first, or is refused by its number.

A ``.csv`` may have semicolons or tabs, a ``.txt`` commas. In a table with tabs a quote may be a character, or may hold
a cell together; in RecBole's ``.inter`` and ``.item`` it is a character. Lines without anything are none. Nothing is
guessed of a value: what stands there is its text.
"""

import codecs
import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from recbole_sheaf.errors import DataError, shown
from recbole_sheaf.files.atomic import Table, as_utf8, filled_rows
from recbole_sheaf.files.regular_files import open_regular, read_regular

# Separators by ending, of which the first that the first line has is taken, or else the first of all.
SEPARATORS = {".csv": ",;\t", ".tsv": "\t", ".txt": "\t,;", ".inter": "\t", ".item": "\t"}
LITERAL = (".inter", ".item")
LINE = "line"  # what the index of such a table is called
_BLANKS = re.compile(rb"^[ ]+$", re.MULTILINE)
_QUOTED = re.compile(rb'"(?:[^"]|"")*"')
_OPENS = re.compile(rb'(?:^|\t)"', re.MULTILINE)  # a cell that begins with a quote, and one quoted as CSV has it
_WHOLE_CELL = re.compile(rb'(?:^|\t)"(?:[^"\t\r\n]|"")*"(?=\t|\r?$)', re.MULTILINE)


def read_text_table(path: Path, header: bool = True) -> pd.DataFrame:
    """Every column as text, empty where there is nothing; the index is the number of each row's line.

    Args:
        path: its ending says how columns are separated.
        header: whether the first line names the columns; else they are numbered from 0.

    Raises:
        DataError: if the file cannot be read, is no text in UTF-8, is empty, a line has other columns than the first or
            quotes that do not end, or the header comes again.

    Memory O(bytes), and less where values come again; 1.5 seconds for a million interactions.
    """
    path = Path(path)
    content = as_utf8(path.name, read_regular(path, DataError), "utf-8")
    if b"\n " in content or content.startswith(b" "):
        content = _BLANKS.sub(b"", content)
    if not content.strip(b"\n"):
        raise DataError(f"{path.name} is empty; expected a header and a line for each row")
    separator = _separator(path, content)
    quotes = b'"' in content and path.suffix not in LITERAL
    if quotes and not (separator == "\t" and _quotes_are_characters(content)):
        table = _quoted(path.name, content.decode("utf-8"), separator)
    else:
        table = _literal(path.name, content, separator)
    return _under_its_header(path.name, table) if header else table


def _separator(path: Path, content: bytes) -> str:
    first = _QUOTED.sub(b"", content.lstrip(b"\n")[: 1 << 20]).partition(b"\n")[0].decode("utf-8", "replace")
    choices = SEPARATORS[path.suffix]
    return next((separator for separator in choices if separator in first), choices[0])


def _quotes_are_characters(content: bytes) -> bool:
    """Whether a table with tabs has its quotes as text, as ``"Boyz" and more``: cells begin with one and do not end so.

    Not where lines differ in their tabs, since there cells in quotes hold tabs or lines.
    """
    tabs = {line.count(b"\t") for line in content.splitlines() if line.strip()}
    return len(tabs) == 1 and len(_OPENS.findall(content)) > len(_WHOLE_CELL.findall(content))


def _literal(source: str, content: bytes, separator: str) -> pd.DataFrame:
    width = 1 + content.lstrip(b"\n").partition(b"\n")[0].count(separator.encode())
    lines, body = filled_rows(source, content, width, separator, 1, "its first line")
    return Table(source, (), lines, body, separator).read(range(width)).set_axis(pd.Index(lines, name=LINE))


def _quoted(source: str, text: str, separator: str) -> pd.DataFrame:
    lines: list[int] = []
    columns: list[list[str]] = []
    known: dict[str, str] = {}
    for line, row in _records(source, io.StringIO(text, newline=""), separator):
        columns = columns or [[] for _ in row]
        if len(row) != len(columns):
            raise _odd_line(source, line, row, len(columns))
        lines.append(line)
        for column, cell in zip(columns, row):
            column.append(known.setdefault(cell, cell))
    return pd.DataFrame(dict(enumerate(columns)), pd.Index(lines, name=LINE), dtype=object)


def pieces_of_text(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    """A table with a header as :func:`read_text_table` reads it, so many rows at a time; whether quotes of a table with
    tabs are characters is seen in its first mebibyte.

    Raises:
        DataError: as :func:`read_text_table`.

    Memory O(rows); 2 seconds for a million interactions.
    """
    with open_regular(path, DataError) as file:
        begin = file.read(1 << 20).removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        file.seek(0)
        separator = _separator(path, begin)
        whole_lines = begin.rpartition(b"\n")[0]
        literal = path.suffix in LITERAL or (separator == "\t" and _quotes_are_characters(whole_lines))
        records = _records(path.name, io.TextIOWrapper(file, "utf-8-sig", newline=""), separator, literal)
        records = ((line, row) for line, row in records if len(row) > 1 or row[0].strip(" "))
        try:
            header = next(records, None)
            if header is None:
                raise DataError(f"{path.name} is empty; expected a header and a line for each row")
            while piece := list(itertools.islice(records, rows)):
                yield _piece(path.name, [header, *piece])
        except UnicodeDecodeError as error:
            raise DataError(f"{path.name} is not text in utf-8 ({error.reason}); save it as UTF-8") from error


def _piece(source: str, records: list[tuple[int, list[str]]]) -> pd.DataFrame:
    width = len(records[0][1])
    if odd := next((record for record in records if len(record[1]) != width), None):
        raise _odd_line(source, *odd, width)
    lines = pd.Index([line for line, _ in records], name=LINE)
    return _under_its_header(source, pd.DataFrame([row for _, row in records], lines, dtype=object))


def _odd_line(source: str, line: int, row: list[str], width: int) -> DataError:
    return DataError(
        f"{source} has a line with another number of columns than its first line, which has {width} (line {line} has "
        f"{len(row)}); mend that line"
    )


def _records(
    source: str, rows: Iterable[str], separator: str, literal: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Records with the number of the line on which each begins."""
    blanks = separator != "\t"  # a quote after a comma and a blank opens a cell too
    quoting: Any = csv.QUOTE_NONE if literal else csv.QUOTE_MINIMAL
    reader = csv.reader(rows, delimiter=separator, strict=True, skipinitialspace=blanks, quoting=quoting)
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"line {line} of {source} is no CSV ({error}); put quotes around a cell that holds them, and double those "
            "inside"
        ) from error


def _under_its_header(source: str, table: pd.DataFrame) -> pd.DataFrame:
    names, rows = [name.strip() for name in table.iloc[0]], table.iloc[1:]
    again = pd.Series(True, rows.index)
    for position, name in enumerate(table.iloc[0]):
        again &= rows[position] == name
        if not again.any():
            break
    else:
        raise DataError(f"line {rows.index[again.to_numpy().argmax()]} of {source} is its header again; drop that line")
    twice = [name for place, name in enumerate(names) if name and name in names[:place]]
    if twice:
        raise DataError(f"{source} names the column {shown(twice[0])} twice; name each column once")
    return rows.set_axis(names, axis=1)

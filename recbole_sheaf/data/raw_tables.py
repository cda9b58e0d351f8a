"""Tables as people have them, CSV, TSV and Parquet, read as text: ids and titles are what stands there."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pandas as pd

from recbole_sheaf.errors import DataError, shown
from recbole_sheaf.features.parquet_file import import_pyarrow
from recbole_sheaf.regular_files import open_regular, read_regular, refuse_beyond_memory

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t", ".inter": "\t", ".item": "\t"}
ENDINGS = (*SEPARATORS, ".parquet")
_OPENS = re.compile(
    rb'(?:^|\t)"', re.MULTILINE
)  # a cell that begins with a quote, and one that is quoted as CSV has it
_QUOTED = re.compile(rb'(?:^|\t)"(?:[^"\t\r\n]|"")*"(?=\t|\r?$)', re.MULTILINE)


def read_raw(path: Path, header: bool = True) -> pd.DataFrame:
    """Every column as text, empty where there is nothing.

    Args:
        path: its ending says which format it is; a ``.csv`` may have semicolons.
        header: whether the first line names the columns; else they are numbered from 0.

    Raises:
        DataError: if the file is of another ending, damaged, not UTF-8, without rows, or names a column twice.
        EnvironmentMismatch: if Parquet is read without pyarrow.

    Memory O(values).
    """
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise DataError(f"{path.name} ends in '{path.suffix}', expected a table: {', '.join(ENDINGS)}")
    table = _parquet(path) if path.suffix == ".parquet" else _text(path, header)
    table.columns = [str(column).removeprefix("\ufeff") for column in table.columns]
    if not len(table):
        raise DataError(f"{path.name} has no row; expected a header and a line for each of them")
    if table.columns.has_duplicates:
        twice = table.columns[table.columns.duplicated()][0]
        raise DataError(f"{path.name} names the column {shown(twice)} twice; name each column once")
    return table


def _text(path: Path, header: bool) -> pd.DataFrame:
    content = read_regular(path, DataError)
    first = content.partition(b"\n")[0]
    separator = SEPARATORS[path.suffix]
    if path.suffix == ".csv" and b"," not in first and b";" in first:
        separator = ";"
    quoting = csv.QUOTE_NONE if separator == "\t" and _quotes_are_characters(content) else csv.QUOTE_MINIMAL
    try:
        names = pd.read_csv(
            io.BytesIO(content), sep=separator, dtype=str, header=None, nrows=1, encoding="utf-8", quoting=quoting
        )
        table = pd.read_csv(
            io.BytesIO(content),
            sep=separator,
            dtype=str,
            header=None,
            skiprows=1 if header else 0,
            names=range(names.shape[1]),
            index_col=False,
            keep_default_na=False,
            encoding="utf-8",
            quoting=quoting,
        )
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path.name} is no table of text in UTF-8 ({reason}); save it anew as CSV") from error
    if header:
        table.columns = names.iloc[0].fillna("").tolist()
    return table


def _quotes_are_characters(content: bytes) -> bool:
    """Whether a table with tabs has its quotes as text, as ``"Boyz" and more``: cells begin with one and do not end so.

    Not where lines differ in their tabs, since there cells in quotes hold tabs or lines.
    """
    tabs = {line.count(b"\t") for line in content.splitlines() if line.strip()}
    return len(tabs) == 1 and len(_OPENS.findall(content)) > len(_QUOTED.findall(content))


def _parquet(path: Path) -> pd.DataFrame:
    pyarrow = import_pyarrow()
    with open_regular(path, DataError) as file:
        try:
            parquet = pyarrow.parquet.ParquetFile(file)
            groups = [parquet.metadata.row_group(number) for number in range(parquet.num_row_groups)]
            refuse_beyond_memory(path.name, sum(8 * g.num_rows * g.num_columns for g in groups), DataError)
            table = parquet.read()
            columns = {name: _as_text(pyarrow, table.column(name)) for name in table.column_names}
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{path.name} cannot be read ({reason}); expected Parquet, so write it anew") from error
    return pd.DataFrame(columns)


def _as_text(pyarrow: Any, column: Any) -> list[str]:
    """Text as it is, whole numbers without a point, times in ISO, lists of text with blanks between."""
    if pyarrow.types.is_list(column.type) or pyarrow.types.is_large_list(column.type):
        return [" ".join(map(str, value)) if value is not None else "" for value in column.to_pylist()]
    text = column.cast(pyarrow.string()).to_pylist()
    return ["" if value is None else value for value in text]

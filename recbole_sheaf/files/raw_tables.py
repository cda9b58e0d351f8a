"""Tables as people have them, CSV, TSV and Parquet, read as text: ids and titles are what stands there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Optional

import numpy as np
import pandas as pd

from recbole_sheaf.errors import DataError, FeatureError, counted, nearest, shown
from recbole_sheaf.files.parquet_file import import_pyarrow
from recbole_sheaf.files.parquet_pages import chunks_of
from recbole_sheaf.files.regular_files import open_regular, refuse_beyond_memory
from recbole_sheaf.files.text_tables import LINE, SEPARATORS, pieces_of_text, read_text_table
from recbole_sheaf.files.tokens import fault_of

ENDINGS = (*SEPARATORS, ".parquet")
LARGE, MOST_UNFOLDED = 1 << 25, 100  # bytes of a Parquet file's values from which on so many may come of one
MOST_SHOWN = 50  # columns in what is said of a table


@dataclass(frozen=True)
class RawTable:
    """A table of text.

    Attributes:
        name: of the file, for messages.
        texts: its columns under their names, empty where there is nothing; the index has the numbers of lines where
            there are lines, and is called so then.
        no_ids: of Parquet, the types of columns whose values are no ids, floats with fractions among them.
        unread: of Parquet, the types of columns that have no text.
        unnamed: how many columns have no name.
    """

    name: str
    texts: pd.DataFrame
    no_ids: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    unnamed: int = 0

    @property
    def names(self) -> list[str]:
        """Names of the columns that have one."""
        return [*map(str, self.texts.columns), *self.unread]

    def column(self, wanted: str) -> str:
        """A column by its name, RecBole's type after it or not.

        Raises:
            DataError: if there is none, with the nearest name, or it is of a type that has no text.
        """
        names = {**{name.partition(":")[0]: name for name in self.names}, **{name: name for name in self.names}}
        if wanted not in names:
            listed = ", ".join(map(_as_shown, self.names[:20]))
            raise DataError(f"{self.name} has no column '{wanted}'{nearest(wanted, names)}; its columns are {listed}")
        if kind := self.unread.get(names[wanted]):
            raise DataError(f"{wanted} of {self.name} is of type {kind}; expected text or numbers: save it as such")
        return names[wanted]

    def ids(self, name: str) -> pd.Series:
        """Ids of a column as they stand there, without blanks around them.

        Raises:
            DataError: if one is none, naming its line, or the column's type has no ids.
        """
        if kind := self.no_ids.get(name):
            raise DataError(f"{name} of {self.name} is of type {kind}; expected ids, text or whole numbers: save it so")
        codes, distinct = pd.factorize(self.texts[name])
        stripped = [text.strip() for text in distinct.tolist()]
        faults = [fault_of(token) for token in stripped]
        if any(faults):
            found = np.array([fault or "" for fault in faults], dtype=object)[codes]
            row = int((found != "").argmax())
            raise DataError(
                f"{name} {found[row]} in {counted(int((found == found[row]).sum()), 'row')} of {self.name} (first: "
                f"{place_of(self.texts, row)}); mend or drop them"
            )
        return pd.Series(np.array(stripped, dtype=object)[codes], self.texts.index, name=name)

    def said(self, became: Mapping[str, str], hints: Optional[Mapping[str, str]] = None) -> list[str]:
        """Lines for the reader: what each column became, and which were left out, with a hint for some of these."""
        uses = [(_as_shown(name), became.get(name) or f"left out{(hints or {}).get(name, '')}") for name in self.names]
        uses += [("(no name)", "left out")] * self.unnamed
        width = max((len(name) for name, _ in uses[:MOST_SHOWN]), default=0)
        more = [f"  ... and {len(uses) - MOST_SHOWN} more columns"] if len(uses) > MOST_SHOWN else []
        return [f"columns of {self.name}:", *(f"  {name:<{width}}  {use}" for name, use in uses[:MOST_SHOWN]), *more]


def read_raw(path: Path, header: bool = True) -> RawTable:
    """Every column as text, empty where there is nothing.

    Args:
        path: its ending says which format it is.
        header: whether the first line names the columns; else they are numbered from 0.

    Raises:
        DataError: if the file is of another ending, damaged, not UTF-8, without rows, or names a column twice, and as
            :func:`.text_tables.read_text_table`.
        EnvironmentMismatch: if Parquet is read without pyarrow.

    Memory O(values).
    """
    path = Path(path)
    _refuse_other_endings(path)
    if path.suffix == ".parquet":
        (table,) = _parquet(path)
    else:
        table = _of_text(path.name, read_text_table(path, header))
    if not len(table.texts):
        raise _no_row(path.name)
    return table


def pieces_of(path: Path, rows: int) -> Iterator[RawTable]:
    """A table with a header as :func:`read_raw` reads it, so many rows at a time.

    Raises:
        DataError, EnvironmentMismatch: as :func:`read_raw`.

    Memory O(rows), and of Parquet a row group.
    """
    _refuse_other_endings(path)
    some = False
    texts = (_of_text(path.name, texts) for texts in pieces_of_text(path, rows)) if path.suffix != ".parquet" else None
    for piece in texts or _parquet(path, rows):
        some = True
        yield piece
    if not some:
        raise _no_row(path.name)


def _refuse_other_endings(path: Path) -> None:
    if path.suffix not in ENDINGS:
        packed = "; unpack it first" if path.suffix in (".gz", ".zip", ".bz2", ".xz", ".zst") else ""
        raise DataError(f"{path.name} ends in '{path.suffix}', expected a table: {', '.join(ENDINGS)}{packed}")


def _of_text(source: str, texts: pd.DataFrame) -> RawTable:
    named = [name != "" for name in texts.columns]
    return RawTable(source, texts.loc[:, named], unnamed=named.count(False))


def _no_row(source: str) -> DataError:
    return DataError(f"{source} has no row; expected a header and a line for each of them")


def place_of(rows: Any, row: int) -> str:
    """Where a row of a table or column of text stands in its file: its line, or its number where it has none."""
    return f"line {rows.index[row]}" if rows.index.name == LINE else f"row {rows.index[row] + 1}"


def _as_shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= 60 else shown(name)


def _parquet(path: Path, rows: Optional[int] = None) -> Iterator[RawTable]:
    """The whole table, or so many rows at a time.

    Strings stay in dictionaries, so that one which comes again takes no memory again.
    """
    pyarrow = import_pyarrow()
    with open_regular(path, DataError) as file:
        try:
            schema = pyarrow.parquet.ParquetFile(file).schema
            leaves = [schema.column(number) for number in range(len(schema))]
            strings = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
            parquet = pyarrow.parquet.ParquetFile(file, read_dictionary=strings)
            most = _most_bytes(path, file, parquet.metadata, whole=rows is None)
            names = parquet.schema_arrow.names
            if len(set(names)) < len(names):
                raise DataError(f"{path.name} names a column twice; name each column once")
            before = 0
            for batch in [parquet.read()] if rows is None else parquet.iter_batches(rows):
                table = batch if rows is None else pyarrow.Table.from_batches([batch])
                yield _of_arrow(pyarrow, path.name, table, most, before)
                before += table.num_rows
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{path.name} cannot be read ({reason}); expected Parquet, so write it anew") from error


def _of_arrow(pyarrow: Any, source: str, table: Any, most: int, before: int) -> RawTable:
    """Rows of which so many come before them in their file."""
    texts, no_ids, unread = {}, {}, {}
    for name in table.column_names:
        try:
            texts[name], kind = _as_text(pyarrow, source, table.column(name), most)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):  # no cast to text
            unread[name] = str(table.column(name).type)
        else:
            no_ids.update({name: kind} if kind else {})
    rows = range(before, before + table.num_rows)
    return RawTable(source, pd.DataFrame(texts, rows, dtype=object), no_ids, unread)


def _most_bytes(path: Path, file: BinaryIO, metadata: Any, whole: bool) -> int:
    """Bytes that the values may take; few bytes may stand for many values, all alike.

    Args:
        whole: whether they are in memory all at once.

    Raises:
        DataError: if the file claims more.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    try:
        values = [chunk.values for chunk in chunks_of(path.name, file, path.stat().st_size)]
    except FeatureError as error:
        raise DataError(str(error)) from error
    claimed = max(8 * sum(values), 8 * metadata.num_rows, sum(group.total_byte_size for group in groups))
    most = max(LARGE, MOST_UNFOLDED * path.stat().st_size)
    if claimed > most or min(values, default=0) < 0:
        raise _beyond(path.name, claimed)
    if whole:
        refuse_beyond_memory(path.name, claimed, DataError)
    return most


def _beyond(source: str, size: int) -> DataError:
    return DataError(f"{source} claims to unfold into {size:,} bytes; write it without compression, or as CSV")


def _as_text(pyarrow: Any, source: str, column: Any, most: int) -> tuple[np.ndarray, str]:
    """Text as it is, whole numbers without a point, times in ISO, lists of text with blanks between.

    With the type, in words, where the values are no ids.
    """
    kinds, kind = pyarrow.types, column.type
    if kinds.is_list(kind) or kinds.is_large_list(kind):
        words = _strings(pyarrow, source, pyarrow.compute.list_flatten(column), most)
        ends = np.cumsum(pyarrow.compute.list_value_length(column).fill_null(0).to_numpy())
        lists = np.empty(len(ends), object)
        lists[:] = [" ".join(words[start:end]) for start, end in zip([0, *ends], ends)]
        return lists, str(kind)
    none = ""
    if kinds.is_floating(kind):
        column, none = _without_points(pyarrow, column)
    elif not _has_ids(kinds, kind.value_type if kinds.is_dictionary(kind) else kind):
        none = str(kind)
    return _strings(pyarrow, source, column, most), none


def _strings(pyarrow: Any, source: str, column: Any, most: int) -> np.ndarray:
    """Text of each value, the same object for the same text of a chunk; empty for none."""
    if not pyarrow.types.is_dictionary(column.type):
        column = column.cast(pyarrow.string()).dictionary_encode()
    parts, length = [np.empty(0, object)], 0
    for chunk in column.chunks:
        distinct = [value or "" for value in chunk.dictionary.cast(pyarrow.string()).to_pylist()]
        known = np.array([*distinct, ""], dtype=object)
        codes = chunk.indices.fill_null(len(distinct)).to_numpy(zero_copy_only=False)
        length += int(np.array([len(value) for value in known])[codes].sum())
        if length > most:
            raise _beyond(source, length)
        parts.append(known[codes])
    return np.concatenate(parts)


def _without_points(pyarrow: Any, column: Any) -> tuple[Any, str]:
    """Floats that are whole and exact as whole numbers, others as they are, with what keeps them from being ids."""
    exact = {16: 1 << 11, 32: 1 << 24, 64: 1 << 53}[column.type.bit_width]
    values = column.drop_null().to_numpy().astype(np.float64)
    if (np.abs(values) < exact).all() and (values == np.trunc(values)).all():
        return column.cast(pyarrow.float64()).cast(pyarrow.int64()), ""
    return column, f"{column.type} with fractions or beyond {exact:,}"


def _has_ids(kinds: Any, kind: Any) -> bool:
    text = (kinds.is_string, kinds.is_large_string, kinds.is_binary, kinds.is_large_binary)
    whole = kinds.is_integer(kind) or (kinds.is_decimal(kind) and kind.scale == 0)
    return whole or kinds.is_null(kind) or any(is_kind(kind) for is_kind in text)

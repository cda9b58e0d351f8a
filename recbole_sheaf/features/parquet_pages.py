"""What a Parquet file unfolds into, by the header of each page rather than by what the footer says of all of them.

A reader takes the memory that a page claims before it has seen a value of it, a few bytes may stand for many values
that are all alike, and the footer's own sums may be anybody's. Headers are structs in Thrift's compact protocol
(https://parquet.apache.org/docs/file-format/, https://github.com/apache/thrift, doc/specs).
"""

from typing import Any, BinaryIO, Union

from recbole_sheaf.errors import FeatureError

LONGEST_HEADER = 1 << 16  # bytes; statistics of long texts may stand in it
DEEPEST = 8
DELTA_BYTE_ARRAY = 7  # texts of which each takes the beginning of the one before: few bytes stand for long texts
_UNFOLDED, _FOLDED = 2, 3  # fields of a page's header: bytes of the page
_KINDS = {5: 2, 7: 2, 8: 4}  # structs in it with the number of values in field 1, by the field of their encoding
Fields = dict[int, Union[int, "Fields"]]


def unfolded_bytes(source: str, file: BinaryIO, metadata: Any, size: int) -> int:
    """Bytes that the columns of a file take in memory at the least, before texts of a dictionary are repeated.

    Args:
        metadata: pyarrow's, of the same file.
        size: of the file in bytes.

    Raises:
        FeatureError: if a page lies outside the file, its header is damaged, or its texts are coded by one another.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    return sum(
        _of_column(source, file, group.column(number), size) for group in groups for number in range(group.num_columns)
    )


def _of_column(source: str, file: BinaryIO, column: Any, size: int) -> int:
    place = column.data_page_offset
    if column.has_dictionary_page and 0 < (column.dictionary_page_offset or 0) < place:
        place = column.dictionary_page_offset
    end, total = place + column.total_compressed_size, 0
    if not 0 <= place <= end <= size:
        raise _damaged(source, f"a column from byte {place:,} to {end:,} of {size:,}")
    while place < end:
        file.seek(place)
        header, length = _header(source, file.read(min(LONGEST_HEADER, end - place)))
        folded, unfolded = header.get(_FOLDED), header.get(_UNFOLDED)
        if not isinstance(folded, int) or not isinstance(unfolded, int) or min(folded, unfolded) < 0:
            raise _damaged(source, f"no page at byte {place:,}")
        total += max(unfolded, 4 * _values(source, header))
        place += length + folded
    return total


def _values(source: str, header: Fields) -> int:
    count = 0
    for field, coding in _KINDS.items():
        kind = header.get(field)
        if isinstance(kind, dict):
            values = kind.get(1, 0)
            if kind.get(coding) == DELTA_BYTE_ARRAY:
                raise FeatureError(f"{source} codes its texts by one another (DELTA_BYTE_ARRAY); write it without that")
            count += values if isinstance(values, int) else 0
    if count < 0:
        raise _damaged(source, f"a page of {count} values")
    return count


def _header(source: str, content: bytes) -> tuple[Fields, int]:
    compact = _Compact(content)
    try:
        return compact.struct(), compact.at
    except (IndexError, ValueError) as error:
        raise _damaged(source, "the header of a page has no end") from error


class _Compact:
    """Thrift's compact protocol, of which whole numbers and structs are kept and all else is passed over.

    Raises:
        IndexError: where the bytes end.
        ValueError: where they are none of this protocol.
    """

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def struct(self, depth: int = 0) -> Fields:
        fields: Fields = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._whole()
            value = self._value(head & 15, depth)
            if value is not None:
                fields[number] = value
        return fields

    def _value(self, kind: int, depth: int) -> Union[None, int, Fields]:
        if depth > DEEPEST:
            raise ValueError("too deep")
        if kind in (1, 2):  # true or false, which a field says by its kind
            return None
        if kind in (4, 5, 6):
            return self._whole()
        if kind == 12:
            return self.struct(depth + 1)
        if kind in (9, 10):
            self._list(depth)
        elif kind in (3, 7, 8):
            self._skip({3: 1, 7: 8}.get(kind) or self._unsigned())
        else:
            raise ValueError(f"kind {kind}")  # of a map, which no page has
        return None

    def _list(self, depth: int) -> None:
        head = self._byte()
        count = self._unsigned() if head >> 4 == 15 else head >> 4
        for _ in range(count):
            if head & 15 in (1, 2):
                self._byte()
            else:
                self._value(head & 15, depth + 1)

    def _whole(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value, shift = value | (byte & 127) << shift, shift + 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")
        return value | byte << shift

    def _skip(self, count: int) -> None:
        self.at += count

    def _byte(self) -> int:
        self.at += 1
        return self.content[self.at - 1]


def _damaged(source: str, reason: str) -> FeatureError:
    return FeatureError(f"{source} cannot be read ({reason}); expected Parquet, so write or copy it anew")

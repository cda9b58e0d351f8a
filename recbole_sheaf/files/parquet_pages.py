"""What a Parquet file unfolds into, by the header of each page rather than by what the footer says of all of them.

A reader takes the memory that a page claims before it has seen a value of it, a few bytes may stand for many values
that are all alike, and the footer's own sums may be anybody's. Headers are structs in Thrift's compact protocol
(https://parquet.apache.org/docs/file-format/, https://github.com/apache/thrift, doc/specs).
"""

from typing import Any, BinaryIO, NamedTuple, Union

from recbole_sheaf.errors import FeatureError

LONGEST_HEADER = 1 << 16  # bytes; statistics of long texts may stand in it
DEEPEST = 8
DELTA_BYTE_ARRAY = 7  # texts of which each takes the beginning of the one before: few bytes stand for long texts
_UNFOLDED, _FOLDED = 2, 3  # fields of a page's header: bytes of the page
_KINDS = {5: 2, 7: 2, 8: 4}  # structs in it with the number of values in field 1, by the field of their encoding
Fields = dict[int, Any]  # whole numbers, structs and lists of these


class Chunk(NamedTuple):
    """A column of a row group, as the footer says.

    Attributes:
        values: how many, rows without one included.
        start: the byte of its first page.
        length: of its pages in bytes.
    """

    values: int
    start: int
    length: int


def chunks_of(source: str, file: BinaryIO, size: int) -> list[Chunk]:
    """Every column of every row group, read out of the footer here: pyarrow's own objects of a damaged one may abort.

    Args:
        size: of the file in bytes.

    Raises:
        FeatureError: if the footer is damaged.
    """
    file.seek(max(size - 8, 0))
    length, mark = int.from_bytes(file.read(4), "little"), file.read(4)
    if mark != b"PAR1" or not 0 < length <= size - 12:
        raise _damaged(source, "no footer")
    file.seek(size - 8 - length)
    groups = _header(source, file.read(length))[0].get(4, [])
    try:
        return [_chunk(column[3]) for group in groups for column in group[1]]
    except (LookupError, TypeError, ValueError) as error:
        raise _damaged(source, "its footer does not say where columns are") from error


def _chunk(about: Any) -> Chunk:
    values, length, start, dictionary = about[5], about[7], about[9], about.get(11, 0)
    if not all(isinstance(number, int) for number in (values, length, start, dictionary)):
        raise TypeError("no numbers")
    return Chunk(values, dictionary if 0 < dictionary < start else start, length)


def unfolded_bytes(source: str, file: BinaryIO, chunks: list[Chunk], size: int) -> int:
    """Bytes that the columns of a file take in memory at the least, before texts of a dictionary are repeated.

    Args:
        chunks: of :func:`chunks_of`.
        size: of the file in bytes.

    Raises:
        FeatureError: if a page lies outside the file, its header is damaged, or its texts are coded by one another.
    """
    return sum(_of_column(source, file, chunk, size) for chunk in chunks)


def _of_column(source: str, file: BinaryIO, chunk: Chunk, size: int) -> int:
    place, end, total = chunk.start, chunk.start + chunk.length, 0
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
        raise _damaged(source, "a header has no end") from error


class _Compact:
    """Thrift's compact protocol, of which whole numbers, structs and lists are kept and all else is passed over.

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

    def _value(self, kind: int, depth: int) -> Union[int, Fields, list, None]:
        if depth > DEEPEST:
            raise ValueError("too deep")
        if kind in (1, 2):  # true or false, which a field says by its kind
            return None
        if kind in (4, 5, 6):
            return self._whole()
        if kind == 12:
            return self.struct(depth + 1)
        if kind in (9, 10):
            return self._list(depth)
        if kind in (3, 7, 8):
            self._skip({3: 1, 7: 8}.get(kind) or self._unsigned())
        else:
            raise ValueError(f"kind {kind}")  # of a map, which no page has
        return None

    def _list(self, depth: int) -> list:
        head, found = self._byte(), []
        count = self._unsigned() if head >> 4 == 15 else head >> 4
        for _ in range(count):
            if head & 15 in (1, 2):
                self._byte()
            elif (value := self._value(head & 15, depth + 1)) is not None:
                found.append(value)
        return found

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

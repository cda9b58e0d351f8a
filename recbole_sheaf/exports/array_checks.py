"""What the arrays and the metadata of an export must be, whoever wrote the file; everything is checked, once, here.

u users, n items, f columns of which the first w were trained. Whoever reads an export can then rely on tokens that are
distinct, numbers that are finite, rows that are there, and scores that fit into float32.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from recbole_sheaf.embeddings.embeddings import DISLIKED_LATER, LARGE, MOST_UNFOLDED, PARTS, TEST, Block, Widths
from recbole_sheaf.errors import DataError, FeatureError, first_line, shown
from recbole_sheaf.files.arrays import refuse_no_characters
from recbole_sheaf.files.regular_files import refuse_beyond_memory

BYTES_OF_TOKEN = 64  # that a token takes beside its letters
LARGEST = 1e12  # of a number: sums over histories and inner products stay far inside float32
MOST_METADATA = 1 << 20  # letters
_A = {"user": "a user", "item": "an item"}
SCALES = ("unit length", "square root of the number of items")


class Kind(NamedTuple):
    """Types that an array may have, whose rows it has (``user``, ``item``, none), one more or not, and dimensions."""

    types: tuple[str, ...]
    rows: str
    dimensions: int = 1
    more: int = 0


_FLOATS = ("float32", "float16")
_TOKENS, _IDS, _ENDS = ("text",), ("int32",), ("int64",)
KINDS = {
    "user_tokens": Kind(_TOKENS, "user"),
    "item_tokens": Kind(_TOKENS, "item"),
    "user_vectors": Kind(_FLOATS, "user", 2),
    "item_vectors": Kind(_FLOATS, "item", 2),
    "item_told": Kind(_FLOATS, "item", 2),
    "history_offsets": Kind(_ENDS, "user", more=1),
    "history_items": Kind(_IDS, ""),
    "history_parts": Kind(("int8",), ""),
    "coefficient_offsets": Kind(_ENDS, "item", more=1),
    "coefficient_items": Kind((*_IDS, "uint16"), ""),
    "coefficient_values": Kind(_FLOATS, ""),
    "item_told_trained": Kind(_FLOATS, "item", 2),
    "item_embeddings": Kind(_FLOATS, "item", 2),
    "item_rarity": Kind(_FLOATS, "item"),
    "item_is_new": Kind(("bool",), "item"),
}
_COEFFICIENTS = tuple(name for name in KINDS if name.startswith("coefficient_"))
OPTIONAL = {  # arrays, and the attributes of embeddings that they hold
    "item_told_trained": "item_sources_trained",
    **{name: name for name in ("item_embeddings", "item_rarity", "item_is_new")},
}
_REQUIRED = tuple(name for name in KINDS if name not in (*OPTIONAL, *_COEFFICIENTS))
_LAYER = re.compile(r"(user|item)_layer_(0|[1-9]\d{0,3})")


def kind_of(name: str) -> Optional[Kind]:
    """What the array of this name must be; None where an export has none of the name."""
    layer = _LAYER.fullmatch(name)
    return Kind(_FLOATS, layer[1], 2) if layer else KINDS.get(name)


def refusal(source: str, reason: str) -> DataError:
    """What to say of a file that is no export as we write it."""
    return DataError(f"{source} {reason}; export the checkpoint again")


def unreadable(path: Path, error: BaseException) -> DataError:
    """What to say of a file that is damaged."""
    return refusal(str(path), f"cannot be read ({first_line(error)[:200]})")


def no_embeddings(path: Path) -> DataError:
    """What to say of a file of something else."""
    return DataError(f"{path} holds no embeddings; give a file that 'recbole-sheaf export' wrote, or a checkpoint")


@contextmanager
def as_data_error() -> Iterator[None]:
    """Refusals of the readers of feature files, as those of an export."""
    try:
        yield
    except FeatureError as error:
        raise DataError(str(error)) from error


def refuse_unfolded(source: str, unfolded: int, size: int) -> None:
    """Refuse what would take far more memory than the file has bytes, or more than there is.

    Raises:
        DataError: naming both.
    """
    if unfolded > max(LARGE, MOST_UNFOLDED * size):
        raise refusal(source, f"claims that its {size:,} bytes unfold into {unfolded:,}")
    refuse_beyond_memory(source, unfolded, DataError)


def refuse_other_names(source: str, names: Sequence[str]) -> None:
    """Refuse, before any is read, arrays that no export has, or not all that each has.

    Raises:
        DataError: naming the first of them.
    """
    if other := [name for name in names if kind_of(name) is None]:
        raise refusal(source, f"holds {shown(other[0])}, which no export has")
    if len(set(names)) < len(names):
        raise refusal(source, f"holds {max(names, key=names.count)} twice")
    of_maps = _COEFFICIENTS if set(names) & set(_COEFFICIENTS) else ()
    if lacking := [name for name in (*_REQUIRED, *of_maps) if name not in names]:
        raise refusal(source, f"lacks {', '.join(lacking)}")


def parsed(source: str, text: str) -> dict[str, Any]:
    """Metadata from their JSON.

    Raises:
        DataError: if it is none, no object, or longer than any that we write.
    """
    if len(text) > MOST_METADATA:
        raise refusal(source, f"has metadata of {len(text):,} letters, more than the {MOST_METADATA:,} there may be")
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:  # UnicodeEncodeError is one: halves of letters
        raise refusal(source, f"has metadata that are no JSON ({first_line(error)[:200]})") from error
    if not isinstance(found, dict):
        raise refusal(source, f"has metadata {shown(found)}, expected names and values")
    return found


def token_array(source: str, kind: str, tokens: Sequence[Any], size: int) -> np.ndarray:
    """Tokens as an array of text, in which each takes as much as the longest.

    Raises:
        DataError: if one is no text, or together they would take far more than ``size``, that of their file.
    """
    if other := [token for token in tokens if not isinstance(token, str)]:
        raise refusal(source, f"has {shown(other[0])} among the tokens of its {kind}s, expected text")
    if nul := [token for token in tokens if "\0" in token]:
        raise refusal(source, f"has a NUL in the {kind} {shown(nul[0])}")
    refuse_unfolded(source, 4 * max(map(len, tokens), default=0) * len(tokens), size)
    return np.array(tokens, dtype=str)


def check_arrays(source: str, arrays: Mapping[str, np.ndarray], blocks: Sequence[Block], size: int) -> None:
    """Check every array by itself and beside the others.

    Args:
        arrays: by name; the names were checked.
        blocks: of the columns of the vectors.
        size: of the file in bytes.

    Raises:
        DataError: if one has another type or shape, a token is empty or there twice, a number is not finite, an id is
            out of range, or two arrays do not fit each other.

    Time and memory O(values), and for tokens a set of them.
    """
    for name, array in arrays.items():
        _refuse_type(source, name, array)
    rows = {kind: _n_tokens(source, kind, arrays[f"{kind}_tokens"], size) for kind in ("user", "item")}
    for name, array in arrays.items():
        _refuse_shape(source, name, array, rows)
        if array.dtype.kind == "f":
            _refuse_numbers(source, name, array)
    _refuse_widths(source, arrays, blocks)
    _refuse_compressed(source, arrays, "history", ("user", rows["user"]), rows["item"])
    if "coefficient_values" in arrays:
        _refuse_compressed(source, arrays, "coefficient", ("item", rows["item"]), rows["item"])
    parts = arrays["history_parts"]
    if len(parts) and (parts.min() < DISLIKED_LATER or parts.max() > TEST):
        odd = parts.max() if parts.max() > TEST else parts.min()
        raise refusal(source, f"has an interaction of part {odd}, expected {DISLIKED_LATER} to {TEST}")
    rarity = arrays.get("item_rarity")
    if rarity is not None and (rarity.min() < 0 or rarity.max() > 1):
        raise refusal(source, f"has an item_rarity of {_extreme(rarity, 1):g}, expected 0 to 1")


def checked_blocks(source: str, given: Any) -> tuple[Block, ...]:
    """Blocks of columns, one after another from 0 on, those of histories last.

    Raises:
        DataError: if they are anything else.
    """
    if not isinstance(given, list) or not all(map(_is_block, given)):
        raise refusal(source, f"has blocks {shown(given)}, expected a list of name, start, stop and history")
    blocks = tuple(Block(**block) for block in given)
    ends = [0, *(block.stop for block in blocks)]
    if any(block.start != end or block.stop < end for block, end in zip(blocks, ends)):
        raise refusal(source, f"has blocks {shown(given)}, which do not follow one another from column 0 on")
    if sorted(blocks, key=lambda block: block.history) != list(blocks):
        raise refusal(source, f"has blocks {shown(given)}, expected those of histories last")
    if len({block.name for block in blocks}) < len(blocks):
        raise refusal(source, f"has blocks {shown(given)}, of which two have one name")
    return blocks


def check_metadata(source: str, metadata: Mapping[str, Any], folds_in: bool) -> None:
    """Check what answers depend on.

    Args:
        folds_in: whether a new user's vector follows from items by ``users_by_items``.

    Raises:
        DataError: naming what is absent or not as we write it.
    """
    for name in ("model", "dataset"):
        if not isinstance(metadata.get(name, ""), str):
            raise refusal(source, f"has {name} {shown(metadata[name])} in its metadata, expected text")
    if metadata.get("dtype", "float32") not in _FLOATS:
        raise refusal(source, f"has dtype {shown(metadata['dtype'])} in its metadata, expected {' or '.join(_FLOATS)}")
    if metadata.get("parts", list(PARTS)) != list(PARTS):
        raise refusal(source, f"has parts {shown(metadata['parts'])} in its metadata, expected {', '.join(PARTS)}")
    seen = metadata.get("seen_at_test", [])
    if not isinstance(seen, list) or not all(name in PARTS for name in seen):
        raise refusal(source, f"has seen_at_test {shown(seen)} in its metadata, expected some of {', '.join(PARTS)}")
    rule = metadata.get("users_by_items")
    if (folds_in or rule is not None) and not _is_rule(rule):
        raise refusal(source, f"has users_by_items {shown(rule)} in its metadata, expected a scale and a factor")


def _is_block(given: Any) -> bool:
    return (
        isinstance(given, dict)
        and given.keys() == {"name", "start", "stop", "history"}
        and isinstance(given["name"], str)
        and all(type(given[end]) is int for end in ("start", "stop"))
        and isinstance(given["history"], bool)
    )


def _is_rule(given: Any) -> bool:
    if not isinstance(given, dict) or given.get("scale") not in SCALES:
        return False
    factor = given.get("factor")
    return isinstance(factor, (int, float)) and not isinstance(factor, bool) and 0 < factor < LARGEST


def _refuse_type(source: str, name: str, array: np.ndarray) -> None:
    kind = kind_of(name)
    assert kind is not None, name
    found = "text" if array.dtype.kind == "U" else array.dtype
    if not any(found == (wanted if wanted == "text" else np.dtype(wanted)) for wanted in kind.types):
        raise refusal(source, f"has {name} of type {array.dtype}, expected {' or '.join(kind.types)}")
    if array.ndim != kind.dimensions:
        raise refusal(source, f"has {name} of shape {shown(array.shape)}, expected {kind.dimensions} dimensions")


def _refuse_shape(source: str, name: str, array: np.ndarray, rows: Mapping[str, int]) -> None:
    kind = kind_of(name)
    if kind and kind.rows and len(array) != rows[kind.rows] + kind.more:
        more = " and one" if kind.more else ""
        raise refusal(
            source,
            f"has {rows['user']:,} users and {rows['item']:,} items and arrays that do not fit these ({name} of shape "
            f"{shown(array.shape)}, expected as many rows as {kind.rows}s{more})",
        )


def _n_tokens(source: str, kind: str, tokens: np.ndarray, size: int) -> int:
    """How many; each is text that can be shown, is not empty and stands there once."""
    refuse_unfolded(source, BYTES_OF_TOKEN * len(tokens), size)
    if not len(tokens):
        raise refusal(source, f"has no {kind}")
    with as_data_error():
        refuse_no_characters(source, tokens)
    listed = tokens.tolist()
    if "" in listed:
        raise refusal(source, f"has {_A[kind]} without a token in row {listed.index('')}")
    if not _is_unicode(listed):
        raise refusal(source, f"has {_A[kind]} whose token is no text in Unicode, or has a NUL")
    if len(set(listed)) < len(listed):
        first: dict[str, int] = {}
        row, token = next((row, token) for row, token in enumerate(listed) if first.setdefault(token, row) != row)
        raise refusal(source, f"has the {kind} {shown(token)} in rows {first[token]} and {row}")
    return len(listed)


def _is_unicode(tokens: Iterable[str]) -> bool:
    """Whether all can be written as UTF-8, which halves of letters cannot, and keep their length in an array."""
    joined = "".join(tokens)
    try:
        joined.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in joined


def _refuse_numbers(source: str, name: str, array: np.ndarray) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        row = int(np.argmin(finite.reshape(len(array), -1).all(axis=1)))
        count = finite.size - int(np.count_nonzero(finite))
        raise refusal(source, f"has {count:,} numbers in {name} that are not finite (first: row {row})")
    if array.size and max(float(array.max()), -float(array.min())) > LARGEST:
        raise refusal(source, f"has {_extreme(array, 0):.3g} in {name}, expected numbers up to {LARGEST:g}")


def _refuse_widths(source: str, arrays: Mapping[str, np.ndarray], blocks: Sequence[Block]) -> None:
    """f is that of the blocks; sources of maps have the columns of history blocks, all else those before them."""
    f, w, embedded = Widths.of(blocks)
    widths = {"user_vectors": f, "item_vectors": f, "item_told": f - w, "item_told_trained": w}
    widths["item_embeddings"] = embedded
    for name, width in widths.items():
        if name in arrays and arrays[name].shape[1] != width:
            raise refusal(
                source,
                f"has arrays that do not fit its blocks of {f} columns, {w} of them trained ({name} of shape "
                f"{shown(arrays[name].shape)}, expected {width} columns)",
            )


def _refuse_compressed(
    source: str, arrays: Mapping[str, np.ndarray], matrix: str, of: tuple[str, int], n_items: int
) -> None:
    """Refuse what are not the rows of a compressed matrix with n columns, each place filled once."""
    kind, rows = of
    value = "parts" if matrix == "history" else "values"
    offsets, places, values = (arrays[f"{matrix}_{name}"] for name in ("offsets", "items", value))
    if (
        len(places) != len(values)
        or offsets[0] != 0
        or offsets[-1] != len(places)
        or (offsets[1:] < offsets[:-1]).any()
    ):
        raise refusal(
            source,
            f"has arrays that do not fit each other ({matrix}_offsets that do not divide the {len(places):,} of "
            f"{matrix}_items and the {len(values):,} of {matrix}_{value} among {rows:,} {kind}s)",
        )
    if len(places) and (places.min() < 0 or places.max() >= n_items):
        raise refusal(
            source, f"has {_extreme(places, n_items - 1)} in {matrix}_items, expected rows of its {n_items:,} items"
        )
    keys = np.repeat(np.arange(rows, dtype=np.int64) * n_items, np.diff(offsets)) + places
    steps = np.diff(keys)
    if (steps <= 0).any() and (np.diff(np.sort(keys)) == 0).any():  # as we write them there is nothing to sort
        raise refusal(source, f"has an item twice in {matrix}_items for one {kind}")


def _extreme(values: np.ndarray, most: float) -> Any:
    """The number that lies furthest outside 0 to ``most``."""
    low, high = values.min().item(), values.max().item()
    return low if -low > high - most else high

"""Vectors in the ``.item`` file itself: RecBole's columns of the type ``float_seq``, numbers with blanks between."""

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from recbole_sheaf.errors import FeatureError, shown
from recbole_sheaf.files.atomic import column_names, first_of_each, read_columns, read_header
from recbole_sheaf.files.feature_files import check_features


def vector_columns(item_file: Path) -> list[str]:
    """Names of the columns of vectors, in the file's order; none where there is no file."""
    header = read_header(item_file)[0] if item_file.is_file() else ()
    return [column.partition(":")[0] for column in header if column.endswith(":float_seq")]


def column_features(
    item_file: Path, name: str, item_field: str = "item_id"
) -> tuple[list[str], Float64[np.ndarray, "rows dim"]]:
    """Tokens and vectors of the items whose place in the column is not empty.

    Raises:
        FeatureError: if the file has no tokens, a number is none, vectors differ in length, or no item has one.

    Time and memory O(rows dim).
    """
    if item_field not in column_names(item_file):
        raise FeatureError(f"{item_file.name} has no column {item_field}; its vectors belong to nobody, so add it")
    table = first_of_each(item_file.name, read_columns(item_file, [item_field, name]), item_field)
    table = table[table[name].str.strip() != ""]
    words = [text.split() for text in table[name]]
    source, widths = f"column {name} of {item_file.name}", sorted({len(row) for row in words})
    if len(widths) != 1:
        some = ", ".join(map(str, widths[:5])) or "none at all"
        raise FeatureError(f"{source} has vectors of different lengths ({some}); expected as many numbers in each line")
    tokens = table[item_field].tolist()
    return tokens, check_features(source, tokens, np.array([_numbers(source, row) for row in words]))


def _numbers(source: str, words: list[str]) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError as error:
        raise FeatureError(f"{source} has {shown(' '.join(words))}; expected numbers with blanks between") from error

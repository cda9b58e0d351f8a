"""Users and items as people name them on a command line: tokens with commas between, or a file."""

import csv
from pathlib import Path
from typing import Union

from recbole_sheaf.errors import DataError

ENDINGS = (".csv", ".tsv", ".txt")
_HEADER = frozenset("user user_id user_token item item_id item_token token".split())

Named = Union[list[str], dict[str, list[str]]]  # tokens, or lists of items by the token of a new user


def read_tokens(given: str) -> Named:
    """Tokens, from ``a,b,c`` or from a file with one or two columns.

    One column names users or items. Two name a new user and one of the user's items, a line each; lines of a user may
    stand anywhere. A first line of column names, such as ``user,item``, is passed over.

    Raises:
        DataError: if the file is absent, empty, no text, or its lines differ in their columns.
    """
    path = Path(given)
    if path.suffix not in ENDINGS:
        tokens = [token.strip() for token in given.split(",") if token.strip()]
        if not tokens:
            raise DataError(f"'{given}' names nobody; give tokens with commas between, or a file {', '.join(ENDINGS)}")
        return list(dict.fromkeys(tokens))
    lines = _lines(path)
    width = len(lines[0][1])
    for number, cells in lines:
        if len(cells) != width or width > 2 or not all(cells):
            raise DataError(
                f"line {number} of {path} is {','.join(cells)!r}; expected a token, or user,item, alike in all"
            )
    if width == 1:
        return list(dict.fromkeys(cells[0] for _, cells in lines))
    lists: dict[str, list[str]] = {}
    for _, (user, item) in lines:
        lists.setdefault(user, []).append(item)
    return lists


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Numbered lines that are not empty, without a header."""
    delimiter = "\t" if path.suffix == ".tsv" else ","
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file, delimiter=delimiter)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); give a text file of tokens in UTF-8") from error
    lines = [(number, cells) for number, cells in enumerate(rows, start=1) if any(cells)]
    if lines and all(cell.lower().partition(":")[0] in _HEADER for cell in lines[0][1]):
        lines = lines[1:]
    if not lines:
        raise DataError(f"{path} names nobody; give a token on each line, or user,item")
    return lines

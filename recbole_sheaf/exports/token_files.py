"""Users and items as people name them on a command line: tokens with commas between, or a file."""

from pathlib import Path
from typing import Literal, Union, overload

from recbole_sheaf.errors import DataError, shown
from recbole_sheaf.files.names import ITEM_NAMES, USER_NAMES
from recbole_sheaf.files.tokens import fault_of

ENDINGS = (".csv", ".tsv", ".txt")
_KINDS = {**dict.fromkeys(USER_NAMES, "user"), **dict.fromkeys(ITEM_NAMES, "item")}

Named = Union[list[str], dict[str, list[str]]]  # tokens, or lists of items by the token of a new user


@overload
def read_tokens(given: str, kind: Literal["item"]) -> list[str]: ...
@overload
def read_tokens(given: str, kind: Literal["user"]) -> Named: ...
def read_tokens(given: str, kind: Literal["user", "item"]) -> Named:
    """Tokens, from ``a,b,c`` or from a file with one or two columns.

    A file of one column names users or items, a token a line; a first line that names the column, such as ``item``, is
    passed over. One of two columns names a new user and one of the user's items on each line, in the order that its
    first line gives, such as ``user,item``; lines of a user may stand anywhere.

    Args:
        given: tokens or the file.
        kind: what is named.

    Raises:
        DataError: if the file is absent, empty, no text, its lines differ in their columns or hold no token, or its
            first line does not name these columns.
    """
    path = Path(given)
    if path.suffix not in ENDINGS:
        tokens = [token.strip() for token in given.split(",") if token.strip()]
        if not tokens:
            raise DataError(f"'{given}' names nobody; give tokens with commas between, or a file {', '.join(ENDINGS)}")
        return list(dict.fromkeys(tokens))
    # Here alone: pandas takes as long to import as all else that a list of tokens needs
    from recbole_sheaf.files.text_tables import read_text_table

    table = read_text_table(path, header=False)
    first = [cell.strip() for cell in table.iloc[0]]
    names = [_kind_of(cell) for cell in first]
    if len(names) > 1 or names[0]:
        _check_names(path, first, names, kind)  # before anything is done for each of a thousand columns
        table = table.iloc[1:]
    table = table.apply(lambda column: column.str.strip())
    if not len(table):
        raise DataError(f"{path} names nobody; give a token on each line, or user,item")
    for line, *cells in table.itertuples():
        if fault := next(filter(None, map(fault_of, cells)), None):
            raise DataError(
                f"line {line} of {path} is {shown(','.join(cells))}, where a token {fault}; mend or drop it"
            )
    if len(names) == 1:
        return table[0].drop_duplicates().tolist()
    lists: dict[str, list[str]] = {}
    for user, item in zip(table[names.index("user")], table[names.index("item")]):
        lists.setdefault(user, []).append(item)
    return lists


def read_items(given: str) -> list[str]:
    """Items with commas between, or of a file, before whose name an @ may stand.

    Raises:
        DataError: as :func:`read_tokens`, or if a file after the @ has another ending.
    """
    named = given.removeprefix("@")
    if named != given and Path(named).suffix not in ENDINGS:
        raise DataError(f"{given} names a file that ends in '{Path(named).suffix}', expected {', '.join(ENDINGS)}")
    return read_tokens(named, "item")


def _kind_of(cell: str) -> str:
    """What a name in a first line names; empty where it is none."""
    name = cell.removesuffix(":token").lower()
    return "either" if name == "token" else _KINDS.get(name, "")


def _check_names(path: Path, cells: list[str], names: list[str], kind: str) -> None:
    if len(names) == 1 and names[0] in (kind, "either"):
        return
    if kind == "user" and sorted(names) == ["item", "user"]:
        return
    expected = "user, or of new users user,item" if kind == "user" else "item alone"
    raise DataError(
        f"the first line of {path} is {shown(','.join(cells))}; expected it to name the columns, {expected}"
        f"{'' if len(names) > 1 else f', or a token of {kind}s without a name'}"
    )

"""Interactions of any table under RecBole's names: which column is which, dates as seconds, all else as it is."""

from collections.abc import Mapping
from typing import Optional

import numpy as np
import pandas as pd

from recbole_sheaf.errors import DataError, nearest, shown

USER, ITEM, RATING, TIME = "user_id", "item_id", "rating", "timestamp"
OPTIONS = {USER: "user", ITEM: "item", RATING: "rating", TIME: "time"}  # of the command, by RecBole's field
GUESSES: Mapping[str, tuple[str, ...]] = {  # in lower case
    USER: tuple("user_id userid user uid user_token reviewerid customer_id visitor_id".split()),
    ITEM: tuple("item_id itemid item iid item_token asin product_id video_id movieid movie_id".split()),
    RATING: tuple("rating overall stars".split()),
    TIME: tuple("timestamp time date datetime unixreviewtime created_at".split()),
}
ELLIOT = (USER, ITEM, RATING, TIME)  # columns of a table without a header, as Elliot writes and reads it
PADDING = "[PAD]"
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
A_NUMBER, A_DATE = "a number", "a date such as 2024-05-31T12:00:00, or seconds since 1970"


def interactions_of(source: str, table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """The columns of users, items and, where there are any, ratings and times, under RecBole's names.

    Args:
        source: the file's name, for messages.
        table: its columns as text.
        columns: names in the table by RecBole's field; fields that are not given are looked for by their usual names.

    Raises:
        DataError: if a column is not there, an id is empty, or a value is no number or no date.
    """
    found = {field: _column(source, table, field, columns.get(field)) for field in GUESSES}
    out = {field: ids_of(source, table[name]) for field, name in found.items() if name and field in (USER, ITEM)}
    if rating := found[RATING]:
        out[RATING] = _numbers(source, rating, table[rating])
    if time := found[TIME]:
        out[TIME] = timestamps(source, time, table[time])
    return pd.DataFrame(out)


def ids_of(source: str, column: pd.Series) -> pd.Series:
    """Ids as they stand there, without blanks around them.

    Raises:
        DataError: if one is empty, is RecBole's padding, or holds a tab or a line end.
    """
    ids = column.str.strip()
    for bad, what in (
        (ids == "", "is empty"),
        (ids == PADDING, f"is {PADDING}, RecBole's name for nobody"),
        (ids.str.contains(r"[\t\r\n]", regex=True), "holds a tab or a line end"),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(
                f"{column.name} {what} in {int(bad.sum())} rows of {source} (first: row {row + 1}); mend or drop them"
            )
    return ids


def column_named(source: str, table: pd.DataFrame, wanted: str) -> str:
    """A column by its name, RecBole's type after it or not.

    Raises:
        DataError: if there is none, with the nearest name.
    """
    names = {str(column).partition(":")[0]: str(column) for column in table.columns}
    names.update({str(column): str(column) for column in table.columns})
    if wanted not in names:
        there = ", ".join(map(str, table.columns[:20]))
        raise DataError(f"{source} has no column '{wanted}'{nearest(wanted, names)}; its columns are {there}")
    return names[wanted]


def timestamps(source: str, field: str, texts: pd.Series) -> pd.Series:
    """Times as text: numbers as they are written, dates as seconds since 1970, in UTC where they name no zone.

    Raises:
        DataError: if a text is neither, or some are numbers and others dates.
    """
    numbers = _are_numbers(texts)
    if numbers.all():
        return _as_written(texts)
    dates = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    if dates.isna().any():
        mostly_numbers = numbers.sum() > dates.notna().sum()
        bad = ~numbers if mostly_numbers else dates.isna().to_numpy()
        _refuse(source, field, texts, bad, "a number as in most rows" if mostly_numbers else A_DATE)
    return dates.astype("int64").map(_seconds)


def _seconds(nanoseconds: int) -> str:
    """No digit is lost."""
    whole, part = divmod(abs(nanoseconds), 10**9)
    return f"{'-' if nanoseconds < 0 else ''}{whole}.{part:09d}".rstrip("0").rstrip(".")


def _column(source: str, table: pd.DataFrame, field: str, given: Optional[str]) -> Optional[str]:
    if given is not None:
        return column_named(source, table, given)
    for column in table.columns:
        if str(column).partition(":")[0].lower() in GUESSES[field]:
            return str(column)
    if field in (RATING, TIME):
        return None
    raise DataError(
        f"{source} has no column of {OPTIONS[field]}s under a usual name; its columns are "
        f"{', '.join(map(str, table.columns[:20]))}: name it with --{OPTIONS[field]}=COLUMN, or say --layout=elliot "
        "where there is no header and the columns are user, item, rating, time"
    )


def _numbers(source: str, field: str, texts: pd.Series) -> pd.Series:
    _refuse(source, field, texts, ~_are_numbers(texts), A_NUMBER)
    return _as_written(texts)


def _are_numbers(texts: pd.Series) -> np.ndarray:
    """Finite ones as both CSV and Python have them."""
    stripped = texts.str.strip()
    numbers = pd.to_numeric(stripped, errors="coerce").to_numpy(np.float64)
    return stripped.str.fullmatch(NUMBER).to_numpy(bool) & np.isfinite(numbers)


def _as_written(texts: pd.Series) -> pd.Series:
    """No digit is lost; a whole number has no point."""
    return texts.str.strip().str.replace(r"\.0*$", "", regex=True)


def _refuse(source: str, field: str, texts: pd.Series, bad: np.ndarray, expected: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{field} is {shown(texts.iloc[row])} in row {row + 1} of {source}, expected {expected} ({int(bad.sum())} "
            "such rows); correct or drop them"
        )

"""Interactions of any table under RecBole's names: which column is which, dates as seconds, all else as it is."""

import re
from collections.abc import Mapping
from typing import Optional

import numpy as np
import pandas as pd

from recbole_sheaf.errors import DataError, shown
from recbole_sheaf.files.names import ITEM_NAMES, USER_NAMES
from recbole_sheaf.files.raw_tables import RawTable, place_of

USER, ITEM, RATING, TIME = "user_id", "item_id", "rating", "timestamp"
PART = "part"  # train, valid or test
NOUNS = {USER: "user", ITEM: "item", RATING: "rating", TIME: "time"}  # by RecBole's field
GUESSES: Mapping[str, tuple[str, ...]] = {  # in lower case
    USER: USER_NAMES,
    ITEM: ITEM_NAMES,
    RATING: tuple("rating overall stars".split()),
    TIME: tuple("timestamp time date datetime unixreviewtime created_at".split()),
}
ELLIOT = (USER, ITEM, RATING, TIME)  # columns of a table without a header, as Elliot writes and reads it
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
A_DATE = "a date such as 2024-05-31T12:00:00, or seconds since 1970"
LARGEST = float(np.finfo(np.float32).max)  # as which RecBole holds a rating
LIKE_TIMES = re.compile(r"(^|_)(at|on|ts|when)$|time|date", re.IGNORECASE)  # names that may be of a column of times


def fields_of(table: RawTable, columns: Mapping[str, str]) -> dict[str, str]:
    """RecBole's field of each column that becomes one, by the column's name.

    Args:
        table: of interactions.
        columns: names in the table by RecBole's field, empty for a field that is left out; fields that are not given
            are looked for by their usual names.

    Raises:
        DataError: if a column is not there, is given twice, or several have usual names of one field.
    """
    given = {field: table.column(name) for field, name in columns.items() if name}
    if twice := [name for name in given.values() if list(given.values()).count(name) > 1]:
        raise DataError(
            f"{table.name} has one column {shown(twice[0])}, which is named for two things; name two columns"
        )
    found = {name: field for field, name in given.items()}
    for field in GUESSES:
        if field not in columns and (usual := _usual(table, field, found)):
            found[usual] = field
    if absent := [field for field in (USER, ITEM) if field not in found.values()]:
        raise DataError(f"{absent[0]}=... is empty; interactions need users and items, so name their columns")
    return found


def interactions_of(table: RawTable, fields: Mapping[str, str]) -> pd.DataFrame:
    """The columns of users, items and, where there are any, ratings and times, under RecBole's names.

    Args:
        table: of interactions.
        fields: RecBole's field by the column's name, as :func:`fields_of` finds them.

    Raises:
        DataError: if an id is none, or a value is no number or no date.
    """
    name_of = {field: name for name, field in fields.items()}
    out = {field: table.ids(name_of[field]) for field in (USER, ITEM)}
    if rating := name_of.get(RATING):
        out[RATING] = _numbers(table.name, rating, table.texts[rating])
    if time := name_of.get(TIME):
        out[TIME] = timestamps(table.name, time, table.texts[time])
    return pd.DataFrame(out).reset_index(drop=True)


def has_times_in_numbers(table: RawTable, fields: Mapping[str, str]) -> Optional[bool]:
    """Whether every time is a number, as it stands, and no date; None where there are no times."""
    return next((bool(_are_numbers(table.texts[name]).all()) for name, field in fields.items() if field == TIME), None)


def said_of(table: RawTable, fields: Mapping[str, str], columns: Mapping[str, str]) -> list[str]:
    """Lines that say what became of each column, and where no times were found, which columns may hold some."""
    hints = {}
    if TIME not in fields.values() and TIME not in columns:
        likely = filter(LIKE_TIMES.search, table.texts.columns)
        hints = {name: f"; if it holds times, name it with {TIME}={name}" for name in likely}
    return table.said(fields, hints)


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
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[dates.dt.unit]  # pandas 3 takes as many as the texts have
    return dates.astype("int64").map(lambda ticks: _seconds(ticks, digits))


def _seconds(ticks: int, digits: int) -> str:
    """Ticks of ``10**-digits`` seconds; no digit is lost."""
    whole, part = divmod(abs(ticks), 10**digits)
    return f"{'-' if ticks < 0 else ''}{whole}.{part:0{digits}d}".rstrip("0").rstrip(".")


def _usual(table: RawTable, field: str, taken: Mapping[str, str]) -> Optional[str]:
    """The column under a usual name of a field, among those that are not taken; None where there may be none."""
    noun, optional = NOUNS[field], field in (RATING, TIME)
    names = [name for name in table.names if name not in taken]
    usual = [name for name in names if name.partition(":")[0].lower() in GUESSES[field]]
    if len(usual) > 1:
        out = f", or leave all out with {field}=" if optional else ""
        raise DataError(
            f"{table.name} has {len(usual)} columns that may be its {noun}s, {', '.join(map(shown, usual))}; name "
            f"one with {field}=COLUMN{out}"
        )
    if usual or optional:
        return table.column(usual[0]) if usual else None
    raise DataError(
        f"{table.name} has no column of {noun}s under a usual name; its columns are "
        f"{', '.join(table.names[:20])}: name it with {field}=COLUMN, or say layout=elliot "
        "where there is no header and the columns are user, item, rating, time"
    )


def _numbers(source: str, field: str, texts: pd.Series) -> pd.Series:
    fits = _are_numbers(texts)
    fits[fits] = np.abs(texts[fits].astype(np.float64)) <= LARGEST
    _refuse(source, field, texts, ~fits, "a number that float32 can hold")
    return _as_written(texts)


def _are_numbers(texts: pd.Series) -> np.ndarray:
    """Which texts are finite numbers as both CSV and Python write them."""
    stripped = texts.str.strip()
    numbers = pd.to_numeric(stripped, errors="coerce").to_numpy(np.float64)
    return stripped.str.fullmatch(NUMBER).to_numpy(bool) & np.isfinite(numbers)


def _as_written(texts: pd.Series) -> pd.Series:
    """Numbers as text with every digit they were written with; a whole number has no point."""
    return texts.str.strip().str.replace(r"\.0*$", "", regex=True)


def _refuse(source: str, field: str, texts: pd.Series, bad: np.ndarray, expected: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{field} is {shown(texts.iloc[row])} in {place_of(texts, row)} of {source}, expected {expected} "
            f"({int(bad.sum())} such rows); correct or drop them"
        )

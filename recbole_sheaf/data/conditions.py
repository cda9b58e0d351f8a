"""A condition in SQL over the columns of a table, from somebody else: parsed, held to a list of what it may be, run.

DuckDB's own parser gives the tree of it. Each node has to be of a kind that reads the row before it and nothing else,
and what runs is SQL made of that tree, never the text that arrived. No statement, subquery, file, table function,
aggregate, parameter or setting is of such a kind.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from recbole_sheaf.errors import ConfigError, first_line, nearest, shown

_KINDS = frozenset("BETWEEN CASE CAST COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION OPERATOR TYPE".split())
FUNCTIONS = frozenset("+ - * / // % abs ceil floor greatest least ln round sqrt".split())
_CAST_TO = frozenset("bool boolean int integer bigint float real double".split())
# Words of the language of conditions, which name no column unless they are in quotes.
_GRAMMAR = frozenset("and or not is in between case when then else end null true false cast as isnull notnull".split())
_WORDS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\w+""")
_LONGEST = 2000


@dataclass(frozen=True)
class Condition:
    """A condition that may be run.

    Attributes:
        sql: an expression, made of its tree.
        columns: that it names, as the table calls them.
    """

    sql: str
    columns: frozenset[str]


def sealed_database() -> duckdb.DuckDBPyConnection:
    """A database in memory, with no way out of it: what is run there was written by somebody else."""
    return duckdb.connect(config={"enable_external_access": "false", "autoload_known_extensions": "false"})


def read_condition(option: str, text: str, columns: Mapping[str, str]) -> Condition:
    """Parse a condition and hold it to the list.

    A word that SQL keeps for itself, such as ``like``, is the column of that name where there is one.

    Args:
        option: the parameter that it was given by, as sentences name it.
        text: the condition.
        columns: of the table, with DuckDB's types.

    Raises:
        ConfigError: if it is no SQL, or something else than a condition over these columns.

    Examples:
        >>> read_condition("positive=...", "like or timespent >= 10", {"like": "BOOLEAN", "timespent": "UTINYINT"}).sql
        '("like" OR (timespent >= 10))'
    """
    if len(text) > _LONGEST:
        raise ConfigError(f"{option} has {len(text):,} characters, expected at most {_LONGEST:,}; write less")
    by_name = {name.lower(): name for name in columns}
    quoted = _WORDS.sub(lambda word: _as_column(word.group(), by_name), text)
    query = f"SELECT (\n{quoted}\n)"
    try:
        with sealed_database() as db:
            found = db.execute("SELECT json_serialize_sql(?)", [query]).fetchall()[0][0]
            tree = json.loads(found)
            if tree["error"]:
                raise _unfit(option, text, f"is no SQL ({first_line(ValueError(tree['error_message']))})")
            used = {name for node in _nodes(_alone(option, text, tree)) for name in _read(option, text, node, by_name)}
            sql = db.execute("SELECT json_deserialize_sql(?)", [found]).fetchall()[0][0].removeprefix("SELECT ")
            row = ", ".join(f'NULL::{columns[name]} AS "{name}"' for name in used) or "NULL"
            kind = db.execute(f"DESCRIBE SELECT {sql} FROM (SELECT {row})").fetchall()[0][1]
            if kind != "BOOLEAN":
                raise _unfit(option, text, f"gives {kind}, neither true nor false")
    except (duckdb.Error, RecursionError, UnicodeError) as error:
        raise _unfit(option, text, f"is no such SQL ({first_line(error)})") from error
    return Condition(sql, frozenset(used))


def _as_column(word: str, columns: Collection[str]) -> str:
    return f'"{word}"' if word.lower() in columns and word.lower() not in _GRAMMAR else word


def _alone(option: str, text: str, tree: Any) -> Any:
    """The one expression of the one SELECT, which reads from nothing."""
    nodes = [statement["node"] for statement in tree["statements"]]
    if len(nodes) == 1 and nodes[0]["type"] == "SELECT_NODE" and len(nodes[0]["select_list"]) == 1:
        (expression,) = nodes[0].pop("select_list")
        if nodes[0]["from_table"]["type"] == "EMPTY" and not list(_nodes(nodes[0])):
            return expression
    raise _unfit(option, text, "is more than one expression")


def _nodes(tree: Any) -> Iterator[Any]:
    """Every node of a tree, whatever its version of DuckDB calls the places where others are."""
    if isinstance(tree, dict):
        if "class" in tree or "node" in tree:
            yield tree
        for below in tree.values():
            yield from _nodes(below)
    elif isinstance(tree, list):
        for below in tree:
            yield from _nodes(below)


def _read(option: str, text: str, node: Any, by_name: dict[str, str]) -> list[str]:
    """The columns that a node names, itself of a kind that may be."""
    kind = node.get("class", "SUBQUERY")
    if kind not in _KINDS:
        raise _unfit(option, text, f"holds a {kind.replace('_', ' ').lower()}")
    if kind == "FUNCTION":
        name = node["function_name"].lower()
        plain = not any(node.get(key) for key in ("schema", "catalog", "distinct", "filter"))
        if name not in FUNCTIONS or not plain:
            raise _unfit(option, text, f"calls {shown(name)}")
    if kind == "TYPE" and str(node["type_name"]).lower() not in _CAST_TO:
        raise _unfit(option, text, f"casts to {shown(node['type_name'])}")
    if kind != "COLUMN_REF":
        return []
    name = ".".join(node["column_names"])
    if name.lower() not in by_name:
        raise ConfigError(
            f"{option} names the column {shown(name)}{nearest(name, by_name)}; there are {', '.join(by_name.values())}"
        )
    return [by_name[name.lower()]]


def _unfit(option: str, text: str, why: str) -> ConfigError:
    return ConfigError(
        f"{option}={shown(text)} {why}; expected a condition over columns, such as 'like or timespent >= 10', of "
        f"comparisons, and, or, not, in, between, case, numbers and {', '.join(sorted(FUNCTIONS))}"
    )

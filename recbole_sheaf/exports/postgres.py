"""Embeddings into PostgreSQL with pgvector: a schema of tables, written in one transaction.

What was there before is replaced where the tables have the same columns, so that views, rights and indexes stay, and
refused where they have others. No message holds a password.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.errors import ConfigError, first_line
from recbole_sheaf.exports.postgres_tables import FUNCTIONS, SCORE, Table, tables_of
from recbole_sheaf.extras import from_extra
from recbole_sheaf.reachable import connect_seconds

SCHEMES = ("postgresql://", "postgres://")
OLDEST = (0, 7)  # pgvector with halfvec and sparsevec
LOCK_SECONDS = 15  # that another session may hold a table
_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace s ON s.oid = c.relnamespace
WHERE s.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""


@dataclass(frozen=True)
class Postgres:
    """A database to write to, in a schema of its own.

    Attributes:
        address: a URL as libpq takes it.
        schema: of the tables.
    """

    address: str
    schema: str

    def __repr__(self) -> str:
        return f"Postgres({self.schema!r})"  # no password in a traceback

    def check(self) -> None:
        """Refuse, before any work, a database that cannot be written.

        Raises:
            ConfigError: if nobody answers there within 15 seconds, the user is refused, or pgvector is not there.
            EnvironmentMismatch: if psycopg or pgvector's client is not installed.
        """
        with self._connected() as connection:
            self._make_ready(connection)
            connection.rollback()

    def write(self, embeddings: Embeddings) -> str:
        """Write all tables or none; gives what was written, in a few words.

        Raises:
            ConfigError: as :meth:`check`, and if tables of the schema have other columns.
            DataError: if vectors are larger than pgvector's.
        """
        tables = tables_of(embeddings, self.schema)
        with self._connected() as connection, connection.transaction():
            self._make_ready(connection)
            _register(connection)
            self._refuse_other_shapes(connection, tables)
            for name, table in tables.items():
                self._fill(connection, name, table)
            connection.execute(FUNCTIONS.format(schema=self.schema, score=SCORE))
            where = f"{connection.info.dbname} on {connection.info.host or 'this machine'}"
        return f"schema {self.schema} of database {where}; SELECT * FROM {self.schema}.recommend(user_token, 20)"

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """A connection, closed at the end; what the database says becomes a sentence."""
        psycopg = import_psycopg()
        given = _parsed(psycopg, self.address)
        limits = {"connect_timeout": max(2, round(connect_seconds())), "client_encoding": "utf8"}
        try:
            with psycopg.connect(**{**given, **limits}) as connection:
                connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
                yield connection
        except (psycopg.Error, UnicodeError) as error:
            raise ConfigError(
                f"PostgreSQL at {_place(given)} refuses ({_without(given.get('password'), error)}); nothing is "
                "written; see that the server runs, and that the user, the password and the database are right"
            ) from None

    def _make_ready(self, connection: Any) -> None:
        """The extension and the schema, in the transaction."""
        row = connection.execute(
            "SELECT default_version, installed_version FROM pg_available_extensions WHERE name = 'vector'"
        ).fetchone()
        version = row and (row[1] or row[0])
        if not version or tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
            found = f"pgvector {version} is" if version else "no pgvector is"
            raise ConfigError(
                f"{found} on this PostgreSQL server, expected 0.7 or newer; install it there (on Debian the package "
                "postgresql-<version>-pgvector, then ALTER EXTENSION vector UPDATE), or export to a .duckdb file"
            )
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self.schema}")

    def _refuse_other_shapes(self, connection: Any, tables: dict[str, Table]) -> None:
        there: dict[str, dict[str, str]] = {}
        for table, column, kind in connection.execute(_COLUMNS, [self.schema]):
            there.setdefault(table, {})[column] = kind.rpartition(".")[2]  # pgvector may be in a schema of its own
        for name in tables.keys() & there.keys():
            wanted, found = tables[name].columns, there[name]
            if found != wanted:
                column = next(key for key in {**wanted, **found} if found.get(key) != wanted.get(key))
                raise ConfigError(
                    f"table {name} of schema {self.schema} is there with {column} {found.get(column, 'absent')}, "
                    f"expected {wanted.get(column, 'none')}; drop it, or name another schema by name=..."
                )

    def _fill(self, connection: Any, name: str, table: Table) -> None:
        columns = ", ".join(f'"{column}" {kind}' for column, kind in table.columns.items())
        place = f"{self.schema}.{name}"
        connection.execute(f"CREATE TABLE IF NOT EXISTS {place} ({columns}, {table.constraints})")
        connection.execute(f"TRUNCATE {place}")
        into = f"COPY {place} FROM STDIN WITH (FORMAT BINARY)"
        with connection.cursor() as cursor, cursor.copy(into) as copy:
            copy.set_types([kind.partition("(")[0] for kind in table.columns.values()])
            for row in table.rows:
                copy.write_row(row)
        connection.execute(f"ANALYZE {place}")


def import_psycopg() -> Any:
    """psycopg, and pgvector's client with it.

    Raises:
        EnvironmentMismatch: if one of them is not installed.
    """
    with from_extra("postgres", "PostgreSQL", "name a .duckdb file"):
        import pgvector.psycopg  # noqa: F401
        import psycopg
    return psycopg


def _register(connection: Any) -> None:
    from pgvector.psycopg import register_vector

    register_vector(connection)


def _parsed(psycopg: Any, address: str) -> dict[str, Any]:
    """The parts of a URL, never shown where it is none: a password with an @ ends up in the host."""
    refusal = ConfigError(
        "target=... is no URL of PostgreSQL, expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE; write "
        "@ / : ? # in a password as %40 %2F %3A %3F %23, or leave it to PGPASSWORD or ~/.pgpass"
    )
    try:
        given = psycopg.conninfo.conninfo_to_dict(address)
    except psycopg.Error:
        raise refusal from None
    ports = str(given.get("port") or "0").split(",")
    if any("@" in str(given.get(name) or "") for name in ("host", "dbname")) or not all(p.isdigit() for p in ports):
        raise refusal
    return given


def _place(given: dict[str, Any]) -> str:
    host, port = given.get("host") or "this machine", given.get("port")
    return f"{host}:{port}" if port else str(host)


def _without(password: Any, error: Exception) -> str:
    text = " ".join(first_line(error).split())
    return text.replace(str(password), "***") if password else text

"""The store of results: one DuckDB file, a row per run, readable with plain SQL and without this package.

| table          | one row is                                                                              |
|----------------|-----------------------------------------------------------------------------------------|
| `runs`         | a finished run: every field of ``--result_file``; ``valid`` and ``test`` are maps        |
| `entries`      | the place of a run in an experiment: experiment, label, dataset, ablation, seed          |
| `user_metrics` | a metric of one user at test, at the epoch that validation chose                         |
| `strata`       | a metric of a group of users or of items at test                                         |
| `curves`       | an epoch of a run: training loss, seconds, validation metrics                            |
| `failures`     | a run that ended with an error, and the error                                            |
| `studies`      | a search for hyperparameters and its budget                                              |
| `trials`       | one trial of a search: parameters, validation score, state                               |

For example ``SELECT label, avg(test['recall@20']) FROM entries JOIN runs USING (run) GROUP BY label``.

DuckDB lets one process write at a time, so the file is opened for each reading or writing and closed again, under a
lock file beside it: any number of processes may share one store. A run is written in one transaction. Who only reads
makes no lock file and needs none, so that a store in a folder that nobody may write to is read too.
"""

import contextlib
import functools
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional, Union

import duckdb
import pandas as pd
from filelock import FileLock, Timeout

from recbole_sheaf.errors import StoreError, first_line, shown
from recbole_sheaf.store.records import Epoch, RunResult

SCHEMA_VERSION = 2
SECONDS_TO_WAIT = 120.0  # for other processes to let go of the store
SECONDS_FOR_READERS = 2.0  # for one that reads without the lock file, or a program that is not ours

# No query, and no view in a stranger's store, reads another file or loads an extension.
ALONE: dict[str, Union[str, bool, int, float, list[str]]] = {
    "enable_external_access": False,
    "lock_configuration": True,
}

_TABLES = """
CREATE TABLE store (schema_version INTEGER);
CREATE TABLE runs (
    run VARCHAR PRIMARY KEY, model VARCHAR, dataset VARCHAR, seed BIGINT, split_seed BIGINT,
    best_epoch INTEGER, epochs INTEGER, valid MAP(VARCHAR, DOUBLE), test MAP(VARCHAR, DOUBLE),
    seconds_per_epoch DOUBLE, seconds DOUBLE, peak_memory_mib DOUBLE, parameters BIGINT, device VARCHAR,
    message_passing VARCHAR, modalities MAP(VARCHAR, DOUBLE), split MAP(VARCHAR, BIGINT), checkpoint VARCHAR,
    config JSON, chosen MAP(VARCHAR, DOUBLE), train_loss DOUBLE[], versions MAP(VARCHAR, VARCHAR),
    finished TIMESTAMP);
CREATE TABLE entries (
    experiment VARCHAR, label VARCHAR, dataset VARCHAR, ablation VARCHAR, seed BIGINT, run VARCHAR,
    PRIMARY KEY (experiment, label, dataset, ablation, seed));
CREATE TABLE user_metrics (run VARCHAR, user_id VARCHAR, metric VARCHAR, value DOUBLE);
CREATE TABLE strata (
    run VARCHAR, kind VARCHAR, stratum VARCHAR, users BIGINT, pairs BIGINT, metric VARCHAR, value DOUBLE);
CREATE TABLE curves (
    run VARCHAR, epoch INTEGER, train_loss DOUBLE, train_seconds DOUBLE, valid_seconds DOUBLE,
    valid MAP(VARCHAR, DOUBLE), score DOUBLE);
CREATE TABLE failures (run VARCHAR, experiment VARCHAR, job VARCHAR, error VARCHAR, failed TIMESTAMP);
CREATE TABLE studies (
    study VARCHAR PRIMARY KEY, model VARCHAR, dataset VARCHAR, valid_metric VARCHAR, trials INTEGER, epochs INTEGER,
    search_space JSON, settings JSON);
CREATE TABLE trials (
    study VARCHAR, trial INTEGER, parameters JSON, score DOUBLE, state VARCHAR, epochs INTEGER, seconds DOUBLE,
    ended TIMESTAMP, PRIMARY KEY (study, trial));
"""


class Store:
    """Results in one DuckDB file, made when first written to.

    Raises:
        StoreError: if the file is no store, was written by another version, is held by another program, or cannot be
            written; what it held before stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._written = False

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that reads; other processes wait meanwhile, so keep it short."""
        if not self.path.is_file():
            raise StoreError(f"there is no store {self.path}; 'recbole-sheaf compare' writes one")
        held = self._locked() if os.access(self._lock_file, os.W_OK) else contextlib.nullcontext()
        with held, self._connected(read_only=True) as connection:
            self._refuse_other_version(connection)
            yield connection

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection inside one transaction: all of it is kept, or on an error none."""
        with self._locked(), contextlib.ExitStack() as at_an_error:
            fresh = not self.path.is_file()
            if fresh and self._written:
                raise StoreError(f"{self.path} was deleted while this command wrote to it; start the command again")
            if fresh:
                at_an_error.callback(self._remove)
            with self._connected(read_only=False) as connection:
                connection.execute("BEGIN")
                if fresh or not connection.execute("SHOW TABLES").fetchall():
                    connection.execute(_TABLES)
                    connection.execute("INSERT INTO store VALUES (?)", [SCHEMA_VERSION])
                self._refuse_other_version(connection)
                yield connection
                connection.execute("COMMIT")
                self._written = True
            at_an_error.pop_all()

    @property
    def _lock_file(self) -> Path:
        return self.path.with_name(f"{self.path.name}.lock")

    def _remove(self) -> None:
        """What is left of a store that could not be made."""
        for path in (self.path, self.path.with_name(f"{self.path.name}.wal"), self._lock_file):
            path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock_file, timeout=SECONDS_TO_WAIT):
                yield
        except Timeout as error:
            raise StoreError(f"{self.path} was in use for {SECONDS_TO_WAIT:.0f} s; try again later") from error
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written ({error}); what it held is kept") from error

    @contextmanager
    def _connected(self, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            connection = self._opened(read_only)
        except duckdb.Error as error:
            raise StoreError(
                f"{self.path} cannot be opened as a store ({first_line(error)}); give the path of a store, "
                "or close the program that holds it"
            ) from error
        try:
            yield connection
        except duckdb.Error as error:
            if read_only:
                raise StoreError(f"{self.path} does not answer: {first_line(error)}; correct the query") from error
            raise StoreError(
                f"{self.path} was not changed ({first_line(error)}); free disk space or mend the cause, then run again"
            ) from error
        finally:
            connection.close()

    def _opened(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        """Waits for a reader without the lock file to end."""
        until = time.monotonic() + SECONDS_FOR_READERS
        while True:
            try:
                return duckdb.connect(str(self.path), read_only=read_only, config=ALONE)
            except duckdb.IOException as error:
                if "lock" not in str(error) or time.monotonic() > until:
                    raise
            time.sleep(0.05)

    def _refuse_other_version(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            versions = [version for (version,) in connection.execute("SELECT schema_version FROM store").fetchall()]
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise StoreError(f"{self.path} is a DuckDB file but no store of results; give another path") from error
        if versions != [SCHEMA_VERSION]:
            raise StoreError(
                f"{self.path} was written in version {versions} of the store, this release reads version "
                f"{SCHEMA_VERSION}; give another path, or export it with the release that wrote it"
            )
        found = _columns(connection)
        for table, columns in _own_columns().items():
            if missing := sorted(columns - found.get(table, frozenset())):
                wanting = ", ".join(f"{name} {kind}" for name, kind in missing)
                raise StoreError(
                    f"table {table} of {self.path} has no {wanting}; it was altered: give another one or an older copy"
                )

    def finished(self, runs: Sequence[str]) -> set[str]:
        """Those of the runs that the store holds; none where there is no store yet."""
        if not self.path.is_file():
            return set()
        with self.reading() as connection:
            connection.register("wanted", pd.DataFrame({"run": list(runs)}, dtype="str"))
            held = connection.execute("SELECT run FROM runs SEMI JOIN wanted USING (run)").fetchall()
        return {run for (run,) in held}

    def add_entries(self, entries: pd.DataFrame) -> None:
        """Note which run stands where in an experiment; a cell that names another run by now is renewed.

        Args:
            entries: experiment, label, dataset, ablation, seed, run.
        """
        with self.writing() as connection:
            connection.register("given", entries)
            connection.execute(
                "INSERT OR REPLACE INTO entries SELECT experiment, label, dataset, ablation, seed, run FROM given"
            )

    def add_run(
        self,
        run: str,
        result: RunResult,
        epochs: Sequence[Epoch],
        user_metrics: Optional[pd.DataFrame] = None,
        strata: Optional[pd.DataFrame] = None,
    ) -> bool:
        """Write a finished run, all of it or nothing; False where the store holds it already.

        Args:
            run: id of the run.
            user_metrics: user_id, metric, value.
            strata: kind, stratum, users, pairs, metric, value.
        """
        with self.writing() as connection:
            if connection.execute("SELECT 1 FROM runs WHERE run = ?", [run]).fetchall():
                return False
            row = _run_row(run, result, epochs)
            marks = ", ".join("?" for _ in row)
            connection.execute(f"INSERT INTO runs ({', '.join(row)}) VALUES ({marks})", list(row.values()))
            if epochs:
                connection.executemany("INSERT INTO curves VALUES (?, ?, ?, ?, ?, ?, ?)", _curve(run, epochs))
            for table, frame in (("user_metrics", user_metrics), ("strata", strata)):
                if frame is not None and len(frame):
                    connection.register("given", frame.assign(run=run))
                    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM given")
        return True

    def add_failure(self, run: str, experiment: str, job: str, error: str) -> None:
        """Note that a run ended with an error."""
        with self.writing() as connection:
            connection.execute("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", [run, experiment, job, error, _now()])

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """What a SQL query gives.

        Raises:
            StoreError: if it is no query of this store.
        """
        with self.reading() as connection:
            if not query.strip(" \t\r\n\0"):  # DuckDB 1.4, of Python 3.9, answers nothing to nothing
                raise StoreError(f"{self.path} does not answer: {shown(query)} asks nothing; correct the query")
            return connection.execute(query, list(parameters)).df()


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[str, frozenset[tuple[str, str]]]:
    """Names and kinds of the columns of each table; views are none."""
    rows = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() SEMI JOIN duckdb_tables() "
        "USING (database_oid, schema_oid, table_oid) WHERE database_name = current_database() AND schema_name = 'main'"
    ).fetchall()
    tables: dict[str, set[tuple[str, str]]] = {}
    for table, column, kind in rows:
        tables.setdefault(table, set()).add((column, kind))
    return {table: frozenset(columns) for table, columns in tables.items()}


@functools.cache
def _own_columns() -> dict[str, frozenset[tuple[str, str]]]:
    with duckdb.connect() as connection:
        connection.execute(_TABLES)
        return _columns(connection)


def _run_row(run: str, result: RunResult, epochs: Sequence[Epoch]) -> dict[str, Any]:
    row = asdict(result)
    row["config"] = json.dumps(row["config"], ensure_ascii=False)
    seconds = sum(epoch.train_seconds + epoch.valid_seconds for epoch in epochs)
    return {"run": run, **row, "seconds": seconds, "finished": _now()}


def _curve(run: str, epochs: Sequence[Epoch]) -> list[list[Any]]:
    return [
        [run, epoch.number, epoch.train_loss, epoch.train_seconds, epoch.valid_seconds, epoch.valid, epoch.score]
        for epoch in epochs
    ]


def _now() -> datetime:
    """The time in UTC, as DuckDB's TIMESTAMP holds it."""
    return datetime.now(timezone.utc).replace(tzinfo=None)

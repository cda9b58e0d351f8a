"""Stores, result files and tables: nothing in them runs, reads another file, or breaks out of its cell."""

import contextlib
import csv
import io
import json
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.errors import DataError, StoreError
from recbole_sheaf.evaluation import read_rows, to_csv, to_markdown, write_table
from recbole_sheaf.store import results
from recbole_sheaf.store.store import _TABLES, SCHEMA_VERSION, Store, _own_columns
from tests.evaluation.test_tables import _row
from tests.store.planted import plant
from tests.store.test_store import EPOCHS, result


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Read only by the tests, or copied."""
    return plant(tmp_path_factory.mktemp("stores") / "store.duckdb")


@pytest.fixture
def copy(store, workplace):
    (workplace / "store.duckdb").write_bytes(store.path.read_bytes())
    return Store(workplace / "store.duckdb")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('secret.csv')",
        "SELECT * FROM 'secret.csv'",
        "SELECT * FROM read_text('secret.csv')",
        "SELECT * FROM glob('*')",
        "COPY (SELECT 1) TO 'touched'",
        "COPY runs TO 'touched' (FORMAT csv)",
        "EXPORT DATABASE 'touched'",
        "ATTACH 'touched' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "RESET enable_external_access",
        "SET lock_configuration = false",
        "PRAGMA enable_profiling; SET profiling_output = 'touched'",
        "DELETE FROM runs",
        "DROP TABLE runs",
        "CREATE TABLE mine (a INTEGER)",
        "UPDATE runs SET seed = 3",
        "INSERT INTO entries SELECT * FROM entries",
        "SELECT * FROM EPOCHS",
        "SELECT * FROM secret_frame",
        "SELEC 1",
        "",
        "\0",
    ],
)
def test_a_query_reads_the_store_alone(store, workplace, capsys, query):
    secret_frame = pd.DataFrame({"a": [1]})  # a variable that DuckDB could find in this stack
    (workplace / "secret.csv").write_text("a\n1\n")
    before = store.path.read_bytes()
    if query:
        with pytest.raises(StoreError, match="does not answer: "):
            store.rows(query)
        assert main(["results", str(store.path), f"--sql={query}"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert store.path.read_bytes() == before and not (workplace / "touched").exists() and len(secret_frame)


@pytest.mark.parametrize("table", ["runs", "entries", "store", "user_metrics", "strata", "curves", "trials"])
def test_a_view_in_a_strangers_store_reads_no_file(workplace, table):
    (workplace / "secret.csv").write_text("schema_version\n1\n")
    with duckdb.connect("store.duckdb") as connection:
        connection.execute(f"{_TABLES}INSERT INTO store VALUES ({SCHEMA_VERSION});")
        connection.execute(f"DROP TABLE {table}; CREATE VIEW {table} AS SELECT * FROM read_csv('secret.csv')")
    store = Store(Path("store.duckdb"))
    for use in (lambda: store.rows("SELECT 1"), lambda: store.add_run("x", result(), EPOCHS)):
        with pytest.raises(StoreError):
            use()


@pytest.mark.parametrize("table, column", [(t, c) for t, cs in _own_columns().items() for c, _ in sorted(cs)[::3]])
def test_a_store_without_a_column_is_refused(tmp_path, table, column):
    path = tmp_path / "store.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"{_TABLES}INSERT INTO store VALUES ({SCHEMA_VERSION});")
        connection.execute(f"CREATE TABLE other AS SELECT * EXCLUDE ({column}), 1 AS more FROM {table}")
        connection.execute(f"DROP TABLE {table}; ALTER TABLE other RENAME TO {table}")
    with pytest.raises(StoreError, match=f"has no .*{column} |is a DuckDB file but no store"):
        Store(path).rows("SELECT 1")


@pytest.mark.parametrize(
    "change, said",
    [
        ("UPDATE runs SET config = '{}'", "names no valid_metric in its config"),
        ("UPDATE runs SET config = NULL", "names no valid_metric in its config"),
        ("UPDATE runs SET config = '[]'", "names no valid_metric in its config"),
        ("UPDATE runs SET config = '3'", "names no valid_metric in its config"),
        ("UPDATE store SET schema_version = NULL", "version .* of the store"),
        ("DELETE FROM store", "version .* of the store"),
        ("INSERT INTO store VALUES (1)", "version .* of the store"),
        ("DELETE FROM runs", "holds no finished run"),
        ("DELETE FROM entries", "holds no finished run"),
    ],
)
def test_a_store_with_altered_rows_is_refused(copy, change, said):
    with duckdb.connect(str(copy.path)) as connection:
        connection.execute(change)
    with pytest.raises((StoreError, DataError), match=said):
        results.finished_runs(copy, {})


@pytest.mark.parametrize(
    "column", ["valid", "test", "best_epoch", "seconds_per_epoch", "peak_memory_mib", "parameters"]
)
@pytest.mark.parametrize("show", ["runs", "means"])
def test_what_a_run_does_not_say_is_left_empty(copy, capsys, column, show):
    with duckdb.connect(str(copy.path)) as connection:
        connection.execute(f"UPDATE runs SET {column} = NULL")
    assert main(["results", str(copy.path), f"--show={show}"]) == 0
    assert "LightGCN" in capsys.readouterr().out


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_store_cut_short_is_read_or_refused(copy, share):
    copy.path.write_bytes(copy.path.read_bytes()[: int(share * copy.path.stat().st_size)])
    with contextlib.suppress(StoreError, DataError):  # what was cut off may be no part of the answer
        assert len(results.finished_runs(copy, {}))


@pytest.mark.parametrize("place", ["file/store.duckdb", "folder"])
def test_a_store_that_cannot_be_written_is_told(workplace, place):
    (workplace / "file").write_text("")
    (workplace / "folder").mkdir()
    with pytest.raises(StoreError, match="cannot be (written|opened)"):
        Store(workplace / place).add_run("x", result(), EPOCHS)


LINE = json.dumps(_row("A", 0.2))
BAD_LINES = {
    "{": "is not a result file",
    "[1]": "without model, test and config",
    "3": "without model, test and config",
    '"model test config"': "without model, test and config",
    "": "holds no run",
    "\n\n": "holds no run",
    "[" * 100_000: "is not a result file",
    LINE + LINE: "is not a result file",
    LINE + "\n{}": r"line 2",
    **{
        json.dumps({**_row("A", 0.2), key: value}): f"has {key} "
        for key, value in [
            ("model", 3),
            ("seed", "x"),
            ("seed", None),
            ("config", {}),
            ("config", []),
            ("config", {"valid_metric": 3}),
            ("valid", None),
            ("valid", {"recall@20": "x"}),
            ("test", []),
            ("test", {"recall@20": None}),
            ("best_epoch", "x"),
            ("epochs", 1.5),
            ("seconds_per_epoch", "x"),
            ("seconds_per_epoch", float("nan")),
            ("peak_memory_mib", float("inf")),
            ("parameters", None),
        ]
    },
}


@pytest.mark.parametrize("text", BAD_LINES)
def test_a_result_file_of_another_kind_is_refused(tmp_path, capsys, text):
    path = tmp_path / "runs.json"
    path.write_text(text)
    with pytest.raises(DataError, match=BAD_LINES[text]):
        read_rows(path)
    assert main(["table", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x93NUMPY", b"PK\3\4\0\0", None, "folder"])
def test_a_result_file_that_is_no_text_is_refused(tmp_path, capsys, content):
    path = tmp_path / "runs.json"
    path.mkdir() if content == "folder" else content is not None and path.write_bytes(content)
    assert main(["table", str(path)]) == 2
    assert "runs.json" in capsys.readouterr().err


CELLS = ["a|b", "a\nb", "a\r\nb", "<script>", "`x`", "a\\|b", "\x1b[31mred", "a\u202eb", "a\tb"]


@pytest.mark.parametrize("text", CELLS)
def test_a_cell_of_markdown_stays_in_its_cell(text):
    for table in (pd.DataFrame({"model": [text], "x": [1.0]}), pd.DataFrame({text: [1.0], "x": ["y"]})):
        lines = to_markdown(table).splitlines()
        assert len(lines) == 3
        assert "<" not in "".join(lines) and "\x1b" not in "".join(lines) and "\u202e" not in "".join(lines)
        bars = [line.replace("\\\\", "").replace("\\|", "").count("|") for line in lines]
        assert bars == [3, 3, 3]


FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", " =1", "\r=1", '=HYPERLINK("x")']


@pytest.mark.parametrize("text", FORMULAS)
def test_a_cell_of_csv_is_no_formula(text, tmp_path):
    table = pd.DataFrame({"model": [text], text: [1.5]})
    (written,) = (path for path in write_table(table, tmp_path / "t") if path.suffix == ".csv")
    for lines in (to_csv(table), written.read_text()):
        for row in csv.reader(io.StringIO(lines)):
            assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in row)


@pytest.mark.parametrize("text", ["-0.5", "+3", "-inf", "a=b", "1-2", "▲", "", "'x"])
def test_numbers_and_plain_text_stay_as_they_are_in_csv(text):
    (row,) = csv.DictReader(io.StringIO(to_csv(pd.DataFrame({"a": [text], "b": [-0.25]}))))
    assert row == {"a": text, "b": "-0.25"}


@pytest.mark.parametrize("option", ["--output=file/x.csv", "--output=folder.md"])
def test_an_output_that_cannot_be_written_is_told(store, workplace, capsys, option):
    (workplace / "file").write_text("")
    (workplace / "folder.md").mkdir()
    assert main(["results", str(store.path), option]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_table_that_cannot_be_written_is_told(workplace, capsys):
    (workplace / "file").write_text("")
    (workplace / "runs.json").write_text(LINE)
    assert main(["table", "runs.json", "--table_file=file/x"]) == 2
    assert "cannot be written" in capsys.readouterr().err

"""PostgreSQL ranks as the model does by its own query, is written whole or not at all, and no password is shown."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.embeddings.ranking import top_lists
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.embeddings.similarity import similar_items
from recbole_sheaf.errors import ConfigError, DataError, EnvironmentMismatch
from recbole_sheaf.exports.postgres import Postgres, _without
from recbole_sheaf.exports.targets import target_of
from tests.cli.test_commands import _arguments
from tests.embeddings.toys import SOME_COLD, restored
from tests.exports import servers

pytestmark = pytest.mark.slow  # starts a server, and takes twenty seconds

psycopg = pytest.importorskip("psycopg")
pytest.importorskip("pgvector")


@pytest.fixture(scope="module")
def server():
    with servers.postgres() as url:
        yield url


@pytest.fixture
def database(server):
    """An empty database, and a connection to it."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS ours WITH (FORCE)")
        connection.execute("CREATE DATABASE ours")
    url = server.replace("/postgres", "/ours")
    with psycopg.connect(url, autocommit=True) as connection:
        yield url, connection


def equal_lists(found, tokens, scores, rtol):
    """The same scores, and the same items where neighbours differ by more than rounding."""
    given = np.array([score for _, score in found])
    np.testing.assert_allclose(given, scores, rtol=rtol, atol=rtol)
    apart = np.diff(given, append=-np.inf, prepend=np.inf) < -10 * rtol * np.abs(given).max()
    for place in np.flatnonzero(apart[:-1] & apart[1:])[:-1]:
        assert found[place][0] == tokens[place]
    assert len(found) == len(scores)


@pytest.mark.parametrize("dtype, rtol", [("float32", 1e-5), ("float16", 1e-3)])
@pytest.mark.parametrize("name", ["MMSheaf", "LightGCN", "EASE", "ItemSheaf"])
def test_the_databases_own_query_recommends_as_we_do(toy_settings, database, name, dtype, rtol):
    url, connection = database
    embeddings = embeddings_of(restored(name, {**toy_settings, **SOME_COLD})).with_floats(dtype)
    said = target_of(url, "mine").write(embeddings)
    assert "schema mine of database ours on 127.0.0.1" in said
    rows = np.arange(len(embeddings.users))
    for seen, parts in (("masked", 3), ("at_test", 2), ("kept", 0)):
        (lists,) = top_lists(embeddings, rows, 8, seen=seen)
        for row in rows:
            query = "SELECT item, score FROM mine.recommend(%s, 8, %s)"
            found = connection.execute(query, [str(embeddings.users[row]), parts]).fetchall()
            equal_lists(found, embeddings.items[lists.items[row]], lists.scores[row], rtol)
    kinds = dict(
        connection.execute("SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = 'items'")
    )
    assert (
        kinds["vector"] == {"float32": "vector", "float16": "halfvec"}[dtype] and kinds["coefficients"] == "sparsevec"
    )


def test_metadata_hold_the_score_and_a_query_that_runs(toy_settings, database):
    url, connection = database
    embeddings = embeddings_of(restored("MMSheaf", toy_settings))
    target_of(url).write(embeddings)
    metadata = dict(connection.execute("SELECT key, value FROM recbole_sheaf.metadata"))
    assert metadata["score"] == embeddings.metadata["score"] and metadata["model"] == "MMSheaf"
    assert servers.PASSWORD not in json.dumps(metadata) and "%40" not in json.dumps(metadata)
    assert len(connection.execute(metadata["query"]).fetchall()) == 20
    (lists,) = similar_items(embeddings, np.array([0]), 20)
    found = connection.execute(metadata["similar_query"]).fetchall()
    equal_lists(found, embeddings.items[lists.items[0]], lists.scores[0], 1e-5)
    connection.execute(metadata["index"].partition(" serves")[0])
    one = "u.token = 'u3' AND i.token = 'i7'"
    ((score,),) = connection.execute(metadata["score_in_sql"].replace("u.token = .. AND ..", one)).fetchall()
    (whole,) = top_lists(embeddings, embeddings.user_rows(["u3"]), 60, seen="kept")
    place = whole.items[0].tolist().index(embeddings.item_rows(["i7"])[0])
    assert score == pytest.approx(whole.scores[0][place], rel=1e-5)


def contents(connection):
    tables = ("users", "items", "interactions", "metadata")
    return [connection.execute(f"SELECT t::text FROM recbole_sheaf.{name} t ORDER BY 1").fetchall() for name in tables]


def test_the_same_columns_are_replaced_and_others_refused(toy_settings, database):
    url, connection = database
    first, second = (embeddings_of(restored("MMSheaf", toy_settings, moved)) for moved in (0.1, 0.2))
    target_of(url).write(first)
    before = contents(connection)
    connection.execute("CREATE VIEW tokens AS SELECT token FROM recbole_sheaf.items")
    target_of(url).write(second)
    after = contents(connection)
    assert after != before and [len(rows) for rows in after] == [len(rows) for rows in before]
    narrow = embeddings_of(restored("MMSheaf", {**toy_settings, "embedding_size": 4}))
    with pytest.raises(ConfigError, match=r"table (users|items) .* vector vector.24., expected vector.12.; drop it"):
        target_of(url).write(narrow)
    with pytest.raises(ConfigError, match=r"expected halfvec.24."):
        target_of(url).write(second.with_floats("float16"))
    assert contents(connection) == after


def test_a_write_that_fails_leaves_what_was_there(toy_settings, database):
    url, connection = database
    embeddings = embeddings_of(restored("MMSheaf", toy_settings))
    target_of(url).write(embeddings)
    before = contents(connection)
    broken = embeddings.items.copy().astype(object)
    broken[-1] = "with\0zero"
    for schema in ("recbole_sheaf", "fresh"):
        with pytest.raises(ConfigError, match="nothing is written"):
            target_of(url, schema).write(type(embeddings)(**{**vars_of(embeddings), "items": broken}))
    assert contents(connection) == before
    assert connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'fresh'").fetchone() is None


def vars_of(embeddings):
    return {name: getattr(embeddings, name) for name in embeddings.__dataclass_fields__}


def test_a_check_writes_nothing(database):
    url, connection = database
    target_of(url).check()
    assert connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'recbole_sheaf'").fetchone() is None
    assert connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone() is None


def test_a_table_that_is_locked_is_given_up(toy_settings, database, monkeypatch):
    url, connection = database
    embeddings = embeddings_of(restored("LightGCN", toy_settings))
    target_of(url).write(embeddings)
    monkeypatch.setattr("recbole_sheaf.exports.postgres.LOCK_SECONDS", 1)
    with connection.transaction():
        connection.execute("LOCK TABLE recbole_sheaf.items IN ACCESS SHARE MODE")
        with pytest.raises(ConfigError, match="lock timeout"):
            target_of(url).write(embeddings)


@pytest.mark.parametrize(
    "changed, message",
    [
        (("s3cret", "other"), "password authentication failed for user"),
        (("/ours", "/nowhere"), 'database "nowhere" does not exist'),
        (("me:", "nobody:"), "password authentication failed"),
    ],
)
def test_who_is_refused_hears_it_without_the_password(database, changed, message):
    url = database[0].replace(*changed)
    with pytest.raises(ConfigError, match=message) as refusal:
        target_of(url).check()
    assert "pass@word" not in str(refusal.value) and "%40" not in str(refusal.value)
    assert refusal.value.__cause__ is None and "s3cret" not in repr(target_of(url))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:p@ss-word@127.0.0.1/x",
        "postgresql://me:pa/ss-word@127.0.0.1/x",
        "postgresql://me:1/ss-word@h/x",
        "postgresql://me:%ss-word@127.0.0.1/x",
        "postgresql://[ss-word",
    ],
)
def test_a_password_that_is_not_quoted_is_not_shown(url):
    with pytest.raises(ConfigError, match="no URL of PostgreSQL") as refusal:
        target_of(url).check()
    assert "ss-word" not in str(refusal.value)


def test_a_password_is_cut_out_of_what_a_database_says():
    assert _without("pass word", psycopg.Error("no pass word here\nHINT: none")) == "no *** here"


def test_nobody_there_and_somebody_silent_are_given_up(monkeypatch):
    with pytest.raises(ConfigError, match="Connection refused"):
        target_of(f"postgresql://me:secret@127.0.0.1:{servers.free_port()}/x").check()
    monkeypatch.setenv("RECBOLE_SHEAF_CONNECT_SECONDS", "2")
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ConfigError, match="timeout"):
        target_of(f"postgresql://me:secret@127.0.0.1:{silent.getsockname()[1]}/x").check()


def test_a_server_without_pgvector_is_told_from_one_that_has_it(database, monkeypatch):
    monkeypatch.setattr("recbole_sheaf.exports.postgres.OLDEST", (99, 0))
    with pytest.raises(ConfigError, match="pgvector 0.* is on this PostgreSQL server, expected"):
        target_of(database[0]).check()


def test_more_than_pgvector_holds_is_refused(toy_settings, monkeypatch):
    embeddings = embeddings_of(restored("MMSheaf", toy_settings))
    monkeypatch.setattr("recbole_sheaf.exports.postgres_tables.MOST_COLUMNS", 10)
    with pytest.raises(DataError, match="the vectors have 24 columns"):
        Postgres("postgresql://", "x").write(embeddings)


def test_without_psycopg_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(EnvironmentMismatch, match="recbole-sheaf.postgres."):
        target_of("postgresql://localhost/x").check()


def test_the_command_exports_and_shows_no_password(toy, workplace, database, capsys):
    url, connection = database
    assert main(["run", "--model=MMSheaf", "--dataset=toy", "--result_file=run.json", *_arguments(toy)]) == 0
    checkpoint = json.loads((workplace / "run.json").read_text())["checkpoint"]
    capsys.readouterr()
    command = [sys.executable, "-c", "import sys; from recbole_sheaf.cli import main; sys.exit(main(sys.argv[1:]))"]
    done = subprocess.run(
        [*command, "export", checkpoint, f"--to={url}", "--name=shop"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "written: schema shop of database ours" in done.stdout
    assert len(connection.execute("SELECT * FROM shop.recommend('u3', 5)").fetchall()) == 5
    texts = [done.stdout, done.stderr, *(path.read_text(errors="replace") for path in workplace.rglob("*.log"))]
    assert not [text for text in texts if "pass%40word" in text or servers.PASSWORD in text]
    assert main(["export", checkpoint, f"--to={url}", "--layers"]) == 2
    assert main(["export", checkpoint, "--to=postgresql://me:secret@127.0.0.1:1/x"]) == 2
    (_, line) = capsys.readouterr().err.strip().splitlines()
    assert "127.0.0.1:1" in line and "secret" not in line

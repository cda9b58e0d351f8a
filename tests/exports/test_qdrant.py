"""Qdrant's hybrid query ranks as the model does, and collections are there whole or not at all.

By the client's embedded mode, and what a server would answer by a server of the test's own.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import numpy as np
import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.embeddings.ranking import top_lists
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.errors import ConfigError, EnvironmentMismatch
from recbole_sheaf.exports.targets import target_of
from tests.cli.test_commands import _arguments
from tests.embeddings.toys import SOME_COLD, restored
from tests.exports.servers import free_port, skip_without
from tests.exports.test_postgres import equal_lists

skip_without("qdrant_client")
pytestmark = [
    pytest.mark.slow,  # an embedded database for nearly each test
    pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection"),
]


def opened(folder):
    import qdrant_client

    return qdrant_client.QdrantClient(path=str(folder))


def recommended(client, name, token, k, parts=(0, 1, 2)):
    """By the query in the metadata, its places filled in and every limit the number of items."""
    from qdrant_client import models

    (about,) = client.retrieve(f"{name}_metadata", [0])
    mine = models.Filter(must=[models.FieldCondition(key="token", match=models.MatchValue(value=token))])
    ((user,), _) = client.scroll(f"{name}_users", scroll_filter=mine)
    body = json.dumps(about.payload["query"])
    body = body.replace(json.dumps("<id of the user's point>"), str(user.id))
    seen = [item for item, part in zip(user.payload["seen"], user.payload["parts"]) if part in parts]
    body = json.loads(body.replace(json.dumps("<seen, of its payload>"), json.dumps(seen)))
    for search in body["prefetch"]:
        search["limit"] = about.payload["n_items"]
    request = models.QueryRequest.model_validate({**body, "limit": k})
    found = client.query_points(
        f"{name}_items", query=request.query, prefetch=request.prefetch, limit=k, with_payload=True
    )
    return [(point.payload["token"], point.score) for point in found.points]


@pytest.mark.parametrize("name", ["MMSheaf", "LightGCN", "EASE"])
def test_the_hybrid_query_recommends_as_we_do(toy_settings, workplace, name):
    embeddings = embeddings_of(restored(name, {**toy_settings, **SOME_COLD}))
    assert "collections shop_items" in target_of("qdrant:db", "shop").write(embeddings)
    rows = np.arange(len(embeddings.users))
    (lists,) = top_lists(embeddings, rows, 8)
    client = opened("db")
    for row in rows:
        found = recommended(client, "shop", str(embeddings.users[row]), 8)
        equal_lists(found, embeddings.items[lists.items[row]], lists.scores[row], 1e-5)
    (about,) = client.retrieve("shop_metadata", [0])
    assert about.payload["score"] == embeddings.metadata["score"] and about.payload["model"] == name
    client.close()


def test_an_earlier_export_is_replaced_and_another_shape_refused(toy_settings, workplace):
    first, second = (embeddings_of(restored("MMSheaf", toy_settings, moved)) for moved in (0.1, 0.2))
    for each in (first, second):
        target_of("qdrant:db").check()
        target_of("qdrant:db").write(each)
    narrow = embeddings_of(restored("MMSheaf", {**toy_settings, "embedding_size": 4}))
    with pytest.raises(ConfigError, match=r"recbole_sheaf_items is there with vectors of .'vector': 24.*expected"):
        target_of("qdrant:db").write(narrow)
    client = opened("db")
    (point,) = client.retrieve("recbole_sheaf_items", [5], with_vectors=True)
    np.testing.assert_allclose(point.vector["vector"], second.item_vectors[5], rtol=1e-6)
    assert len(client.get_collections().collections) == 3
    client.close()


def test_a_write_that_fails_leaves_what_was_there(toy_settings, workplace, monkeypatch):
    embeddings = embeddings_of(restored("MMSheaf", toy_settings))

    def full(*arguments):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("qdrant_client.QdrantClient.update_collection_aliases", full)
        with pytest.raises(ConfigError, match="no space left"):
            target_of("qdrant:db").write(embeddings)
        assert not (workplace / "db").exists()
    target_of("qdrant:db").write(embeddings)
    monkeypatch.setattr("qdrant_client.QdrantClient.update_collection_aliases", full)
    with pytest.raises(ConfigError, match="no space left"):
        target_of("qdrant:db").write(embeddings)
    client = opened("db")
    assert len(client.get_collections().collections) == 3 and client.count("recbole_sheaf_users").count == 30
    client.close()


def test_folders_that_are_not_qdrants_are_refused(workplace):
    (workplace / "full").mkdir()
    (workplace / "full" / "thesis.tex").write_text("")
    (workplace / "file").write_text("")
    for place in ("full", "file", "file/below"):
        with pytest.raises(ConfigError, match="no folder of"):
            target_of(f"qdrant:{place}").check()
    target_of("qdrant:new").check()
    assert sorted(path.name for path in workplace.iterdir()) == ["file", "full"]


def test_a_folder_in_use_and_a_foreign_collection_are_refused(workplace):
    client = opened("db")
    client.create_collection("recbole_sheaf_users", vectors_config={})
    with pytest.raises(ConfigError, match="already accessed"):
        target_of("qdrant:db").check()
    client.close()
    with pytest.raises(ConfigError, match="collection recbole_sheaf_users that no export made"):
        target_of("qdrant:db").check()


def test_a_server_that_is_not_there_or_wants_another_key(monkeypatch):
    with pytest.raises(ConfigError, match="does not answer"):
        target_of(f"qdrant:http://127.0.0.1:{free_port()}").check()
    with pytest.raises(ConfigError, match="leave it out") as refusal:
        target_of("qdrant:http://me:secret@127.0.0.1:6333").check()
    assert "secret" not in str(refusal.value)
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    server = HTTPServer(("127.0.0.1", 0), Unauthorised)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(ConfigError, match="401") as refusal:
            target_of(f"qdrant:http://127.0.0.1:{server.server_port}").check()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert "secret" not in str(refusal.value) and Unauthorised.keys == {"secret"}


class Unauthorised(BaseHTTPRequestHandler):
    """Refuses every key, and keeps those that came."""

    keys: ClassVar[set[str]] = set()

    def do_GET(self):
        self.keys.add(self.headers["api-key"])
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b"Invalid API key")

    def log_message(self, *arguments):
        pass


def test_without_the_client_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    with pytest.raises(EnvironmentMismatch, match="recbole-sheaf.qdrant."):
        target_of("qdrant:db").check()


def test_the_command_exports(toy, workplace, capsys):
    assert main(["run", "--model=MMSheaf", "--dataset=toy", "--result_file=run.json", *_arguments(toy)]) == 0
    checkpoint = json.loads((workplace / "run.json").read_text())["checkpoint"]
    assert main(["export", checkpoint, "--to=qdrant:out/db", "--dtype=float16"]) == 0
    assert "collections recbole_sheaf_items, _users and _metadata of Qdrant at out/db" in capsys.readouterr().out
    client = opened("out/db")
    assert len(recommended(client, "recbole_sheaf", "u3", 5)) == 5
    client.close()


@pytest.mark.parametrize("name", ["", "1x", "x-y", "X", "x" * 41, 'x"; drop'])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(ConfigError, match="name=.* is no name there"):
        target_of("qdrant:db", name)


@pytest.mark.parametrize("given", ["mysql://host/x", "http://host", "s3:/bucket/x.npz"])
def test_other_urls_are_refused_and_not_made_folders_of(given):
    with pytest.raises(ConfigError, match="target=.* leads nowhere"):
        target_of(given)

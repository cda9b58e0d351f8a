"""Numbers for Prometheus: what is counted, under which names, and by several processes."""

import os
import re
import subprocess
import sys

import prometheus_client.values
import pytest
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.exports.sources import Source
from recbole_sheaf.serving.app import build_app
from recbole_sheaf.serving.catalogue import Catalogue
from recbole_sheaf.serving.metrics import FOLDER, Metrics, shared_numbers
from tests.serving.small_exports import numbers, small_embeddings


@pytest.fixture
def catalogue():
    return Catalogue(Source(small_embeddings("First", (0, 1, 2, 3))), version="abc")


@pytest.fixture
def client(catalogue):
    return TestClient(build_app(catalogue), base_url="http://127.0.0.1")


def requests_in(found):
    pattern = r'recbole_sheaf_requests_total\{path="(.*)",status="(\d+)"\}'
    return {match.groups(): value for name, value in found.items() if (match := re.fullmatch(pattern, name))}


def test_requests_are_counted_by_route_and_status(client):
    for body in ({"user": "u0", "k": 1}, {"user": "u1", "k": 1}, {"user": "x"}, {"usr": 1}):
        client.post("/recommend", json=body)
    client.head("/health")
    for path in ("/posters/a", "/posters/b/c", "/no/such", "/nor/this", "/%0Ax"):
        client.get(path)
    client.get("/health", headers={"Host": "elsewhere.example"})
    found = numbers(client)
    assert requests_in(found) == {
        ("/recommend", "200"): 2,
        ("/recommend", "404"): 1,
        ("/recommend", "422"): 1,
        ("/health", "200"): 1,
        ("/health", "421"): 1,
        ("/posters/{item}", "404"): 2,
        ("other", "404"): 3,
    }
    assert found['recbole_sheaf_request_seconds_count{path="/recommend"}'] == 4
    assert found['recbole_sheaf_model_workers{dataset="shop",model="First",version="abc"}'] == 1
    assert found["recbole_sheaf_stale_workers"] == 0


def test_names_are_written_in_a_line_without_control_characters():
    odd = Catalogue(Source(small_embeddings("a\x9b31m\nb", (0, 1))))
    text = TestClient(build_app(odd), base_url="http://127.0.0.1").get("/metrics").text
    assert "\x9b" not in text and 'model="a' in text and "31m" in text


def test_an_answer_that_fails_is_a_500(catalogue, monkeypatch):
    monkeypatch.setattr(Catalogue, "similar", lambda *given: 1 / 0)
    client = TestClient(build_app(catalogue), base_url="http://127.0.0.1", raise_server_exceptions=False)
    assert client.post("/similar", json={"item": "i0"}).status_code == 500
    assert requests_in(numbers(client)) == {("/similar", "500"): 1}


def test_seconds_are_those_of_the_answer(client, monkeypatch):
    clock = iter([100.0, 100.3] + [200.0] * 9)
    monkeypatch.setattr("recbole_sheaf.serving.metrics.perf_counter", lambda: next(clock))
    client.get("/health")
    found = numbers(client)
    assert found['recbole_sheaf_request_seconds_sum{path="/health"}'] == pytest.approx(0.3)
    bins = {end: found[f'recbole_sheaf_request_seconds_bucket{{le="{end}",path="/health"}}'] for end in ("0.25", "0.5")}
    assert bins == {"0.25": 0, "0.5": 1}


def test_it_is_text_for_prometheus_and_no_part_of_the_page_or_its_description(client):
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=")
    assert "content-security-policy" not in answer.headers
    assert "/metrics" not in client.get("/openapi.json").json()["paths"]


@pytest.fixture
def process(monkeypatch):
    """Makes what is counted from then on that of a process, as if this one were it."""

    def become(pid):
        value = prometheus_client.values.MultiProcessValue(lambda: pid)
        monkeypatch.setattr("prometheus_client.metrics.values.ValueClass", value)

    return become


def test_any_process_says_what_all_did_and_forgets_those_that_ended(catalogue, monkeypatch, process):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.delenv(FOLDER, raising=False)
    with shared_numbers(2):
        for pid in (os.getpid(), ended.pid):
            process(pid)
            client = TestClient(build_app(catalogue), base_url="http://127.0.0.1")
            client.get("/health")
            client.get("/health")
        found = numbers(client)
        assert requests_in(found) == {("/health", "200"): 4}, "counts of a process stay when it ends"
        assert found['recbole_sheaf_model_workers{dataset="shop",model="First",version="abc"}'] == 1


def test_a_folder_that_goes_away_is_a_503_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER, str(tmp_path / "gone"))
    with pytest.raises(HTTPException, match="503.*cannot be read; start the server again"):
        Metrics().text()


def test_workers_have_a_folder_of_their_own_that_goes_with_them(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with shared_numbers(2):
        inside = os.environ[FOLDER]
        assert os.path.dirname(inside) == str(tmp_path) and os.path.isdir(inside)
    assert os.environ[FOLDER] == str(tmp_path) and not os.listdir(tmp_path)
    with shared_numbers(1):
        assert FOLDER not in os.environ
    assert os.environ[FOLDER] == str(tmp_path)


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_cannot_be_used_is_refused(monkeypatch, tmp_path, there):
    place = tmp_path / "numbers"
    if there:
        place.write_text("a file")
    monkeypatch.setenv(FOLDER, str(place))
    said = rf"workers cannot keep their numbers in {FOLDER}, .*numbers, \(.*\); set {FOLDER} to one of yours"
    with pytest.raises(ConfigError, match=said), shared_numbers(2):
        pass

"""Another file in the place of the one that is served: taken whole, or said not to be."""

import logging
import time
from functools import partial

import pytest
from starlette.testclient import TestClient

from recbole_sheaf.cli import serve
from recbole_sheaf.errors import DataError
from recbole_sheaf.serving.app import build_app
from recbole_sheaf.serving.metrics import Metrics
from recbole_sheaf.serving.watching import Served, Watch, Watcher
from tests.serving.small_exports import best_of, catalogue_of, numbers, options_of, write_small

HERE = "http://127.0.0.1"


@pytest.fixture
def path(tmp_path):
    write_small(tmp_path / "shop.npz")
    return tmp_path / "shop.npz"


class Looked:
    """A watcher of a path, how often it read, and what is served."""

    def __init__(self, path):
        self.reads = 0
        self.path, self.served, self.metrics = path, Served(catalogue_of(path)), Metrics()
        self.metrics.serves(self.served.catalogue)
        self.watcher = Watcher(Watch(path, 1.0, self.read), self.served, self.metrics)

    def read(self):
        self.reads += 1
        return catalogue_of(self.path)

    def look(self, times=2):
        for _ in range(times):
            self.watcher.look()
        return self.served.catalogue.version

    def says(self, name):
        lines = self.metrics.text().decode().splitlines()
        (value,) = (line.rsplit(" ", 1)[1] for line in lines if line.startswith(f"recbole_sheaf_{name} "))
        return float(value)


def test_a_replaced_file_is_taken_at_the_second_look(path, caplog):
    looked = Looked(path)
    before = looked.served.catalogue.version
    assert looked.look() == before and looked.reads == 0
    caplog.set_level(logging.INFO, "recbole_sheaf.serving")
    version = write_small(path, "Second", (3, 2, 1, 0))
    assert looked.look(1) == before and looked.reads == 0
    assert looked.look(1) == version and looked.reads == 1
    assert looked.look(3) == version and looked.reads == 1
    assert f"version {version} after {before}" in caplog.text
    assert looked.says('exports_total{result="taken"}') == 1
    assert looked.says(f'model_workers{{dataset="shop",model="Second",version="{version}"}}') == 1
    assert before not in looked.metrics.text().decode()
    assert looked.says("model_made_timestamp_seconds") == pytest.approx(path.stat().st_mtime, abs=1e-3)


def test_a_link_that_points_elsewhere_is_taken(tmp_path):
    versions = [write_small(tmp_path / f"{name}.npz", name) for name in ("First", "Second")]
    link = tmp_path / "current.npz"
    link.symlink_to("First.npz")
    looked = Looked(link)
    assert looked.look() == versions[0]
    (tmp_path / "new").symlink_to("Second.npz")
    (tmp_path / "new").replace(link)
    assert looked.look() == versions[1]


def test_a_file_that_is_being_written_is_left_alone(path):
    looked = Looked(path)
    whole = path.read_bytes()
    for end in range(100, 1000, 100):
        path.write_bytes(whole[:end])
        looked.look(1)
    assert looked.reads == 0 and looked.served.stale is None


def test_a_broken_file_changes_nothing_and_is_said_to_be_one(path, caplog):
    looked = Looked(path)
    before = looked.served.catalogue.version
    path.write_bytes(b"half of an export")
    assert looked.look(5) == before and looked.reads == 1, "read once, or the log fills"
    assert looked.says("stale_workers") == 1 and looked.says('exports_total{result="refused"}') == 1
    assert looked.served.stale.startswith("DataError: shop.npz ") and str(path.parent) not in looked.served.stale
    assert looked.served.stale.endswith(f"version {before} is served on")
    assert len(caplog.records) == 1 and "shop.npz" in caplog.text
    version = write_small(path, "Second")
    assert looked.look() == version and looked.served.stale is None
    assert looked.says("stale_workers") == 0 and looked.says('exports_total{result="taken"}') == 1


def test_a_file_that_vanishes_is_served_on_until_it_is_back(path, caplog):
    looked = Looked(path)
    before = looked.served.catalogue.version
    away = path.with_name("away.npz")
    path.rename(away)
    assert looked.look(1) == before and looked.served.stale is None, "it may be just replaced"
    assert looked.look(4) == before and looked.reads == 0
    assert looked.served.stale == f"shop.npz is gone; version {before} is served on"
    assert f"{path} is gone" in caplog.text and len(caplog.records) == 1
    away.rename(path)
    assert looked.look(1) == before and looked.served.stale is None and looked.says("stale_workers") == 0
    path.rename(away)
    looked.look()
    assert looked.served.stale is not None, "said again when it goes again"


def test_a_file_that_changes_while_it_is_read_is_refused(path, monkeypatch):
    states = iter([(1, 1, 1, 1), (1, 1, 1, 2)])
    monkeypatch.setattr(serve, "state_of", lambda path: next(states))
    with pytest.raises(DataError, match="was written to while it was read; write it whole and rename it"):
        catalogue_of(path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_nobody_foresaw_is_said(path):
    looked = Looked(path)
    looked.watcher = Watcher(Watch(path, 0.01, lambda: 1 / 0), looked.served, looked.metrics)
    write_small(path, "Second")
    with looked.watcher.looking():
        _until(lambda: looked.served.stale)
    assert looked.served.stale.startswith("nobody looks for another file any more")


def test_an_application_takes_another_file_and_says_which_answers(path):
    first = catalogue_of(path)
    app = build_app(first, watch=Watch(path, 0.05, partial(serve._catalogue, options_of(path))))
    with TestClient(app, base_url=HERE) as client:
        assert best_of(client) == ["i0", "i1", "i2", "i3"] and client.get("/health").json()["status"] == "ok"
        version = write_small(path, "Second", (3, 2, 1, 0))
        _until(lambda: client.get("/health").json()["version"] == version)
        assert best_of(client) == ["i3", "i2", "i1", "i0"]
        path.write_bytes(b"broken")
        _until(lambda: client.get("/health").json()["status"] == "stale")
        health = client.get("/health").json()
        assert health["version"] == version and "shop.npz" in health["reason"]
        assert best_of(client) == ["i3", "i2", "i1", "i0"]
        assert numbers(client)["recbole_sheaf_stale_workers"] == 1


def test_each_answer_says_its_model_and_version(path):
    version = catalogue_of(path).version
    client = TestClient(build_app(catalogue_of(path)), base_url=HERE)
    asked = [("/recommend", {"user": "u0", "k": 1}), ("/recommend", {"users": ["u0", "u1"], "k": 1})]
    asked += [("/similar", {"item": "i0", "k": 1}), ("/embed", {"item": "i0"})]
    answers = [client.post(to, json=body) for to, body in asked] + [client.get("/health")]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert (answer.json()["model"], answer.json()["version"]) == ("First", version)
    assert "version" not in answers[1].json()["lists"][0]
    refused = [client.post("/recommend", json={"user": "nobody"}), client.get("/absent"), client.post("/embed")]
    assert [answer.status_code for answer in refused] == [404, 404, 422]
    for answer in answers + refused:
        assert answer.headers["model-version"] == version


def test_an_answer_is_of_the_model_it_began_with(path, monkeypatch):
    """Another takes its place while the answer is computed: numbers and version are the old one's."""
    first = catalogue_of(path)
    app = build_app(first, seconds=60.0, watch=Watch(path, 0.05, partial(serve._catalogue, options_of(path))))
    with TestClient(app, base_url=HERE) as client:
        recommend = type(first).recommend

        def slowly(self, *given, **named):
            if self is first:
                second = write_small(path, "Second", (3, 2, 1, 0))
                _until(lambda: client.get("/health").json()["version"] == second)
            return recommend(self, *given, **named)

        monkeypatch.setattr(type(first), "recommend", slowly)
        answer = client.post("/recommend", json={"user": "u0", "k": 1})
        assert answer.json()["items"][0]["item"] == "i0"
        assert (answer.json()["model"], answer.headers["model-version"]) == ("First", first.version)


def _until(holds, seconds=50):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)

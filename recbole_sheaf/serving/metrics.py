"""Numbers for Prometheus: requests by path and status, their seconds, and which export each process answers from.

Several processes share a folder of small files that prometheus_client maps into memory; whichever is asked adds up all.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.exceptions import HTTPException

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.files.plain_text import one_line
from recbole_sheaf.serving.catalogue import Catalogue

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # by which prometheus_client knows, when it is imported, that numbers are shared
MEDIA_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # ends of the histogram's bins
_OF_PROCESS = re.compile(r"_(\d+)\.db")


class Metrics:
    """Numbers of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own: Any = {"namespace": "recbole_sheaf", "registry": self._registry}
        live: Any = {**own, "multiprocess_mode": "livesum"}
        named = ["model", "dataset", "version"]
        self._requests = Counter("requests", "Answers.", ["path", "status"], **own)
        self._seconds = Histogram("request_seconds", "From a head to its answer.", ["path"], buckets=SECONDS, **own)
        self._workers = Gauge("model_workers", "Processes that answer from this export.", named, **live)
        self._made = Gauge(
            "model_made_timestamp_seconds", "When the oldest export was written.", multiprocess_mode="livemin", **own
        )
        self._stale = Gauge("stale_workers", "Processes that serve another file than lies at its path.", **live)
        self._exports = Counter("exports", "Files found in the place of what was served.", ["result"], **own)
        for result in ("taken", "refused"):
            self._exports.labels(result)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """One more answer."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def serves(self, catalogue: Catalogue, before: Catalogue | None = None) -> None:
        """This process answers from a catalogue, and no longer from the one before."""
        if before is not None:
            self._workers.labels(*_labels(before)).set(0)  # which a file that is shared keeps
            self._workers.remove(*_labels(before))
            self._exports.labels("taken").inc()
        self._workers.labels(*_labels(catalogue)).set(1)
        self._made.set(catalogue.made)

    def stale(self, stale: bool, refused: bool = False) -> None:
        """Whether another file lies where the one that is served was, and whether it is the first to say so."""
        self._stale.set(stale)
        if refused:
            self._exports.labels("refused").inc()

    def text(self) -> bytes:
        """All numbers, of all processes that share them, as Prometheus reads them.

        Raises:
            HTTPException: 503 if the folder they share went away.
        """
        folder = os.environ.get(FOLDER)
        if folder is None:
            return generate_latest(self._registry)
        try:
            _forget_the_dead(Path(folder))
            together = CollectorRegistry()
            MultiProcessCollector(together, folder)
            return generate_latest(together)
        except (OSError, ValueError) as error:  # a ValueError where it is no folder
            sentence = f"{folder}, where processes keep their numbers, cannot be read; start the server again"
            raise HTTPException(503, sentence) from error


class Observed:
    """Counts answers, and gives one catalogue to all that a request asks, by whose version its answer is headed.

    Paths are those of routes, so that no request makes a name of its own; all others are one.
    """

    def __init__(self, app: Any, served: Any, metrics: Metrics, routes: Any) -> None:
        self.app, self.served, self.metrics, self.routes = app, served, metrics, routes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        catalogue, start, status = self.served.catalogue, perf_counter(), 500
        version = (b"model-version", catalogue.version.encode("latin-1"))

        async def headed(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), version]}
            await send(message)

        try:
            await self.app({**scope, "catalogue": catalogue}, receive, headed)
        finally:
            self.metrics.answered(self._path(scope["path"]), status, perf_counter() - start)

    def _path(self, asked: str) -> str:
        if asked.startswith("/posters/"):
            return "/posters/{item}"
        return asked if any(asked == route.path for route in self.routes) else "other"


@contextlib.contextmanager
def shared_numbers(workers: int) -> Iterator[None]:
    """A context in which processes that are started keep their numbers in a folder of their own, gone afterwards.

    It lies in ``PROMETHEUS_MULTIPROC_DIR``, where that is set, or else where temporary files do. A single process keeps
    its numbers to itself.

    Raises:
        ConfigError: if none can be made there.
    """
    given = os.environ.pop(FOLDER, None)
    try:
        if workers == 1:
            yield
            return
        with _folder_in(given) as folder:
            os.environ[FOLDER] = folder
            yield
    finally:
        os.environ.pop(FOLDER, None)
        if given is not None:
            os.environ[FOLDER] = given


def _folder_in(given: str | None) -> "tempfile.TemporaryDirectory[str]":
    prefix = "recbole-sheaf-metrics-"
    try:
        return tempfile.TemporaryDirectory(prefix=prefix, dir=given or None, ignore_cleanup_errors=True)
    except OSError as error:
        where = f"in {FOLDER}, {given}," if given else "where temporary files lie"
        raise ConfigError(
            f"workers cannot keep their numbers {where} ({error.strerror or error}); set {FOLDER} to one of yours, "
            "in memory or on a local disk"
        ) from error


def _forget_the_dead(folder: Path) -> None:
    """What a process said of itself goes with it; its counts stay."""
    for file in folder.glob("gauge_live*.db"):
        found = _OF_PROCESS.search(file.name)
        if found and not psutil.pid_exists(int(found[1])):
            with contextlib.suppress(FileNotFoundError):  # another process was asked too
                mark_process_dead(int(found[1]), str(folder))


def _labels(catalogue: Catalogue) -> tuple[str, str, str]:
    about = catalogue.about()
    return one_line(about["model"]), one_line(about["dataset"]), about["version"]

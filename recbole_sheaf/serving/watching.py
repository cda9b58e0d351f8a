"""What is served, and another file in its place taken without a stop.

A file is read beside the one that is served, once it has been the same at two looks, and takes its place whole, between
two requests. One that cannot be read changes nothing but what /health, /metrics and the log say. No request names one.
"""

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from recbole_sheaf.errors import SheafError, as_sentence
from recbole_sheaf.files.plain_text import one_line
from recbole_sheaf.files.regular_files import FileState, state_of
from recbole_sheaf.serving.catalogue import Catalogue
from recbole_sheaf.serving.metrics import Metrics

_FOLDERS = re.compile(r"(?<![\w.])/(?:[^/\s]+/)+")  # which concern nobody who asks
LOGGER = logging.getLogger("recbole_sheaf.serving")


@dataclass(eq=False)
class Served:
    """What answers.

    Attributes:
        stale: why what lies at its path is not what is served, in a sentence without folders; None where it is.
    """

    catalogue: Catalogue
    stale: Optional[str] = None


@dataclass(frozen=True)
class Watch:
    """Where to look for another file, how often, and how to read it."""

    path: Path
    seconds: float
    read: Callable[[], Catalogue]


class Watcher:
    """Looks at a path, and holds what was seen there."""

    def __init__(self, watch: Watch, served: Served, metrics: Metrics) -> None:
        self._watch, self._served, self._metrics = watch, served, metrics
        self._before: Optional[FileState] = served.catalogue.state
        self._refused: Optional[tuple[Optional[FileState]]] = None  # of one that is not to be read again
        self._ended = threading.Event()

    def look(self) -> None:
        """Take what lies at the path if it is another file than the one served, and the same as at the look before."""
        found, before = state_of(self._watch.path), self._before
        self._before = found
        if found == self._served.catalogue.state:
            self._served.stale, self._refused = None, None
            self._metrics.stale(False)
        elif found == before and self._refused != (found,):
            self._refused = (found,)  # until it is read
            self._take(found)

    def _take(self, found: Optional[FileState]) -> None:
        path = self._watch.path
        if found is None:
            self._refuse(f"{path} is gone")
            return
        try:
            catalogue = self._watch.read()
        except (SheafError, OSError, MemoryError) as error:
            self._refuse(as_sentence(error))
            return
        before, self._served.catalogue = self._served.catalogue, catalogue
        self._served.stale, self._refused = None, None
        self._metrics.serves(catalogue, before)
        self._metrics.stale(False)
        LOGGER.info("%s is served from now on, version %s after %s", path, catalogue.version, before.version)

    def _refuse(self, sentence: str) -> None:
        version = self._served.catalogue.version
        said = one_line(f"{sentence.rstrip('.')}; version {version} is served on")
        LOGGER.warning("%s", said)
        self._served.stale = _FOLDERS.sub("", said.replace(f"{self._watch.path.parent}/", ""))
        self._metrics.stale(True, refused=True)

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """A context in which a thread looks every so often; the end of the process does not wait for what it reads."""
        threading.Thread(target=self._look_on, name="watch", daemon=True).start()
        try:
            yield
        finally:
            self._ended.set()

    def _look_on(self) -> None:
        try:
            while not self._ended.wait(self._watch.seconds):
                self.look()
        finally:
            if not self._ended.is_set():  # what nobody foresaw, which the thread's end prints
                self._refuse("nobody looks for another file any more; start the server again")

"""Embeddings into Qdrant: dense and sparse vectors of items and users, and the hybrid query that adds them up.

| collection | a point                                                                             |
|------------|-------------------------------------------------------------------------------------|
| `items`    | dense ``vector`` and ``embedding``, sparse ``coefficients``; payload token, is_new  |
| `users`    | dense ``vector``, sparse ``history``; payload token, and ``seen``: ids of items     |
| `metadata` | one point, whose payload says how a score is computed, with a ready ``query``        |

Each name, behind the prefix, is an alias. Collections are filled first and the aliases are moved together at the end,
so that whoever asks meanwhile finds what was there before, whole. No message holds a key.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from recbole_sheaf.embeddings.embeddings import Embeddings
from recbole_sheaf.errors import ConfigError, first_line
from recbole_sheaf.exports.qdrant_points import collections_of
from recbole_sheaf.extras import from_extra
from recbole_sheaf.reachable import connect_seconds, refuse_unreachable

PREFIX = "qdrant:"
KEY_VARIABLE = "QDRANT_API_KEY"
AT_ONCE = 256  # points of a request


@dataclass(frozen=True)
class Qdrant:
    """Qdrant to write to.

    Attributes:
        place: ``http://host:6333``, with the key in ``QDRANT_API_KEY``, or a folder for the client's embedded mode.
        name: the beginning of the collections' names.
    """

    place: str
    name: str

    def check(self) -> None:
        """Refuse, before any work, what cannot be written.

        Raises:
            ConfigError: if nobody answers within 15 seconds, the key is refused, the folder is no Qdrant's or in use.
            EnvironmentMismatch: if qdrant-client is not installed.
        """
        import_qdrant()
        if not self._remote and not Path(self.place).exists():
            _refuse_unwritable(Path(self.place))
            return
        with self._connected() as client:
            self._aliases(client)

    def write(self, embeddings: Embeddings) -> str:
        """Write all collections or none; gives what was written, in a few words.

        Raises:
            ConfigError: as :meth:`check`, and if collections of these names hold vectors of other widths.
        """
        run, made, done = uuid.uuid4().hex[:8], [], False
        is_fresh = not self._remote and not Path(self.place).exists()
        try:
            with self._connected() as client:
                before = self._aliases(client)
                collections = collections_of(embeddings, self.name)
                self._refuse_other_shapes(client, before, collections)
                try:
                    for kind, (settings, points) in collections.items():
                        made.append(f"{self.name}_{kind}_{run}")
                        client.create_collection(made[-1], **settings)
                        client.upload_points(made[-1], points, batch_size=AT_ONCE, wait=True)
                    self._move_aliases(client, made, before)
                    done = True
                finally:
                    for name in before.values() if done else made:
                        client.delete_collection(name)
        finally:
            if is_fresh and not done:
                shutil.rmtree(self.place, ignore_errors=True)
        return f"collections {self.name}_items, _users and _metadata of Qdrant at {self.place}; the last has the query"

    @property
    def _remote(self) -> bool:
        return self.place.startswith(("http://", "https://"))

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """A client, closed at the end; what Qdrant says becomes a sentence."""
        qdrant = import_qdrant()
        from qdrant_client.http.exceptions import ApiException

        try:
            client = self._client(qdrant)
            try:
                yield client
            finally:
                client.close()
        except (ApiException, RuntimeError, OSError) as error:
            raise ConfigError(
                f"Qdrant at {self.place} refuses ({first_line(error)}); nothing is written; see that it runs, that "
                f"{KEY_VARIABLE} holds its key, and that no other program has its folder"
            ) from None

    def _client(self, qdrant: Any) -> Any:
        if not self._remote:
            _refuse_strange_folder(Path(self.place))
            return qdrant.QdrantClient(path=self.place)
        parts = urlsplit(self.place)
        if "@" in parts.netloc:
            raise ConfigError(f"the URL of Qdrant holds a name or a password; leave it out and set {KEY_VARIABLE}")
        refuse_unreachable("Qdrant", self.place, "start it, or name a folder: target=qdrant:FOLDER")
        return qdrant.QdrantClient(
            url=self.place,
            port=parts.port or (443 if parts.scheme == "https" else 6333),
            api_key=os.environ.get(KEY_VARIABLE),
            timeout=max(1, round(connect_seconds())),
            check_compatibility=False,
        )

    def _aliases(self, client: Any) -> dict[str, str]:
        """Our aliases and the collections behind them.

        Raises:
            ConfigError: if a collection has the very name of one.
        """
        ours = [f"{self.name}_{kind}" for kind in ("items", "users", "metadata")]
        taken = {each.name for each in client.get_collections().collections} & set(ours)
        if taken:
            raise ConfigError(
                f"Qdrant at {self.place} has a collection {min(taken)} that no export made; name another by name=..."
            )
        named = {each.alias_name: each.collection_name for each in client.get_aliases().aliases}
        return {alias: named[alias] for alias in ours if alias in named}

    def _refuse_other_shapes(self, client: Any, before: dict[str, str], collections: dict[str, Any]) -> None:
        for kind, (settings, _) in collections.items():
            if (name := before.get(f"{self.name}_{kind}")) is None:
                continue
            found = _widths(client.get_collection(name).config.params.vectors)
            wanted = _widths(settings["vectors_config"])
            if found != wanted:
                raise ConfigError(
                    f"collection {self.name}_{kind} is there with vectors of {found}, expected {wanted}; delete it, or "
                    "name another by name=..."
                )

    def _move_aliases(self, client: Any, made: list[str], before: dict[str, str]) -> None:
        from qdrant_client import models

        gone = [models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name)) for name in before]
        to = [
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name=name, alias_name=name.rpartition("_")[0])
            )
            for name in made
        ]
        client.update_collection_aliases([*gone, *to])


def import_qdrant() -> Any:
    """qdrant-client.

    Raises:
        EnvironmentMismatch: if it is not installed.
    """
    with from_extra("qdrant", "Qdrant", "name a .duckdb file"):
        import qdrant_client
    return qdrant_client


def _refuse_unwritable(folder: Path) -> None:
    above = folder.absolute().parent
    while not above.exists():
        above = above.parent
    if not str(folder).strip() or not above.is_dir() or not os.access(above, os.W_OK):
        raise ConfigError(f"{folder} cannot be made, since {above} is no folder of yours; give another after qdrant:")


def _refuse_strange_folder(folder: Path) -> None:
    if folder.exists() and not (folder / "meta.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there and is no folder of Qdrant's; give another after qdrant:")


def _widths(vectors: Any) -> dict[str, int]:
    return {name: each.size for name, each in vectors.items()} if isinstance(vectors, dict) else {}

"""Sentences into vectors by a sentence-transformers model, by its name on the hub or from a folder."""

import functools
import hashlib
from pathlib import Path
from typing import Any, Optional

import numpy as np

from recbole_sheaf.errors import ConfigError, first_line
from recbole_sheaf.extras import from_extra
from recbole_sheaf.features.encoding import Encoder

BATCH = 32


def sentence_encoder(name: str, batch_size: int = BATCH, max_length: Optional[int] = None) -> Encoder:
    """The encoder of a sentence-transformers model.

    Args:
        name: on the hub, or of a folder.
        batch_size: texts at once.
        max_length: word pieces that are read of a text; by default as many as the model says.

    Raises:
        EnvironmentMismatch: if sentence-transformers is not installed.
        ConfigError: if there is no such model here and the hub does not give it.
    """
    with from_extra("text", f"the sentence encoder {name}", "leave encoder=... out for TF-IDF"):
        model = loaded(name, functools.partial(_sentence_model, name))
    if max_length is not None:
        model.max_seq_length = max_length

    def encode(texts: Any) -> list[Any]:
        rows = model.encode(list(texts), batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True)
        return list(np.asarray(rows, np.float32))

    return Encoder(f"sentence-transformers {identity(name)} {model.max_seq_length}", encode, batch_size)


def _sentence_model(name: str) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(name, device="cpu", trust_remote_code=False)


def loaded(name: str, load: Any) -> Any:
    """A model loaded from a folder or from the hub, or refused in a sentence.

    Raises:
        ConfigError: naming the model and the reason.
        ModuleNotFoundError: if a package is not installed, for which an extra may be named around this.
    """
    try:
        return load()
    except ModuleNotFoundError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ConfigError(
            f"the model '{name}' cannot be loaded ({first_line(error)[:200]}); name a folder that holds it, or a model "
            "of the hub where the hub can be reached"
        ) from error


def identity(name: str) -> str:
    """What names a model's weights: its name on the hub, or a hash of every file of its folder."""
    folder = Path(name)
    if not folder.is_dir():
        return name
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()

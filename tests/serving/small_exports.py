"""Exports of a few numbers, written in a moment, whose lists are known without computing."""

import hashlib

import numpy as np

from recbole_sheaf.cli import serve
from recbole_sheaf.embeddings.embeddings import Block, Embeddings, Histories
from recbole_sheaf.exports import write_embeddings

NOBODY = np.zeros(0, dtype=np.int64)


def small_embeddings(model, best):
    """Two users without histories who want items in the order of ``best``."""
    places = np.argsort(np.asarray(best))
    return Embeddings(
        users=np.array(["u0", "u1"]),
        items=np.array([f"i{item}" for item in range(len(best))]),
        user_vectors=np.ones((2, 1), dtype=np.float32),
        item_vectors=-places[:, None].astype(np.float32),
        blocks=(Block("id", 0, 1),),
        item_sources=np.zeros((len(best), 0), dtype=np.float32),
        histories=Histories.of(2, NOBODY, NOBODY, NOBODY),
        metadata={"model": model, "dataset": "shop"},
    )


def write_small(path, model="First", best=(0, 1, 2, 3)):
    """Written beside and renamed; gives the version that an engineer would compute."""
    beside = path.with_name(f"beside-{path.name}")
    write_embeddings(small_embeddings(model, best), beside)
    beside.replace(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def options_of(path, *more):
    return serve.parser().parse_args([str(path), *more])


def catalogue_of(path):
    return serve._catalogue(options_of(path))


def best_of(client, k=4):
    answer = client.post("/recommend", json={"user": "u0", "k": k})
    assert answer.status_code == 200, answer.text
    return [item["item"] for item in answer.json()["items"]]


def numbers(client):
    """What /metrics says: a number by name and labels as they are written."""
    lines = client.get("/metrics").text.splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

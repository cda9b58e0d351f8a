"""Embeddings as points of Qdrant, and the hybrid query whose score is the model's.

An inner product is a dense search, the item sheaf's part a sparse one with the user's history; a formula adds the two.
What neither finds among its first ``limit`` is not seen, so that with a limit of all items the lists are exact. To that
end everything has a dense vector, of one zero where the model has none, and a history says one thing more than items
hear, since Qdrant keeps no empty vector and finds no item of which a sparse query says nothing.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from recbole_sheaf.embeddings.embeddings import TRAIN, Embeddings
from recbole_sheaf.exports.arrays import as_metadata

LIMIT = 1000  # candidates of each search
USER, SEEN = "<id of the user's point>", "<seen, of its payload>"

Collection = tuple[dict[str, Any], Iterator[Any]]  # settings, points


def collections_of(embeddings: Embeddings, name: str) -> dict[str, Collection]:
    """What is to be written, points made while they are."""
    from qdrant_client import models

    half = embeddings.metadata["dtype"] == "float16"
    datatype = models.Datatype.FLOAT16 if half else models.Datatype.FLOAT32
    widths = {"vector": max(1, embeddings.item_vectors.shape[1]), "embedding": embeddings.embeddings.shape[1]}
    distances = {"vector": models.Distance.DOT, "embedding": models.Distance.COSINE}
    dense = {
        key: models.VectorParams(size=width, distance=distances[key], datatype=datatype)
        for key, width in widths.items()
        if width
    }
    of_users = {key: params for key, params in dense.items() if key == "vector"}
    by = {"coefficients": models.SparseVectorParams()} if embeddings.coefficients is not None else {}
    own = {"history": models.SparseVectorParams()}
    return {
        "items": ({"vectors_config": dense, "sparse_vectors_config": by}, _items(embeddings, bool(by))),
        "users": ({"vectors_config": of_users, "sparse_vectors_config": own}, _users(embeddings)),
        "metadata": ({"vectors_config": {}}, _metadata(embeddings, name)),
    }


def hybrid_query(embeddings: Embeddings, name: str) -> dict[str, Any]:
    """The body of a request to the items' points/query, with two places to fill in: ``USER`` and ``SEEN``."""
    unseen = {"must_not": [{"has_id": SEEN}]}
    searches = [("vector", "vector")]
    searches += [("coefficients", "history")] if embeddings.coefficients is not None else []
    prefetch = [
        {
            "query": USER,
            "using": ours,
            "lookup_from": {"collection": f"{name}_users", "vector": theirs},
            "filter": unseen,
            "limit": LIMIT,
        }
        for ours, theirs in searches
    ]
    scores = [f"$score[{place}]" for place in range(len(prefetch))]
    formula = {"formula": {"sum": scores}, "defaults": dict.fromkeys(scores, 0.0)}
    return {"prefetch": prefetch, "query": formula, "limit": 20, "with_payload": ["token"]}


def _items(embeddings: Embeddings, has_coefficients: bool) -> Iterator[Any]:
    from qdrant_client import models

    n = len(embeddings.items)
    is_new = np.zeros(n, dtype=bool) if embeddings.item_is_new is None else embeddings.item_is_new
    for row, token in enumerate(embeddings.items.tolist()):
        dense = {"vector": embeddings.item_vectors[row], "embedding": embeddings.embeddings[row]}
        vector: dict[str, Any] = {key: each.tolist() for key, each in dense.items() if len(each)}
        vector.setdefault("vector", [0.0])
        if has_coefficients and (into_item := _sparse(embeddings.coefficients, row)):
            vector["coefficients"] = into_item
        yield models.PointStruct(id=row, vector=vector, payload={"token": token, "is_new": bool(is_new[row])})


def _users(embeddings: Embeddings) -> Iterator[Any]:
    from qdrant_client import models

    histories = embeddings.histories
    chosen = histories.matrix(np.arange(len(embeddings.users)), [TRAIN], len(embeddings.items))
    for row, token in enumerate(embeddings.users.tolist()):
        mine = slice(histories.offsets[row], histories.offsets[row + 1])
        items = chosen.indices[chosen.indptr[row] : chosen.indptr[row + 1]].tolist()
        history = models.SparseVector(indices=[*items, len(embeddings.items)], values=[1.0] * (len(items) + 1))
        vector: dict[str, Any] = {"vector": embeddings.user_vectors[row].tolist() or [0.0], "history": history}
        seen = {"seen": histories.items[mine].tolist(), "parts": histories.parts[mine].tolist()}
        yield models.PointStruct(id=row, vector=vector, payload={"token": token, **seen})


def _metadata(embeddings: Embeddings, name: str) -> Iterator[Any]:
    from qdrant_client import models

    query = hybrid_query(embeddings, name)
    how = (
        f"find the user's point in {name}_users by the payload's token, put its id and its seen into 'query', and send "
        f"that to {name}_items/points/query; lists are exact where each limit is the number of items"
    )
    payload = {**as_metadata(embeddings), "n_items": len(embeddings.items), "query": query, "how_to_query": how}
    yield models.PointStruct(id=0, vector={}, payload=payload)


def _sparse(matrix: sparse.csc_matrix, row: int) -> Any:
    """A column; None where there is nothing."""
    from qdrant_client import models

    mine = slice(matrix.indptr[row], matrix.indptr[row + 1])
    places = matrix.indices[mine].tolist()
    return models.SparseVector(indices=places, values=matrix.data[mine].tolist()) if places else None

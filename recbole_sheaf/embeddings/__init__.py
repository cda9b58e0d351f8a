"""Embeddings of a trained model to take away: read out, ranked from, explained.

A score is an inner product of a user's and an item's vector, plus, where a model has maps from item to item, a sum of
coefficients over the user's history (:class:`Embeddings`). From these pieces alone lists are made that are the model's
(:func:`top_lists`, :func:`similar_items`), new users and new items are placed with everything else frozen
(:func:`with_users`, :func:`place_items`), and a score is taken apart (:func:`explain`).
:mod:`recbole_sheaf.exports` writes them to files and reads them back.

A name is imported when it is asked for: what answers from an exported file wants neither RecBole nor the models.
"""

from typing import TYPE_CHECKING

from recbole_sheaf.lazy_names import imported_on_demand

if TYPE_CHECKING:
    from recbole_sheaf.embeddings.embeddings import Block, Embeddings, Histories
    from recbole_sheaf.embeddings.explanation import Explanation, explain
    from recbole_sheaf.embeddings.new_items import NewItems, place_items, read_new_items
    from recbole_sheaf.embeddings.new_users import with_users
    from recbole_sheaf.embeddings.ranking import Lists, top_lists
    from recbole_sheaf.embeddings.reading import embeddings_of
    from recbole_sheaf.embeddings.similarity import similar_items
    from recbole_sheaf.errors import NoPieces

_WHERE = {
    "Block": "embeddings.embeddings",
    "Embeddings": "embeddings.embeddings",
    "Histories": "embeddings.embeddings",
    "Explanation": "embeddings.explanation",
    "explain": "embeddings.explanation",
    "NewItems": "embeddings.new_items",
    "place_items": "embeddings.new_items",
    "read_new_items": "embeddings.new_items",
    "with_users": "embeddings.new_users",
    "Lists": "embeddings.ranking",
    "top_lists": "embeddings.ranking",
    "NoPieces": "errors",
    "embeddings_of": "embeddings.reading",
    "similar_items": "embeddings.similarity",
}

__all__ = [
    "Block",
    "Embeddings",
    "Explanation",
    "Histories",
    "Lists",
    "NewItems",
    "NoPieces",
    "embeddings_of",
    "explain",
    "place_items",
    "read_new_items",
    "similar_items",
    "top_lists",
    "with_users",
]

__getattr__ = imported_on_demand(__name__, _WHERE)

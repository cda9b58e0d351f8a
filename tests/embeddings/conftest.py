"""Embeddings that many tests read, made once for each model."""

import functools

import pytest

from recbole_sheaf.embeddings.reading import embeddings_of
from tests.embeddings.toys import SOME_COLD, restored_in


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Gives the embeddings of a model of the toy dataset, some of its items cold; to be read alone."""
    return functools.cache(lambda name: embeddings_of(restored_in(tmp_path_factory.mktemp("once"), name, SOME_COLD)))

"""A small catalogue and a client of it; the model is made once, since no request changes anything."""

import numpy as np
import pytest
from starlette.testclient import TestClient

from recbole_sheaf.embeddings.reading import embeddings_of, without_pieces
from recbole_sheaf.exports.sources import Source
from recbole_sheaf.serving.app import build_app
from recbole_sheaf.serving.catalogue import Catalogue
from tests.embeddings.toys import SOME_COLD, restored_in

ITEM_FILE = "item_id:token\tmovie_title:token_seq\n" + "".join(f"i{item}\tItem no. {item}\n" for item in range(60))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """MMSheaf on the toy dataset, as a checkpoint gives it."""
    return restored_in(tmp_path_factory.mktemp("served"), "MMSheaf", SOME_COLD)


@pytest.fixture(scope="session")
def embeddings(model):
    return embeddings_of(model)


@pytest.fixture(scope="session")
def scores_alone(model):
    """A source of which the model alone makes the scores."""

    def scores(rows):
        return np.tile(np.arange(60.0), (len(rows), 1))

    return Source(without_pieces(model), scores)


def client_of(catalogue):
    return TestClient(build_app(catalogue), base_url="http://127.0.0.1")


@pytest.fixture
def client(embeddings):
    return client_of(Catalogue(Source(embeddings), titles={"i3": "Item no. 3"}))

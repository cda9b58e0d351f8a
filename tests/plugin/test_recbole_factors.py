"""What RecBole's models score by is found by the names of their classes; that it is true tests/embeddings checks."""

import pytest
import torch
from recbole.model.general_recommender import LightGCN

from recbole_sheaf.errors import ConfigError, NoPieces
from recbole_sheaf.plugin.recbole_factors import BETWEEN_ITEMS, LAYERS, PAIRS, in_pieces
from tests.embeddings.toys import restored


class Deeper(LightGCN):
    """Somebody's, that changes nothing."""


def test_a_class_that_derives_from_recboles_is_taken_for_it(toy_settings):
    model = restored("LightGCN", toy_settings).model
    of_theirs = in_pieces(model).layer_signals()
    model.__class__ = Deeper
    torch.testing.assert_close(in_pieces(model).layer_signals(), of_theirs)
    assert in_pieces(model).score_factors().user_sources is not None


def test_a_class_that_has_the_name_alone_is_not_taken_for_it(toy_settings):
    model = restored("NeuMF", toy_settings).model
    model.__class__ = type("EASE", (type(model),), {})
    assert in_pieces(model).item_maps() is None


def test_neighbours_of_users_are_no_maps_between_items(toy_settings):
    model = in_pieces(restored("ItemKNN", {**toy_settings, "knn_method": "user"}).model)
    assert model.item_maps() is None
    with pytest.raises(NoPieces, match="ItemKNN"):
        model.score_factors()


def test_a_model_of_ours_speaks_for_itself(toy_settings):
    model = restored("VBPR", toy_settings).model
    assert in_pieces(model) is model


def test_what_is_unknown_is_refused_by_the_models_name(toy_settings):
    model = in_pieces(restored("NeuMF", toy_settings).model)
    for ask, error in ((model.score_factors, NoPieces), (model.layer_signals, ConfigError)):
        with pytest.raises(error, match="NeuMF"):
            ask()


def test_every_name_is_one_of_recboles():
    import recbole.model.general_recommender as theirs

    assert all(hasattr(theirs, name) for name in (*PAIRS, *BETWEEN_ITEMS, *LAYERS))

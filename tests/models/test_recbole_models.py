"""RecBole's own models that our tables and defaults name train and rank in the working set of versions."""

import pytest

from recbole_sheaf.config import properties_folder
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.registration import MODELS
from tests.conftest import TASTE

THEIRS = sorted({path.stem for path in (properties_folder() / "model").glob("*.yaml")} - set(MODELS))


def test_the_tables_models_are_among_those_tried():
    assert {"BPR", "EASE", "ItemKNN", "LightGCN", "NGCF", "SGL", "SimpleX"} <= set(THEIRS)


@pytest.mark.parametrize("name", THEIRS)
def test_a_planted_taste_is_found(toy_settings, name):
    """As in the contract of our models: .39 is chance, a list that knows the taste holds .95 of the answers."""
    settings = {**toy_settings, **TASTE}
    del settings["embedding_size"]  # EASE and ItemKNN have none
    (result,) = run_models([name], "toy", overrides=settings)
    assert result.test["recall@20"] > 0.75

"""ContentKNN against cosines taken one by one."""

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_sheaf.errors import ConfigError
from tests.models.test_contract import build


def test_scores_are_mean_cosines_of_centred_rows(toy_settings):
    model, _, _ = build("ContentKNN", {k: v for k, v in toy_settings.items() if k != "embedding_size"})
    history = {user: [] for user in range(model.n_users)}
    for name, features in model.modalities.items():
        assert features.present[1:].all() == (name == "image")
    dataset = build_dataset(toy_settings)
    for user, item in zip(dataset.inter_feat["user_id"].tolist(), dataset.inter_feat["item_id"].tolist()):
        history[user].append(item)
    scores = model.full_sort_predict(Interaction({"user_id": torch.arange(model.n_users)})).view(model.n_users, -1)
    rows = {name: features.matrix.double().numpy() for name, features in model.modalities.items()}
    means = {name: rows[name][features.present].mean(0) for name, features in model.modalities.items()}

    def cosine(name, i, j):
        present = model.modalities[name].present
        if not (present[i] and present[j]):
            return 0.0
        a, b = rows[name][i] - means[name], rows[name][j] - means[name]
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    for user in (1, 7, 30):
        for item in range(1, model.n_items, 7):
            expected = np.mean([np.mean([cosine(name, item, had) for name in rows]) for had in history[user]])
            assert float(scores[user, item]) == pytest.approx(expected, abs=1e-5)
    assert not scores[0].any()
    own = [float(scores[user, item]) for user, items in history.items() for item in items]
    assert float(model.calculate_loss(None)) == pytest.approx(1 - np.mean(own), abs=1e-5)


def build_dataset(settings):
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import init_seed

    config = Config(
        model="ContentKNN", dataset="toy", config_dict={k: v for k, v in settings.items() if k != "embedding_size"}
    )
    init_seed(0, True)
    return data_preparation(config, create_dataset(config))[0].dataset


def test_without_content_there_are_no_neighbours(toy_settings):
    settings = {k: v for k, v in toy_settings.items() if k != "embedding_size"}
    with pytest.raises(ConfigError, match="ContentKNN needs a modality, but modalities is empty"):
        build("ContentKNN", {**settings, "modalities": []})

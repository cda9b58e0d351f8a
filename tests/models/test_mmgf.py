"""MM-GF against its definition, entry by entry in float64."""

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.models.mmgf import content_graph, filtered, refined
from tests.models.dense import UNEQUAL_DEGREES
from tests.models.test_contract import build
from tests.models.test_freedom import features_of


def dense_graph(Z, a, s):
    """(Z' Z'^T)^s with each entry of Z divided by a power of its row's and of its column's sum; the rows are items."""
    n, d = Z.shape
    scaled = np.zeros((n, d))
    for i in range(n):
        for j in range(d):
            if Z[i, j]:
                scaled[i, j] = Z[i, j] / Z[i].sum() ** a / Z[:, j].sum() ** (1 - a)
    return (scaled @ scaled.T) ** s


def refine(rows):
    """By sklearn's words: minus the median, over the range between the quartiles; then minus the least of all."""
    rows = np.array(rows, dtype=float)
    for column in rows.T:
        low, high = np.percentile(column, 25), np.percentile(column, 75)
        column -= np.median(column)
        column /= high - low or 1
    return rows - rows.min()


def dense_content_graph(features, a, s):
    there = features.present.numpy()
    graph = np.zeros((len(there), len(there)))
    graph[np.ix_(there, there)] = dense_graph(refine(features.matrix[features.present]), a, s)
    return graph


def test_content_is_refined_and_normalised():
    features = features_of("a", 13, 4, [3, 7], 0)
    features.matrix[features.present, 2] = 5.0  # a column without a range
    graph = content_graph(features.matrix, features.present, 0.7, 1.3)
    torch.testing.assert_close(graph, torch.tensor(dense_content_graph(features, 0.7, 1.3)).float())
    assert not graph[3].any() and not graph[:, 0].any() and (graph >= 0).all()
    assert refined(features.matrix[features.present]).min() == 0


@pytest.mark.parametrize("coefficients", [[0.5], [2.0, -1.0], [1.0, 0.0, -0.3]])
def test_a_filter_is_a_polynomial_of_the_matrix(coefficients):
    P = torch.rand(6, 6)
    before = P.clone()
    expected = sum(c * torch.linalg.matrix_power(P, k + 1) for k, c in enumerate(coefficients))
    torch.testing.assert_close(filtered(P, coefficients), expected)
    assert torch.equal(P, before)


@pytest.mark.parametrize("split", [{}, UNEQUAL_DEGREES])
def test_scores_are_histories_through_all_filters(toy_settings, split):
    toy = {key: value for key, value in toy_settings.items() if key != "embedding_size"}
    own = {"degree_power": 0.8, "similarity_power": 0.6, "filter_coefficients": [2, -1], "content_weight": 3.0}
    model = build("MMGF", {**toy, **split, **own, "modality_weights": {"text": 7.0}})[0]
    everyone = torch.arange(model.n_users)
    R = model.sheaf.histories(everyone).numpy().astype(float)
    B = np.zeros((model.n_items, model.n_items))
    graphs = [(1.0, dense_interaction_graph(R, 0.8, 0.6))]
    graphs += [({"image": 3.0, "text": 7.0}[n], dense_content_graph(f, 0.8, 0.6)) for n, f in model.modalities.items()]
    for weight, P in graphs:
        B += weight * (2 * P - P @ P)
    scores = model.full_sort_predict(Interaction({"user_id": everyone})).view(R.shape)
    torch.testing.assert_close(scores.double(), torch.tensor(R @ B), atol=1e-4, rtol=1e-4)
    cosines = [R[u] @ B @ R[u] / np.linalg.norm(R[u]) / np.linalg.norm(R[u] @ B) for u in everyone if R[u].any()]
    assert model.sheaf.ridge_loss == pytest.approx(1 - np.mean(cosines), abs=1e-5)


def dense_interaction_graph(R, a, s):
    """The items' graph of R, in which users are the rows whose sums take the power a."""
    of_users, of_items = R.sum(axis=1), R.sum(axis=0)
    n = R.shape[1]
    P = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            both = [u for u in range(len(R)) if R[u, i] and R[u, j]]
            P[i, j] = sum(of_users[u] ** (-2 * a) for u in both) / max(of_items[i] * of_items[j], 1) ** (1 - a)
    return P**s


def test_a_weight_of_zero_leaves_a_modality_out(toy_settings):
    toy = {key: value for key, value in toy_settings.items() if key != "embedding_size"}
    scores = []
    for settings in ({"modalities": []}, {"content_weight": 0.0}, {"modality_weights": {"text": 0, "image": 0}}):
        model = build("MMGF", {**toy, **settings})[0]
        scores.append(model.full_sort_predict(Interaction({"user_id": torch.arange(model.n_users)})))
    assert torch.equal(scores[0], scores[1]) and torch.equal(scores[0], scores[2])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"filter_coefficients": []}, "a filter that lets nothing through"),
        ({"filter_coefficients": [0, 0.0]}, "a filter that lets nothing through"),
        ({"modality_weights": {"txet": 2.0}}, "modality_weights names 'txet' .did you mean 'text'.., expected one of"),
        ({"modality_weights": {"text": -1}}, "modality_weights.text is -1, expected a number >= 0"),
        ({"degree_power": 1.5}, "degree_power is 1.5, expected a number >= 0 and <= 1"),
    ],
)
def test_what_does_not_fit_is_refused(toy_settings, settings, message):
    toy = {key: value for key, value in toy_settings.items() if key != "embedding_size"}
    with pytest.raises(ConfigError, match=message):
        build("MMGF", {**toy, **settings})

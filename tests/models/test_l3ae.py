"""L3AE's two regressions against least squares, column by column, and the conditions of their minimum."""

import pytest
import torch
from recbole.data.interaction import Interaction
from torch.nn.functional import normalize

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.models.l3ae import content_correlations, distilled, objective
from tests.models.test_contract import build


def ridge_column(X, i, ridge, towards=None, weight=0.0):
    """Coefficients of column i on the others: least squares with rows for the ridge and for the pull to a target."""
    n = X.shape[1]
    others = [j for j in range(n) if j != i]
    eye = torch.eye(n - 1, dtype=X.dtype)
    target = torch.zeros(n - 1, dtype=X.dtype) if towards is None else towards[others]
    A = torch.cat([X[:, others], ridge**0.5 * eye, weight**0.5 * eye])
    b = torch.cat([X[:, i], torch.zeros(n - 1, dtype=X.dtype), weight**0.5 * target])
    out = torch.zeros(n, dtype=X.dtype)
    out[others] = torch.linalg.lstsq(A, b.unsqueeze(1)).solution.squeeze(1)
    return out


def by_columns(X, ridge, towards=None, weight=0.0):
    columns = [ridge_column(X, i, ridge, None if towards is None else towards[:, i], weight) for i in range(X.shape[1])]
    return torch.stack(columns, dim=1)


def problem():
    generator = torch.Generator().manual_seed(0)
    X = (torch.rand(12, 7, generator=generator, dtype=torch.float64) < 0.4).double()
    F = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    F[2] = 0
    return X, F


def test_both_phases_are_the_regressions_they_say():
    X, F = problem()
    C = content_correlations(F, 0.7)
    torch.testing.assert_close(C, by_columns(F.T, 0.7))
    assert not C[2].any() and not C[:, 2].any()
    B = distilled(X.T @ X, C, 1.5, 4.0)
    torch.testing.assert_close(B, by_columns(X, 1.5, C, 4.0))
    torch.testing.assert_close(distilled(X.T @ X, C, 1.5, 0.0), by_columns(X, 1.5))


def test_the_loss_is_what_is_minimised():
    X, F = problem()
    C = content_correlations(F, 0.7)
    B = distilled(X.T @ X, C, 1.5, 4.0)
    expected = (X - X @ B).square().sum(0) + 1.5 * B.square().sum(0) + 4.0 * (B - C).square().sum(0)
    torch.testing.assert_close(objective(X.T @ X, C, B, 4.0), expected)


def test_scores_are_histories_transported(toy_settings):
    toy = {key: value for key, value in toy_settings.items() if key != "embedding_size"}
    model = build("L3AE", {**toy, "ridge": -1.0, "content_ridge": 0.5, "distillation_weight": 6.0})[0]
    F = torch.cat([normalize(features.matrix.double()) for features in model.modalities.values()], dim=1)
    users = torch.arange(model.n_users)
    X = model.sheaf.histories(users).double()
    expected = X @ distilled(X.T @ X, by_columns(F.T, 0.5), -1.0, 6.0)
    scores = model.full_sort_predict(Interaction({"user_id": users})).view(X.shape)
    torch.testing.assert_close(scores.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"modalities": []}, "L3AE needs a modality, but modalities is empty"),
        ({"ridge": -150.0}, "ridge -150.0 and distillation_weight 150.0 add up to no more than 0"),
        ({"content_ridge": 0.0}, "content_ridge is 0.0, expected a number > 0"),
    ],
)
def test_what_does_not_fit_is_refused(toy_settings, settings, message):
    toy = {key: value for key, value in toy_settings.items() if key != "embedding_size"}
    with pytest.raises(ConfigError, match=message):
        build("L3AE", {**toy, **settings})

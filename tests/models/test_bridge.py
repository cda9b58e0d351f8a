"""BRIDGE against slow references: bands by a singular value decomposition, evidence and calibration pair by pair."""

import math

import pytest
import torch
from recbole.data.interaction import Interaction
from torch.nn.functional import cosine_similarity, log_softmax, logsigmoid, normalize

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.models.bridge import BandFusion, Spectrum
from tests.models.dense import UNEQUAL_DEGREES, lightgcn_matrix, perturb
from tests.models.test_contract import build
from tests.models.test_freedom import dense_frozen_graph


def svd_bands(rows, n_bands):
    """K matrices that add up to a matrix: singular values sorted and cut into blocks, the first ones larger by one."""
    U, S, Vh = torch.linalg.svd(rows, full_matrices=False)
    sizes = [len(S) // n_bands + (k < len(S) % n_bands) for k in range(n_bands)]
    bounds = [sum(sizes[:k]) for k in range(n_bands + 1)]
    return [U[:, a:b] @ torch.diag(S[a:b]) @ Vh[a:b] for a, b in zip(bounds, bounds[1:])]


def channel_bands(rows, n_bands):
    """Bands of (r, C, f), each channel apart, channels side by side."""
    per_channel = [svd_bands(rows[:, c], n_bands) for c in range(rows.shape[1])]
    return [torch.cat([bands[k] for bands in per_channel], dim=1) for k in range(n_bands)]


@pytest.mark.parametrize("n_bands", [1, 3, 5])
def test_bands_are_those_of_the_singular_values(n_bands):
    torch.manual_seed(0)
    rows, beside = torch.randn(9, 2, 5, dtype=torch.float64), torch.randn(9, 2, 5, dtype=torch.float64)
    fusion = perturb(BandFusion(2, 5, n_bands), 0.3)
    spectra = [Spectrum.of(rows), Spectrum.of(beside)]
    bands = [a + b for a, b in zip(channel_bands(rows, n_bands), channel_bands(beside, n_bands))]
    torch.testing.assert_close(torch.stack(fusion.bands(spectra)), torch.stack(bands))
    torch.testing.assert_close(sum(bands), (rows + beside).flatten(1))
    fused, cost = fusion(rows, spectra)
    above = fusion.opening * torch.sigmoid(rows.flatten(1) @ fusion.gate.weight.T + fusion.gate.bias)
    expected = sum(torch.sigmoid(fusion.logits[k]) * (1 + above[:, k : k + 1]) * bands[k] for k in range(n_bands))
    torch.testing.assert_close(fused, expected)
    by_node = [row.square().sum() + row.norm() * row.abs().sum() for row in above]
    torch.testing.assert_close(cost, sum(by_node) / 9)
    fusion.opening.data.neg_()  # gates below 1 are free
    assert fusion(rows, spectra)[1] < 1e-10


def test_users_and_items_are_channels_propagated_and_fused(toy_settings):
    model = perturb(build("BRIDGE", {**toy_settings, **UNEQUAL_DEGREES, "n_layers": 2, "item_graph_layers": 2})[0], 0.2)
    size, n_users = 8, model.n_users
    A = lightgcn_matrix(model.graph)
    S = dense_frozen_graph(list(model.modalities.values()), [0.111, 1.0], 10).double()
    contents = [model.item_ids]
    for project in model.projections:
        hidden = project.rows @ project.hidden.weight.T + project.hidden.bias
        hidden = torch.where(hidden > 0, hidden, 0.01 * hidden)
        contents.append((hidden @ project.linear.weight.T + project.linear.bias) * project.present)
    users, items, beside_users, beside_items = [], [], [], []
    for c, content in enumerate(contents):
        preference = model.preferences[:, c * size : (c + 1) * size]
        x = normalize(torch.cat([preference, content]))
        y = x + A @ x + A @ A @ x
        users.append(model.channel_weights[:, c : c + 1] * y[:n_users])
        items.append(y[n_users:])
        beside_users.append(preference)
        beside_items.append(S @ S @ y[n_users:])
    for got, fuse, own, beside in zip(
        model.forward(), (model.fuse_users, model.fuse_items), (users, items), (beside_users, beside_items)
    ):
        rows = torch.stack(own, dim=1)
        expected = torch.zeros_like(rows.flatten(1))
        for k, (a, b) in enumerate(zip(channel_bands(rows, 3), channel_bands(torch.stack(beside, dim=1), 3))):
            gate = 1 + fuse.opening * torch.sigmoid(rows.flatten(1) @ fuse.gate.weight[k] + fuse.gate.bias[k])
            expected += torch.sigmoid(fuse.logits[k]) * gate.unsqueeze(1) * (a + b)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def evidence_of(X, neighbours):
    """z by loops: nearest co-occurring items, summed over a history, in standard deviations from a user's mean."""
    n_users, n_items = X.shape
    S = torch.zeros(n_items, n_items, dtype=torch.float64)
    for i in range(1, n_items):
        near = [
            (float(X[:, i] @ X[:, j]) / math.sqrt(float(X[:, i].sum() * X[:, j].sum()) or 1), -j)
            for j in range(n_items)
        ]
        near[i] = (0.0, 0)
        for value, j in sorted(near, reverse=True)[:neighbours]:
            S[i, -j] = value
    z = torch.zeros(n_users, n_items, dtype=torch.float64)
    for u in range(n_users):
        found = torch.stack([S[i][X[u] > 0].sum() for i in range(1, n_items)])
        z[u, 1:] = (found - found.mean()) / max(float(found.std(correction=0)), 1e-6)
    return z


CALIBRATED = {"candidates": 7, "behaviour_neighbours": 5, "behaviour_weight": 0.9}


def calibrated(model):
    """A perturbed model, its base scores, evidence, gates and which items are candidates, by loops."""
    model = perturb(model, 0.3)
    everyone = torch.arange(model.n_users)
    z = evidence_of(model.co_occurrence.histories(everyone).double(), 5)
    y_u, y_i = model.forward()
    base = y_u @ y_i.T
    gate, candidate = torch.zeros_like(base), torch.zeros_like(base, dtype=torch.bool)
    for u in range(model.n_users):
        ranked = sorted(range(1, model.n_items), key=lambda i: -float(base[u, i]))
        candidate[u, ranked[:7]] = True
        for i in range(model.n_items):
            asked = model.base_scale * torch.tanh(base[u, i]) + model.evidence_scale * torch.tanh(z[u, i])
            gate[u, i] = torch.sigmoid(model.user_bias[u] + model.item_bias[i] + asked)
    return model, base, z, gate, candidate


def test_candidates_alone_are_calibrated(toy_settings):
    model, base, z, gate, candidate = calibrated(build("BRIDGE", {**toy_settings, **UNEQUAL_DEGREES, **CALIBRATED})[0])
    everyone = torch.arange(model.n_users)
    torch.testing.assert_close(model.evidence(everyone).double(), z, atol=1e-4, rtol=1e-4)
    expected = base + 0.9 * gate * z * candidate
    scores = model.full_sort_predict(Interaction({"user_id": everyone})).view(base.shape)
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(scores[~candidate], base[~candidate]) and (scores != base).any()
    users, items = torch.tensor([3, 1, 3]), torch.tensor([5, 0, 9])
    pairs = Interaction({"user_id": users, "item_id": items})
    torch.testing.assert_close(model.predict(pairs), expected[users, items], atol=1e-4, rtol=1e-4)


def test_the_loss_adds_its_parts(toy_settings):
    weights = {"base_loss_weight": 0.7, "band_gate_weight": 0.5, "band_contrast_weight": 0.3}
    settings = {**toy_settings, **UNEQUAL_DEGREES, **CALIBRATED, **weights, "calibration_gate_weight": 2.0}
    model, batch, _ = build("BRIDGE", settings)
    model, base, z, gate, candidate = calibrated(model)
    users, chosen, sampled = model.triples(batch)
    final = base + 0.9 * gate * z * candidate

    def bpr(scores):
        return -logsigmoid(scores[users, chosen] - scores[users, sampled]).mean()

    encoded = model.encoded()
    pairs = [(u, i) for u, i in [*zip(users, chosen), *zip(users, sampled)] if candidate[u, i]]
    assert 0 < len(pairs) < 2 * len(users)
    mean_gate = sum(gate[u, i] for u, i in pairs) / len(pairs)
    contrast = 0.0
    for fuse, spectra, nodes in (
        (model.fuse_users, encoded.user_spectra, users.unique()),
        (model.fuse_items, encoded.item_spectra, chosen.unique()),
    ):
        bands = [band[nodes] for band in fuse.bands(spectra)]
        for k in range(3):
            for other in range(3):
                if k != other:
                    contrast += (1 - cosine_similarity(bands[k], bands[other])).square().mean() / 6
            if k >= 1:
                contrast -= log_softmax(bands[k] @ bands[k].T, dim=1).mean() / 6
    expected = bpr(final) + 0.7 * bpr(base) + 0.5 * encoded.cost + 0.3 * contrast + 2.0 * (mean_gate - 0.5) ** 2
    torch.testing.assert_close(model.calculate_loss(batch), expected, atol=1e-5, rtol=1e-5)


def test_the_gate_learns_and_evidence_and_candidates_stay(toy_settings):
    """Through the gate no gradient reaches the base scores: with the other terms off, the embeddings learn from BPR."""
    off = {"base_loss_weight": 0.0, "band_gate_weight": 0.0, "band_contrast_weight": 0.0}
    model, batch, _ = build("BRIDGE", {**toy_settings, **CALIBRATED, **off, "calibration_gate_weight": 1.0})
    users = batch["user_id"].unsqueeze(1)
    items = torch.stack([batch["item_id"], batch["neg_item_id"]], dim=1)
    base = torch.randn(len(users), 2, requires_grad=True)
    model.calibration_gate(users, items, base, torch.randn_like(base)).sum().backward()
    assert base.grad is None and model.evidence_scale.grad is not None and model.user_bias.grad.any()


def test_a_single_band_has_no_contrast(toy_settings):
    model, batch, _ = build("BRIDGE", {**toy_settings, "n_bands": 1})
    users, chosen, _ = model.triples(batch)
    assert model.band_contrast(model.encoded(), users, chosen) == 0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"modalities": []}, "BRIDGE needs a modality, but modalities is empty"),
        ({"n_bands": 9}, "n_bands is 9, more than the 8 directions of a channel"),
        ({"candidates": 0}, "candidates is 0, expected a whole number >= 1"),
    ],
)
def test_what_does_not_fit_is_refused(toy_settings, settings, message):
    with pytest.raises(ConfigError, match=message):
        build("BRIDGE", {**toy_settings, **settings})

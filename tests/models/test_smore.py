"""SMORE's equations against slow references: the spectrum by its definition, graphs and preferences node by node."""

import cmath
import math

import pytest
import torch

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.models.item_graph import SimilarityGraph
from recbole_sheaf.models.smore import MaxPooledGraph, SpectrumFusion
from tests.models.dense import lightgcn_matrix, perturb
from tests.models.test_contract import build
from tests.models.test_freedom import features_of
from tests.models.test_mgcn import dense_similarity


def dft(x):
    """Orthonormal discrete Fourier transform, the sum itself."""
    n = len(x)
    return [sum(v * cmath.exp(-2j * math.pi * k * t / n) for t, v in enumerate(x)) / n**0.5 for k in range(n)]


def inverse_of_filtered(spectrum, kept):
    """The real signal of a spectrum times a filter that is given on the frequencies 0 to n // 2."""
    n = len(spectrum)
    half = [spectrum[k] * complex(*kept[k]) for k in range(n // 2 + 1)]
    half[0] = half[0].real  # a real signal has no imaginary part there, nor at n / 2
    if n % 2 == 0:
        half[-1] = half[-1].real
    whole = [half[k] if k <= n // 2 else half[n - k].conjugate() for k in range(n)]
    signal = [sum(v * cmath.exp(2j * math.pi * k * t / n) for k, v in enumerate(whole)) / n**0.5 for t in range(n)]
    return torch.tensor([complex(value).real for value in signal], dtype=torch.float64)


@pytest.mark.parametrize("size", [6, 5])
def test_spectra_are_filtered_apart_and_fused_as_their_product(size):
    modalities = {each.name: each for each in (features_of("a", 9, 4, [3, 7], 0), features_of("b", 9, 3, [3, 5], 1))}
    fusion = perturb(SpectrumFusion(modalities, size), 0.5)
    *apart, fused = fusion()
    filters, rows = fusion.filters.tolist(), [project().tolist() for project in fusion.projections]
    for i in range(9):
        has = [m for m, each in enumerate(modalities.values()) if each.present[i]]
        product = [complex(bool(has))] * size
        for m in (0, 1):
            if m not in has:
                assert not apart[m][i].any()
                continue
            spectrum = dft(rows[m][i])
            torch.testing.assert_close(apart[m][i], inverse_of_filtered(spectrum, filters[m]))
            product = [p * s for p, s in zip(product, spectrum)]
        torch.testing.assert_close(fused[i], inverse_of_filtered(product, filters[2]))
    assert not fused[3].any() and fused[5].any()


@pytest.mark.parametrize("backend", ["dgl", "torch"])
def test_the_fused_graph_takes_the_largest_weights(tmp_path, backend):
    features = [features_of("a", 11, 5, [3, 7], 0), features_of("b", 11, 4, [3], 1)]
    graphs = [SimilarityGraph(each, k, tmp_path, backend, torch.device("cpu")) for each, k in zip(features, (3, 5))]
    dense = [dense_similarity(each.matrix, each.present, k) for each, k in zip(features, (3, 5))]
    x = torch.randn(11, 2)
    torch.testing.assert_close(MaxPooledGraph(graphs)(x), torch.maximum(*dense) @ x)
    both = (dense[0] > 0) & (dense[1] > 0)
    assert both.any() and (dense[0] > dense[1])[both].any() and (dense[1] > dense[0])[both].any()


def test_views_are_purified_propagated_and_preferred(toy_settings):
    """All of it again, node by node, from the docstring's equation."""
    settings = {"modality_neighbours": {"text": 4}, "item_graph_neighbours": 6, "item_graph_layers": 2, "n_layers": 3}
    model = perturb(build("SMORE", {**toy_settings, **settings})[0], 0.3)
    A = lightgcn_matrix(model.graph)
    x = model.id_embedding
    behaviour = sum(torch.linalg.matrix_power(A, power) @ x for power in range(4)) / 4
    names = list(model.modalities)
    k = {"image": 6, "text": 4}
    dense = [dense_similarity(f.matrix, f.present, k[name] - 1).double() for name, f in model.modalities.items()]
    graphs = [*dense, torch.maximum(*dense)]
    n_users, views = model.n_users, []
    for graph, gate, z in zip(graphs, model.gates, model.content()):
        items = graph @ graph @ (x[n_users:] * torch.sigmoid(z @ gate.weight.T + gate.bias))
        users = A[:n_users, n_users:] @ items
        views.append(torch.cat([users, items]))
    content = torch.zeros_like(x)
    for m, (view, prefer) in enumerate(zip(views, model.prefers)):
        preference = torch.sigmoid(behaviour @ prefer.weight.T + prefer.bias)
        attention = torch.ones_like(view)
        if m < len(names):
            first, _, second = model.attends[m]
            attention = torch.softmax(torch.tanh(views[-1] @ first.weight.T + first.bias) @ second.weight.T, dim=1)
        content += preference * attention * view / 3
    for got, expected in zip(model.both_views(), (behaviour, content)):
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-5)
    users, items = model.forward()
    torch.testing.assert_close(torch.cat([users, items]), behaviour + content, atol=1e-6, rtol=1e-5)


def test_dropout_is_on_the_preferences_of_training_alone(toy_settings):
    model = build("SMORE", {**toy_settings, "preference_dropout": 0.5})[0]
    assert torch.equal(model.eval().both_views()[1], model.both_views()[1])
    dropped = model.train().both_views()
    assert torch.equal(dropped[0], model.both_views()[0]) and not torch.equal(dropped[1], model.both_views()[1])
    some = dropped[1].count_nonzero() / model.eval().both_views()[1].count_nonzero()
    assert 0.8 < some < 0.95  # an entry of three dropped terms is zero one time in eight


def test_the_contrast_is_a_term_of_the_loss(toy_settings):
    losses = []
    for weight in (0.0, 0.1, 0.2):
        model, batch, _ = build("SMORE", {**toy_settings, "contrast_weight": weight, "preference_dropout": 0.0})
        losses.append(model.calculate_loss(batch))
    assert losses[1] > losses[0]
    torch.testing.assert_close(losses[2] - losses[1], losses[1] - losses[0])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"modalities": []}, "SMORE needs a modality, but modalities is empty"),
        (
            {"modality_neighbours": {"txt": 5}},
            "names 'txt' .did you mean 'text'.., expected one of image, text",
        ),
        ({"modality_neighbours": {"text": 1}}, "modality_neighbours.text is 1, expected a whole number >= 2"),
    ],
)
def test_what_does_not_fit_is_refused(toy_settings, settings, message):
    with pytest.raises(ConfigError, match=message):
        build("SMORE", {**toy_settings, **settings})

"""Polynomial filters: Neural Sheaf Diffusion at the start, Chebyshev polynomials of the dense Laplacian after."""

import pytest
import torch
import torch.nn.functional as F

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.nsd.diffusion_settings import LEARNT_MAPS, DiffusionSettings
from recbole_sheaf.nsd.discrete_diffusion import NeuralSheafDiffusion
from recbole_sheaf.nsd.polynomial_diffusion import PolynomialSheafDiffusion
from tests.sheaf.helpers import random_graph


@pytest.fixture
def graph():
    return random_graph(8, 9, torch.Generator().manual_seed(0))


def settings_for(family, **changes):
    return DiffusionSettings(input_dim=5, output_dim=3, restriction_map=family, hidden_channels=4, **changes)


@pytest.mark.parametrize("family", LEARNT_MAPS)
def test_starts_as_neural_sheaf_diffusion(graph, family):
    model = PolynomialSheafDiffusion(graph, settings_for(family), degree=4).double()
    other = NeuralSheafDiffusion(graph, settings_for(family)).double()
    other.load_state_dict({name: value for name, value in model.state_dict().items() if "coefficients" not in name})
    x = torch.randn(8, 5).double()
    torch.testing.assert_close(model(x), other(x))


def test_filter_equals_polynomial_of_eigenvalues(graph):
    model = PolynomialSheafDiffusion(graph, settings_for("general"), degree=3).double()
    signal, theta = torch.randn(16, 4).double(), torch.randn(4).double()
    values = model.learn(0, signal)
    dense = model.laplacian.product(*values, torch.eye(16).double())
    eigenvalue, vector = torch.linalg.eigh(dense)
    assert eigenvalue.min() > -1e-9 and eigenvalue.max() < 2 + 1e-9
    angle = torch.arccos((eigenvalue - 1).clamp(-1, 1))
    response = sum(theta[k] * torch.cos(k * angle) for k in range(4))  # T_k(cos a) = cos(k a)
    torch.testing.assert_close(model.filter(theta, values, signal), vector @ (response[:, None] * (vector.T @ signal)))


@pytest.mark.parametrize("family", LEARNT_MAPS)
def test_every_parameter_gets_a_gradient(graph, family):
    model = PolynomialSheafDiffusion(graph, settings_for(family), degree=2)
    F.nll_loss(model(torch.randn(8, 5)), torch.randint(3, (8,))).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())


def test_bad_input(graph):
    with pytest.raises(ConfigError, match="degree 0 of the polynomial must be at least 1"):
        PolynomialSheafDiffusion(graph, settings_for("general"), degree=0)
    with pytest.raises(ConfigError, match=r"needs a spectrum within \[0, 2\]; set normalised to true"):
        PolynomialSheafDiffusion(graph, settings_for("general", normalised=False))

"""Neural Sheaf Diffusion equals the reference implementation, outputs and gradients."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recbole_sheaf.errors import ConfigError, EnvironmentMismatch, ShapeError
from recbole_sheaf.nsd.continuous_diffusion import STEPS, ContinuousSheafDiffusion, integrate
from recbole_sheaf.nsd.diffusion_settings import DiffusionSettings
from recbole_sheaf.nsd.discrete_diffusion import NeuralSheafDiffusion
from recbole_sheaf.settings.vocabulary import NODE_CLASSIFICATION_MAPS
from recbole_sheaf.sheaf import undirected_graph
from tests.nsd.reference import from_manifest, settings_from_reference
from tests.sheaf.helpers import golden, golden_graph, random_graph


def arrays_of(models, key, part):
    """Arrays of one model, by parameter name."""
    prefix = f"{key}__{part}__"
    return {name[len(prefix) :]: models[name] for name in models.files if name.startswith(prefix)}


def relative(got, expected, scale=None):
    """Largest difference, relative to the largest expected value or a given scale."""
    expected = torch.as_tensor(expected)
    scale = expected.abs().max() if scale is None else scale
    return float((got - expected).detach().abs().max() / scale)


def test_equals_reference():
    """Outputs to 1e-10, gradients to 1e-8 of the largest gradient of their model.

    Where maps of both ends of an edge coincide (sparse learner, even stalk, orthogonal maps) the Laplacian does not
    depend on them: the reference's gradient is rounding noise around zero, so a scale of its own would mean nothing.
    """
    entries, graphs, models = golden("manifest_models.json", "graphs.npz", "models.npz")
    entries = [entry for entry in entries if "raised" not in entry]
    assert len(entries) >= 42
    for entry in entries:
        key = entry["key"]
        arcs, _ = golden_graph(graphs, entry["graph"])
        model = from_manifest(entry, arrays_of(models, key, "param"), arcs)
        out = model(torch.from_numpy(models[key + "__x"]))
        assert relative(out, models[key + "__log_probs"]) < 1e-10, key
        F.nll_loss(out, torch.from_numpy(models[key + "__y"])).backward()
        expected = arrays_of(models, key, "grad")
        scale = max(np.abs(grad).max() for grad in expected.values())
        assert expected.keys() == {name for name, _ in model.named_parameters()}
        for name, parameter in model.named_parameters():
            assert relative(parameter.grad, expected[name], scale) < 1e-8, (key, name)


def test_runs_where_reference_cannot():
    """Left or right weights off: the reference raises IndexError for orthogonal and general maps, we run."""
    entries, graphs, _models = golden("manifest_models.json", "graphs.npz", "models.npz")
    entries = [entry for entry in entries if "raised" in entry]
    assert len(entries) == 6
    for entry in entries:
        arcs, n = golden_graph(graphs, entry["graph"])
        settings = settings_from_reference(entry["kind"], entry["args"])
        model = NeuralSheafDiffusion(undirected_graph(arcs, n), settings)
        assert model(torch.randn(n, settings.input_dim)).isfinite().all()


@pytest.fixture
def graph():
    return random_graph(8, 9, torch.Generator().manual_seed(0))


def settings_for(family, **changes):
    """Small settings of one family."""
    defaults = dict(input_dim=5, output_dim=3, restriction_map=family, stalk_dim=2, hidden_channels=4)
    return DiffusionSettings(**{**defaults, **changes})


every_family = pytest.mark.parametrize("family", NODE_CLASSIFICATION_MAPS)
both_models = pytest.mark.parametrize("model_class", [NeuralSheafDiffusion, ContinuousSheafDiffusion])


@every_family
@both_models
def test_every_parameter_gets_a_gradient(graph, family, model_class):
    model = model_class(graph, settings_for(family, add_lp=True, add_hp=True, second_linear=True))
    F.nll_loss(model(torch.randn(8, 5)), torch.randint(3, (8,))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@every_family
@both_models
def test_node_and_arc_order_do_not_matter(graph, family, model_class):
    model = model_class(graph, settings_for(family)).double().eval()
    rename, order = torch.randperm(8), torch.randperm(len(graph.row))
    other = model_class(undirected_graph(rename[graph.arcs[:, order]], 8), settings_for(family)).double().eval()
    other.load_state_dict(model.state_dict())
    x = torch.randn(8, 5).double()
    y = torch.empty_like(x)
    y[rename] = x
    torch.testing.assert_close(other(y)[rename], model(x))


@every_family
@pytest.mark.parametrize("augmented", [False, True])
def test_isolated_nodes_are_finite(family, augmented):
    graph = undirected_graph(torch.tensor([[0, 1], [1, 0]]), 4)
    model = NeuralSheafDiffusion(graph, settings_for(family, augmented=augmented, use_activation=False))
    signal = torch.randn(4 * 2, 4)
    out = model.diffuse(signal)
    torch.testing.assert_close(out[4:], signal[4:])  # epsilon starts at 0: nodes 2 and 3 keep their value
    loss = model(torch.randn(4, 5)).square().sum()
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_identity_maps_are_graph_convolution(graph):
    """Without weights, activation and augmentation one layer is ``x - Delta x``, LightGCN's propagation."""
    off = dict(left_weights=False, right_weights=False, use_activation=False, augmented=False, num_layers=1)
    model = NeuralSheafDiffusion(graph, settings_for("identity", **off)).double()
    x = torch.randn(16, 4).double()
    adjacency = torch.zeros(8, 8).double().index_put((graph.row, graph.col), torch.tensor(1.0).double())
    root = torch.where(adjacency.sum(1) > 0, adjacency.sum(1), torch.inf).rsqrt()
    propagated = torch.einsum("vw,wdh->vdh", root[:, None] * adjacency * root, x.view(8, 2, 4))
    connected = adjacency.sum(1) > 0
    torch.testing.assert_close(model.diffuse(x).view(8, 2, 4)[connected], propagated[connected])


def test_identity_maps_learn_no_sheaf(graph):
    assert not NeuralSheafDiffusion(graph, settings_for("identity")).sheaf_parameters()
    assert len(NeuralSheafDiffusion(graph, settings_for("general")).sheaf_parameters()) == 2
    assert len(NeuralSheafDiffusion(graph, settings_for("general", relearn_maps=False)).sheaf_parameters()) == 1


def test_dropout_only_while_training(graph):
    model = NeuralSheafDiffusion(graph, settings_for("orthogonal", dropout=0.5, input_dropout=0.5))
    x = torch.randn(8, 5)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("solver, order", [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_order_of_solvers(solver, order):
    """Halving the step divides the error by 2^order."""
    start = torch.tensor([1.0]).double()
    errors = [
        float((integrate(lambda t, x: -x * torch.cos(t), start, 1.0, solver, h) - np.exp(-np.sin(1.0))).abs())
        for h in (0.1, 0.05)
    ]
    assert 0.8 * 2**order < errors[0] / errors[1] < 1.3 * 2**order


def test_last_step_is_shortened():
    out = integrate(lambda t, x: torch.ones_like(x), torch.zeros(1), 1.0, "euler", 0.3)
    torch.testing.assert_close(out, torch.ones(1))


@pytest.mark.parametrize("solver, step_size", list(itertools.product(STEPS, [0.25, 0.1])))
def test_solvers_equal_torchdiffeq(graph, solver, step_size):
    torchdiffeq = pytest.importorskip("torchdiffeq")
    start, matrix = torch.randn(5, 3).double(), torch.randn(5, 5).double()
    times = torch.tensor([0.0, 1.0]).double()

    def derivative(t, x):
        return torch.tanh(matrix @ x) * (1 + t)

    expected = torchdiffeq.odeint(derivative, start, times, method=solver, options={"step_size": step_size})[1]
    torch.testing.assert_close(integrate(derivative, start, 1.0, solver, step_size), expected, rtol=1e-12, atol=1e-12)


def test_adaptive_solver_asks_for_torchdiffeq(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchdiffeq", None)
    with pytest.raises(EnvironmentMismatch, match="solver 'dopri5' needs torchdiffeq, which is not installed; install"):
        integrate(lambda t, x: x, torch.ones(1), 1.0, "dopri5", 0.1)


def test_continuous_parameters_from_reference_names(graph):
    settings = settings_for("orthogonal", solver="rk4", step_size=0.25)
    model = ContinuousSheafDiffusion(graph, settings).double().eval()
    args = {"input_dim": 5, "output_dim": 3, "d": 2, "hidden_channels": 4, "graph_size": 8, "int_method": "rk4"}
    args["sparse_learner"] = True  # the reference's continuous models do not read it
    inner = ("lin_left", "lin_right", "sheaf_learner", "weight_learner")
    parameters = {
        ("odefunc." if name.startswith(inner) else "") + name: value for name, value in model.state_dict().items()
    }
    entry = {"kind": "bundle", "args": {**args, "step_size": 0.25}}
    x = torch.randn(8, 5).double()
    torch.testing.assert_close(from_manifest(entry, parameters, graph.arcs)(x), model(x))


def test_bad_input(graph):
    model = NeuralSheafDiffusion(graph, settings_for("diagonal"))
    with pytest.raises(ShapeError, match=r"x has shape \(8, 4\), expected \(8, 5\): nodes by input_dim"):
        model(torch.zeros(8, 4))
    with pytest.raises(ShapeError, match="x holds values that are not finite; mask missing features"):
        model(torch.full((8, 5), torch.nan))
    with pytest.raises(ConfigError, match="restriction_map is 'wide', expected one of identity, diag"):
        settings_for("wide")
    with pytest.raises(ConfigError, match="num_layers is 0, expected a whole number >= 1"):
        settings_for("diagonal", num_layers=0)
    with pytest.raises(ShapeError, match="Euler angles describe rotations up to d = 3, got d = 4"):
        NeuralSheafDiffusion(graph, settings_for("orthogonal", stalk_dim=4, orthogonal_map="euler"))
    with pytest.raises(ConfigError, match="step_size 0.0 must be positive"):
        integrate(lambda t, x: x, torch.ones(1), 1.0, "euler", 0.0)

"""Diffusion steps and the learners of their maps: LightGCN as the trivial sheaf, identity starts, every refusal."""

import pytest
import torch

from recbole_sheaf.errors import ConfigError, ShapeError
from recbole_sheaf.layers.map_learners import ArcScales, HouseholderFrames, TrustFrames, mix_with_identity
from recbole_sheaf.layers.normalised_laplacians import DELTAS
from recbole_sheaf.layers.reflections import Reflections
from recbole_sheaf.layers.sheaf_conv import SheafConv, SheafDiffusionStep
from recbole_sheaf.sheaf import orthonormal_rows
from tests.layers.problems import FAMILIES, KERNELS, definition, problem

every_kernel = pytest.mark.parametrize("backend, weights", KERNELS)
every_family = pytest.mark.parametrize("family", FAMILIES)


@every_kernel
def test_identity_step_is_lightgcn(backend, weights):
    graph, x, _ = problem("identity", n=9, e=20, d=2, c=4, seed=0, backend=backend, weights=weights)
    adjacency = torch.zeros(9, 9, dtype=x.dtype).index_put((graph.dst, graph.src), torch.ones(graph.num_arcs).double())
    degree = adjacency.sum(1).clamp(min=1)
    propagated = (adjacency / (degree[:, None] * degree[None, :]).sqrt()) @ x.flatten(1)
    got, linked = SheafConv("identity")(graph, x).flatten(1), graph.in_degrees > 0
    torch.testing.assert_close(got[linked], propagated[linked])
    assert torch.equal(got[~linked], x.flatten(1)[~linked])


@every_family
def test_a_step_lowers_the_energy(family):
    graph, x, maps = problem(family, n=9, e=20, d=3, c=4, seed=1)
    after = SheafConv(family, step_size=0.5)(graph, x, *maps)
    before, now = ((y * definition(family, graph, y, maps)).sum() for y in (x, after))
    assert 0 <= now < before


@every_family
def test_neural_step_is_its_equation(family):
    graph, x, maps = problem(family, n=7, e=12, d=3, c=4, seed=2)
    layer = SheafDiffusionStep(family, stalk_dim=3, channels=4).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    sent = torch.einsum("ij,vjc,cf->vif", layer.left, x, layer.right)
    expected = (1 + layer.epsilon.tanh()) * x - torch.nn.functional.elu(definition(family, graph, sent, maps))
    got = layer(graph, x, *maps)
    torch.testing.assert_close(got, expected)
    assert all(g is not None for g in torch.autograd.grad(got.square().sum(), list(layer.parameters())))


def test_neural_step_without_weights_is_a_linear_step():
    graph, x, maps = problem("diagonal", n=7, e=12, d=3, c=4, seed=2)
    layer = SheafDiffusionStep("diagonal", 3, 4, activation=None, left_weights=False, right_weights=False).double()
    torch.testing.assert_close(layer(graph, x, *maps), SheafConv("diagonal")(graph, x, *maps))
    assert [name for name, _ in layer.named_parameters()] == ["epsilon"]


@every_kernel
@pytest.mark.usefixtures("our_refusals")
def test_arc_scales_start_at_one_and_depend_on_both_ends(backend, weights):
    graph, _, _ = problem("identity", n=6, e=9, d=1, c=1, seed=3, backend=backend, weights=weights)
    h = torch.randn(6, 5)
    learner = ArcScales(5, 3, beta=0.5)
    assert torch.equal(learner(graph, h), torch.ones(graph.num_arcs, 3))
    torch.nn.init.normal_(learner.ends.weight)
    s = learner(graph, h)
    both = torch.cat([h[graph.src], h[graph.dst]], dim=1)
    weight = torch.cat([learner.ends.weight[:3], learner.ends.weight[3:]], dim=1)
    torch.testing.assert_close(s, 1 + 0.5 * torch.tanh(both @ weight.T))
    assert (s - s[graph.reverse]).abs().max() > 1e-3
    learner, h = learner.double(), h.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda h: learner(graph, h), h)
    with pytest.raises(ShapeError, match=r"features have shape \(5, 5\), expected \(6, 5\): one row per node"):
        learner(graph, h[1:])


def test_householder_frames_start_at_identity_and_stay_orthonormal():
    learner = HouseholderFrames(5, 4, edge_stalk_dim=3, num_pairs=2).double()
    h = torch.randn(6, 5, dtype=torch.float64)
    torch.testing.assert_close(learner(h), torch.eye(3, 4, dtype=h.dtype).expand(6, 3, 4))
    learner(h)[:, 0, 1].sum().backward()
    assert learner.axes.weight.grad.abs().max() > 1e-3
    torch.nn.init.normal_(learner.axes.weight)
    frame = learner(h)
    torch.testing.assert_close(frame @ frame.mT, torch.eye(3, dtype=h.dtype).expand(6, 3, 3))


def test_reflections_rotate_as_their_matrices_do():
    learner = HouseholderFrames(5, 4, num_pairs=2).double()
    torch.nn.init.normal_(learner.axes.weight)
    h, x = torch.randn(6, 5, dtype=torch.float64), torch.randn(6, 4, 3, dtype=torch.float64)
    reflections, frame = learner.reflections(h), learner(h)
    torch.testing.assert_close(reflections.rotate(x), frame @ x)
    torch.testing.assert_close(reflections.rotate_back(x), frame.mT @ x)
    one_by_one = torch.eye(4, dtype=x.dtype).expand(6, 4, 4)
    for axis in reflections.axes.unsqueeze(-1).unbind(1):
        one_by_one = one_by_one @ (torch.eye(4, dtype=x.dtype) - 2 * axis @ axis.mT)
    torch.testing.assert_close(frame, one_by_one)
    assert Reflections(x.new_zeros(6, 0, 4)).rotate(x) is x


def test_gradients_of_reflections():
    axes = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda axes, x: Reflections(axes).rotate(x), (axes, x))


def test_diffusion_in_the_frames_is_factored_diffusion():
    graph, x, (scale,) = problem("diagonal", n=6, e=9, d=4, c=3, seed=0)
    axes = torch.nn.functional.normalize(torch.randn(6, 2, 4, dtype=x.dtype), dim=2)
    frames, expected = Reflections(axes), x
    matrices = frames.rotate(torch.eye(4, dtype=x.dtype).expand(6, 4, 4))
    signal = frames.rotate(x)
    for _ in range(2):
        expected = SheafConv("factored", 0.7)(graph, expected, scale, matrices)
        signal = SheafConv("diagonal", 0.7)(graph, signal, scale)
    torch.testing.assert_close(frames.rotate_back(signal), expected)


def test_trust_frames_are_orthonormal_and_leave_out_what_is_missing():
    learner = TrustFrames(5, num_modalities=3, edge_stalk_dim=2).double()
    h = torch.randn(4, 5, dtype=torch.float64)
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]]).bool()
    eye = torch.eye(2, dtype=h.dtype)
    start = learner(h, present)
    torch.testing.assert_close(start[0], torch.cat([eye] * 3, dim=1) / 3**0.5)
    torch.testing.assert_close(start[1], torch.cat([eye, 0 * eye, eye], dim=1) / 2**0.5)
    for parameter in learner.parameters():
        torch.nn.init.normal_(parameter)
    frame = learner(h, present)
    torch.testing.assert_close(frame[:3] @ frame[:3].mT, eye.expand(3, 2, 2))
    assert torch.equal(frame[3], torch.zeros_like(frame[3]))
    frame.sum().backward()
    assert torch.isfinite(learner.trust.weight.grad).all()


def test_zero_frames_diffuse_nothing_in_a_factored_step():
    graph, x, (scale, frame) = problem("factored", n=5, e=8, d=2, c=2, seed=0)
    out = DELTAS["factored"](graph, x, scale, frame * torch.tensor([0.0, 1, 1, 1, 1]).double().view(-1, 1, 1))
    assert torch.equal(out[0], torch.zeros_like(out[0]))


def test_mixture_with_identity():
    frame = orthonormal_rows(torch.randn(6, 2, 3, dtype=torch.float64))
    mixed = mix_with_identity(frame, 0.3)
    torch.testing.assert_close(mixed @ mixed.mT, torch.eye(2, dtype=frame.dtype).expand(6, 2, 2))
    torch.testing.assert_close(mix_with_identity(frame, 1.0), frame)
    near = mix_with_identity(frame, 1e-9)
    torch.testing.assert_close(near, torch.eye(2, 3, dtype=frame.dtype).expand(6, 2, 3), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (
            lambda: SheafConv("diag"),
            ConfigError,
            "sheaf family 'diag' is unknown; choose one of identity, wide|diagonal",
        ),
        (lambda: SheafConv("wide", step_size=1.5), ConfigError, r"step_size 1.5 is outside \(0, 1\]"),
        (lambda: SheafDiffusionStep("diag", 2, 2), ConfigError, "sheaf family 'diag' is unknown"),
        (lambda: ArcScales(3, 2, beta=0.0), ConfigError, r"beta 0.0 is outside \(0, 1\]"),
        (lambda: mix_with_identity(torch.eye(2).expand(1, 2, 2), 2.0), ConfigError, r"beta 2.0 is outside \(0, 1\]"),
        (lambda: HouseholderFrames(3, 2, edge_stalk_dim=4), ShapeError, "4 orthonormal rows do not fit a stalk"),
    ],
)
def test_bad_settings_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()

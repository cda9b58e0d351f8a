"""Diffusion steps and the learners of their maps: LightGCN as the trivial sheaf, identity starts, every refusal."""

import pytest
import torch

from recbole_sheaf.errors import ConfigError, ShapeError
from recbole_sheaf.layers.map_learners import ArcScales, HouseholderFrames
from recbole_sheaf.layers.normalised_laplacians import DELTAS
from recbole_sheaf.layers.reflections import Reflections
from recbole_sheaf.layers.sheaf_conv import SheafConv
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


@every_kernel
@pytest.mark.usefixtures("unchecked_shapes")
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
    learner = HouseholderFrames(5, 4).double()
    h, eye = torch.randn(6, 5, dtype=torch.float64), torch.eye(4, dtype=torch.float64).expand(6, 4, 4)
    torch.testing.assert_close(learner(h).rotate(eye), eye)
    learner(h).rotate(eye)[:, 0, 1].sum().backward()
    assert learner.axes.weight.grad.abs().max() > 1e-3
    torch.nn.init.normal_(learner.axes.weight)
    frame = learner(h).rotate(eye)
    torch.testing.assert_close(frame @ frame.mT, eye)
    assert (frame - eye).abs().max() > 0.1


def test_reflections_rotate_as_their_matrices_do():
    """Two pairs of them, in their order."""
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    reflections = Reflections(torch.nn.functional.normalize(torch.randn(6, 4, 4, dtype=x.dtype), dim=2))
    one_by_one = torch.eye(4, dtype=x.dtype).expand(6, 4, 4)
    for axis in reflections.axes.unsqueeze(-1).unbind(1):
        one_by_one = one_by_one @ (torch.eye(4, dtype=x.dtype) - 2 * axis @ axis.mT)
    torch.testing.assert_close(reflections.rotate(x), one_by_one @ x)
    torch.testing.assert_close(reflections.rotate_back(x), one_by_one.mT @ x)
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


def test_zero_frames_diffuse_nothing_in_a_factored_step():
    graph, x, (scale, frame) = problem("factored", n=5, e=8, d=2, c=2, seed=0)
    out = DELTAS["factored"](graph, x, scale, frame * torch.tensor([0.0, 1, 1, 1, 1]).double().view(-1, 1, 1))
    assert torch.equal(out[0], torch.zeros_like(out[0]))


@pytest.mark.parametrize(
    "make, error, message",
    [
        (
            lambda: SheafConv("diag"),
            ConfigError,
            "sheaf family 'diag' is unknown; choose one of identity, wide|diagonal",
        ),
        (lambda: SheafConv("wide", step_size=1.5), ConfigError, r"step_size 1.5 is outside \(0, 1\]"),
        (lambda: ArcScales(3, 2, beta=0.0), ConfigError, r"beta 0.0 is outside \(0, 1\]"),
    ],
)
def test_bad_settings_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()

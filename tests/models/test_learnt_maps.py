"""Learnt maps, far from the identity at which they start, against each family's definition written out densely."""

import pytest
import torch

from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.sheaf_conv import SheafConv
from recbole_sheaf.models.learnt_maps import LearntMaps
from recbole_sheaf.settings.vocabulary import RESTRICTION_MAPS
from tests.models.dense import dense_delta, perturb

LEARNT = [family for family in RESTRICTION_MAPS if family != "identity"]
EDGES = torch.tensor([[0, 0, 1, 2, 3, 1, 0], [4, 5, 5, 6, 6, 6, 6]])  # node 7 has none


def problem(family, beta, dropout=0.5, **options):
    """A graph of eight nodes, what they say, a signal of stalk dimension 3 and maps away from the identity."""
    graph = ArcGraph.from_edges(EDGES[0], EDGES[1], 8, **options)
    generator = torch.Generator().manual_seed(0)
    h, x = (torch.randn(8, *shape, generator=generator, dtype=torch.float64) for shape in ((4,), (3, 2)))
    torch.manual_seed(0)
    return graph, h, x, perturb(LearntMaps(family, 4, 3, beta, dropout), 0.7)


def step(graph, h, x, maps):
    """One diffusion step as a model takes it: into the frames, through the family's maps, and back."""
    values, frames = maps(graph, h)
    return frames.rotate_back(SheafConv(maps.family)(graph, frames.rotate(x), *values))


@pytest.mark.parametrize("backend", ["dgl", "torch"])
@pytest.mark.parametrize("beta", [0.3, 1.0])
@pytest.mark.parametrize("family", RESTRICTION_MAPS)
def test_a_step_is_that_of_the_familys_definition(family, beta, backend):
    graph, h, x, maps = problem(family, beta, backend=backend)
    expected = x - (dense_delta(graph, maps, family, beta, h) @ x.flatten(0, 1)).view_as(x)
    torch.testing.assert_close(step(graph, h, x, maps), expected)


@pytest.mark.parametrize("family", LEARNT)
def test_maps_that_moved_are_not_the_identity(family):
    """What the test above compares differs from the control, and from what another beta gives."""
    graph, h, x, maps = problem(family, 0.5)
    control, nearer = (problem(name, beta)[3] for name, beta in (("identity", 0.5), (family, 0.25)))
    moved = step(graph, h, x, maps)
    for other in (control, nearer):
        assert (moved - step(graph, h, x, other)).abs().max() > 0.02


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(  # the family of the defaults and the largest; the others are slow
    "family", [pytest.param(name, marks=() if name in ("factored", "general") else pytest.mark.slow) for name in LEARNT]
)
def test_gradients_reach_weights_content_and_signal(family):
    graph, h, x, maps = problem(family, 0.5)
    weights = dict(maps.named_parameters())

    def run(h, x, *values):
        wired, frames = torch.func.functional_call(maps, dict(zip(weights, values)), (graph, h))
        return frames.rotate_back(SheafConv(maps.family)(graph, frames.rotate(x), *wired))

    inputs = [tensor.detach().requires_grad_() for tensor in (h, x, *weights.values())]
    assert torch.autograd.gradcheck(run, inputs)


@pytest.mark.parametrize("family", RESTRICTION_MAPS)
def test_maps_that_may_not_leave_the_identity_have_nothing_to_learn(family):
    graph, h, x, maps = problem(family, 0.0)
    assert maps.family == "identity" and not list(maps.parameters())
    torch.testing.assert_close(step(graph, h, x, maps), step(graph, h, x, problem("identity", 1.0)[3]))


@pytest.mark.parametrize("family", RESTRICTION_MAPS)
def test_distance_is_the_sum_of_squared_weights(family):
    """Each weight by which content moves a map counts once; biases, such as a frame's first axes, are free."""
    maps = problem(family, 0.5)[3]
    weights = [value for name, value in maps.named_parameters() if name.endswith("weight")]
    expected = sum(number**2 for weight in weights for number in weight.flatten().tolist())
    assert maps.distance().item() == pytest.approx(expected, rel=1e-12)
    assert expected > 1 or family == "identity"
    if weights:
        for weight, gradient in zip(weights, torch.autograd.grad(maps.distance(), weights)):
            torch.testing.assert_close(gradient, 2 * weight)


@pytest.mark.parametrize("family", LEARNT)
def test_content_is_dropped_in_training_alone(family):
    """With all of it dropped, maps are what they are at nodes without content."""
    graph, h, x, maps = problem(family, 0.5, dropout=1.0)
    still = step(graph, h, x, maps)
    maps.train()
    torch.testing.assert_close(step(graph, h, x, maps), step(graph, 0 * h, x, maps.eval()))
    assert (step(graph, h, x, maps) - step(graph, 0 * h, x, maps)).abs().max() > 0.02
    torch.testing.assert_close(step(graph, h, x, maps), still)

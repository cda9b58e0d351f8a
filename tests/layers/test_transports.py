"""What steps share of a sheaf with a matrix on every arc: made at once, a few at a time, and used by several steps."""

import pytest
import torch

from recbole_sheaf.errors import GraphError, ShapeError
from recbole_sheaf.layers import _torch_kernels, transports
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.normalised_laplacians import general_delta
from recbole_sheaf.layers.sheaf_conv import SheafConv
from recbole_sheaf.layers.transports import Transports
from recbole_sheaf.sheaf import orthogonal_maps
from tests.layers.problems import KERNELS, problem, random_arcs
from tests.layers.test_hot_path import watch

every_family = pytest.mark.parametrize("family", ["orthogonal", "general"])


def made_of_ends(family, d=3, paired=False):
    """A graph, what its ends say, and how maps are made of that."""
    src, dst, generator = random_arcs(9, 16, seed=4)
    graph = ArcGraph(src, dst, 9)
    if paired:
        graph = ArcGraph.from_edges(src[src < dst], dst[src < dst], 9)
    p = d * (d + 1) // 2 if family == "orthogonal" else d**2
    ends = [torch.randn(9, p, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2)]

    def make_maps(numbers):
        return orthogonal_maps(numbers, d, "cayley") if family == "orthogonal" else numbers.tanh().view(-1, d, d)

    return graph, ends, make_maps


@every_family
@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("at_once", [1, 40, 10**6])
def test_maps_made_a_few_at_a_time_give_what_maps_held_give(monkeypatch, family, paired, at_once):
    graph, ends, make_maps = made_of_ends(family, paired=paired)
    src, dst = graph.src, graph.dst
    held = Transports.of(graph, make_maps(ends[0][src] + ends[1][dst]), orthogonal=family == "orthogonal")
    monkeypatch.setattr(transports, "KEPT", 0)
    monkeypatch.setattr(transports, "AT_ONCE", at_once)
    few = Transports.learnt(graph, *ends, make_maps, orthogonal=family == "orthogonal")
    assert (few.degree is None) == (family == "orthogonal")
    probes = []
    for made in (held, few):
        loss = (made.blocks * torch.linspace(-1, 1, made.blocks.numel()).view_as(made.blocks)).sum()
        if made.degree is not None:
            loss = loss + (made.degree * torch.linspace(-2, 1, made.degree.numel()).view_as(made.degree)).sum()
        probes.append((made.blocks, made.degree, *torch.autograd.grad(loss, ends)))
    torch.testing.assert_close(probes[1], probes[0])
    assert all(gradient.abs().max() > 1e-3 for gradient in probes[0][2:])


@every_family
def test_maps_are_held_where_they_fit(monkeypatch, family):
    """So that small graphs do not pay for making them twice."""
    graph, ends, make_maps = made_of_ends(family)
    calls = []

    def counted(numbers):
        calls.append(len(numbers))
        return make_maps(numbers)

    monkeypatch.setattr(transports, "KEPT", graph.num_arcs * ends[0].shape[1])
    Transports.learnt(graph, *ends, counted).blocks.sum().backward()
    assert calls == [graph.num_arcs]


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_few_at_a_time_hold_no_maps_of_all_arcs(monkeypatch):
    graph, ends, make_maps = made_of_ends("general", d=8)
    monkeypatch.setattr(transports, "KEPT", 0)
    monkeypatch.setattr(transports, "AT_ONCE", 4 * 64)
    watched = watch(lambda *ends: Transports.learnt(graph, *ends, make_maps).blocks, ends)
    assert watched.largest == max(graph.num_arcs // 2, graph.num_nodes) * 64 < graph.num_arcs * 64


@every_family
def test_steps_that_share_transports_are_steps_on_the_maps(family):
    graph, x, (maps,) = problem(family, n=9, e=16, d=3, c=2, seed=5)
    maps.requires_grad_()
    shared, step, results = Transports.of(graph, maps, family == "orthogonal"), SheafConv(family, 0.7), []
    for given in (maps, shared):
        out = step(graph, step(graph, x, given), given)
        results.append((out, *torch.autograd.grad((out * x).sum(), maps)))
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("backend, weights", KERNELS)
@pytest.mark.parametrize("d, cached", [(2, 2**18), (6, 2**18), (6, 100), (6, 1)])
def test_products_of_blocks(monkeypatch, backend, weights, d, cached):
    """Along every edge and back, for blocks that are small and large, all at once and a few at a time."""
    monkeypatch.setattr(_torch_kernels, "CACHED", cached)
    graph, x, _ = problem("identity", n=9, e=16, d=d, c=3, seed=6, backend=backend, weights=weights)
    y, u, v = x.flip(0) + 1, graph.pairs.src, graph.pairs.dst
    blocks = torch.randn(len(u), d, d, dtype=x.dtype)
    matrix = torch.zeros(9, d, 9, d, dtype=x.dtype)
    for block, src, dst in zip(blocks, u, v):
        matrix[dst, :, src] += block
        matrix[src, :, dst] += block.mT
    expected = (matrix.view(9 * d, 9 * d) @ x.reshape(9 * d, 3)).view_as(x)
    torch.testing.assert_close(graph.pairs.kernels.block_product(x, blocks), expected)
    torch.testing.assert_close(graph.pairs.kernels.block_dots(x, y), y[v] @ x[u].mT + x[v] @ y[u].mT)


def test_bad_transports_are_refused():
    graph, x, (maps,) = problem("orthogonal", n=9, e=16, d=3, c=2, seed=5)
    with pytest.raises(ShapeError, match="were made of orthogonal maps, without D_v; make them orthogonal=False"):
        general_delta(graph, x, Transports.of(graph, maps, orthogonal=True))
    directed, ends = ArcGraph(torch.tensor([0]), torch.tensor([1]), 2, undirected=False), torch.ones(2, 9)
    for make in (
        lambda: Transports.of(directed, torch.ones(1, 3, 3)),
        lambda: Transports.learnt(directed, ends, ends, lambda numbers: numbers.view(-1, 3, 3)),
    ):
        with pytest.raises(GraphError, match="here each needs one; build it undirected"):
            make()

"""Every family's operator against its definition and its laws, on every kernel; gradients; every refusal."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recbole_sheaf.errors import GraphError, ShapeError
from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.normalised_laplacians import DELTAS
from tests.conftest import KERNELS_HERE
from tests.layers.problems import (
    FAMILIES,
    KERNELS,
    definition,
    problem,
    random_arcs,
    random_maps,
    rounding,
)

every_kernel = pytest.mark.parametrize("backend, weights", KERNELS)
every_family = pytest.mark.parametrize("family", FAMILIES)
sizes = {
    "n": st.integers(1, 8),
    "e": st.integers(0, 20),
    "d": st.integers(1, 4),
    "c": st.integers(1, 3),
    "seed": st.integers(0, 2**32 - 1),
}


@every_family
@every_kernel
@given(**sizes)
@example(n=5, e=6, d=3, c=2, seed=5)  # the smallest node scale is 2e-4
@example(n=7, e=12, d=6, c=2, seed=0)  # blocks too large for block-sparse rows
@settings(max_examples=12, deadline=None)
def test_equals_the_definition(family, backend, weights, n, e, d, c, seed):
    graph, x, maps = problem(family, n, e, d, c, seed, backend=backend, weights=weights)
    expected = definition(family, graph, x, maps)
    bound = rounding(family, graph, x, maps)
    torch.testing.assert_close(DELTAS[family](graph, x, *maps), expected, rtol=0, atol=bound)


@every_family
@given(**sizes)
@settings(max_examples=12, deadline=None)
def test_spectrum_lies_in_0_2_and_energy_is_not_negative(family, n, e, d, c, seed):
    graph, x, maps = problem(family, n, e, d, c, seed)
    basis = torch.eye(n * d, dtype=torch.float64).view(n, d, n * d)
    matrix = DELTAS[family](graph, basis, *maps).reshape(n * d, n * d)
    bound = rounding(family, graph, x, maps)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=bound)
    value, bound = torch.linalg.eigvalsh(matrix), n * d * bound
    assert value.min() > -bound and value.max() < 2 + bound


@pytest.mark.usefixtures("unchecked_shapes")  # so many calls, of functions that other tests call checked
@every_family
@every_kernel
def test_gradients(family, backend, weights):
    graph, x, maps = problem(family, n=5, e=7, d=3, c=2, seed=1, backend=backend, weights=weights)
    inputs = [t.requires_grad_() for t in (x, *maps)]
    assert torch.autograd.gradcheck(lambda x, *maps: DELTAS[family](graph, x, *maps), inputs)


@every_family
@every_kernel
def test_isolated_nodes_get_zero_and_finite_gradients(family, backend, weights):
    graph, x, maps = problem(family, n=7, e=6, d=2, c=3, seed=2, backend=backend, weights=weights)
    inputs = [t.requires_grad_() for t in (x, *maps)]
    out = DELTAS[family](graph, x, *maps)
    assert torch.equal(out[-1], torch.zeros_like(out[-1]))
    for gradient in torch.autograd.grad(out.sum(), inputs):
        assert torch.isfinite(gradient).all()


@every_family
@every_kernel
def test_a_graph_without_arcs_diffuses_nothing(family, backend, weights):
    graph, x, maps = problem(family, n=3, e=0, d=2, c=2, seed=2, backend=backend, weights=weights)
    assert torch.equal(DELTAS[family](graph, x, *maps), torch.zeros_like(x))


@every_family
def test_zero_maps_diffuse_nothing_and_stay_finite(family):
    if family in ("identity", "orthogonal", "wide"):
        pytest.skip("these maps cannot be zero")
    graph, x, maps = problem(family, n=6, e=9, d=2, c=2, seed=2)
    zeros = [torch.zeros_like(maps[0]).requires_grad_(), *maps[1:]]
    out = DELTAS[family](graph, x, *zeros)
    assert torch.equal(out, torch.zeros_like(x))
    assert torch.isfinite(torch.autograd.grad(out.sum(), zeros[0])[0]).all()


@every_family
def test_kernels_agree_with_their_gradients(family):
    results = []
    for backend, weights in [kernels for kernels in KERNELS if kernels[0] in KERNELS_HERE]:
        graph, x, maps = problem(family, n=60, e=400, d=3, c=4, seed=5, backend=backend, weights=weights)
        inputs = [t.requires_grad_() for t in (x, *maps)]
        out = DELTAS[family](graph, x, *maps)
        probe = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
        results.append((out, *torch.autograd.grad(out, inputs, probe)))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-11, atol=1e-11)


@every_family
def test_order_of_arcs_and_names_of_nodes_do_not_matter(family):
    src, dst, generator = random_arcs(8, 14, seed=3)
    x = torch.randn(8, 2, 3, dtype=torch.float64, generator=generator)
    maps = random_maps(family, src, 8, 2, generator)
    expected = DELTAS[family](ArcGraph(src, dst, 8), x, *maps)
    order, name = torch.randperm(len(src)), torch.randperm(8)
    x_named = torch.empty_like(x).index_copy_(0, name, x)
    moved = [m[order] if len(m) == len(src) else torch.empty_like(m).index_copy_(0, name, m) for m in maps]
    renamed = DELTAS[family](ArcGraph(name[src[order]], name[dst[order]], 8), x_named, *moved)
    torch.testing.assert_close(renamed[name], expected)


@pytest.mark.parametrize("family", ["diagonal", "factored", "orthogonal", "general"])
def test_paired_arcs_give_what_shuffled_ones_give(family):
    paired = ArcGraph.from_edges(torch.tensor([0, 1, 2, 0]), torch.tensor([3, 3, 4, 4]), 6)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 2, 3, dtype=torch.float64, generator=generator)
    maps = random_maps(family, paired.src, 6, 2, generator)
    assert paired.pairs.sliced
    torch.testing.assert_close(DELTAS[family](paired, x, *maps), definition(family, paired, x, maps))
    for m in maps:
        m.requires_grad_()
    assert torch.autograd.gradcheck(lambda *maps: DELTAS[family](paired, x, *maps), maps)


@pytest.mark.parametrize("family", ["orthogonal", "general"])
def test_gauge_equivariance(family):
    """Turn each stalk's basis by an orthogonal matrix, and its maps with it: the result turns the same way."""
    graph, x, (maps,) = problem(family, n=7, e=12, d=3, c=2, seed=6)
    turn = torch.linalg.qr(torch.randn(7, 3, 3, dtype=torch.float64))[0]
    turned = DELTAS[family](graph, turn @ x, maps @ turn[graph.dst].mT)
    torch.testing.assert_close(turned, turn @ DELTAS[family](graph, x, maps))


@pytest.mark.parametrize("family", ["diagonal", "factored"])
def test_scales_of_one_are_the_identity(family):
    graph, x, _maps = problem(family, n=9, e=20, d=3, c=2, seed=7)
    ones = torch.ones(graph.num_arcs, 3, dtype=x.dtype)
    frame = torch.eye(3, dtype=x.dtype).expand(9, 3, 3)
    got = DELTAS[family](graph, x, *((ones,) if family == "diagonal" else (ones, frame)))
    torch.testing.assert_close(got, DELTAS["identity"](graph, x))


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_refused():
    graph, x, (scale, frame) = problem("factored", n=5, e=8, d=2, c=2, seed=0)
    refusals = [
        (lambda: DELTAS["diagonal"](graph, x, scale[1:]), "maps has shape .* one diagonal per arc"),
        (
            lambda: DELTAS["diagonal"](graph, x[0], scale),
            r"x has shape \(2, 2\), expected \(n, d, c\) with n = 5 nodes",
        ),
        (lambda: DELTAS["wide"](graph, x, frame[:, :, :1]), r"frame has shape \(5, 1, 1\), expected \(n, k, d\)"),
        (lambda: DELTAS["general"](graph, x, scale), "maps have shape .* one matrix per arc"),
        (lambda: DELTAS["orthogonal"](graph, x, frame), "maps have shape .* one matrix per arc"),
    ]
    for call, message in refusals:
        with pytest.raises(ShapeError, match=message):
            call()
    directed = ArcGraph(torch.tensor([0]), torch.tensor([1]), 5, undirected=False)
    with pytest.raises(GraphError, match="here each needs one; build it undirected"):
        DELTAS["diagonal"](directed, x, torch.ones(1, 2, dtype=x.dtype))

"""Sums over arcs against their dense definition, in every backend; gradients; every refusal."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_sheaf.errors import BackendError, GraphError, ShapeError
from recbole_sheaf.layers import _dgl_kernels, message_passing
from recbole_sheaf.layers.message_passing import ArcGraph
from tests.conftest import needs_dgl
from tests.layers.problems import KERNELS, random_arcs

every_kernel = pytest.mark.parametrize("backend, weights", KERNELS)


def problem(n, e, d, c, seed, **options):
    src, dst, generator = random_arcs(n, e, seed)
    graph = ArcGraph(src, dst, n, **options)
    x = torch.randn(n, d, c, generator=generator, dtype=torch.float64)
    w = torch.randn(len(src), d, 1, generator=generator, dtype=torch.float64)
    return graph, x, w


problems = {"n": st.integers(1, 8), "e": st.integers(0, 20), "d": st.integers(1, 4), "c": st.integers(1, 3),
            "seed": st.integers(0, 2**32 - 1)}  # fmt: skip


@every_kernel
@given(**problems)
@settings(max_examples=25, deadline=None)
def test_sums_equal_their_definition(backend, weights, n, e, d, c, seed):
    graph, x, w = problem(n, e, d, c, seed, backend=backend, weights=weights)
    into = torch.zeros(n, graph.num_arcs, dtype=x.dtype)
    into[graph.dst, torch.arange(graph.num_arcs)] = 1
    expected = {
        "sum": torch.einsum("va,adc->vdc", into, x[graph.src]),
        "weighted": torch.einsum("va,adc->vdc", into, w * x[graph.src]),
        "arcs": torch.einsum("va,adx->vdx", into, w),
        "add": x[graph.src] + x.flip(1)[graph.dst],
        "mul": x[graph.src] * x.flip(1)[graph.dst],
    }
    got = {
        "sum": graph.sum_neighbours(x),
        "weighted": graph.weighted_sum(x, w),
        "arcs": graph.sum_arcs(w),
        "add": graph.add_ends(x, x.flip(1)),
        "mul": graph.mul_ends(x, x.flip(1)),
    }
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@every_kernel
@given(**problems)
@settings(max_examples=15, deadline=None)
def test_softmax_is_a_softmax_at_each_destination(backend, weights, n, e, d, c, seed):
    graph, _, w = problem(n, e, d, c, seed, backend=backend, weights=weights)
    shares = graph.softmax_arcs(w + 1e3)
    for v in range(n):
        at_v = graph.dst == v
        torch.testing.assert_close(shares[at_v], torch.softmax(w[at_v], 0), rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("unchecked_shapes")  # so many calls, of functions that other tests call checked
@every_kernel
def test_gradients(backend, weights):
    graph, x, w = problem(n=6, e=9, d=2, c=3, seed=0, backend=backend, weights=weights)
    x.requires_grad_(), w.requires_grad_()
    y = torch.randn_like(x, requires_grad=True)
    assert torch.autograd.gradcheck(graph.sum_neighbours, x)
    assert torch.autograd.gradcheck(graph.weighted_sum, (x, w))
    assert torch.autograd.gradcheck(graph.sum_arcs, w)
    assert torch.autograd.gradcheck(graph.add_ends, (x, y))
    assert torch.autograd.gradcheck(graph.mul_ends, (x, y))
    assert torch.autograd.gradcheck(graph.softmax_arcs, w)


@every_kernel
def test_gradients_on_directed_arcs(backend, weights):
    src, dst = torch.tensor([0, 0, 1, 3]), torch.tensor([1, 2, 2, 1])
    graph = ArcGraph(src, dst, 4, backend, undirected=False, weights=weights)
    x = torch.randn(4, 2, 2, dtype=torch.float64, requires_grad=True)
    w = torch.randn(4, 2, 1, dtype=torch.float64, requires_grad=True)
    assert graph.reverse is None
    with pytest.raises(GraphError, match="no arc of a directed graph has a reverse"):
        graph.required_reverse()
    assert torch.autograd.gradcheck(graph.sum_neighbours, x)
    assert torch.autograd.gradcheck(graph.weighted_sum, (x, w))


@every_kernel
def test_gradients_agree_with_plain_torch(backend, weights):
    graph, x, w = problem(n=40, e=300, d=3, c=4, seed=1, backend=backend, weights=weights)
    x.requires_grad_(), w.requires_grad_()
    out = graph.weighted_sum(x, w)
    slow = torch.zeros_like(x).index_add(0, graph.dst, w * x[graph.src])
    probe = torch.randn_like(out)
    for got, expected in zip(torch.autograd.grad(out, (x, w), probe), torch.autograd.grad(slow, (x, w), probe)):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_order_of_arcs_changes_nothing_but_the_order():
    graph, x, w = problem(n=8, e=15, d=2, c=3, seed=3)
    order = torch.randperm(graph.num_arcs)
    shuffled = ArcGraph(graph.src[order], graph.dst[order], 8)
    torch.testing.assert_close(shuffled.weighted_sum(x, w[order]), graph.weighted_sum(x, w))
    torch.testing.assert_close(shuffled.softmax_arcs(w[order]), graph.softmax_arcs(w)[order])


def test_reverse_names_the_other_direction():
    graph, _, _ = problem(n=9, e=20, d=1, c=1, seed=4)
    assert torch.equal(graph.src[graph.reverse], graph.dst)
    assert torch.equal(graph.dst[graph.reverse], graph.src)
    assert torch.equal(graph.in_degrees, torch.bincount(graph.dst, minlength=9))


def test_from_edges_pairs_arcs_and_sorts_the_first_by_destination():
    graph = ArcGraph.from_edges(torch.tensor([0, 3, 1]), torch.tensor([2, 1, 0]), 5)
    assert graph.dst.tolist() == [0, 1, 2, 1, 3, 0]
    assert graph.src.tolist() == [1, 3, 0, 0, 1, 2]
    assert graph.reverse.tolist() == [3, 4, 5, 0, 1, 2]
    assert graph.pairs.sliced


def test_trailing_shapes_are_kept():
    graph, _, _ = problem(n=5, e=6, d=1, c=1, seed=0)
    x, a = torch.ones(5), torch.ones(graph.num_arcs)
    assert torch.equal(graph.sum_neighbours(x), graph.in_degrees.float())
    assert torch.equal(graph.sum_arcs(a), graph.in_degrees.float())
    assert graph.add_ends(x, x).shape == (graph.num_arcs,)
    assert graph.softmax_arcs(a).shape == (graph.num_arcs,)


def test_copies_share_and_pickles_rebuild():
    graph, x, w = problem(n=5, e=8, d=2, c=2, seed=0, backend="torch")
    assert copy.deepcopy(graph) is graph and graph.to("cpu") is graph
    again = pickle.loads(pickle.dumps(graph))
    assert again.backend == "torch"
    torch.testing.assert_close(again.weighted_sum(x, w), graph.weighted_sum(x, w))


def test_float32_stays_float32_after_float64():
    graph, x, w = problem(n=5, e=8, d=2, c=2, seed=0, backend="torch")
    wide = graph.weighted_sum(x, w)
    narrow = graph.weighted_sum(x.float(), w.float())
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-5, atol=1e-5)


@needs_dgl
def test_auto_takes_dgl_and_says_so():
    graph, _, _ = problem(n=5, e=8, d=2, c=2, seed=0)
    assert graph.backend == "dgl" and "dgl on cpu" in repr(graph)


def test_without_dgl_auto_takes_torch_and_dgl_is_refused(monkeypatch, caplog):
    monkeypatch.setitem(__import__("sys").modules, "dgl", None)
    src, dst = torch.tensor([0, 1]), torch.tensor([1, 0])
    message_passing._say_once.cache_clear()
    with caplog.at_level("INFO"):
        assert [ArcGraph(src, dst, 2).backend for _ in range(3)] == ["torch"] * 3
    (line,) = caplog.messages
    assert line.startswith(
        "message passing backend: auto takes torch on cpu, with the same results: DGL does not import"
    )
    with pytest.raises(BackendError, match="'dgl' cannot serve cpu: DGL does not import here .*; choose 'torch'"):
        ArcGraph(src, dst, 2, backend="dgl")


@needs_dgl
def test_a_cpu_build_of_dgl_cannot_serve_a_gpu():
    assert "torch was built without cuda" in _dgl_kernels.why_dgl_cannot_serve(torch.device("cuda"))


@pytest.mark.parametrize(
    "src, dst, n, message",
    [
        ([0, 1], [1, 2], 2, r"1 of 2 arcs leave the nodes 0 to 1 \(first: 1 -> 2 at 1\)"),
        ([0, -1], [1, 0], 2, r"1 of 2 arcs leave the nodes 0 to 1 \(first: -1 -> 0 at 1\)"),
        ([0, 1, 1], [1, 0, 2], 3, r"1 of 3 arcs have no reverse \(first: 1 -> 2\)"),
        ([0, 1, 1], [1, 0, 1], 2, r"1 arcs are self loops \(first: node 1\); drop them"),
        ([0, 1, 0, 1], [1, 0, 1, 0], 2, r"2 of 4 arcs repeat another \(first: 1 -> 0\)"),
        ([0], [1, 0], 2, r"shape \(1,\) and dst torch.int64 of shape \(2,\)"),
        ([], [], 0, "a graph of 0 nodes has nothing to diffuse"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_arcs_are_refused(src, dst, n, message):
    with pytest.raises(GraphError, match=message):
        ArcGraph(torch.tensor(src, dtype=torch.int64), torch.tensor(dst, dtype=torch.int64), n)


def test_arcs_that_are_said_to_be_distinct_are_not_sorted_to_see_it(monkeypatch):
    monkeypatch.setattr("recbole_sheaf.layers.message_passing.refuse_duplicates", None)
    graph = ArcGraph(torch.tensor([0, 2]), torch.tensor([1, 1]), 3, "torch", undirected=False, distinct=True)
    assert graph.sum_neighbours(torch.tensor([[1.0], [10.0], [100.0]])).flatten().tolist() == [0.0, 101.0, 0.0]
    assert pickle.loads(pickle.dumps(graph)).src.tolist() == [0, 2]  # checked once


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_shapes_and_backends_are_refused():
    graph, x, w = problem(n=5, e=8, d=2, c=2, seed=0)
    with pytest.raises(ShapeError, match="x has shape .*, the graph has 5 nodes"):
        graph.sum_neighbours(x[1:])
    with pytest.raises(ShapeError, match="do not fit a signal of shape"):
        graph.weighted_sum(x, w[:, :1])
    with pytest.raises(ShapeError, match=r"at_src \(5, 2, 2\) and at_dst \(5, 1, 2\) differ"):
        graph.add_ends(x, x[:, :1])
    with pytest.raises(BackendError, match="message passing backend 'jax' is unknown"):
        ArcGraph(graph.src, graph.dst, 5, backend="jax")

"""Inner products on arcs: the definition, its gradients, and refusals."""

import pytest
import torch

from recbole_sheaf.errors import ShapeError
from recbole_sheaf.layers.arc_affinity import arc_affinity
from recbole_sheaf.layers.message_passing import ArcGraph
from tests.layers.problems import KERNELS, random_arcs


@pytest.mark.parametrize("backend, weights", KERNELS)
@pytest.mark.parametrize("undirected", [True, False])
def test_equals_the_definition_with_both_gradients(backend, weights, undirected):
    src, dst, generator = random_arcs(6, 9, 3)
    if not undirected:
        src, dst = src[: len(src) // 2], dst[: len(dst) // 2]
    graph = ArcGraph(src, dst, 6, backend, undirected=undirected, weights=weights)
    x, y = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64).unbind()
    expected = torch.stack([x[u] @ y[v] for u, v in zip(src.tolist(), dst.tolist())])
    torch.testing.assert_close(arc_affinity(graph, x, y), expected)
    inputs = (x.clone().requires_grad_(), y.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda x, y: arc_affinity(graph, x, y), inputs)


@pytest.mark.usefixtures("unchecked_shapes")
def test_shapes_that_do_not_fit_are_refused():
    graph = ArcGraph(torch.tensor([0, 1]), torch.tensor([1, 0]), 2, "torch")
    for x, y in ((torch.zeros(3, 1), torch.zeros(3, 1)), (torch.zeros(2, 1), torch.zeros(2, 2))):
        with pytest.raises(ShapeError, match="do not fit a graph of 2 nodes; give two matrices of one shape"):
            arc_affinity(graph, x, y)

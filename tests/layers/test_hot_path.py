"""What a step may not do: hold arcs times channels, sort, or lay a graph out again."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from recbole_sheaf.layers import _torch_kernels
from recbole_sheaf.layers.map_learners import ArcScales
from recbole_sheaf.layers.normalised_laplacians import DELTAS
from tests.layers.problems import FAMILIES, KERNELS, problem


class Watched(TorchDispatchMode):
    """Notes the name of every operation and the size of the largest tensor it makes."""

    def __init__(self):
        super().__init__()
        self.operations, self.largest = set(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.operations.add(func.overloadpacket.__name__)
        sizes = [t.numel() for t in tree_leaves(out) if isinstance(t, torch.Tensor) and t.layout == torch.strided]
        self.largest = max([self.largest, *sizes])
        return out


def watch(call, inputs):
    """One pass forward and backward, after a first one that lays out what is laid out once."""
    call(*inputs).sum().backward()
    with Watched() as watched:
        call(*inputs).sum().backward()
    return watched


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("backend, weights", KERNELS)
def test_a_step_neither_sorts_nor_holds_arcs_times_channels(monkeypatch, family, backend, weights):
    monkeypatch.setattr(_torch_kernels, "CACHED", 2**11)  # smaller than the arcs' signals, as it is on graphs of weight
    graph, x, maps = problem(family, n=20, e=150, d=2, c=64, seed=0, backend=backend, weights=weights)
    inputs = [t.requires_grad_() for t in (x, *maps)]
    watched = watch(lambda x, *maps: DELTAS[family](graph, x, *maps), inputs)
    assert graph.num_arcs > 150
    assert watched.largest <= max(4 * x.numel(), 4 * graph.num_arcs) < graph.num_arcs * 2 * 64 / 2
    assert not watched.operations & {"sort", "argsort", "unique", "_unique2", "bincount", "searchsorted"}


@pytest.mark.parametrize("backend, weights", KERNELS)
def test_learnt_scales_hold_no_features_on_arcs(backend, weights):
    graph, _, _ = problem("identity", n=20, e=150, d=2, c=64, seed=0, backend=backend, weights=weights)
    learner = ArcScales(in_features=64, stalk_dim=2)
    watched = watch(lambda h: learner(graph, h), [torch.randn(20, 64, requires_grad=True)])
    assert watched.largest <= max(20 * 64, graph.num_arcs * 2)

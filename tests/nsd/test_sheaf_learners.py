"""Sheaf learners equal the reference implementation's, and their definition on concatenated arc features."""

import pytest
import torch

from recbole_sheaf.errors import ConfigError, ShapeError
from recbole_sheaf.nsd.sheaf_learners import (
    EdgeWeightLearner,
    LocalConcatLearner,
    StalkSumLearner,
)
from recbole_sheaf.sheaf import pair_arcs, undirected_graph
from tests.sheaf.helpers import golden, golden_graph, random_graph


def learner_of(name, d, h):
    """Learner from a name such as ``LocalConcat_general_tanh``."""
    kind, *rest = name.split("_")
    if kind == "EdgeWeight":
        return EdgeWeightLearner(d * h)
    shape = (d,) if rest[0] == "diag" else (d, d)
    return LocalConcatLearner(d * h, shape, rest[1]) if kind == "LocalConcat" else StalkSumLearner(d, h, shape, rest[1])


def test_equals_reference():
    entries, graphs, arrays = golden("manifest_learners.json", "graphs.npz", "learners.npz")
    entries = [entry for entry in entries if f"{entry['graph']}__edge_index" in graphs.files]
    entries = [entry for entry in entries if entry["learner"] != "Attention"]  # which none of the paper's models takes
    assert len(entries) == 21
    for entry in entries:
        learner = learner_of(entry["learner"], entry["d"], entry["h"]).double()
        learner.load_state_dict({"linear1.weight": torch.from_numpy(arrays[entry["key"] + "__weight"])})
        graph = undirected_graph(*golden_graph(graphs, entry["graph"]))
        out = learner(torch.from_numpy(arrays[entry["key"] + "__x"]), graph)
        expected = torch.from_numpy(arrays[entry["key"] + "__out"])
        torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-14, msg=entry["key"])


def concatenated(weight, x, graph):
    """``W [x_v | x_w]`` as written."""
    return torch.cat([x[graph.row], x[graph.col]], dim=1) @ weight.T


@pytest.fixture
def graph():
    return random_graph(7, 10, torch.Generator().manual_seed(0))


def test_local_concat_equals_definition(graph):
    learner, x = LocalConcatLearner(6, (2, 2)), torch.randn(7, 6)
    expected = torch.tanh(concatenated(learner.linear1.weight, x, graph)).view(-1, 2, 2)
    torch.testing.assert_close(learner(x, graph), expected)


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_stalk_sum_equals_definition(graph, d):
    """Rows of the concatenated stalks in pairs, summed."""
    learner, x = StalkSumLearner(d, 5, (d,), "id"), torch.randn(7, d * 5)
    pairs = torch.cat([x[graph.row], x[graph.col]], dim=1).view(-1, d, 10).sum(1)
    torch.testing.assert_close(learner(x, graph), pairs @ learner.linear1.weight.T)


def test_edge_weights_are_symmetric_in_any_arc_order(graph):
    learner, x = EdgeWeightLearner(6), torch.randn(7, 6)
    weight = learner(x, graph)
    torch.testing.assert_close(weight, weight[graph.reverse])
    paired = pair_arcs(graph)
    assert paired.paired
    torch.testing.assert_close(learner(x, paired)[: len(graph.upper)], weight[graph.upper])


def test_gradients(graph):
    x = torch.randn(7, 6).double().requires_grad_()
    for learner in (
        LocalConcatLearner(6, (2,)),
        StalkSumLearner(3, 2, (3,)),
        EdgeWeightLearner(6),
    ):
        learner = learner.double()

        def run(x, weight, learner=learner):
            return torch.func.functional_call(learner, {"linear1.weight": weight}, (x, graph))

        assert torch.autograd.gradcheck(run, (x, learner.linear1.weight))


def test_bad_input(graph):
    with pytest.raises(ConfigError, match="sheaf activation 'relu' is unknown; choose one of tanh, elu, id"):
        LocalConcatLearner(6, (2,), "relu")
    with pytest.raises(ShapeError, match="features of 6 nodes arrived, but the graph has 7"):
        LocalConcatLearner(6, (2,))(torch.randn(6, 6), graph)

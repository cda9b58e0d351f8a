"""Every Laplacian of the reference implementation, in all its option combinations."""

import numpy as np
import pytest
import torch

from recbole_sheaf.sheaf import orthogonal_maps, sheaf_laplacian_matrix
from tests.sheaf.helpers import dense_from_entries, golden, golden_graph

FAMILY = {"diag": "diagonal", "bundle": "orthogonal", "general": "general"}


def laplacian_of(case, graphs, arrays):
    """Our Laplacian for a manifest entry, as a dense matrix, and its indices."""
    arcs, n = golden_graph(graphs, case["graph"])
    weight = arrays[case["params"].replace("params", "edge_weights")] if case.get("edge_weights") else None
    index, value = sheaf_laplacian_matrix(
        arcs,
        n,
        torch.from_numpy(arrays[case.get("params", case["maps"])]),
        restriction_map=FAMILY[case["builder"]],
        orthogonal_map=case.get("orth"),
        edge_weight=None if weight is None else torch.from_numpy(weight),
        normalised=case["normalised"],
        deg_normalised=case.get("deg_normalised", False),
        augmented=case["augmented"],
        add_lp=case["add_lp"],
        add_hp=case["add_hp"],
    )
    return dense_from_entries(index, value, case["size"]), index


@pytest.mark.usefixtures("unchecked_shapes")  # so many calls, of functions that other tests call checked
@pytest.mark.parametrize("builder", ["diag", "bundle", "general"])
def test_equals_reference(builder):
    cases, graphs, arrays = golden("manifest_laplacian.json", "graphs.npz", f"laplacian_{builder}.npz")
    cases = [case for case in cases if case["builder"] == builder and case["finite"]]
    assert len(cases) >= 340
    for case in cases:
        ours, index = laplacian_of(case, graphs, arrays)
        expected_index = torch.from_numpy(arrays[case["key"] + "__index"])
        expected = dense_from_entries(expected_index, torch.from_numpy(arrays[case["key"] + "__value"]), case["size"])
        assert (ours - expected).abs().max() <= 1e-10 * expected.abs().max(), case["key"]
        assert torch.equal(index, expected_index), case["key"]


def test_isolated_nodes_are_zero_where_reference_is_nan():
    """Not augmented, the reference divides by a degree of zero; we keep the value of a node without edges."""
    cases, graphs, arrays = golden("manifest_laplacian.json", "graphs.npz", "laplacian_diag.npz")
    cases = [case for case in cases if not case["finite"]]
    assert len(cases) == 20
    for case in cases:
        ours, index = laplacian_of(case, graphs, arrays)
        expected = torch.from_numpy(arrays[case["key"] + "__value"])
        missing = expected.isnan()
        value = ours[index[0], index[1]]
        assert missing.any() and torch.equal(value[missing], torch.zeros(int(missing.sum())).double())
        torch.testing.assert_close(value[~missing], expected[~missing], rtol=1e-10, atol=1e-12)


def test_orthogonal_matrices_equal_reference():
    cases, arrays = golden("manifest_laplacian.json", "laplacian_bundle.npz")
    seen = {(case["params"], case["maps"], case["orth"], case["d"]) for case in cases if case["builder"] == "bundle"}
    assert len(seen) == 42
    for params, maps, orth, d in seen:
        ours = orthogonal_maps(torch.from_numpy(arrays[params]), d, orth)
        np.testing.assert_allclose(ours, arrays[maps], rtol=0, atol=1e-12)

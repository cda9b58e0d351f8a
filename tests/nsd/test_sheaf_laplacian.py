"""The Laplacian as a matrix and as message passing are one operator: an arc carries its destination's map in both."""

import pytest
import torch

from recbole_sheaf.layers.message_passing import ArcGraph
from recbole_sheaf.layers.normalised_laplacians import DELTAS
from recbole_sheaf.nsd.diffusion_settings import DiffusionSettings
from recbole_sheaf.nsd.sheaf_laplacian import SheafLaplacian
from recbole_sheaf.sheaf import orthogonal_maps
from tests.sheaf.helpers import random_graph


@pytest.mark.parametrize("family", ["diagonal", "orthogonal", "general"])
def test_row_and_destination_are_one_convention(family):
    d, channels, generator = 3, 4, torch.Generator().manual_seed(0)
    graph = random_graph(8, 12, generator)
    settings = DiffusionSettings(5, 2, family, d, orthogonal_map="cayley", augmented=False)
    learnt = torch.randn(len(graph.row), *settings.map_shape, generator=generator, dtype=torch.float64)
    maps = orthogonal_maps(learnt, d, "cayley") if family == "orthogonal" else learnt
    x = torch.randn(8, d, channels, generator=generator, dtype=torch.float64)
    laplacian = SheafLaplacian(graph, settings)
    expected = laplacian.product(*laplacian.values(learnt), x.flatten(0, 1)).view_as(x)

    def by_messages(src, dst):
        return DELTAS[family](ArcGraph(src, dst, 8), x, maps)

    torch.testing.assert_close(by_messages(src=graph.col, dst=graph.row), expected)
    other_reading = by_messages(src=graph.row, dst=graph.col)
    assert (other_reading - expected).abs().max() > 0.1

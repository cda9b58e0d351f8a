"""Maps into items that nobody chose, against ridge regressions of content written down one by one."""

import pytest
import torch

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.sheaf.cold_items import cold_maps
from recbole_sheaf.sheaf.item_signals import item_signals


def signals_with(content, chosen=(0, 1, 3, 4)):
    items = torch.tensor(chosen)
    return item_signals(torch.zeros_like(items), items, 2, len(content), content)


def content(scale=1.0):
    """Six items; nobody chose 2 and 5."""
    return scale * torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double()


def test_each_map_is_a_ridge_regression_on_the_content_of_warm_items():
    C = content()
    maps = cold_maps(signals_with(C), 0.2)
    assert maps.items.tolist() == [2, 5]
    K = maps.source_factors @ maps.target_factors.T
    warm = [0, 1, 3, 4]
    ridge = 0.2 * C.square().sum(1).max()
    stacked = torch.cat([C[warm].T, torch.eye(4).double() * ridge.sqrt()])
    for place, item in enumerate((2, 5)):
        wanted = torch.cat([C[item], torch.zeros(4).double()]).unsqueeze(1)
        torch.testing.assert_close(K[warm, place], torch.linalg.lstsq(stacked, wanted).solution[:, 0])
    assert not K[[2, 5]].any()


def test_the_units_of_content_do_not_matter():
    one, other = (cold_maps(signals_with(content(scale)), 0.2) for scale in (1.0, 30.0))
    torch.testing.assert_close(other.source_factors @ other.target_factors.T, one.source_factors @ one.target_factors.T)


def test_the_map_into_an_item_like_a_warm_one_is_largest_from_it():
    C = torch.nn.functional.normalize(content())
    C[5] = C[3]
    maps = cold_maps(signals_with(C), 0.01)
    assert int((maps.source_factors @ maps.target_factors[1]).argmax()) == 3


def test_there_are_none_without_content_without_cold_items_and_at_ridge_zero():
    nothing = torch.zeros(6, 3).double()
    assert cold_maps(signals_with(nothing), 0.2) is None
    assert cold_maps(signals_with(torch.zeros(6, 0).double()), 0.2) is None
    assert cold_maps(signals_with(content(), chosen=range(6)), 0.2) is None
    assert cold_maps(signals_with(content()), 0.0) is None
    half = content()
    half[5] = 0.0
    assert cold_maps(signals_with(half), 0.2).items.tolist() == [2]


def test_a_negative_ridge_is_refused(unchecked_shapes):
    with pytest.raises(ConfigError, match="cold_ridge is -1.0, expected a number > 0, or 0"):
        cold_maps(signals_with(content()), -1.0)

"""Maps between items in either form are the same matrix."""

import pytest
import torch
from scipy import sparse

from recbole_sheaf.sheaf import item_maps
from recbole_sheaf.sheaf.item_maps import COLD, ItemMaps, smaller_as_coefficients


def dense(maps):
    found = torch.from_numpy(maps.coefficients.toarray())
    return sum((maps.sources[name] @ maps.targets[name].mT for name in maps.sources), found)


def some_maps(n=6, width=2):
    generator = torch.Generator().manual_seed(0)
    whole, source, target = (torch.randn(n, k, generator=generator) for k in (n, width, width))
    whole[whole.abs() < 0.5] = 0.0
    return ItemMaps(sparse.csc_matrix(whole.numpy()), {"hubs": source}, {"hubs": target})


@pytest.mark.parametrize("form", ["block", "coefficients"])
def test_maps_into_some_items_become_a_product_and_no_other_moves(form, monkeypatch):
    monkeypatch.setattr(item_maps, "smaller_as_coefficients", lambda *sizes: form == "coefficients")
    maps, items = some_maps(), torch.tensor([4, 1])
    before, source, target = dense(maps), torch.randn(6, 3), torch.randn(2, 3)
    found = maps.with_low_rank_into(items, source, target, n_users=5)
    assert (COLD in found.sources) == (form == "block")
    expected = before.index_copy(1, items, source @ target.mT)
    torch.testing.assert_close(dense(found), expected)
    weights = torch.linspace(0.5, 3, 6)
    torch.testing.assert_close(dense(found.times(weights)), expected * weights)
    assert torch.equal(dense(maps), before)  # what was given stays as it is


def test_a_few_items_are_coefficients_and_many_are_a_block():
    assert smaller_as_coefficients(into=20, n_items=3706, n_users=6040, width=2048)
    assert not smaller_as_coefficients(into=50_000, n_items=100_000, n_users=100_000, width=512)

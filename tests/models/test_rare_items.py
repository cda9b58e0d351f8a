"""Shares of rare items and the spread of their scores."""

import pytest
import torch

from recbole_sheaf.models.rare_items import rarity, spreads_of_products, spreads_of_scores

DRAW = torch.Generator().manual_seed(0)


def test_shares_are_one_without_interactions_and_a_half_at_kappa():
    rho = rarity(torch.tensor([0, 0, 1, 3, 9, 3_000_000]), half=3.0)
    torch.testing.assert_close(rho, torch.tensor([0.0, 1.0, 0.75, 0.5, 0.25, 1e-6]), atol=1e-9, rtol=1e-5)


def test_kappa_zero_gives_no_share_to_an_item_without_interactions_either():
    assert not rarity(torch.tensor([0, 0, 5]), half=0.0).any()


@pytest.mark.parametrize("share", [torch.ones(40), torch.rand(40, generator=DRAW)])
def test_spread_is_the_weighed_deviation_of_each_user(share):
    users, items = torch.randn(7, 5, generator=DRAW), torch.randn(40, 5, generator=DRAW) + 2
    scores = users @ items.T
    q = share / share.sum()
    each = [((row - (row * q).sum()) ** 2 * q).sum() ** 0.5 for row in scores]
    torch.testing.assert_close(spreads_of_scores(scores, share), torch.stack(each))
    torch.testing.assert_close(spreads_of_products(users, items, share), torch.stack(each))


def test_items_without_a_share_do_not_matter():
    users, items = torch.randn(3, 4, generator=DRAW), torch.randn(9, 4, generator=DRAW)
    share = torch.tensor([0.0, 1, 0, 2, 0, 0, 3, 0, 1])
    moved = items + 100 * (share == 0).float().unsqueeze(1)
    torch.testing.assert_close(spreads_of_products(users, moved, share), spreads_of_products(users, items, share))
    torch.testing.assert_close(spreads_of_scores(users @ moved.T, share), spreads_of_scores(users @ items.T, share))

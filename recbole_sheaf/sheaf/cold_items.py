r"""Maps into cold items, which no user of the training part chose.

Nobody met such an item, so its zeros in the histories are gaps, not answers; a regression on them
(:mod:`.item_sheaf`) learns to say zero to everyone, against the item's content. Maps into cold items are therefore
fitted to the signals that *are* observed there, the coordinates of content, as a ridge regression on the warm items:

.. math:: K = (C_w C_w^\top + \lambda I)^{-1} C_w C_k^\top = C_w (C_w^\top C_w + \lambda I)^{-1} C_k^\top,

:math:`C_w` content of the warm and :math:`C_k` of the cold items (the second form is of rank c). What travels along
them is a user's history together with what the warm items' maps B add to it, :math:`s_k = K^\top (x + B^\top x)`: a
history of three items is alike in content to few cold items, its scores for all warm items to many. K says whom a cold
item suits, not how often it is chosen; its level is set where it is used. Of the warm items without content it is told
nothing (:func:`told_share`): the fewer have content, the more of it is chance.
"""

from dataclasses import dataclass
from typing import Optional

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.sheaf.item_sheaf import cholesky_factor
from recbole_sheaf.sheaf.item_signals import ItemSignals


@dataclass(frozen=True)
class ColdMaps:
    """K in its factors, ``told @ heard.mT``.

    Attributes:
        items: the cold items.
        told: content of the warm items; zeros in the rows of cold ones.
        heard: content of the cold items, times the inverse in K.
    """

    items: Int[Tensor, " k"]
    told: Float[Tensor, "n c"]
    heard: Float[Tensor, "k c"]


def cold_maps(signals: ItemSignals, ridge: float) -> Optional[ColdMaps]:
    """Maps into the items that no user chose but that have content; None if there are none.

    Args:
        ridge: lambda, on a scale where the longest content of an item is 1; 0 fits no such maps, and cold items keep
            those of :mod:`.item_sheaf`.

    Raises:
        ConfigError: if ``ridge`` is negative.

    Time O(n c^2 + c^3), memory O(n c).
    """
    if ridge < 0:
        raise ConfigError(f"cold_ridge is {ridge}, expected a number > 0, or 0 to leave cold items as they are")
    items = ((signals.degree == 0) & signals.has_content).nonzero().squeeze(1)
    if not ridge or not len(items):
        return None
    told, factor = content_regression(signals, ridge)
    return ColdMaps(items, told, hear(signals.content[items], factor))


def told_share(signals: ItemSignals) -> float:
    """Share of all interactions at items with content: how much of histories the maps K are told; 0 without any."""
    return float(signals.degree[signals.has_content].sum() / signals.degree.sum().clamp(min=1))


def content_regression(signals: ItemSignals, ridge: float) -> tuple[Float[Tensor, "n c"], Float[Tensor, "c c"]]:
    """What warm items tell, and the Cholesky factor of the regression on it, which depends on them alone."""
    told = signals.content * (signals.degree > 0).unsqueeze(1)
    regular = told.mT @ told
    regular.diagonal().add_(ridge * signals.content.square().sum(1).max())
    return told, cholesky_factor(regular)


def hear(content: Float[Tensor, "k c"], factor: Float[Tensor, "c c"]) -> Float[Tensor, "k c"]:
    """What items of this content hear of that, whether they are in the catalogue or not."""
    return torch.cholesky_solve(content.mT, factor).mT.contiguous()

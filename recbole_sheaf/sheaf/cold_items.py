r"""Maps into cold items, which no user of the training part chose.

Nobody met such an item, so its zeros in the histories are gaps, not answers; a regression on them
(:mod:`recbole_sheaf.sheaf.item_sheaf`) learns to score it zero for everyone, whatever its content. Maps into cold items
are therefore fitted to the signals that *are* observed there, the coordinates of content, as a ridge regression on the
warm items:

.. math:: K = (C_w C_w^\top + \lambda I)^{-1} C_w C_k^\top = C_w (C_w^\top C_w + \lambda I)^{-1} C_k^\top,

:math:`C_w` content of the warm and :math:`C_k` of the cold items (the second form is of rank c). K is kept in two
factors: a row of *source factors* for each item of a history, :math:`C_w`, and a row of *target factors* for each cold
item, :math:`C_k (C_w^\top C_w + \lambda I)^{-1}`. It maps a user's history together with what the warm items' maps B
add to it, :math:`s_k = K^\top (x + B^\top x)`: a history of three items is alike in content to few cold items, its
scores for all warm items to many. K orders users for a cold item but does not know how often the item will be chosen;
its scores are scaled where it is used. Warm items without content have source factors of zero, so the smaller
:func:`content_share` is, the more of the scores is chance.
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
    """Maps K into k cold items, in two factors: ``K = source_factors @ target_factors.mT``, of shape (n, k).

    Attributes:
        items: the cold items.
        source_factors: content of the warm items; zeros in the rows of cold ones.
        target_factors: content of the cold items, times the inverse in K.

    Examples:
        >>> maps = ColdMaps(torch.tensor([2]), torch.tensor([[1.0], [3.0], [0.0]]), torch.tensor([[0.5]]))
        >>> (maps.source_factors @ maps.target_factors.mT).flatten()  # into item 2
        tensor([0.5000, 1.5000, 0.0000])
    """

    items: Int[Tensor, " k"]
    source_factors: Float[Tensor, "n c"]
    target_factors: Float[Tensor, "k c"]


def cold_maps(signals: ItemSignals, ridge: float) -> Optional[ColdMaps]:
    """Maps into the items that no user chose but that have content; None if there are none.

    Args:
        ridge: lambda, on a scale where the longest content of an item is 1; 0 fits no such maps, and cold items keep
            those of :mod:`recbole_sheaf.sheaf.item_sheaf`.

    Raises:
        ConfigError: if ``ridge`` is negative.

    Time O(n c^2 + c^3), memory O(n c).

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> content = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> signals = item_signals(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 3, content)
        >>> maps = cold_maps(signals, ridge=1.0)  # item 2 has the content of item 1
        >>> maps.items, (maps.source_factors @ maps.target_factors.mT).flatten()
        (tensor([2]), tensor([0.0000, 0.5000, 0.0000]))
    """
    if ridge < 0:
        raise ConfigError(f"cold_ridge is {ridge}, expected a number > 0, or 0 to leave cold items as they are")
    items = ((signals.degree == 0) & signals.has_content).nonzero().squeeze(1)
    if not ridge or not len(items):
        return None
    sources, factor = content_regression(signals, ridge)
    return ColdMaps(items, sources, target_factors(signals.content[items], factor))


def content_share(signals: ItemSignals) -> float:
    """Share of all interactions that are at items with content; 0 without interactions.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> users, items = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 0, 1])
        >>> content_share(item_signals(users, items, 3, 2, torch.tensor([[1.0], [0.0]])))
        0.75
    """
    return float(signals.degree[signals.has_content].sum() / signals.degree.sum().clamp(min=1))


def content_regression(signals: ItemSignals, ridge: float) -> tuple[Float[Tensor, "n c"], Float[Tensor, "c c"]]:
    """Source factors of all items, and the Cholesky factor of ``C_w^T C_w + lambda I``, both of warm items alone.

    Args:
        ridge: lambda, on a scale where the longest content of an item is 1.

    Examples:
        >>> from recbole_sheaf.sheaf.item_signals import item_signals
        >>> signals = item_signals(torch.tensor([0]), torch.tensor([0]), 1, 2, torch.tensor([[2.0], [1.0]]))
        >>> content_regression(signals, ridge=3.0)  # item 1 is cold; 2 * 2 + 3 * 2 * 2 is the square of 4
        (tensor([[2.],
                [0.]]), tensor([[4.]]))
    """
    sources = signals.content * (signals.degree > 0).unsqueeze(1)
    regular = sources.mT @ sources
    regular.diagonal().add_(ridge * signals.content.square().sum(1).max())
    return sources, cholesky_factor(regular)


def target_factors(content: Float[Tensor, "k c"], factor: Float[Tensor, "c c"]) -> Float[Tensor, "k c"]:
    """Target factors of items with this content, whether they are in the catalogue or not.

    Args:
        factor: the Cholesky factor of :func:`content_regression`.

    Examples:
        >>> target_factors(torch.tensor([[8.0]]), factor=torch.tensor([[4.0]]))  # 8 over the square of 4
        tensor([[0.5000]])
    """
    return torch.cholesky_solve(content.mT, factor).mT.contiguous()

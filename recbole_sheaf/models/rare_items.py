r"""Who speaks for an item: what was trained on its interactions, or what needs none of them.

An item's share :math:`\rho_i = \kappa / (\kappa + d_i)` falls with its d_i training interactions: 1 for an item without
any, 1/2 at :math:`\kappa` of them (the weight of the prior mean in a normal model whose prior is worth :math:`\kappa`
observations). Two scores of the same items differ in their units, so a score is measured by its *spread*: over a user's
items, weighed by their shares, the standard deviation.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def rarity(degree: Int[Tensor, " n"], half: float) -> Float[Tensor, " n"]:
    """rho, at kappa ``half``; zeros for RecBole's padding at 0 and, for all, where ``half`` is 0."""
    rho = half / (half + degree.float()) if half else torch.zeros(len(degree), device=degree.device)
    rho[0] = 0.0
    return rho


def spreads_of_scores(scores: Float[Tensor, "b n"], share: Float[Tensor, " n"]) -> Float[Tensor, " b"]:
    """Spread of each user's scores as they are; O(b n)."""
    q = (share / share.sum()).to(scores)
    centred = scores - (scores @ q).unsqueeze(1)
    return (centred.square() @ q).sqrt()


def spreads_of_products(
    users: Float[Tensor, "b f"], items: Float[Tensor, "n f"], share: Float[Tensor, " n"]
) -> Float[Tensor, " b"]:
    """Spread of each user's inner products, without making them: O((b + n) f^2) by the items' weighed covariance."""
    q = (share / share.sum()).to(items)
    centred = items - q @ items
    covariance = centred.mT @ (centred * q.unsqueeze(1))
    return ((users @ covariance) * users).sum(1).clamp(min=0).sqrt()
